//! Troubles before the work starts: init containers, sidecars, probes, volumes, sandboxes, commands. They are named
//! soon, obey the start deadline, and are never told as running.

use harness::With;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{Api, PostParams};
use serde_json::json;
use task_manager::api::{AttemptOutcome, FailureAction, FailureRule, Reason, State, Task, TaskStatus, TaskTypeSpec};

use e2e::cluster_wide::ClusterWide;
use e2e::containers::{DEAF, before, container, sidecar, work};
use e2e::told::{assert_cause_first, is_told, was_told};
use e2e::world::{World, is_live, never_again, on_a_node, shell};

/// Long enough for what goes well, short enough to wait for.
const START_DEADLINE: i32 = 25;

/// The first attempt was given up because of this container, and is not counted as a failure; another one follows.
async fn is_given_up_and_tried_again(world: &World, task: &Task, container: &str) {
    let status = world.until(task, "is tried again", |status| status.attempt == 2 || status.state.is_final()).await;
    assert_eq!((status.failures, status.disruptions), (0, 1), "{:?}", status.attempts);
    let first = &status.attempts[0];
    let found = (first.outcome, first.reason.to_string());
    assert_eq!(found, (AttemptOutcome::Disrupted, "StartTimeout".to_owned()), "{:?}", first.message);
    let message = first.message.as_deref().unwrap_or_default();
    assert!(message.contains(container), "{container} is not named: {message}");
    world.change(task, json!({"cancel": true})).await;
    world.ends(task, State::Cancelled).await;
    world.assert_one_pod_at_a_time();
}

fn starts_within_the_deadline(kind: &mut TaskTypeSpec) {
    kind.start_deadline_seconds = Some(START_DEADLINE);
}

#[tokio::test]
async fn an_init_container_that_fails_is_judged_and_not_the_sidecar_beside_it() {
    on_a_node("init-fails", async |world| {
        let task = world
            .script_with("task", "true", |kind| {
                let code =
                    FailureRule { exit_codes: Some(vec![65]), action: FailureAction::Fail, ..FailureRule::default() };
                kind.failure_rules = vec![code];
                before(kind, sidecar("proxy", DEAF));
                before(kind, container("check", "sleep 1; exit 65"));
            })
            .await;
        let status = world.ends(&task, State::Failed).await;
        assert_eq!((status.reason, status.attempt, status.failures), (Reason::ExitCode, 1, 1), "{:?}", status.attempts);
        assert_eq!(status.attempts[0].exit_code, Some(65), "{:?}", status.attempts[0].message);
        let message = status.message.expect("a message");
        assert!(message.contains("check") && !message.contains("proxy"), "{message}");
        assert_eq!(world.pods_of(&task).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_init_container_that_hangs_is_named_and_given_up_and_tried_again() {
    on_a_node("init-hangs", async |world| {
        let tasks = world.namespace.record::<Task>().await;
        let task = world
            .script_with("task", "true", |kind| {
                starts_within_the_deadline(kind);
                never_again(kind);
                before(kind, container("fetch", "sleep 600"));
            })
            .await;
        let told = is_told(world, &task, &["fetch"]).await;
        assert_eq!(told.reason, Reason::Starting, "{:?}", told.message);
        is_given_up_and_tried_again(world, &task, "fetch").await;
        assert!(!was_told(&tasks, &task, "Running"), "the work never ran");
    })
    .await;
}

#[tokio::test]
async fn a_sidecar_that_is_never_up_is_named_and_given_up_and_tried_again() {
    on_a_node("sidecar-probe", async |world| {
        let tasks = world.namespace.record::<Task>().await;
        let task = world
            .script_with("task", "true", |kind| {
                starts_within_the_deadline(kind);
                let mut proxy = sidecar("proxy", "sleep 3600");
                let never = json!({"exec": {"command": ["sh", "-c", "echo no route to the mesh; false"]}, "periodSeconds": 1, "failureThreshold": 1000});
                proxy["startupProbe"] = never;
                before(kind, proxy);
            })
            .await;
        let told = is_told(world, &task, &["proxy", "no route to the mesh"]).await;
        assert_eq!(told.reason, Reason::Starting, "{:?}", told.message);
        is_given_up_and_tried_again(world, &task, "proxy").await;
        assert!(!was_told(&tasks, &task, "Running"), "the work never ran");
    })
    .await;
}

#[tokio::test]
async fn a_sidecar_that_ends_again_and_again_is_named_with_its_exit_code() {
    on_a_node("sidecar-crashes", async |world| {
        let tasks = world.namespace.record::<Task>().await;
        let task = world
            .script_with("task", "true", |kind| {
                starts_within_the_deadline(kind);
                let mut proxy = sidecar("proxy", "exit 7");
                proxy["startupProbe"] = json!({"exec": {"command": ["false"]}, "periodSeconds": 10});
                before(kind, proxy);
            })
            .await;
        let told = is_told(world, &task, &["proxy", " 7"]).await;
        assert_eq!(told.reason, Reason::Starting, "{:?}", told.message);
        is_given_up_and_tried_again(world, &task, "proxy").await;
        assert!(!was_told(&tasks, &task, "Running"), "the work never ran");
    })
    .await;
}

#[tokio::test]
async fn a_volume_that_cannot_be_mounted_is_told_and_the_work_runs_once_it_can() {
    on_a_node("no-mount", async |world| {
        let task = world
            .script_with("task", "cat /map/greeting > $TASK_RESULT_FILE", |kind| {
                never_again(kind);
                kind.template["spec"]["volumes"] = json!([{"name": "map", "configMap": {"name": "nope"}}]);
                work(kind)["volumeMounts"] = json!([{"name": "map", "mountPath": "/map"}]);
            })
            .await;
        let missing = r#"configmap "nope" not found"#;
        let told = is_told(world, &task, &[missing]).await;
        assert_cause_first(&told.message.expect("a message"), missing);

        let map = json!({"metadata": {"name": "nope"}, "data": {"greeting": "hello"}});
        let maps = world.namespace.api::<ConfigMap>();
        maps.create(&PostParams::default(), &serde_json::from_value(map).expect("a map")).await.expect("it is made");
        let status = world.completes(&task).await;
        assert_eq!((status.result, status.attempt), (Some("hello".into()), 1));
    })
    .await;
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_made_is_told_with_its_cause() {
    on_a_node("no-sandbox", async |world| {
        let class = json!({"metadata": {"name": world.namespace.name}, "handler": "nobody-configured"});
        let cluster = world.namespace.cluster;
        let _class = ClusterWide::create::<RuntimeClass>(cluster, &world.namespace.client, class).await;
        let tight = world
            .script_with("tight", "true", |kind| {
                kind.defaults.resources = None;
                work(kind)["resources"] =
                    json!({"requests": {"cpu": "10m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}});
            })
            .await;
        let name = world.namespace.name.clone();
        let odd =
            world.script_with("odd", "true", |kind| kind.template["spec"]["runtimeClassName"] = name.into()).await;
        for (task, cause) in [(&tight, "OOM-killed"), (&odd, r#"no runtime for "nobody-configured" is configured"#)] {
            let told = is_told(world, task, &[cause]).await;
            assert_cause_first(&told.message.expect("a message"), cause);
            world.change(task, json!({"cancel": true})).await;
            world.ends(task, State::Cancelled).await;
        }
        assert!(world.all_pods().iter().all(|seen| seen.deleted || !is_live(&seen.object)));
    })
    .await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_told_in_few_words_and_cause_first() {
    on_a_node("few-words", async |world| {
        let task = world.script_with("task", "true", |kind| work(kind)["command"] = json!(["/no/such/program"])).await;
        let init = world
            .script_with("init", "true", |kind| {
                let mut fetch = container("fetch", "true");
                fetch["command"] = json!(["nosuch"]);
                before(kind, fetch);
            })
            .await;
        for (task, cause) in [(&task, r#"exec: "/no/such/program""#), (&init, r#"exec: "nosuch""#)] {
            let status = world.ends(task, State::Failed).await;
            assert_eq!((status.reason, status.attempt), (Reason::ContainerConfig, 1), "{:?}", status.message);
            let of_the_attempt = status.attempts[0].message.clone().expect("a message");
            for message in [status.message.expect("a message"), of_the_attempt] {
                assert_cause_first(&message, cause);
                assert!(message.len() <= 300, "{message}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_is_missing_is_told_at_once_and_the_work_runs_once_it_is_there() {
    on_a_node("no-secret", async |world| {
        let kind = shell("task", "echo $WORD > $TASK_RESULT_FILE").with(|kind: &mut TaskTypeSpec| {
            let word = json!({"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "nope", "key": "word"}}});
            work(kind)["env"] = json!([word]);
        });
        world.namespace.create(&kind).await;
        let task = world.task_with("task", |spec| spec.type_ = "task".into()).await;
        let missing = r#"secret "nope" not found"#;
        let told: TaskStatus = is_told(world, &task, &[missing]).await;
        assert_cause_first(&told.message.expect("a message"), missing);

        let secrets: Api<k8s_openapi::api::core::v1::Secret> = world.namespace.api();
        let secret = json!({"metadata": {"name": "nope"}, "stringData": {"word": "hello"}});
        let secret = serde_json::from_value(secret).expect("a secret");
        secrets.create(&PostParams::default(), &secret).await.expect("it is made");
        let status = world.completes(&task).await;
        assert_eq!((status.result, status.attempt), (Some("hello".into()), 1));
    })
    .await;
}
