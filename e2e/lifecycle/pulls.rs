//! Images that are slow to come, refused, or not to be had for a while.

use harness::With;
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State, Task, TaskTypeSpec};

use e2e::containers::work;
use e2e::registry::Registry;
use e2e::told::is_told;
use e2e::world::{A_TASK, World, on_a_node, shell};

/// A task whose image this registry is asked for.
async fn pulls(world: &World, name: &str, image: &str, change: impl FnOnce(&mut TaskTypeSpec)) -> Task {
    let kind = shell(name, "true").with(|kind: &mut TaskTypeSpec| {
        kind.start_deadline_seconds = Some(25);
        work(kind)["image"] = image.into();
        work(kind)["imagePullPolicy"] = "IfNotPresent".into();
        change(kind);
    });
    world.namespace.create(&kind).await;
    world.task_with(name, |spec| spec.type_ = name.into()).await
}

#[tokio::test]
async fn an_image_that_the_registry_does_not_give_is_tried_once() {
    on_a_node("refused-images", async |world| {
        let registry = Registry::start(&world.namespace);
        let causes = [("missing", "not found"), ("private", "pull access denied"), ("denied", "403 Forbidden")];
        let mut tasks = vec![];
        for (name, cause) in causes {
            tasks.push((pulls(world, name, &registry.image(name), |_| {}).await, cause));
        }
        for (task, cause) in &tasks {
            let told = is_told(world, task, &[cause]).await;
            assert_eq!(told.reason, Reason::ImageUnavailable, "{:?}", told.message);
        }
        for (task, cause) in &tasks {
            let status = world.ends(task, State::Failed).await;
            assert_eq!((status.reason, status.attempt, status.failures), (Reason::ImageUnavailable, 1, 1));
            let message = status.attempts[0].message.clone().expect("a message");
            assert!(message.contains(&registry.image(&task.spec.type_)), "{message}");
            assert!(message.contains(cause) && !message.contains("failed to resolve"), "{message}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_registry_that_has_a_bad_moment_is_asked_again_and_nothing_counts() {
    on_a_node("bad-moments", async |world| {
        let registry = Registry::start(&world.namespace);
        let mut tasks = vec![];
        for (name, cause) in [("broken", "500 Internal Server Error"), ("limited", "429 Too Many Requests")] {
            tasks.push((pulls(world, name, &registry.image(name), |_| {}).await, cause));
        }
        for (task, cause) in &tasks {
            let told = is_told(world, task, &[cause]).await;
            assert_eq!(told.reason, Reason::ImageUnavailable);
        }
        for (task, _) in &tasks {
            let status =
                world.until(task, "is tried again", |status| status.attempt == 2 || status.state.is_final()).await;
            assert_eq!((status.failures, status.disruptions), (0, 1), "{:?}", status.attempts);
            let first = &status.attempts[0];
            assert_eq!((first.outcome, first.reason), (AttemptOutcome::Disrupted, Reason::ImageUnavailable));
            world.change(task, json!({"cancel": true})).await;
            world.ends(task, State::Cancelled).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_completes_once_its_registry_is_back() {
    on_a_node("registry-back", async |world| {
        let mut registry = Registry::start(&world.namespace);
        registry.goes_away();
        let task = pulls(world, "task", &registry.image("image"), |_| {}).await;
        let refused = "connection refused";
        let told = is_told(world, &task, &[refused]).await;
        let message = told.message.expect("a message");
        assert!(!message.contains("failed to resolve"), "{message}");

        let again = |status: &task_manager::api::TaskStatus| status.attempt >= 2 || status.state.is_final();
        world.until(&task, "is tried again", again).await;
        registry.comes_back();
        let status = world.completes(&task).await;
        assert_eq!((status.failures, status.attempts[0].reason), (0, Reason::ImageUnavailable));
        world.assert_one_pod_at_a_time();
    })
    .await;
}

#[tokio::test]
async fn a_pull_that_takes_longer_than_the_timeout_does_not_eat_it() {
    on_a_node("slow-pull", async |world| {
        let registry = Registry::start(&world.namespace);
        let task = pulls(world, "task", &registry.image("slow"), |kind| {
            kind.defaults.timeout_seconds = Some(20);
            kind.start_deadline_seconds = Some(A_TASK.as_secs() as i32 / 2);
            work(kind)["command"] = json!(["sh", "-c", "sleep 5"]);
        })
        .await;
        let told = is_told(world, &task, &["ulling", &registry.image("slow")]).await;
        assert_eq!(told.reason, Reason::Starting, "{:?}", told.message);
        let status = world.completes(&task).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "{:?}", status.attempts);
    })
    .await;
}
