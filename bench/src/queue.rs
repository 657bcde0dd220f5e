//! Throughput: Tasks through a queue of capacity 50, run by Jobs and by bare pods, plain Jobs of which 50 run at once, and Jobs through a queue of
//! Kueue that has room for 50.

use harness::{Account, Cluster, Namespace, Operator, SOON, eventually, over, task_queue, task_type};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt, discovery};
use serde_json::{Value, json};
use task_manager::api::{Executor, Task};

use crate::generator::{Generator, Load};
use crate::measurements::Measurements;
use crate::plane;

const AT_ONCE: usize = 50;
/// A first round warms up and is not measured.
const WARM_UP: usize = 200;
const KUEUE_GROUP: &str = "kueue.x-k8s.io";
/// The label that names a Job's queue to Kueue.
const KUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";
const KUEUE_QUEUE: &str = "bench";

pub async fn jobs(count: usize) -> Measurements {
    let namespace = Namespace::make(Cluster::ControlPlane, "jobs").await;
    let generator = Generator::<Job>::start(&namespace).await;
    run(generator, &namespace, None, count, AT_ONCE).await
}

pub async fn tasks(count: usize, executor: Executor) -> Measurements {
    let namespace = Namespace::make(Cluster::ControlPlane, "tasks").await;
    let (operator, _) = over(executor, operator(&namespace, AT_ONCE as i32)).await;
    let generator = Generator::<Task>::start(&namespace).await;
    run(generator, &namespace, operator.pid(), count, usize::MAX).await
}

pub async fn kueue(count: usize) -> Measurements {
    let namespace = Namespace::make(Cluster::ControlPlane, "kueue").await;
    kueue_queue(&namespace).await;
    let generator = Generator::start_with(&namespace, queued_by_kueue).await;
    run(generator, &namespace, None, count, usize::MAX).await
}

/// A queue of Kueue with room for 50 Jobs, each of which asks for 10m of CPU.
async fn kueue_queue(namespace: &Namespace) {
    let cpu = json!({"name": "cpu", "nominalQuota": format!("{}m", AT_ONCE * 10)});
    let memory = json!({"name": "memory", "nominalQuota": "1000Ti"});
    let group =
        json!({"coveredResources": ["cpu", "memory"], "flavors": [{"name": KUEUE_QUEUE, "resources": [cpu, memory]}]});
    create_in_kueue(namespace, "ResourceFlavor", json!({})).await;
    create_in_kueue(namespace, "ClusterQueue", json!({"namespaceSelector": {}, "resourceGroups": [group]})).await;
    let queues = create_in_kueue(namespace, "LocalQueue", json!({"clusterQueue": KUEUE_QUEUE})).await;
    eventually("Kueue's queue is active", SOON, async || {
        let queue = queues.get(KUEUE_QUEUE).await.expect("it was created");
        let conditions = queue.data["status"]["conditions"].as_array()?;
        conditions.iter().any(|condition| condition["type"] == "Active" && condition["status"] == "True").then_some(())
    })
    .await;
}

/// Creates an object of one of Kueue's kinds, of the cluster or of this namespace.
async fn create_in_kueue(namespace: &Namespace, kind: &str, spec: Value) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(KUEUE_GROUP, "v1beta2", kind);
    let (resource, capabilities) =
        discovery::pinned_kind(&namespace.client, &kind).await.expect("Kueue's kinds are known");
    let api: Api<DynamicObject> = match capabilities.scope {
        discovery::Scope::Cluster => Api::all_with(namespace.client.clone(), &resource),
        discovery::Scope::Namespaced => Api::namespaced_with(namespace.client.clone(), &namespace.name, &resource),
    };
    let object = DynamicObject::new(KUEUE_QUEUE, &resource).data(json!({"spec": spec}));
    api.create(&PostParams::default(), &object).await.expect("it is accepted");
    api
}

fn queued_by_kueue(name: &str) -> Job {
    let mut job = Job::named(name);
    job.labels_mut().insert(KUEUE_LABEL.into(), KUEUE_QUEUE.into());
    job
}

/// Starts an operator with its own service account, a type "work", and a queue "default" of this capacity.
pub async fn operator(namespace: &Namespace, capacity: i32) -> (Operator, Account) {
    namespace.create(&task_type("work")).await;
    namespace.create(&task_queue("default", capacity)).await;
    let account = namespace.account().await;
    (namespace.operator_as(&account, &[]).await, account)
}

async fn run<K: Load>(
    mut generator: Generator<K>,
    namespace: &Namespace,
    operator: Option<u32>,
    count: usize,
    at_once: usize,
) -> Measurements {
    generator.run("warm-up", WARM_UP, at_once).await;
    let before = plane::before(namespace, operator).await;
    let took = generator.run("run", count, at_once).await;
    let mut found = before.used(count).await;
    found.figures.insert("rate".into(), count as f64 / took.as_secs_f64());
    found
}
