//! The memory of one task beside the task itself: in which versions it was seen, written and placed, and so whether a
//! version is news or past. Versions are resourceVersions, compared as integers.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::api::Task;
use crate::cluster;
use crate::core::time::after;

/// The object's resourceVersion.
pub fn version(task: &Task) -> u64 {
    cluster::version(&task.metadata)
}

pub struct KnownTask {
    pub reference: ObjectRef<Task>,
    /// The uid of the batch that it is a chunk of.
    pub chunk_of: Option<Box<str>>,
    /// The run that it asks for.
    run_id: String,
    /// With which it was first seen in this run: its arrival, while nobody wrote one down.
    first_seen: u64,
    /// When that was.
    seen_at: Timestamp,
    /// The archive has said that no earlier task has had this run.
    is_first: bool,
    /// An older version is past: a newer one is known of, our own last write mostly.
    not_before: u64,
    /// With which the watch last showed it.
    latest: u64,
    /// With which it was last placed.
    placed: u64,
    /// How many looks at it failed, one after another.
    errors: u32,
    /// How many of its admissions the API server refused, one after another.
    refusals: u32,
    /// Because of them it is not admitted before this time.
    held_until: Option<Timestamp>,
}

/// How long a task whose admission was refused is held back, first …
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// … and how often that is doubled at most, to some five minutes.
const MOST_DOUBLED: u32 = 5;

impl KnownTask {
    pub fn of(task: &Task) -> Self {
        Self {
            // Without uid and resourceVersion, which nobody asks it for and every task would keep twice.
            reference: ObjectRef::new(&task.name_any()).within(&task.namespace().unwrap_or_default()),
            chunk_of: task.spec.chunk.as_ref().map(|chunk| chunk.uid.as_str().into()),
            run_id: task.spec.run_id.clone(),
            first_seen: version(task),
            seen_at: Timestamp::now(),
            is_first: false,
            not_before: 0,
            latest: 0,
            placed: 0,
            errors: 0,
            refusals: 0,
            held_until: None,
        }
    }

    /// With which `task` was first seen in the run that it asks for. The store may show a new run a moment before the
    /// watch's word on it is taken in here.
    pub fn first_seen(&self, task: &Task) -> u64 {
        if self.run_id == task.spec.run_id { self.first_seen } else { version(task) }
    }

    /// When it was first seen in its present run.
    pub fn seen_at(&self) -> Timestamp {
        self.seen_at
    }

    /// The watch shows it so.
    pub fn seen(&mut self, task: &Task) {
        if self.run_id != task.spec.run_id {
            self.run_id.clone_from(&task.spec.run_id);
            self.first_seen = version(task);
            self.seen_at = Timestamp::now();
            self.is_first = false;
        }
        self.latest = version(task);
    }

    /// The archive knows of no earlier task that has had this run.
    pub fn never_ran(&mut self, task: &Task) {
        self.is_first = self.run_id == task.spec.run_id;
    }

    pub fn is_first_of_its_run(&self, task: &Task) -> bool {
        self.is_first && self.run_id == task.spec.run_id
    }

    /// We wrote it, and this is the answer.
    pub fn written(&mut self, task: &Task) {
        self.not_before = self.not_before.max(version(task));
    }

    /// It is no longer as it is here.
    pub fn outdated(&mut self, task: &Task) {
        self.not_before = self.not_before.max(version(task) + 1);
    }

    /// Nothing newer is known of.
    pub fn is_current(&self, task: &Task) -> bool {
        version(task) >= self.not_before
    }

    /// Answers and watch events may overtake each other: what is older than what was placed already is no news.
    pub fn is_news(&mut self, task: &Task) -> bool {
        let news = version(task) >= self.placed;
        self.placed = self.placed.max(version(task));
        news
    }

    /// A look at it failed; returns how many have, one after another.
    pub fn look_failed(&mut self) -> u32 {
        self.errors = self.errors.saturating_add(1);
        self.errors
    }

    /// Its admission was refused.
    pub fn refused(&mut self, now: Timestamp) {
        self.held_until = Some(after(now, FIRST_PAUSE * (1 << self.refusals.min(MOST_DOUBLED))));
        self.refusals = self.refusals.saturating_add(1);
    }

    /// Its admission was taken.
    pub fn taken(&mut self) {
        (self.refusals, self.held_until) = (0, None);
    }

    pub fn held_until(&self) -> Option<Timestamp> {
        self.held_until
    }

    pub fn look_went_well(&mut self) {
        self.errors = 0;
    }

    /// It was seen in a later version: the cluster was restored from a backup.
    pub fn went_back(&self, task: &Task) -> bool {
        version(task) < self.latest
    }
}
