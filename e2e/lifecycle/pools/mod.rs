//! Warm workers on a real node: the agent and other clients in real pods, what becomes of tasks when a worker fails, and how
//! many workers there are.

mod agent;
mod health;
mod installed;
mod load;
mod odd_clients;
mod processes;
mod takeover;
mod tokens;
mod ways_in;

use e2e::warm::{Workers, warm_type};
use e2e::world::World;
use task_manager::api::{Task, WorkerPool};

/// Makes the pool and, of each of these names, a type that it runs whose tasks are tried again so often.
async fn pool(world: &World, pool: &WorkerPool, types: &[(&str, i32)]) -> Workers {
    let workers = Workers::record(&world.namespace).await;
    world.namespace.create(pool).await;
    for (name, limit) in types {
        world.namespace.create(&warm_type(name, *limit)).await;
    }
    workers
}

/// A task of the type of this name, named so.
async fn task(world: &World, type_: &str, name: &str) -> Task {
    world.task_with(name, |spec| spec.type_ = type_.into()).await
}
