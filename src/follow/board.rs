//! The tasks as the watch has shown them so far. Pure: it is fed events and asked questions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::runtime::watcher::Event;

use super::view::{self, Stage};
use crate::api::Task;

/// The change that an event made, for a reader of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Moved { name: String, stage: Stage },
    Deleted { name: String },
}

#[derive(Debug, Default)]
pub struct Board {
    tasks: BTreeMap<String, (Place, Task)>,
    /// A new list under way: it takes the place of `tasks` once it is whole.
    incoming: Option<BTreeMap<String, Task>>,
    listed: bool,
    /// Only these, if any are named.
    names: BTreeSet<String>,
    /// Those of `names` that have not been seen yet.
    awaited: BTreeSet<String>,
}

impl Board {
    pub fn new(names: &[String]) -> Self {
        let names: BTreeSet<String> = names.iter().cloned().collect();
        Self { awaited: names.clone(), names, ..Self::default() }
    }

    pub fn apply(&mut self, event: Event<Task>) -> Vec<Change> {
        match event {
            Event::Init => self.incoming = Some(BTreeMap::new()),
            Event::InitApply(task) => {
                if let Some((name, task)) = self.wanted(task) {
                    self.incoming.get_or_insert_default().insert(name, task);
                }
            }
            Event::InitDone => return self.replace_all(),
            Event::Apply(task) => {
                return self.wanted(task).and_then(|(name, task)| self.put(name, task)).into_iter().collect();
            }
            Event::Delete(task) => {
                return self.wanted(task).and_then(|(name, _)| self.remove(name)).into_iter().collect();
            }
        }
        Vec::new()
    }

    fn wanted(&self, task: Task) -> Option<(String, Task)> {
        let name = task.metadata.name.clone()?;
        (self.names.is_empty() || self.names.contains(&name)).then_some((name, task))
    }

    fn replace_all(&mut self) -> Vec<Change> {
        self.listed = true;
        let incoming = self.incoming.take().unwrap_or_default();
        let gone: Vec<String> = self.tasks.keys().filter(|name| !incoming.contains_key(*name)).cloned().collect();
        let mut changes: Vec<Change> = gone.into_iter().filter_map(|name| self.remove(name)).collect();
        let mut arrived: Vec<(String, Task)> = incoming.into_iter().collect();
        arrived.sort_by_cached_key(|(_, task)| place(task));
        changes.extend(arrived.into_iter().filter_map(|(name, task)| self.put(name, task)));
        changes
    }

    fn put(&mut self, name: String, task: Task) -> Option<Change> {
        self.awaited.remove(&name);
        let stage = Stage::of(&task);
        let (place, before) = match self.tasks.get(&name) {
            Some((place, before)) => (place.clone(), Some(Stage::of(before))),
            None => (place(&task), None),
        };
        self.tasks.insert(name.clone(), (place, task));
        (before.as_ref() != Some(&stage)).then_some(Change::Moved { name, stage })
    }

    fn remove(&mut self, name: String) -> Option<Change> {
        self.tasks.remove(&name).map(|_| Change::Deleted { name })
    }

    pub fn get(&self, name: &str) -> Option<&Task> {
        self.tasks.get(name).map(|(_, task)| task)
    }

    /// In the order in which they arrived, which does not change while they live.
    pub fn tasks(&self) -> Vec<&Task> {
        let mut tasks: Vec<&(Place, Task)> = self.tasks.values().collect();
        tasks.sort_by_key(|(place, _)| place);
        tasks.into_iter().map(|(_, task)| task).collect()
    }

    /// Names that were asked for and have not appeared.
    pub fn awaited(&self) -> impl Iterator<Item = &str> {
        self.awaited.iter().map(String::as_str)
    }

    /// The first list is whole.
    pub fn is_listed(&self) -> bool {
        self.listed
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.awaited.is_empty()
    }

    /// Nothing more will happen by itself.
    pub fn is_done(&self) -> bool {
        self.listed && self.awaited.is_empty() && self.tasks.values().all(|(_, task)| view::is_final(task))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::State,
        follow::fixtures::{Story, task},
    };

    fn listed(names: &[&str], tasks: Vec<Task>) -> Board {
        let mut board = Board::new(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        list(&mut board, tasks);
        board
    }

    fn list(board: &mut Board, tasks: Vec<Task>) -> Vec<Change> {
        board.apply(Event::Init);
        for task in tasks {
            assert_eq!(board.apply(Event::InitApply(task)), []);
        }
        board.apply(Event::InitDone)
    }

    fn names(board: &Board) -> Vec<String> {
        board.tasks().into_iter().map(view::name).collect()
    }

    #[test]
    fn nothing_is_done_before_the_first_list_is_whole() {
        let mut board = Board::new(&[]);
        board.apply(Event::Init);
        assert!(!board.is_done());
        board.apply(Event::InitDone);
        assert!(board.is_done() && board.is_empty());
    }

    #[test]
    fn a_change_of_state_is_told_once() {
        let mut board = listed(&[], vec![task("a")]);
        let moved = board.apply(Event::Apply(task("a").processes_since(1)));
        assert!(matches!(&moved[..], [Change::Moved { name, .. }] if name == "a"));
        assert_eq!(board.apply(Event::Apply(task("a").processes_since(1).saying("still"))), []);
        assert_eq!(board.apply(Event::Delete(task("a"))), [Change::Deleted { name: "a".into() }]);
        assert_eq!(board.apply(Event::Delete(task("a"))), []);
    }

    #[test]
    fn a_new_list_tells_what_was_missed_meanwhile() {
        let mut board = listed(&[], vec![task("a"), task("b")]);
        let changes = list(&mut board, vec![task("b").ended(State::Completed, 3), task("c")]);
        assert_eq!(changes.len(), 3);
        assert_eq!(changes[0], Change::Deleted { name: "a".into() });
        assert_eq!(names(&board), ["b", "c"]);
    }

    #[test]
    fn an_interrupted_list_leaves_the_old_one_in_place() {
        let mut board = listed(&[], vec![task("a")]);
        board.apply(Event::Init);
        board.apply(Event::InitApply(task("b")));
        assert_eq!(names(&board), ["a"]);
        assert_eq!(list(&mut board, vec![task("a")]), []);
        assert_eq!(names(&board), ["a"]);
    }

    #[test]
    fn a_name_that_was_asked_for_is_awaited() {
        let mut board = listed(&["a", "b"], vec![task("a").ended(State::Failed, 1), task("other")]);
        assert!(!board.is_done());
        assert_eq!(board.awaited().collect::<Vec<_>>(), ["b"]);
        board.apply(Event::Apply(task("b").ended(State::Completed, 2)));
        assert!(board.is_done());
        board.apply(Event::Delete(task("b")));
        assert!(board.is_done(), "what is gone is not awaited again");
    }

    #[test]
    fn a_task_keeps_its_place_when_it_is_written_to() {
        let mut board = listed(&[], vec![task("a").arrived_as("5"), task("b").arrived_as("6")]);
        board.apply(Event::Apply(task("a").arrived_as("7").processes_since(1)));
        assert_eq!(names(&board), ["a", "b"]);
    }

    #[test]
    fn tasks_stand_in_the_order_of_their_arrival_as_a_number() {
        let board = listed(
            &[],
            vec![task("late").arrived_as("1000"), task("early").arrived_as("999"), task("first").arrived_as("42")],
        );
        assert_eq!(names(&board), ["first", "early", "late"]);
    }
}
