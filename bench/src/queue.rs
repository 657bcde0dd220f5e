//! Throughput: Tasks through a queue of capacity 50, and plain Jobs of which 50 run at once.

use harness::{Account, Cluster, Namespace, Operator, task_queue, task_type};
use k8s_openapi::api::batch::v1::Job;
use task_manager::api::Task;

use crate::generator::{Generator, Load};
use crate::measurements::Measurements;
use crate::plane;

const AT_ONCE: usize = 50;
/// A first round warms up and is not measured.
const WARM_UP: usize = 200;

pub async fn jobs(count: usize) -> Measurements {
    let namespace = Namespace::make(Cluster::ControlPlane, "jobs").await;
    run::<Job>(&namespace, None, count, AT_ONCE).await
}

pub async fn tasks(count: usize) -> Measurements {
    let namespace = Namespace::make(Cluster::ControlPlane, "tasks").await;
    let (operator, _) = operator(&namespace, AT_ONCE as i32).await;
    run::<Task>(&namespace, operator.pid(), count, usize::MAX).await
}

/// Starts an operator with its own service account, a type "work", and a queue "default" of this capacity.
pub async fn operator(namespace: &Namespace, capacity: i32) -> (Operator, Account) {
    namespace.create(&task_type("work")).await;
    namespace.create(&task_queue("default", capacity)).await;
    let account = namespace.account().await;
    (namespace.operator_as(&account, &[]).await, account)
}

async fn run<K: Load>(namespace: &Namespace, operator: Option<u32>, count: usize, at_once: usize) -> Measurements {
    let mut generator = Generator::<K>::start(namespace).await;
    generator.run("warm-up", WARM_UP, at_once).await;
    let before = plane::before(namespace, operator).await;
    let took = generator.run("run", count, at_once).await;
    let mut found = before.used(count).await;
    found.figures.insert("rate".into(), count as f64 / took.as_secs_f64());
    found
}
