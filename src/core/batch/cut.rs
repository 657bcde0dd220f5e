//! The next chunk: those that come again and are due go before those that no chunk has had.

use jiff::Timestamp;

use super::items::Items;
use super::ledger::Ledger;
use super::outcome::Part;

/// The items of a chunk that is to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    pub items: Items,
    /// How often each of them has failed.
    pub failures: i32,
    /// They stay apart from others, for one of them may end its chunk.
    pub apart: bool,
}

impl Ledger {
    /// The next chunk, of so many items at most. Items that have failed equally often come together, whichever chunks they were
    /// in before.
    pub fn cut(&self, most: u32, now: Timestamp) -> Option<Cut> {
        let mut due = self.waiting.iter().take_while(|((due, _), _)| *due <= now).map(|(_, part)| part);
        let Some(Part { items, failures, apart, .. }) = due.next() else { return self.cut_fresh(most) };
        let mut items = items.first_few(most);
        if !apart {
            for part in due.filter(|part| !part.apart && part.failures == *failures) {
                if items.len() >= most {
                    break;
                }
                items.add(&part.items.first_few(most - items.len()));
            }
        }
        Some(Cut { items, failures: *failures, apart: *apart })
    }

    fn cut_fresh(&self, most: u32) -> Option<Cut> {
        let items = self.fresh.first_few(most);
        (!items.is_empty()).then_some(Cut { items, failures: 0, apart: false })
    }
}
