//! What git no longer has is deleted: a type or a queue that is in use.

use harness::*;
use kube::api::DeleteParams;
use serde_json::json;
use task_manager::api::{Reason, State};

use crate::stage::{manifest, started, status};

#[tokio::test]
async fn of_a_pruned_type_what_runs_ends_and_what_waits_goes_on_when_it_is_back() {
    in_namespace("gitops-pruned", async |ns| {
        let node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        let spec = serde_json::to_value(task_type("work")).expect("JSON")["spec"].clone();
        let kind = manifest("TaskType", "work", spec);
        ns.apply(kind.clone()).await.expect("accepted");
        ns.apply(manifest("TaskQueue", "default", json!({"capacity": {"tasks": 2}}))).await.expect("accepted");
        node.script("succeeds", [Outcome::Hold]);
        node.script("fails-once", [Outcome::Hold, Outcome::succeed()]);
        for name in ["succeeds", "fails-once"] {
            ns.apply(manifest("Task", name, json!({"type": "work"}))).await.expect("accepted");
            started(&node, name, 1).await;
        }
        ns.apply(manifest("Task", "waits", json!({"type": "work"}))).await.expect("accepted");

        // In the foreground, as Argo CD prunes, it would wait here for a garbage collector, which this cluster lacks.
        ns.types().delete("work", &DeleteParams::background()).await.expect("deleted");
        ns.task_when("waits", "misses its type", |_, status| status.reason == Reason::TypeMissing).await;
        assert_eq!(node.starts().len(), 2, "what runs goes on");
        node.end("succeeds", Outcome::result("done"));
        let done = status(&ns.task_in("succeeds", State::Completed).await);
        assert_eq!((done.result, done.failures), (Some(json!("done")), 0));
        node.end("fails-once", Outcome::exit(1));
        let failed =
            ns.task_when("fails-once", "waits for its type", |_, status| status.reason == Reason::TypeMissing).await;
        assert_eq!((status(&failed).state, status(&failed).failures), (State::Queued, 1));

        ns.apply(kind).await.expect("accepted");
        for name in ["waits", "fails-once"] {
            ns.task_in(name, State::Completed).await;
        }
        assert_eq!((node.starts_of("succeeds"), node.starts_of("fails-once"), node.starts_of("waits")), (1, 2, 1));
    })
    .await;
}

#[tokio::test]
async fn of_a_pruned_queue_what_runs_ends_and_what_waits_goes_on_when_it_is_back() {
    in_namespace("gitops-pruned-queue", async |ns| {
        let node = ns.fake_node();
        ns.create(&task_type("work")).await;
        let _operator = ns.operator(&[]).await;
        let queue = manifest("TaskQueue", "one-at-a-time", json!({"capacity": {"tasks": 1}}));
        ns.apply(queue.clone()).await.expect("accepted");
        node.script("runs", [Outcome::Hold]);
        let task = |name: &str| manifest("Task", name, json!({"type": "work", "queue": "one-at-a-time"}));
        ns.apply(task("runs")).await.expect("accepted");
        started(&node, "runs", 1).await;
        ns.apply(task("waits")).await.expect("accepted");
        ns.queues().delete("one-at-a-time", &DeleteParams::background()).await.expect("deleted");
        ns.task_when("waits", "misses its queue", |_, status| status.reason == Reason::QueueMissing).await;
        node.end("runs", Outcome::succeed());
        ns.task_in("runs", State::Completed).await;
        assert_eq!(node.starts_of("waits"), 0);
        ns.apply(queue).await.expect("accepted");
        ns.task_in("waits", State::Completed).await;
    })
    .await;
}
