//! What every test has to itself: a namespace, an operator that looks after it, and a witness of its pods.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde_json::{Value, json};
use task_manager::api::{State, Task, TaskQueue, TaskQueueSpec, TaskSpec, TaskStatus, TaskType, TaskTypeSpec, crds};
use tokio::sync::OnceCell;

use super::operator::Operator;
use super::wait::{A_CHANGE, A_TASK, eventually};
use super::witness::{Sighting, Witness};

pub struct World {
    pub client: Client,
    pub namespace: String,
    pub operator: Operator,
    pub witness: Witness,
}

/// Runs `test` in a world of its own; prints the state of that world when the test fails; cleans up.
pub async fn in_a_world(name: &str, test: impl AsyncFnOnce(&mut World)) {
    let mut world = World::new(name).await;
    let outcome = AssertUnwindSafe(test(&mut world)).catch_unwind().await;
    if outcome.is_err() || world.operator.has_panicked() {
        eprintln!("{}", world.state().await);
    }
    let namespaces = Api::<Namespace>::all(world.client.clone());
    let _ = namespaces.delete(&world.namespace, &DeleteParams::background()).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    assert!(!world.operator.has_panicked(), "the operator panicked; see its log above");
}

/// Where the cluster is.
pub fn kubeconfig() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/e2e/kubeconfig");
    std::env::var_os("TASK_MANAGER_E2E_KUBECONFIG").map_or_else(|| default.into(), PathBuf::from)
}

async fn client() -> Client {
    let path = kubeconfig();
    let kubeconfig = Kubeconfig::read_from(&path)
        .unwrap_or_else(|error| panic!("no cluster: {}: {error}; start one with e2e/cluster/cluster up --name e2e", path.display()));
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a kubeconfig");
    Client::try_from(config).expect("a client")
}

/// Installs the resources, once for all tests.
async fn install(client: &Client) {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED
        .get_or_init(async || {
            let definitions = Api::<CustomResourceDefinition>::all(client.clone());
            for definition in crds() {
                let name = definition.name_any();
                let apply = PatchParams::apply("e2e").force();
                definitions.patch(&name, &apply, &Patch::Apply(&definition)).await.expect("the resource is defined");
                eventually(&format!("{name} is served"), A_CHANGE, async || {
                    let conditions = definitions.get(&name).await?.status.and_then(|status| status.conditions).unwrap_or_default();
                    Ok(conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True").then_some(()))
                })
                .await;
            }
        })
        .await;
}

impl World {
    async fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let client = client().await;
        install(&client).await;
        let namespace = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        create_namespace(&client, &namespace).await;
        let witness = Witness::of(client.clone(), &namespace);
        let operator = Operator::start(&namespace).await;
        Self { client, namespace, operator, witness }
    }

    pub fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn tasks(&self) -> Api<Task> {
        self.api()
    }

    /// Creates a TaskType whose work is a shell script: small, quick to retry, ended after 2 s of grace.
    pub async fn kind(&self, name: &str, script: &str, change: impl FnOnce(&mut TaskTypeSpec)) {
        let mut spec: TaskTypeSpec = serde_json::from_value(json!({
            "startDeadlineSeconds": 120,
            "defaults": {
                "retry": {"initialSeconds": 1, "maxSeconds": 2},
                "timeoutSeconds": 120,
                "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
            },
            "template": {"spec": {
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 2,
                "containers": [{"name": "work", "image": "localhost/busybox:1", "command": ["sh", "-c", script]}],
            }},
        }))
        .expect("a type");
        change(&mut spec);
        self.api().create(&PostParams::default(), &TaskType::new(name, spec)).await.expect("the type is created");
    }

    pub async fn queue(&self, name: &str, spec: Value) {
        let spec: TaskQueueSpec = serde_json::from_value(spec).expect("a queue");
        self.api().create(&PostParams::default(), &TaskQueue::new(name, spec)).await.expect("the queue is created");
    }

    /// Creates a task.
    pub async fn task(&self, name: &str, type_: &str, change: impl FnOnce(&mut TaskSpec)) -> Task {
        let mut spec: TaskSpec = serde_json::from_value(json!({"type": type_})).expect("a task");
        change(&mut spec);
        self.tasks().create(&PostParams::default(), &Task::new(name, spec)).await.expect("the task is created")
    }

    pub async fn change(&self, task: &str, spec: Value) -> Task {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.tasks().patch(task, &PatchParams::default(), &patch).await.expect("the task is changed")
    }

    pub async fn get(&self, task: &str) -> Task {
        self.tasks().get(task).await.expect("the task is there")
    }

    /// Waits until the task's status is as `is` wants it.
    pub async fn until(&self, task: &str, what: &str, within: Duration, is: impl Fn(&TaskStatus) -> bool) -> TaskStatus {
        eventually(&format!("task {task}: {what}"), within, async || {
            let status = self.tasks().get(task).await?.status.unwrap_or_default();
            Ok(is(&status).then_some(status))
        })
        .await
    }

    /// Waits until the task is final, and asserts how.
    pub async fn ends(&self, task: &str, within: Duration, state: State) -> TaskStatus {
        let status = self.until(task, "is final", within, |status| status.state.is_final()).await;
        assert_eq!(status.state, state, "task {task}: {} {:?}", status.reason, status.message);
        status
    }

    pub async fn completes(&self, task: &str) -> TaskStatus {
        self.ends(task, A_TASK, State::Completed).await
    }

    /// Waits until the newest pod of the task runs its container.
    pub async fn runs(&self, task: &Task) -> Pod {
        let uid = task.uid().expect("a uid");
        let what = format!("the container of task {} runs", task.name_any());
        eventually(&what, A_TASK, async || {
            let newest = self.witness.pods_of(&uid).pop();
            Ok(newest.filter(|pod| !pod.is_over() && pod.is_running()).map(|sighting| sighting.pod))
        })
        .await
    }

    /// Waits until nothing of this pod runs any more, and tells how it was last seen.
    pub async fn is_over(&self, pod: &Pod) -> Sighting {
        eventually(&format!("pod {} is over", pod.name_any()), A_TASK, async || {
            let pods = self.witness.pods();
            Ok(pods.into_iter().find(|seen| seen.pod.uid() == pod.uid() && seen.is_over()))
        })
        .await
    }

    /// Every pod that there ever was of this task, oldest first.
    pub fn pods_of(&self, task: &Task) -> Vec<Sighting> {
        self.witness.pods_of(&task.uid().expect("a uid"))
    }

    /// Waits until neither Jobs nor pods are there.
    pub async fn is_empty(&self) {
        eventually("neither Jobs nor pods are left", A_CHANGE, async || {
            let jobs = self.api::<Job>().list(&ListParams::default()).await?;
            let pods = self.api::<Pod>().list(&ListParams::default()).await?;
            Ok((jobs.items.is_empty() && pods.items.is_empty()).then_some(()))
        })
        .await;
    }

    /// Everything a person would look at first.
    async fn state(&self) -> String {
        let mut state = format!("──── namespace {}\n", self.namespace);
        for task in list::<Task>(self).await {
            let status = task.status.clone().unwrap_or_default();
            let _ = writeln!(state, "task {}: {} {} attempt {} {:?}", task.name_any(), status.state, status.reason, status.attempt, status.message);
            for attempt in status.attempts {
                let _ = writeln!(state, "    attempt {}: {} {} {:?} {:?}", attempt.number, attempt.outcome, attempt.reason, attempt.exit_code, attempt.message);
            }
        }
        for job in list::<Job>(self).await {
            let _ = writeln!(state, "job {} {}", job.name_any(), json!(job.status));
        }
        for seen in self.witness.pods() {
            let statuses = seen.pod.status.as_ref().and_then(|status| status.container_statuses.clone());
            let _ = writeln!(state, "pod {}: {} gone={} {}", seen.pod.name_any(), seen.phase(), seen.gone, json!(statuses));
        }
        for event in list::<Event>(self).await {
            let _ = writeln!(state, "event {:?}: {:?} {:?}", event.involved_object.name, event.reason, event.message);
        }
        let _ = writeln!(state, "──── the operator's last words\n{}\n────", self.operator.last_words());
        state
    }
}

async fn list<K>(world: &World) -> Vec<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + for<'a> serde::Deserialize<'a>,
{
    world.api::<K>().list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default()
}

/// A namespace in which pods can be made: they need its default service account.
pub async fn create_namespace(client: &Client, name: &str) {
    let namespace = Namespace { metadata: kube::api::ObjectMeta { name: Some(name.into()), ..Default::default() }, ..Namespace::default() };
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.expect("the namespace is created");
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), name);
    eventually("the default service account is there", A_CHANGE, async || accounts.get_opt("default").await).await;
}
