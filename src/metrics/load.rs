//! How full the queues are, as the leader last saw it: gauges whose series come and go with tasks and queues, so each scrape
//! writes them anew from one snapshot.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::origin::{MOST_ORIGINS, Origin};
use super::pools;
use super::pools::{MOST_POOLS, PoolLoad};

/// So many queues, and so many types that are not ready, have series of their own; further ones have none.
const MOST_QUEUES: usize = 1000;

/// What waits and what runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    pub tasks: Vec<(Origin, Tasks)>,
    pub queues: Vec<QueueLoad>,
    pub unready_types: Vec<UnreadyType>,
    pub pools: Vec<PoolLoad>,
}

/// How many tasks of one origin wait, for whatever reason, and how many hold a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    pub waiting: i64,
    pub running: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct QueueLoad {
    pub namespace: Arc<str>,
    pub queue: Arc<str>,
    /// Since when the task has waited that has waited longest for a turn.
    pub oldest: Option<Timestamp>,
    pub amounts: Vec<Amount>,
}

/// How much of a resource the running tasks of a queue use, and how much they may. The resource `tasks` is their number.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    pub resource: Arc<str>,
    pub used: f64,
    /// `None` where the queue does not bound it.
    pub capacity: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadyType {
    pub namespace: Arc<str>,
    pub task_type: Arc<str>,
    pub reason: Arc<str>,
}

impl Load {
    /// The origins with the most tasks keep series of their own, and all others share one.
    fn bounded(mut self) -> Self {
        if self.tasks.len() > MOST_ORIGINS {
            self.tasks.sort_by_key(|(_, tasks)| Reverse(tasks.waiting + tasks.running));
            let rest = self.tasks.split_off(MOST_ORIGINS);
            let sum = rest.iter().fold(Tasks::default(), |sum, (_, tasks)| Tasks {
                waiting: sum.waiting + tasks.waiting,
                running: sum.running + tasks.running,
            });
            self.tasks.push((Origin::other(), sum));
        }
        self.queues.truncate(MOST_QUEUES);
        self.unready_types.truncate(MOST_QUEUES);
        self.pools.truncate(MOST_POOLS);
        self
    }
}

/// The last snapshot, shared with whoever takes it.
#[derive(Clone, Debug, Default)]
pub(super) struct LastLoad(Arc<Mutex<Load>>);

impl LastLoad {
    pub(super) fn set(&self, load: Load) {
        *self.0.lock() = load.bounded();
    }
}

impl Collector for LastLoad {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let load = self.0.lock().clone();
        let now = Timestamp::now();
        let of_origin = |count: fn(&Tasks) -> i64| {
            load.tasks.iter().map(move |(origin, tasks)| (origin.labels().to_vec(), count(tasks) as f64))
        };
        let amounts = || load.queues.iter().flat_map(|queue| queue.amounts.iter().map(move |amount| (queue, amount)));
        let of_amount =
            |queue, amount| [Vec::from(queue_labels(queue)), vec![("resource", resource_of(amount))]].concat();

        let waiting = "Tasks of a queue that wait, for whatever reason; none where another replica leads";
        gauge(&mut encoder, "queue_tasks_waiting", waiting, None, of_origin(|tasks| tasks.waiting))?;
        let running = "Tasks of a queue that hold a slot; none where another replica leads";
        gauge(&mut encoder, "queue_tasks_running", running, None, of_origin(|tasks| tasks.running))?;
        let oldest = "How long the task has waited that has waited longest for a turn: none that is suspended, not due, \
            or waits for a type or a queue";
        let ages = load.queues.iter().map(|queue| {
            let age = queue.oldest.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64().max(0.0));
            (Vec::from(queue_labels(queue)), age)
        });
        gauge(&mut encoder, "queue_oldest_wait", oldest, Some(&Unit::Seconds), ages)?;
        let used = amounts().map(|(queue, amount)| (of_amount(queue, amount), amount.used));
        gauge(&mut encoder, "queue_used", "What the running tasks of a queue use together, by resource", None, used)?;
        let bounded = amounts().filter_map(|(queue, amount)| Some((of_amount(queue, amount), amount.capacity?)));
        gauge(&mut encoder, "queue_capacity", "The most that they may use together", None, bounded)?;
        let unready = load.unready_types.iter().map(|kind| {
            let labels = vec![("namespace", &*kind.namespace), ("type", &*kind.task_type), ("reason", &*kind.reason)];
            (labels, 1.0)
        });
        gauge(&mut encoder, "type_not_ready", "1 for each type whose Ready is not True, by reason", None, unready)?;
        pools::encode(&load.pools, &mut encoder)
    }
}

fn queue_labels(queue: &QueueLoad) -> [(&'static str, &str); 2] {
    [("namespace", &queue.namespace), ("queue", &queue.queue)]
}

fn resource_of(amount: &Amount) -> &str {
    &amount.resource
}

pub(super) fn gauge<'a>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    series: impl Iterator<Item = (Vec<(&'static str, &'a str)>, f64)>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (labels, value) in series {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_origins_share_one_series_beyond_the_bound() {
        let origin = |number: usize| Origin {
            namespace: "a".into(),
            queue: format!("q{number}").as_str().into(),
            task_type: "work".into(),
        };
        let tasks = |waiting| Tasks { waiting, running: 1 };
        let load = Load {
            tasks: (0..MOST_ORIGINS + 5).map(|number| (origin(number), tasks(number as i64))).collect(),
            ..Load::default()
        };
        let bounded = load.bounded();
        assert_eq!(bounded.tasks.len(), MOST_ORIGINS + 1);
        let (origin, sum) = bounded.tasks.last().expect("one for all others");
        assert_eq!((origin, *sum), (&Origin::other(), Tasks { waiting: 1 + 2 + 3 + 4, running: 5 }));
    }
}
