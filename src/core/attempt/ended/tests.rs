mod deadlines;
mod told;

use jiff::Timestamp;

use super::*;
use crate::attempt::facts::container::{FailedInit, MemoryLimit, OutOfMemory};
use crate::attempt::facts::{JobEnd, JobSeen, PodAsked, PodSeen};
use crate::attempt::verdict::{Verdict, judge};
use task_manager_api::{FailureAction, FailureRule};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).expect("a time")
}

/// A pod whose work runs since its node took it on at second 0, and is to end after 600 s.
fn pod() -> PodFacts {
    PodFacts {
        bare: None,
        container: Some("work".into()),
        containers: 1,
        namespace: "docs".into(),
        name: "report-1-x".into(),
        uid: "pod".into(),
        job: "report-1".into(),
        owner: Some("job".into()),
        node: Some("node-3".into()),
        nominated: None,
        unseen_by: None,
        created_at: at(0),
        started_at: Some(at(0)),
        gates: vec![],
        deadline_seconds: Some(600),
        timeout_seconds: Some(600),
        ended_for: None,
        grace_seconds: 30,
        phase: Phase::Running,
        reason: None,
        message: None,
        due_gone_at: None,
        node_silent_since: None,
        deleted_at: None,
        without_grace: false,
        gone_at: None,
        disruption: None,
        disrupted_at: None,
        waiting: None,
        awaited: None,
        not_startable: None,
        work: Work::Running { started_at: Some(at(0)) },
        beside: vec![],
        ends_beside: vec![],
        out_of_memory: None,
        may_be_killed_after: None,
        failed_init: None,
        lists_no_container: false,
        holds: None,
        surplus: Default::default(),
        seen: PodSeen::default(),
        asked: PodAsked::default(),
        events: None,
    }
}

fn ends(exit_code: i32, second: i64, left: Option<&str>) -> Work {
    Work::Ended { exit_code, started_at: Some(at(0)), at: Some(at(second)), left: left.map(str::to_owned) }
}

/// We had it ended for this: its deadline is so many seconds after its start.
fn ended_by_us(ended_for: Reason, seconds: i64, pod: PodFacts) -> PodFacts {
    PodFacts { ended_for: Some(ended_for), deadline_seconds: Some(seconds), ..pod }
}

fn exited(exit_code: i32) -> PodFacts {
    let phase = if exit_code == 0 { Phase::Succeeded } else { Phase::Failed };
    PodFacts { phase, work: ends(exit_code, 50, None), ..pod() }
}

fn leaving(exit_code: i32, left: &str) -> PodFacts {
    PodFacts { work: ends(exit_code, 50, Some(left)), ..exited(exit_code) }
}

/// Deletion was asked for at `second`, with a grace of 30 s.
fn deleted_at(second: i64, pod: PodFacts) -> PodFacts {
    PodFacts { deleted_at: Some(at(second)), due_gone_at: Some(at(second + 30)), ..pod }
}

fn killed_at(second: i64, pod: PodFacts) -> PodFacts {
    PodFacts { phase: Phase::Failed, work: ends(143, second, None), ..pod }
}

fn gone(pod: PodFacts) -> PodFacts {
    PodFacts { gone_at: Some(at(1000)), ..pod }
}

fn disturbed(by: &str) -> PodFacts {
    PodFacts { disruption: Some((by.into(), "said the cluster".into())), ..killed_at(60, pod()) }
}

/// The eviction API took it from its node at `second`.
fn drained_at(second: i64, pod: PodFacts) -> PodFacts {
    let disruption = Some(("EvictionByEvictionAPI".into(), "said the cluster".into()));
    deleted_at(second, PodFacts { disruption, disrupted_at: Some(at(second)), ..pod })
}

fn never_started(reason: &str, message: &str) -> PodFacts {
    let pod = PodFacts { phase: Phase::Failed, work: Work::NotStarted, lists_no_container: true, ..pod() };
    PodFacts { reason: Some(reason.into()), message: Some(message.into()), ..pod }
}

fn said_by_kubelet(reason: &str, pod: PodFacts) -> PodFacts {
    PodFacts { phase: Phase::Failed, reason: Some(reason.into()), message: Some("said the kubelet".into()), ..pod }
}

fn job() -> JobFacts {
    JobFacts {
        kind: Child::Job,
        namespace: "docs".into(),
        name: "report-1".into(),
        uid: "job".into(),
        owner: Some("task".into()),
        created_at: at(0),
        deleting: false,
        deleted_at: None,
        finalizers: vec![],
        gone: false,
        finished: None,
        suspended: false,
        deadline_seconds: Some(600),
        holds: None,
        seen: JobSeen::default(),
    }
}

fn killed(container: &str) -> Option<OutOfMemory> {
    Some(OutOfMemory { container: container.into(), limit: Some(MemoryLimit::OfContainer("16Mi".into())) })
}

fn reason(pod: &PodFacts) -> Option<Reason> {
    ended(pod, Some(&job()), at(1000)).map(|ended| ended.reason)
}

#[test]
fn each_end_of_a_pod_has_its_reason() {
    let out_of_memory = |pod| PodFacts { out_of_memory: killed("beside"), ..pod };
    let failed_init =
        |container: &str, exit_code| Some(FailedInit { container: container.into(), exit_code, at: Some(at(30)) });
    let init = PodFacts { phase: Phase::Failed, work: Work::NotStarted, failed_init: failed_init("fetch", 4), ..pod() };
    let no_such_command = || PodFacts { not_startable: Some("StartError".into()), ..init.clone() };
    for (what, pod, expected) in [
        ("exit 0", exited(0), Reason::Succeeded),
        ("exit 0, then deleted", deleted_at(20, exited(0)), Reason::Succeeded),
        ("exit 0, and gone", gone(exited(0)), Reason::Succeeded),
        ("exit 0 at its timeout", said_by_kubelet("DeadlineExceeded", exited(0)), Reason::Succeeded),
        (
            "exit 0, a sidecar killed at the end",
            PodFacts { failed_init: failed_init("sidecar", 137), ..exited(0) },
            Reason::Succeeded,
        ),
        ("phase Succeeded, container unseen", PodFacts { work: Work::NotStarted, ..exited(0) }, Reason::Succeeded),
        ("exit 7", exited(7), Reason::ExitCode),
        ("exit 7, and gone", gone(exited(7)), Reason::ExitCode),
        ("exit 7 before the deletion was asked for", deleted_at(51, exited(7)), Reason::ExitCode),
        ("exit 7 long before a deletion that came after its timeout", deleted_at(900, exited(7)), Reason::ExitCode),
        (
            "exit 7 in time, told only after its deadline",
            said_by_kubelet("DeadlineExceeded", exited(7)),
            Reason::ExitCode,
        ),
        (
            "exit 7 in time, after its deadline was lowered",
            said_by_kubelet("DeadlineExceeded", ended_by_us(Reason::Timeout, 51, exited(7))),
            Reason::ExitCode,
        ),
        (
            "exit 7 long before the containers beside it were ended",
            said_by_kubelet("DeadlineExceeded", ended_by_us(Reason::Stopping, 1, exited(7))),
            Reason::ExitCode,
        ),
        (
            "exit 0 long before the containers beside it were ended",
            said_by_kubelet("DeadlineExceeded", ended_by_us(Reason::Stopping, 1, exited(0))),
            Reason::Succeeded,
        ),
        (
            "ended for a deadline that nobody wants to keep any longer",
            said_by_kubelet("DeadlineExceeded", ended_by_us(Reason::DeadlineExceeded, 1, killed_at(60, pod()))),
            Reason::DeadlineExceeded,
        ),
        ("timeout, and a kubelet that does not say so", killed_at(600, pod()), Reason::Timeout),
        (
            "exit 7 in the second of the deletion, which may have ended it",
            deleted_at(50, exited(7)),
            Reason::PodDeleted,
        ),
        (
            "exit 7, and a word of the kubelet's that we do not know",
            said_by_kubelet("Odd", exited(7)),
            Reason::ExitCode,
        ),
        ("killed by the deletion", deleted_at(50, killed_at(51, pod())), Reason::PodDeleted),
        ("gone while it ran", gone(pod()), Reason::PodDeleted),
        ("out of memory", out_of_memory(exited(137)), Reason::OOMKilled),
        ("a part of the work out of memory, which ended well", out_of_memory(exited(0)), Reason::OOMKilled),
        (
            "out of memory at its timeout",
            out_of_memory(said_by_kubelet("DeadlineExceeded", exited(137))),
            Reason::OOMKilled,
        ),
        ("timeout, by the kubelet", said_by_kubelet("DeadlineExceeded", killed_at(600, pod())), Reason::Timeout),
        ("timeout, by us", deleted_at(660, killed_at(661, pod())), Reason::Timeout),
        ("timeout, by us, gone unseen", gone(deleted_at(660, pod())), Reason::Timeout),
        ("preempted", disturbed("PreemptionByScheduler"), Reason::Preempted),
        ("taint", disturbed("DeletionByTaintManager"), Reason::NodeLost),
        ("its node is gone", disturbed("DeletionByPodGC"), Reason::NodeLost),
        ("drained", disturbed("EvictionByEvictionAPI"), Reason::Evicted),
        ("the node ran short, or shut down", disturbed("TerminationByKubelet"), Reason::Evicted),
        ("a reason of a newer Kubernetes", disturbed("DeletionByMoonlight"), Reason::Evicted),
        ("exit 7, and its helpers drained a second later", drained_at(51, exited(7)), Reason::ExitCode),
        ("exit 7 in the second of the drain, which may have ended it", drained_at(50, exited(7)), Reason::Evicted),
        ("killed by the drain", drained_at(58, killed_at(60, pod())), Reason::Evicted),
        (
            "a signal so shortly before the drain that clocks may differ",
            drained_at(63, killed_at(60, pod())),
            Reason::Evicted,
        ),
        ("a signal long before the drain", drained_at(66, killed_at(60, pod())), Reason::ExitCode),
        (
            "exit 7, then its node was lost under its helpers",
            said_by_kubelet("NodeLost", deleted_at(51, exited(7))),
            Reason::ExitCode,
        ),
        (
            "evicted, with DisruptionTarget",
            said_by_kubelet("Evicted", disturbed("TerminationByKubelet")),
            Reason::Evicted,
        ),
        ("evicted, without", said_by_kubelet("Evicted", killed_at(60, pod())), Reason::DiskLimit),
        ("the node shut down, in old words", said_by_kubelet("Terminated", killed_at(60, pod())), Reason::Evicted),
        (
            "no cpu left on the node",
            never_started("OutOfcpu", "Node didn't have enough resource: cpu"),
            Reason::RejectedByNode,
        ),
        (
            "the node would not have it",
            never_started("UnexpectedAdmissionError", "Allocate failed"),
            Reason::RejectedByNode,
        ),
        ("labels changed", never_started("NodeAffinity", "Predicate NodeAffinity failed"), Reason::RejectedByNode),
        ("refused under pressure", never_started("Evicted", "The node had condition"), Reason::RejectedByNode),
        ("refused at a shutdown", never_started("NodeShutdown", "shutting down"), Reason::RejectedByNode),
        ("lost, by the node controller's word", said_by_kubelet("NodeLost", pod()), Reason::NodeLost),
        ("no such command", no_such_command(), Reason::ContainerConfig),
        ("no such command, and deleted", gone(deleted_at(40, no_such_command())), Reason::ContainerConfig),
        (
            "no such command beside a timeout",
            said_by_kubelet("DeadlineExceeded", no_such_command()),
            Reason::ContainerConfig,
        ),
        ("too little memory to start", out_of_memory(no_such_command()), Reason::OOMKilled),
        ("init container", init.clone(), Reason::ExitCode),
        ("init container killed by the deletion", deleted_at(10, init), Reason::PodDeleted),
        (
            "failed without a word, and still there",
            PodFacts { phase: Phase::Failed, work: Work::NotStarted, ..pod() },
            Reason::NodeLost,
        ),
    ] {
        assert_eq!(reason(&pod), Some(expected), "{what}");
    }
}

#[test]
fn a_pod_that_runs_or_starts_has_not_ended() {
    let pending = PodFacts { phase: Phase::Pending, work: Work::NotStarted, ..pod() };
    let disturbed = PodFacts { phase: Phase::Running, work: pod().work, ..disturbed("EvictionByEvictionAPI") };
    let beside_runs = PodFacts { phase: Phase::Running, ..exited(0) };
    for pod in [pod(), pending, disturbed, beside_runs, deleted_at(990, pod())] {
        assert_eq!(reason(&pod), None, "{pod:?}");
    }
}

#[test]
fn a_node_counts_as_lost_sixty_seconds_after_its_pod_should_be_gone_and_not_before() {
    let pod = PodFacts { node: Some("node-3".into()), ..deleted_at(100, pod()) };
    let with_node = |node| PodFacts { asked: PodAsked { node, ..PodAsked::default() }, ..pod.clone() };
    let judged = |node, second| ended(&with_node(node), None, at(second)).map(|ended| (ended.reason, ended.message));
    for second in [130 + 60, 130 + 61] {
        let reasons = [NodeState::Silent, NodeState::NotKnown].map(|node| judged(node, second).map(|ended| ended.0));
        assert_eq!(reasons, [(second > 190).then_some(Reason::NodeLost); 2]);
    }
    assert_eq!(judged(NodeState::Answers, 1000), None, "it is only slow");
    assert_eq!(judged(NodeState::NotAsked, 1000), None, "nobody was asked yet");
    let (_, not_known) = judged(NodeState::NotKnown, 1000).expect("it is lost");
    assert!(not_known.contains("may not be read"), "{not_known}");
    let without_node = PodFacts { node: None, ..pod.clone() };
    assert_eq!(ended(&without_node, None, at(1000)).map(|ended| ended.reason), Some(Reason::NodeLost));
}

fn silent(pod: PodFacts) -> PodFacts {
    PodFacts { asked: PodAsked { node: NodeState::Silent, ..PodAsked::default() }, ..pod }
}

#[test]
fn what_a_lost_node_said_last_is_believed() {
    let preempted = PodFacts {
        disruption: Some(("PreemptionByScheduler".into(), String::new())),
        ..silent(deleted_at(100, pod()))
    };
    assert_eq!(ended(&preempted, None, at(1000)).map(|ended| ended.reason), Some(Reason::Preempted));
}

#[test]
fn a_deleted_job_is_told_from_a_deleted_pod() {
    let pod = gone(pod());
    for (job, expected) in [
        (None, Reason::PodDeleted),
        (Some(job()), Reason::PodDeleted),
        (Some(JobFacts { deleting: true, ..job() }), Reason::JobDeleted),
        (Some(JobFacts { gone: true, ..job() }), Reason::JobDeleted),
    ] {
        assert_eq!(ended(&pod, job.as_ref(), at(1000)).map(|ended| ended.reason), Some(expected), "{job:?}");
    }
}

#[test]
fn the_job_of_a_deleted_pod_is_waited_for_before_the_pod_is_judged() {
    let (job, ended) = (job(), Some(JobEnd { succeeded: false, at: at(999) }));
    let until = |pod: PodFacts, job: &JobFacts| job_may_tell_until(&pod, Some(job));
    assert_eq!(until(gone(pod()), &job), Some(at(1005)));
    assert_eq!(until(killed_at(40, deleted_at(39, pod())), &job), Some(at(39 + 30 + 5)), "SIGTERM ended it");
    assert_eq!(until(gone(pod()), &JobFacts { gone: true, ..job.clone() }), None);
    assert_eq!(until(gone(pod()), &JobFacts { deleting: true, ..job.clone() }), None);
    assert_eq!(until(gone(pod()), &JobFacts { finished: ended, ..job.clone() }), None);
    assert_eq!(until(gone(exited(0)), &job), None, "the pod itself has told");
    assert_eq!(until(deleted_at(39, pod()), &job), None, "it has not ended");
    assert_eq!(until(said_by_kubelet("Silence", pod()), &job), None, "nobody deleted it");
}

#[test]
fn a_pod_that_went_unseen_is_not_run_again_when_its_job_succeeded() {
    let job = JobFacts { finished: Some(JobEnd { succeeded: true, at: at(60) }), ..job() };
    let ended = ended(&gone(pod()), Some(&job), at(1000)).expect("an end");
    assert_eq!((ended.reason, judge(&ended, &[])), (Reason::ResultLost, Verdict::Succeeded));
    assert!(ended.message.contains("report-1"), "{}", ended.message);
    let failed = crate::attempt::ended::ended(&gone(exited(7)), Some(&job), at(1000)).map(|ended| ended.reason);
    assert_eq!(failed, Some(Reason::ExitCode), "what the pod itself said goes first");
}

#[test]
fn an_end_tells_what_a_person_needs_to_know() {
    let of = |pod: &PodFacts| ended(pod, Some(&job()), at(1000)).expect("an end");
    assert_eq!(of(&exited(7)).message, "the work ended with exit code 7");
    assert_eq!(
        of(&leaving(7, "Traceback:\nKeyError: 'uri'\n")).message,
        "the work ended with exit code 7: KeyError: 'uri'"
    );
    assert_eq!((of(&exited(7)).exit_code, of(&exited(7)).at), (Some(7), Some(at(50))));
    let out_of_memory = of(&PodFacts { out_of_memory: killed("beside"), ..exited(7) }).message;
    assert_eq!(out_of_memory, "container beside was killed at its memory limit of 16Mi");
    assert!(of(&disturbed("EvictionByEvictionAPI")).message.contains("said the cluster"));
    let refused = of(&never_started("OutOfcpu", "Pod was rejected: not enough cpu"));
    assert_eq!(refused.message, "OutOfcpu: not enough cpu");
    assert!(of(&gone(pod())).message.contains("report-1-x"));
}

#[test]
fn the_last_line_alone_of_a_long_failure_is_told_and_cut() {
    let message = ended(&leaving(1, &format!("first\n{}", "é".repeat(3000))), None, at(1000)).expect("an end").message;
    assert!(message.chars().count() < 300 && message.ends_with("é…") && !message.contains("first"), "{message}");
    let cut_by_the_kubelet = leaving(1, "\u{fffd}\u{fffd}no disk");
    let message = ended(&cut_by_the_kubelet, None, at(1000)).expect("an end").message;
    assert_eq!(message, "the work ended with exit code 1: no disk");
}

#[test]
fn an_error_that_the_work_reports_is_read() {
    let said = r#"{"error": {"type": "RateLimited", "message": "try later", "retryable": true}}"#;
    let told = ended(&leaving(1, said), None, at(1000)).expect("an end");
    assert_eq!((told.reason, told.message.as_str()), (Reason::ReportedError, "RateLimited: try later"));
    let reported =
        Reported { type_: Some("RateLimited".into()), message: Some("try later".into()), retryable: Some(true) };
    assert_eq!(told.reported, Some(reported));
}

#[test]
fn what_is_no_report_is_an_exit_code() {
    for left in
        ["", "{}", "[1]", "error", r#"{"error": "plain text"}"#, r#"{"error": null}"#, r#"{"error": {"type": "Cut"#]
    {
        assert_eq!(reason(&leaving(1, left)), Some(Reason::ExitCode), "{left}");
    }
}

#[test]
fn a_report_with_odd_fields_is_still_a_report() {
    let told = ended(&leaving(1, r#"{"error": {"type": 7, "message": ["x"], "retryable": "no"}}"#), None, at(1000))
        .expect("an end");
    assert_eq!((told.reason, told.reported), (Reason::ReportedError, Some(Reported::default())));
    assert_eq!(told.message, "the work ended with exit code 1");
}

#[test]
fn a_report_beside_exit_0_is_a_result_and_not_an_error() {
    assert_eq!(reason(&leaving(0, r#"{"error": {"type": "Nothing"}}"#)), Some(Reason::Succeeded));
}

#[test]
fn work_that_was_killed_by_a_deletion_is_not_judged_by_what_it_left() {
    let pod = deleted_at(40, leaving(143, r#"{"error": {"retryable": false}}"#));
    let told = ended(&pod, None, at(1000)).expect("an end");
    assert_eq!((told.reason, judge(&told, &[])), (Reason::PodDeleted, Verdict::Disrupted));
}

#[test]
fn a_pod_that_every_node_refuses_fails_for_good_and_any_other_is_retried() {
    for (word, expected) in [
        ("SysctlForbidden", Verdict::FailedForGood),
        ("PodOSNotSupported", Verdict::FailedForGood),
        ("OutOfcpu", Verdict::Disrupted),
        ("AppArmor", Verdict::Disrupted),
        ("SomethingNew", Verdict::Disrupted),
    ] {
        let told = ended(&never_started(word, "said"), Some(&job()), at(1000)).expect("an end");
        assert_eq!(judge(&told, &[]), expected, "{word}");
    }
}

#[test]
fn a_pod_whose_job_somebody_suspended_was_preempted() {
    let killed = deleted_at(50, killed_at(51, pod()));
    for (suspended, gone_job, expected) in
        [(true, false, Reason::Preempted), (true, true, Reason::Preempted), (false, true, Reason::JobDeleted)]
    {
        let job = JobFacts { suspended, gone: gone_job, ..job() };
        let told = ended(&killed, Some(&job), at(1000)).expect("an end");
        assert_eq!((told.reason, judge(&told, &[])), (expected, Verdict::Disrupted));
    }
}

#[test]
fn what_was_cut_short_and_is_wanted_again_counts_as_no_failure() {
    for why in [Reason::Cancelled, Reason::Superseded, Reason::DeadlineExceeded] {
        let told = ended(&ended_by_us(why, 1, killed_at(60, pod())), Some(&job()), at(1000)).expect("an end");
        assert_eq!((told.reason, judge(&told, &[])), (why, Verdict::Disrupted));
    }
}

#[test]
fn the_last_version_of_a_deleted_pod_does_not_make_its_end_a_failure_of_the_work() {
    let seen = deleted_at(40, pod());
    let last = PodFacts {
        due_gone_at: Some(at(60)),
        deleted_at: Some(at(60)),
        without_grace: true,
        gone_at: Some(at(60)),
        ..exited(137)
    };
    let told = |pod: &PodFacts| ended(pod, Some(&job()), at(61)).map(|ended| ended.reason);
    assert_eq!(told(&last.clone().after(&seen)), Some(Reason::PodDeleted), "its deletion was seen before");
    assert_eq!(told(&last), Some(Reason::PodDeleted), "its deletion was not seen, and a signal ended it");
    let failed = PodFacts { work: exited(3).work, ..last };
    assert_eq!(told(&failed), Some(Reason::ExitCode), "no signal leaves that");
}

#[test]
fn a_container_that_could_not_be_started_has_no_exit_code_and_is_not_tried_again() {
    let pod = PodFacts { work: Work::NotStarted, not_startable: Some("no such file".into()), ..exited(128) };
    let told = ended(&pod, None, at(1000)).expect("an end");
    assert_eq!((told.exit_code, told.left.as_deref(), told.message.as_str()), (None, None, "no such file"));
    assert_eq!(judge(&told, &[]), Verdict::FailedForGood);
    let reasons = Some(vec![Reason::ContainerConfig]);
    let again = FailureRule { reasons, action: FailureAction::Retry, ..FailureRule::default() };
    assert_eq!(judge(&told, &[again]), Verdict::Failed);
}
