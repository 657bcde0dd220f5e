//! Failures of the work itself: which are tried again, how often, and what is told of them.

use task_manager::api::{AttemptOutcome, FailureAction, FailureRule, Reason, State, TaskStatus, TaskTypeSpec};

use e2e::world::{end, never_again, on_a_node, on_a_node_over_each_executor, retry};

/// Outcome and reason of every attempt.
fn attempts(status: &TaskStatus) -> Vec<(AttemptOutcome, Reason)> {
    status.attempts.iter().map(|attempt| (attempt.outcome, attempt.reason)).collect()
}

fn counted(status: &TaskStatus) -> (i32, i32, i32) {
    (status.attempt, status.failures, status.disruptions)
}

#[tokio::test]
async fn two_failures_then_success_completes_on_the_third_attempt() {
    on_a_node_over_each_executor("third-time", async |world| {
        world
            .work(r#"[ "$TASK_ATTEMPT" = 3 ] || exit 7; printf '{"attempt":%s}' "$TASK_ATTEMPT" > "$TASK_RESULT_FILE""#)
            .await;
        let task = world.task("task").await;
        let status = world.completes(&task).await;
        assert_eq!(status.result, Some(serde_json::json!({"attempt": 3})));
        assert_eq!(counted(&status), (3, 2, 0));
        let failed = (AttemptOutcome::Failed, Reason::ExitCode);
        assert_eq!(attempts(&status), [failed, failed, (AttemptOutcome::Succeeded, Reason::Succeeded)]);
        assert_eq!(
            status.attempts.iter().map(|attempt| attempt.exit_code).collect::<Vec<_>>(),
            [Some(7), Some(7), Some(0)]
        );
        assert_eq!(world.pods_of(&task).len(), 3);
        world.assert_one_pod_at_a_time();
        let kept = world.namespace.launched_now().await;
        assert_eq!(kept.len(), 1, "of a finished task the last Job or bare pod is kept");
    })
    .await;
}

#[tokio::test]
async fn retries_are_used_up_exactly_and_no_pod_more_is_made() {
    on_a_node("used-up", async |world| {
        let twice = world
            .script_with("twice", "echo 'no disk' > $TASK_RESULT_FILE; exit 3", |kind| retry(kind).limit = Some(2))
            .await;
        let never = world.script_with("never", "exit 3", never_again).await;
        let status = world.ends(&twice, State::Failed).await;
        assert_eq!((status.reason, counted(&status)), (Reason::ExitCode, (3, 3, 0)));
        let message = status.message.expect("a message");
        assert!(message.contains("no disk") && message.contains("retries used up"), "{message}");
        assert_eq!(counted(&world.ends(&never, State::Failed).await), (1, 1, 0));
        // The record goes on a moment longer than the tasks.
        world.nothing_changes(&[&twice, &never]).await;
        assert_eq!((world.pods_of(&twice).len(), world.pods_of(&never).len()), (3, 1));
        world.assert_one_pod_at_a_time();
    })
    .await;
}

#[tokio::test]
async fn a_rule_of_the_type_makes_an_exit_code_permanent() {
    on_a_node("permanent", async |world| {
        let rules = |action| vec![FailureRule { exit_codes: Some(vec![64, 65]), action, ..FailureRule::default() }];
        let fail = world.script_with("fail", "exit 65", |kind| kind.failure_rules = rules(FailureAction::Fail)).await;
        let ignore = world
            .script_with("ignore", "[ $TASK_ATTEMPT -gt 2 ] || exit 65", |kind| {
                kind.failure_rules = rules(FailureAction::Ignore);
                never_again(kind);
            })
            .await;
        let status = world.ends(&fail, State::Failed).await;
        assert_eq!(
            (status.reason, counted(&status), status.attempts[0].exit_code),
            (Reason::ExitCode, (1, 1, 0), Some(65))
        );
        assert_eq!(counted(&world.completes(&ignore).await), (3, 0, 2));
        assert_eq!(world.pods_of(&fail).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_the_work_reports_decides_whether_it_is_tried_again() {
    on_a_node_over_each_executor("reported", async |world| {
        let report = |type_: &str, retryable: &str| {
            format!(
                r#"[ "$TASK_ATTEMPT" = 3 ] && exit 0
                printf '{{"error":{{"type":"{type_}","message":"page 7 is blank","retryable":{retryable}}}}}' > "$TASK_RESULT_FILE"
                exit 1"#
            )
        };
        let hopeless = world.script("hopeless", &report("BlankPage", "false")).await;
        let hopeful = world.script("hopeful", &report("BlankPage", "true")).await;
        let over_rule = FailureRule { error_types: Some(vec!["RateLimited".into()]), action: FailureAction::Ignore, ..FailureRule::default() };
        let limited = world
            .script_with("limited", &report("RateLimited", "false"), |kind| {
                kind.failure_rules = vec![over_rule];
                never_again(kind);
            })
            .await;

        let status = world.ends(&hopeless, State::Failed).await;
        assert_eq!((status.reason, counted(&status)), (Reason::ReportedError, (1, 1, 0)));
        let message = status.message.expect("a message");
        assert!(message.contains("BlankPage: page 7 is blank"), "{message}");
        assert_eq!(world.pods_of(&hopeless).len(), 1);
        assert_eq!(counted(&world.completes(&hopeful).await), (3, 2, 0));
        assert_eq!(counted(&world.completes(&limited).await), (3, 0, 2), "the type's rules come before the work's own word");
    })
    .await;
}

#[tokio::test]
async fn a_timeout_ends_the_container_even_one_that_ignores_sigterm() {
    on_a_node_over_each_executor("timeout", async |world| {
        let short = |kind: &mut TaskTypeSpec| {
            never_again(kind);
            kind.defaults.timeout_seconds = Some(20);
        };
        let plain = world.script_with("plain", "trap 'exit 143' TERM; echo up; sleep 300 & wait", short).await;
        let deaf = world.script_with("deaf", "trap '' TERM; echo up; while :; do sleep 1; done", short).await;
        let pods = [world.runs(&plain).await, world.runs(&deaf).await];
        for ((task, exit_code), pod) in [(&plain, 143), (&deaf, 137)].into_iter().zip(&pods) {
            let status = world.ends(task, State::Failed).await;
            assert_eq!((status.reason, counted(&status)), (Reason::Timeout, (1, 1, 0)));
            assert_eq!(attempts(&status), [(AttemptOutcome::Failed, Reason::Timeout)]);
            assert_eq!(end(&world.ended(pod).await).exit_code, exit_code);
        }
    })
    .await;
}

#[tokio::test]
async fn each_attempt_has_its_timeout_and_running_out_of_it_is_a_failure() {
    on_a_node("timeouts", async |world| {
        // A slow node may not even have started the container by then: the time is over all the same.
        let task = world
            .script_with("task", "sleep 300", |kind| {
                kind.defaults.timeout_seconds = Some(2);
                retry(kind).limit = Some(1);
            })
            .await;
        let status = world.ends(&task, State::Failed).await;
        assert_eq!((status.reason, counted(&status)), (Reason::Timeout, (2, 2, 0)));
        assert_eq!(attempts(&status), [(AttemptOutcome::Failed, Reason::Timeout); 2]);
        assert_eq!(world.pods_of(&task).len(), 2);
        world.assert_one_pod_at_a_time();
    })
    .await;
}

#[tokio::test]
async fn work_that_ends_well_after_sigterm_has_succeeded() {
    on_a_node("ends-well", async |world| {
        let saves = r#"trap 'echo saved > "$TASK_RESULT_FILE"; exit 0' TERM; echo up; sleep 300 & wait"#;
        let at_its_timeout = world.script("at-its-timeout", saves).await;
        let pod = world.is_up(&at_its_timeout).await;
        world.is_overdue(&pod).await;
        let status = world.completes(&at_its_timeout).await;
        assert_eq!((status.result.clone(), counted(&status)), (Some("saved".into()), (1, 0, 0)));
    })
    .await;
}

#[tokio::test]
async fn retries_pause_longer_each_time() {
    on_a_node("backoff", async |world| {
        let task = world
            .script_with("task", "exit 1", |kind| {
                let retry = retry(kind);
                (retry.limit, retry.initial_seconds, retry.factor, retry.max_seconds) =
                    (Some(2), Some(10), Some(3.0), Some(15));
            })
            .await;
        let mut pauses = vec![];
        for failures in 1..=2 {
            let status = world
                .until(&task, "pauses", |status| status.failures == failures && status.next_attempt_at.is_some())
                .await;
            assert_eq!((status.reason, status.state), (Reason::WaitingForRetry, State::Queued));
            assert_eq!(status.admitted, None, "a waiting retry holds no slot");
            pauses.push(status.next_attempt_at.expect("a time").0);
        }
        world.ends(&task, State::Failed).await;
        let pods = world.pods_of(&task);
        for (pause, pod) in pauses.iter().zip(&pods[1..]) {
            let created = pod.object.metadata.creation_timestamp.as_ref().expect("a time").0;
            // Creation times have whole seconds.
            assert!(created.as_second() >= pause.as_second(), "created {created}, not before {pause}");
        }
    })
    .await;
}
