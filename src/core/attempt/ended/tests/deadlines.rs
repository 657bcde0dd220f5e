//! Ends by a deadline, and whose that was.

use super::*;

/// Its work ran from one second to another.
fn ran(from: i64, to: i64, pod: PodFacts) -> PodFacts {
    let work = Work::Ended { exit_code: 143, started_at: Some(at(from)), at: Some(at(to)), left: None };
    said_by_kubelet("DeadlineExceeded", PodFacts { work, ..pod })
}

fn told(pod: &PodFacts, job: Option<&JobFacts>) -> (Reason, String) {
    let ended = ended(pod, job, at(2000)).expect("an end");
    (ended.reason, ended.message)
}

#[test]
fn a_timeout_names_its_limit_and_the_field_that_sets_it() {
    let launched_with = |seconds| JobFacts { deadline_seconds: Some(seconds), ..job() };
    let pod = |seconds| PodFacts { deadline_seconds: Some(seconds), ..pod() };
    let of_work = (Reason::Timeout, "ran longer than timeoutSeconds, 600 s".to_owned());
    assert_eq!(told(&ran(0, 600, pod(600)), Some(&launched_with(1200))), of_work);
    let lowered = ended_by_us(Reason::Timeout, 631, pod(1200));
    assert_eq!(told(&ran(30, 631, lowered), Some(&launched_with(1200))), of_work);
    let old = PodFacts { timeout_seconds: None, ..pod(600) };
    assert_eq!(told(&ran(20, 600, old), None), of_work, "of an older operator");
    let together = "its pod was ended 1200 s after its start, startDeadlineSeconds and timeoutSeconds together";
    for job in [Some(launched_with(1200)), None] {
        let found = told(&ran(700, 1200, pod(1200)), job.as_ref());
        assert_eq!(found, (Reason::Timeout, together.to_owned()), "{job:?}");
    }
}

#[test]
fn work_that_a_busy_kubelet_lost_track_of_at_its_deadline_ran_out_of_its_time() {
    let job = JobFacts { deadline_seconds: Some(1200), ..job() };
    let of_work = (Reason::Timeout, "ran longer than timeoutSeconds, 600 s".to_owned());
    let lost = |pod| said_by_kubelet("DeadlineExceeded", PodFacts { work: Work::NotStarted, ..pod });
    let lowered = || ended_by_us(Reason::Timeout, 631, pod());
    assert_eq!(told(&lost(lowered()), Some(&job)), of_work, "nobody saw it run, and its deadline was lowered");
    let ran = PodFacts { work: Work::Running { started_at: Some(at(30)) }, ..lowered() };
    let seen = lost(PodFacts { ended_for: None, ..lowered() }).after(&PodFacts { ended_for: None, ..ran });
    assert_eq!(
        told(&seen, Some(&JobFacts { deadline_seconds: Some(631), ..job.clone() })),
        of_work,
        "it was seen to run"
    );
    let cancelled = lost(ended_by_us(Reason::Cancelled, 1, pod()));
    assert_eq!(told(&cancelled, Some(&job)).0, Reason::Cancelled);
}

#[test]
fn a_deadline_that_a_stranger_set_is_told_as_that_and_counts_as_no_failure() {
    let job = JobFacts { deadline_seconds: Some(1200), ..job() };
    let to = |seconds| PodFacts { deadline_seconds: Some(seconds), ..pod() };
    for (what, pod, seconds) in [
        ("lowered", ran(0, 50, to(50)), 50),
        ("lowered, and said to be a timeout", ran(0, 50, ended_by_us(Reason::Timeout, 50, to(50))), 50),
        ("lowered, and said to be ours", ran(0, 50, ended_by_us(Reason::Cancelled, 50, to(50))), 50),
        ("lowered to more than the timeout", ran(700, 1100, to(1100)), 1100),
        ("lowered, and its kubelet did not keep it", gone(deleted_at(200, to(50))), 50),
    ] {
        let ended = ended(&pod, Some(&job), at(2000)).expect("an end");
        let message = format!("somebody lowered its pod's activeDeadlineSeconds to {seconds}, and that ended it");
        assert_eq!((ended.reason, ended.message.as_str()), (Reason::PodDeleted, message.as_str()), "{what}");
        assert_eq!(judge(&ended, &[]), Verdict::Disrupted, "{what}");
    }
    let well = PodFacts { work: ends(0, 50, None), ..ran(0, 50, to(50)) };
    let message =
        "the work ended with 0 after somebody lowered its pod's activeDeadlineSeconds to 50, and that ended it";
    assert_eq!(told(&well, Some(&job)), (Reason::Succeeded, message.into()));
}

#[test]
fn a_word_of_a_stranger_beside_the_deadline_of_the_launch_changes_nothing() {
    let job = JobFacts { deadline_seconds: Some(600), ..job() };
    for why in [Reason::Timeout, Reason::Cancelled, Reason::DeadlineExceeded] {
        let marked = |pod| PodFacts { ended_for: Some(why), ..pod };
        let found = told(&marked(ran(0, 600, pod())), Some(&job));
        assert_eq!(found, (Reason::Timeout, "ran longer than timeoutSeconds, 600 s".into()), "{why}");
        assert_eq!(told(&marked(exited(7)), Some(&job)).0, Reason::ExitCode, "{why}");
    }
}

#[test]
fn a_signal_seconds_before_a_deletion_is_the_deletions_for_clocks_differ() {
    let found = |exit_code, ended, deleted| {
        let pod = PodFacts { phase: Phase::Failed, work: ends(exit_code, ended, None), ..pod() };
        reason(&deleted_at(deleted, pod))
    };
    for code in [143, 137] {
        for (ended, expected) in [(50, Reason::PodDeleted), (45, Reason::PodDeleted), (44, Reason::ExitCode)] {
            assert_eq!(found(code, ended, 50), Some(expected), "{code}, {} s before", 50 - ended);
        }
    }
    assert_eq!(found(3, 49, 50), Some(Reason::ExitCode), "no signal leaves that");
}
