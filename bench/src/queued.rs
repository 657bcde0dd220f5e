//! Memory and CPU of the operator while many tasks wait. No Job controller runs here, so the 50 admitted tasks never
//! end.

use std::time::Duration;

use harness::{Cluster, Namespace, Operator, SOON, eventually};
use task_manager::api::Task;

use crate::generator::{Generator, with_payload};
use crate::measurements::Measurements;
use crate::plane::{cpu_of, memory_of};
use crate::queue;

const PAYLOAD_BYTES: usize = 1000;
const CAPACITY: usize = 50;
/// The time for which the operator is watched at rest: long enough for its periodic work.
const AT_REST: Duration = Duration::from_secs(20);

pub async fn run(count: usize) -> Measurements {
    let namespace = Namespace::make(Cluster::ControlPlane, "queued").await;
    let (mut operator, _) = queue::operator(&namespace, CAPACITY as i32).await;
    let mut generator = Generator::<Task>::start(&namespace).await;
    let mut found = Measurements::default();
    let mut tell = |name: &str, value: f64| {
        found.figures.insert(name.into(), value);
    };
    create(&mut generator, "running", CAPACITY).await;
    seen(&operator, 0, CAPACITY).await;
    let pid = operator.pid().expect("it runs");
    tell("KiB at 0", memory_of(pid).unwrap_or_default());
    for (part, share) in [("half", count / 2), ("all", count - count / 2)] {
        let cpu = cpu_of(pid).unwrap_or_default();
        create(&mut generator, part, share).await;
        seen(&operator, if part == "half" { share } else { count }, CAPACITY).await;
        tell(&format!("KiB at {part}"), memory_of(pid).unwrap_or_default());
        tell(&format!("CPU ms a task to {part}"), (cpu_of(pid).unwrap_or_default() - cpu) / share as f64);
    }
    tell("CPU ms a second at rest", at_rest(pid).await);
    tell("KiB at rest", memory_of(pid).unwrap_or_default());
    operator.crash().await;
    seen(&operator, count, CAPACITY).await;
    let pid = operator.pid().expect("it runs");
    tell("CPU ms to read all at a start", cpu_of(pid).unwrap_or_default());
    at_rest(pid).await;
    tell("KiB after a start", memory_of(pid).unwrap_or_default());
    found
}

async fn create(generator: &mut Generator<Task>, prefix: &str, count: usize) {
    for number in 0..count {
        generator.create(with_payload(&format!("{prefix}-{number}"), PAYLOAD_BYTES)).await;
    }
    generator.all_sent().await;
}

async fn seen(operator: &Operator, queued: usize, running: usize) {
    eventually(&format!("the operator knows {queued} that wait and {running} that run"), 4 * SOON, async || {
        let metrics = operator.metrics().await;
        let counted =
            (metrics.count("task_manager_tasks_queued", &[]), metrics.count("task_manager_tasks_running", &[]));
        (counted == (queued as u64, running as u64)).then_some(())
    })
    .await;
}

/// CPU milliseconds a second.
async fn at_rest(pid: u32) -> f64 {
    let before = cpu_of(pid).unwrap_or_default();
    tokio::time::sleep(AT_REST).await;
    (cpu_of(pid).unwrap_or_default() - before) / AT_REST.as_secs_f64()
}
