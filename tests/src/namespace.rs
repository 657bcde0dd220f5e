//! A namespace for one test: made for it, told of when the test fails, and removed after it.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Namespace as KubeNamespace, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, TypeMeta};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Resource, ResourceExt, discovery};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use task_manager::api::{State, Task, TaskQueue, TaskStatus, TaskType};

use crate::account::Account;
use crate::cluster::{Cluster, target};
use crate::fake_node::FakeNode;
use crate::operator::Operator;
use crate::patience::{SOON, eventually};
use crate::recorder::Recorder;
use crate::report;
use crate::rights;

/// A handle on the test's namespace; copies are handles on the same one.
#[derive(Clone)]
pub struct Namespace {
    pub client: Client,
    pub name: String,
    pub cluster: Cluster,
    logs: Arc<Mutex<Vec<PathBuf>>>,
}

/// Tells `story` in a namespace of its own, where there is an API server and nothing else.
pub async fn in_namespace(slug: &str, story: impl AsyncFnOnce(Namespace)) {
    in_namespace_of(Cluster::ControlPlane, slug, story).await;
}

/// Tells `story` in a namespace of its own. On failure prints what is in it. Removes it in any case.
pub async fn in_namespace_of(cluster: Cluster, slug: &str, story: impl AsyncFnOnce(Namespace)) {
    let namespace = Namespace::make(cluster, slug).await;
    let told = AssertUnwindSafe(story(namespace.clone())).catch_unwind().await;
    if told.is_err() {
        eprintln!("{}", report::of(&namespace).await);
    }
    namespace.remove().await;
    if let Err(panic) = told {
        resume_unwind(panic);
    }
}

/// A name that no other test, process or run has taken.
fn unique(slug: &str) -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() % 1_000_000);
    format!("{slug}-{second}-{}-{}", std::process::id(), TAKEN.fetch_add(1, Ordering::Relaxed))
}

fn archive_file(namespace: &str) -> PathBuf {
    let folder = target().join("test-archives");
    std::fs::create_dir_all(&folder).expect("a folder for archives");
    folder.join(namespace).with_extension("db")
}

/// The URL of the archive of a namespace's operators.
pub(crate) fn archive_of(namespace: &str) -> String {
    format!("sqlite:{}", archive_file(namespace).display())
}

impl Namespace {
    /// A new one, which nobody removes.
    pub async fn make(cluster: Cluster, slug: &str) -> Self {
        let client = cluster.client().await;
        let namespace = Self { client, name: unique(slug), cluster, logs: Arc::default() };
        let spaces = Api::<KubeNamespace>::all(namespace.client.clone());
        let space: KubeNamespace =
            serde_json::from_value(json!({"metadata": {"name": namespace.name}})).expect("a namespace");
        spaces.create(&PostParams::default(), &space).await.expect("a namespace can be made");
        rights::grant(&namespace).await;
        namespace
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub fn tasks(&self) -> Api<Task> {
        self.api()
    }

    pub fn types(&self) -> Api<TaskType> {
        self.api()
    }

    pub fn queues(&self) -> Api<TaskQueue> {
        self.api()
    }

    pub fn jobs(&self) -> Api<Job> {
        self.api()
    }

    pub fn pods(&self) -> Api<Pod> {
        self.api()
    }

    /// Creates `object`, which the API server must accept.
    pub async fn create<K>(&self, object: &K) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
    {
        let created = self.api::<K>().create(&PostParams::default(), object).await;
        created.unwrap_or_else(|error| panic!("{} {} is not accepted: {error}", K::kind(&()), object.name_any()))
    }

    /// Applies a manifest of any kind on the server's side, as GitOps does.
    pub async fn apply(&self, manifest: Value) -> kube::Result<DynamicObject> {
        let (api, name) = self.dynamic(&manifest).await?;
        api.patch(&name, &PatchParams::apply("gitops").force(), &Patch::Apply(&manifest)).await
    }

    /// The same one, asked as somebody else.
    pub(crate) fn asked_by(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }

    /// Creates an object from a manifest of any kind, just as it is written.
    pub async fn create_raw(&self, manifest: Value) -> kube::Result<DynamicObject> {
        let (api, _) = self.dynamic(&manifest).await?;
        let object = serde_json::from_value(manifest).expect("a manifest has metadata");
        api.create(&PostParams::default(), &object).await
    }

    /// Applies each document of `yaml`.
    pub async fn apply_yaml(&self, yaml: &str) -> kube::Result<()> {
        for manifest in serde_saphyr::from_multiple::<Value>(yaml).expect("YAML") {
            self.apply(manifest).await?;
        }
        Ok(())
    }

    async fn dynamic(&self, manifest: &Value) -> kube::Result<(Api<DynamicObject>, String)> {
        let types: TypeMeta = serde_json::from_value(manifest.clone()).expect("a manifest has apiVersion and kind");
        let gvk = GroupVersionKind::try_from(types).expect("apiVersion is group/version");
        let (resource, _) = discovery::pinned_kind(&self.client, &gvk).await?;
        let name = manifest.pointer("/metadata/name").and_then(Value::as_str).expect("a manifest has a name");
        Ok((Api::namespaced_with(self.client.clone(), &self.name, &resource), name.to_owned()))
    }

    pub async fn task(&self, name: &str) -> Task {
        self.tasks().get(name).await.unwrap_or_else(|error| panic!("task {name}: {error}"))
    }

    /// Changes a task's spec by a merge patch, as a person with kubectl does.
    pub async fn patch_task(&self, name: &str, spec: Value) -> kube::Result<Task> {
        self.tasks().patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await
    }

    /// The task once `is_so`; panics with `what` and the status last seen when that takes too long.
    pub async fn task_when(&self, name: &str, what: &str, is_so: impl Fn(&Task, &TaskStatus) -> bool) -> Task {
        self.task_within(SOON, name, what, is_so).await
    }

    /// The same with a deadline of the test's own.
    pub async fn task_within(
        &self,
        deadline: std::time::Duration,
        name: &str,
        what: &str,
        is_so: impl Fn(&Task, &TaskStatus) -> bool,
    ) -> Task {
        let what = format!("task {name}: {what}");
        eventually(&what, deadline, async || {
            let task = self.tasks().get_opt(name).await.ok()??;
            let status = task.status.clone().unwrap_or_default();
            is_so(&task, &status).then_some(task)
        })
        .await
    }

    /// The task once it is in `state`.
    pub async fn task_in(&self, name: &str, state: State) -> Task {
        self.task_when(name, &format!("is {state}"), |_, status| status.state == state).await
    }

    /// All tasks once all are final.
    pub async fn all_final(&self, deadline: std::time::Duration) -> Vec<Task> {
        eventually("all tasks are final", deadline, async || {
            let tasks = self.tasks().list(&ListParams::default()).await.ok()?.items;
            let is_final = |task: &Task| task.status.as_ref().is_some_and(|status| status.state.is_final());
            tasks.iter().all(is_final).then_some(tasks)
        })
        .await
    }

    pub async fn jobs_now(&self) -> Vec<Job> {
        self.jobs().list(&ListParams::default()).await.expect("Jobs").items
    }

    /// All tasks once all are final and recorded: an archive that was busy takes some of the records later.
    pub async fn all_archived(&self, deadline: std::time::Duration) -> Vec<Task> {
        self.all_final(deadline).await;
        eventually("all tasks are recorded", deadline, async || {
            let tasks = self.tasks().list(&ListParams::default()).await.ok()?.items;
            let is_recorded = |task: &Task| task.status.as_ref().is_some_and(|status| status.archived == Some(true));
            tasks.iter().all(is_recorded).then_some(tasks)
        })
        .await
    }

    /// The names of the Jobs and bare pods that there are, in order.
    pub async fn launched_now(&self) -> Vec<String> {
        let is_bare = |pod: &Pod| pod.owner_references().iter().any(|owner| owner.kind == "Task");
        let jobs = self.jobs_now().await.into_iter().map(|job| job.name_any());
        let mut names: Vec<_> = jobs.collect();
        names.extend(self.pods_now().await.into_iter().filter(is_bare).map(|pod| pod.name_any()));
        names.sort();
        names
    }

    pub async fn pods_now(&self) -> Vec<Pod> {
        self.pods().list(&ListParams::default()).await.expect("pods").items
    }

    /// An operator that looks after this namespace alone, once it is ready.
    pub async fn operator(&self, flags: &[&str]) -> Operator {
        Operator::start(self, self.operators_kubeconfig(), flags).await
    }

    /// The same under an identity of its own.
    pub async fn operator_as(&self, account: &Account, flags: &[&str]) -> Operator {
        Operator::start(self, account.kubeconfig.clone(), flags).await
    }

    /// Plays Job controller, kubelet and garbage collector here.
    pub fn fake_node(&self) -> FakeNode {
        FakeNode::start(self)
    }

    /// Keeps every version of the objects of one kind from here on.
    pub async fn record<K>(&self) -> Recorder<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        Recorder::start(self.api()).await
    }

    /// Runs kubectl in this namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> Output {
        let mut command = self.cluster.kubectl();
        command.args(["--namespace", &self.name]).args(arguments).output().await.expect("kubectl runs")
    }

    /// Has this log shown when the test fails.
    pub(crate) fn keep_log(&self, log: PathBuf) {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push(log);
    }

    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes the namespace. Nobody waits for that on a whole cluster; where there is no namespace controller
    /// its part is played. What goes wrong here makes no test fail.
    /// The archive of this namespace's operators: one for all of them.
    pub fn archive(&self) -> String {
        archive_of(&self.name)
    }

    async fn remove(&self) {
        let archive = archive_file(&self.name);
        for file in ["db", "db-wal", "db-shm"].map(|end| archive.with_extension(end)) {
            let _ = std::fs::remove_file(file);
        }
        let spaces = Api::<KubeNamespace>::all(self.client.clone());
        let _ = spaces.delete(&self.name, &DeleteParams::background()).await;
        if self.cluster != Cluster::ControlPlane {
            return;
        }
        self.empty::<Task>().await;
        self.empty::<TaskType>().await;
        self.empty::<TaskQueue>().await;
        self.empty::<Job>().await;
        self.empty::<Pod>().await;
        self.empty::<Event>().await;
        let done = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}, "spec": {}});
        let bytes = serde_json::to_vec(&done).expect("JSON");
        let _ = spaces.replace_subresource("finalize", &self.name, &PostParams::default(), &bytes).await;
    }

    async fn empty<K>(&self)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::background() };
        let _ = self.api::<K>().delete_collection(&at_once, &ListParams::default()).await;
    }
}
