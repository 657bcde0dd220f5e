//! The counts of a batch, as its status tells them.

use super::items::Items;
use super::ledger::Ledger;
use task_manager_api::{Batch, BatchStatus, FailedItemsLimit};

/// After so many ends in a row of chunks that ended by themselves, without one item done, the batch fails.
pub const MOST_ENDS_IN_A_ROW: u32 = 10;
/// The longest list of failed items in a status.
const FAILED_ITEMS_BYTES: usize = 2048;

/// The counts of a batch of which these chunks are at work. Those that wait for a slot have not begun.
pub fn counts(ledger: &Ledger, at_work: impl Fn(u32) -> bool) -> BatchStatus {
    let (mut waiting_for_retry, came_back) = ledger.waiting();
    let mut running = 0;
    let mut not_started = ledger.not_begun() + came_back;
    for (number, chunk) in ledger.running() {
        let place = match (at_work(*number), chunk.failures) {
            (true, _) => &mut running,
            (false, 0) => &mut not_started,
            (false, _) => &mut waiting_for_retry,
        };
        *place += chunk.items.len();
    }
    BatchStatus {
        total: ledger.total().into(),
        done: ledger.done().len().into(),
        failed: ledger.failed().len().into(),
        running: running.into(),
        waiting_for_retry: waiting_for_retry.into(),
        not_started: not_started.into(),
        cancelled: ledger.cancelled().len().into(),
        failed_items: text(ledger.failed()),
    }
}

fn text(failed: &Items) -> Option<String> {
    (!failed.is_empty()).then(|| failed.text_within(FAILED_ITEMS_BYTES))
}

/// How many items may fail for good; `None` where every item is tried whatever fails. A percentage is rounded down.
pub fn most_failed(batch: &Batch, total: u32) -> Option<u32> {
    Some(match batch.max_failed_items.as_ref()? {
        FailedItemsLimit::Number(most) => u32::try_from(*most).unwrap_or(if *most < 0 { 0 } else { u32::MAX }),
        FailedItemsLimit::Percent(text) => {
            let percent: u64 = text.trim_end_matches('%').parse().unwrap_or(0);
            u32::try_from(u64::from(total) * percent.min(100) / 100).unwrap_or(u32::MAX)
        }
    })
}
