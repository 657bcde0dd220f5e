//! Pods that end in parts, late, or not by themselves; that hang before their work, or that somebody else holds back.

use harness::*;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use task_manager::api::{AttemptOutcome, Executor, Reason, State, Task, TaskTypeSpec};

use crate::stage::{set, started, status};

const ENDED_FOR: &str = "taskmanager.dev/ended-for";

/// A type "work" with a helper beside its work, somebody to run its pods, and an operator.
async fn with_helper(ns: &Namespace, flags: &[&str]) -> (FakeNode, Operator) {
    ns.create(&task_type("work").with(|spec: &mut TaskTypeSpec| {
        let containers = spec.template["spec"]["containers"].as_array_mut().expect("containers");
        containers.push(json!({"name": "helper", "image": "localhost/busybox:1"}));
    }))
    .await;
    let node = ns.fake_node();
    (node, ns.operator(flags).await)
}

async fn only_pod(ns: &Namespace) -> Pod {
    let mut pods = ns.pods_now().await;
    assert_eq!(pods.len(), 1);
    pods.remove(0)
}

fn never_again() -> Option<task_manager::api::Retry> {
    Some(serde_json::from_value(json!({"limit": 0})).expect("retry"))
}

#[tokio::test]
async fn a_helper_that_stays_is_told_and_ended_and_the_slot_held_until_then() {
    in_namespaces("helper-stays", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = with_helper(&ns, &[]).await;
        node.script("well", [Outcome::HelperStays(0)]);
        node.script("badly", [Outcome::HelperStays(3)]);
        node.linger("well");
        ns.create(&task("well")).await;
        started(&node, "well", 1).await;
        ns.create(&task("badly").with(|spec| spec.retry = never_again())).await;
        let told = ns.task_when("well", "says what is left", |_, status| status.reason == Reason::Stopping).await;
        let message = status(&told).message;
        assert_eq!(message.as_deref(), Some("the work ended with 0, container helper still runs"));
        stays("its slot is held", A_MOMENT, async || node.starts_of("badly") == 0).await;
        node.let_go("well");
        let done = status(&ns.task_in("well", State::Completed).await);
        assert_eq!((done.failures, done.disruptions), (0, 0));
        assert_eq!(done.message.as_deref(), Some("container helper had to be ended"));
        let failed = status(&ns.task_in("badly", State::Failed).await);
        assert_eq!((failed.reason, failed.attempts[0].exit_code), (Reason::ExitCode, Some(3)));
        eventually("only that of the work that failed is kept", SOON, async || {
            let there = ns.launched_now().await;
            (there.len() == 1 && there[0].starts_with("badly-")).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn work_whose_time_is_over_is_ended_by_its_node_and_its_pod_says_why() {
    in_namespaces("timeout", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("slow", [Outcome::Hold]);
        ns.create(&task("slow").with(|spec| (spec.retry, spec.timeout_seconds) = (never_again(), Some(12)))).await;
        started(&node, "slow", 1).await;
        // Five seconds before its time is over that is lowered.
        assert_eq!(deadline(&only_pod(&ns).await), Some(612), "bounded by both clocks while nobody looks");
        let failed = status(&ns.task_in("slow", State::Failed).await);
        assert_eq!((failed.reason, failed.failures), (Reason::Timeout, 1));
        assert_eq!(failed.attempts[0].message.as_deref(), Some("ran longer than timeoutSeconds, 12 s"));
        let pod = only_pod(&ns).await;
        assert!((13..=14).contains(&deadline(&pod).expect("a deadline")), "{:?}", pod.spec);
        assert_eq!(ended_for(&pod), Some("Timeout"));
    })
    .await;
}

fn deadline(pod: &Pod) -> Option<i64> {
    pod.spec.as_ref()?.active_deadline_seconds
}

fn ended_for(pod: &Pod) -> Option<&str> {
    pod.annotations().get(ENDED_FOR).map(String::as_str)
}

#[tokio::test]
async fn a_cancelled_pod_is_ended_and_kept_for_its_log_and_not_deleted() {
    in_namespaces("kept", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        ns.patch_task("one", json!({"cancel": true})).await.expect("accepted");
        let ended = status(&ns.task_in("one", State::Cancelled).await);
        assert_eq!((ended.attempts[0].outcome, ended.attempts[0].exit_code), (AttemptOutcome::Cancelled, Some(143)));
        let pod = only_pod(&ns).await;
        assert_eq!((ended_for(&pod), deadline(&pod)), (Some("Cancelled"), Some(1)));
        assert_eq!(pod.metadata.deletion_timestamp, None);
        assert_eq!(ns.launched_now().await.len(), 1);
    })
    .await;
}

/// Has the API server refuse every change of a pod in this namespace, but for its status.
async fn nobody_changes_pods(ns: &Namespace) {
    let group = "admissionregistration.k8s.io/v1";
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": ns.name}});
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"]});
    let policy = json!({"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": ns.name},
        "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false", "message": "pods stay as they are"}]}});
    let binding = json!({"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": ns.name},
        "spec": {"policyName": ns.name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]});
    let file = target().join("test-logs").join(format!("{}-policy.json", ns.name));
    std::fs::write(&file, list.to_string()).expect("a manifest");
    let said = ns.kubectl(&["apply", "--filename", &file.to_string_lossy()]).await;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let pod = only_pod(ns).await.name_any();
    eventually("the policy is in force", SOON, async || {
        let change = Patch::Merge(json!({"metadata": {"annotations": {"tried": "yes"}}}));
        let how = PatchParams { dry_run: true, ..PatchParams::default() };
        ns.pods().patch(&pod, &how, &change).await.is_err().then_some(())
    })
    .await;
}

async fn remove_policy(ns: &Namespace) {
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        ns.kubectl(&["delete", kind, &ns.name, "--wait=false"]).await;
    }
}

#[tokio::test]
async fn a_pod_whose_end_the_api_server_refuses_is_deleted() {
    in_namespaces("end-refused", async |ns| {
        let (node, operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        nobody_changes_pods(&ns).await;
        ns.patch_task("one", json!({"cancel": true})).await.expect("accepted");
        ns.task_in("one", State::Cancelled).await;
        // The task is final when its pod has ended, which is a moment before that is gone.
        eventually("it was deleted", SOON, async || ns.pods_now().await.is_empty().then_some(())).await;
        remove_policy(&ns).await;
        assert!(operator.logged().contains("may not be ended by its deadline"));
    })
    .await;
}

#[tokio::test]
async fn a_refused_pod_fails_for_good_only_where_every_node_would_refuse_it() {
    in_namespaces("refused", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("never", [Outcome::Refused("SysctlForbidden".into())]);
        node.script("full", [Outcome::Refused("OutOfcpu".into()), Outcome::succeed()]);
        let pods = ns.record::<Pod>().await;
        for name in ["never", "full"] {
            ns.create(&task(name)).await;
        }
        let never = status(&ns.task_in("never", State::Failed).await);
        assert_eq!((never.reason, never.attempt, never.failures), (Reason::RejectedByNode, 1, 1));
        let message = never.attempts[0].message.as_deref();
        assert_eq!(message, Some("SysctlForbidden: SysctlForbidden, it said"));
        let done = status(&ns.task_in("full", State::Completed).await);
        let first = (done.attempts[0].outcome, done.attempts[0].reason);
        assert_eq!(
            (first, done.failures, done.disruptions),
            ((AttemptOutcome::Disrupted, Reason::RejectedByNode), 0, 1)
        );
        let second = pods.seen().into_iter().find(|seen| {
            seen.object.name_any().starts_with("full-") && seen.object.labels()["taskmanager.dev/attempt"] == "2"
        });
        let affinity = second.and_then(|seen| seen.object.spec?.affinity);
        let affinity = serde_json::to_string(&affinity).expect("JSON");
        assert!(affinity.contains("fake-node"), "it rather avoids that node: {affinity}");
    })
    .await;
}

#[tokio::test]
async fn a_pull_that_takes_long_is_told_by_its_event_and_given_up_uncounted() {
    in_namespaces("slow-pull", async |ns| {
        let node = ns.fake_node();
        ns.create(&task_type("work").with(|spec| spec.start_deadline_seconds = Some(13))).await;
        let _operator = ns.operator(&[]).await;
        node.script("one", [Outcome::Waiting("ContainerCreating".into()), Outcome::succeed()]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        tells(&ns, &only_pod(&ns).await, "Pulling", "Pulling image \"R/slow:1\"").await;
        let told = ns.task_when("one", "says what it pulls", |_, status| status.reason == Reason::Starting).await;
        let message = status(&told).message.expect("a message");
        assert!(message.starts_with("pulling image R/slow:1 since "), "{message}");
        let done = status(&ns.task_in("one", State::Completed).await);
        let first = &done.attempts[0];
        assert_eq!((first.outcome, first.reason), (AttemptOutcome::Disrupted, Reason::StartTimeout));
        let told = format!("{message}; not started within startDeadlineSeconds, 13 s");
        assert_eq!((first.message.as_deref(), done.failures), (Some(told.as_str()), 0));
    })
    .await;
}

/// The kubelet says so of the work's container.
async fn tells(ns: &Namespace, pod: &Pod, reason: &str, message: &str) {
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).expect("a time").to_string();
    let event: Event = serde_json::from_value(json!({
        "metadata": {"name": format!("{}.{}", pod.name_any(), reason.to_lowercase()), "namespace": ns.name},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid(),
            "namespace": ns.name, "fieldPath": "spec.containers{work}"},
        "reason": reason, "message": message, "type": "Normal", "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        "source": {"component": "kubelet"},
    }))
    .expect("an event");
    ns.api::<Event>().create(&PostParams::default(), &event).await.expect("an event");
}

#[tokio::test]
async fn a_deadline_that_a_stranger_lowers_is_no_timeout_of_the_work() {
    in_namespaces("lowered", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold, Outcome::succeed()]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        let pod = only_pod(&ns).await.name_any();
        let lowered =
            json!({"metadata": {"annotations": {ENDED_FOR: "Timeout"}}, "spec": {"activeDeadlineSeconds": 2}});
        ns.pods().patch(&pod, &PatchParams::default(), &Patch::Merge(lowered)).await.expect("accepted");
        let done = status(&ns.task_in("one", State::Completed).await);
        let first = &done.attempts[0];
        assert_eq!((first.outcome, first.reason), (AttemptOutcome::Disrupted, Reason::PodDeleted));
        let told = "somebody lowered its pod's activeDeadlineSeconds to 2, and that ended it";
        assert_eq!((first.message.as_deref(), done.failures), (Some(told), 0));
    })
    .await;
}

#[tokio::test]
async fn what_somebodys_finalizer_keeps_is_told_until_it_goes() {
    in_namespaces("job-kept", async |ns| {
        ns.create(&task_type("work").with(|spec| spec.start_deadline_seconds = Some(3))).await;
        let (node, _operator) = (ns.fake_node(), ns.operator(&[]).await);
        node.script("one", [Outcome::Waiting("ContainerCreating".into()), Outcome::succeed()]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        let job = node.starts()[0].job.clone();
        let finalizers =
            |kept: Option<&str>| Patch::Merge(json!({"metadata": {"finalizers": kept.map(|one| vec![one])}}));
        let patch = async |finalizers: Patch<serde_json::Value>| {
            let how = PatchParams::default();
            match executor() {
                Executor::Job => ns.jobs().patch(&job, &how, &finalizers).await.map(drop).expect("accepted"),
                Executor::Pod | Executor::Pool => {
                    ns.pods().patch(&job, &how, &finalizers).await.map(drop).expect("accepted")
                }
            }
        };
        patch(finalizers(Some("example.com/keep"))).await;
        let told = ns.task_when("one", "says who", |task, _| condition(task, "HeldUp") == Some("True")).await;
        let why = "not started within startDeadlineSeconds, 3 s";
        let kind = if executor() == Executor::Job { "Job" } else { "pod" };
        let message = status(&told).message.expect("a message");
        assert!(
            message.ends_with(&format!("{why}; the {kind} {job} is kept by the finalizer example.com/keep")),
            "{message}"
        );
        assert_eq!(status(&told).reason, Reason::StartTimeout);
        patch(finalizers(None)).await;
        let done = status(&ns.task_in("one", State::Completed).await);
        assert!(done.attempts[0].message.as_ref().is_some_and(|message| message.ends_with(why)), "{:?}", done.attempts);
    })
    .await;
}

#[tokio::test]
async fn a_probe_that_ended_the_work_is_told_whether_it_ended_well_or_not() {
    in_namespaces("probed", async |ns| {
        ns.create(&task_type("work").with(|spec: &mut TaskTypeSpec| {
            let probe = json!({"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1});
            spec.template["spec"]["containers"][0]["livenessProbe"] = probe;
        }))
        .await;
        let (node, _operator) = (ns.fake_node(), ns.operator(&[]).await);
        for (name, outcome, state, ended) in [
            ("well", Outcome::succeed(), State::Completed, "the work ended with 0"),
            ("badly", Outcome::exit(143), State::Failed, "the work ended with exit code 143"),
        ] {
            node.script(name, [Outcome::Hold]);
            ns.create(&task(name).with(|spec| spec.retry = never_again())).await;
            started(&node, name, 1).await;
            let pods = ns.pods_now().await;
            let pod = pods.iter().find(|pod| pod.name_any().starts_with(name)).expect("its pod");
            tells(&ns, pod, "Unhealthy", "Liveness probe failed: no heartbeat\n").await;
            tells(&ns, pod, "Killing", "Stopping container work").await;
            node.end(name, outcome);
            let message = status(&ns.task_in(name, state).await).message.expect("a message");
            let told = format!("{ended} after its liveness probe failed: no heartbeat");
            assert!(message.starts_with(&told), "{message}");
        }
    })
    .await;
}

#[tokio::test]
async fn work_that_an_event_says_has_begun_is_not_given_up_for_its_status() {
    in_namespace("hidden", async |ns| {
        let node = ns.fake_node();
        ns.create(&task_type("work").with(|spec| spec.start_deadline_seconds = Some(3))).await;
        let _operator = ns.operator(&[]).await;
        node.script("one", [Outcome::Waiting("ContainerCreating".into())]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        tells(&ns, &only_pod(&ns).await, "Started", "Started container work").await;
        ns.task_when("one", "says that it runs", |_, status| status.reason == Reason::Running).await;
        node.end("one", Outcome::succeed());
        let done = status(&ns.task_in("one", State::Completed).await);
        assert_eq!((done.attempt, done.failures, done.disruptions), (1, 0, 0));
    })
    .await;
}

async fn suspend(ns: &Namespace, job: &str, suspend: bool) {
    let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
    ns.jobs().patch(job, &PatchParams::default(), &patch).await.expect("accepted");
}

#[tokio::test]
async fn a_job_suspended_before_its_pod_keeps_its_slot_and_goes_on() {
    in_namespace("held", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::NoPod("somebody else is to say when".into())]);
        ns.create(&task("one")).await;
        let job = eventually("its Job is there", SOON, async || ns.jobs_now().await.pop()).await.name_any();
        suspend(&ns, &job, true).await;
        ns.create(&task("next")).await;
        let told = ns.task_when("one", "says so", |_, status| status.reason == Reason::JobSuspended).await;
        assert_eq!(status(&told).state, State::Processing);
        stays("its slot is held", A_MOMENT, async || node.starts_of("next") == 0).await;
        suspend(&ns, &job, false).await;
        let done = status(&ns.task_in("one", State::Completed).await);
        assert_eq!((done.attempt, done.failures, done.disruptions), (1, 0, 0));
        ns.task_in("next", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_job_suspended_while_it_runs_is_gone_before_the_next_attempt() {
    in_namespace("preempted", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let (tasks, jobs) = (ns.record::<Task>().await, ns.record::<Job>().await);
        node.script("one", [Outcome::Hold, Outcome::succeed()]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        let first = ns.jobs_now().await.remove(0);
        eventually("its work runs", SOON, async || {
            (only_pod(&ns).await.status?.phase.as_deref() == Some("Running")).then_some(())
        })
        .await;
        suspend(&ns, &first.name_any(), true).await;
        let done = status(&ns.task_in("one", State::Completed).await);
        let attempt = &done.attempts[0];
        assert_eq!((attempt.outcome, attempt.reason), (AttemptOutcome::Disrupted, Reason::Preempted));
        assert_eq!((done.attempt, done.failures, done.disruptions), (2, 0, 1));
        let gone = jobs.seen().into_iter().find(|seen| seen.deleted && seen.object.uid() == first.uid());
        let second = tasks.seen().into_iter().find(|seen| status(&seen.object).attempt == 2);
        let (gone, second) = (gone.expect("its Job is gone"), second.expect("another attempt"));
        assert!(gone.at <= second.at, "resumed, it would have made another pod");
    })
    .await;
}

#[tokio::test]
async fn of_more_events_than_fit_on_a_page_the_newest_one_is_told() {
    in_namespace("many-events", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.otherwise(Outcome::Waiting("ContainerCreating".into()));
        ns.create(&task("one")).await;
        let _operator = ns.operator(&[]).await;
        started(&node, "one", 1).await;
        let pod = ns.pods_now().await.remove(0).metadata;
        let now = jiff::Timestamp::now();
        for number in 0..450_i64 {
            let last = now - jiff::SignedDuration::from_secs(450 - number);
            let event: k8s_openapi::api::core::v1::Event = serde_json::from_value(serde_json::json!({
                "metadata": {"name": format!("one.{number:04}"), "namespace": ns.name},
                "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "namespace": ns.name, "uid": pod.uid},
                "type": "Warning", "reason": "FailedMount", "message": format!("MountVolume.SetUp failed for the {number}th time"),
                "firstTimestamp": last, "lastTimestamp": last,
            })).expect("an event");
            ns.create(&event).await;
        }
        let is_newest = |status: &task_manager::api::TaskStatus| {
            status.message.as_deref().is_some_and(|message| message.contains("the 449th time"))
        };
        ns.task_within(std::time::Duration::from_secs(90), "one", "tells the newest", |_, status| is_newest(status)).await;
    })
    .await;
}
