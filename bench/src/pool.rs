//! Tasks that come over REST and that a pool of eight warm workers runs, in-process ones whose work takes no time; beside a
//! writer that makes the same writes of the same content and does nothing else, on the same control plane.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use harness::{
    Account, Cluster, Namespace, Operator, SOON, WarmWorker, eventually, pool_type, task, task_queue, worker_pool,
};
use http::{Request, header};
use jiff::Timestamp;
use kube::api::{ListParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use task_manager::api::{State, Task, TaskStatus};
use tokio::task::JoinSet;

use crate::generator::{Generator, percentile};
use crate::measurements::Measurements;
use crate::plane;

const WORKERS: usize = 8;
const WARM_UP: usize = 200;
/// The dumb writer's tasks under way at once. More gain little.
const IN_FLIGHT: usize = 32;
/// Between two tasks on an idle pool: never in step with anything that happens once a second.
const PAUSE: Duration = Duration::from_millis(107);
const PACED: usize = 100;

/// When workers were given tasks, by the tasks' uids.
type Given = Arc<Mutex<HashMap<String, Timestamp>>>;

pub async fn run(count: usize) -> Measurements {
    let namespace = Namespace::make(Cluster::ControlPlane, "pool").await;
    let beside = Namespace::make(Cluster::ControlPlane, "writer").await;
    let (operator, account, workers) = pool(&namespace).await;
    let statuses = statuses(&namespace, &workers[0]).await;
    let given = Given::default();
    let mut work: JoinSet<()> = workers.into_iter().map(|worker| works(worker, given.clone())).collect();
    let mut generator = Generator::<Task>::start(&namespace).await.over_rest(operator.rest());
    generator.run("warm-up", WARM_UP, usize::MAX).await;
    dumb_writer(&beside, "warm-up", WARM_UP, &statuses).await;

    // The writer before and after, so that what changes with time weighs on both.
    let before = plane::before(&beside, None).await;
    let mut written = dumb_writer(&beside, "before", count / 2, &statuses).await;
    let writer_cpu = plane_cpu(&before.used(count / 2).await);
    let before = plane::before(&namespace, operator.pid()).await;
    let asked = account.requests().await;
    let took = generator.run("run", count, usize::MAX).await;
    let mut found = before.used(count).await;
    let asked = account.requests().await - asked;
    let cpu = plane_cpu(&found) + found.cpu.get("operator").copied().unwrap_or_default();
    tokio::time::sleep(plane::REST).await;
    written += dumb_writer(&beside, "after", count / 2, &statuses).await;
    dispatches(&namespace, "run", &given, "dispatch under load", &mut found).await;
    tokio::time::sleep(plane::REST).await;
    generator.paced("paced", PACED, PAUSE).await;
    dispatches(&namespace, "paced", &given, "dispatch", &mut found).await;
    work.abort_all();

    let rate = count as f64 / took.as_secs_f64();
    let writer = (count / 2 * 2) as f64 / written.as_secs_f64();
    let latencies = generator.latencies("paced");
    for (name, value) in [
        ("rate", rate),
        ("writer rate", writer),
        ("of the writer's rate", rate / writer),
        ("writer CPU ms", writer_cpu),
        ("of the writer's CPU", writer_cpu / cpu),
        ("p50 ms", percentile(&latencies, 50)),
        ("p99 ms", percentile(&latencies, 99)),
        ("status writes", asked.statuses as f64 / count as f64),
        ("other writes", asked.other_writes as f64 / count as f64),
        ("reads", asked.reads as f64 / count as f64),
    ] {
        found.figures.insert(name.into(), value);
    }
    found
}

/// An operator that listens to the workers of a pool, and these.
async fn pool(namespace: &Namespace) -> (Operator, Account, Vec<WarmWorker>) {
    namespace.account_for_pods().await;
    namespace.create(&worker_pool("warm", WORKERS as i32, WORKERS as i32)).await;
    namespace.create(&pool_type("work", "warm")).await;
    namespace.create(&task_queue("default", 1000)).await;
    let account = namespace.account().await;
    let operator = Operator::with_worker_as(namespace, account.kubeconfig.clone(), &[]).await;
    let workers = WarmWorker::all(namespace, "warm", WORKERS, &operator.worker()).await;
    (operator, account, workers)
}

/// Asks for tasks and hands them in, for ever.
async fn works(worker: WarmWorker, given: Given) {
    let mut body = json!({"beats": true});
    loop {
        let answer = worker.next_once(&body).await;
        if answer.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        let task = answer.json()["task"].take();
        body = json!({"beats": true});
        if let (Some(id), Some(lease)) = (task["id"].as_str(), task["lease"].as_str()) {
            given.lock().expect("nobody panics with it").insert(id.into(), Timestamp::now());
            body["done"] = json!({"lease": lease, "result": {"pages": 10}});
        }
    }
}

/// The two statuses that a task of this pool is given in its life.
async fn statuses(namespace: &Namespace, worker: &WarmWorker) -> [TaskStatus; 2] {
    namespace.create(&task("first")).await;
    let given = worker.task().await;
    let processing = namespace.task("first").await.status.expect("it was admitted");
    worker.done(&given["lease"], json!({"result": {"pages": 10}})).await;
    let done = eventually("it is over", SOON, async || {
        namespace.task("first").await.status.filter(|status| status.state == State::Completed)
    });
    [processing, done.await]
}

/// Creates so many tasks and writes both statuses of each, as fast as it goes; returns the time that it took.
async fn dumb_writer(namespace: &Namespace, prefix: &str, count: usize, statuses: &[TaskStatus; 2]) -> Duration {
    let began = Instant::now();
    let tasks = (0..count).map(|number| write_one(namespace, format!("{prefix}-{number}"), statuses));
    stream::iter(tasks).buffer_unordered(IN_FLIGHT).for_each(|()| std::future::ready(())).await;
    began.elapsed()
}

async fn write_one(namespace: &Namespace, name: String, statuses: &[TaskStatus; 2]) {
    let made = namespace.tasks().create(&PostParams::default(), &task(&name)).await.expect("it is accepted");
    let url = format!("{}/{name}/status", Task::url_path(&(), Some(&namespace.name)));
    let mut version = made.resource_version();
    for status in statuses {
        let object = json!({"apiVersion": Task::api_version(&()), "kind": Task::kind(&()), "spec": {"type": "work"},
            "metadata": {"name": name, "namespace": namespace.name, "resourceVersion": version}, "status": status});
        let request = Request::put(&url).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(object.to_string().into_bytes()).expect("a request");
        let written: Value = namespace.client.request(request).await.expect("it is accepted");
        version = written["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    }
}

/// How long it took from the admission of each of these tasks until its worker had it.
async fn dispatches(namespace: &Namespace, prefix: &str, given: &Given, name: &str, found: &mut Measurements) {
    let tasks = namespace.tasks().list(&ListParams::default()).await.expect("a list").items;
    let admitted: BTreeMap<String, Timestamp> = tasks
        .into_iter()
        .filter(|task| task.name_any().starts_with(prefix))
        .filter_map(|task| Some((task.uid()?, task.status?.admitted_at?.0)))
        .collect();
    let given = given.lock().expect("nobody panics with it");
    let took = admitted.iter().filter_map(|(uid, at)| Some(given.get(uid)?.duration_since(*at).as_secs_f64() * 1000.0));
    let mut took: Vec<f64> = took.collect();
    took.sort_by(f64::total_cmp);
    for percent in [50, 99] {
        found.figures.insert(format!("{name} p{percent} ms"), percentile(&took, percent));
    }
}

/// The CPU milliseconds of one, of API server and etcd.
fn plane_cpu(found: &Measurements) -> f64 {
    ["kube-apiserver", "etcd"].iter().filter_map(|part| found.cpu.get(*part)).sum()
}
