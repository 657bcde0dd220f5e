//! Out of memory: of the work, and of something that the work started.

use k8s_openapi::api::core::v1::Pod;
use task_manager::api::{Amount, AttemptOutcome, Quantity, Reason, State};

use e2e::world::{end, never_again, on_a_node, on_a_node_over_each_executor, retry};

/// Doubles a string until it is killed.
const GLUTTON: &str = r#"awk 'BEGIN { x = "x"; while (1) x = x x }'"#;
/// Holds 48 MiB for a moment.
const HUNGRY: &str =
    r#"exec awk 'BEGIN { b = "x"; while (length(b) < 1048576) b = b b; while (n < 48) m[n++] = b "" n }'"#;

#[tokio::test]
async fn work_that_is_out_of_memory_is_told_so_and_tried_again() {
    on_a_node_over_each_executor("oom", async |world| {
        let task = world.script_with("task", &format!("exec {GLUTTON}"), |kind| retry(kind).limit = Some(1)).await;
        let status = world.ends(&task, State::Failed).await;
        assert_eq!((status.reason, status.attempt, status.failures), (Reason::OOMKilled, 2, 2));
        for attempt in &status.attempts {
            let found = (attempt.outcome, attempt.reason, attempt.exit_code);
            assert_eq!(found, (AttemptOutcome::Failed, Reason::OOMKilled, Some(137)));
        }
        assert_eq!(world.pods_of(&task).len(), 2);
    })
    .await;
}

#[tokio::test]
async fn work_that_survives_the_killing_of_its_child_was_out_of_memory_all_the_same() {
    on_a_node("oom-child", async |world| {
        // It ends a while later, since the container runtime learns of the kill and of the end by two ways.
        let script = format!(r#"{GLUTTON}; echo '{{"half":"done"}}' > "$TASK_RESULT_FILE"; sleep 10; exit 0"#);
        let task = world.script_with("task", &script, never_again).await;
        let status = world.ends(&task, State::Failed).await;
        assert_eq!((status.reason, status.failures, status.result.clone()), (Reason::OOMKilled, 1, None));
        // Where control groups are of version 2, the kubelet has the whole container killed.
        let exit_code = end(&world.pods_of(&task)[0].object).exit_code;
        assert!([0, 137].contains(&exit_code), "exit code {exit_code}");
        assert_eq!(status.attempts[0].exit_code, Some(exit_code));
    })
    .await;
}

#[tokio::test]
async fn memory_grows_after_each_time_out_of_memory_up_to_the_types_maximum() {
    on_a_node("oom-grows", async |world| {
        let task = world
            .script_with("task", HUNGRY, |kind| {
                retry(kind).oom_memory_factor = Some(4.0);
                kind.maximum.resources = [("memory".to_owned(), Quantity("100Mi".into()))].into();
            })
            .await;
        let status = world.completes(&task).await;
        assert_eq!((status.attempt, status.failures, status.attempts[0].reason), (2, 1, Reason::OOMKilled));
        let limits: Vec<_> = world.pods_of(&task).iter().map(|seen| memory_limit(&seen.object)).collect();
        assert_eq!(limits, ["32Mi", "100Mi"].map(|limit| Quantity(limit.into()).amount().expect("a quantity")));
    })
    .await;
}

fn memory_limit(pod: &Pod) -> Amount {
    let work = &pod.spec.as_ref().expect("a spec").containers[0];
    let limits = work.resources.as_ref().and_then(|resources| resources.limits.as_ref()).expect("limits");
    Quantity(limits["memory"].0.clone()).amount().expect("a quantity")
}
