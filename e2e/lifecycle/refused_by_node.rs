//! Pods that the kubelet refuses before it makes a container: for good, or because its node is full just then.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;
use task_manager::api::{AttemptOutcome, State, Task};

use e2e::containers::work;
use e2e::told::was_told;
use e2e::world::{World, never_again, on_a_node, retry};

const REJECTED: &str = "RejectedByNode";

async fn node(world: &World) -> String {
    let nodes = Api::<Node>::all(world.namespace.client.clone()).list(&ListParams::default()).await.expect("nodes");
    nodes.items[0].name_any()
}

fn created(pod: &Pod) -> i64 {
    pod.metadata.creation_timestamp.as_ref().expect("a time").0.as_second()
}

#[tokio::test]
async fn a_sysctl_that_the_node_forbids_fails_for_good_after_one_attempt() {
    on_a_node("sysctl", async |world| {
        let tasks = world.namespace.record::<Task>().await;
        let task = world
            .script_with("task", "true", |kind| {
                let sysctl = json!({"name": "kernel.msgmax", "value": "65536"});
                kind.template["spec"]["securityContext"] = json!({"sysctls": [sysctl]});
                let retry = retry(kind);
                (retry.limit, retry.max_seconds) = (Some(3), Some(4));
            })
            .await;
        let status = world.ends(&task, State::Failed).await;
        assert_eq!((status.reason.to_string().as_str(), status.attempt), (REJECTED, 1), "{:?}", status.message);
        let message = status.message.expect("a message");
        assert!(message.contains(r#"forbidden sysctl: "kernel.msgmax" not allowlisted"#), "{message}");
        assert!(!message.contains("Pod was rejected"), "{message}");
        assert_eq!(world.pods_of(&task).len(), 1);
        assert!(!was_told(&tasks, &task, "Evicted"));
    })
    .await;
}

#[tokio::test]
async fn a_full_node_is_tried_again_uncounted_and_after_longer_and_longer_pauses() {
    on_a_node("full-node", async |world| {
        let tasks = world.namespace.record::<Task>().await;
        let node = node(world).await;
        let task = world
            .script_with("task", "true", |kind| {
                never_again(kind);
                kind.defaults.retry = None;
                // Past the scheduler, which would say that there is no room.
                kind.template["spec"]["nodeName"] = node.into();
                kind.defaults.resources = None;
                work(kind)["resources"] = json!({"requests": {"cpu": "64"}, "limits": {"memory": "32Mi"}});
            })
            .await;
        let enough = |status: &task_manager::api::TaskStatus| status.disruptions >= 3 || status.state.is_final();
        let status = world.until(&task, "was refused three times", enough).await;
        assert!(!status.state.is_final(), "{}: {:?}", status.reason, status.message);
        assert_eq!(status.failures, 0);
        for attempt in &status.attempts {
            let found = (attempt.outcome, attempt.reason.to_string());
            assert_eq!(found, (AttemptOutcome::Disrupted, REJECTED.to_owned()), "{:?}", attempt.message);
            assert!(attempt.message.as_deref().unwrap_or_default().contains("cpu"), "{:?}", attempt.message);
        }
        let pods: Vec<i64> = world.pods_of(&task).iter().map(|seen| created(&seen.object)).collect();
        let pauses: Vec<i64> = pods.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.is_sorted() && pauses[0] >= 5, "tried again after {pauses:?} s");
        let within_a_minute = pods.iter().filter(|made| **made - pods[0] < Duration::from_secs(60).as_secs() as i64);
        assert!(within_a_minute.count() < 5, "tried again after {pauses:?} s");
        assert!(!was_told(&tasks, &task, "Evicted"));

        world.change(&task, json!({"cancel": true})).await;
        world.ends(&task, State::Cancelled).await;
    })
    .await;
}
