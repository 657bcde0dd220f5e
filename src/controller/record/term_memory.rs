//! The memory of tasks beside the archive, in one term: one table, which most tasks are not in.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::api::{Payload, Task, TaskSpec};
use crate::controller::cache::Uid;

/// So many payloads of runs that are being superseded are kept at most.
const MOST_PAYLOADS: usize = 256;

/// The memory of one task.
#[derive(Default, PartialEq)]
pub struct Remembered {
    /// It waits for the archive, and has tried so often.
    pub tries: Option<u32>,
    /// It waits to learn from the archive whether it has run before.
    pub asks: bool,
    /// A record of it was put, and its status does not say yet what the record says: that may become another end.
    pub in_doubt: bool,
    /// The spec of a run that is being superseded: the task has that of the next one by now.
    pub superseded: Option<Box<TaskSpec>>,
}

#[derive(Default)]
pub struct Table {
    tasks: Mutex<HashMap<Uid, Remembered>>,
}

fn uid_of(task: &Task) -> &str {
    task.metadata.uid.as_deref().unwrap_or_default()
}

fn is_whole(spec: &TaskSpec) -> bool {
    matches!(spec.payload, Some(Payload::Whole(_)))
}

impl Table {
    /// Changes the memory of a task, and returns the result of `change`.
    pub fn change<T>(&self, task: &Task, change: impl FnOnce(&mut Remembered) -> T) -> T {
        let (uid, mut tasks) = (Uid::from(uid_of(task)), self.tasks.lock());
        let remembered = tasks.entry(uid.clone()).or_default();
        let changed = change(remembered);
        if *remembered == Remembered::default() {
            tasks.remove(&uid);
        }
        changed
    }

    pub fn is_in_doubt(&self, task: &Task) -> bool {
        self.tasks.lock().get(uid_of(task)).is_some_and(|remembered| remembered.in_doubt)
    }

    /// Remembers the spec of the run that is being superseded. Its payload only while there are not too many.
    pub fn superseded(&self, task: &Task, mut spec: TaskSpec) {
        let holds_payload = |remembered: &Remembered| remembered.superseded.as_deref().is_some_and(is_whole);
        let others = |(uid, remembered): &(&Uid, &Remembered)| ***uid != *uid_of(task) && holds_payload(remembered);
        if is_whole(&spec) && self.tasks.lock().iter().filter(others).count() >= MOST_PAYLOADS {
            spec.payload = spec.payload.map(|payload| payload.measured());
        }
        self.change(task, |remembered| remembered.superseded = Some(Box::new(spec)));
    }

    pub fn superseded_spec(&self, task: &Task) -> Option<TaskSpec> {
        self.tasks.lock().get(uid_of(task))?.superseded.as_deref().cloned()
    }

    pub fn forget(&self, task: &Task) -> Remembered {
        self.tasks.lock().remove(uid_of(task)).unwrap_or_default()
    }

    /// Tasks that wait for the archive, or for its answer.
    pub fn waiting(&self) -> Vec<Uid> {
        let waits = |remembered: &Remembered| remembered.tries.is_some() || remembered.asks;
        self.tasks.lock().iter().filter(|(_, remembered)| waits(remembered)).map(|(uid, _)| uid.clone()).collect()
    }

    /// How many records wait for the archive.
    pub fn untaken(&self) -> usize {
        self.tasks.lock().values().filter(|remembered| remembered.tries.is_some()).count()
    }
}
