//! Tasks that cannot start yet, or never: each says why, and holds back nobody.

use harness::*;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use task_manager::api::{Maximum, Priority, Reason, State, Task, TaskStatus};

use crate::stage::{manifest, object_version, seen_waiting, set, started, status, told, version};

#[tokio::test]
async fn a_task_waits_for_its_type_and_goes_on_when_that_appears() {
    in_namespace("no-type", async |ns| {
        let _node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        ns.create(&task("one")).await;
        let waits =
            ns.task_when("one", "names what is missing", |_, status| status.reason == Reason::TypeMissing).await;
        assert!(status(&waits).message.is_some_and(|message| message.contains("work")));
        assert_eq!((condition(&waits, "Reconciling"), condition(&waits, "Stalled")), (Some("True"), None));
        ns.create(&task_type("work")).await;
        ns.task_in("one", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_task_waits_for_its_queue_and_goes_on_when_that_appears() {
    in_namespace("no-queue", async |ns| {
        let (_node, _operator) = set(&ns, &[]).await;
        ns.create(&task("one").with(|spec| spec.queue = "nightly".into())).await;
        ns.create(&task("free")).await;
        let waits =
            ns.task_when("one", "names what is missing", |_, status| status.reason == Reason::QueueMissing).await;
        assert!(status(&waits).message.is_some_and(|message| message.contains("nightly")));
        ns.task_in("free", State::Completed).await;
        ns.create(&task_queue("nightly", 1)).await;
        ns.task_in("one", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_type_that_goes_while_its_task_runs_does_not_end_the_task() {
    in_namespace("type-gone", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one")).await;
        crate::stage::started(&node, "one", 1).await;
        ns.types().delete("work", &DeleteParams::default()).await.expect("deleted");
        node.end("one", Outcome::succeed());
        ns.task_in("one", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_task_that_fails_after_its_type_has_gone_tells_of_both() {
    in_namespace("type-gone-failed", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        ns.types().delete("work", &DeleteParams::default()).await.expect("deleted");
        node.end("one", Outcome::exit(7));
        let waits = ns.task_when("one", "says so", |_, status| status.reason == Reason::TypeMissing).await;
        let message = status(&waits).message.unwrap_or_default();
        assert!(message.contains("create it") && message.contains("attempt 1: ExitCode"), "{message}");
        ns.create(&task_type("work")).await;
        ns.task_in("one", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_type_that_cannot_be_used_is_named_and_can_be_repaired() {
    in_namespace("bad-type", async |ns| {
        let _node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        let with = |container: serde_json::Value| {
            manifest("TaskType", "work", json!({"template": {"spec": {"containers": [container]}}}))
        };
        ns.apply(with(json!({"name": "work", "image": "busybox", "comand": ["true"]}))).await.expect("accepted");
        ns.create(&task("one")).await;
        ns.task_when("one", "names the typing error", |_, status| {
            status.reason == Reason::TypeNotReady
                && status.message.as_ref().is_some_and(|message| message.contains("comand"))
        })
        .await;
        ns.apply(with(json!({"name": "work", "image": "busybox", "env": [{"name": "TASK_ID", "value": "mine"}]})))
            .await
            .expect("accepted");
        ns.task_when("one", "names the variable that is not the type's to set", |_, status| {
            status.message.as_ref().is_some_and(|message| message.contains("TASK_ID"))
        })
        .await;
        ns.apply(with(json!({"name": "work", "image": "busybox"}))).await.expect("accepted");
        ns.task_in("one", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_job_that_a_quota_refuses_gives_its_slot_back_and_says_why() {
    in_namespace("refused", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = set(&ns, &[]).await;
        let mut none = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-jobs"},
            "spec": {"hard": {"count/jobs.batch": "0"}}});
        ns.create_raw(none.clone()).await.expect("accepted");
        // The quota controller's part.
        none["status"] = json!({"hard": {"count/jobs.batch": "0"}, "used": {"count/jobs.batch": "0"}});
        let quotas = ns.api::<ResourceQuota>();
        quotas.patch_status("no-jobs", &PatchParams::default(), &Patch::Merge(none)).await.expect("accepted");
        for name in ["one", "two"] {
            ns.create(&task(name)).await;
        }
        for name in ["one", "two"] {
            let waits = ns
                .task_when(name, "says why", |_, status| {
                    status.state == State::Queued && status.reason == Reason::QuotaExceeded
                })
                .await;
            let told = status(&waits);
            assert!(told.message.is_some_and(|message| message.contains("no-jobs")));
            assert_eq!((told.attempt, told.failures, told.disruptions, told.admitted), (0, 0, 0, None));
            assert!(told.next_attempt_at.is_some());
        }
        assert_eq!(node.starts().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_a_type_does_not_allow_fails_at_once_with_the_sentence() {
    in_namespace("maximum", async |ns| {
        let node = ns.fake_node();
        ns.create(&task_type("work").with(|spec| {
            spec.maximum = Maximum {
                payload_bytes: Some(20),
                priority: Some(Priority::High),
                timeout_seconds: Some(60),
                ..Maximum::default()
            };
        }))
        .await;
        let _operator = ns.operator(&[]).await;
        let small = serde_json::from_value(json!({"a": 1})).expect("an object");
        let plain = |name: &str| {
            task(name).with(|spec| spec.payload = Some(serde_json::from_value(json!({"a": 1})).expect("an object")))
        };
        ns.create(&task("large").with(|spec| {
            spec.payload = Some(serde_json::from_value(json!({"text": "x".repeat(20)})).expect("an object"))
        }))
        .await;
        ns.create(&plain("urgent").with(|spec| spec.priority = Some(Priority::Critical))).await;
        ns.create(&plain("slow").with(|spec| spec.timeout_seconds = Some(61))).await;
        ns.create(&plain("greedy").with(|spec| {
            spec.resources =
                Some(serde_json::from_value(json!({"limits": {"nvidia.com/gpu": "1"}})).expect("resources"));
        }))
        .await;
        ns.create(&plain("modest").with(|spec| spec.payload = Some(small))).await;
        for (name, reason, words) in [
            ("large", Reason::PayloadTooLarge, "the payload has 31 bytes as compact JSON; type work allows 20"),
            ("urgent", Reason::AboveMaximum, "spec.priority is above high"),
            ("slow", Reason::AboveMaximum, "spec.timeoutSeconds is above 60"),
            ("greedy", Reason::AboveMaximum, "nvidia.com/gpu"),
        ] {
            let failed = status(&ns.task_in(name, State::Failed).await);
            assert_eq!((failed.reason, failed.attempt), (reason, 0), "{name}");
            assert!(
                failed.message.as_ref().is_some_and(|message| message.contains(words)),
                "{name}: {:?}",
                failed.message
            );
        }
        ns.task_in("modest", State::Completed).await;
        assert_eq!(node.starts().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_task_too_large_for_its_queue_is_stalled_and_holds_back_nobody() {
    in_namespace("too-large", async |ns| {
        ns.apply(manifest("TaskQueue", "default", json!({"capacity": {"resources": {"cpu": 1}}})))
            .await
            .expect("accepted");
        let (_node, _operator) = set(&ns, &[]).await;
        let large = serde_json::from_value(json!({"requests": {"cpu": 2}})).expect("resources");
        ns.create(&task("large").with(|spec| {
            spec.priority = Some(Priority::Critical);
            spec.resources = Some(large);
        }))
        .await;
        ns.create(&task("small")).await;
        ns.task_in("small", State::Completed).await;
        let stalled = ns.task_when("large", "says so", |_, status| status.reason == Reason::TooLargeForQueue).await;
        assert_eq!((condition(&stalled, "Stalled"), status(&stalled).state), (Some("True"), State::Queued));
        ns.apply(manifest("TaskQueue", "default", json!({"capacity": {"resources": {"cpu": 2}}})))
            .await
            .expect("accepted");
        ns.task_in("large", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_task_that_waits_its_turn_is_not_written_to() {
    in_namespace("untouched", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, mut operator) = set(&ns, &[]).await;
        node.script("first", [Outcome::Hold]);
        ns.create(&task("first")).await;
        crate::stage::started(&node, "first", 1).await;
        let waits = ns.create(&task("waits")).await;
        operator.crash().await;
        stays("it is as it was created", A_MOMENT, async || {
            version(&ns.task("waits").await.metadata) == version(&waits.metadata)
        })
        .await;
        node.end("first", Outcome::succeed());
        let done = ns.task_in("waits", State::Completed).await;
        assert_eq!(status(&done).arrival.as_deref(), waits.metadata.resource_version.as_deref());
    })
    .await;
}

#[tokio::test]
async fn a_queued_task_that_somebody_writes_to_keeps_its_arrival() {
    in_namespace("arrival", async |ns| {
        ns.create(&task_queue("default", 1).with(|spec| spec.suspend = true)).await;
        let (_node, operator) = set(&ns, &[]).await;
        let created = ns.create(&task("one")).await;
        // The operator must have seen it before the change, or the change is its arrival.
        seen_waiting(&operator, 1).await;
        let label = json!({"metadata": {"labels": {"team": "docs"}}});
        ns.tasks().patch("one", &PatchParams::default(), &Patch::Merge(label)).await.expect("accepted");
        let kept = ns.task_when("one", "has its arrival in its status", |_, status| status.arrival.is_some()).await;
        assert_eq!(status(&kept).arrival.as_deref(), created.metadata.resource_version.as_deref());
    })
    .await;
}

#[tokio::test]
async fn a_finished_task_that_is_applied_again_unchanged_stays_finished() {
    in_namespace("reapplied", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let written = manifest(
            "Task",
            "one",
            json!({"type": "work", "payload": {"n": 1}, "resources": {"requests": {"cpu": 1}}}),
        );
        ns.apply(written.clone()).await.expect("accepted");
        let done = ns.task_in("one", State::Completed).await;
        for _ in 0..3 {
            let again = ns.apply(written.clone()).await.expect("accepted");
            assert_eq!(object_version(&again), version(&done.metadata));
        }
        stays("nothing is written", A_MOMENT, async || {
            version(&ns.task("one").await.metadata) == version(&done.metadata)
        })
        .await;
        assert_eq!((node.starts().len(), ns.jobs_now().await.len()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_change_that_matters_no_more_is_noted_and_changes_nothing() {
    in_namespace("too-late", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        ns.create(&task("one")).await;
        ns.task_in("one", State::Completed).await;
        ns.patch_task("one", json!({"cancel": true, "timeoutSeconds": 5})).await.expect("accepted");
        let seen = ns.task_when("one", "has seen the change", |_, status| status.observed_generation == 2).await;
        assert_eq!(status(&seen).state, State::Completed, "final is final");
        assert_eq!(node.starts().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn in_a_namespace_that_is_being_deleted_nothing_is_begun_or_retried() {
    in_namespace("ending", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        ns.create(&task("two")).await;
        seen_waiting(&operator, 1).await;
        let spaces = Api::<Namespace>::all(ns.client.clone());
        spaces.delete(&ns.name, &DeleteParams::background()).await.expect("deleted");
        eventually("the operator has seen it", SOON, async || {
            operator.logged().contains("a namespace is being deleted").then_some(())
        })
        .await;
        node.end("one", Outcome::exit(1));
        stays("nothing is begun", A_MOMENT, async || {
            let (one, two) = (ns.task("one").await, ns.task("two").await);
            told(&one) == ("Processing".into(), Reason::Admitted, 1) && status(&two).state == State::Queued
        })
        .await;
        assert_eq!((node.starts().len(), ns.jobs_now().await.len()), (1, 1));
        // Nobody deletes what is in the namespace here, as where an API of the cluster does not answer.
        for (name, state) in [("one", State::Processing), ("two", State::Queued)] {
            let says_so = |_: &Task, status: &TaskStatus| status.reason == Reason::NamespaceTerminating;
            let told = ns.task_when(name, "says that its namespace goes", says_so).await;
            assert_eq!(status(&told).state, state);
        }
    })
    .await;
}
