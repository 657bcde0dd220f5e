//! When which type is checked. Asks nobody.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::TaskType;
use crate::core::launch::task_type;

/// A type that can be used is checked again after so long, for what surrounds it changes...
const CONFIRMED_AGAIN: Duration = Duration::from_secs(600);
/// ...one that cannot, after so long, for the reason may lie outside of it...
const CHECKED_AGAIN: Duration = Duration::from_secs(120);
/// ...and one of which it is not known, or could not be written, after so long at first.
const TRIED_AGAIN: Duration = Duration::from_secs(10);

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Usable,
    NotUsable,
    /// A quota, a policy or a missing right stands in the way, perhaps for long.
    Hindered,
    /// Nobody answered.
    NotKnown,
    /// The type's status could not be written.
    NotWritten,
}

impl Outcome {
    /// How long to wait before the next check, after so many in a row that did not settle the matter.
    fn pause(self, times: u32) -> Duration {
        let doubled = TRIED_AGAIN * (1 << times.saturating_sub(1).min(10));
        match self {
            Self::Usable => CONFIRMED_AGAIN,
            Self::NotUsable => CHECKED_AGAIN,
            Self::Hindered => doubled.min(CONFIRMED_AGAIN),
            Self::NotKnown | Self::NotWritten => doubled.min(CHECKED_AGAIN),
        }
    }

    fn settles(self) -> bool {
        matches!(self, Self::Usable | Self::NotUsable)
    }
}

/// The checks of types, by the type's uid.
#[derive(Default)]
pub struct Schedule {
    ended: HashMap<String, Ended>,
    running: HashSet<String>,
    /// Types that are to be checked whatever their last check said.
    at_once: HashSet<String>,
}

/// The last check of a type.
struct Ended {
    generation: Option<i64>,
    /// How many in a row have not settled the matter.
    unsettled: u32,
    due: Instant,
}

fn uid(kind: &TaskType) -> &str {
    kind.metadata.uid.as_deref().unwrap_or_default()
}

impl Schedule {
    /// These types are to be checked as soon as may be.
    pub fn at_once(&mut self, uids: HashSet<String>) {
        self.at_once.extend(uids);
    }

    /// Those of the `types` whose check begins now, at most so many: those that were not checked yet first, then those that
    /// were not found usable.
    pub fn due(&mut self, mut types: Vec<Arc<TaskType>>, most: usize) -> Vec<Arc<TaskType>> {
        let there: HashSet<&str> = types.iter().map(|kind| uid(kind)).collect();
        self.ended.retain(|uid, _| there.contains(uid.as_str()));
        self.at_once.retain(|uid| there.contains(uid.as_str()));
        types.retain(|kind| self.is_due(kind));
        types.sort_by_key(|kind| (self.last_of(kind).is_some(), task_type::is_checked(kind)));
        types.truncate(most);
        for kind in &types {
            self.at_once.remove(uid(kind));
            self.running.insert(uid(kind).into());
        }
        types
    }

    /// The last check of this generation, however it went.
    fn last_of(&self, kind: &TaskType) -> Option<&Ended> {
        self.ended.get(uid(kind)).filter(|ended| ended.generation == kind.metadata.generation)
    }

    fn is_due(&self, kind: &TaskType) -> bool {
        let is_due = || self.last_of(kind).is_none_or(|last| last.due <= Instant::now());
        !self.running.contains(uid(kind)) && (self.at_once.contains(uid(kind)) || is_due())
    }

    /// The check of this version of a type has ended.
    pub fn ended(&mut self, kind: &TaskType, outcome: Outcome) {
        self.running.remove(uid(kind));
        let before = self.last_of(kind).map_or(0, |last| last.unsettled);
        let unsettled = if outcome.settles() { 0 } else { before.saturating_add(1) };
        let due = Instant::now() + outcome.pause(unsettled);
        self.ended.insert(uid(kind).into(), Ended { generation: kind.metadata.generation, unsettled, due });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TaskTypeSpec;

    fn kind(uid: &str, generation: i64) -> Arc<TaskType> {
        let mut kind = TaskType::new(uid, TaskTypeSpec::default());
        kind.metadata.uid = Some(uid.into());
        kind.metadata.generation = Some(generation);
        Arc::new(kind)
    }

    #[test]
    fn what_a_quota_hinders_is_asked_less_and_less_often_up_to_ten_minutes() {
        let mut schedule = Schedule::default();
        let mut pauses = vec![];
        for _ in 0..9 {
            let before = Instant::now();
            schedule.ended(&kind("a", 1), Outcome::Hindered);
            let due = schedule.ended["a"].due;
            pauses.push(due.duration_since(before).as_secs());
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert!(schedule.due(vec![kind("a", 1)], 8).is_empty());
        assert_eq!(schedule.due(vec![kind("a", 2)], 8).len(), 1, "a change is checked at once");
        schedule.ended(&kind("a", 2), Outcome::Hindered);
        assert_eq!(schedule.ended["a"].unsettled, 1, "and begins anew");
        let silent: Vec<_> = [1, 2, 5, 40].map(|times| Outcome::NotKnown.pause(times).as_secs()).into();
        assert_eq!(silent, [10, 20, 120, 120], "an API server that was away is asked again sooner");
    }

    #[test]
    fn a_check_that_runs_is_not_begun_twice_and_leaves_room_for_others() {
        let mut schedule = Schedule::default();
        let all = || vec![kind("a", 1), kind("b", 1), kind("c", 1)];
        assert_eq!(schedule.due(all(), 2).len(), 2);
        let rest = schedule.due(all(), 8);
        assert_eq!(rest.iter().map(|kind| uid(kind)).collect::<Vec<_>>(), ["c"]);
        schedule.ended(&kind("c", 1), Outcome::Usable);
        assert!(schedule.due(all(), 8).is_empty());
    }

    #[test]
    fn a_type_about_which_something_was_learned_is_checked_at_once() {
        let mut schedule = Schedule::default();
        schedule.due(vec![kind("a", 1)], 8);
        schedule.at_once(["a".to_owned()].into());
        assert!(schedule.due(vec![kind("a", 1)], 8).is_empty(), "a check runs");
        schedule.ended(&kind("a", 1), Outcome::Usable);
        assert_eq!(schedule.due(vec![kind("a", 1)], 8).len(), 1);
        schedule.ended(&kind("a", 1), Outcome::Usable);
        assert!(schedule.due(vec![kind("a", 1)], 8).is_empty());
    }
}
