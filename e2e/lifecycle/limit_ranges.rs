//! Additions of a namespace, a class or a webhook to a pod: they hold where nobody else spoke, and are counted.

use harness::{eventually, most_at_once, target};
use k8s_openapi::api::core::v1::{LimitRange, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::PostParams;
use serde_json::{Value, json};
use task_manager::api::{Quantity, TaskQueue, TaskStatus, TaskType, TaskTypeSpec};

use e2e::cluster_wide::ClusterWide;
use e2e::containers::container;
use e2e::told::{is_ready, stands_in_the_way};
use e2e::webhook::{On, Webhook};
use e2e::world::{A_CHANGE, World, is_live, on_a_node};

/// A type that says what runs, and nothing else.
fn plain(script: &str) -> TaskType {
    let work = json!({"name": "work", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["sh", "-c", script]});
    let spec = json!({"template": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [work]}}});
    TaskType::new("work", serde_json::from_value(spec).expect("a type"))
}

async fn limit_range(world: &World, limits: Value) {
    let range = json!({"metadata": {"name": "containers"}, "spec": {"limits": [limits]}});
    let ranges = world.namespace.api::<LimitRange>();
    ranges.create(&PostParams::default(), &serde_json::from_value(range).expect("a range")).await.expect("it is made");
    let probe = json!({"metadata": {"name": "probe"}, "spec": {"containers": [{"name": "work", "image": "localhost/busybox:1"}]}});
    let probe: Pod = serde_json::from_value(probe).expect("a pod");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the range holds", A_CHANGE, async || {
        let pod = world.namespace.pods().create(&dry_run, &probe).await.ok()?;
        pod.spec?.containers[0].resources.clone().filter(|resources| *resources != Default::default())
    })
    .await;
}

/// A queue in which there is room for one pod of 100m, and not for two.
async fn queue_for_one(world: &World) {
    let spec = json!({"capacity": {"resources": {"cpu": "150m"}}});
    world.namespace.create(&TaskQueue::new("default", serde_json::from_value(spec).expect("a queue"))).await;
}

/// Two tasks of the type "work" run, one after the other, and are counted with 100m or more each.
async fn run_one_after_the_other(world: &World) {
    is_ready(world, "work").await;
    let tasks = [world.task("one").await, world.task("two").await];
    for task in &tasks {
        let admitted = world.until(task, "is admitted", |status| status.admitted.is_some()).await;
        let cpu = cpu_of(&admitted);
        let amount = |quantity: Quantity| quantity.amount().expect("a quantity");
        assert!(cpu.is_some_and(|cpu| amount(cpu) >= amount(Quantity("100m".into()))), "{:?}", admitted.admitted);
        world.completes(task).await;
    }
    assert_eq!(world.most_pods_at_once(), 1, "both ran at once");
}

fn cpu_of(status: &TaskStatus) -> Option<Quantity> {
    let admitted = serde_json::to_value(status.admitted.as_ref()?).expect("JSON");
    admitted["resources"]["cpu"].as_str().map(|cpu| Quantity(cpu.into()))
}

fn small(kind: &mut TaskTypeSpec) {
    kind.defaults.resources =
        serde_json::from_value(json!({"requests": {"memory": "8Mi"}, "limits": {"memory": "32Mi"}}))
            .expect("resources");
}

#[tokio::test]
async fn the_namespaces_default_holds_where_nobody_names_a_limit() {
    on_a_node("range-default", async |world| {
        let limits = json!({"type": "Container", "default": {"cpu": "200m", "memory": "64Mi"},
            "defaultRequest": {"cpu": "20m", "memory": "16Mi"}, "max": {"cpu": "500m", "memory": "128Mi"}});
        limit_range(world, limits).await;
        world.namespace.create(&plain("true")).await;
        let task = world.task("task").await;
        world.completes(&task).await;
        is_ready(world, "work").await;
        let pod = serde_json::to_value(&world.pods_of(&task)[0].object).expect("JSON");
        let resources = &pod["spec"]["containers"][0]["resources"];
        assert_eq!(resources["limits"]["memory"], "64Mi", "{resources}");
        assert_eq!(resources["requests"]["memory"], "16Mi", "{resources}");
    })
    .await;
}

#[tokio::test]
async fn a_type_above_the_namespaces_maximum_says_so_itself() {
    on_a_node("range-maximum", async |world| {
        limit_range(world, json!({"type": "Container", "default": {"memory": "64Mi"}, "max": {"memory": "128Mi"}}))
            .await;
        let large = world.script_with("large", "true", |kind| {
            small(kind);
            let large = json!({"limits": {"memory": "256Mi"}});
            kind.defaults.resources = serde_json::from_value(large).expect("resources");
        });
        let _large = large.await;
        let said = stands_in_the_way(world, "large").await;
        assert!(said.contains("maximum memory usage per Container is 128Mi"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn requests_that_a_limit_range_adds_are_counted() {
    on_a_node("range-counted", async |world| {
        let limits = json!({"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}});
        limit_range(world, limits).await;
        queue_for_one(world).await;
        let mut kind = plain("sleep 8");
        small(&mut kind.spec);
        world.namespace.create(&kind).await;
        run_one_after_the_other(world).await;
    })
    .await;
}

#[tokio::test]
async fn containers_that_a_webhook_adds_are_counted() {
    on_a_node("injected-counted", async |world| {
        let mut proxy = container("mesh-proxy", "sleep 1");
        proxy["resources"]["requests"]["cpu"] = "100m".into();
        let _mesh = Webhook::adds(&world.namespace, On::Pods, "/spec/containers/-", proxy).await;
        queue_for_one(world).await;
        let mut kind = plain("sleep 8");
        small(&mut kind.spec);
        world.namespace.create(&kind).await;
        run_one_after_the_other(world).await;
    })
    .await;
}

#[tokio::test]
async fn the_overhead_of_a_runtime_class_is_counted() {
    on_a_node("overhead-counted", async |world| {
        let name = world.namespace.name.clone();
        let class = json!({"metadata": {"name": name}, "handler": "runc", "overhead": {"podFixed": {"cpu": "100m"}}});
        let cluster = world.namespace.cluster;
        let _class = ClusterWide::create::<RuntimeClass>(cluster, &world.namespace.client, class).await;
        queue_for_one(world).await;
        let mut kind = plain("sleep 8");
        small(&mut kind.spec);
        kind.spec.template["spec"]["runtimeClassName"] = name.into();
        world.namespace.create(&kind).await;
        run_one_after_the_other(world).await;
    })
    .await;
}

#[tokio::test]
async fn the_first_type_that_a_person_writes_runs_in_the_sample_queue() {
    on_a_node("first-type", async |world| {
        let queue = target().join("../manifests/samples/20-taskqueue-default.yaml");
        let queue = std::fs::read_to_string(queue).expect("a sample");
        world.namespace.apply_yaml(&queue).await.expect("it is accepted");
        world.namespace.create(&plain("true")).await;
        let task = world.task("task").await;
        assert_eq!(world.completes(&task).await.attempt, 1);
        let most = most_at_once(&world.all_pods(), is_live);
        assert!(most <= 1);
    })
    .await;
}
