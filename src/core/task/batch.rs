//! The life of a batch: it holds no slot, its chunks do. It cuts them ahead of their turn, a few at a time, takes in how each
//! ended before anything of it goes, and is final when no item is left.
//!
//! As everywhere, one decision names one action, and what follows is decided at the next look.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::json;

use super::look::Look;
use super::status::saying;
use super::stopping::Stop;
use super::{Action, Decision, Input, archiving, ends_with_its_namespace, finished, left_to_its_namespace, queued};
use crate::Reason;
use crate::attempt::facts::Why;
use crate::batch::{Cut, Ledger, MOST_ENDS_IN_A_ROW, counts, most_failed};
use crate::launch::chunk;
use crate::telling::conditions;
use crate::time::{after, earliest};
use task_manager_api::{Admitted, Executor, Progress, State, Task, TaskStatus};

/// The counts of a batch are written so often at most.
const COUNTS_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// A chunk that was made and that the watch does not show is asked for after so long.
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// When the store is tried again.
const STORE_TRIED_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// Stands in the place of an executor: an operator that knows no batches leaves one alone that has begun.
const EXECUTOR: &str = "Batch";

/// What is known of a batch beside its task.
#[derive(Clone, Debug, Default)]
pub struct BatchFacts {
    /// `None` before it was read from the store.
    pub ledger: Option<Arc<Ledger>>,
    /// Its chunks, as the watch shows them.
    pub chunks: Vec<ChunkFacts>,
    /// Chunks that are to be there and that the watch does not show.
    pub missing: Vec<MissingChunk>,
    /// Why the store takes nothing.
    pub store_is_away: Option<String>,
    /// Why no chunk could be made, and when that is tried again.
    pub refused: Option<(Why, Timestamp)>,
}

#[derive(Clone, Debug)]
pub struct ChunkFacts {
    pub task: Arc<Task>,
    /// It was deleted or stopped by us a moment ago, and the watch does not show that yet.
    pub is_asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingChunk {
    pub number: u32,
    pub made_at: Timestamp,
    /// The watch has shown it before.
    pub was_shown: bool,
}

/// The next step of a batch, beside its status.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchStep {
    /// Read where its items are from the store.
    ReadLedger,
    /// Make this chunk.
    Begin { number: u32, cut: Cut },
    /// Take over this chunk, which is there already.
    TakeOver { number: u32, cut: Cut, chunk: Arc<Task> },
    /// Put the end of this chunk into the store, then into the ledger.
    Fold { number: u32, chunk: Arc<Task>, with_its_batch: bool },
    /// Delete this chunk, whose end is in the store, or which is none of this run.
    Remove(Arc<Task>),
    /// Delete this chunk if it has not begun in the meantime, and give its items back.
    Withdraw { number: u32, chunk: Arc<Task> },
    /// Tell this chunk to stop.
    Cancel(Arc<Task>),
    /// Ask whether this chunk is there.
    LookFor { number: u32 },
}

/// Whether the run that the status of this task speaks of, or its first one, is a batch.
pub fn is_batch(task: &Task) -> bool {
    let status = task.status_or_default();
    match status.superseded_run(&task.spec) {
        Some(_) => status.batch.is_some(),
        None => task.spec.batch.is_some(),
    }
}

pub(super) fn decide(input: &Input, now: Timestamp) -> Decision {
    let look = Look::new(input, now);
    if let Some(since) = left_to_its_namespace(input) {
        return ends_with_its_namespace(&look, since);
    }
    let decision = match look.status.state {
        State::Queued => queued(&look),
        State::Processing => Run::of(&look).map_or_else(Decision::rest, |run| run.decide()),
        State::Completed | State::Failed | State::Cancelled => over(&look),
    };
    let wake = look.ahead(earliest([decision.wake, look.deadline()]));
    Decision { wake, ..archiving::first(&look, decision) }
}

fn over(look: &Look) -> Decision {
    let left = look.input.batch.as_ref().and_then(|facts| facts.chunks.iter().find(|chunk| !chunk.is_asked));
    match (left, Look::attempt(look.input, look.now)) {
        (Some(left), _) => Decision::act(Action::Batch(BatchStep::Remove(left.task.clone()))),
        (None, Some(attempt)) => finished::decide(look, &attempt),
        (None, None) => Decision::rest(),
    }
}

fn queued(look: &Look) -> Decision {
    if let Some(end) = queued::end(look) {
        return end;
    }
    if has_no_items(look) {
        let message = "batch names no items: write count, their number, or items, a list of them, and a new runId";
        return Decision::write(look.failed(&Why::new(Reason::InvalidPayload, message)));
    }
    if queued::reason_to_wait(look).0.reason != Reason::Queued {
        return queued::write_why_it_waits(look);
    }
    match not_on_workers(look).or_else(|| store_is_away(look)) {
        Some(why) => look.write_if_news(look.waiting(&why)).no_later_than(Some(after(look.now, STORE_TRIED_AGAIN))),
        None => Decision::write(begun(look)),
    }
}

/// The API server takes null for a value that is there.
fn has_no_items(look: &Look) -> bool {
    look.task.spec.batch.as_ref().is_some_and(|batch| batch.count.is_none() && batch.items.is_none())
}

fn not_on_workers(look: &Look) -> Option<Why> {
    let on_workers = look.input.task_type.as_ref().is_some_and(|kind| kind.spec.executor == Executor::Pool);
    let message = "a batch is run by types with executor Job or Pod so far";
    on_workers.then(|| Why::new(Reason::TypeNotReady, message))
}

fn store_is_away(look: &Look) -> Option<Why> {
    let trouble = look.input.batch.as_ref()?.store_is_away.as_ref()?;
    let message = format!("no chunk starts and no end of one is taken in while the archive takes nothing: {trouble}");
    Some(Why::new(Reason::StoreUnavailable, message))
}

/// The status with which a batch begins. It counts as launched, though it is its chunks that are.
fn begun(look: &Look) -> TaskStatus {
    let total = look.task.spec.batch.as_ref().map_or(0, task_manager_api::Batch::total);
    let status = TaskStatus {
        priority: Some(look.policy.priority),
        arrival: Some(look.status.arrival.clone().unwrap_or_else(|| look.input.first_seen.to_string())),
        queued_at: Some(MicroTime(look.queued_at())),
        attempt: 1,
        admitted: Some(Admitted {
            queue: look.task.spec.queue.clone(),
            type_: Some(look.task.spec.type_.clone()),
            executor: Some(EXECUTOR.to_owned()),
            ..Admitted::default()
        }),
        admitted_at: Some(MicroTime(look.now)),
        started_at: Some(MicroTime(look.now)),
        ..look.status.clone()
    };
    let status = counted(status, &Ledger::new(total), |_| false, look.now);
    saying(status, look.task, State::Processing, &Why::new(Reason::Running, ""), look.now)
}

/// The status with the counts of the ledger.
fn counted(status: TaskStatus, ledger: &Ledger, at_work: impl Fn(u32) -> bool, now: Timestamp) -> TaskStatus {
    let batch = counts(ledger, at_work);
    let percent = match batch.total {
        0 => 100,
        total => i32::try_from(batch.done * 100 / total).unwrap_or(100),
    };
    let progress = Progress {
        percent: Some(percent),
        done: Some(batch.done),
        total: Some(batch.total),
        message: None,
        updated_at: Some(MicroTime(now)),
    };
    TaskStatus { batch: Some(batch), progress: Some(progress), ..status }
}

/// A batch that has begun, with all that is known of it.
struct Run<'a> {
    look: &'a Look<'a>,
    facts: &'a BatchFacts,
    stop: Option<Stop>,
}

impl<'a> Run<'a> {
    fn of(look: &'a Look<'a>) -> Option<Self> {
        Some(Self { look, facts: look.input.batch.as_ref()?, stop: Stop::wanted(look) })
    }

    fn decide(&self) -> Decision {
        let Some(ledger) = self.facts.ledger.as_deref() else {
            return match store_is_away(self.look) {
                Some(why) => self.tell(&why, None),
                None => Decision::act(Action::Batch(BatchStep::ReadLedger)),
            };
        };
        if let Some(step) = self.of_chunks(ledger).or_else(|| self.of_missing()) {
            return Decision::act(Action::Batch(step));
        }
        if self.is_at_rest(ledger)
            && let Some(end) = self.end(ledger)
        {
            return end;
        }
        let hindrance = self.hindrance(ledger);
        if let Some(step) = self.next(ledger).filter(|_| hindrance.is_none()) {
            return Decision::act(Action::Batch(step));
        }
        let why = hindrance.unwrap_or_else(|| Why::new(Reason::Running, ""));
        self.tell(&why, Some(ledger)).no_later_than(self.wake(ledger))
    }

    /// Nothing of it is there, and nothing is to be.
    fn is_at_rest(&self, ledger: &Ledger) -> bool {
        self.facts.chunks.is_empty() && ledger.running().is_empty()
    }

    fn of_chunks(&self, ledger: &Ledger) -> Option<BatchStep> {
        self.facts.chunks.iter().filter(|chunk| !chunk.is_asked).find_map(|chunk| self.of_chunk(&chunk.task, ledger))
    }

    fn of_chunk(&self, task: &Arc<Task>, ledger: &Ledger) -> Option<BatchStep> {
        let status = task.status_or_default();
        let is_being_deleted = task.metadata.deletion_timestamp.is_some();
        let Some((number, cut)) = chunk::read(task, self.look.task).filter(|(number, _)| !ledger.has_ended(*number))
        else {
            return (!is_being_deleted).then(|| BatchStep::Remove(task.clone()));
        };
        if !ledger.running().contains_key(&number) {
            let step = match ledger.may_begin(number, &cut) {
                true => BatchStep::TakeOver { number, cut, chunk: task.clone() },
                false => BatchStep::Remove(task.clone()),
            };
            return (!is_being_deleted).then_some(step);
        }
        if status.state.is_final() {
            let with_its_batch = self.stop.is_some();
            let may_be_folded = status.is_archived() && self.facts.store_is_away.is_none();
            return may_be_folded.then(|| BatchStep::Fold { number, chunk: task.clone(), with_its_batch });
        }
        if is_being_deleted {
            return None;
        }
        if has_not_begun(task) && self.is_withdrawn(task, number, ledger) {
            return Some(BatchStep::Withdraw { number, chunk: task.clone() });
        }
        (self.stop.is_some() && !task.spec.cancel).then(|| BatchStep::Cancel(task.clone()))
    }

    /// A chunk that waits for its slot is not wanted now, or not as it is. It is cut again when it is.
    fn is_withdrawn(&self, task: &Task, number: u32, ledger: &Ledger) -> bool {
        let most = self.look.task.spec.batch.as_ref().map_or(0, task_manager_api::Batch::parallelism);
        let before = ledger.running().range(..number).count();
        self.stop.is_some()
            || self.look.task.spec.suspend
            || self.hindrance(ledger).is_some_and(|why| holds_back_chunks(why.reason))
            || before >= most
            || task.spec.priority != self.look.task.spec.priority
    }

    fn of_missing(&self) -> Option<BatchStep> {
        let is_due = |missing: &&MissingChunk| missing.was_shown || self.look.is_past(Some(shown_by(missing)));
        self.facts.missing.iter().find(is_due).map(|missing| BatchStep::LookFor { number: missing.number })
    }

    /// The chunk to be made next.
    fn next(&self, ledger: &Ledger) -> Option<BatchStep> {
        let batch = self.look.task.spec.batch.as_ref()?;
        let there = self.facts.chunks.len() + self.facts.missing.len();
        let cut = ledger.cut(batch.chunk_size(), self.look.now).filter(|_| there < batch.parallelism())?;
        Some(BatchStep::Begin { number: ledger.next_number(), cut })
    }

    /// Why no chunk is made now, and what its status says of that.
    fn hindrance(&self, ledger: &Ledger) -> Option<Why> {
        let spec = &self.look.task.spec;
        if let Some(stop) = self.stop {
            let message = format!("{}; waiting for its chunks to end", stop.why(self.look).message);
            return Some(Why::new(Reason::Stopping, message));
        }
        if let Some(why) = self.too_many_failed(ledger).or_else(|| chunks_fail(ledger)) {
            return Some(Why::new(why.reason, format!("{}; no new chunk starts", why.message)));
        }
        if spec.suspend {
            return Some(Why::new(Reason::Suspended, "held by spec.suspend; chunks that run go on"));
        }
        let refused =
            || self.facts.refused.as_ref().filter(|(_, until)| *until > self.look.now).map(|(why, _)| why.clone());
        let hindered = queued::missing(self.look).or_else(|| not_on_workers(self.look));
        hindered.or_else(|| store_is_away(self.look)).or_else(refused)
    }

    /// More items have failed for good than may; where nothing is said of that, every item is tried.
    fn too_many_failed(&self, ledger: &Ledger) -> Option<Why> {
        let most = most_failed(self.look.task.spec.batch.as_ref()?, ledger.total())?;
        (ledger.failed().len() > most).then(|| too_many(ledger, Some(most)))
    }

    /// What becomes of it, where nothing of it is left and nothing more is begun.
    fn end(&self, ledger: &Ledger) -> Option<Decision> {
        let look = &self.with_counts(ledger);
        let by_itself = || self.natural_end(look, ledger).map(Decision::write);
        match self.stop {
            // Work that was done in time is not thrown away.
            Some(Stop::NewRun) if ledger.is_over() => {
                self.natural_end(look, ledger).map(|ended| look.begins_anew(&ended))
            }
            Some(Stop::Deadline) if ledger.is_over() => by_itself(),
            Some(stop) => {
                let why = stop.why(look);
                Some(match stop {
                    Stop::NewRun => look.begins_anew(&look.cancelled(&why)),
                    Stop::Deadline => Decision::write(look.failed(&why)),
                    Stop::Cancel | Stop::Deletion => Decision::write(look.cancelled(&why)),
                })
            }
            None => by_itself(),
        }
    }

    fn natural_end(&self, look: &Look, ledger: &Ledger) -> Option<TaskStatus> {
        if let Some(why) = self.too_many_failed(ledger).or_else(|| chunks_fail(ledger)) {
            return Some(look.failed(&why));
        }
        if !ledger.is_over() {
            return None;
        }
        let most = look.task.spec.batch.as_ref().and_then(|batch| most_failed(batch, ledger.total()));
        if most.is_none() && !ledger.failed().is_empty() {
            return Some(look.failed(&too_many(ledger, None)));
        }
        let message = match ledger.failed().len() {
            0 => String::new(),
            failed => format!("{failed} of {} items failed for good, as many as may", ledger.total()),
        };
        let counts = look.status.batch.as_ref();
        let result = counts.map(|counts| json!({"total": counts.total, "done": counts.done, "failed": counts.failed}));
        let finished = look.finished(State::Completed, &Why::new(Reason::Succeeded, message));
        Some(TaskStatus { result, ..finished })
    }

    fn with_counts(&self, ledger: &Ledger) -> Look<'a> {
        let at_work = |number: u32| self.is_at_work(number);
        let status = counted(self.look.status.clone(), ledger, at_work, self.look.now);
        Look { status, ..self.look.clone() }
    }

    fn is_at_work(&self, number: u32) -> bool {
        let is_it =
            |chunk: &&ChunkFacts| chunk.task.spec.chunk.as_ref().is_some_and(|its| its.number == i64::from(number));
        self.facts.chunks.iter().find(is_it).is_some_and(|chunk| !has_not_begun(&chunk.task))
    }

    /// Writes why at once, and the counts now and then.
    fn tell(&self, why: &Why, ledger: Option<&Ledger>) -> Decision {
        let look = self.look;
        let written = look.status.progress.as_ref().and_then(|progress| progress.updated_at.as_ref());
        let due = written.map(|written| after(written.0, COUNTS_EVERY));
        let message = conditions::shortened(&why.message);
        let is_told = look.status.reason == why.reason && look.status.message.as_deref().unwrap_or_default() == message;
        let counted = ledger.map(|ledger| self.with_counts(ledger).status);
        let is_news = counted.as_ref().is_some_and(|counted| counted.batch != look.status.batch);
        if is_told && (!is_news || look.ahead(due).is_some()) && self.is_of_present_generation() {
            let due = due.filter(|_| is_news);
            return Decision::wake_at(earliest([
                due,
                Some(after(look.now, STORE_TRIED_AGAIN)).filter(|_| ledger.is_none()),
            ]));
        }
        let status = counted.unwrap_or_else(|| look.status.clone());
        Decision::write(saying(status, look.task, State::Processing, why, look.now))
    }

    fn is_of_present_generation(&self) -> bool {
        self.look.task.metadata.generation.is_none_or(|seen| seen == self.look.status.observed_generation)
    }

    /// When something is due though nothing changes.
    fn wake(&self, ledger: &Ledger) -> Option<Timestamp> {
        let look = self.look;
        let missing = self.facts.missing.iter().map(|missing| look.ahead(Some(shown_by(missing))));
        let refused = self.facts.refused.as_ref().map(|(_, until)| *until);
        let away = self.facts.store_is_away.as_ref().map(|_| after(look.now, STORE_TRIED_AGAIN));
        let asked = self.facts.chunks.iter().any(|chunk| chunk.is_asked).then(|| after(look.now, SHOWN_WITHIN));
        earliest(missing.chain([look.ahead(ledger.next_due()), look.ahead(refused), away, asked]))
    }
}

fn shown_by(missing: &MissingChunk) -> Timestamp {
    after(missing.made_at, SHOWN_WITHIN)
}

/// It waits for its first slot.
fn has_not_begun(chunk: &Task) -> bool {
    let status = chunk.status_or_default();
    status.state == State::Queued && status.attempt == 0
}

/// For these reasons chunks that wait for their slot do not begin either.
fn holds_back_chunks(reason: Reason) -> bool {
    matches!(reason, Reason::TooManyFailedItems | Reason::ChunksFail | Reason::StoreUnavailable)
}

fn too_many(ledger: &Ledger, most: Option<u32>) -> Why {
    let (failed, total) = (ledger.failed().len(), ledger.total());
    let which = ledger.failed().text_within(100);
    let may = match most {
        None => "none may, where maxFailedItems is not set".to_owned(),
        Some(most) => format!("maxFailedItems allows {most}"),
    };
    Why::new(Reason::TooManyFailedItems, format!("{failed} of {total} items failed for good ({which}), and {may}"))
}

fn chunks_fail(ledger: &Ledger) -> Option<Why> {
    let in_a_row = ledger.in_a_row();
    let message =
        format!("the last {in_a_row} chunks ended without one item done; the archive has their records and logs");
    (in_a_row >= MOST_ENDS_IN_A_ROW && !ledger.is_over()).then(|| Why::new(Reason::ChunksFail, message))
}
