//! The states that a task has gone through, told from how it stands now. A watch shows the latest state alone,
//! and a reader may have been away: what came between follows from the number of attempts, so that nobody
//! misses a state, on whichever replica they read.

use crate::api::State;
use crate::core::digest::sha256_hex;
use crate::rest::index::IndexedTask;

/// Hexadecimal digits by which a run is told from another.
const RUN_DIGITS: usize = 8;

/// A step in a task's life. Each attempt is one step into `Processing` and, if it is tried again, one back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub state: State,
    /// Launches so far.
    pub attempt: i32,
}

impl Step {
    fn number(self) -> i64 {
        let attempt = i64::from(self.attempt.max(0));
        match self.state {
            State::Queued => 2 * attempt,
            State::Processing => 2 * attempt - 1,
            State::Completed | State::Failed | State::Cancelled => 2 * attempt + 1,
        }
    }

    /// The step of this number, which every task takes before it ends.
    fn at(number: i64) -> Self {
        let state = if number % 2 == 0 { State::Queued } else { State::Processing };
        Self { state, attempt: i32::try_from((number + 1) / 2).unwrap_or(i32::MAX) }
    }
}

/// How far a reader is: in which run, and at which step of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Of the run's id, which may hold anything and be used again, and of when the run began.
    run: String,
    step: i64,
    state: State,
}

impl Cursor {
    pub fn of(known: &IndexedTask) -> Self {
        let step = Step { state: known.state, attempt: known.head.attempt };
        let run = format!("{} {}", known.began().as_microsecond(), known.run_id);
        Self { run: sha256_hex(run)[..RUN_DIGITS].to_owned(), step: step.number(), state: known.state }
    }

    fn with(&self, step: Step) -> Self {
        Self { run: self.run.clone(), step: step.number(), state: step.state }
    }

    /// As the id of an event, with the version of the task that it was told from: so a replica that is not so far yet
    /// sees that it tells a reader nothing new.
    pub fn id(&self, version: u64) -> String {
        format!("{}.{}.{}.{version}", self.run, self.step, self.state)
    }

    /// A Last-Event-ID's cursor and version; `None` where it is none of ours.
    pub fn read(id: &str) -> Option<(Self, u64)> {
        let mut parts = id.splitn(4, '.');
        let run = parts.next().filter(|run| run.len() == RUN_DIGITS)?.to_owned();
        let step = parts.next()?.parse().ok()?;
        let state = serde_json::from_value(parts.next()?.into()).ok()?;
        let version = parts.next()?.parse().ok()?;
        Some((Self { run, step, state }, version))
    }
}

/// More states than these are not told after one another: the first of them are long past.
const MOST_STEPS: i64 = 200;

/// The steps that a reader at `before` is to be told of, each with its cursor; the last one is how the task stands.
/// Empty when the reader knows that.
pub fn since(before: Option<&Cursor>, known: &IndexedTask) -> Vec<(Cursor, Step)> {
    let now = Cursor::of(known);
    let last = (now.clone(), Step { state: known.state, attempt: known.head.attempt });
    let Some(before) = before.filter(|before| before.run == now.run && before.step <= now.step) else {
        return vec![last];
    };
    if *before == now {
        return vec![];
    }
    let end = last.1;
    // The end of a run that was never launched again follows what comes before it, with one step less.
    let missed = (before.step + 1).max(now.step - MOST_STEPS)..now.step;
    let missed = missed.map(Step::at).filter(|step| step.attempt <= end.attempt);
    let missed =
        missed.filter(|step| !(end.state.is_final() && step.state == State::Queued && step.attempt == end.attempt));
    missed.map(|step| (now.with(step), step)).chain([last.clone()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Task, TaskSpec, TaskStatus};
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

    fn entry(run: &str, state: State, attempt: i32) -> IndexedTask {
        let mut task = Task::new("t", TaskSpec { run_id: run.into(), ..TaskSpec::default() });
        task.status = Some(TaskStatus { state, attempt, run_id: Some(run.into()), ..TaskStatus::default() });
        IndexedTask::of(&task, None, None)
    }

    fn told(before: Option<&Cursor>, entry: &IndexedTask) -> Vec<(State, i32)> {
        since(before, entry).into_iter().map(|(_, step)| (step.state, step.attempt)).collect()
    }

    #[test]
    fn a_new_reader_begins_with_the_present() {
        assert_eq!(told(None, &entry("1", State::Processing, 3)), [(State::Processing, 3)]);
    }

    #[test]
    fn what_a_reader_missed_is_told_in_order() {
        let queued = Cursor::of(&entry("1", State::Queued, 0));
        assert_eq!(
            told(Some(&queued), &entry("1", State::Completed, 2)),
            [(State::Processing, 1), (State::Queued, 1), (State::Processing, 2), (State::Completed, 2)]
        );
        let processing = Cursor::of(&entry("1", State::Processing, 1));
        assert_eq!(told(Some(&processing), &entry("1", State::Failed, 1)), [(State::Failed, 1)]);
        assert_eq!(told(Some(&queued), &entry("1", State::Cancelled, 0)), [(State::Cancelled, 0)]);
    }

    #[test]
    fn who_knows_the_present_is_told_nothing() {
        for state in [State::Queued, State::Processing, State::Completed] {
            let entry = entry("1", state, 1);
            assert_eq!(told(Some(&Cursor::of(&entry)), &entry), []);
        }
    }

    #[test]
    fn a_run_id_that_is_used_again_begins_with_the_present() {
        let run = |queued: &str| {
            let mut task = Task::new("t", TaskSpec { run_id: "1".into(), ..TaskSpec::default() });
            let queued_at = Some(MicroTime(queued.parse().expect("a time")));
            task.status = Some(TaskStatus { state: State::Completed, attempt: 1, queued_at, ..TaskStatus::default() });
            IndexedTask::of(&task, None, None)
        };
        let first = Cursor::of(&run("2026-01-01T00:00:00Z"));
        assert_eq!(told(Some(&first), &run("2026-01-01T00:00:00Z")), []);
        assert_eq!(told(Some(&first), &run("2026-01-02T00:00:00Z")), [(State::Completed, 1)]);
    }

    #[test]
    fn an_untouched_task_and_its_first_status_speak_of_one_run() {
        let mut task = Task::new("t", TaskSpec::default());
        let created: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        task.metadata.creation_timestamp = Some(Time(created));
        let untouched = Cursor::of(&IndexedTask::of(&task, None, None));
        task.status = Some(TaskStatus { queued_at: Some(MicroTime(created)), ..TaskStatus::default() });
        assert_eq!(told(Some(&untouched), &IndexedTask::of(&task, None, None)), []);
    }

    #[test]
    fn another_run_and_a_slot_given_back_begin_with_the_present() {
        let before = Cursor::of(&entry("1", State::Processing, 2));
        assert_eq!(told(Some(&before), &entry("2", State::Queued, 0)), [(State::Queued, 0)]);
        assert_eq!(told(Some(&before), &entry("1", State::Queued, 1)), [(State::Queued, 1)]);
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let cursor = Cursor::of(&entry("a b\n", State::Failed, 7));
        assert_eq!(Cursor::read(&cursor.id(12)), Some((cursor, 12)));
        for other in ["", "7", "x.1.Queued.1", "00000000.1.Nothing.1", "00000000.x.Queued.1", "00000000.1.Queued"] {
            assert_eq!(Cursor::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_life_of_many_attempts_is_told_from_where_it_is_not_long_past() {
        let queued = Cursor::of(&entry("1", State::Queued, 0));
        assert!(told(Some(&queued), &entry("1", State::Failed, i32::MAX)).len() <= 201);
    }
}
