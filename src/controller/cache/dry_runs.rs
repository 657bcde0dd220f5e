//! The dry runs of types, beside the types that they speak of. One that speaks of another generation counts for nothing.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector::ObjectRef;

use super::{Cache, key};
use crate::api::{Task, TaskType};
use crate::core::ParsedType;
use crate::core::launch::dry_run::DryRun;
use crate::core::queue::Key;

/// How long the tasks of a type wait for its first dry run. Admitted before it, they would be counted by less than is known
/// a moment later, given back one by one, and come out of their order.
const FIRST_ANSWER_WITHIN: SignedDuration = SignedDuration::from_secs(5);

#[derive(Default)]
pub struct DryRuns(HashMap<Key, Tried>);

/// One version of a type, and its last dry run.
struct Tried {
    version: Version,
    first_seen: Timestamp,
    /// `None` before the first one.
    last: Option<Last>,
}

struct Last {
    refused: Option<String>,
    answer: Option<Arc<DryRun>>,
}

/// Uid and generation.
type Version = (Option<String>, Option<i64>);

fn version(kind: &TaskType) -> Version {
    (kind.metadata.uid.clone(), kind.metadata.generation)
}

impl DryRuns {
    /// Takes in a type; true where its version was not tried out yet.
    pub fn see(&mut self, kind: &TaskType, now: Timestamp) -> bool {
        let version = version(kind);
        let known = self.0.get(&key(&kind.metadata)).filter(|tried| tried.version == version);
        if let Some(tried) = known {
            return tried.last.is_none();
        }
        self.0.insert(key(&kind.metadata), Tried { version, first_seen: now, last: None });
        true
    }

    fn last(&self, kind: &TaskType) -> Option<&Last> {
        self.0.get(&key(&kind.metadata)).filter(|tried| tried.version == version(kind))?.last.as_ref()
    }

    /// The type with what its dry run was answered.
    pub fn parsed(&self, kind: &TaskType) -> ParsedType {
        let parsed = ParsedType::of(kind);
        match self.last(kind) {
            Some(last) => parsed.refused(last.refused.clone()).with_dry_run(last.answer.clone()),
            None => parsed,
        }
    }

    /// Until when tasks of the type wait for its first dry run.
    pub fn awaited_until(&self, of_type: &Key) -> Option<Timestamp> {
        let tried = self.0.get(of_type).filter(|tried| tried.last.is_none())?;
        tried.first_seen.checked_add(FIRST_ANSWER_WITHIN).ok()
    }

    pub fn forget(&mut self, of_type: &Key) {
        self.0.remove(of_type);
    }
}

impl Cache {
    /// Takes in a dry run of a type; returns the tasks to look at for it. `answer` is `None` where nobody answered with a
    /// pod: then the answer before counts on.
    pub fn type_tried(&self, kind: &TaskType, refused: Option<String>, answer: Option<DryRun>) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        let Some(tried) = inner.dry_runs.0.get_mut(&key(&kind.metadata)).filter(|tried| tried.version == version(kind))
        else {
            // It has changed meanwhile, and is tried out anew.
            return vec![];
        };
        let before = tried.last.take();
        let is_first = before.is_none();
        let answer = answer.map(Arc::new).or_else(|| before.and_then(|before| before.answer));
        tried.last = Some(Last { refused, answer });
        let present = inner.types.get(&key(&kind.metadata)).cloned();
        drop(inner);
        present.map(|present| self.take_in_type(key(&kind.metadata), Some(&present), is_first)).unwrap_or_default()
    }

    /// Resolves when there is a type that was not tried out.
    pub async fn type_is_untried(&self) {
        self.untried.notified().await;
    }
}
