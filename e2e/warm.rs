//! Worker pools on a real node: their images, their pods as they were seen, and their workers as processes of this machine.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command as Program;

use harness::{Cluster, Namespace, Operator, Recorder, Seen, eventually, most_at_once};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::{Executor, TaskType, TaskTypeSpec, WorkerPool, WorkerPoolStatus};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::gate::Gate;
use crate::installed::{image_binary, image_file, load, make_image_as, root, run};
use crate::world::{A_TASK, World, is_live, on_with};

const LABEL: &str = "taskmanager.dev/pool";
/// The name of the pool of a test.
pub const POOL: &str = "warm";

/// Images that the node has for all tests of this process.
pub struct Images {
    /// The operator's, which holds the agent.
    pub agent: String,
    /// Busybox, Python, and the clients that the documents show.
    pub worker: String,
}

static IMAGES: OnceCell<Images> = OnceCell::const_new();

pub async fn images(namespace: &Namespace) -> &'static Images {
    IMAGES
        .get_or_init(async || {
            let tag = format!("warm-{}", std::process::id());
            let agent = make_image_as(namespace, &tag).await;
            let (file, worker) = (image_file(&format!("{tag}-worker")), format!("localhost/warm:{tag}"));
            run(Command::new(root().join("e2e/warm-image")).arg(&file).arg(&worker).arg(image_binary())).await;
            load(namespace, &file).await;
            Images { agent, worker }
        })
        .await
}

/// Tells `story` on the real node, with an operator that listens to workers and knows the image of its agent.
pub async fn on_a_node_with_workers(slug: &str, story: impl AsyncFnOnce(&mut World)) {
    with_workers(Cluster::Node, slug, story).await;
}

/// The same on any cluster that has a node.
pub async fn with_workers(cluster: Cluster, slug: &str, story: impl AsyncFnOnce(&mut World)) {
    let start = async |namespace: &Namespace| {
        let images = images(namespace).await;
        Operator::with_worker(namespace, &["--agent-image", &images.agent]).await
    };
    on_with(cluster, slug, start, story).await;
}

/// A pool whose agent runs this script for each task; what it does depends on the variable TASK_TYPE.
pub async fn pool_of_agents(world: &World, min: i32, max: i32, script: &str) -> WorkerPool {
    pool_of_agents_in(&world.namespace, min, max, script).await
}

/// The same where the operator is not one of the test's own.
pub async fn pool_of_agents_in(namespace: &Namespace, min: i32, max: i32, script: &str) -> WorkerPool {
    let mut pool = pool_of_clients_in(namespace, min, max, &["sh", "-c", script]).await;
    pool.spec.agent = serde_json::from_value(json!({"as": "InitContainer"})).expect("an agent");
    pool
}

/// A pool whose containers run this command, which speaks the protocol itself.
pub async fn pool_of_clients(world: &World, min: i32, max: i32, command: &[&str]) -> WorkerPool {
    pool_of_clients_in(&world.namespace, min, max, command).await
}

async fn pool_of_clients_in(namespace: &Namespace, min: i32, max: i32, command: &[&str]) -> WorkerPool {
    let image = &images(namespace).await.worker;
    serde_json::from_value(json!({
        "apiVersion": "taskmanager.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": POOL},
        "spec": {"replicas": {"min": min, "max": max}, "heartbeatSeconds": 5, "template": {"spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 4,
            "containers": [{
                "name": "worker", "image": image, "imagePullPolicy": "Never", "command": command,
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "96Mi"}},
            }],
        }}},
    }))
    .expect("a pool")
}

/// A type of this name whose tasks the pool runs, tried again soon and so often.
pub fn warm_type(name: &str, limit: i32) -> TaskType {
    let spec: TaskTypeSpec = serde_json::from_value(json!({
        "executor": Executor::Pool, "workerPool": POOL,
        "defaults": {"retry": {"limit": limit, "initialSeconds": 1, "factor": 1, "maxSeconds": 1}, "timeoutSeconds": 300},
    }))
    .expect("a type");
    TaskType::new(name, spec)
}

/// Whoever begins the work of a task twice at the same time writes a line to `twice`, and each who begins one to `began`. The
/// lock is the kernel's: it lasts for as long as a process of the work does.
pub const ONCE_AT_A_TIME: &str = r#"
exec 9>"/gate/lock-$TASK_ID"
flock -n 9 || echo "$TASK_NAME $TASK_ATTEMPT" >> /gate/twice
echo "$TASK_NAME $TASK_ATTEMPT" >> /gate/began
"#;

/// No work ran twice at the same time, and none of an attempt began twice. The lines of who began.
pub fn assert_once_at_a_time(gate: &Gate) -> Vec<String> {
    assert_eq!(gate.lines("twice"), Vec::<String>::new(), "ran twice at the same time");
    let began = gate.lines("began");
    let attempts: BTreeSet<&String> = began.iter().collect();
    assert_eq!(attempts.len(), began.len(), "an attempt began twice: {began:?}");
    began
}

/// Every worker's pod of a namespace from when the record began.
pub struct Workers {
    namespace: Namespace,
    pods: Recorder<Pod>,
}

impl Workers {
    pub async fn record(namespace: &Namespace) -> Self {
        Self { namespace: namespace.clone(), pods: namespace.record().await }
    }

    /// The last word on each worker's pod that there ever was, oldest first.
    pub fn all(&self) -> Vec<Seen<Pod>> {
        let mut pods = Vec::<Seen<Pod>>::new();
        for seen in self.pods.seen().into_iter().filter(|seen| is_worker(&seen.object)) {
            match pods.iter_mut().find(|known| known.object.uid() == seen.object.uid()) {
                Some(known) => *known = seen,
                None => pods.push(seen),
            }
        }
        pods
    }

    /// How many that had not ended were there at one moment, at most.
    pub fn most_at_once(&self) -> usize {
        most_at_once(&self.pods.seen(), |pod| is_worker(pod) && is_live(pod))
    }

    /// Waits until the pool has so many workers that have asked for work.
    pub async fn are_ready(&self, count: i32) {
        let what = format!("{count} workers have asked for work");
        eventually(&what, A_TASK, async || (self.status().await.ready == count).then_some(())).await;
    }

    /// Waits until the status of the pool is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&WorkerPoolStatus) -> bool) -> WorkerPoolStatus {
        eventually(&format!("the pool {what}"), A_TASK, async || Some(self.status().await).filter(&is_so)).await
    }

    /// Waits until the pool's Ready condition has this status, and these words in its message.
    pub async fn tells(&self, ready: &str, words: &str) {
        self.until(&format!("is Ready {ready} and says {words}"), |status| {
            let mut conditions = status.conditions.iter();
            conditions.any(|seen| seen.type_ == "Ready" && seen.status == ready && seen.message.contains(words))
        })
        .await;
    }

    pub async fn status(&self) -> WorkerPoolStatus {
        let pool = self.namespace.api::<WorkerPool>().get_opt(POOL).await.ok().flatten();
        pool.and_then(|pool| pool.status).unwrap_or_default()
    }

    /// Waits until the pod of this name is gone, and asserts that just one came in its place.
    pub async fn one_comes_in_the_place_of(&self, pod: &str) {
        eventually(&format!("pod {pod} is gone"), A_TASK, async || {
            self.all().iter().find(|seen| seen.object.name_any() == pod)?.deleted.then_some(())
        })
        .await;
        eventually("another is there", A_TASK, async || (self.all().len() >= 2).then_some(())).await;
        assert_eq!(self.all().len(), 2, "one worker in the place of one");
    }
}

fn is_worker(pod: &Pod) -> bool {
    pod.labels().contains_key(LABEL)
}

/// Sends a signal to all processes of a pod whose command line is so, from the machine that the node is on: within the
/// container nobody may send it to the first process. Returns to how many.
pub fn signal(pod: &Pod, signal: &str, is_meant: impl Fn(&str) -> bool) -> usize {
    let uid = pod.uid().expect("a uid");
    let pids: Vec<String> = fs::read_dir("/proc")
        .expect("processes")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok().filter(|name| name.parse::<u32>().is_ok()))
        .filter(|pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(&uid)))
        .filter(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| is_meant(&line)))
        .collect();
    for pid in &pids {
        let _ = Program::new("kill").args([signal, pid]).status();
    }
    pids.len()
}

/// Whether a command line is the agent's, which has the whole command of the work in it.
pub fn is_agent(line: &str) -> bool {
    line.starts_with("/task-agent/task-manager")
}

/// The pods of all workers now, as a test that has failed shows them.
pub fn told(workers: &Workers) -> Vec<Value> {
    workers.all().iter().map(|seen| json!([seen.object.name_any(), seen.deleted, seen.object.status])).collect()
}
