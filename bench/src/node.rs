//! What a task costs on a real node: a pool of eight workers whose agent runs a trivial command for each task, beside plain Jobs
//! of the same command. Kubelet, container runtime and control plane share the machine with the operator.

use std::time::Duration;

use e2e::warm::{POOL, Workers, images, pool_of_agents, warm_type};
use e2e::world::{World, on_with, shell};
use harness::{Cluster, Namespace, Operator, task_queue};
use k8s_openapi::api::batch::v1::Job;
use task_manager::api::Task;

use crate::generator::{Generator, job_of, percentile};
use crate::measurements::Measurements;
use crate::plane;

const WORKERS: i32 = 8;
const COMMAND: &str = "true";
/// Between two tasks on an idle pool: never in step with anything that happens once a second.
const PAUSE: Duration = Duration::from_millis(107);
/// As many as the other cases keep going.
const JOBS_AT_ONCE: usize = 50;
/// A Job takes so much longer that fewer of them say as much.
const TASKS_OF_A_JOB: usize = 10;

pub async fn run(count: usize) -> Measurements {
    let mut found = Measurements::default();
    let start = async |namespace: &Namespace| {
        let agent = &images(namespace).await.agent;
        Operator::with_worker(namespace, &["--agent-image", agent]).await
    };
    on_with(Cluster::Node, "node", start, async |world| {
        pool(world, count, &mut found).await;
        tokio::time::sleep(plane::REST).await;
        plain_jobs(&world.namespace, (count / TASKS_OF_A_JOB).max(JOBS_AT_ONCE), &mut found).await;
    })
    .await;
    let ratio = found.figures["rate"] / found.figures["Jobs rate"];
    found.figures.insert("of the Jobs' rate".into(), ratio);
    found
}

async fn pool(world: &World, count: usize, found: &mut Measurements) {
    let namespace = &world.namespace;
    let workers = Workers::record(namespace).await;
    namespace.create(&pool_of_agents(world, WORKERS, WORKERS, COMMAND).await).await;
    namespace.create(&warm_type("work", 0)).await;
    namespace.create(&task_queue("default", 1000)).await;
    workers.are_ready(WORKERS).await;
    let mut generator = Generator::<Task>::start(namespace).await.over_rest(world.operator.rest());
    generator.run("warm-up", count / 5, usize::MAX).await;
    tokio::time::sleep(plane::REST).await;
    generator.paced("paced", count, PAUSE).await;
    tokio::time::sleep(plane::REST).await;
    let took = generator.run("run", count, usize::MAX).await;
    let latencies = generator.latencies("paced");
    for percent in [50, 99] {
        found.figures.insert(format!("p{percent} ms"), percentile(&latencies, percent));
    }
    found.figures.insert("rate".into(), count as f64 / took.as_secs_f64());
    assert_eq!(workers.status().await.ready, WORKERS, "no worker of the pool {POOL} failed");
}

async fn plain_jobs(namespace: &Namespace, count: usize, found: &mut Measurements) {
    let mut generator = Generator::<Job>::start_with(namespace, job).await;
    generator.run("job", count, JOBS_AT_ONCE).await;
    let took = generator.run("run", count, JOBS_AT_ONCE).await;
    found.figures.insert("Jobs rate".into(), count as f64 / took.as_secs_f64());
    tokio::time::sleep(plane::REST).await;
    generator.run("single", 5, 1).await;
    found.figures.insert("Job p50 ms".into(), percentile(&generator.latencies("single"), 50));
}

fn job(name: &str) -> Job {
    job_of(&shell("work", COMMAND), name)
}
