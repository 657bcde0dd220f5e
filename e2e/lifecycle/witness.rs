//! Sees every pod of a namespace from its beginning to its end, so that a test can say what ever ran, and
//! what ran at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::task::AbortHandle;

const TASK_UID: &str = "taskmanager.dev/task-uid";

pub struct Witness {
    seen: Arc<Mutex<Seen>>,
    watching: AbortHandle,
}

#[derive(Default)]
struct Seen {
    /// The last word on each pod, by uid, in the order of their creation.
    pods: Vec<Sighting>,
    most_at_once: usize,
    most_at_once_by_task: BTreeMap<String, usize>,
}

/// A pod as it was last seen.
#[derive(Clone)]
pub struct Sighting {
    pub pod: Pod,
    pub gone: bool,
}

impl Witness {
    pub fn of(client: Client, namespace: &str) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let pods = Api::<Pod>::namespaced(client, namespace);
        let watching = tokio::spawn({
            let seen = seen.clone();
            async move {
                let mut events = watcher(pods, watcher::Config::default().labels(TASK_UID)).boxed();
                while let Some(event) = events.next().await {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    match event {
                        Ok(Event::Apply(pod) | Event::InitApply(pod)) => seen.take(pod, false),
                        Ok(Event::Delete(pod)) => seen.take(pod, true),
                        Ok(Event::Init | Event::InitDone) => {}
                        Err(error) => eprintln!("the witness's watch begins anew: {error}"),
                    }
                }
            }
        });
        Self { seen, watching: watching.abort_handle() }
    }

    fn with<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every pod that there ever was, oldest first.
    pub fn pods(&self) -> Vec<Sighting> {
        self.with(|seen| seen.pods.clone())
    }

    /// Every pod that there ever was of this task, oldest first.
    pub fn pods_of(&self, uid: &str) -> Vec<Sighting> {
        self.pods().into_iter().filter(|sighting| sighting.task() == uid).collect()
    }

    /// The largest number of pods that were not over at the same moment.
    pub fn most_at_once(&self) -> usize {
        self.with(|seen| seen.most_at_once)
    }

    /// The same for each task by itself: the largest of these numbers.
    pub fn most_at_once_of_one_task(&self) -> usize {
        self.with(|seen| seen.most_at_once_by_task.values().copied().max().unwrap_or_default())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Seen {
    fn take(&mut self, pod: Pod, gone: bool) {
        let sighting = Sighting { pod, gone };
        match self.pods.iter_mut().find(|known| known.pod.uid() == sighting.pod.uid()) {
            Some(known) => *known = sighting,
            None => self.pods.push(sighting),
        }
        let mut at_once = BTreeMap::<&str, usize>::new();
        for live in self.pods.iter().filter(|known| !known.is_over()) {
            *at_once.entry(live.task()).or_default() += 1;
        }
        self.most_at_once = self.most_at_once.max(at_once.values().sum());
        for (task, count) in at_once {
            let most = self.most_at_once_by_task.entry(task.into()).or_default();
            *most = count.max(*most);
        }
    }
}

impl Sighting {
    fn task(&self) -> &str {
        self.pod.labels().get(TASK_UID).map_or("", String::as_str)
    }

    pub fn phase(&self) -> &str {
        self.pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
    }

    /// Nothing of it runs any more.
    pub fn is_over(&self) -> bool {
        self.gone || matches!(self.phase(), "Succeeded" | "Failed")
    }

    pub fn is_running(&self) -> bool {
        let statuses = self.pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        statuses.filter_map(|container| container.state.as_ref()).any(|state| state.running.is_some())
    }

    /// How its first container ended.
    pub fn end(&self) -> Option<&ContainerStateTerminated> {
        self.pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.terminated.as_ref()
    }

    pub fn started_at(&self) -> Option<Timestamp> {
        Some(self.end()?.started_at.as_ref()?.0)
    }

    pub fn finished_at(&self) -> Option<Timestamp> {
        Some(self.end()?.finished_at.as_ref()?.0)
    }
}
