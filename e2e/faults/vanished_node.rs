//! A node that does not answer any more: its kubelet has ended, and what ran there may go on unseen.

use std::time::Duration;

use e2e::gate::{Gate, HELD};
use e2e::parts::stop;
use e2e::warm::{ONCE_AT_A_TIME, Workers, assert_once_at_a_time, pool_of_agents, warm_type, with_workers};
use e2e::world::{A_TASK, World, never_again};
use harness::{Cluster, Seen, eventually, stays};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::{AttemptOutcome, Reason, Task, TaskTypeSpec};

use super::spare_node::SpareNode;
use super::{can_be_used_again, is_ready, node, on_a_fragile_node};

/// A pod that is still there so long after it should be gone is given up.
const LOST_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// The old pods' last words come within this time, if at all.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Pods of this type are to leave a node soon after it stopped answering; not so soon that they leave one that is
/// just coming back.
fn leaves_soon(kind: &mut TaskTypeSpec) {
    never_again(kind);
    pods_leave_soon(&mut kind.template);
}

fn pods_leave_soon(template: &mut Value) {
    let leaves = |taint: &str| json!({"key": format!("node.kubernetes.io/{taint}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 15});
    template["spec"]["tolerations"] = json!([leaves("unreachable"), leaves("not-ready")]);
}

#[tokio::test]
async fn tasks_of_a_vanished_node_are_retried_uncounted_and_their_old_pods_are_ignored() {
    on_a_fragile_node("vanished", async |world| {
        let _spare = SpareNode::new(&world.namespace.client).await;
        let gate = Gate::new(&world.namespace);
        let on_gate = |kind: &mut TaskTypeSpec| {
            leaves_soon(kind);
            gate.on(kind);
        };
        let goes_on = world.script_with("goes-on", "[ $TASK_ATTEMPT -gt 1 ] || sleep 3000", on_gate).await;
        let ends_unseen = format!(
            "echo attempt $TASK_ATTEMPT > $TASK_RESULT_FILE; [ $TASK_ATTEMPT -gt 1 ] || {{ {HELD}; touch /gate/ended; }}"
        );
        let ends = world.script_with("ends", &ends_unseen, on_gate).await;
        let tasks = [goes_on, ends];
        for task in &tasks {
            world.runs(task).await;
        }

        let vanished = stop("kubelet");
        gate.open("ends");
        gate.shows("ended").await;
        for task in &tasks {
            let status = world.until(task, "was lost with its node", |status| status.disruptions == 1).await;
            assert!(!status.state.is_final() && status.failures == 0, "{status:?}");
            let first = &status.attempts[0];
            assert_eq!((first.outcome, first.reason), (AttemptOutcome::Disrupted, Reason::NodeLost), "{:?}", first.message);
            world.until(task, "waits for a node", |status| status.reason == Reason::Unschedulable).await;
        }
        let due_gone = tasks.each_ref().map(|task| due_gone(&world.pods_of(task)[0]));
        assert!(!is_ready(&node(&world.namespace.client).await.expect("the node")), "its node still does not answer");
        vanished.mend();

        for (task, due_gone) in tasks.iter().zip(due_gone) {
            let status = world.completes(task).await;
            assert_eq!((status.attempt, status.failures, status.disruptions), (2, 0, 1), "{:?}", status.attempts);
            the_old_pod_goes(world, task).await;
            let created = world.pods_of(task)[1].object.creation_timestamp().expect("a time").0;
            assert!(created > due_gone + LOST_AFTER, "the second pod came at {created}, too early after {due_gone}");
        }
        assert!(!world.operator.logged().contains("ContainerConfig"), "nothing was wrong with the containers");
        assert_eq!(world.status(&tasks[1]).await.result, Some(json!("attempt 2")));
        stays("nothing changes by what the old pods leave", LAST_WORDS, async || {
            world.status(&tasks[0]).await.attempts.len() == 2 && world.status(&tasks[1]).await.attempts.len() == 2
        })
        .await;
        assert_eq!(world.namespace.jobs_now().await.len(), 2);
    })
    .await;
}

/// Its work goes on until the gate is open, or in its first attempt for ever.
const WARM: &str = r#"case $TASK_NAME in
ends) until [ -e /gate/ends ]; do sleep 0.5; done ;;
*) [ $TASK_ATTEMPT -gt 1 ] || sleep 3000 ;;
esac"#;

#[tokio::test]
async fn workers_of_a_vanished_node_hand_in_what_they_can_and_the_rest_is_retried_uncounted() {
    can_be_used_again().await;
    with_workers(Cluster::FragileNode, "warm-vanished", async |world| {
        let _spare = SpareNode::new(&world.namespace.client).await;
        let gate = Gate::new(&world.namespace);
        let mut warm = pool_of_agents(world, 2, 2, &format!("{ONCE_AT_A_TIME} {WARM}")).await;
        gate.on_template(&mut warm.spec.template);
        pods_leave_soon(&mut warm.spec.template);
        let workers = Workers::record(&world.namespace).await;
        world.namespace.create(&warm).await;
        world.namespace.create(&warm_type("work", 0)).await;
        let (ends, goes_on) = (world.task("ends").await, world.task("goes-on").await);
        eventually("both have begun", A_TASK, async || (gate.lines("began").len() == 2).then_some(())).await;

        let vanished = stop("kubelet");
        let old: Vec<String> = workers.all().iter().map(|seen| seen.object.name_any()).collect();
        eventually("both pods are to go", A_TASK, async || {
            workers.all().iter().all(|seen| seen.object.metadata.deletion_timestamp.is_some()).then_some(())
        })
        .await;
        gate.open("ends");
        let status = world.completes(&ends).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "its worker still speaks to us");
        let status = world.until(&goes_on, "was lost with its node", |status| status.disruptions == 1).await;
        let first = &status.attempts[0];
        assert_eq!((first.outcome, first.reason, status.failures), (AttemptOutcome::Disrupted, Reason::WorkerLost, 0));
        assert!(!is_ready(&node(&world.namespace.client).await.expect("the node")), "its node still does not answer");
        vanished.mend();

        let status = world.completes(&goes_on).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (2, 0, 1), "{:?}", status.attempts);
        eventually("the old pods are gone", A_TASK, async || {
            let gone = |seen: &Seen<Pod>| seen.deleted || !old.contains(&seen.object.name_any());
            workers.all().iter().all(gone).then_some(())
        })
        .await;
        assert_eq!(assert_once_at_a_time(&gate).len(), 3);
        assert_eq!(workers.status().await.restarts, 0, "no worker had a fault");
    })
    .await;
}

async fn the_old_pod_goes(world: &World, task: &Task) {
    eventually(&format!("the old pod of {} is gone", task.name_any()), A_TASK, async || {
        world.pods_of(task).first()?.deleted.then_some(())
    })
    .await;
    assert_eq!(world.pods_of(task).len(), 2);
}

/// When it should be gone at the latest, its grace included. A kubelet that comes back asks for its deletion anew.
fn due_gone(pod: &Seen<Pod>) -> Timestamp {
    pod.object.metadata.deletion_timestamp.as_ref().expect("it was deleted").0
}
