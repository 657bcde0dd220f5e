//! The ways in which the agent comes into the pod of any image, and what a pool says whose workers do not come up.

use e2e::warm::{POOL, on_a_node_with_workers, pool_of_agents};
use e2e::world::World;
use harness::Namespace;
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use task_manager::api::WorkerPool;

use super::{pool, task};

/// Pods of this namespace must be of the level "restricted".
async fn restrict(ns: &Namespace) {
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let spaces = Api::<KubeNamespace>::all(ns.client.clone());
    spaces.patch(&ns.name, &PatchParams::default(), &Patch::Merge(label)).await.expect("it is labelled");
}

/// A user that is not root, and a root file system that may not be written, as the worker's container alone says it.
fn restricted(template: &mut Value) {
    let pod = &mut template["spec"];
    pod["containers"][0]["securityContext"] = json!({
        "runAsUser": 1000, "runAsNonRoot": true, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    pod["volumes"] = json!([{"name": "tmp", "emptyDir": {}}]);
    pod["containers"][0]["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp"}]);
}

/// A worker of an image that knows nothing of the agent runs two tasks; its pod.
async fn becomes_a_worker(slug: &str, how: &str) -> Pod {
    let mut worker = None;
    on_a_node_with_workers(slug, async |world: &mut World| {
        restrict(&world.namespace).await;
        let mut warm =
            pool_of_agents(world, 1, 1, r#"echo "[\"$(id -u)\", \"$TASK_NAME\"]" > "$TASK_RESULT_FILE""#).await;
        warm.spec.agent = serde_json::from_value(json!({"as": how})).expect("an agent");
        restricted(&mut warm.spec.template);
        let workers = pool(world, &warm, &[("work", 0)]).await;
        for name in ["one", "two"] {
            let status = world.completes(&task(world, "work", name).await).await;
            assert_eq!((status.attempt, status.result), (1, Some(json!(["1000", name]))));
        }
        assert_eq!((workers.all().len(), workers.status().await.restarts), (1, 0));
        worker = Some(workers.all().remove(0).object);
    })
    .await;
    worker.expect("the story was told")
}

#[tokio::test]
async fn any_image_becomes_a_worker_by_image_volume_and_by_init_container() {
    let by_volume = becomes_a_worker("pool-by-volume", "ImageVolume");
    let by_copy = becomes_a_worker("pool-by-copy", "InitContainer");
    let [by_volume, by_copy] = <[Pod; 2]>::from(tokio::join!(by_volume, by_copy));
    let brought = |pod: &Pod| {
        let spec = pod.spec.clone().unwrap_or_default();
        let has_image = spec.volumes.iter().flatten().any(|volume| volume.image.is_some());
        (spec.init_containers.is_some_and(|containers| !containers.is_empty()), has_image)
    };
    assert_eq!((brought(&by_volume), brought(&by_copy)), ((false, true), (true, false)));
}

#[tokio::test]
async fn a_pool_says_what_its_workers_wait_for_and_why_the_last_one_was_replaced() {
    on_a_node_with_workers("pool-told", async |world| {
        let mut warm = pool_of_agents(world, 1, 1, "true").await;
        let right = warm.spec.template.clone();
        warm.spec.template["spec"]["containers"][0]["image"] = "localhost/nothing:1".into();
        let workers = pool(world, &warm, &[("work", 0)]).await;
        workers.tells("False", "localhost/nothing:1").await;
        let change = async |template: &Value| {
            let patch = Patch::Merge(json!({"spec": {"template": template}}));
            let pools = world.namespace.api::<WorkerPool>();
            pools.patch(POOL, &PatchParams::default(), &patch).await.expect("its template is changed");
        };
        let mut without_command = right.clone();
        without_command["spec"]["containers"][0]["command"] = json!(["/no/such/command"]);
        change(&without_command).await;
        workers.tells("False", "exit code 127").await;
        change(&right).await;
        world.completes(&task(world, "work", "after").await).await;
        workers.tells("True", "").await;
    })
    .await;
}
