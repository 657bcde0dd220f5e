//! Slots that are given back with nothing counted: to whom they go, and for how long nobody else gets one.

use std::time::Duration;

use harness::*;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::json;
use task_manager::api::{Reason, State, Task, TaskStatus};

use crate::stage::{started, status};

/// How long the only slot may take to go through twenty tasks, each of which has it for a second or two.
const A_ROUND: Duration = Duration::from_secs(150);

fn was_given_back(status: &TaskStatus) -> bool {
    status.state == State::Queued && status.reason == Reason::Unschedulable && status.given_back > 0
}

/// An autoscaler says so about the pod.
async fn says(ns: &Namespace, pod: &Pod, reason: &str) {
    let now = jiff::Timestamp::now().to_string();
    let event: Event = serde_json::from_value(json!({
        "metadata": {"name": format!("{}.{}", pod.name_any(), reason.to_lowercase()), "namespace": ns.name},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid(), "namespace": ns.name},
        "reason": reason, "message": format!("it said {reason}"), "type": "Normal", "count": 1,
        "firstTimestamp": now, "lastTimestamp": now, "source": {"component": "cluster-autoscaler"},
    }))
    .expect("an event");
    ns.api::<Event>().create(&PostParams::default(), &event).await.expect("created");
}

#[tokio::test]
async fn twenty_tasks_that_no_node_takes_leave_the_only_slot_to_a_good_one() {
    in_namespace("starving", async |ns| {
        let node = ns.fake_node();
        ns.create(&task_type("work")).await;
        ns.create(&task_queue("default", 1)).await;
        let bad: Vec<String> = (0..20).map(|number| format!("bad-{number}")).collect();
        for name in &bad {
            node.script(name, std::iter::repeat_n(Outcome::Unschedulable, 20));
            ns.create(&task(name)).await;
        }
        ns.create(&task("good")).await;
        let tasks = ns.record::<Task>().await;
        let operator = ns.operator(&["--unschedulable-seconds", "1"]).await;
        ns.task_within(A_ROUND, "good", "completes", |_, status| status.state == State::Completed).await;
        let mut turns: Vec<String> = vec![];
        for seen in tasks.seen() {
            let task = seen.object;
            let name = task.name_any();
            if status(&task).state == State::Processing && turns.last() != Some(&name) {
                turns.push(name);
            }
        }
        let expected: Vec<String> = bad.iter().cloned().chain(["good".to_owned()]).collect();
        assert_eq!(turns[..21], expected[..], "each has had its turn before");
        let waits = status(&ns.task_when("bad-0", "waits again", |_, status| was_given_back(status)).await);
        let arrival = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<u64>().ok());
        assert!(arrival(&waits.line) > arrival(&waits.arrival), "{waits:?}");
        let message = waits.message.unwrap_or_default();
        assert!(message.contains("Insufficient cpu") && message.contains("tried again from 20"), "{message}");
        let metrics = operator.metrics().await;
        let counted = metrics.value("task_manager_slots_given_back_total", &[("reason", "Unschedulable")]);
        assert!(counted >= Some(20.0), "{counted:?}");
    })
    .await;
}

#[tokio::test]
async fn a_pod_for_which_a_node_is_coming_keeps_its_slot_until_that_is_taken_back() {
    in_namespaces("scale-up", async |ns| {
        let node = ns.fake_node();
        ns.create(&task_type("work")).await;
        ns.create(&task_queue("default", 1)).await;
        let _operator = ns.operator(&["--unschedulable-seconds", "3"]).await;
        node.script("one", [Outcome::Unschedulable, Outcome::Hold]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        let pod = ns.pods_now().await.remove(0);
        says(&ns, &pod, "TriggeredScaleUp").await;
        let told = ns
            .task_when("one", "says that a node is coming", |_, status| {
                status.message.as_ref().is_some_and(|message| message.contains("it said TriggeredScaleUp"))
            })
            .await;
        assert_eq!((status(&told).state, status(&told).reason), (State::Processing, Reason::Unschedulable));
        stays("it keeps its slot", Duration::from_secs(5), async || {
            status(&ns.task("one").await).state == State::Processing
        })
        .await;
        says(&ns, &pod, "NotTriggerScaleUp").await;
        let back = status(
            &ns.task_within(Duration::from_secs(60), "one", "gives it back", |_, status| was_given_back(status)).await,
        );
        assert_eq!((back.given_back, back.failures, back.disruptions, back.attempts.len()), (1, 0, 0, 0));
    })
    .await;
}
