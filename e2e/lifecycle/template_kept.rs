//! A template reaches the pod as it was written, or its type is not Ready and says which field and why.

use harness::{With, eventually};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};
use task_manager::api::{Reason, State, Task, TaskTypeSpec};

use e2e::containers::{before, beside, container, sidecar, work};
use e2e::told::{is_ready, is_refused, stands_in_the_way};
use e2e::world::{A_TASK, World, never_again, on_a_node, shell};

/// The Job of a task, as it stands in the cluster.
async fn job_of(world: &World, task: &Task) -> Value {
    let prefix = format!("{}-", task.name_any());
    let job = eventually("the task has a Job", A_TASK, async || {
        world.namespace.jobs_now().await.into_iter().find(|job| job.name_any().starts_with(&prefix))
    })
    .await;
    serde_json::to_value(job).expect("JSON")
}

async fn type_with(world: &World, name: &str, change: impl FnOnce(&mut TaskTypeSpec)) {
    world.namespace.create(&shell(name, "true").with(change)).await;
}

#[tokio::test]
async fn the_works_claim_to_a_device_reaches_the_job() {
    on_a_node("claims", async |world| {
        let exactly = json!({"deviceClassName": "e2e.example.com"});
        let claim = json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "device"},
            "spec": {"spec": {"devices": {"requests": [{"name": "device", "exactly": exactly}]}}},
        });
        world.namespace.create_raw(claim).await.expect("the cluster allocates devices");
        let task = world
            .script_with("task", "true", |kind| {
                kind.template["spec"]["resourceClaims"] =
                    json!([{"name": "device", "resourceClaimTemplateName": "device"}]);
                work(kind)["resources"] = json!({"claims": [{"name": "device"}]});
            })
            .await;
        let job = job_of(world, &task).await;
        let resources = &job["spec"]["template"]["spec"]["containers"][0]["resources"];
        assert_eq!(resources["claims"], json!([{"name": "device"}]), "{resources}");
        assert_eq!(resources["limits"]["memory"], "32Mi", "the rest is the type's: {resources}");
    })
    .await;
}

#[tokio::test]
async fn an_exit_code_has_its_last_line_of_log_where_the_template_asks_for_it() {
    on_a_node("log-line", async |world| {
        // To one stream: a runtime reads the two side by side, and keeps no order between them.
        let ends = |code: i32| format!("echo begun; echo 'the disk is full'; exit {code}");
        let asks = |kind: &mut TaskTypeSpec| {
            never_again(kind);
            work(kind)["terminationMessagePolicy"] = "FallbackToLogsOnError".into();
        };
        let badly = world.script_with("badly", &ends(3), asks).await;
        let well = world.script_with("well", &ends(0), asks).await;
        let status = world.ends(&badly, State::Failed).await;
        assert_eq!((status.reason, status.attempts[0].exit_code), (Reason::ExitCode, Some(3)));
        let message = status.attempts[0].message.clone().expect("a message");
        assert!(message.contains("the disk is full"), "{message}");
        assert_eq!(world.completes(&well).await.result, None, "a log is no result");
    })
    .await;
}

#[tokio::test]
async fn numbers_in_a_template_may_be_written_as_yaml_has_them() {
    on_a_node("numbers", async |world| {
        let script = r#"echo "$CPU" > "$TASK_RESULT_FILE""#;
        let task = world
            .script_with("task", script, |kind| {
                kind.defaults.resources = None;
                let cpu = json!({"containerName": "work", "resource": "requests.cpu", "divisor": 1});
                let file = json!({"path": "cpu", "resourceFieldRef": cpu});
                kind.template["spec"]["volumes"] = json!([
                    {"name": "space", "emptyDir": {"sizeLimit": 1_000_000}},
                    {"name": "about", "downwardAPI": {"items": [file]}},
                ]);
                let work = work(kind);
                work["resources"] = json!({"requests": {"cpu": 0.5, "memory": 8_388_608}, "limits": {"memory": 1e8}});
                work["volumeMounts"] = json!([{"name": "space", "mountPath": "/space"}]);
                work["env"] = json!([{"name": "CPU", "valueFrom": {"resourceFieldRef": cpu}}]);
            })
            .await;
        is_ready(world, "task").await;
        assert_eq!(world.completes(&task).await.result, Some(json!(1)));
        let job = job_of(world, &task).await;
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][0]["emptyDir"]["sizeLimit"], "1M");
        assert_eq!(pod["containers"][0]["resources"]["requests"]["cpu"], "500m");
        assert_eq!(pod["containers"][0]["resources"]["limits"]["memory"], "100M");
    })
    .await;
}

#[tokio::test]
async fn resources_of_the_pod_as_a_whole_are_kept_and_nothing_is_added_to_them() {
    on_a_node("pod-resources", async |world| {
        let task = world
            .script_with("task", "true", |kind| {
                kind.defaults.resources = None;
                kind.template["spec"]["resources"] =
                    json!({"requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"memory": "48Mi"}});
            })
            .await;
        world.completes(&task).await;
        let job = job_of(world, &task).await;
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["resources"]["limits"]["memory"], "48Mi", "{}", pod["resources"]);
        let of_the_work = &pod["containers"][0]["resources"];
        assert!(of_the_work["limits"]["memory"].is_null(), "somebody spoke of memory already: {of_the_work}");
        assert!(of_the_work["requests"]["memory"].is_null(), "somebody spoke of memory already: {of_the_work}");
    })
    .await;
}

#[tokio::test]
async fn labels_and_annotations_of_the_template_are_on_the_job_and_on_the_pod() {
    on_a_node("template-labels", async |world| {
        let task = world
            .script_with("task", "true", |kind| {
                let metadata =
                    json!({"labels": {"cost-center": "4711"}, "annotations": {"example.com/owner": "docs team"}});
                kind.template["metadata"] = metadata;
            })
            .await;
        world.completes(&task).await;
        let job = job_of(world, &task).await;
        let pod = serde_json::to_value(&world.pods_of(&task)[0].object).expect("JSON");
        for object in [&job, &pod] {
            let metadata = &object["metadata"];
            assert_eq!(metadata["labels"]["cost-center"], "4711", "{metadata}");
            assert_eq!(metadata["annotations"]["example.com/owner"], "docs team", "{metadata}");
            assert!(!metadata["labels"]["taskmanager.dev/task-uid"].is_null(), "{metadata}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_labels_of_an_exported_job_are_refused_by_name() {
    on_a_node("exported", async |world| {
        let names =
            ["batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name"];
        for (number, name) in names.iter().enumerate() {
            let metadata =
                json!({"creationTimestamp": null, "labels": {*name: "310f3075-8bbd-4212-a5ea-e78b01da2e8f"}});
            type_with(world, &format!("exported-{number}"), |kind| kind.template["metadata"] = metadata).await;
        }
        for (number, name) in names.iter().enumerate() {
            is_refused(world, &format!("exported-{number}"), &["label", name]).await;
        }
        let task = world.task_with("task", |spec| spec.type_ = "exported-0".into()).await;
        world.until(&task, "waits for its type", |status| status.reason == Reason::TypeNotReady).await;
        // A merge takes away only what it names.
        world.change_type("exported-0", json!({"template": {"metadata": null}})).await;
        assert_eq!(world.completes(&task).await.attempt, 1);
    })
    .await;
}

#[tokio::test]
async fn rules_that_restart_the_work_are_refused_with_a_sentence() {
    on_a_node("restart-rules", async |world| {
        let rules = |action: &str| json!([{"action": action, "exitCodes": {"operator": "In", "values": [42]}}]);
        type_with(world, "of-the-work", |kind| {
            work(kind)["restartPolicy"] = "Never".into();
            work(kind)["restartPolicyRules"] = rules("Restart");
        })
        .await;
        type_with(world, "policy-of-the-work", |kind| work(kind)["restartPolicy"] = "OnFailure".into()).await;
        type_with(world, "of-all", |kind| {
            let mut fetch = container("fetch", "true");
            fetch["restartPolicy"] = "Never".into();
            fetch["restartPolicyRules"] = rules("RestartAllContainers");
            before(kind, fetch);
        })
        .await;
        is_refused(world, "of-the-work", &["containers[0].restartPolicy", "one start of its work"]).await;
        is_refused(world, "policy-of-the-work", &["restartPolicy", "work"]).await;
        is_refused(world, "of-all", &["RestartAllContainers"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_field_that_the_api_server_drops_is_named_by_the_type() {
    on_a_node("dropped", async |world| {
        // Feature gates of these are off.
        type_with(world, "signal", |kind| {
            kind.template["spec"]["os"] = json!({"name": "linux"});
            work(kind)["lifecycle"] = json!({"stopSignal": "SIGUSR1"});
        })
        .await;
        type_with(world, "mode", |kind| {
            kind.template["spec"]["volumes"] = json!([{"name": "space", "emptyDir": {"mode": 448}}]);
        })
        .await;
        type_with(world, "responders", |kind| {
            kind.template["spec"]["evictionResponders"] = json!([{"name": "example.com/waits", "priority": 100}]);
        })
        .await;
        type_with(world, "sidecar", |kind| before(kind, sidecar("proxy", "sleep 3600"))).await;
        is_refused(world, "signal", &["containers[0].lifecycle", "drops"]).await;
        is_refused(world, "mode", &["volumes[0].emptyDir.mode", "drops"]).await;
        is_refused(world, "responders", &["evictionResponders", "drops"]).await;
        // A restart policy of an init container is no such field.
        is_ready(world, "sidecar").await;
    })
    .await;
}

#[tokio::test]
async fn a_helper_that_its_rules_restart_ends_no_attempt() {
    on_a_node("helper-rules", async |world| {
        let task = world
            .script_with("task", "sleep 3", |kind| {
                let mut helper = container("helper", "[ -e /space/begun ] || { touch /space/begun; exit 42; }");
                helper["restartPolicy"] = "Never".into();
                helper["restartPolicyRules"] =
                    json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
                helper["volumeMounts"] = json!([{"name": "space", "mountPath": "/space"}]);
                kind.template["spec"]["volumes"] = json!([{"name": "space", "emptyDir": {}}]);
                beside(kind, helper);
            })
            .await;
        assert_eq!(world.completes(&task).await.attempt, 1);
        let status = world.pods_of(&task)[0].object.status.clone().expect("a status");
        let helper = status.container_statuses.iter().flatten().find(|seen| seen.name == "helper").expect("a helper");
        assert_eq!(helper.restart_count, 1);
    })
    .await;
}

#[tokio::test]
async fn an_image_is_a_volume_and_the_pod_has_the_name_that_the_template_gives() {
    on_a_node("image-volume", async |world| {
        let task = world
            .script_with("task", r#"/tools/bin/busybox hostname > "$TASK_RESULT_FILE""#, |kind| {
                let image = json!({"reference": "localhost/busybox:1", "pullPolicy": "Never"});
                kind.template["spec"]["volumes"] = json!([{"name": "tools", "image": image}]);
                kind.template["spec"]["hostnameOverride"] = "worker".into();
                work(kind)["volumeMounts"] = json!([{"name": "tools", "mountPath": "/tools"}]);
            })
            .await;
        assert_eq!(world.completes(&task).await.result, Some(json!("worker")));
    })
    .await;
}

#[tokio::test]
async fn a_type_is_looked_at_again_once_what_it_lacked_is_there() {
    on_a_node("again", async |world| {
        type_with(world, "work", |kind| kind.template["spec"]["serviceAccountName"] = "later".into()).await;
        let said = stands_in_the_way(world, "work").await;
        assert!(said.contains(r#"serviceaccount "later" not found"#), "{said}");
        let account = json!({"metadata": {"name": "later"}});
        let account: ServiceAccount = serde_json::from_value(account).expect("an account");
        world.namespace.api().create(&PostParams::default(), &account).await.expect("it is made");
        is_ready(world, "work").await;
        let task = world.task("task").await;
        assert_eq!(world.completes(&task).await.attempt, 1);
    })
    .await;
}
