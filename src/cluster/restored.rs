//! Whether the cluster went back in time. After a restore from a backup, a watch that goes on from a version which lies
//! ahead stays silent: no error tells.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::api::ListParams;
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource};

use super::readable::Readable;
use crate::api::Task;

/// How often it is asked for.
const LOOK: Duration = Duration::from_secs(15);
/// No answer may take longer.
const REQUEST: Duration = Duration::from_secs(5);

/// The cluster's versions, which grow as time passes.
#[derive(Default)]
pub struct Clock {
    /// The highest one that was seen.
    latest: AtomicU64,
}

impl Clock {
    /// What a change shows of the time.
    pub fn shows(&self, event: &Event<Readable<Task>>) {
        if let Event::Apply(task) | Event::Delete(task) | Event::InitApply(task) = event {
            self.latest.fetch_max(read(task.meta().resource_version.as_deref()), Ordering::Relaxed);
        }
    }

    /// Resolves when the cluster is younger than it was.
    pub async fn goes_back(&self, client: &Client, namespaces: &[String]) {
        // All namespaces have one time.
        let Some(namespace) = namespaces.first() else { return pending().await };
        let tasks = Api::<Task>::namespaced(client.clone(), namespace);
        // Without a version it tells the present one, and is not answered out of what an API server remembers.
        let one = ListParams::default().limit(1);
        loop {
            tokio::time::sleep(LOOK).await;
            let before = self.latest.load(Ordering::Relaxed);
            match tokio::time::timeout(REQUEST, tasks.list_metadata(&one)).await {
                Ok(Ok(list)) if self.went_back(before, read(list.metadata.resource_version.as_deref())) => return,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "failed to look at the cluster's version; looks again"),
                Err(_) => tracing::debug!("no answer about the cluster's version; looks again"),
            }
        }
    }

    /// Whether a version that was asked for after `before` was seen is lower, from which on it counts.
    fn went_back(&self, before: u64, now: u64) -> bool {
        let back = (1..before).contains(&now);
        if back {
            self.latest.store(now, Ordering::Relaxed);
        } else {
            self.latest.fetch_max(now, Ordering::Relaxed);
        }
        back
    }
}

fn read(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(version: &str) -> Event<Readable<Task>> {
        let mut task = Task::new("a", Default::default());
        task.metadata.resource_version = Some(version.into());
        Event::Apply(Readable(Ok(task)))
    }

    #[test]
    fn the_cluster_went_back_when_it_is_younger_than_what_the_watch_has_shown() {
        let clock = Clock::default();
        clock.shows(&shown("70"));
        clock.shows(&shown("60"));
        let before = clock.latest.load(Ordering::Relaxed);
        // Shown while the answer is on its way, which cannot know of it.
        clock.shows(&shown("80"));
        assert!(!clock.went_back(before, 75));
        assert_eq!(clock.latest.load(Ordering::Relaxed), 80);
        assert!(clock.went_back(80, 79));
    }

    #[test]
    fn it_goes_back_once_and_an_answer_without_a_version_tells_nothing() {
        let clock = Clock::default();
        assert!(!clock.went_back(0, 50) && !clock.went_back(50, 50) && !clock.went_back(50, 0));
        assert!(clock.went_back(50, 20));
        assert!(!clock.went_back(clock.latest.load(Ordering::Relaxed), 21));
    }
}
