//! Failures: what is counted, what is tried again, and when.

use harness::*;
use jiff::SignedDuration;
use kube::ResourceExt;
use serde_json::json;
use task_manager::api::{Amount, AttemptOutcome, FailureAction, FailureRule, Quantity, Reason, Retry, State, Task};

use crate::stage::{set, started, status};

fn limit(limit: i32) -> Option<Retry> {
    Some(Retry { limit: Some(limit), ..Retry::default() })
}

#[tokio::test]
async fn two_failures_then_success_leave_a_record_of_each() {
    in_namespaces("flaky", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = set(&ns, &[]).await;
        let tasks = ns.record::<Task>().await;
        node.script("flaky", [Outcome::exit(1), Outcome::Exit(2, Some("no space\nleft".into())), Outcome::succeed()]);
        let retry = Retry { initial_seconds: Some(5), factor: Some(1.2), ..Retry::default() };
        ns.create(&task("flaky").with(|spec| spec.retry = Some(retry))).await;
        ns.task_when("flaky", "waits for its retry", |_, status| status.reason == Reason::WaitingForRetry).await;
        ns.create(&task("other")).await;
        ns.task_in("other", State::Completed).await;
        let waiting = status(&ns.task("flaky").await);
        assert_eq!((waiting.state, waiting.attempt), (State::Queued, 1), "the other one had the slot meanwhile");
        assert_eq!(waiting.admitted, None);

        let done = status(&ns.task_in("flaky", State::Completed).await);
        assert_eq!((done.attempt, done.failures, done.disruptions), (3, 2, 0));
        let recorded: Vec<_> = done
            .attempts
            .iter()
            .map(|attempt| (attempt.number, attempt.outcome, attempt.reason, attempt.exit_code))
            .collect();
        assert_eq!(
            recorded,
            [
                (1, AttemptOutcome::Failed, Reason::ExitCode, Some(1)),
                (2, AttemptOutcome::Failed, Reason::ExitCode, Some(2)),
                (3, AttemptOutcome::Succeeded, Reason::Succeeded, Some(0)),
            ]
        );
        assert_eq!(done.attempts[1].message.as_deref(), Some("the work ended with exit code 2: left"));
        assert!(done.attempts[0].pod != done.attempts[1].pod, "each attempt has its own pod");
        each_pause_is_right(&tasks, "flaky", &[5.0, 6.0]);
    })
    .await;
}

/// The pauses told, each within a tenth, and no attempt before its time.
fn each_pause_is_right(tasks: &Recorder<Task>, name: &str, pauses: &[f64]) {
    let seen = tasks.seen();
    let versions = || seen.iter().filter(|seen| seen.object.metadata.name.as_deref() == Some(name));
    for (number, pause) in pauses.iter().enumerate() {
        let of = |state: State, attempt: usize| {
            versions().find(|seen| {
                let status = status(&seen.object);
                status.state == state && status.attempt as usize == attempt
            })
        };
        let waiting = of(State::Queued, number + 1).expect("it waited");
        let next = status(&waiting.object).next_attempt_at.expect("until when").0;
        let told = next.duration_since(waiting.at).as_secs_f64();
        // The watch showed it a little later than it was decided.
        assert!((pause * 0.9 - 1.0..=pause * 1.1).contains(&told), "pause {} is {told} s", number + 1);
        let admitted =
            status(&of(State::Processing, number + 2).expect("it went on").object).admitted_at.expect("a time").0;
        assert!(admitted >= next, "attempt {} came {} too early", number + 2, next - admitted);
        assert!(
            admitted <= next + SignedDuration::from_secs(5),
            "attempt {} came {} late",
            number + 2,
            admitted - next
        );
    }
}

#[tokio::test]
async fn a_task_fails_when_its_retries_are_used_up_and_not_one_attempt_later() {
    in_namespaces("used-up", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::exit(1));
        ns.create(&task("none").with(|spec| spec.retry = limit(0))).await;
        ns.create(&task("two").with(|spec| spec.retry = limit(2))).await;
        for (name, attempts) in [("none", 1), ("two", 3)] {
            let failed = status(&ns.task_in(name, State::Failed).await);
            assert_eq!((failed.attempt, failed.failures, failed.reason), (attempts, attempts, Reason::ExitCode));
            assert!(failed.message.is_some_and(|message| message.contains("retries used up")));
        }
        stays("no further attempt", A_MOMENT, async || node.starts_of("two") == 3 && node.starts_of("none") == 1).await;
        let waited = ns.kubectl(&["wait", "--for=condition=Failed", "--timeout=5s", "task/none", "task/two"]).await;
        assert!(waited.status.success(), "{waited:?}");
    })
    .await;
}

#[tokio::test]
async fn a_crash_of_the_operator_neither_adds_nor_loses_a_failure() {
    in_namespaces("crashes", async |ns| {
        let (node, mut operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::exit(1));
        let names: Vec<String> = (0..8).map(|number| format!("t-{number}")).collect();
        for name in &names {
            ns.create(&task(name).with(|spec| spec.retry = limit(2))).await;
        }
        for _ in 0..5 {
            operator.crash().await;
        }
        for name in &names {
            let failed = status(&ns.task_in(name, State::Failed).await);
            assert_eq!(
                (failed.attempt, failed.failures, failed.attempts.len(), node.starts_of(name)),
                (3, 3, 3, 3),
                "{name}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn the_types_rules_judge_before_anything_else() {
    in_namespaces("rules", async |ns| {
        let rule = |action, exit_codes: Option<Vec<i32>>, error_types: Option<Vec<String>>| FailureRule {
            exit_codes,
            error_types,
            action,
            reasons: None,
        };
        let rules = vec![
            rule(FailureAction::Fail, Some(vec![64, 65]), None),
            rule(FailureAction::Ignore, Some(vec![75]), None),
            rule(FailureAction::Retry, None, Some(vec!["RateLimited".into()])),
        ];
        let node = ns.fake_node();
        ns.create(&task_type("work").with(|spec| spec.failure_rules = rules)).await;
        let _operator = ns.operator(&[]).await;
        node.script("permanent", [Outcome::exit(65)]);
        node.script("ignored", [Outcome::exit(75), Outcome::exit(75), Outcome::succeed()]);
        let limited = r#"{"error": {"type": "RateLimited", "message": "slow down", "retryable": false}}"#;
        node.script("again", [Outcome::Exit(1, Some(limited.into())), Outcome::succeed()]);
        for name in ["permanent", "ignored", "again"] {
            ns.create(&task(name).with(|spec| spec.retry = limit(1))).await;
        }
        let permanent = status(&ns.task_in("permanent", State::Failed).await);
        assert_eq!((permanent.attempt, permanent.failures), (1, 1));
        let ignored = status(&ns.task_in("ignored", State::Completed).await);
        assert_eq!((ignored.attempt, ignored.failures, ignored.disruptions), (3, 0, 2));
        assert_eq!(ignored.attempts[0].outcome, AttemptOutcome::Disrupted);
        let again = status(&ns.task_in("again", State::Completed).await);
        assert_eq!((again.attempt, again.failures), (2, 1));
        assert_eq!(again.attempts[0].reason, Reason::ReportedError);
        assert_eq!(again.attempts[0].message.as_deref(), Some("RateLimited: slow down"));
    })
    .await;
}

#[tokio::test]
async fn work_that_says_its_error_is_permanent_is_not_tried_again() {
    in_namespaces("reported", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let report = |retryable: &str| {
            format!(r#"{{"error": {{"type": "BadInput", "message": "page 3 is blank", "retryable": {retryable}}}}}"#)
        };
        node.script("permanent", [Outcome::Exit(1, Some(report("false")))]);
        node.script("passing", [Outcome::Exit(1, Some(report("true"))), Outcome::succeed()]);
        ns.create(&task("permanent")).await;
        ns.create(&task("passing")).await;
        let permanent = status(&ns.task_in("permanent", State::Failed).await);
        assert_eq!((permanent.reason, permanent.attempt), (Reason::ReportedError, 1));
        assert!(permanent.message.is_some_and(|message| message.contains("BadInput: page 3 is blank")));
        assert_eq!(status(&ns.task_in("passing", State::Completed).await).attempt, 2);
    })
    .await;
}

#[tokio::test]
async fn a_task_that_ran_out_of_memory_gets_more_of_it_up_to_the_types_maximum() {
    in_namespace("memory", async |ns| {
        let node = ns.fake_node();
        ns.create(&task_type("work").with(|spec| {
            spec.maximum.resources = [("memory".to_owned(), Quantity("100Mi".into()))].into();
        }))
        .await;
        let _operator = ns.operator(&[]).await;
        node.script("hungry", [Outcome::OutOfMemory, Outcome::OutOfMemory, Outcome::Hold]);
        let retry = Retry { oom_memory_factor: Some(2.0), ..Retry::default() };
        ns.create(&task("hungry").with(|spec| spec.retry = Some(retry))).await;
        let limits = ns.record::<k8s_openapi::api::batch::v1::Job>().await;
        started(&node, "hungry", 3).await;
        let given = |attempt: &str| {
            let seen = limits.seen();
            let job = seen.iter().find(|seen| seen.object.labels()["taskmanager.dev/attempt"] == attempt);
            let pod = job.and_then(|seen| seen.object.spec.clone()?.template.spec).expect("a pod");
            let limits = pod.containers[0].resources.clone().and_then(|resources| resources.limits).expect("limits");
            Quantity(limits["memory"].0.clone()).amount().expect("a quantity")
        };
        let mib = |number: i64| Amount::whole(number * 1024 * 1024);
        assert_eq!([given("1"), given("2"), given("3")], [mib(32), mib(64), mib(100)]);
        let told = status(&ns.task("hungry").await);
        assert_eq!(
            (told.failures, told.attempts[0].reason, told.attempts[0].exit_code),
            (2, Reason::OOMKilled, Some(137))
        );
    })
    .await;
}

#[tokio::test]
async fn only_failures_of_the_work_itself_are_counted() {
    in_namespaces("counted", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let cases = [
            ("timeout", Outcome::DeadlineExceeded, Reason::Timeout, 1),
            ("disk", Outcome::DiskPressure, Reason::DiskLimit, 1),
            ("evicted", Outcome::Evicted, Reason::Evicted, 0),
        ];
        for (name, outcome, ..) in &cases {
            node.script(name, [outcome.clone(), Outcome::succeed()]);
            ns.create(&task(name)).await;
        }
        for (name, _, reason, failures) in cases {
            let done = status(&ns.task_in(name, State::Completed).await);
            assert_eq!(
                (done.attempts[0].reason, done.failures, done.disruptions),
                (reason, failures, 1 - failures),
                "{name}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_lost_to_the_cluster_too_often_fails_in_the_end() {
    in_namespaces("disrupted", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::Evicted);
        let retry =
            serde_json::from_value(json!({"limit": 0, "disruptionLimit": 1, "initialSeconds": 1})).expect("retry");
        ns.create(&task("unlucky").with(|spec| spec.retry = Some(retry))).await;
        let failed = status(&ns.task_in("unlucky", State::Failed).await);
        assert_eq!((failed.attempt, failed.failures, failed.disruptions), (2, 0, 2));
    })
    .await;
}
