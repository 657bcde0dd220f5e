//! Who ended a pod, and which helpers failed: told beside the reason, and never instead.

use super::*;
use crate::attempt::facts::container::{Beside, EndBeside};

fn of(pod: &PodFacts) -> Ended {
    ended(pod, Some(&job()), at(1000)).expect("an end")
}

fn disturbed_by(by: &str, pod: PodFacts) -> PodFacts {
    PodFacts { disruption: Some((by.into(), "said the cluster".into())), ..pod }
}

#[test]
fn work_that_ends_well_after_somebody_ended_its_pod_says_who() {
    let suspended = || JobFacts { suspended: true, ..job() };
    let deleted = || JobFacts { gone: true, ..job() };
    let probed = PodAsked { killed_for: Some("its liveness probe failed: 500".into()), ..PodAsked::default() };
    for (pod, job, expected) in [
        (exited(0), job(), None),
        (gone(exited(0)), job(), None),
        (deleted_at(51, exited(0)), job(), None),
        (deleted_at(50, exited(0)), job(), Some("its pod was deleted")),
        (deleted_at(20, exited(0)), suspended(), Some("its Job report-1 was suspended")),
        (deleted_at(20, exited(0)), deleted(), Some("its Job report-1 was deleted")),
        (gone(exited(0)), deleted(), None),
        (
            deleted_at(20, disturbed_by("EvictionByEvictionAPI", exited(0))),
            job(),
            Some("the pod was evicted: EvictionByEvictionAPI: said the cluster"),
        ),
        (deleted_at(60, disturbed_by("EvictionByEvictionAPI", exited(0))), job(), None),
        (PodFacts { disrupted_at: Some(at(60)), ..disturbed_by("TerminationByKubelet", exited(0)) }, job(), None),
        (
            disturbed_by("PreemptionByScheduler", exited(0)),
            job(),
            Some("the pod was preempted: PreemptionByScheduler: said the cluster"),
        ),
        (
            disturbed_by("DeletionByTaintManager", exited(0)),
            job(),
            Some("the pod was deleted from its node: DeletionByTaintManager: said the cluster"),
        ),
        (said_by_kubelet("Evicted", exited(0)), job(), Some("the pod was evicted: Evicted: said the kubelet")),
        (ended_by_us(Reason::DeadlineExceeded, 1, exited(0)), job(), Some("its pod was ended for DeadlineExceeded")),
        (PodFacts { work: ends(0, 601, None), ..exited(0) }, job(), Some("it ran longer than timeoutSeconds, 600 s")),
        (PodFacts { asked: probed, ..exited(0) }, job(), Some("its liveness probe failed: 500")),
    ] {
        let told = ended(&pod, Some(&job), at(1000)).expect("an end");
        let message = expected.map(|by| format!("the work ended with 0 after {by}")).unwrap_or_default();
        assert_eq!((told.reason, told.told()), (Reason::Succeeded, message), "{pod:?}");
    }
}

#[test]
fn a_probe_or_a_hook_that_ended_the_work_is_told_with_its_exit_code() {
    let probed = |pod: PodFacts| {
        let killed_for = Some("its liveness probe failed: no heartbeat".to_owned());
        of(&PodFacts { asked: PodAsked { killed_for, ..PodAsked::default() }, ..pod })
    };
    let told = probed(exited(137));
    assert_eq!(told.message, "the work ended with exit code 137 after its liveness probe failed: no heartbeat");
    assert_eq!((told.reason, judge(&told, &[])), (Reason::ExitCode, Verdict::Failed));
    let left = probed(leaving(143, "saved\npage 7")).message;
    assert!(left.ends_with("after its liveness probe failed: no heartbeat; its last words: page 7"), "{left}");
    let said = probed(leaving(1, r#"{"error": {"type": "Stuck"}}"#)).message;
    assert_eq!(said, "Stuck; it ended after its liveness probe failed: no heartbeat");
    assert_eq!(of(&exited(137)).message, "the work ended with exit code 137", "nobody knows");
}

#[test]
fn events_are_asked_for_where_a_probe_or_a_hook_may_have_ended_the_work() {
    let probed = |seconds, pod| PodFacts { may_be_killed_after: Some(seconds), ..pod };
    for (what, pod, expected) in [
        ("it has neither", exited(137), false),
        ("a hook", probed(0, exited(137)), true),
        ("a probe that takes as long", probed(50, exited(143)), true),
        ("with stamps of whole seconds", probed(51, exited(143)), true),
        ("a probe that takes longer", probed(52, exited(143)), false),
        ("it ended well all the same", probed(20, exited(0)), true),
        ("by its own exit code", probed(20, exited(1)), true),
        ("it runs", probed(20, pod()), false),
        ("its pod was deleted", deleted_at(40, probed(20, exited(143))), false),
        ("its pod was deleted, and it ended well", deleted_at(40, probed(20, exited(0))), false),
        ("its time was over", killed_at(600, probed(20, pod())), false),
        ("it was evicted", disturbed_by("EvictionByEvictionAPI", probed(20, exited(137))), false),
        ("it was out of memory", PodFacts { out_of_memory: killed("work"), ..probed(20, exited(137)) }, false),
    ] {
        assert_eq!(may_have_been_killed(&pod), expected, "{what}");
    }
}

fn still_runs(container: &str) -> Beside {
    Beside { container: container.into(), runs: true }
}

fn ended_beside(container: &str, exit_code: i32, second: i64) -> EndBeside {
    let (container, exit_code) = (container.into(), Some(exit_code));
    EndBeside { container, is_sidecar: false, exit_code, at: Some(at(second)), out_of_memory: None }
}

#[test]
fn the_helper_for_which_the_job_of_good_work_failed_is_named() {
    let with = |ends: Vec<EndBeside>, pod: PodFacts| PodFacts { phase: Phase::Failed, ends_beside: ends, ..pod };
    let stopping = || ended_by_us(Reason::Stopping, 1, exited(0));
    let out_of_memory = EndBeside { out_of_memory: killed("proxy"), ..ended_beside("proxy", 137, 20) };
    let sidecar = EndBeside { is_sidecar: true, ..ended_beside("mesh", 2, 55) };
    let made_up = EndBeside { exit_code: None, at: None, ..ended_beside("proxy", 137, 0) };
    for (pod, expected) in [
        (exited(0), ""),
        (with(vec![ended_beside("proxy", 3, 20)], exited(0)), "container proxy ended with exit code 3"),
        (with(vec![ended_beside("proxy", 143, 61)], stopping()), "container proxy had to be ended"),
        (with(vec![ended_beside("proxy", 0, 60)], stopping()), "container proxy had to be ended"),
        // A busy kubelet may tell the end of the pod alone.
        (PodFacts { beside: vec![still_runs("proxy")], ..with(vec![], stopping()) }, "container proxy had to be ended"),
        (
            with(vec![ended_beside("early", 3, 20), ended_beside("proxy", 137, 90)], stopping()),
            "container early ended with exit code 3, container proxy had to be ended",
        ),
        (with(vec![ended_beside("proxy", 9, 57)], exited(0)), "container proxy ended with exit code 9"),
        (with(vec![out_of_memory], exited(0)), "container proxy was killed at its memory limit of 16Mi"),
        (with(vec![made_up], stopping()), "container proxy did not start"),
        (with(vec![sidecar], exited(0)), ""),
        (
            with(vec![ended_beside("proxy", 143, 50)], deleted_at(40, exited(0))),
            "the work ended with 0 after its pod was deleted",
        ),
    ] {
        let told = of(&pod);
        assert_eq!((told.reason, told.told().as_str()), (Reason::Succeeded, expected), "{pod:?}");
    }
}

#[test]
fn a_helper_that_failed_before_the_work_is_added_to_the_works_own_reason() {
    let with = |end: EndBeside| PodFacts { ends_beside: vec![end], ..exited(7) };
    let crashed = of(&with(ended_beside("proxy", 3, 20)));
    assert_eq!(crashed.reason, Reason::ExitCode);
    assert_eq!(crashed.told(), "the work ended with exit code 7; container proxy ended with exit code 3");
    let sidecar = EndBeside { is_sidecar: true, ..ended_beside("mesh", 2, 50) };
    assert!(of(&with(sidecar)).told().ends_with("; container mesh ended with exit code 2"));
    let reported = Reported { message: Some("no proxy".into()), ..Reported::default() };
    let reported = of(&with(ended_beside("proxy", 3, 20))).with_report(&reported);
    assert_eq!(reported.told(), "no proxy; container proxy ended with exit code 3");
    for end in [ended_beside("proxy", 3, 51), ended_beside("proxy", 0, 20)] {
        assert_eq!(of(&with(end.clone())).told(), "the work ended with exit code 7", "{end:?}");
    }
    let beside = vec![Beside { container: "proxy".into(), runs: false }];
    let told = of(&PodFacts { beside, ..exited(7) }).told();
    assert_eq!(told, "the work ended with exit code 7; container proxy did not start");
}

#[test]
fn only_work_that_was_out_of_memory_itself_lacks_memory() {
    for (container, expected) in [("work", true), ("proxy", false)] {
        let told = of(&PodFacts { out_of_memory: killed(container), ..exited(137) });
        assert_eq!((told.reason, told.lacks_memory), (Reason::OOMKilled, expected));
        assert_eq!(told.message, format!("container {container} was killed at its memory limit of 16Mi"));
    }
}
