//! Keeps the status of the queues: what waits and what runs, a few seconds late, and only when it changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::api::{TaskQueue, TaskQueueStatus};
use crate::cluster::calls::CallError;
use crate::controller::cache::{Cache, key};
use crate::controller::status::StatusWriter;
use crate::core::queue::{Key, queue_status};

/// A queue's status is written at most so often.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
/// Between two writes, of whichever queues.
const BETWEEN_WRITES: Duration = Duration::from_millis(50);
/// So many are written after a look. Those that were written longest ago come first, so that none is left out for ever.
const MOST: usize = 100;

type News = (Arc<TaskQueue>, TaskQueueStatus);

pub async fn run(cache: Arc<Cache>, writer: Arc<StatusWriter>) {
    let mut written: HashMap<Key, Instant> = HashMap::new();
    let mut turns = interval(BETWEEN_WRITES);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (news, there) = look(&cache);
        written.retain(|key, _| there.contains(key));
        for (queue, status) in next(news, &written) {
            turns.tick().await;
            write(&writer, &queue, status).await;
            written.insert(key(&queue.metadata), Instant::now());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// The queues whose statuses are out of date, and all that there are.
fn look(cache: &Cache) -> (Vec<News>, HashSet<Key>) {
    let now = Timestamp::now();
    let queues = cache.queues(now);
    let there = queues.iter().map(|(queue, _)| key(&queue.metadata)).collect();
    let status = |(queue, counts): (Arc<TaskQueue>, _)| {
        let status = queue_status(&queue, &counts, now);
        (queue.status.as_ref() != Some(&status)).then_some((queue, status))
    };
    (queues.into_iter().filter_map(status).collect(), there)
}

fn next(mut news: Vec<News>, written: &HashMap<Key, Instant>) -> Vec<News> {
    news.sort_by_cached_key(|(queue, _)| written.get(&key(&queue.metadata)).copied());
    news.truncate(MOST);
    news
}

async fn write(writer: &StatusWriter, queue: &TaskQueue, status: TaskQueueStatus) {
    match writer.write_queue(queue, status).await {
        // The queue has changed, or is gone: the next look sees.
        Ok(_) | Err(CallError::Conflict | CallError::NotFound | CallError::NotLeader) => {}
        Err(error) => {
            tracing::warn!(namespace = queue.namespace(), queue = queue.name_any(), %error, "failed to write a queue's status; will try again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TaskQueueSpec;

    fn news(name: &str) -> News {
        let mut queue = TaskQueue::new(name, TaskQueueSpec::default());
        queue.metadata.namespace = Some("docs".into());
        (Arc::new(queue), TaskQueueStatus::default())
    }

    #[tokio::test]
    async fn of_more_queues_than_are_written_at_once_those_come_first_that_were_written_longest_ago() {
        let names: Vec<String> = (0..150).map(|number| format!("q-{number:03}")).collect();
        let all = || names.iter().map(|name| news(name)).collect::<Vec<_>>();
        let mut written = HashMap::new();
        for (queue, _) in next(all(), &written) {
            written.insert(key(&queue.metadata), Instant::now());
        }
        let again = next(all(), &written);
        assert_eq!((written.len(), again.len()), (MOST, MOST));
        let fresh = again.iter().filter(|(queue, _)| !written.contains_key(&key(&queue.metadata)));
        assert_eq!(fresh.count(), 50, "those that were left out come first");
    }
}
