use serde_json::{Value, json};

use super::*;
use task_manager_api::{Priority, TaskSpec};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A pod as the Job controller made it and its kubelet runs it; `status` replaces fields of its status.
fn pod(status: Value) -> PodFacts {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "report-7-0f3a-x7k2p",
            "generateName": "report-7-0f3a-",
            "namespace": "docs",
            "uid": "b5c8",
            "creationTimestamp": "2026-03-01T10:00:00Z",
            "finalizers": ["batch.kubernetes.io/job-tracking"],
            "labels": {
                "batch.kubernetes.io/controller-uid": "9f1e",
                "batch.kubernetes.io/job-name": "report-7-0f3a",
                "controller-uid": "9f1e",
                "job-name": "report-7-0f3a",
                "taskmanager.dev/attempt": "1",
                "taskmanager.dev/task-uid": "77aa",
            },
            "annotations": {
                "taskmanager.dev/holds": r#"{"queue":"default","type":"reports","kbId":"kb-1","priority":"high","resources":{"cpu":"500m"}}"#,
                "taskmanager.dev/payload": "{}",
            },
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "report-7-0f3a", "uid": "9f1e", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "activeDeadlineSeconds": 600,
            "nodeName": "node-3",
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "initContainers": [{"name": "fetch", "image": "busybox"}],
            "containers": [{"name": "work", "image": "busybox"}, {"name": "beside", "image": "busybox"}],
        },
        "status": {
            "phase": "Running",
            "startTime": "2026-03-01T10:00:02Z",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-03-01T10:00:01Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T10:00:04Z"},
            ],
            "initContainerStatuses": [status_of("fetch", terminated(0, "Completed"))],
            // The kubelet sorts by name, so the work need not come first.
            "containerStatuses": [status_of("beside", running()), status_of("work", running())],
        },
    });
    let fields = pod["status"].as_object_mut().expect("a status");
    fields.extend(status.as_object().expect("fields").clone());
    PodFacts::of(&serde_json::from_value(pod).expect("a pod"))
}

fn status_of(container: &str, state: Value) -> Value {
    json!({"name": container, "image": "busybox", "imageID": "", "ready": false, "restartCount": 0, "state": state, "lastState": {}})
}

fn running() -> Value {
    json!({"running": {"startedAt": "2026-03-01T10:00:03Z"}})
}

fn terminated(exit_code: i32, reason: &str) -> Value {
    json!({"terminated": {"exitCode": exit_code, "reason": reason, "containerID": "containerd://1",
        "startedAt": "2026-03-01T10:00:03Z", "finishedAt": "2026-03-01T10:05:00Z"}})
}

fn waiting_for(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

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

fn job(status: Value) -> JobFacts {
    let job = json!({
        "metadata": {"name": "report-7-0f3a", "namespace": "docs", "uid": "9f1e", "creationTimestamp": "2026-03-01T10:00:00Z",
            "annotations": {"taskmanager.dev/holds": r#"{"queue":"q","type":"reports","kbId":null,"priority":"low","resources":{}}"#}},
        "status": status,
    });
    JobFacts::of(&serde_json::from_value(job).expect("a Job"))
}

#[test]
fn a_job_is_finished_by_its_final_condition_and_not_before() {
    let condition = |type_: &str, status: &str| {
        job(json!({"conditions": [{"type": type_, "status": status, "lastTransitionTime": "2026-03-01T10:05:03Z"}]}))
    };
    let end = |succeeded| Some(JobEnd { succeeded, at: at("2026-03-01T10:05:03Z") });
    assert_eq!(job(json!({"active": 1})).finished, None);
    for (type_, status, expected) in [
        ("Complete", "True", end(true)),
        ("Failed", "True", end(false)),
        ("Complete", "False", None),
        ("FailureTarget", "True", None),
        ("SuccessCriteriaMet", "True", None),
        ("Suspended", "True", None),
    ] {
        assert_eq!(condition(type_, status).finished, expected, "{type_}={status}");
        assert_eq!(condition(type_, status).is_live(), expected.is_none());
    }
}

#[test]
fn a_job_is_read_with_what_it_holds() {
    let job = job(json!({}));
    assert_eq!(
        (job.name.as_str(), job.uid.as_str(), job.created_at),
        ("report-7-0f3a", "9f1e", at("2026-03-01T10:00:00Z"))
    );
    assert_eq!(job.holds.map(|holds| (holds.queue, holds.priority)), Some(("q".into(), Priority::Low)));
    assert!(!job.deleting && !job.gone);
}

const JOB: &str = "report-7-0f3a";

#[test]
fn a_job_without_a_pod_is_a_puzzle_after_ten_seconds() {
    let observed = Observed { jobs: vec![job(json!({}))], ..Observed::default() };
    assert_eq!(observed.puzzle(JOB, at("2026-03-01T10:00:09Z")), None);
    let puzzle = observed.puzzle(JOB, at("2026-03-01T10:00:10Z")).expect("a puzzle");
    assert_eq!((puzzle.uid(), puzzle.explained("exceeded quota: small").reason), ("9f1e", Reason::QuotaExceeded));
    assert_eq!(observed.puzzle("another", at("2026-03-01T10:01:00Z")), None);
    let observed = Observed { pods: vec![pod(json!({}))], ..observed };
    assert_eq!(observed.puzzle(JOB, at("2026-03-01T10:01:00Z")), None);
}

#[test]
fn a_pod_that_does_not_start_and_does_not_say_why_is_a_puzzle_after_ten_seconds() {
    let creating = json!({"phase": "Pending", "initContainerStatuses": [], "containerStatuses": [status_of("work", waiting_for("ContainerCreating", ""))]});
    let observed = Observed { jobs: vec![job(json!({}))], pods: vec![pod(creating)], ..Observed::default() };
    assert_eq!(observed.puzzle(JOB, at("2026-03-01T10:00:09Z")), None);
    let puzzle = observed.puzzle(JOB, at("2026-03-01T10:00:10Z")).expect("a puzzle");
    let explained = puzzle.explained("MountVolume.SetUp failed: secret \"keys\" not found");
    assert_eq!((puzzle.uid(), explained.reason), ("b5c8", Reason::ContainerConfig));
    let puzzle_of = |state: Value| {
        let facts = pod(
            json!({"phase": "Pending", "initContainerStatuses": [], "containerStatuses": [status_of("work", state)]}),
        );
        let observed = Observed { jobs: vec![job(json!({}))], pods: vec![facts], ..Observed::default() };
        observed.puzzle(JOB, at("2026-03-01T10:01:00Z")).is_some()
    };
    assert!(!puzzle_of(waiting_for("ImagePullBackOff", "no such image")), "it says why itself");
    assert!(!puzzle_of(running()));
    assert!(puzzle.is_answered_by("FailedMount") && !puzzle.is_answered_by("FailedScheduling"), "it has a node by now");
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
fn what_only_carries_a_tasks_label_is_not_its_own() {
    let own = || JobFacts { owner: Some("77aa".into()), ..job(json!({})) };
    let mut task = Task::new("report", TaskSpec::default());
    task.metadata.uid = Some("77aa".into());
    task.metadata.namespace = Some(own().namespace);
    let names = |jobs: Vec<JobFacts>, pods: Vec<PodFacts>| {
        let observed = Observed::of(&task, jobs, pods);
        (observed.jobs.len(), observed.pods.len())
    };
    assert_eq!(names(vec![own()], vec![pod(json!({}))]), (1, 1));
    assert_eq!(names(vec![JobFacts { owner: None, ..own() }], vec![]), (0, 0));
    assert_eq!(names(vec![JobFacts { owner: Some("other".into()), ..own() }], vec![]), (0, 0));
    assert_eq!(names(vec![own()], vec![PodFacts { owner: Some("other".into()), ..pod(json!({})) }]), (1, 0));
    assert_eq!(names(vec![own()], vec![PodFacts { owner: None, ..pod(json!({})) }]), (1, 0));
    assert_eq!(names(vec![], vec![pod(json!({}))]), (0, 1), "its Job may have gone before it");
    assert_eq!(names(vec![], vec![PodFacts { owner: None, ..pod(json!({})) }]), (0, 0));
    assert_eq!(names(vec![JobFacts { namespace: "elsewhere".into(), ..own() }], vec![pod(json!({}))]), (0, 1));
    assert_eq!(names(vec![own()], vec![PodFacts { namespace: "elsewhere".into(), ..pod(json!({})) }]), (1, 0));
    assert_eq!(pod(json!({})).owner.as_deref(), Some("9f1e"));
}

#[test]
fn a_pod_is_of_the_job_that_owns_it_whatever_its_label_says() {
    let task: Task = serde_json::from_value(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
        "metadata": {"name": "report", "namespace": "docs", "uid": "77aa"}, "spec": {"type": "reports"}}))
    .expect("a task");
    let own = JobFacts { owner: Some("77aa".into()), ..job(json!({})) };
    let mislabelled = PodFacts { job: "another".into(), ..pod(json!({})) };
    let observed = Observed::of(&task, vec![own], vec![mislabelled]);
    assert_eq!(observed.pods[0].job, JOB);
}

#[test]
fn a_job_may_run_until_it_is_finished_or_its_pod_has_ended() {
    let may_run = |job: JobFacts, pods: Vec<PodFacts>| {
        let observed = Observed { pods, jobs: vec![job.clone()], ..Observed::default() };
        observed.may_run(&job)
    };
    let live = || job(json!({}));
    let ended = || pod(json!({"phase": "Failed"}));
    let of_another = || PodFacts { job: "another".into(), ..ended() };
    assert!(may_run(live(), vec![]), "its pod may still come");
    assert!(may_run(live(), vec![of_another()]));
    assert!(may_run(live(), vec![pod(json!({}))]));
    assert!(may_run(live(), vec![ended(), pod(json!({}))]));
    assert!(!may_run(live(), vec![ended()]));
    assert!(!may_run(JobFacts { gone: true, ..live() }, vec![]));
    assert!(!may_run(job(json!({"conditions": [{"type": "Failed", "status": "True"}]})), vec![]));
}

#[test]
fn a_job_that_is_over_lacks_its_pod_where_none_was_seen() {
    let lacks = |job: JobFacts, pods: Vec<PodFacts>| {
        Observed { pods, jobs: vec![job], ..Observed::default() }.lacks_the_pod_of(JOB)
    };
    let live = || job(json!({}));
    assert!(!lacks(live(), vec![]), "it may still come");
    for over in [JobFacts { gone: true, ..live() }, job(json!({"conditions": [{"type": "Failed", "status": "True"}]}))]
    {
        assert!(lacks(over.clone(), vec![]));
        assert!(lacks(over.clone(), vec![PodFacts { job: "another".into(), ..pod(json!({})) }]));
        assert!(!lacks(over.clone(), vec![pod(json!({}))]));
        assert!(!lacks(JobFacts { name: "another".into(), ..over }, vec![]));
    }
}

#[test]
fn an_age_counts_from_the_first_sight_where_that_is_later_than_the_stamp() {
    let [stamp, first, again] = ["2026-03-01T10:00:00Z", "2026-03-01T10:05:00Z", "2026-03-01T10:06:00Z"].map(at);
    let seen = job(json!({})).first_seen(first);
    assert_eq!((seen.created_at, seen.age_from(), seen.finished_from()), (stamp, first, None));
    let ended = job(
        json!({"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-03-01T10:00:03Z"}]}),
    );
    let ended = ended.first_seen(again).after(&seen);
    assert_eq!((ended.age_from(), ended.finished_from()), (first, Some(again)));
    assert_eq!(job(json!({})).first_seen(at("2026-03-01T09:00:00Z")).age_from(), stamp, "a clock that is behind");
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

#[test]
fn a_quota_is_told_from_any_other_refusal() {
    let quota = r#"Error creating: pods "report-7" is forbidden: exceeded quota: small, requested: pods=1, used: pods=5, limited: pods=5"#;
    assert_eq!(no_pod(quota).reason, Reason::QuotaExceeded);
    assert_eq!(no_pod("Error creating: admission webhook denied the request").reason, Reason::LaunchRefused);
    assert_eq!(no_pod(quota).message, quota);
}

#[test]
fn a_mere_word_says_less_than_a_sentence() {
    for word in ["Error: ErrImagePull", "Error: ImagePullBackOff", "Error: ErrImageNeverPull"] {
        assert!(!is_a_sentence(word), "{word}");
    }
    for sentence in ["Failed to pull image \"localhost/none:1\": not found", "Error: secret \"token\" not found"] {
        assert!(is_a_sentence(sentence), "{sentence}");
    }
}
