//! Pods of more containers than the work: injected ones, helpers that go on, native sidecars. The work alone decides.

use harness::{eventually, task_queue};
use kube::ResourceExt;
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State, Task, TaskStatus, TaskTypeSpec};
use task_manager::archive::{Archive, Options};

use e2e::containers::{DEAF, GLUTTON, before, beside, container, end_of, second, sidecar};
use e2e::told::{has_a_node, says_within};
use e2e::webhook::{On, Webhook};
use e2e::world::{A_CHANGE, A_TASK, World, never_again, on_a_node, on_a_node_over_each_executor, retry};

/// For a task to become final once its work has ended, whatever goes on beside it.
const SOON_FINAL: i64 = 60;

/// One attempt, which ended with this exit code of the work's own.
fn assert_failed(status: &TaskStatus, reason: Reason, exit_code: i32) {
    assert_eq!(status.attempts.len(), 1, "{:?}", status.attempts);
    let attempt = &status.attempts[0];
    let found = (attempt.outcome, attempt.reason, attempt.exit_code);
    assert_eq!(found, (AttemptOutcome::Failed, reason, Some(exit_code)), "{:?}", attempt.message);
}

/// The task became final soon after its work had ended.
fn assert_soon_final(world: &World, task: &Task, status: &TaskStatus) {
    let pod = &world.pods_of(task)[0].object;
    let ended = second(end_of(pod, "work").finished_at.as_ref().map(|time| time.0));
    let told = second(status.finished_at.as_ref().map(|time| time.0));
    assert!(told - ended <= SOON_FINAL, "told {} s after the work's end", told - ended);
}

#[tokio::test]
async fn the_work_is_found_behind_a_container_that_a_mesh_puts_before_it() {
    on_a_node("mesh-first", async |world| {
        let proxy = container("mesh-proxy", "sleep 4; exit 0");
        let _mesh = Webhook::adds(&world.namespace, On::Pods, "/spec/containers/0", proxy).await;
        let bad = world.script_with("bad", "sleep 1; exit 3", never_again).await;
        let good = world.script("good", r#"sleep 1; printf '{"answer":42}' > "$TASK_RESULT_FILE""#).await;

        assert_failed(&world.ends(&bad, State::Failed).await, Reason::ExitCode, 3);
        let status = world.completes(&good).await;
        assert_eq!((status.result.clone(), status.attempt), (Some(json!({"answer": 42})), 1));
        for task in [&bad, &good] {
            let pod = world.pods_of(task).remove(0).object;
            assert_eq!(pod.spec.expect("a spec").containers[0].name, "mesh-proxy", "the mesh was first");
        }
    })
    .await;
}

#[tokio::test]
async fn work_that_ends_well_completes_though_the_container_before_it_fails() {
    on_a_node("mesh-fails", async |world| {
        let proxy = container("mesh-proxy", "sleep 2; exit 7");
        let _mesh = Webhook::adds(&world.namespace, On::Pods, "/spec/containers/0", proxy).await;
        let task = world.script_with("task", r#"sleep 6; echo 42 > "$TASK_RESULT_FILE""#, never_again).await;
        let status = world.completes(&task).await;
        assert_eq!((status.result, status.failures), (Some(json!(42)), 0));
        assert_eq!(status.message.as_deref(), Some("container mesh-proxy ended with exit code 7"));
    })
    .await;
}

#[tokio::test]
async fn good_work_whose_helper_failed_has_its_log_in_the_archive_and_bad_work_names_the_helper() {
    on_a_node("helper-crashes", async |world| {
        let helped = |kind: &mut TaskTypeSpec| {
            never_again(kind);
            beside(kind, container("proxy", "sleep 1; exit 7"));
        };
        let well = world.script_with("well", "echo done; sleep 4", helped).await;
        let badly = world.script_with("badly", "sleep 4; exit 3", helped).await;
        world.completes(&well).await;
        let archive = Archive::at(&world.namespace.archive(), &Options::default()).expect("a URL");
        let record = archive.find(&well.uid().expect("a uid")).await.expect("an answer").expect("a record");
        assert_eq!(record.details.log.as_deref(), Some("done"));
        let message = world.ends(&badly, State::Failed).await.message.expect("a message");
        let told = "the work ended with exit code 3; container proxy ended with exit code 7; failed once";
        assert!(message.starts_with(told), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_helper_that_goes_on_is_told_and_ended_once_the_work_has_ended() {
    on_a_node_over_each_executor("helper-goes-on", async |world| {
        world.namespace.create(&task_queue("default", 2)).await;
        let helped = |kind: &mut TaskTypeSpec| {
            never_again(kind);
            kind.template["spec"]["terminationGracePeriodSeconds"] = 5.into();
            beside(kind, container("helper", DEAF));
        };
        let well = world.script_with("well", r#"sleep 1; echo '{"done":true}' > "$TASK_RESULT_FILE""#, helped).await;
        let badly = world.script_with("badly", "sleep 1; exit 3", helped).await;
        for task in [&well, &badly] {
            has_a_node(world, task).await;
        }
        let next = world.script("next", "true").await;

        let told = says_within(world, &well, A_TASK, &["Stopping", "helper"]).await;
        assert!(told.message.expect("a message").contains("the work ended with 0, container helper still runs"));
        assert_eq!(told.state, State::Processing, "its slot is held until the pod has ended");
        let told = says_within(world, &badly, A_CHANGE, &["Stopping", "helper"]).await;
        assert!(told.message.expect("a message").contains("the work ended with 3, container helper still runs"));

        let status = world.completes(&well).await;
        assert_eq!(status.result, Some(json!({"done": true})));
        assert_eq!(status.message.as_deref(), Some("container helper had to be ended"));
        assert_soon_final(world, &well, &status);
        let status = world.ends(&badly, State::Failed).await;
        assert_failed(&status, Reason::ExitCode, 3);
        assert_soon_final(world, &badly, &status);
        world.completes(&next).await;
        assert!(world.most_pods_at_once() <= 2, "a slot was given away before its pod had ended");
        eventually("what failed by its helper alone is gone", A_CHANGE, async || {
            world.namespace.launched_now().await.iter().all(|name| !name.starts_with("well-")).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_helper_without_an_image_neither_fails_nor_holds_up_the_work() {
    on_a_node("helper-no-image", async |world| {
        let helped = |kind: &mut TaskTypeSpec| {
            never_again(kind);
            // Is over while the work runs: it is for the work, not for helpers.
            kind.start_deadline_seconds = Some(30);
            let mut helper = container("helper", "true");
            helper["image"] = "localhost/nobody/made-this:7".into();
            beside(kind, helper);
        };
        let well = world.script_with("well", r#"sleep 40; echo 42 > "$TASK_RESULT_FILE""#, helped).await;
        let badly = world.script_with("badly", "sleep 5; exit 3", helped).await;
        let status = world.ends(&badly, State::Failed).await;
        assert_failed(&status, Reason::ExitCode, 3);
        assert_soon_final(world, &badly, &status);
        let status = world.completes(&well).await;
        assert_eq!((status.result.clone(), status.attempt, status.failures), (Some(json!(42)), 1, 0));
        assert_eq!(status.message.as_deref(), Some("container helper did not start"));
        assert_soon_final(world, &well, &status);
    })
    .await;
}

#[tokio::test]
async fn deaf_native_sidecars_are_left_to_the_kubelet() {
    on_a_node("deaf-sidecar", async |world| {
        let beside_it = |kind: &mut TaskTypeSpec| {
            never_again(kind);
            kind.template["spec"]["terminationGracePeriodSeconds"] = 15.into();
            before(kind, sidecar("proxy", DEAF));
        };
        let well = world.script_with("well", r#"sleep 1; echo 42 > "$TASK_RESULT_FILE""#, beside_it).await;
        let badly = world.script_with("badly", "sleep 1; exit 3", beside_it).await;
        let status = world.completes(&well).await;
        assert_eq!(status.result, Some(json!(42)));
        assert_failed(&world.ends(&badly, State::Failed).await, Reason::ExitCode, 3);
        for task in [&well, &badly] {
            let pod = world.pods_of(task).remove(0).object;
            assert!(!pod.annotations().contains_key("taskmanager.dev/ended-for"), "somebody else ended it");
        }
    })
    .await;
}

#[tokio::test]
async fn a_helper_out_of_memory_fails_no_work_that_ends_well() {
    on_a_node("helper-oom", async |world| {
        let helped = |kind: &mut TaskTypeSpec| {
            never_again(kind);
            beside(kind, container("proxy", GLUTTON));
        };
        let well = world.script_with("well", r#"sleep 10; echo 42 > "$TASK_RESULT_FILE""#, helped).await;
        let badly = world.script_with("badly", "sleep 10; exit 3", helped).await;
        let status = world.completes(&well).await;
        assert_eq!((status.result, status.failures), (Some(json!(42)), 0));
        let killed = "container proxy was killed at its memory limit of 16Mi";
        assert_eq!(status.message.as_deref(), Some(killed));
        // The work could not do without it: its limit is the cause.
        let status = world.ends(&badly, State::Failed).await;
        assert_failed(&status, Reason::OOMKilled, 3);
        let message = status.message.expect("a message");
        assert!(message.starts_with(killed), "{message}");
        let pod = world.pods_of(&well).remove(0).object;
        assert_eq!(end_of(&pod, "proxy").reason.as_deref(), Some("OOMKilled"));
    })
    .await;
}

#[tokio::test]
async fn work_out_of_memory_names_the_limit_that_was_hit() {
    on_a_node("oom-limit", async |world| {
        let helped = |kind: &mut TaskTypeSpec| {
            retry(kind).limit = Some(0);
            beside(kind, container("helper", "sleep 3600"));
        };
        let whole = world.script_with("whole", GLUTTON, helped).await;
        let child = format!("sh -c '{}'; sleep 5; exit 0", GLUTTON.replace('\'', r"'\''"));
        let child = world.script_with("child", &child, helped).await;
        for task in [&whole, &child] {
            let status = world.ends(task, State::Failed).await;
            assert_eq!(status.reason, Reason::OOMKilled, "{:?}", status.message);
            assert_soon_final(world, task, &status);
            let message = status.message.expect("a message");
            assert!(message.starts_with("container work was killed at its memory limit of 32Mi"), "{message}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_helper_that_ends_after_the_work_and_within_ten_seconds_is_waited_for() {
    on_a_node("helper-ends", async |world| {
        let helped = |kind: &mut TaskTypeSpec| {
            never_again(kind);
            beside(kind, container("helper", "sleep 7; echo flushed > /dev/termination-log; exit 9"));
        };
        let task = world.script_with("task", r#"sleep 3; echo 42 > "$TASK_RESULT_FILE""#, helped).await;
        let status = world.completes(&task).await;
        assert_eq!((status.result, status.failures), (Some(json!(42)), 0));
        assert_eq!(status.message.as_deref(), Some("container helper ended with exit code 9"));
        let pod = world.pods_of(&task).remove(0).object;
        assert_eq!(end_of(&pod, "helper").exit_code, 9, "it was left to end by itself");
    })
    .await;
}
