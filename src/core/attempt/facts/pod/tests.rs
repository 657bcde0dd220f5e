use serde_json::{Value, json};

use super::*;
use crate::attempt::facts::fixtures::{at, pod, running, status_of, terminated, waiting_for};
use task_manager_api::Priority;

#[test]
fn a_running_pod_is_read() {
    let pod = pod(json!({}));
    assert_eq!((pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_str()), ("docs", "report-7-0f3a-x7k2p", "b5c8"));
    assert_eq!((pod.job.as_str(), pod.node.as_deref()), ("report-7-0f3a", Some("node-3")));
    assert_eq!((pod.created_at, pod.started_at), (at("2026-03-01T10:00:00Z"), Some(at("2026-03-01T10:00:02Z"))));
    assert_eq!((pod.phase, pod.timeout_seconds, pod.work.clone()), (Phase::Running, Some(600), Work::Running));
    assert!(pod.has_started() && !pod.has_ended() && !pod.is_gone());
    assert_eq!((&pod.waiting, &pod.disruption, &pod.out_of_memory, &pod.failed_init), (&None, &None, &None, &None));
    assert_eq!((pod.due_gone_at, pod.deleted_at), (None, None));
    assert_eq!((pod.container.as_deref(), pod.containers), (Some("work"), 3), "the init container counts");
    let holds = pod.holds.expect("what it holds");
    assert_eq!(
        (holds.queue.as_str(), holds.type_.as_str(), holds.kb_id.as_deref(), holds.priority),
        ("default", "reports", Some("kb-1"), Priority::High)
    );
}

#[test]
fn the_first_container_of_the_spec_is_the_work_wherever_its_status_stands() {
    let mut done = terminated(0, "Completed");
    done["terminated"]["message"] = json!("{\"pages\": 10}");
    let pod = pod(json!({
        "phase": "Succeeded",
        "containerStatuses": [status_of("beside", terminated(9, "Error")), status_of("work", done)],
    }));
    let ended =
        Work::Ended { exit_code: 0, at: Some(at("2026-03-01T10:05:00Z")), left: Some("{\"pages\": 10}".into()) };
    assert_eq!((pod.phase, pod.work.clone(), pod.has_ended()), (Phase::Succeeded, ended, true));
}

#[test]
fn an_empty_result_file_left_nothing() {
    let mut done = terminated(1, "Error");
    done["terminated"]["message"] = json!("");
    let pod = pod(json!({"phase": "Failed", "containerStatuses": [status_of("work", done)]}));
    assert!(matches!(pod.work, Work::Ended { exit_code: 1, left: None, .. }));
}

#[test]
fn a_pod_that_no_node_has_taken_waits_for_one() {
    let pod = pod(json!({
        "phase": "Pending",
        "startTime": null,
        "initContainerStatuses": null,
        "containerStatuses": null,
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": "2026-03-01T10:00:00Z",
            "message": "0/3 nodes are available: 3 Insufficient cpu."}],
    }));
    let waiting = pod.waiting.clone().expect("a reason to wait");
    assert_eq!(
        (waiting.reason, waiting.message.as_str()),
        (Reason::Unschedulable, "0/3 nodes are available: 3 Insufficient cpu.")
    );
    assert!(!pod.has_started() && !pod.has_ended());
}

#[test]
fn why_a_container_waits_is_read_from_any_container() {
    for (word, expected) in [
        ("ErrImagePull", Some(Reason::ImageUnavailable)),
        ("ImagePullBackOff", Some(Reason::ImageUnavailable)),
        ("InvalidImageName", Some(Reason::ImageUnavailable)),
        ("ErrImageNeverPull", Some(Reason::ImageUnavailable)),
        ("CreateContainerConfigError", Some(Reason::ContainerConfig)),
        ("CreateContainerError", Some(Reason::ContainerConfig)),
        ("RunContainerError", Some(Reason::ContainerConfig)),
        ("PodInitializing", None),
        ("ContainerCreating", None),
    ] {
        for (container, lists) in
            [("fetch", "initContainerStatuses"), ("work", "containerStatuses"), ("beside", "containerStatuses")]
        {
            let pod = pod(
                json!({"phase": "Pending", "containerStatuses": [], lists: [status_of(container, waiting_for(word, "it said"))]}),
            );
            assert_eq!(pod.waiting.as_ref().map(|waiting| waiting.reason), expected, "{word} of {container}");
            if let Some(waiting) = pod.waiting {
                assert_eq!(waiting.message, format!("container {container}: {word}: it said"));
            }
        }
    }
}

#[test]
fn out_of_memory_is_read_from_any_container_also_with_exit_code_0() {
    for (list, container, code) in [
        ("containerStatuses", "work", 137),
        ("containerStatuses", "beside", 0),
        ("initContainerStatuses", "fetch", 137),
    ] {
        let pod = pod(json!({"phase": "Failed", list: [status_of(container, terminated(code, "OOMKilled"))]}));
        assert_eq!(pod.out_of_memory.as_deref(), Some(container));
    }
}

/// As containerd says it of a command that is not there.
fn start_error(message: &str) -> Value {
    json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": message, "containerID": "containerd://1",
        "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-03-01T10:00:05Z"}})
}

#[test]
fn a_container_that_could_not_be_started_has_neither_run_nor_an_exit_code_of_its_own() {
    let said = "failed to create containerd task: exec: \"/no/such/program\": no such file or directory";
    let failed = |list: &str, container: &str| {
        pod(json!({"phase": "Failed", "containerStatuses": [], list: [status_of(container, start_error(said))]}))
    };
    for (list, container) in [("containerStatuses", "work"), ("initContainerStatuses", "fetch")] {
        let pod = failed(list, container);
        assert_eq!(pod.not_startable, Some(format!("container {container}: StartError: {said}")));
        assert_eq!((pod.work.clone(), &pod.failed_init, pod.has_started()), (Work::NotStarted, &None, false));
    }
    assert_eq!(failed("containerStatuses", "beside").not_startable, None, "the work's own end counts");
    let too_little = start_error("container init was OOM-killed (memory limit too low?)");
    let killed = pod(json!({"phase": "Failed", "containerStatuses": [status_of("work", too_little)]}));
    assert_eq!(killed.out_of_memory.as_deref(), Some("work"));
}

#[test]
fn a_failed_init_container_is_read() {
    let pod = pod(json!({
        "phase": "Failed",
        "initContainerStatuses": [status_of("fetch", terminated(4, "Error"))],
        "containerStatuses": [status_of("work", waiting_for("PodInitializing", ""))],
    }));
    assert_eq!(pod.failed_init, Some(("fetch".into(), 4)));
    assert_eq!((pod.work.clone(), pod.has_ended()), (Work::NotStarted, true));
}

#[test]
fn a_terminating_pod_is_read_with_both_of_its_times() {
    let mut pod: Pod =
        serde_json::from_value(json!({"metadata": {"name": "p", "creationTimestamp": "2026-03-01T10:00:00Z",
        "deletionTimestamp": "2026-03-01T10:01:30Z", "deletionGracePeriodSeconds": 30}}))
        .expect("a pod");
    let facts = PodFacts::of(&pod);
    assert_eq!(
        (facts.due_gone_at, facts.deleted_at),
        (Some(at("2026-03-01T10:01:30Z")), Some(at("2026-03-01T10:01:00Z")))
    );
    pod.metadata.deletion_grace_period_seconds = None;
    assert_eq!(PodFacts::of(&pod).deleted_at, Some(at("2026-03-01T10:01:30Z")));
}

#[test]
fn the_last_version_of_a_pod_keeps_when_its_deletion_was_asked_for_first() {
    let seen = |due: &str, grace: i64| {
        let metadata = json!({"name": "p", "creationTimestamp": "2026-03-01T10:00:00Z", "deletionTimestamp": due,
            "deletionGracePeriodSeconds": grace});
        PodFacts::of(&serde_json::from_value(json!({ "metadata": metadata })).expect("a pod"))
    };
    let asked = seen("2026-03-01T10:01:30Z", 30);
    let removed = seen("2026-03-01T10:01:10Z", 0);
    let last = removed.clone().after(&asked);
    assert_eq!((last.deleted_at, last.without_grace), (asked.deleted_at, false), "10:01:00, and not 10:01:10");
    let again = removed.clone().after(&removed);
    assert_eq!((again.deleted_at, again.without_grace), (removed.deleted_at, true), "nobody saw when it was asked for");
    let sooner = seen("2026-03-01T10:00:50Z", 0).after(&asked);
    assert!(sooner.without_grace, "somebody would not wait for the grace");
}

#[test]
fn a_disturbed_pod_is_read_and_a_disturbance_that_was_taken_back_is_not() {
    let condition = |status: &str| {
        pod(json!({"conditions": [{"type": "DisruptionTarget", "status": status, "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastTransitionTime": "2026-03-01T10:01:00Z"}]}))
    };
    assert_eq!(condition("True").disruption, Some(("EvictionByEvictionAPI".into(), "Eviction API: evicting".into())));
    assert_eq!(condition("False").disruption, None);
}

#[test]
fn the_kubelets_own_word_is_read() {
    let pod = pod(
        json!({"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the specified deadline"}),
    );
    assert_eq!(pod.reason.as_deref(), Some("DeadlineExceeded"));
    assert!(pod.message.is_some_and(|message| message.contains("longer")));
}

#[test]
fn a_container_that_the_kubelet_lost_track_of_has_no_exit_code() {
    // So the kubelet ends every container that it does not find, those that never started included.
    let unknown = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": null, "finishedAt": null,
        "message": "The container could not be located when the pod was terminated"}});
    let pod = pod(
        json!({"phase": "Failed", "containerStatuses": [status_of("work", unknown.clone())], "initContainerStatuses": [status_of("fetch", unknown)]}),
    );
    assert_eq!((pod.work.clone(), pod.failed_init), (Work::NotStarted, None));
}

#[test]
fn odd_pods_are_read_without_panic() {
    for odd in [
        json!({}),
        json!({"metadata": {"deletionTimestamp": "0001-01-01T00:00:00Z", "deletionGracePeriodSeconds": i64::MAX}}),
        json!({"metadata": {"annotations": {"taskmanager.dev/holds": "not json"}}}),
        json!({"spec": {"containers": []}, "status": {"containerStatuses": [status_of("work", json!({}))], "phase": "Dreaming"}}),
    ] {
        let pod: Pod = serde_json::from_value(odd).expect("a pod");
        assert_eq!((PodFacts::of(&pod).work, PodFacts::of(&pod).holds), (Work::NotStarted, None));
    }
}

#[test]
fn preparing_counts_as_started_unless_the_work_itself_cannot_be_made() {
    let started = |init: Value, work: Value| {
        pod(json!({"phase": "Pending", "initContainerStatuses": [status_of("fetch", init)], "containerStatuses": [status_of("work", work)]})).has_started()
    };
    let initializing = || waiting_for("PodInitializing", "");
    assert!(!started(initializing(), initializing()));
    assert!(started(running(), initializing()));
    assert!(started(terminated(0, "Completed"), initializing()));
    assert!(!started(terminated(0, "Completed"), waiting_for("ImagePullBackOff", "no such image")));
    assert!(started(terminated(0, "Completed"), running()));
}

#[test]
fn a_pods_ages_count_from_the_first_sight_of_each_and_its_grace_from_that_of_its_deletion() {
    let [first, again, late] = ["2026-03-01T10:05:00Z", "2026-03-01T10:06:00Z", "2026-03-01T10:07:00Z"].map(at);
    let waits = PodFacts { started_at: None, ..pod(json!({})) }.first_seen(first);
    assert_eq!((waits.age_from(), waits.started_from(), waits.gone_by()), (first, None, None));
    let runs = pod(json!({})).first_seen(again).after(&waits);
    assert_eq!((runs.age_from(), runs.started_from()), (first, Some(again)));
    let deleted =
        |due: &str, asked: &str| PodFacts { due_gone_at: Some(at(due)), deleted_at: Some(at(asked)), ..pod(json!({})) };
    let leaves = || deleted("2026-03-01T10:00:40Z", "2026-03-01T10:00:10Z");
    let seen = leaves().first_seen(again).after(&runs);
    assert_eq!(seen.gone_by(), Some(at("2026-03-01T10:06:30Z")));
    assert_eq!(leaves().first_seen(late).after(&seen).gone_by(), seen.gone_by());
    let sooner = deleted("2026-03-01T10:00:20Z", "2026-03-01T10:00:15Z").first_seen(late).after(&seen);
    assert_eq!(sooner.gone_by(), Some(at("2026-03-01T10:07:05Z")), "somebody shortened its grace");
}
