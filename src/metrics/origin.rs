//! Where a task comes from, as labels: its namespace, queue and type. Anybody may name queues and types that do not exist,
//! so only so many of them have labels of their own.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;

use crate::api::Task;

/// So many combinations of namespace, queue and type have series of their own; all further ones share one.
pub(super) const MOST_ORIGINS: usize = 1000;
/// The value of each label for all further combinations. It is no name of Kubernetes.
pub(super) const OTHER: &str = "_other";

/// Namespace, queue and type of tasks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    pub namespace: Arc<str>,
    pub queue: Arc<str>,
    pub task_type: Arc<str>,
}

impl Origin {
    pub fn of(task: &Task) -> Self {
        Self {
            namespace: task.metadata.namespace.as_deref().unwrap_or_default().into(),
            queue: task.spec.queue.as_str().into(),
            task_type: task.spec.type_.as_str().into(),
        }
    }

    pub(super) fn other() -> Self {
        Self { namespace: OTHER.into(), queue: OTHER.into(), task_type: OTHER.into() }
    }

    pub(super) fn labels(&self) -> [(&'static str, &str); 3] {
        [("namespace", &self.namespace), ("queue", &self.queue), ("type", &self.task_type)]
    }
}

/// The same as labels of a counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OriginLabels {
    namespace: String,
    queue: String,
    r#type: String,
}

impl From<&Origin> for OriginLabels {
    fn from(origin: &Origin) -> Self {
        Self {
            namespace: origin.namespace.to_string(),
            queue: origin.queue.to_string(),
            r#type: origin.task_type.to_string(),
        }
    }
}

/// The origins that have counters of their own: the first ones that were counted.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<HashSet<Origin>>);

impl Counted {
    pub(super) fn labels(&self, task: &Task) -> OriginLabels {
        let origin = Origin::of(task);
        let mut counted = self.0.lock();
        if !counted.contains(&origin) {
            if counted.len() == MOST_ORIGINS {
                return OriginLabels::from(&Origin::other());
            }
            counted.insert(origin.clone());
        }
        OriginLabels::from(&origin)
    }
}
