//! Why tasks wait, from all tasks, types and queues of their namespaces as watches have shown them. Pure: it is fed
//! events and asked questions.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::watcher::Event;

use crate::api::{State, Task, TaskQueue, TaskType};
use crate::core::Settings;
use crate::core::queue::{Key, Snapshot, Told};

/// A change of something beside the tasks that are followed.
#[allow(clippy::large_enum_variant, reason = "each is taken apart at once")]
pub enum Beside {
    Task(Event<Task>),
    Type(Event<TaskType>),
    Queue(Event<TaskQueue>),
}

#[derive(Debug)]
pub struct Waits {
    snapshot: Snapshot,
    known: HashMap<String, Known>,
    tasks: Listed<String>,
    types: Listed<Key>,
    queues: Listed<Key>,
}

#[derive(Debug)]
struct Known {
    name: String,
    run_id: String,
    /// The resourceVersion with which it was first seen in its run.
    first_seen: u64,
}

impl Default for Waits {
    /// The settings of the operator are not known here: the usual ones are taken.
    fn default() -> Self {
        let (known, tasks, types, queues) = Default::default();
        Self { snapshot: Snapshot::new(Settings::default()), known, tasks, types, queues }
    }
}

/// The objects of one kind that there are, by what tells them apart.
#[derive(Debug)]
struct Listed<K> {
    there: HashSet<K>,
    /// Those that the present list has shown so far.
    listing: HashSet<K>,
    /// A list was whole.
    is_known: bool,
}

impl<K> Default for Listed<K> {
    fn default() -> Self {
        Self { there: HashSet::new(), listing: HashSet::new(), is_known: false }
    }
}

impl<K: Clone + Eq + Hash> Listed<K> {
    /// Takes in an event; returns the objects that are there as it shows them, and those that are gone.
    fn take_in<'a, O>(&mut self, event: &'a Event<O>, id: impl Fn(&O) -> K) -> (Option<&'a O>, Vec<K>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => {
                self.listing.insert(id(object));
                self.there.insert(id(object));
                return (Some(object), vec![]);
            }
            Event::InitDone => {
                self.is_known = true;
                let listed = std::mem::take(&mut self.listing);
                return (None, self.there.extract_if(|id| !listed.contains(id)).collect());
            }
            Event::Apply(object) => {
                self.there.insert(id(object));
                return (Some(object), vec![]);
            }
            Event::Delete(object) => {
                self.there.remove(&id(object));
                return (None, vec![id(object)]);
            }
        }
        (None, vec![])
    }
}

impl Waits {
    pub fn take_in(&mut self, change: &Beside) {
        match change {
            Beside::Task(event) => self.take_in_task(event),
            Beside::Type(event) => {
                let (there, gone) = self.types.take_in(event, key);
                there.into_iter().for_each(|task_type| self.snapshot.set_type(&key(task_type), Some(task_type)));
                gone.iter().for_each(|key| self.snapshot.set_type(key, None));
            }
            Beside::Queue(event) => {
                let (there, gone) = self.queues.take_in(event, key);
                there.into_iter().for_each(|queue| self.snapshot.set_queue(&key(queue), Some(queue)));
                gone.iter().for_each(|key| self.snapshot.set_queue(key, None));
            }
        }
    }

    pub fn take_in_task(&mut self, event: &Event<Task>) {
        let (there, gone) = self.tasks.take_in(event, |task| task.uid().unwrap_or_default());
        there.into_iter().for_each(|task| self.set_task(task));
        for uid in gone {
            self.known.remove(&uid);
            self.snapshot.forget_task(&uid);
        }
    }

    fn set_task(&mut self, task: &Task) {
        let version = task.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default();
        let known = self.known.entry(task.uid().unwrap_or_default()).or_insert_with(|| Known {
            name: task.name_any(),
            run_id: task.spec.run_id.clone(),
            first_seen: version,
        });
        if known.run_id != task.spec.run_id {
            known.run_id.clone_from(&task.spec.run_id);
            known.first_seen = version;
        }
        self.snapshot.set_task(task, known.first_seen);
    }

    /// What a queued task waits for now; `None` where its status says all there is to say, or where not all is known that
    /// it may wait for: somebody may be allowed to see tasks alone.
    pub fn of(&mut self, task: &Task, now: Timestamp) -> Option<Told> {
        let status = task.status_or_default();
        let knows_all = self.tasks.is_known && self.types.is_known && self.queues.is_known;
        if status.state != State::Queued || !knows_all {
            return None;
        }
        let explanation = self.snapshot.explain(task.metadata.uid.as_deref()?, now)?;
        let first = explanation.turn.as_ref().and_then(|turn| self.known.get(&*turn.first));
        explanation.told(status.reason, status.message.as_deref(), first.map(|first| first.name.as_str()))
    }
}

fn key<K: ResourceExt>(object: &K) -> Key {
    (object.namespace().unwrap_or_default().into(), object.name_any().into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Reason;
    use crate::follow::fixtures::{Story, at, task};

    fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: Value) -> K {
        let object = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": "docs"}, "spec": spec});
        serde_json::from_value(object).expect("it can be read")
    }

    fn listed(waits: &mut Waits, queue: Value) {
        let template = json!({"spec": {"containers": [{"name": "work", "image": "busybox"}]}});
        let demo = object("TaskType", "demo", json!({"template": template}));
        waits.take_in(&Beside::Type(Event::InitApply(demo)));
        waits.take_in(&Beside::Type(Event::InitDone));
        waits.take_in(&Beside::Queue(Event::InitApply(object("TaskQueue", "default", queue))));
        waits.take_in(&Beside::Queue(Event::InitDone));
        waits.take_in(&Beside::Task(Event::InitDone));
    }

    #[test]
    fn whoever_waits_is_told_for_what_once_all_is_known_that_it_may_wait_for() {
        let mut waits = Waits::default();
        for waiting in [task("a"), task("b")] {
            waits.take_in(&Beside::Task(Event::Apply(waiting)));
        }
        assert_eq!(waits.of(&task("b"), at(0)), None, "types and queues are not known");
        waits.take_in(&Beside::Task(Event::Init));
        let runs = task("runs").processes_since(1).with(|status| status.admitted = Some(Default::default()));
        for task in [task("a"), task("b"), runs] {
            waits.take_in(&Beside::Task(Event::InitApply(task)));
        }
        listed(&mut waits, json!({"suspend": true}));
        let told = waits.of(&task("b"), at(0)).expect("it waits");
        assert_eq!((told.reason, told.message.as_str()), (Reason::QueueSuspended, "queue default is suspended"));
        let open = Event::Apply(object("TaskQueue", "default", json!({"capacity": {"tasks": 5}})));
        waits.take_in(&Beside::Queue(open));
        let told = waits.of(&task("b"), at(0)).expect("it waits");
        assert_eq!((told.reason, told.place), (Reason::Queued, Some(2)));
        assert_eq!(waits.of(&task("b").ended(State::Completed, 3), at(0)), None);
    }
}
