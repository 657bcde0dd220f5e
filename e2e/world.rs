//! The surroundings of a test: a namespace, an operator for it, and a record of its pods.

use std::time::Duration;

use harness::{
    Cluster, Namespace, Operator, Seen, With, eventually, executor, in_namespace_of, over_each, stays, word,
};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod, ServiceAccount};
use kube::ResourceExt;
use kube::api::{LogParams, Patch, PatchParams};
use serde_json::{Value, json};
use task_manager::api::{Retry, State, Task, TaskSpec, TaskStatus, TaskType, TaskTypeSpec};

use crate::pods::Pods;

/// For a task whose attempts are short to become final, on a slow node that all tests use at once. No test says
/// how fast something is: when all goes well nobody waits so long.
pub const A_TASK: Duration = Duration::from_secs(300);
/// For what needs no container to start.
pub const A_CHANGE: Duration = Duration::from_secs(120);
/// The time for which something is watched that must not happen.
pub const A_WHILE: Duration = Duration::from_secs(3);

/// A script's message that it is ready for the test to act.
const UP: &str = "up";
/// Work that goes on until the test lets it go.
pub const WAITS: &str = "until [ -e /tmp/go ]; do sleep 1; done";

pub struct World {
    pub namespace: Namespace,
    pub operator: Operator,
    pods: Pods,
}

/// Tells `story` on the real node, in a namespace of its own with an operator for it.
pub async fn on_a_node(slug: &str, story: impl AsyncFnOnce(&mut World)) {
    on(Cluster::Node, slug, story).await;
}

/// The same over each executor, at once.
pub async fn on_a_node_over_each_executor(slug: &str, story: impl AsyncFn(&mut World)) {
    over_each(async |executor| on_a_node(&format!("{slug}-{}", word(executor)), &story).await).await;
}

/// The same on any cluster that has a node.
pub async fn on(cluster: Cluster, slug: &str, story: impl AsyncFnOnce(&mut World)) {
    on_with(cluster, slug, async |namespace| namespace.operator(&[]).await, story).await;
}

/// The same with an operator that is started in this way.
pub async fn on_with(
    cluster: Cluster,
    slug: &str,
    start: impl AsyncFnOnce(&Namespace) -> Operator,
    story: impl AsyncFnOnce(&mut World),
) {
    in_namespace_of(cluster, slug, async |namespace| {
        pods_can_be_made(&namespace).await;
        let pods = Pods::record(&namespace).await;
        let operator = start(&namespace).await;
        let mut world = World { namespace, operator, pods };
        story(&mut world).await;
        assert!(!world.operator.logged().contains("panicked at"), "the operator panicked");
    })
    .await;
}

/// Pods need the namespace's default service account.
pub async fn pods_can_be_made(namespace: &Namespace) {
    let accounts = namespace.api::<ServiceAccount>();
    eventually("the default service account is there", A_CHANGE, async || accounts.get_opt("default").await.ok()?)
        .await;
}

/// A type whose work is a shell script: small, quick to retry, gone 2 s after SIGTERM at the latest; of the executor that the
/// story is told over.
pub fn shell(name: &str, script: &str) -> TaskType {
    let spec: TaskTypeSpec = serde_json::from_value(json!({
        "defaults": {
            "retry": {"initialSeconds": 1, "factor": 1, "maxSeconds": 1},
            "timeoutSeconds": 600,
            "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
        },
        "template": {"spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 2,
            "containers": [
                {"name": "work", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["sh", "-c", script]},
            ],
        }},
    }))
    .expect("a type");
    TaskType::new(name, TaskTypeSpec { executor: executor(), ..spec })
}

/// A failure of its own ends a task of this type.
pub fn never_again(task_type: &mut TaskTypeSpec) {
    retry(task_type).limit = Some(0);
}

pub fn retry(task_type: &mut TaskTypeSpec) -> &mut Retry {
    task_type.defaults.retry.get_or_insert_default()
}

impl World {
    /// The type "work", whose work is this script.
    pub async fn work(&self, script: &str) {
        self.namespace.create(&shell("work", script)).await;
    }

    /// A type of this name whose work is this script, and a task of it, named alike.
    pub async fn script(&self, name: &str, script: &str) -> Task {
        self.script_with(name, script, |_| {}).await
    }

    pub async fn script_with(&self, name: &str, script: &str, change: impl FnOnce(&mut TaskTypeSpec)) -> Task {
        self.namespace.create(&shell(name, script).with(change)).await;
        self.task_with(name, |spec| spec.type_ = name.into()).await
    }

    /// A task of the type "work".
    pub async fn task(&self, name: &str) -> Task {
        self.task_with(name, |_| {}).await
    }

    pub async fn task_with(&self, name: &str, change: impl FnOnce(&mut TaskSpec)) -> Task {
        self.namespace.create(&harness::task(name).with(change)).await
    }

    pub async fn change_type(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.namespace.types().patch(name, &PatchParams::default(), &patch).await.expect("the change is accepted");
    }

    /// A suspended queue gives no slots.
    pub async fn suspend_queue(&self, name: &str, suspend: bool) {
        let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
        self.namespace.queues().patch(name, &PatchParams::default(), &patch).await.expect("the change is accepted");
    }

    pub async fn change(&self, task: &Task, spec: Value) {
        self.namespace.patch_task(&task.name_any(), spec).await.expect("the change is accepted");
    }

    pub async fn status(&self, task: &Task) -> TaskStatus {
        self.namespace.task(&task.name_any()).await.status.unwrap_or_default()
    }

    pub async fn until(&self, task: &Task, what: &str, is_so: impl Fn(&TaskStatus) -> bool) -> TaskStatus {
        let found = self.namespace.task_within(A_TASK, &task.name_any(), what, |_, status| is_so(status)).await;
        found.status.unwrap_or_default()
    }

    /// Waits until the task is final, and asserts how.
    pub async fn ends(&self, task: &Task, state: State) -> TaskStatus {
        let status = self.until(task, "is final", |status| status.state.is_final()).await;
        // Shown where the test fails.
        println!("task {}: {} {:?}; {:#?}", task.name_any(), status.reason, status.message, status.attempts);
        assert_eq!(status.state, state, "task {}: {} {:?}", task.name_any(), status.reason, status.message);
        status
    }

    pub async fn completes(&self, task: &Task) -> TaskStatus {
        self.ends(task, State::Completed).await
    }

    /// Waits until the task's newest pod runs its container.
    pub async fn runs(&self, task: &Task) -> Pod {
        let what = format!("the container of task {} runs", task.name_any());
        eventually(&what, A_TASK, async || {
            self.pods_of(task).pop().filter(|last| !last.deleted && is_running(&last.object)).map(|last| last.object)
        })
        .await
    }

    /// Waits until the task's newest pod says that it is up: it has set its traps.
    pub async fn is_up(&self, task: &Task) -> Pod {
        let pod = self.runs(task).await;
        eventually(&format!("pod {} says that it is up", pod.name_any()), A_TASK, async || {
            let said = self.namespace.pods().logs(&pod.name_any(), &LogParams::default()).await.ok()?;
            said.lines().any(|line| line == UP).then_some(())
        })
        .await;
        pod
    }

    /// Lets the work of a pod go on that [`WAITS`].
    pub async fn let_go(&self, pod: &Pod) {
        let done = self.namespace.kubectl(&["exec", &pod.name_any(), "--", "touch", "/tmp/go"]).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Lowers the deadline of a pod as a stranger may, so that its kubelet ends it now.
    pub async fn is_overdue(&self, pod: &Pod) {
        let over = Patch::Strategic(json!({"spec": {"activeDeadlineSeconds": 1}}));
        let changed = self.namespace.pods().patch(&pod.name_any(), &PatchParams::default(), &over).await;
        changed.expect("a shorter deadline is accepted");
    }

    /// Waits until this pod has ended, and tells how it was last seen.
    pub async fn ended(&self, pod: &Pod) -> Pod {
        eventually(&format!("pod {} has ended", pod.name_any()), A_TASK, async || {
            let last = self.all_pods().into_iter().find(|last| last.object.uid() == pod.uid())?;
            (last.deleted || !is_live(&last.object)).then_some(last.object)
        })
        .await
    }

    /// Forgets the pods that were, and keeps a new record from here on: resource versions may have gone backwards.
    pub async fn records_anew(&mut self) {
        self.pods = Pods::record(&self.namespace).await;
    }

    /// The last word on every pod of ours that there ever was, oldest first.
    pub fn all_pods(&self) -> Vec<Seen<Pod>> {
        self.pods.all()
    }

    /// The same of one task.
    pub fn pods_of(&self, task: &Task) -> Vec<Seen<Pod>> {
        self.pods.of(task)
    }

    /// How many pods of all tasks, at most, were there and had not ended at one moment.
    pub fn most_pods_at_once(&self) -> usize {
        self.pods.most_at_once()
    }

    /// At no moment had any task two pods that had not ended.
    pub fn assert_one_pod_at_a_time(&self) {
        self.pods.assert_one_at_a_time();
    }

    /// Watches for a while that these tasks stay as they are and that nobody makes a pod.
    pub async fn nothing_changes(&self, tasks: &[&Task]) {
        let pods = self.all_pods().len();
        for task in tasks {
            let before = self.status(task).await;
            stays(&format!("task {}", task.name_any()), A_WHILE, async || self.status(task).await == before).await;
        }
        assert_eq!(self.all_pods().len(), pods, "somebody made a pod");
    }

    /// Waits until no pod runs; those that have ended may be kept for their logs.
    pub async fn nothing_runs(&self) {
        eventually("no pod runs", A_CHANGE, async || {
            self.namespace.pods_now().await.iter().all(|pod| !is_live(pod)).then_some(())
        })
        .await;
    }

    /// Waits until neither Jobs nor pods are left.
    pub async fn is_empty(&self) {
        eventually("neither Jobs nor pods are left", A_CHANGE, async || {
            (self.namespace.jobs_now().await.is_empty() && self.namespace.pods_now().await.is_empty()).then_some(())
        })
        .await;
    }
}

/// Whether something of the pod may still run.
pub fn is_live(pod: &Pod) -> bool {
    !matches!(phase(pod), "Succeeded" | "Failed")
}

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

pub fn is_running(pod: &Pod) -> bool {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    is_live(pod) && containers.filter_map(|container| container.state.as_ref()).any(|state| state.running.is_some())
}

/// The end of its first container.
pub fn end(pod: &Pod) -> &ContainerStateTerminated {
    let first = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()).and_then(|all| all.first());
    let state = first.and_then(|container| container.state.as_ref()).and_then(|state| state.terminated.as_ref());
    state.unwrap_or_else(|| panic!("the container of pod {} has ended: {:?}", pod.name_any(), pod.status))
}
