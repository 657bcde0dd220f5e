//! Batches item by item, in the most obvious way, and a comparison with the ledger whatever happens in whatever order.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Policy;
use crate::launch::policy::RetryPolicy;
use crate::time::after;
use task_manager_api::{ReportedError, TaskSpec};

const UID: &str = "0b6f";

fn retry(limit: i32) -> RetryPolicy {
    RetryPolicy { limit, ..Policy::of(&TaskSpec::default(), None).retry }
}

/// Where an item is, as somebody would write it down who has one line for each.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Open,
    In(u32),
    Done,
    Failed,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    place: Place,
    failures: i32,
    /// How often it was done, by the word of its work.
    done: u32,
}

/// What happens next. Numbers choose among the chunks that are there.
#[derive(Clone, Debug)]
enum Event {
    Cut {
        most: u32,
    },
    Told {
        chunk: usize,
        failing: Vec<u32>,
        retryable: bool,
    },
    EndsByItself {
        chunk: usize,
        is_permanent: bool,
    },
    Lost {
        chunk: usize,
    },
    Gone {
        chunk: usize,
    },
    Cancelled {
        chunk: usize,
    },
    /// The operator is killed and begins anew: it knows what the store has, and the chunks that are there.
    Restart,
    Later {
        seconds: i64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let chunk = || 0..8usize;
    prop_oneof![
        6 => (1..9u32).prop_map(|most| Event::Cut { most }),
        4 => (chunk(), vec(0..40u32, 0..3), any::<bool>())
            .prop_map(|(chunk, failing, retryable)| Event::Told { chunk, failing, retryable }),
        2 => (chunk(), any::<bool>()).prop_map(|(chunk, is_permanent)| Event::EndsByItself { chunk, is_permanent }),
        1 => chunk().prop_map(|chunk| Event::Lost { chunk }),
        1 => chunk().prop_map(|chunk| Event::Gone { chunk }),
        1 => chunk().prop_map(|chunk| Event::Cancelled { chunk }),
        1 => Just(Event::Restart),
        2 => (0..400i64).prop_map(|seconds| Event::Later { seconds }),
    ]
}

struct World {
    ledger: Ledger,
    items: Vec<Item>,
    /// The store: each end with its outcome.
    rows: Vec<(u32, Outcome)>,
    retry: RetryPolicy,
    now: Timestamp,
}

impl World {
    fn new(total: u32, limit: i32) -> Self {
        let item = Item { place: Place::Open, failures: 0, done: 0 };
        let items = vec![item; total as usize];
        Self { ledger: Ledger::new(total), items, rows: vec![], retry: retry(limit), now: Timestamp::UNIX_EPOCH }
    }

    fn chunk(&self, choice: usize) -> Option<u32> {
        let running = self.ledger.running();
        running.keys().nth(choice % running.len().max(1)).copied()
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Cut { most } => self.cut(*most),
            Event::Later { seconds } => self.now = after(self.now, SignedDuration::from_secs(*seconds)),
            Event::Restart => self.restart(),
            Event::Gone { chunk } => {
                if let Some(number) = self.chunk(*chunk) {
                    self.ledger.give_back(number);
                    self.each_in(number, |item| item.place = Place::Open);
                }
            }
            Event::Told { chunk, failing, retryable } => {
                let Some(number) = self.chunk(*chunk) else { return };
                let error = ReportedError { retryable: (!retryable).then_some(false), ..ReportedError::default() };
                let its = &self.ledger.running()[&number].items;
                let failing: Vec<_> = failing.iter().filter(|index| its.contains(**index)).collect();
                let end = End::Told(failing.iter().map(|index| (**index, error.clone())).collect());
                let failing: Items = failing.into_iter().copied().collect();
                self.ends(number, &end);
                self.model_told(number, &failing, *retryable);
            }
            Event::EndsByItself { chunk, is_permanent } => {
                let Some(number) = self.chunk(*chunk) else { return };
                let items = self.ledger.running()[&number].items.clone();
                let end = End::ByItself { error: ReportedError::default(), is_permanent: *is_permanent };
                self.ends(number, &end);
                match items.len() {
                    1 => self.model_told(number, &items, !is_permanent),
                    _ => self.each_in(number, |item| item.place = Place::Open),
                }
            }
            Event::Lost { chunk } => {
                let Some(number) = self.chunk(*chunk) else { return };
                self.ends(number, &End::ByOthers);
                self.each_in(number, |item| item.place = Place::Open);
            }
            Event::Cancelled { chunk } => {
                let Some(number) = self.chunk(*chunk) else { return };
                let items = self.ledger.running()[&number].items.clone();
                self.ends(number, &End::Cancelled { with_its_batch: false });
                self.model_told(number, &items, false);
            }
        }
    }

    fn cut(&mut self, most: u32) {
        let Some(cut) = self.ledger.cut(most, self.now) else { return };
        let number = self.ledger.next_number();
        assert!(cut.items.len() <= most && !cut.items.is_empty());
        for index in cut.items.indexes() {
            let item = &mut self.items[index as usize];
            assert_eq!((item.place, item.failures), (Place::Open, cut.failures), "item {index}");
            item.place = Place::In(number);
        }
        assert!(self.ledger.begin(number, &cut));
        assert!(!self.ledger.begin(number, &cut), "it has begun");
        assert!(!self.ledger.begin(number + 1, &cut), "its items are elsewhere");
    }

    fn ends(&mut self, number: u32, end: &End) {
        let chunk = self.ledger.running()[&number].clone();
        let ending = Ending { retry: &self.retry, uid: UID, number, in_a_row: self.ledger.in_a_row(), now: self.now };
        let outcome = Outcome::of(&chunk, end, ending);
        assert_eq!(outcome.items(), chunk.items, "each item of the chunk is somewhere");
        // As it is stored.
        let outcome: Outcome =
            serde_json::from_value(serde_json::to_value(outcome).expect("JSON")).expect("it can be read");
        assert!(self.ledger.fold(number, &outcome));
        assert!(!self.ledger.fold(number, &outcome), "an end counts once");
        self.rows.push((number, outcome));
    }

    fn model_told(&mut self, number: u32, failing: &Items, retryable: bool) {
        let limit = self.retry.limit;
        for (index, item) in self.items.iter_mut().enumerate().filter(|(_, item)| item.place == Place::In(number)) {
            if !failing.contains(index as u32) {
                item.place = Place::Done;
                item.done += 1;
                continue;
            }
            item.failures += 1;
            item.place = if retryable && item.failures <= limit { Place::Open } else { Place::Failed };
        }
    }

    fn each_in(&mut self, number: u32, change: impl Fn(&mut Item)) {
        self.items.iter_mut().filter(|item| item.place == Place::In(number)).for_each(change);
    }

    fn restart(&mut self) {
        let mut read = ReadBack::new(self.ledger.total());
        (1..)
            .zip(&self.rows)
            .collect::<Vec<_>>()
            .iter()
            .rev()
            .for_each(|(place, (number, outcome))| read.read(*place, *number, outcome));
        let mut ledger = read.ledger();
        for (number, Running { items, failures, apart }) in self.ledger.running().clone() {
            assert!(ledger.begin(number, &Cut { items, failures, apart }), "chunk {number} is taken over");
        }
        self.ledger = ledger;
    }

    /// Every item is in the same one place in both.
    fn check(&self) {
        let ledger = &self.ledger;
        let of = |place: Place| -> Items {
            let there = self.items.iter().enumerate().filter(|(_, item)| item.place == place);
            there.map(|(index, _)| index as u32).collect()
        };
        assert_eq!((ledger.done(), ledger.failed()), (&of(Place::Done), &of(Place::Failed)));
        for (number, chunk) in ledger.running() {
            assert_eq!(chunk.items, of(Place::In(*number)));
            assert!(chunk.items.indexes().all(|index| self.items[index as usize].failures == chunk.failures));
        }
        let (failed, others) = ledger.waiting();
        assert_eq!(failed + others + ledger.not_begun(), of(Place::Open).len());
        let told = counts(ledger, |number| number % 2 == 0);
        let sum = told.done + told.failed + told.running + told.waiting_for_retry + told.not_started + told.cancelled;
        assert_eq!(sum, i64::from(ledger.total()));
        assert!(self.items.iter().all(|item| item.failures <= self.retry.limit + 1 && item.done <= 1));
        assert_eq!(ledger.next_end(), self.rows.len() as i64 + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::cases(512)))]
    #[test]
    fn each_item_is_done_or_fails_once_whatever_order_chunks_end_in(
        total in 0..40u32, limit in 0..4i32, events in vec(event(), 0..120),
    ) {
        let mut world = World::new(total, limit);
        for event in &events {
            world.happens(event);
            world.check();
        }
        // From now on all goes well.
        for _ in 0..100 {
            world.happens(&Event::Later { seconds: 400 });
            world.happens(&Event::Cut { most: 7 });
            world.happens(&Event::Told { chunk: 0, failing: vec![], retryable: true });
            world.check();
        }
        prop_assert!(world.ledger.is_over());
        prop_assert!(world.items.iter().all(|item| matches!(item.place, Place::Done | Place::Failed)));
    }
}

/// Runs a batch whose chunks end by themselves as soon as they hold an item of `poison`. Returns the most ends in a row.
fn with_poison(total: u32, most: u32, at_once: usize, poison: &[u32]) -> (World, u32) {
    let (mut world, mut longest) = (World::new(total, 0), 0);
    for _ in 0..10_000 {
        while world.ledger.running().len() < at_once && world.ledger.cut(most, world.now).is_some() {
            world.cut(most);
        }
        let Some((number, chunk)) = world.ledger.running().iter().next() else { break };
        let is_poisoned = poison.iter().any(|index| chunk.items.contains(*index));
        let (number, chunk) = (*number, chunk.clone());
        let end = match is_poisoned {
            true => End::ByItself { error: ReportedError::default(), is_permanent: false },
            false => End::Told(vec![]),
        };
        world.ends(number, &end);
        match (is_poisoned, chunk.items.len()) {
            (true, 2..) => world.each_in(number, |item| item.place = Place::Open),
            (true, _) => world.model_told(number, &chunk.items, true),
            (false, _) => world.model_told(number, &Items::default(), true),
        }
        longest = longest.max(world.ledger.in_a_row());
    }
    world.check();
    (world, longest)
}

#[test]
fn one_item_that_ends_its_chunk_is_found_by_halving_and_all_others_are_done() {
    for (total, at_once) in [(500, 1), (512, 4), (1000, 8)] {
        for poison in [0, 17, 499] {
            let (world, longest) = with_poison(total, 500, at_once, &[poison]);
            assert_eq!((world.ledger.failed().to_string(), world.ledger.done().len()), (poison.to_string(), total - 1));
            assert!(longest < MOST_ENDS_IN_A_ROW, "{longest} in a row");
            assert!(world.ledger.is_over() && world.rows.len() < 30, "{} chunks", world.rows.len());
        }
    }
}

#[test]
fn chunks_that_all_end_by_themselves_are_counted_in_a_row() {
    let all: Vec<u32> = (0..100).collect();
    let (_, longest) = with_poison(100, 10, 4, &all);
    assert!(longest >= MOST_ENDS_IN_A_ROW);
}

#[test]
fn the_ledger_of_a_batch_without_failures_is_as_small_for_many_items_as_for_few() {
    for total in [1_000, 10_000_000] {
        let mut ledger = Ledger::new(total);
        let size = total / 100;
        for _ in 0..50 {
            let cut = ledger.cut(size, Timestamp::UNIX_EPOCH).expect("there are more");
            let number = ledger.next_number();
            assert!(ledger.begin(number, &cut));
            let outcome = Outcome { done: cut.items, ..Outcome::default() };
            ledger.fold(number, &outcome);
        }
        assert_eq!(ledger.done().ranges().count(), 1);
        assert_eq!(ledger.done().len(), total / 2);
    }
}

#[test]
fn items_that_failed_in_different_chunks_are_tried_again_together() {
    let mut ledger = Ledger::new(100);
    for _ in 0..10 {
        let cut = ledger.cut(10, Timestamp::UNIX_EPOCH).expect("there are more");
        let number = ledger.next_number();
        assert!(ledger.begin(number, &cut));
        let failed = cut.items.first().into_iter().map(|index| (index, ReportedError::default())).collect();
        let (retry, running) = (retry(3), ledger.running()[&number].clone());
        let ending = Ending { retry: &retry, uid: UID, number, in_a_row: 0, now: Timestamp::UNIX_EPOCH };
        assert!(ledger.fold(number, &Outcome::of(&running, &End::Told(failed), ending)));
    }
    assert_eq!(ledger.cut(10, Timestamp::UNIX_EPOCH), None, "none is due");
    let later = after(Timestamp::UNIX_EPOCH, SignedDuration::from_secs(12));
    let cut = ledger.cut(8, later).expect("they are due");
    assert_eq!((cut.items.len(), cut.failures), (8, 1));
    assert!(cut.items.indexes().all(|index| index % 10 == 0), "{}", cut.items);
}

#[test]
fn what_a_task_allows_to_fail_is_a_number_or_a_share_rounded_down() {
    use task_manager_api::{Batch, FailedItemsLimit};
    let most = |limit, total| {
        let batch = Batch { max_failed_items: Some(limit), ..Batch::default() };
        most_failed(&batch, total)
    };
    assert_eq!(most(FailedItemsLimit::Number(10), 5), Some(10));
    assert_eq!(most(FailedItemsLimit::Percent("1%".into()), 199), Some(1));
    assert_eq!(most(FailedItemsLimit::Percent("100%".into()), 10_000_000), Some(10_000_000));
    assert_eq!(most_failed(&Batch::default(), 5), None);
}

/// How chunks ended, as their statuses say it.
mod ends {
    use serde_json::{Value, json};

    use super::*;
    use crate::Reason;
    use task_manager_api::{State, TaskStatus};

    fn completed(result: Value) -> TaskStatus {
        let result = Some(result).filter(|result| !result.is_null());
        TaskStatus { state: State::Completed, reason: Reason::Succeeded, result, ..TaskStatus::default() }
    }

    fn of(status: &TaskStatus) -> End {
        End::of(status, &Items::up_to(10), None, false)
    }

    #[test]
    fn a_result_names_the_items_that_failed_and_all_others_are_done() {
        let result = json!({"failedItems": [{"index": 3, "error": {"type": "Bad", "message": "m", "retryable": false}},
            {"index": 4}, {"index": 10}]});
        let bad = ReportedError { type_: Some("Bad".into()), message: Some("m".into()), retryable: Some(false) };
        let told = End::Told(vec![(3, bad), (4, ReportedError::default())]);
        assert_eq!(of(&completed(result.clone())), told, "an item of another chunk is passed over");
        assert_eq!(of(&completed(Value::String(result.to_string()))), told, "it may be kept as text");
        let stored = result.to_string();
        assert_eq!(End::of(&completed(Value::Null), &Items::up_to(10), Some(stored.as_bytes()), false), told);
        for without in [Value::Null, json!("text"), json!({"pages": 3}), json!([1]), json!(5)] {
            assert_eq!(of(&completed(without)), End::Told(vec![]));
        }
    }

    #[test]
    fn a_result_that_cannot_be_trusted_makes_no_item_done() {
        for odd in [json!({"failedItems": 3}), json!({"failedItems": [17]}), json!({"failedItems": [{"index": -1}]})] {
            assert!(matches!(of(&completed(odd.clone())), End::ByItself { .. }), "{odd}");
        }
        for odd in [
            r#"{"failedItems": [{"index": 17}], "loss": NaN}"#,
            r#"warming up\n{"failedItems": [{"index": 17}]}"#,
            r#"[{"failedItems": [{"index": 17}]}]"#,
            r#"{"failedItems": [{"index": 17, "error": "page 17"}]}"#,
        ] {
            assert!(matches!(of(&completed(json!(odd))), End::ByItself { .. }), "{odd}");
        }
        let many = json!({"failedItems": vec![json!({"index": 1}); 10_001]});
        assert!(matches!(of(&completed(many)), End::ByItself { .. }));
        let cut = |text: &str| TaskStatus { result_truncated: true, ..completed(json!(text)) };
        assert!(matches!(of(&cut("…{\"failedItems\": [{\"ind")), End::ByItself { .. }));
        assert_eq!(of(&cut("a long text")), End::Told(vec![]));
        assert_eq!(of(&TaskStatus { reason: Reason::ResultLost, ..completed(Value::Null) }), End::ByOthers);
    }

    #[test]
    fn only_work_that_ends_by_itself_casts_doubt_on_its_items() {
        let failed = |reason| TaskStatus { state: State::Failed, reason, ..TaskStatus::default() };
        for reason in [Reason::ExitCode, Reason::OOMKilled, Reason::Timeout, Reason::ReportedError] {
            assert!(matches!(of(&failed(reason)), End::ByItself { .. }), "{reason}");
        }
        for reason in [Reason::Evicted, Reason::NodeLost, Reason::ImageUnavailable, Reason::StartTimeout] {
            assert_eq!(of(&failed(reason)), End::ByOthers, "{reason}");
        }
        let cancelled = |reason| TaskStatus { state: State::Cancelled, reason, ..TaskStatus::default() };
        assert_eq!(of(&cancelled(Reason::Deleted)), End::ByOthers);
        assert_eq!(of(&cancelled(Reason::Cancelled)), End::Cancelled { with_its_batch: false });
    }

    #[test]
    fn a_chunk_of_one_item_that_ended_for_good_is_not_tried_again() {
        let running = Running { items: Items::range(7, 7), failures: 0, apart: false };
        let retry = retry(3);
        let ending = Ending { retry: &retry, uid: UID, number: 1, in_a_row: 0, now: Timestamp::UNIX_EPOCH };
        for (is_permanent, again) in [(true, 0), (false, 1)] {
            let end = End::ByItself { error: ReportedError::default(), is_permanent };
            let outcome = Outcome::of(&running, &end, ending);
            assert_eq!((outcome.again.len(), outcome.failed_for_good().len()), (again, 1 - again as u32));
        }
    }
}

/// An item that keeps failing is run once and then as often as it may be tried again.
#[test]
fn an_item_that_keeps_failing_runs_one_time_more_than_the_limit() {
    let mut world = World::new(3, 2);
    let mut runs: BTreeMap<u32, u32> = BTreeMap::new();
    for _ in 0..20 {
        world.happens(&Event::Later { seconds: 400 });
        world.happens(&Event::Cut { most: 3 });
        if let Some(chunk) = world.ledger.running().values().next() {
            chunk.items.indexes().for_each(|index| *runs.entry(index).or_default() += 1);
        }
        world.happens(&Event::Told { chunk: 0, failing: vec![1], retryable: true });
    }
    assert_eq!(runs.into_values().collect::<Vec<_>>(), [1, 3, 1]);
    assert!(world.ledger.is_over());
}
