//! Where each item of a batch is: not begun, in a chunk, waiting for another try, done, failed or cancelled. It is in one of
//! these places alone. Its size follows from the ranges that the items form, and from the items that failed, not from how many
//! items there are.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::cut::Cut;
use super::items::Items;
use super::outcome::{Outcome, Part};

/// When a part is due, and its place among all that came.
type PartKey = (Timestamp, u64);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    total: u32,
    /// Items that no chunk has had.
    pub(super) fresh: Items,
    /// Items that come again, by when they are due and then in the order in which they came.
    pub(super) waiting: BTreeMap<PartKey, Part>,
    running: BTreeMap<u32, Running>,
    done: Items,
    failed: Items,
    cancelled: Items,
    /// The numbers of the chunks whose end is in here.
    folded: Items,
    /// The place of the last end of a chunk that is in here. Where the store was set back, there are fewer ends than that.
    last_end: i64,
    /// Ends in a row of chunks that ended by themselves without one item done.
    in_a_row: u32,
    /// The highest number that a chunk had.
    highest: u32,
    parts: u64,
}

/// A chunk that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    pub items: Items,
    /// How often each of these items has failed.
    pub failures: i32,
    /// They stay apart from others, for one of them may end its chunk.
    pub apart: bool,
}

impl Ledger {
    pub fn new(total: u32) -> Self {
        Self { total, fresh: Items::up_to(total), ..Self::default() }
    }

    pub fn total(&self) -> u32 {
        self.total
    }

    pub fn done(&self) -> &Items {
        &self.done
    }

    /// The items that have failed for good.
    pub fn failed(&self) -> &Items {
        &self.failed
    }

    pub fn cancelled(&self) -> &Items {
        &self.cancelled
    }

    pub fn not_begun(&self) -> u32 {
        self.fresh.len()
    }

    /// How many items wait for another try: those that have failed, and those that came back with nothing counted.
    pub fn waiting(&self) -> (u32, u32) {
        self.waiting.values().fold((0, 0), |(failed, others), part| match part.failures {
            0 => (failed, others + part.items.len()),
            _ => (failed + part.items.len(), others),
        })
    }

    /// The chunks that have not ended, by their numbers.
    pub fn running(&self) -> &BTreeMap<u32, Running> {
        &self.running
    }

    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// The place of the next end among all ends.
    pub fn next_end(&self) -> i64 {
        self.last_end + 1
    }

    /// A number that no chunk has had.
    pub fn next_number(&self) -> u32 {
        self.highest.saturating_add(1)
    }

    /// The end of this chunk is in here.
    pub fn has_ended(&self, number: u32) -> bool {
        self.folded.contains(number)
    }

    /// No item is left to be done, and none is being done.
    pub fn is_over(&self) -> bool {
        self.fresh.is_empty() && self.waiting.is_empty() && self.running.is_empty()
    }

    /// When the first item that waits is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    /// This chunk begins, with these items. False where it has begun before, or some of its items are elsewhere: then nothing
    /// changes.
    pub fn begin(&mut self, number: u32, cut: &Cut) -> bool {
        let Some(open) = self.open(&cut.items).filter(|_| self.is_new(number)) else { return false };
        self.take(&cut.items, open);
        self.highest = self.highest.max(number);
        let Cut { items, failures, apart } = cut.clone();
        self.running.insert(number, Running { items, failures, apart });
        true
    }

    /// Whether this chunk may begin with these items.
    pub fn may_begin(&self, number: u32, cut: &Cut) -> bool {
        self.is_new(number) && self.open(&cut.items).is_some()
    }

    fn is_new(&self, number: u32) -> bool {
        !self.running.contains_key(&number) && !self.has_ended(number)
    }

    /// This chunk has not begun after all, or is gone without a word: its items are as they were before.
    pub fn give_back(&mut self, number: u32) {
        let Some(Running { items, failures, apart }) = self.running.remove(&number) else { return };
        if failures == 0 && !apart {
            return self.fresh.add(&items);
        }
        self.wait(Part { items, failures, apart, due: Timestamp::UNIX_EPOCH });
    }

    /// This number is taken by something else: no chunk gets it.
    pub fn pass_over(&mut self, number: u32) {
        self.highest = self.highest.max(number);
    }

    /// This chunk has ended so. False where that is known, or it never began.
    pub fn fold(&mut self, number: u32, outcome: &Outcome) -> bool {
        if self.running.remove(&number).is_none() {
            return false;
        }
        outcome.again.iter().for_each(|part| self.wait(part.clone()));
        self.settle(number, outcome);
        self.last_end += 1;
        self.in_a_row = outcome.in_a_row;
        true
    }

    fn settle(&mut self, number: u32, outcome: &Outcome) {
        self.done.add(&outcome.done);
        self.failed.add(&outcome.failed_for_good());
        self.cancelled.add(&outcome.cancelled);
        self.folded.insert(number, number);
        self.highest = self.highest.max(number);
    }

    fn wait(&mut self, part: Part) {
        if !part.items.is_empty() {
            self.parts += 1;
            self.waiting.insert((part.due, self.parts), part);
        }
    }

    /// The parts in which these items wait, each with those that it has of them. `None` where not all of them are open.
    fn open(&self, items: &Items) -> Option<Vec<(PartKey, Items)>> {
        let mut left = items.clone();
        left.take_out(&self.fresh.common(items));
        let mut found = vec![];
        for (key, part) in &self.waiting {
            if left.is_empty() {
                break;
            }
            let common = part.items.common(&left);
            if !common.is_empty() {
                left.take_out(&common);
                found.push((*key, common));
            }
        }
        (left.is_empty() && !items.is_empty()).then_some(found)
    }

    fn take(&mut self, items: &Items, waiting: Vec<(PartKey, Items)>) {
        self.fresh.take_out(items);
        for (key, common) in waiting {
            if let Some(part) = self.waiting.get_mut(&key) {
                part.items.take_out(&common);
                if part.items.is_empty() {
                    self.waiting.remove(&key);
                }
            }
        }
    }
}

/// Reads a ledger back from the stored ends of chunks, the last one first: where an item is follows from the last chunk that had
/// it.
pub struct ReadBack {
    ledger: Ledger,
    seen: Items,
    again: Vec<Part>,
}

impl ReadBack {
    pub fn new(total: u32) -> Self {
        Self { ledger: Ledger::new(total), seen: Items::default(), again: vec![] }
    }

    /// The end before those that were read, and its place. An item that the batch has not is passed over.
    pub fn read(&mut self, place: i64, number: u32, outcome: &Outcome) {
        if self.ledger.last_end == 0 {
            self.ledger.in_a_row = outcome.in_a_row;
        }
        self.ledger.last_end = self.ledger.last_end.max(place);
        let all = Items::up_to(self.ledger.total);
        let unseen = |items: &Items| {
            let mut unseen = items.common(&all);
            unseen.take_out(&unseen.common(&self.seen));
            unseen
        };
        let again: Vec<Part> =
            outcome.again.iter().rev().map(|part| Part { items: unseen(&part.items), ..part.clone() }).collect();
        let failed = outcome.failed.iter().filter(|failed| self.is_news(failed.index)).cloned().collect();
        let last = Outcome {
            done: unseen(&outcome.done),
            cancelled: unseen(&outcome.cancelled),
            failed,
            again: vec![],
            in_a_row: 0,
        };
        self.ledger.settle(number, &last);
        self.again.extend(again);
        self.seen.add(&outcome.items().common(&all));
    }

    fn is_news(&self, index: u32) -> bool {
        index < self.ledger.total && !self.seen.contains(index)
    }

    pub fn ledger(mut self) -> Ledger {
        self.ledger.fresh.take_out(&self.seen);
        while let Some(part) = self.again.pop() {
            self.ledger.wait(part);
        }
        self.ledger
    }
}
