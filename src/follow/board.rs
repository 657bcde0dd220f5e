//! The tasks as the watch has shown them so far. Pure: it is fed events and asked questions.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::runtime::watcher::Event;

use super::{
    counts::Counts,
    text::clean,
    view::{self, Stage},
};
use crate::api::{State, Task, TaskStatus};
use crate::core::queue::Told;

/// A task's namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    fn of(task: &Task) -> Option<Self> {
        let namespace = task.metadata.namespace.clone().unwrap_or_default();
        Some(Self { namespace, name: task.metadata.name.clone()? })
    }
}

/// The change that an event made, for a reader of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Moved { key: Key, stage: Stage },
    Deleted { key: Key },
}

#[derive(Debug, Default)]
pub struct Board {
    tasks: BTreeMap<Key, Followed>,
    /// A new list under way: it takes the place of `tasks` once it is whole.
    incoming: Option<BTreeMap<Key, Task>>,
    listed: bool,
    /// Only these, if any are named.
    names: BTreeSet<String>,
    /// Those of `names` that have not been seen yet.
    awaited: BTreeSet<String>,
    /// Tasks of several namespaces: their names alone do not tell them apart.
    several_namespaces: bool,
    /// The final states of tasks that are gone.
    gone: Counts,
    /// Tasks that went before they were final.
    deleted: BTreeSet<Key>,
}

/// A task that is followed.
#[derive(Debug)]
struct Followed {
    place: Place,
    /// The task as the watch shows it, but for what it waits for.
    shown: Task,
    /// The status as the watch shows it, where another wait is shown.
    watched: Option<Box<TaskStatus>>,
}

impl Board {
    pub fn new(names: &[String]) -> Self {
        let names: BTreeSet<String> = names.iter().cloned().collect();
        Self { awaited: names.clone(), names, ..Self::default() }
    }

    pub fn of_several_namespaces(self, several_namespaces: bool) -> Self {
        Self { several_namespaces, ..self }
    }

    pub fn apply(&mut self, event: Event<Task>) -> Vec<Change> {
        match event {
            Event::Init => self.incoming = Some(BTreeMap::new()),
            Event::InitApply(task) => {
                if let Some((key, task)) = self.wanted(task) {
                    self.incoming.get_or_insert_default().insert(key, task);
                }
            }
            Event::InitDone => return self.replace_all(),
            Event::Apply(task) => {
                return self.wanted(task).and_then(|(key, task)| self.put(key, task)).into_iter().collect();
            }
            Event::Delete(task) => {
                return self.wanted(task).and_then(|(key, last)| self.remove(key, Some(&last))).into_iter().collect();
            }
        }
        Vec::new()
    }

    fn wanted(&self, task: Task) -> Option<(Key, Task)> {
        let key = Key::of(&task)?;
        (self.names.is_empty() || self.names.contains(&key.name)).then_some((key, task))
    }

    fn replace_all(&mut self) -> Vec<Change> {
        self.listed = true;
        let incoming = self.incoming.take().unwrap_or_default();
        let gone: Vec<Key> = self.tasks.keys().filter(|key| !incoming.contains_key(*key)).cloned().collect();
        let mut changes: Vec<Change> = gone.into_iter().filter_map(|key| self.remove(key, None)).collect();
        let mut arrived: Vec<(Key, Task)> = incoming.into_iter().collect();
        arrived.sort_by_cached_key(|(_, task)| place(task));
        changes.extend(arrived.into_iter().filter_map(|(key, task)| self.put(key, task)));
        changes
    }

    fn put(&mut self, key: Key, task: Task) -> Option<Change> {
        self.awaited.remove(&key.name);
        self.deleted.remove(&key);
        let before = self.tasks.get(&key);
        let place = before.map_or_else(|| place(&task), |before| before.place.clone());
        let stage_before = before.map(|before| Stage::of(&before.shown));
        let told = before.filter(|before| before.watched.is_some()).and_then(|before| before.told(&task));
        let mut followed = Followed { place, shown: task, watched: None };
        followed.tell(told);
        let stage = Stage::of(&followed.shown);
        self.tasks.insert(key.clone(), followed);
        (stage_before.as_ref() != Some(&stage)).then_some(Change::Moved { key, stage })
    }

    /// Lets the queued tasks say what they wait for now; returns those that say something else than before.
    pub fn explain(&mut self, mut waits_for: impl FnMut(&Task) -> Option<Told>) -> Vec<Change> {
        let mut changes = vec![];
        for (key, followed) in &mut self.tasks {
            let before = Stage::of(&followed.shown);
            followed.restore();
            let told = waits_for(&followed.shown);
            followed.tell(told);
            let stage = Stage::of(&followed.shown);
            changes.extend((stage != before).then(|| Change::Moved { key: key.clone(), stage }));
        }
        changes
    }

    /// `last` is the task as it went, where that is known: its end may have been written just before.
    fn remove(&mut self, key: Key, last: Option<&Task>) -> Option<Change> {
        let known = self.tasks.remove(&key)?;
        let state = Stage::of(last.unwrap_or(&known.shown)).state;
        if state.is_final() {
            self.gone.add(state);
        } else {
            self.deleted.insert(key.clone());
        }
        Some(Change::Deleted { key })
    }

    pub fn get(&self, key: &Key) -> Option<&Task> {
        self.tasks.get(key).map(|followed| &followed.shown)
    }

    /// In the order in which they arrived, which does not change while they live.
    pub fn tasks(&self) -> Vec<&Task> {
        let mut tasks: Vec<&Followed> = self.tasks.values().collect();
        tasks.sort_by_key(|followed| &followed.place);
        tasks.into_iter().map(|followed| &followed.shown).collect()
    }

    /// The name that tells a task apart: with its namespace, where there are several.
    pub fn name_of(&self, key: &Key) -> String {
        let name = if self.several_namespaces { format!("{}/{}", key.namespace, key.name) } else { key.name.clone() };
        clean(&name)
    }

    pub fn name(&self, task: &Task) -> String {
        self.name_of(&Key::of(task).unwrap_or_default())
    }

    pub fn has_several_namespaces(&self) -> bool {
        self.several_namespaces
    }

    /// Names that were asked for and have not appeared.
    pub fn awaited(&self) -> impl Iterator<Item = &str> {
        self.awaited.iter().map(String::as_str)
    }

    /// Tasks that went before they were final.
    pub fn deleted(&self) -> impl Iterator<Item = &Key> {
        self.deleted.iter()
    }

    /// Of all tasks that were seen, gone ones included.
    pub fn counts(&self) -> Counts {
        let present = Counts::of(self.tasks.values().map(|followed| &followed.shown));
        present.and(Counts { deleted: self.deleted.len(), ..self.gone })
    }

    /// The first list is whole.
    pub fn is_listed(&self) -> bool {
        self.listed
    }

    /// Nothing was ever there to follow.
    pub fn is_empty(&self) -> bool {
        self.counts().total() == 0 && self.awaited.is_empty()
    }

    /// Nothing more will happen by itself.
    pub fn is_done(&self) -> bool {
        self.listed && self.awaited.is_empty() && self.tasks.values().all(|followed| view::is_final(&followed.shown))
    }
}

impl Followed {
    /// What is told of its wait, where the next version of it waits in the same run.
    fn told(&self, next: &Task) -> Option<Told> {
        let (is, will) = (Stage::of(&self.shown), Stage::of(next));
        if (will.state, &will.run, will.attempt) != (State::Queued, &is.run, is.attempt) {
            return None;
        }
        let message = self.shown.status_or_default().message.clone().unwrap_or_default();
        Some(Told { reason: is.reason, message, place: None })
    }

    /// Shows what it waits for.
    fn tell(&mut self, told: Option<Told>) {
        let Some(told) = told else { return };
        let status = self.shown.status.get_or_insert_default();
        self.watched = Some(Box::new(status.clone()));
        status.reason = told.reason;
        status.message = Some(told.message).filter(|message| !message.is_empty());
    }

    fn restore(&mut self) {
        if let Some(watched) = self.watched.take() {
            self.shown.status = Some(*watched);
        }
    }
}

/// A task's place among the others, fixed when it is first seen: its time in whole seconds, what the API server
/// counted then, its name.
type Place = (Option<Timestamp>, Option<u128>, String);

/// Later writes move the resourceVersion, so the first one, which the operator keeps as `arrival`, comes first.
fn place(task: &Task) -> Place {
    let created = task.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let kept = task.status.as_ref().and_then(|status| status.arrival.as_ref());
    let version = kept.or(task.metadata.resource_version.as_ref()).and_then(|version| version.parse().ok());
    (created, version, task.metadata.name.clone().unwrap_or_default())
}
