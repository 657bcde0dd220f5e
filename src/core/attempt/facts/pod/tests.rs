use serde_json::{Value, json};

use super::*;
use crate::attempt::facts::fixtures::{at, changed, pod, running, status_of, terminated, waiting_for};
use task_manager_api::Priority;

#[test]
fn a_running_pod_is_read() {
    let pod = pod(json!({}));
    assert_eq!((pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_str()), ("docs", "report-7-0f3a-x7k2p", "b5c8"));
    assert_eq!((pod.job.as_str(), pod.node.as_deref()), ("report-7-0f3a", Some("node-3")));
    assert_eq!((pod.created_at, pod.started_at), (at("2026-03-01T10:00:00Z"), Some(at("2026-03-01T10:00:02Z"))));
    assert_eq!((pod.phase, pod.deadline_seconds, pod.timeout_seconds), (Phase::Running, Some(1200), Some(600)));
    assert_eq!(pod.work, Work::Running { started_at: Some(at("2026-03-01T10:00:03Z")) });
    assert_eq!((pod.ended_for, pod.grace_seconds, pod.lists_no_container, pod.gates.len()), (None, 30, false, 0));
    assert_eq!((&pod.awaited, pod.beside.len()), (&None, 1));
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
fn a_silent_node_and_a_scheduler_that_looks_at_nothing_are_read() {
    let not_ready = |reason: Option<&str>, ready: bool| {
        let mut status = status_of("work", running());
        status["ready"] = ready.into();
        let seen =
            json!({"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": "2026-03-01T10:09:00Z"});
        pod(json!({"phase": "Running", "conditions": [seen], "containerStatuses": [status]})).node_silent_since
    };
    assert_eq!(not_ready(None, true), Some(at("2026-03-01T10:09:00Z")), "the node controller gives no reason");
    assert_eq!(not_ready(Some("ContainersNotReady"), false), None, "the kubelet says so");
    assert_eq!(not_ready(Some("ReadinessGatesNotReady"), true), None);

    let pending = |conditions: Value| {
        changed(|pod| {
            pod["spec"]["nodeName"] = Value::Null;
            pod["spec"]["schedulerName"] = "my-scheduler".into();
            pod["status"] = json!({"phase": "Pending", "conditions": conditions});
        })
    };
    assert_eq!(pending(json!([])).unseen_by.as_deref(), Some("my-scheduler"));
    assert_eq!(pending(json!([{"type": "PodScheduled", "status": "False"}])).unseen_by, None);
}

#[test]
fn the_work_is_the_container_of_the_annotated_name_wherever_it_stands() {
    let proxy_first = |named: Option<&str>| {
        changed(|pod| {
            match named {
                Some(name) => pod["metadata"]["annotations"]["taskmanager.dev/container"] = name.into(),
                None => pod["metadata"]["annotations"] = json!({}),
            }
            let containers = json!([{"name": "mesh-proxy", "image": "mesh"}, {"name": "work", "image": "busybox"}]);
            pod["spec"]["containers"] = containers;
            let ended = |name: &str, code| status_of(name, terminated(code, "Error"));
            pod["status"]["containerStatuses"] = json!([ended("mesh-proxy", 0), ended("work", 3)]);
        })
    };
    let exit_code = |pod: &PodFacts| match pod.work {
        Work::Ended { exit_code, .. } => Some(exit_code),
        _ => None,
    };
    let ours = proxy_first(Some("work"));
    assert_eq!((exit_code(&ours), ours.container.as_deref()), (Some(3), Some("work")));
    let of_an_older_operator = proxy_first(None);
    assert_eq!(exit_code(&of_an_older_operator), Some(0), "it has to be the first");
    assert_eq!(proxy_first(Some("none")).container.as_deref(), Some("mesh-proxy"));
}

#[test]
fn containers_beside_the_work_that_have_not_ended_are_read() {
    let beside = |state: Value| {
        let statuses = json!([status_of("beside", state), status_of("work", terminated(0, "Completed"))]);
        pod(json!({"phase": "Running", "containerStatuses": statuses})).beside
    };
    let one = |runs| vec![Beside { container: "beside".into(), runs }];
    assert_eq!(beside(running()), one(true));
    assert_eq!(beside(waiting_for("ImagePullBackOff", "no such image")), one(false));
    assert_eq!(beside(terminated(7, "Error")), vec![]);
}

#[test]
fn work_that_was_never_started_has_no_start_in_1970() {
    let mut ended = terminated(1, "Error");
    ended["terminated"]["startedAt"] = json!("1970-01-01T00:00:00Z");
    let pod = pod(json!({"phase": "Failed", "containerStatuses": [status_of("work", ended)]}));
    assert_eq!(pod.work.started_at(), None);
}

#[test]
fn why_we_end_a_pod_is_read_and_a_word_of_a_later_version_too() {
    let ended_for =
        |word: &str| changed(|pod| pod["metadata"]["annotations"]["taskmanager.dev/ended-for"] = word.into()).ended_for;
    assert_eq!((ended_for("Timeout"), ended_for("Moonlight")), (Some(Reason::Timeout), Some(Reason::Unknown)));
}

#[test]
fn the_first_container_of_the_spec_is_the_work_wherever_its_status_stands() {
    let mut done = terminated(0, "Completed");
    done["terminated"]["message"] = json!("{\"pages\": 10}");
    let pod = pod(json!({
        "phase": "Succeeded",
        "containerStatuses": [status_of("beside", terminated(9, "Error")), status_of("work", done)],
    }));
    let [started_at, ended_at] = ["2026-03-01T10:00:03Z", "2026-03-01T10:05:00Z"].map(|time| Some(at(time)));
    let left = Some("{\"pages\": 10}".into());
    let ended = Work::Ended { exit_code: 0, started_at, at: ended_at, left };
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
fn only_the_container_that_is_waited_for_says_why_it_waits() {
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
        let waits = |container: &str, list: &str| {
            pod(json!({"phase": "Pending", "containerStatuses": [],
                list: [status_of(container, waiting_for(word, "it said"))]}))
        };
        for (container, list) in [("fetch", "initContainerStatuses"), ("work", "containerStatuses")] {
            let waiting = waits(container, list).waiting;
            assert_eq!(waiting.as_ref().map(|waiting| waiting.reason), expected, "{word} of {container}");
            let said = if expected == Some(Reason::ImageUnavailable) { "image busybox: it said" } else { "it said" };
            if let Some(waiting) = waiting {
                assert_eq!(waiting.message, format!("container {container}: {word}: {said}"));
            }
        }
        assert_eq!(waits("beside", "containerStatuses").waiting, None, "a helper holds up nothing");
    }
}

#[test]
fn out_of_memory_is_the_works_own_or_anothers_where_the_work_failed() {
    let killed = |work: Value, beside: Value| {
        let pod = changed(|pod| {
            pod["spec"]["containers"][1]["resources"] = json!({"limits": {"memory": "16Mi"}});
            pod["spec"]["resources"] = json!({"limits": {"memory": "64Mi"}});
            pod["status"]["containerStatuses"] = json!([status_of("beside", beside), status_of("work", work)]);
        });
        pod.out_of_memory.map(|killed| (killed.container.clone(), killed.told()))
    };
    let told = |container: &str, limit: &str| {
        let of = if container == "work" { "its pod's" } else { "its" };
        Some((container.to_owned(), format!("container {container} was killed at {of} memory limit of {limit}")))
    };
    let oom = |code| terminated(code, "OOMKilled");
    assert_eq!(killed(oom(137), running()), told("work", "64Mi"), "the pod's own limit, where there is none");
    assert_eq!(killed(oom(0), running()), told("work", "64Mi"), "a part of the work");
    assert_eq!(killed(terminated(3, "Error"), oom(137)), told("beside", "16Mi"));
    assert_eq!(killed(running(), oom(137)), told("beside", "16Mi"));
    assert_eq!(killed(terminated(0, "Completed"), oom(137)), None, "the work did without it");
    assert_eq!(killed(oom(137), oom(137)), told("work", "64Mi"), "the work's own first");
    let init = pod(
        json!({"phase": "Failed", "containerStatuses": [], "initContainerStatuses": [status_of("fetch", oom(137))]}),
    );
    assert_eq!(init.out_of_memory.map(|killed| (killed.container, killed.limit)), Some(("fetch".into(), None)));
}

/// A pod of two native sidecars, of an init container between them, and of the work.
fn with_sidecars(statuses: Value) -> PodFacts {
    changed(|pod| {
        let sidecar = |name: &str| json!({"name": name, "image": "mesh", "restartPolicy": "Always"});
        pod["spec"]["initContainers"] =
            json!([sidecar("proxy"), {"name": "fetch", "image": "busybox"}, sidecar("last")]);
        let mut list = vec![];
        for name in ["proxy", "fetch", "last"] {
            let mut status = status_of(name, statuses[name]["state"].clone());
            status["started"] = statuses[name]["started"].clone();
            status["lastState"] = statuses[name]["lastState"].clone();
            list.push(status);
        }
        pod["status"]["phase"] = "Pending".into();
        pod["status"]["initContainerStatuses"] = list.into();
        let work = statuses.get("work").cloned().unwrap_or_else(|| waiting_for("PodInitializing", ""));
        pod["status"]["containerStatuses"] = json!([status_of("beside", work.clone()), status_of("work", work)]);
    })
}

#[test]
fn the_start_waits_for_the_first_init_container_that_has_not_done_its_part() {
    let [waits, runs] = [waiting_for("PodInitializing", ""), running()].map(|state| json!({ "state": state }));
    let up = json!({"state": running(), "started": true});
    let not_up = json!({"state": running(), "started": false});
    let done = json!({"state": terminated(0, "Completed")});
    let crashed = json!({"state": terminated(7, "Error")});
    let backs_off = json!({"state": waiting_for("CrashLoopBackOff", ""), "lastState": terminated(9, "Error")});
    for (proxy, fetch, last, awaited) in [
        (&waits, &waits, &waits, ("proxy", Awaiting::Made)),
        (&not_up, &waits, &waits, ("proxy", Awaiting::Up)),
        (&crashed, &waits, &waits, ("proxy", Awaiting::Lasting { exit_code: 7 })),
        (&backs_off, &waits, &waits, ("proxy", Awaiting::Lasting { exit_code: 9 })),
        (&up, &waits, &waits, ("fetch", Awaiting::Made)),
        (&up, &runs, &waits, ("fetch", Awaiting::Done)),
        (&up, &done, &not_up, ("last", Awaiting::Up)),
        (&up, &done, &up, ("work", Awaiting::Made)),
        (&crashed, &done, &up, ("proxy", Awaiting::Lasting { exit_code: 7 })),
    ] {
        let pod = with_sidecars(json!({"proxy": proxy, "fetch": fetch, "last": last}));
        let (container, is) = awaited;
        assert_eq!(pod.awaited, Some(Awaited { container: container.into(), is }), "{proxy} {fetch} {last}");
        assert!(!pod.has_started());
    }
    let pod = with_sidecars(json!({"proxy": up, "fetch": done, "last": up, "work": running()}));
    assert!(pod.awaited.is_none() && pod.has_started());
}

#[test]
fn the_failed_init_container_is_judged_and_not_the_sidecar_beside_it() {
    let ended = |code, second: &str| {
        let mut state = terminated(code, "Error");
        state["terminated"]["finishedAt"] = json!(format!("2026-03-01T10:05:{second}Z"));
        json!({ "state": state })
    };
    let pod = with_sidecars(
        json!({"proxy": ended(137, "04"), "fetch": ended(65, "00"), "last": {"state": waiting_for("PodInitializing", "")}}),
    );
    let failed = FailedInit { container: "fetch".into(), exit_code: 65, at: Some(at("2026-03-01T10:05:00Z")) };
    assert_eq!(pod.failed_init, Some(failed));
    assert!(pod.not_startable.is_none());
}

#[test]
fn a_pod_with_scheduling_gates_does_not_lack_a_node() {
    let condition = |reason: &str| {
        changed(|pod| {
            let gates = if reason == "SchedulingGated" { json!([{"name": "example.com/quota"}]) } else { json!(null) };
            pod["spec"]["schedulingGates"] = gates;
            pod["spec"]["nodeName"] = json!(null);
            pod["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": reason, "message": "it said", "lastTransitionTime": "2026-03-01T10:00:00Z"}]});
        })
    };
    let gated = condition("SchedulingGated");
    assert_eq!((gated.waiting.clone(), gated.gates.clone()), (None, vec!["example.com/quota".to_owned()]));
    assert_eq!(condition("Unschedulable").waiting.map(|why| why.reason), Some(Reason::Unschedulable));
    let [first, later] = ["2026-03-01T10:01:00Z", "2026-03-01T11:00:00Z"].map(at);
    let seen = gated.first_seen(first);
    let free = condition("Unschedulable").first_seen(later).after(&seen);
    assert_eq!((seen.starts_from(), free.starts_from()), (first, later), "its clock begins when the gates are gone");
    let still = condition("Unschedulable").first_seen(at("2026-03-01T11:30:00Z")).after(&free);
    assert_eq!(still.starts_from(), later);
}

#[test]
fn a_pod_that_its_kubelet_refused_has_no_containers() {
    let refused = pod(
        json!({"phase": "Failed", "reason": "SysctlForbidden", "containerStatuses": null, "initContainerStatuses": null}),
    );
    assert!(refused.lists_no_container && !pod(json!({})).lists_no_container);
}

/// As containerd says it of a command that is not there.
fn start_error(message: &str) -> Value {
    json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": message, "containerID": "containerd://1",
        "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-03-01T10:00:05Z"}})
}

#[test]
fn a_container_that_could_not_be_started_has_neither_run_nor_an_exit_code_of_its_own() {
    let said = "exec: \"/no/such/program\": no such file or directory";
    let in_full = format!("failed to create containerd task: failed to create shim task: {said}: unknown");
    let failed = |list: &str, container: &str| {
        pod(json!({"phase": "Failed", "containerStatuses": [], list: [status_of(container, start_error(&in_full))]}))
    };
    for (list, container) in [("containerStatuses", "work"), ("initContainerStatuses", "fetch")] {
        let pod = failed(list, container);
        assert_eq!(pod.not_startable, Some(format!("container {container}: StartError: {said}")));
        assert_eq!((pod.work.clone(), &pod.failed_init, pod.has_started()), (Work::NotStarted, &None, false));
    }
    assert_eq!(failed("containerStatuses", "beside").not_startable, None, "the work's own end counts");
    let too_little = start_error("container init was OOM-killed (memory limit too low?)");
    let killed = pod(json!({"phase": "Failed", "containerStatuses": [status_of("work", too_little)]}));
    assert_eq!(killed.out_of_memory.map(|killed| killed.container).as_deref(), Some("work"));
}

#[test]
fn a_failed_init_container_is_read() {
    let pod = pod(json!({
        "phase": "Failed",
        "initContainerStatuses": [status_of("fetch", terminated(4, "Error"))],
        "containerStatuses": [status_of("work", waiting_for("PodInitializing", ""))],
    }));
    let failed = pod.failed_init.clone().expect("it failed");
    assert_eq!((failed.container.as_str(), failed.exit_code), ("fetch", 4));
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
fn what_prepares_the_work_does_not_count_as_its_start() {
    let started = |init: Value, work: Value| {
        pod(json!({"phase": "Pending", "initContainerStatuses": [status_of("fetch", init)], "containerStatuses": [status_of("work", work)]})).has_started()
    };
    let initializing = || waiting_for("PodInitializing", "");
    assert!(!started(initializing(), initializing()));
    assert!(!started(running(), initializing()));
    assert!(!started(terminated(0, "Completed"), initializing()));
    assert!(!started(terminated(0, "Completed"), waiting_for("ImagePullBackOff", "no such image")));
    assert!(started(terminated(0, "Completed"), running()));
    assert!(started(terminated(0, "Completed"), terminated(3, "Error")));
}

#[test]
fn its_work_is_as_old_as_the_later_of_its_stamp_and_its_first_sight() {
    let [early, late] = ["2026-03-01T10:00:01Z", "2026-03-01T10:06:00Z"].map(at);
    let stamp = at("2026-03-01T10:00:03Z");
    let runs = pod(json!({})).first_seen(late);
    assert_eq!((runs.work_from(), runs.work_from_at_the_earliest()), (Some(late), Some(stamp)));
    let by_a_slow_clock = pod(json!({})).first_seen(early);
    assert_eq!(by_a_slow_clock.work_from_at_the_earliest(), Some(early));
    let ended = pod(json!({"containerStatuses": [status_of("work", terminated(3, "Error"))]})).first_seen(late);
    assert_eq!(ended.after(&runs).work_ended_from(), Some(late));
    let mut asked = pod(json!({})).first_seen(early);
    asked.will_end(1, Reason::Cancelled, late);
    let shown = changed(|pod| pod["metadata"]["annotations"]["taskmanager.dev/ended-for"] = "Cancelled".into());
    assert_eq!(shown.first_seen(at("2026-03-01T10:09:00Z")).after(&asked).ended_for_from(), Some(late));
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
