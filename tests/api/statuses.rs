//! The statuses of types and queues, and the events.

use harness::*;
use k8s_openapi::api::core::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use task_manager::api::{Condition, Priority, Reason, State, TaskType};

use crate::stage::{manifest, set, started};

async fn type_ready(ns: &Namespace, name: &str, what: &str, is_so: impl Fn(&Condition) -> bool) -> Condition {
    eventually(&format!("type {name}: {what}"), SOON, async || {
        let task_type: TaskType = ns.types().get(name).await.ok()?;
        let status =
            task_type.status.filter(|status| Some(status.observed_generation) == task_type.metadata.generation)?;
        status.conditions.into_iter().find(|seen| seen.type_ == "Ready" && is_so(seen))
    })
    .await
}

#[tokio::test]
async fn a_type_says_whether_it_can_be_used_and_why_not() {
    in_namespace("type-status", async |ns| {
        let _node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        ns.create(&task_type("work")).await;
        type_ready(&ns, "work", "is ready", |ready| ready.status == "True").await;
        let with = |container: serde_json::Value| {
            manifest("TaskType", "bad", json!({"template": {"spec": {"containers": [container]}}}))
        };
        for (container, words) in [
            (json!({"name": "Not A Name", "image": "busybox"}), "Not A Name"),
            (json!({"name": "work", "image": "busybox", "comand": ["true"]}), "comand"),
            (
                json!({"name": "work", "image": "busybox", "resources": {"requests": {"cpu": "lots"}}}),
                "quantities must match",
            ),
            (
                json!({"name": "work", "image": "busybox", "volumeMounts": [{"name": "x", "mountPath": "/task/mine"}]}),
                "/task",
            ),
        ] {
            ns.apply(with(container)).await.expect("accepted");
            let said = type_ready(&ns, "bad", "says that it is not", |ready| ready.status == "False").await;
            assert!(said.message.contains(words), "{words}: {}", said.message);
            assert_eq!(said.reason, Reason::TypeNotReady.as_str());
        }
        ns.create(&task("one").with(|spec| spec.type_ = "bad".into())).await;
        ns.task_when("one", "waits for its type", |_, status| status.reason == Reason::TypeNotReady).await;
        ns.apply(with(json!({"name": "work", "image": "busybox"}))).await.expect("accepted");
        type_ready(&ns, "bad", "is ready", |ready| ready.status == "True").await;
        ns.task_in("one", State::Completed).await;
        assert!(ns.pods_now().await.len() == 1, "the checks made no pods");
    })
    .await;
}

#[tokio::test]
async fn a_queue_tells_what_waits_and_what_runs_in_it() {
    in_namespace("queue-status", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::Hold);
        for (name, priority) in [
            ("first", Priority::High),
            ("second", Priority::Low),
            ("third", Priority::Low),
            ("fourth", Priority::Normal),
        ] {
            ns.create(&task(name).with(|spec| spec.priority = Some(priority))).await;
            if name == "first" {
                started(&node, name, 1).await;
            }
        }
        eventually("the queue tells", SOON, async || {
            let status = ns.queues().get("default").await.ok()?.status?;
            let by = &status.by_priority;
            let told = (status.running, status.queued, by.critical, by.high, by.normal, by.low);
            (told == (1, 3, 0, 0, 1, 2) && status.conditions[0].status == "True").then_some(())
        })
        .await;
        let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
        ns.queues().patch("default", &PatchParams::default(), &suspend).await.expect("accepted");
        eventually("it says that it is held", SOON, async || {
            let status = ns.queues().get("default").await.ok()?.status?;
            (status.observed_generation == 2 && status.conditions[0].status == "False").then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_task_with_the_longest_name_there_is_has_its_event() {
    in_namespace("long-name", async |ns| {
        let (_node, _operator) = set(&ns, &[]).await;
        let long = "nightly-reconciliation-of-all-ledgers.".repeat(7)[..252].to_owned() + "x";
        ns.create(&task(&long).with(|spec| spec.type_ = "missing".into())).await;
        let event = eventually("its event is there", SOON, async || {
            ns.api::<Event>().list(&ListParams::default()).await.ok()?.items.pop()
        })
        .await;
        assert_eq!((event.involved_object.name.as_deref(), long.len()), (Some(&*long), 253), "it regards the task");
        let described = ns.kubectl(&["describe", "task", &long]).await;
        assert!(String::from_utf8_lossy(&described.stdout).contains("TypeMissing"), "kubectl describe shows it");
    })
    .await;
}

#[tokio::test]
async fn events_tell_what_went_wrong_and_nothing_else() {
    in_namespace("events", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("flaky", [Outcome::exit(7), Outcome::succeed()]);
        ns.create(&task("good")).await;
        ns.create(&task("flaky")).await;
        ns.create(&task("lost").with(|spec| spec.type_ = "missing".into())).await;
        ns.task_in("good", State::Completed).await;
        ns.task_in("flaky", State::Completed).await;
        ns.task_when("lost", "says why it waits", |_, status| status.reason == Reason::TypeMissing).await;
        let told = eventually("both events are there", SOON, async || {
            let events = ns.api::<Event>().list(&ListParams::default()).await.ok()?.items;
            (events.len() >= 2).then_some(events)
        })
        .await;
        let mut told: Vec<_> = told
            .iter()
            .map(|event| {
                let name = event.involved_object.name.clone().unwrap_or_default();
                (name, event.reason.clone().unwrap_or_default(), event.type_.clone().unwrap_or_default())
            })
            .collect();
        told.sort();
        let warning = |name: &str, reason: &str| (name.to_owned(), reason.to_owned(), "Warning".to_owned());
        assert_eq!(told, [warning("flaky", "ExitCode"), warning("lost", "TypeMissing")]);
        let described = ns.kubectl(&["describe", "task", "flaky"]).await;
        assert!(String::from_utf8_lossy(&described.stdout).contains("exit code 7"), "kubectl describe shows it");
    })
    .await;
}

#[tokio::test]
async fn an_event_that_somebody_deleted_is_told_anew() {
    in_namespace("events-deleted", async |ns| {
        let (_node, _operator) = set(&ns, &[]).await;
        ns.create(&task("lost").with(|spec| spec.type_ = "missing".into())).await;
        let told = async || {
            let events = ns.api::<Event>().list(&ListParams::default()).await.ok()?.items;
            events.into_iter().find(|event| event.reason.as_deref() == Some("TypeMissing"))
        };
        let first = eventually("it is told", SOON, told).await;
        let all = kube::api::DeleteParams::default();
        ns.api::<Event>().delete(first.metadata.name.as_deref().unwrap_or_default(), &all).await.expect("deleted");
        for (suspend, reason) in [(true, Reason::Suspended), (false, Reason::TypeMissing)] {
            ns.patch_task("lost", json!({"suspend": suspend})).await.expect("accepted");
            ns.task_when("lost", "says so", |_, status| status.reason == reason).await;
        }
        let second = eventually("it is told anew", SOON, told).await;
        assert_ne!(second.metadata.uid, first.metadata.uid);
    })
    .await;
}

#[tokio::test]
async fn times_depths_and_amounts_beyond_what_is_usual_stop_nobody() {
    in_namespace("odd", async |ns| {
        let (_node, _operator) = set(&ns, &[]).await;
        for (name, time) in [("far", "9999-12-31T23:59:59Z"), ("fine", "2020-01-01T00:00:00.123456789123Z")] {
            let written = manifest("Task", name, json!({"type": "work", "startAfter": time}));
            ns.create_raw(written).await.unwrap_or_else(|error| panic!("{time}: {error}"));
        }
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        ns.create_raw(manifest("Task", "deep", json!({"type": "work", "payload": {"deep": deep}}))).await.expect("accepted");
        let huge = json!({"type": "work", "resources": {"requests": {"cpu": "1000", "memory": "1e30"}, "limits": {"memory": 9_223_372_036_854_775_807_i64}}});
        ns.create_raw(manifest("Task", "huge", huge)).await.expect("accepted");
        ns.create(&task("plain")).await;
        for name in ["plain", "deep", "fine"] {
            ns.task_in(name, State::Completed).await;
        }
    })
    .await;
}
