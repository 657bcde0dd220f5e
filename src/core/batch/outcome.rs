//! What a chunk's end makes of its items: done, failed for good, or tried again; as they were, or as two halves.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::items::Items;
use super::ledger::Running;
use crate::Reason;
use crate::attempt::backoff;
use crate::attempt::reports::{ERROR_MESSAGE, ERROR_TYPE};
use crate::launch::policy::RetryPolicy;
use crate::telling::text;
use crate::time::after;
use task_manager_api::{ReportedError, State, TaskStatus};

/// The error of an item: the work's own, or how its chunk ended.
pub type ItemError = ReportedError;

/// The field of a chunk's result that names the items which failed.
const FAILED_ITEMS: &str = "failedItems";
/// As many items as chunkSize may be.
const MOST_IN_A_CHUNK: usize = 10_000;

/// How a chunk ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The work has said of each item how it went: these failed, the others are done.
    Told(Vec<(u32, ItemError)>),
    /// It ended by itself, and nobody knows which item was to blame. Where that was one alone, it is tried again unless no other
    /// try helps.
    ByItself { error: ItemError, is_permanent: bool },
    /// It could not be run, or nobody knows how it ended: no item is to blame.
    ByOthers,
    /// Somebody cancelled it. The batch itself is being stopped, or not.
    Cancelled { with_its_batch: bool },
}

/// The consequences of a chunk's end, as the store keeps them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub done: Items,
    /// All items that failed in this chunk, in order, also those that are tried again.
    #[serde(default)]
    pub failed: Vec<FailedItem>,
    #[serde(default)]
    pub again: Vec<Part>,
    #[serde(default)]
    pub cancelled: Items,
    /// Ends in a row, this one included, of chunks that ended by themselves without one item done.
    #[serde(default)]
    pub in_a_row: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedItem {
    pub index: u32,
    /// How often it has failed, this time included.
    pub failures: i32,
    pub for_good: bool,
    pub error: ItemError,
}

/// Items that come again together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub items: Items,
    /// How often each of them has failed.
    pub failures: i32,
    /// No earlier than this.
    pub due: Timestamp,
    /// They stay apart from others, for one of them may end its chunk.
    #[serde(default)]
    pub apart: bool,
}

impl End {
    /// Reads how a chunk of these items ended. `stored` is its result where that is kept in the store.
    pub fn of(status: &TaskStatus, items: &Items, stored: Option<&[u8]>, with_its_batch: bool) -> Self {
        let error = || error_of(status);
        match (status.state, status.reason) {
            (State::Completed, Reason::ResultLost) => Self::ByOthers,
            (State::Completed, _) if status.result_ref.is_some() && stored.is_none() => Self::ByOthers,
            (State::Completed, _) => match told(status, stored) {
                Ok(failed) => Self::Told(failed.into_iter().filter(|(index, _)| items.contains(*index)).collect()),
                Err(why) => Self::ByItself { error: worded("UnreadableResult", why), is_permanent: false },
            },
            (State::Cancelled, Reason::Deleted) if !with_its_batch => Self::ByOthers,
            (State::Cancelled, _) => Self::Cancelled { with_its_batch },
            (_, reason) if ends_by_itself(reason) => {
                let is_permanent = status.attempts.last().is_some_and(|attempt| attempt.permanent);
                Self::ByItself { error: error(), is_permanent }
            }
            _ => Self::ByOthers,
        }
    }
}

/// The chunk's own work ended, and not well.
fn ends_by_itself(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ExitCode
            | Reason::Timeout
            | Reason::OOMKilled
            | Reason::DiskLimit
            | Reason::ReportedError
            | Reason::VerificationFailed
            | Reason::WorkerRestarted
    )
}

fn error_of(status: &TaskStatus) -> ItemError {
    worded(status.reason.as_str(), status.message.clone().unwrap_or_default())
}

fn worded(type_: &str, message: impl Into<String>) -> ItemError {
    ItemError { type_: Some(type_.into()), message: Some(message.into()), retryable: None }
}

/// The failed items that the result of a chunk names. A result without such a list says that all are done.
fn told(status: &TaskStatus, stored: Option<&[u8]>) -> Result<Vec<(u32, ItemError)>, String> {
    let left = status.result.as_ref();
    if status.result_truncated && left.and_then(Value::as_str).is_none_or(|text| text.contains(FAILED_ITEMS)) {
        return Err("its result was cut off, so which items failed is not known: hand over a longer one with PUT \
            /worker/v1/result"
            .into());
    }
    match (stored, left) {
        (Some(stored), _) => named(stored),
        (None, Some(Value::String(text))) => named(text.as_bytes()),
        (None, Some(left)) => named(left.to_string().as_bytes()),
        (None, None) => Ok(vec![]),
    }
}

/// A result that says nothing of items says that all are done, whatever else it is. One that speaks of failed items and cannot be
/// read makes none of them done.
fn named(result: &[u8]) -> Result<Vec<(u32, ItemError)>, String> {
    let speaks_of_items = result.windows(FAILED_ITEMS.len()).any(|part| part == FAILED_ITEMS.as_bytes());
    if !speaks_of_items {
        return Ok(vec![]);
    }
    let read: Told = serde_json::from_slice(result).map_err(|error| {
        let error = text::cut(&error.to_string(), 200);
        format!(
            "failedItems of its result cannot be read ({error}): write one JSON object, {{\"failedItems\": [{{\"index\": 17, \
             \"error\": {{\"type\": …, \"message\": …}}}}]}}"
        )
    })?;
    Ok(read.failed_items.0.into_iter().map(|item| (item.index, shortened(item.error.unwrap_or_default()))).collect())
}

/// The part of a result that a batch reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(default)]
    failed_items: Named,
}

#[derive(Deserialize)]
struct NamedItem {
    index: u32,
    #[serde(default)]
    error: Option<ItemError>,
}

fn shortened(error: ItemError) -> ItemError {
    let cut = |text: Option<String>, most| text.map(|text| text::cut(&text, most));
    ItemError { type_: cut(error.type_, ERROR_TYPE), message: cut(error.message, ERROR_MESSAGE), ..error }
}

/// As many items as a chunk may have: a longer list is refused before it fills the memory.
#[derive(Default)]
struct Named(Vec<NamedItem>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(list: D) -> Result<Self, D::Error> {
        list.deserialize_seq(NamedItems)
    }
}

struct NamedItems;

impl<'de> Visitor<'de> for NamedItems {
    type Value = Named;

    fn expecting(&self, text: &mut fmt::Formatter) -> fmt::Result {
        write!(text, "a list of at most {MOST_IN_A_CHUNK} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Named, A::Error> {
        let mut items = vec![];
        while let Some(item) = list.next_element()? {
            if items.len() == MOST_IN_A_CHUNK {
                return Err(A::Error::invalid_length(MOST_IN_A_CHUNK + 1, &self));
            }
            items.push(item);
        }
        Ok(Named(items))
    }
}

/// The time, and what the pauses of one batch follow from.
#[derive(Clone, Copy)]
pub struct Ending<'a> {
    pub retry: &'a RetryPolicy,
    pub uid: &'a str,
    pub number: u32,
    /// Ends in a row before this one.
    pub in_a_row: u32,
    pub now: Timestamp,
}

impl Outcome {
    /// The consequences of this end for the items of `chunk`.
    pub fn of(chunk: &Running, end: &End, ending: Ending) -> Self {
        let outcome = match end {
            End::Told(failed) => by_item(chunk, failed, ending),
            End::ByItself { error, is_permanent } if chunk.items.len() == 1 => {
                let error = ItemError { retryable: is_permanent.then_some(false), ..error.clone() };
                let failed: Vec<_> = chunk.items.indexes().map(|index| (index, error.clone())).collect();
                by_item(chunk, &failed, ending)
            }
            End::ByItself { .. } => Self { again: halves(chunk, ending.now), ..Self::default() },
            End::ByOthers => Self { again: vec![as_it_was(chunk, ending)], ..Self::default() },
            End::Cancelled { with_its_batch: true } => Self { cancelled: chunk.items.clone(), ..Self::default() },
            End::Cancelled { with_its_batch: false } => {
                let error = worded(Reason::Cancelled.as_str(), "somebody cancelled its chunk");
                let error = ItemError { retryable: Some(false), ..error };
                let failed: Vec<_> = chunk.items.indexes().map(|index| (index, error.clone())).collect();
                by_item(chunk, &failed, ending)
            }
        };
        let in_a_row = match end {
            _ if !outcome.done.is_empty() => 0,
            End::ByItself { .. } | End::ByOthers => ending.in_a_row.saturating_add(1),
            End::Told(_) | End::Cancelled { .. } => ending.in_a_row,
        };
        Self { in_a_row, ..outcome }
    }

    pub fn failed_for_good(&self) -> Items {
        self.failed.iter().filter(|failed| failed.for_good).map(|failed| failed.index).collect()
    }

    /// All items of the chunk.
    pub fn items(&self) -> Items {
        let mut items = self.done.clone();
        items.add(&self.failed_for_good());
        items.add(&self.cancelled);
        self.again.iter().for_each(|part| items.add(&part.items));
        items
    }
}

/// Each failed item is counted once, and tried again while it may be.
fn by_item(chunk: &Running, failed: &[(u32, ItemError)], ending: Ending) -> Outcome {
    let failures = chunk.failures.saturating_add(1);
    let may_be_tried = failures <= ending.retry.limit;
    let mut failed: Vec<_> = failed
        .iter()
        .map(|(index, error)| {
            let for_good = !may_be_tried || error.retryable == Some(false);
            FailedItem { index: *index, failures, for_good, error: error.clone() }
        })
        .collect();
    failed.sort_by_key(|failed| failed.index);
    failed.dedup_by_key(|failed| failed.index);
    let mut done = chunk.items.clone();
    failed.iter().for_each(|failed| done.remove(failed.index, failed.index));
    let items: Items = failed.iter().filter(|failed| !failed.for_good).map(|failed| failed.index).collect();
    let due = after(ending.now, pause(failures, ending));
    let again = (!items.is_empty()).then_some(Part { items, failures, due, apart: false });
    Outcome { done, failed, again: again.into_iter().collect(), ..Outcome::default() }
}

fn pause(failures: i32, ending: Ending) -> jiff::SignedDuration {
    backoff::pause(ending.retry, failures, ending.uid, i32::try_from(ending.number).unwrap_or(i32::MAX))
}

/// At once, counted for none of them.
fn halves(chunk: &Running, now: Timestamp) -> Vec<Part> {
    let first = chunk.items.first_few(chunk.items.len().div_ceil(2));
    let mut second = chunk.items.clone();
    second.take_out(&first);
    let part = |items| Part { items, failures: chunk.failures, due: now, apart: true };
    [first, second].into_iter().filter(|items| !items.is_empty()).map(part).collect()
}

/// After a pause that grows while no chunk does better.
fn as_it_was(chunk: &Running, ending: Ending) -> Part {
    let Running { items, failures, apart } = chunk.clone();
    let times = i32::try_from(ending.in_a_row).unwrap_or(i32::MAX).saturating_add(1);
    Part { items, failures, apart, due: after(ending.now, pause(times, ending)) }
}
