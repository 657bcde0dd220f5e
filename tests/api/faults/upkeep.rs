//! Faults that strike what the operator says of types and queues: in the end it says the truth.

use std::sync::Arc;

use harness::faults::{Passed, Wire, WiredOperator};
use harness::{Outcome, eventually, in_namespace, task, task_queue, task_type};
use task_manager::api::{TaskQueue, TaskType};

use super::walk::PATIENCE;
use super::{every_fault, sweep};

#[tokio::test]
async fn types_and_queues_tell_the_truth_in_the_end_whatever_fails() {
    let plans = |passed: &Passed| match ["dry run", "tasktypes", "taskqueues"]
        .iter()
        .any(|part| passed.point.label.contains(part))
    {
        true => every_fault(&passed.point),
        false => vec![],
    };
    sweep("upkeep", upkeep, plans).await;
}

async fn upkeep(wire: &Arc<Wire>) -> Vec<Passed> {
    let mut passed = vec![];
    in_namespace("upkeep", async |ns| {
        ns.create(&task_type("work")).await;
        ns.create(&task_queue("default", 1)).await;
        let (types, queues) = (ns.record::<TaskType>().await, ns.record::<TaskQueue>().await);
        let node = ns.fake_node();
        node.script("one", [Outcome::Hold]);
        for name in ["one", "rival"] {
            ns.create(&task(name)).await;
        }
        let _operator = WiredOperator::start(&ns, wire, &[]);
        let tells = async |running: i32, queued: i32| {
            eventually(&format!("the queue says that {running} runs and {queued} waits"), PATIENCE, async || {
                let says = |queue: &TaskQueue| {
                    queue.status.as_ref().is_some_and(|status| (status.running, status.queued) == (running, queued))
                };
                queues.look_at_present(|queues| queues.iter().any(|queue| says(queue))).then_some(())
            })
            .await;
        };
        tells(1, 1).await;
        eventually("the type says that it can be used", PATIENCE, async || {
            types.look_at_present(|types| types.iter().any(|task_type| is_ready(task_type))).then_some(())
        })
        .await;
        passed = wire.passed();
        node.end("one", Outcome::succeed());
        tells(0, 0).await;
    })
    .await;
    passed
}

fn is_ready(task_type: &TaskType) -> bool {
    let conditions = task_type.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|seen| seen.type_ == "Ready" && seen.status == "True")
}
