use strum::IntoEnumIterator;

use super::*;
use crate::attempt::ended::Reported;

fn with_reason(reason: Reason) -> Ended {
    let message = String::new();
    Ended::unseen(reason, message)
}

#[test]
fn every_reason_has_its_built_in_verdict() {
    use Reason::*;
    let disrupted = [Evicted, Preempted, NodeLost, PodDeleted, JobDeleted, WorkerLost, RejectedByNode];
    let not_started = [ImageUnavailable, ContainerConfig, StartTimeout];
    let ended_for_others = [Cancelled, Deleted, Superseded, DeadlineExceeded];
    let of_a_later_version = [Unknown];
    let uncounted = [&disrupted[..], &not_started, &ended_for_others, &of_a_later_version].concat();
    for reason in Reason::iter() {
        let expected = match reason {
            Succeeded | ResultLost => Verdict::Succeeded,
            reason if uncounted.contains(&reason) => Verdict::Disrupted,
            _ => Verdict::Failed,
        };
        assert_eq!(judge(&with_reason(reason), &[]), expected, "{reason}");
        let permanent = Ended { permanent: true, ..with_reason(reason) };
        let for_good = if expected == Verdict::Succeeded { expected } else { Verdict::FailedForGood };
        assert_eq!(judge(&permanent, &[]), for_good, "{reason}");
    }
}

#[test]
fn what_the_work_reports_decides_over_the_built_in_verdict() {
    for (retryable, expected) in
        [(Some(true), Verdict::Failed), (Some(false), Verdict::FailedForGood), (None, Verdict::Failed)]
    {
        let reported = Some(Reported { retryable, ..Reported::default() });
        assert_eq!(judge(&Ended { reported, ..with_reason(Reason::ReportedError) }, &[]), expected, "{retryable:?}");
    }
}

fn rule(action: FailureAction) -> FailureRule {
    FailureRule { action, ..FailureRule::default() }
}

fn on_codes(codes: &[i32], action: FailureAction) -> FailureRule {
    FailureRule { exit_codes: Some(codes.into()), ..rule(action) }
}

fn on_reasons(reasons: &[Reason], action: FailureAction) -> FailureRule {
    FailureRule { reasons: Some(reasons.into()), ..rule(action) }
}

fn on_types(types: &[&str], action: FailureAction) -> FailureRule {
    FailureRule { error_types: Some(types.iter().map(|type_| (*type_).into()).collect()), ..rule(action) }
}

fn with_code(exit_code: i32) -> Ended {
    Ended { exit_code: Some(exit_code), ..with_reason(Reason::ExitCode) }
}

fn with_type(type_: &str, retryable: Option<bool>) -> Ended {
    let reported = Some(Reported { type_: Some(type_.into()), message: None, retryable });
    Ended { reported, exit_code: Some(1), ..with_reason(Reason::ReportedError) }
}

#[test]
fn each_action_of_a_rule_has_its_verdict() {
    for (action, expected) in [
        (FailureAction::Fail, Verdict::FailedForGood),
        (FailureAction::Retry, Verdict::Failed),
        (FailureAction::Ignore, Verdict::Disrupted),
    ] {
        assert_eq!(judge(&with_code(65), &[on_codes(&[64, 65], action)]), expected, "{action:?}");
    }
}

#[test]
fn the_first_rule_that_matches_wins() {
    let rules = [on_codes(&[1], FailureAction::Ignore), on_reasons(&[Reason::ExitCode], FailureAction::Fail)];
    assert_eq!(judge(&with_code(1), &rules), Verdict::Disrupted);
    assert_eq!(judge(&with_code(2), &rules), Verdict::FailedForGood);
    assert_eq!(judge(&with_reason(Reason::Timeout), &rules), Verdict::Failed, "no rule matches");
}

#[test]
fn the_fields_of_one_rule_are_anded() {
    let rules = [FailureRule { reasons: Some(vec![Reason::ReportedError]), ..on_codes(&[1], FailureAction::Ignore) }];
    assert_eq!(judge(&with_type("Any", None), &rules), Verdict::Disrupted);
    assert_eq!(judge(&with_code(1), &rules), Verdict::Failed, "the code alone");
    let other_code = Ended { exit_code: Some(2), ..with_type("Any", None) };
    assert_eq!(judge(&other_code, &rules), Verdict::Failed, "the reason alone");
}

#[test]
fn a_rule_goes_over_what_the_work_reports_and_over_what_is_built_in() {
    let rules =
        [on_types(&["RateLimited"], FailureAction::Ignore), on_reasons(&[Reason::Evicted], FailureAction::Fail)];
    assert_eq!(judge(&with_type("RateLimited", Some(false)), &rules), Verdict::Disrupted);
    assert_eq!(judge(&with_type("Other", Some(false)), &rules), Verdict::FailedForGood);
    assert_eq!(judge(&with_reason(Reason::Evicted), &rules), Verdict::FailedForGood);
}

#[test]
fn a_rule_on_exit_codes_or_types_does_not_match_what_has_none() {
    let rules = [on_codes(&[1], FailureAction::Fail), on_types(&["T"], FailureAction::Fail)];
    assert_eq!(judge(&with_reason(Reason::NodeLost), &rules), Verdict::Disrupted);
    let untyped = Ended { reported: Some(Reported::default()), ..with_reason(Reason::ReportedError) };
    assert_eq!(judge(&untyped, &rules), Verdict::Failed);
}

#[test]
fn no_rule_makes_a_failure_of_a_success() {
    let rules = [
        on_reasons(&[Reason::Succeeded, Reason::ResultLost], FailureAction::Fail),
        on_codes(&[0], FailureAction::Fail),
    ];
    let success = Ended { exit_code: Some(0), ..with_reason(Reason::Succeeded) };
    assert_eq!(judge(&success, &rules), Verdict::Succeeded);
    assert_eq!(judge(&with_reason(Reason::ResultLost), &rules), Verdict::Succeeded);
}
