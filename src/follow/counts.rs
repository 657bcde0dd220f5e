//! How many tasks are in each state. Pure.

use super::text::Tone;
use super::view::Stage;
use crate::api::{State, Task};

/// The number of tasks in each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub queued: usize,
    pub processing: usize,
    pub completed: usize,
    pub failed: usize,
    pub cancelled: usize,
    /// Deleted before they were final.
    pub deleted: usize,
}

impl Counts {
    pub fn of<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> Self {
        let mut counts = Self::default();
        for task in tasks {
            counts.add(Stage::of(task).state);
        }
        counts
    }

    pub fn add(&mut self, state: State) {
        *self.of_state(state) += 1;
    }

    pub fn and(self, other: Self) -> Self {
        Self {
            queued: self.queued + other.queued,
            processing: self.processing + other.processing,
            completed: self.completed + other.completed,
            failed: self.failed + other.failed,
            cancelled: self.cancelled + other.cancelled,
            deleted: self.deleted + other.deleted,
        }
    }

    fn of_state(&mut self, state: State) -> &mut usize {
        match state {
            State::Queued => &mut self.queued,
            State::Processing => &mut self.processing,
            State::Completed => &mut self.completed,
            State::Failed => &mut self.failed,
            State::Cancelled => &mut self.cancelled,
        }
    }

    /// All that were seen, gone ones included.
    pub fn total(&self) -> usize {
        self.queued + self.processing + self.finals()
    }

    /// Those with which nothing happens any longer.
    pub fn finals(&self) -> usize {
        self.completed + self.failed + self.cancelled + self.deleted
    }

    /// Only what there is: "3 queued", "2 processing".
    pub fn named(&self) -> impl Iterator<Item = (Tone, String)> {
        [
            (Tone::Busy, self.processing, "processing"),
            (Tone::Plain, self.queued, "queued"),
            (Tone::Good, self.completed, "completed"),
            (Tone::Bad, self.failed, "failed"),
            (Tone::Caution, self.cancelled, "cancelled"),
            (Tone::Caution, self.deleted, "deleted before the end"),
        ]
        .into_iter()
        .filter(|(_, count, _)| *count > 0)
        .map(|(tone, count, word)| (tone, format!("{count} {word}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::fixtures::{Story, task};

    #[test]
    fn counts_name_only_what_there_is() {
        let tasks = [task("a"), task("b").processes_since(1), task("c").ended(State::Failed, 2), task("d")];
        let counts = Counts::of(&tasks);
        assert_eq!((counts.total(), counts.finals()), (4, 1));
        let named: Vec<String> = counts.named().map(|(_, text)| text).collect();
        assert_eq!(named, ["1 processing", "2 queued", "1 failed"]);
    }
}
