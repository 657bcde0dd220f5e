//! The ends of attempts, and the effect on their tasks.

use harness::*;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use task_manager::api::{AttemptOutcome, Executor, Reason, State};

use crate::stage::{manifest, seconds, set, started, status, told};

#[tokio::test]
async fn a_task_that_succeeds_keeps_its_result() {
    in_namespaces("result", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("json", [Outcome::result(r#"{"pages": 10}"#)]);
        node.script("text", [Outcome::result("ten pages\n")]);
        let long = "x".repeat(4096);
        node.script("long", [Outcome::result(&long)]);
        for name in ["json", "text", "long", "none"] {
            ns.create(&task(name)).await;
        }
        let result = async |name: &str| status(&ns.task_in(name, State::Completed).await);
        assert_eq!(result("json").await.result, Some(json!({"pages": 10})));
        assert_eq!(result("text").await.result, Some(json!("ten pages")));
        let cut = result("long").await;
        assert_eq!((cut.result, cut.result_truncated), (Some(json!(long)), true));
        let complete = cut.conditions.iter().find(|seen| seen.type_ == "Complete").expect("a condition");
        assert!(complete.message.contains("PUT /worker/v1/result"), "{}", complete.message);
        assert_eq!(result("none").await.result, None);

        let done = result("json").await;
        assert_eq!((done.reason, done.attempt, done.failures), (Reason::Succeeded, 1, 0));
        assert_eq!(done.admitted, None, "its slot is given back");
        assert_eq!(done.attempts.len(), 1);
        assert_eq!((done.attempts[0].outcome, done.attempts[0].exit_code), (AttemptOutcome::Succeeded, Some(0)));
        assert!(done.queued_at <= done.admitted_at && done.started_at <= done.finished_at);
        let waited = ns.kubectl(&["wait", "--for=condition=Complete", "--timeout=5s", "task/json", "task/text"]).await;
        assert!(waited.status.success(), "{waited:?}");
    })
    .await;
}

#[tokio::test]
async fn conditions_and_state_never_contradict_each_other() {
    in_namespaces("kstatus", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let tasks = ns.record::<task_manager::api::Task>().await;
        node.script("good", [Outcome::exit(1), Outcome::succeed()]);
        node.script("bad", [Outcome::exit(1)]);
        node.script("ended", [Outcome::Hold]);
        ns.create(&task("good")).await;
        ns.create(
            &task("bad").with(|spec| spec.retry = Some(serde_json::from_value(json!({"limit": 0})).expect("retry"))),
        )
        .await;
        ns.create(&task("ended")).await;
        ns.task_in("good", State::Completed).await;
        started(&node, "ended", 1).await;
        ns.patch_task("ended", json!({"cancel": true})).await.expect("accepted");
        ns.all_final(SOON).await;
        for seen in tasks.seen() {
            let task = seen.object;
            let states = ["Ready", "Reconciling", "Stalled", "Complete", "Failed", "Cancelled", "Admitted", "Finished"]
                .map(|type_| condition(&task, type_));
            let expected = match status(&task).state {
                State::Queued if status(&task).observed_generation == -1 => {
                    [None, Some("True"), None, None, None, None, None, None]
                }
                State::Queued => [Some("False"), Some("True"), None, None, None, None, Some("False"), None],
                State::Processing => [Some("False"), Some("True"), None, None, None, None, Some("True"), None],
                State::Completed => [Some("True"), None, None, Some("True"), None, None, None, Some("True")],
                State::Failed => {
                    [Some("False"), None, Some("True"), Some("False"), Some("True"), None, None, Some("True")]
                }
                State::Cancelled => {
                    [Some("True"), None, None, Some("False"), Some("False"), Some("True"), None, Some("True")]
                }
            };
            assert_eq!(states, expected, "{} {:?}", task.name_any(), told(&task));
            for condition in &status(&task).conditions {
                assert_eq!(condition.reason, status(&task).reason.as_str(), "one reason on all surfaces");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_may_set_its_resources_as_numbers() {
    in_namespace("numbers", async |ns| {
        let node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        let template = json!({"spec": {"containers": [{"name": "work", "image": "busybox", "resources": {"limits": {"cpu": 2}}}]}});
        ns.apply(manifest("TaskType", "work", json!({"template": template, "maximum": {"resources": {"cpu": 4}}}))).await.expect("accepted");
        ns.apply(manifest("TaskQueue", "default", json!({"capacity": {"resources": {"cpu": 3}}}))).await.expect("accepted");
        ns.apply(manifest("Task", "one", json!({"type": "work", "resources": {"requests": {"cpu": 1}, "limits": {"memory": 67_108_864}}}))).await.expect("accepted");
        node.script("one", [Outcome::Hold]);
        started(&node, "one", 1).await;
        let job = ns.jobs_now().await.remove(0);
        let resources = job.spec.expect("a spec").template.spec.expect("a pod").containers[0].resources.clone().expect("resources");
        let shown = serde_json::to_value(resources).expect("JSON");
        assert_eq!(shown, json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "67108864"}}));
        let held = serde_json::to_value(status(&ns.task_in("one", State::Processing).await).admitted).expect("JSON");
        let held = held["resources"].clone();
        assert_eq!((&held["cpu"], &held["memory"]), (&json!("1"), &json!("64Mi")), "a limit alone is the request");
    })
    .await;
}

#[tokio::test]
async fn what_runs_can_be_told_from_the_status_after_ten_seconds() {
    in_namespace("running", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        for (name, outcome) in [
            ("runs", Outcome::Hold),
            ("pulls", Outcome::Waiting("ImagePullBackOff".into())),
            ("no-room", Outcome::Unschedulable),
            ("no-quota", Outcome::NoPod("pods \"x\" is forbidden: exceeded quota: small".into())),
        ] {
            node.script(name, [outcome]);
            ns.create(&task(name)).await;
        }
        let running = ns.task_when("runs", "says that it runs", |_, status| status.reason == Reason::Running).await;
        assert!(status(&running).worker.is_some() && status(&running).started_at.is_some());
        let pulling = ns
            .task_when("pulls", "says what it waits for", |_, status| status.reason == Reason::ImageUnavailable)
            .await;
        assert_eq!(status(&pulling).state, State::Processing);
        assert!(status(&pulling).message.is_some_and(|message| message.contains("ImagePullBackOff")));
        let unscheduled =
            ns.task_when("no-room", "says what it waits for", |_, status| status.reason == Reason::Unschedulable).await;
        assert!(status(&unscheduled).message.is_some_and(|message| message.contains("Insufficient cpu")));
        let refused = ns
            .task_when("no-quota", "says why it has no pod", |_, status| status.reason == Reason::QuotaExceeded)
            .await;
        assert!(status(&refused).message.is_some_and(|message| message.contains("exceeded quota: small")));
        node.end("runs", Outcome::succeed());
        ns.task_in("runs", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_late_start_fails_for_good_only_where_no_other_try_helps() {
    in_namespaces("start", async |ns| {
        let node = ns.fake_node();
        ns.create(&task_type("work").with(|spec| spec.start_deadline_seconds = Some(2))).await;
        let _operator = ns.operator(&[]).await;
        node.script("misnamed", [Outcome::Waiting("InvalidImageName".into())]);
        node.script("pulls", [Outcome::Waiting("ErrImagePull".into()), Outcome::succeed()]);
        node.script("config", [Outcome::Waiting("CreateContainerConfigError".into()), Outcome::succeed()]);
        node.script("no-room", [Outcome::Unschedulable, Outcome::Hold]);
        for name in ["misnamed", "pulls", "config", "no-room"] {
            ns.create(&task(name)).await;
        }
        let failed = status(&ns.task_in("misnamed", State::Failed).await);
        assert_eq!((failed.reason, failed.attempt, failed.failures), (Reason::ImageUnavailable, 1, 1));
        for (name, reason) in [("pulls", Reason::ImageUnavailable), ("config", Reason::ContainerConfig)] {
            let done = status(&ns.task_in(name, State::Completed).await);
            let counted = (done.attempts[0].reason, done.attempt, done.failures, done.disruptions);
            assert_eq!(counted, (reason, 2, 0, 1));
        }
        let back = ns
            .task_when("no-room", "is back in the queue", |_, status| {
                status.state == State::Queued && status.reason == Reason::Unschedulable
            })
            .await;
        assert_eq!((status(&back).failures, status(&back).disruptions), (0, 0), "nothing is counted");
        assert!(status(&back).admitted.is_none() && status(&back).next_attempt_at.is_some());
        // A slot is free once its pod has ended; the pod itself may go a moment later.
        eventually("no pod is left that has not succeeded", SOON, async || {
            let has_succeeded =
                |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Succeeded"));
            ns.pods_now().await.iter().all(has_succeeded).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_task_goes_when_its_time_to_live_is_over() {
    in_namespaces("ttl", async |ns| {
        let (_node, _operator) = set(&ns, &[]).await;
        ns.create(&task("goes").with(|spec| spec.ttl_seconds_after_finished = Some(1))).await;
        ns.create(&task("stays")).await;
        let done = ns.task_in("goes", State::Completed).await;
        let finished = status(&done).finished_at.expect("a time").0;
        eventually("the task is deleted", SOON, async || {
            ns.tasks().get_opt("goes").await.ok()?.is_none().then_some(())
        })
        .await;
        assert!(jiff::Timestamp::now() >= finished + SignedDuration::from_secs(1), "not before its time");
        eventually("its Job or pod goes with it", SOON, async || (ns.launched_now().await.len() == 1).then_some(()))
            .await;
        stays("the other task stays", A_MOMENT, async || {
            ns.tasks().get_opt("stays").await.is_ok_and(|task| task.is_some())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_finished_tasks_job_or_pod_is_kept_for_its_logs_and_then_removed() {
    in_namespaces("kept", async |ns| {
        let (_node, _operator) = set(&ns, &["--keep-finished-seconds", "2"]).await;
        ns.create(&task("one")).await;
        let finished = status(&ns.task_in("one", State::Completed).await).finished_at.expect("a time").0;
        assert_eq!(ns.launched_now().await.len(), 1);
        eventually("it is removed", SOON, async || ns.launched_now().await.is_empty().then_some(())).await;
        assert!(jiff::Timestamp::now() >= finished + SignedDuration::from_secs(2), "not before its time");
        eventually("and its pod", SOON, async || ns.pods_now().await.is_empty().then_some(())).await;
        assert_eq!(status(&ns.task("one").await).state, State::Completed);
    })
    .await;
}

#[tokio::test]
async fn a_deleted_tasks_slot_is_free_only_when_its_pod_is_gone() {
    in_namespaces("deleted", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = set(&ns, &[]).await;
        node.script("first", [Outcome::Hold]);
        node.linger("first");
        ns.create(&task("first")).await;
        started(&node, "first", 1).await;
        ns.create(&task("second")).await;
        ns.tasks().delete("first", &DeleteParams::default()).await.expect("deleted");
        eventually("the pod is being ended", SOON, async || {
            ns.pods_now().await.iter().any(|pod| pod.metadata.deletion_timestamp.is_some()).then_some(())
        })
        .await;
        stays("the second waits for the first one's pod", A_MOMENT, async || node.starts_of("second") == 0).await;
        node.let_go("first");
        ns.task_in("second", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn the_payload_reaches_the_pod_and_the_tasks_labels_do_not() {
    in_namespaces("payload", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        let mut one = task("one").with(|spec| {
            spec.payload = Some(serde_json::from_value(json!({"b": [1, null, "ü"], "a": 1.5})).expect("an object"))
        });
        one.labels_mut().insert("team".into(), "docs".into());
        one.annotations_mut().insert("sidecar.istio.io/inject".into(), "true".into());
        ns.create(&one).await;
        started(&node, "one", 1).await;
        let pod = ns.pods_now().await.remove(0);
        let payload: Value = serde_json::from_str(&pod.annotations()["taskmanager.dev/payload"]).expect("JSON");
        assert_eq!(payload, json!({"b": [1, null, "ü"], "a": 1.5}));
        assert!(!pod.labels().contains_key("team") && !pod.annotations().contains_key("sidecar.istio.io/inject"));
    })
    .await;
}

#[tokio::test]
async fn a_job_or_bare_pod_that_somebody_deletes_costs_no_counted_failure() {
    in_namespaces("job-deleted", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold, Outcome::succeed()]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        let (name, how) = (ns.launched_now().await.remove(0), DeleteParams::background());
        let (reason, message) = match executor() {
            Executor::Job => {
                ns.jobs().delete(&name, &how).await.expect("deleted");
                (Reason::JobDeleted, format!("somebody deleted the Job {name}"))
            }
            Executor::Pod | Executor::Pool => {
                ns.pods().delete(&name, &how).await.expect("deleted");
                (Reason::PodDeleted, format!("somebody deleted the pod {name}"))
            }
        };
        let done = status(
            &ns.task_within(seconds(30), "one", "is Completed", |_, status| status.state == State::Completed).await,
        );
        assert_eq!((done.attempt, done.failures, done.disruptions), (2, 0, 1));
        assert_eq!((done.attempts[0].reason, done.attempts[0].message.as_ref()), (reason, Some(&message)));
    })
    .await;
}
