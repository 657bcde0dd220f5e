//! Latency and requests of each, at a few a second on a machine with nothing else to do.

use std::time::Duration;

use harness::{Cluster, Namespace};
use k8s_openapi::api::batch::v1::Job;
use task_manager::api::Task;

use crate::generator::{Generator, Load, percentile};
use crate::measurements::Measurements;
use crate::{plane, queue};

/// Five a second, and never in step with anything that happens once a second.
const PAUSE: Duration = Duration::from_millis(207);
const BLOCKS: usize = 2;
const WARM_UP: usize = 20;

pub async fn run(count: usize) -> Measurements {
    let namespace = Namespace::make(Cluster::ControlPlane, "paced").await;
    let (operator, account) = queue::operator(&namespace, 50).await;
    let mut jobs = Generator::<Job>::start(&namespace).await;
    let mut tasks = Generator::<Task>::start(&namespace).await;
    jobs.run("warm-up-job", WARM_UP, 5).await;
    tasks.run("warm-up-task", WARM_UP, 5).await;
    let (mut found, block) = (Measurements::default(), count / BLOCKS);
    let before = account.requests().await;
    for number in 0..BLOCKS {
        add(&mut found, "Job", measured(&mut jobs, &format!("job-{number}"), block, &namespace, None).await);
        let of_tasks = measured(&mut tasks, &format!("task-{number}"), block, &namespace, operator.pid()).await;
        add(&mut found, "Task", of_tasks);
    }
    let asked = account.requests().await - before;
    for (name, number) in
        [("status", asked.statuses), ("Job", asked.launches), ("else", asked.other_writes), ("read", asked.reads)]
    {
        found.figures.insert(format!("operator {name}"), number as f64 / (block * BLOCKS) as f64);
    }
    for (kind, latencies) in [("Job", jobs.latencies("job")), ("Task", tasks.latencies("task"))] {
        found.figures.insert(format!("{kind} p50"), percentile(&latencies, 50));
        found.figures.insert(format!("{kind} p99"), percentile(&latencies, 99));
    }
    found
}

async fn measured<K: Load>(
    generator: &mut Generator<K>,
    prefix: &str,
    count: usize,
    namespace: &Namespace,
    operator: Option<u32>,
) -> Measurements {
    let before = plane::before(namespace, operator).await;
    generator.paced(prefix, count, PAUSE).await;
    before.used(count).await
}

fn add(found: &mut Measurements, kind: &str, block: Measurements) {
    let share = 1.0 / BLOCKS as f64;
    for (name, value) in block.cpu {
        *found.cpu.entry(format!("{kind} {name}")).or_default() += value * share;
    }
    for (name, value) in block.requests {
        *found.requests.entry(format!("{kind} {name}")).or_default() += value * share;
    }
}
