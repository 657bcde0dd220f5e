//! Creates Jobs or Tasks and waits until they are done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use harness::{Namespace, Rest, With, task, task_type};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{PartialObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use task_manager::api::{Task, TaskType};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{timeout, timeout_at};

/// The most requests at once. More gain little and make each one slower.
const IN_FLIGHT: usize = 32;
/// A bound on every wait; nothing measured takes so long.
const DEADLINE: Duration = Duration::from_secs(600);

/// A resource that can be generated.
pub trait Load:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Selects those that have succeeded, so that the watch tells of each one once.
    const DONE: &'static str;
    fn named(name: &str) -> Self;
}

impl Load for Job {
    const DONE: &'static str = "status.successful=1";

    fn named(name: &str) -> Self {
        job_of(&task_type("work"), name)
    }
}

/// A Job with the pod template of this type.
pub fn job_of(kind: &TaskType, name: &str) -> Job {
    let mut template = kind.spec.template.clone();
    template["spec"]["restartPolicy"] = "Never".into();
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template}}))
        .expect("a Job")
}

impl Load for Task {
    const DONE: &'static str = "status.state=Completed";

    fn named(name: &str) -> Self {
        task(name)
    }
}

/// A Task with a payload of `bytes` bytes.
pub fn with_payload(name: &str, bytes: usize) -> Task {
    let payload = serde_json::from_value(json!({"text": "x".repeat(bytes)})).expect("an object");
    task(name).with(|spec| spec.payload = Some(payload))
}

pub struct Generator<K> {
    api: Api<K>,
    /// Where Tasks are submitted; without it they are created at the API server.
    rest: Option<Rest>,
    named: fn(&str) -> K,
    created: HashMap<String, Instant>,
    done: BTreeMap<String, Duration>,
    news: mpsc::UnboundedReceiver<String>,
    in_flight: Arc<Semaphore>,
}

impl<K: Load> Generator<K> {
    /// Watches from here on.
    pub async fn start(namespace: &Namespace) -> Self {
        Self::start_with(namespace, K::named).await
    }

    /// The same, for objects that differ from the usual ones.
    pub async fn start_with(namespace: &Namespace, named: fn(&str) -> K) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        let (listed, is_listed) = tokio::sync::oneshot::channel();
        let mut listed = Some(listed);
        let metadata = Api::<PartialObjectMeta<K>>::namespaced(namespace.client.clone(), &namespace.name);
        let changes = watcher(metadata, watcher::Config::default().fields(K::DONE));
        tokio::spawn(changes.default_backoff().for_each(move |change| {
            match change {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    let _ = tell.send(object.name_any());
                }
                Ok(watcher::Event::InitDone) => drop(listed.take().map(|listed| listed.send(()))),
                _ => {}
            }
            std::future::ready(())
        }));
        is_listed.await.expect("the watch begins");
        let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
        Self {
            api: namespace.api(),
            rest: None,
            named,
            created: HashMap::new(),
            done: BTreeMap::new(),
            news,
            in_flight,
        }
    }

    /// From now on all are submitted here, as Tasks of the type "work".
    pub fn over_rest(self, rest: Rest) -> Self {
        Self { rest: Some(rest), ..self }
    }

    /// Creates `count` as fast as possible, with at most `at_once` unfinished ones; returns the time until all were
    /// done.
    pub async fn run(&mut self, prefix: &str, count: usize, at_once: usize) -> Duration {
        let began = Instant::now();
        let (first, mut made) = (self.done.len(), 0);
        while self.done.len() < first + count {
            while made < count && made - (self.done.len() - first) < at_once {
                self.create((self.named)(&format!("{prefix}-{made}"))).await;
                made += 1;
                while let Ok(name) = self.news.try_recv() {
                    self.is_done(&name);
                }
            }
            self.see_one().await;
        }
        began.elapsed()
    }

    /// Creates `count`, one each `pause`, and waits until all are done.
    pub async fn paced(&mut self, prefix: &str, count: usize, pause: Duration) {
        let until = self.done.len() + count;
        let mut due = tokio::time::Instant::now();
        for number in 0..count {
            // Completions are noted when the watch shows them: noted at the next turn, each would seem to take a
            // whole pause.
            while let Ok(news) = timeout_at(due, self.news.recv()).await {
                self.is_done(&news.expect("the watch goes on"));
            }
            due += pause;
            self.create((self.named)(&format!("{prefix}-{number}"))).await;
        }
        while self.done.len() < until {
            self.see_one().await;
        }
    }

    /// Milliseconds from before each was sent until it was seen done, shortest first.
    pub fn latencies(&self, prefix: &str) -> Vec<f64> {
        let of_run = self.done.iter().filter(|(name, _)| name.starts_with(prefix));
        let mut latencies: Vec<f64> = of_run.map(|(_, took)| took.as_secs_f64() * 1000.0).collect();
        latencies.sort_by(f64::total_cmp);
        latencies
    }

    /// Sends it in the background; waits only while too many are under way.
    pub async fn create(&mut self, object: K) {
        let permit = self.in_flight.clone().acquire_owned().await.expect("it is never closed");
        self.created.insert(object.name_any(), Instant::now());
        let (api, rest) = (self.api.clone(), self.rest.clone());
        tokio::spawn(async move {
            match rest {
                Some(rest) => drop(rest.submit(&json!({"task_type": "work", "name": object.name_any()})).await),
                None => drop(api.create(&PostParams::default(), &object).await.expect("it is accepted")),
            }
            drop(permit);
        });
    }

    /// Waits until all that was sent has been answered.
    pub async fn all_sent(&self) {
        let _ = self.in_flight.acquire_many(IN_FLIGHT as u32).await;
    }

    async fn see_one(&mut self) {
        let name = timeout(DEADLINE, self.news.recv()).await.expect("something moves").expect("the watch goes on");
        self.is_done(&name);
    }

    fn is_done(&mut self, name: &str) {
        if let Some(created) = self.created.remove(name) {
            self.done.insert(name.into(), created.elapsed());
        }
    }
}

/// Of values in ascending order.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}
