//! The dry runs of types, and what their pods have taught beside, next to the types that they speak of. What speaks of
//! another generation counts for nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector::{ObjectRef, Store};

use super::children::Children;
use super::{Cache, Inner, Uid, key, key_beside};
use crate::api::{Task, TaskType};
use crate::core::ParsedType;
use crate::core::attempt::facts::PodFacts;
use crate::core::launch::dry_run::DryRun;
use crate::core::launch::resources::Amounts;
use crate::core::launch::{holds, task_type};
use crate::core::queue::Key;
use crate::core::time::after;

/// How long the tasks of a type wait for its first dry run. Admitted before it, they would be counted by less than is known
/// a moment later, given back one by one, and come out of their order.
const FIRST_ANSWER_WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// A creationTimestamp has whole seconds.
const WITHIN_A_SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The pool that runs the tasks of this type, if one does.
pub(super) fn pool_of(kind: &TaskType) -> Option<Key> {
    let pool = kind.spec.worker_pool.as_deref()?;
    Some((kind.metadata.namespace.as_deref().unwrap_or_default().into(), pool.into()))
}

#[derive(Default)]
pub struct DryRuns {
    tried: HashMap<Key, Tried>,
    /// The uids of types whose pods have come out larger than was known, since that was last asked for.
    learned: HashSet<String>,
}

/// One version of a type, and its last dry run.
struct Tried {
    version: Version,
    first_seen: Timestamp,
    /// `None` before the first one.
    last: Option<Last>,
    /// By how much pods came out larger than that says.
    surplus: Amounts,
}

struct Last {
    refused: Option<String>,
    /// The last answer; where that held no pod, with the pod of the one before.
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
        if let Some(tried) = self.tried(kind) {
            return tried.last.is_none();
        }
        // A leader before us may have learned it.
        let surplus = task_type::surplus_told(kind);
        let tried = Tried { version: version(kind), first_seen: now, last: None, surplus };
        self.tried.insert(key(&kind.metadata), tried);
        true
    }

    fn tried(&self, kind: &TaskType) -> Option<&Tried> {
        self.tried.get(&key(&kind.metadata)).filter(|tried| tried.version == version(kind))
    }

    /// The type with what its dry run was answered.
    pub fn parsed(&self, kind: &TaskType) -> ParsedType {
        let parsed = ParsedType::of(kind);
        let Some(tried) = self.tried(kind) else { return parsed };
        let parsed = parsed.with_surplus(tried.surplus.clone());
        match &tried.last {
            Some(last) => parsed.refused(last.refused.clone()).with_dry_run(last.answer.clone()),
            None => parsed,
        }
    }

    /// Until when tasks of the type wait for its first dry run.
    pub fn awaited_until(&self, of_type: &Key) -> Option<Timestamp> {
        let tried = self.tried.get(of_type).filter(|tried| tried.last.is_none())?;
        tried.first_seen.checked_add(FIRST_ANSWER_WITHIN).ok()
    }

    pub fn forget(&mut self, of_type: &Key) {
        self.tried.remove(of_type);
    }
}

impl Tried {
    /// Takes in a dry run of the type whose work is called `work`.
    fn answered(&mut self, refused: Option<String>, answer: Option<DryRun>, work: &str) {
        let before = self.last.take();
        let is_first = before.is_none();
        let before = before.and_then(|last| last.answer);
        let answer = answer.map(|answer| match &before {
            Some(before) => answer.after(before, work),
            None => answer,
        });
        let pod = |dry_run: Option<&DryRun>| dry_run.and_then(|dry_run| dry_run.pod.clone());
        // The surplus was one over the answer before.
        if !is_first && answer.is_some() && pod(answer.as_ref()) != pod(before.as_deref()) {
            self.surplus.clear();
        }
        self.last = Some(Last { refused, answer: answer.map(Arc::new).or(before) });
    }
}

impl Inner {
    /// Learns from a pod of this task how much tasks of its type count for; returns that type, where it is news. A pod from
    /// before this generation of the type was seen says nothing of it.
    pub(super) fn learn(&mut self, tasks: &Store<Task>, uid: &Uid, pod: &str) -> Option<(Key, Arc<TaskType>)> {
        let children = self.children.get(uid).filter(|children| Children::has_surplus(children))?;
        let task = tasks.get(&self.known.get(uid)?.reference)?;
        let PodFacts { surplus, holds, created_at, .. } = children.larger_pod(&task, pod)?;
        let holds = holds?;
        let of_type = key_beside(&task, &holds.type_);
        let parsed = self.parsed_types.get(&of_type)?;
        let counted = holds::counted(&task, parsed, &self.settings).ok()?;
        let unforeseen = holds::unforeseen(&surplus, &holds, counted);
        let tried = self.dry_runs.tried.get_mut(&of_type)?;
        if unforeseen.is_empty() || after(created_at, WITHIN_A_SECOND) < tried.first_seen {
            return None;
        }
        tried.surplus = holds::together(&tried.surplus, &unforeseen);
        let kind = self.types.get(&of_type)?.clone();
        self.dry_runs.learned.extend(kind.metadata.uid.clone());
        Some((of_type, kind))
    }
}

impl Cache {
    /// Takes in a dry run of a type; returns the tasks to look at for it. `answer` is `None` where nobody answered: then the
    /// answer before counts on.
    pub fn type_tried(&self, kind: &TaskType, refused: Option<String>, answer: Option<DryRun>) -> Vec<ObjectRef<Task>> {
        let mut inner = self.lock();
        let work = ParsedType::of(kind).template.map(|template| template.work.name).unwrap_or_default();
        let tried = inner.dry_runs.tried.get_mut(&key(&kind.metadata)).filter(|tried| tried.version == version(kind));
        // Where there is none, it has changed meanwhile, and is tried out anew.
        let Some(tried) = tried else { return vec![] };
        let is_first = tried.last.is_none();
        tried.answered(refused, answer, &work);
        let present = inner.types.get(&key(&kind.metadata)).cloned();
        drop(inner);
        present.map(|present| self.take_in_type(key(&kind.metadata), Some(&present), is_first)).unwrap_or_default()
    }

    /// This version of a type with what is known beside it.
    pub fn parsed_type(&self, kind: &TaskType) -> ParsedType {
        self.lock().dry_runs.parsed(kind)
    }

    /// The uids of the types whose pods have come out larger than was known, since the last call.
    pub fn types_learned(&self) -> HashSet<String> {
        std::mem::take(&mut self.lock().dry_runs.learned)
    }

    /// Pools have come or gone: the types whose tasks they run are to be looked at.
    pub(super) fn look_at_types_of_pools(&self, inner: &mut Inner, is_one: impl Fn(&Key) -> bool) {
        let Inner { types, dry_runs, .. } = inner;
        let concerned = types.values().filter(|kind| pool_of(kind).is_some_and(|pool| is_one(&pool)));
        dry_runs.learned.extend(concerned.filter_map(|kind| kind.metadata.uid.clone()));
        self.untried.notify_one();
    }

    /// Resolves when there is a type that was not tried out, or about which something was learned.
    pub async fn type_is_untried(&self) {
        self.untried.notified().await;
    }
}
