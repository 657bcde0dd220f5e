//! Batches: what is made and stopped, what is told, and how they end.

use std::sync::Arc;

use serde_json::{Value, json};

use super::scene::*;
use crate::attempt::facts::Why;
use crate::batch::{Cut, End, Ending, Items, Ledger, Outcome};
use crate::launch::chunk;
use crate::queue::{QueueState, queue_state};
use crate::task::*;
use crate::{Policy, Settings};
use task_manager_api::BatchStatus;

/// A batch, with what a controller would keep beside it.
struct Batch {
    scene: Scene,
    facts: BatchFacts,
}

impl Batch {
    fn of(batch: Value, more: Value) -> Self {
        let scene = queued(merged(json!({"batch": batch}), more));
        Self { scene, facts: BatchFacts::default() }
    }

    /// It has begun at second 0, and its ledger is known.
    fn begun(batch: Value, more: Value) -> Self {
        let mut this = Self::of(batch, more);
        let status = this.written(0);
        this.scene.task.status = Some(status);
        let total = this.scene.task.spec.batch.as_ref().map_or(0, task_manager_api::Batch::total);
        this.facts.ledger = Some(Arc::new(Ledger::new(total)));
        this
    }

    fn decide(&self, second: i64) -> Decision {
        let input = Input { batch: Some(self.facts.clone()), ..self.scene.input() };
        assert_eq!(needs(&input, at(second)), crate::attempt::needs::Needs::Nothing);
        decide(&input, at(second))
    }

    #[track_caller]
    fn written(&self, second: i64) -> TaskStatus {
        match self.decide(second).action {
            Action::Write(status) => *status,
            Action::Record(recording) => recording.then,
            other => panic!("it does {other:?}"),
        }
    }

    #[track_caller]
    fn step(&self, second: i64) -> BatchStep {
        match self.decide(second).action {
            Action::Batch(step) => step,
            other => panic!("it does {other:?}"),
        }
    }

    #[track_caller]
    fn rests(&self, second: i64) {
        assert_eq!(self.decide(second).action, Action::Rest);
    }

    /// Makes the chunk that is to be made next, and shows it so.
    #[track_caller]
    fn make(&mut self, second: i64, state: State) -> u32 {
        let BatchStep::Begin { number, cut } = self.step(second) else { panic!("no chunk begins") };
        self.show(number, &cut, state);
        assert!(Arc::make_mut(self.facts.ledger.as_mut().expect("a ledger")).begin(number, &cut));
        number
    }

    fn show(&mut self, number: u32, cut: &Cut, state: State) {
        let made = chunk::chunk(&self.scene.task, number, cut).expect("a chunk");
        let mut task: Task = serde_json::from_value(made).expect("a task");
        task.metadata.uid = Some(format!("chunk-{number}"));
        let attempt = i32::from(state != State::Queued);
        let archived = state.is_final().then_some(true);
        task.status = Some(TaskStatus { state, attempt, archived, ..TaskStatus::default() });
        self.facts.chunks.push(ChunkFacts { task: Arc::new(task), is_asked: false });
    }

    /// The chunk of this number is shown to have ended well, with these items failed.
    fn ends(&mut self, number: u32, failed: &[u32]) {
        let failed: Vec<_> =
            failed.iter().map(|index| json!({"index": index, "error": {"retryable": false}})).collect();
        self.change(number, |status| {
            (status.state, status.reason, status.archived) = (State::Completed, Reason::Succeeded, Some(true));
            status.result = Some(json!({"failedItems": failed}));
        });
    }

    fn change(&mut self, number: u32, change: impl FnOnce(&mut TaskStatus)) {
        let uid = format!("chunk-{number}");
        let chunk = self.facts.chunks.iter_mut().find(|chunk| chunk.task.metadata.uid.as_ref() == Some(&uid));
        let task = &mut chunk.expect("it is there").task;
        change(Arc::make_mut(task).status.as_mut().expect("a status"));
    }

    /// Takes in its end and forgets the chunk, as the two next decisions say.
    #[track_caller]
    fn fold(&mut self, second: i64) {
        let BatchStep::Fold { number, chunk, with_its_batch } = self.step(second) else {
            panic!("no chunk is taken in")
        };
        let ledger = Arc::make_mut(self.facts.ledger.as_mut().expect("a ledger"));
        let running = ledger.running()[&number].clone();
        let retry = Policy::of(&self.scene.task.spec, None).retry;
        let end = End::of(chunk.status_or_default(), &running.items, None, with_its_batch);
        let ending = Ending { retry: &retry, uid: "u", number, in_a_row: ledger.in_a_row(), now: at(second) };
        assert!(ledger.fold(number, &Outcome::of(&running, &end, ending)));
        let BatchStep::Remove(removed) = self.step(second) else { panic!("it stays") };
        assert_eq!(removed, chunk);
        self.facts.chunks.retain(|other| other.task != chunk);
    }
}

fn counts_of(status: &TaskStatus) -> BatchStatus {
    status.batch.clone().expect("counts")
}

#[test]
fn a_batch_begins_at_once_and_holds_no_slot() {
    let batch = Batch::begun(json!({"count": 10}), json!({}));
    let status = batch.scene.task.status.clone().expect("it has begun");
    assert_eq!((status.state, status.reason, status.attempt), (State::Processing, Reason::Running, 1));
    assert_eq!((counts_of(&status).total, counts_of(&status).not_started), (10, 10));
    // An operator that knows no batches knows no such executor, and leaves it alone.
    let executor = status.admitted.and_then(|admitted| admitted.executor);
    assert_eq!(executor.as_deref(), Some("Batch"));
    for task in [&batch.scene.task, &Batch::of(json!({"count": 10}), json!({})).scene.task] {
        assert_eq!(queue_state(task, batch.scene.kind.as_ref(), 100, &Settings::default()), QueueState::Inactive);
    }
}

#[test]
fn no_more_chunks_are_made_than_are_to_be_there_at_once() {
    let mut batch = Batch::begun(json!({"count": 10, "chunkSize": 2, "parallelism": 2}), json!({}));
    assert_eq!((batch.make(1, State::Processing), batch.make(1, State::Queued)), (1, 2));
    batch.rests(2);
    batch.ends(1, &[]);
    batch.fold(3);
    assert_eq!(batch.make(3, State::Queued), 3);
    batch.rests(4);
}

#[test]
fn while_it_may_not_go_on_no_chunk_is_made_and_one_that_waits_is_withdrawn() {
    type Change = fn(&mut Batch);
    let changes: [(Change, Reason, bool); 4] = [
        (|batch| batch.scene.task.spec.suspend = true, Reason::Suspended, true),
        (|batch| batch.facts.store_is_away = Some("it is down".into()), Reason::StoreUnavailable, true),
        (|batch| batch.scene.kind = None, Reason::TypeMissing, false),
        (
            |batch| {
                let why = Why::new(Reason::QuotaExceeded, "no room");
                batch.facts.refused = Some((why, at(60)));
            },
            Reason::QuotaExceeded,
            false,
        ),
    ];
    for (change, reason, withdrawn) in changes {
        let mut batch = Batch::begun(json!({"count": 10, "chunkSize": 2, "parallelism": 3}), json!({}));
        batch.make(1, State::Processing);
        batch.make(1, State::Queued);
        change(&mut batch);
        if withdrawn {
            assert!(matches!(batch.step(2), BatchStep::Withdraw { number: 2, .. }), "{reason}");
            batch.facts.chunks[1].is_asked = true;
        }
        let told = batch.written(2);
        assert_eq!((told.state, told.reason), (State::Processing, reason));
        batch.scene.task.status = Some(told);
        batch.rests(3);
    }
}

#[test]
fn a_batch_that_names_no_items_fails_at_once() {
    let failed = Batch::of(json!({"parallelism": 2}), json!({})).written(1);
    assert_eq!((failed.state, failed.reason), (State::Failed, Reason::InvalidPayload));
}

#[test]
fn a_batch_waits_in_words_until_its_type_and_the_store_are_there() {
    let mut batch = Batch::of(json!({"count": 10}), json!({}));
    batch.scene.kind = Some(kind(json!({"executor": "Pool", "workerPool": "warm"})));
    assert_eq!(batch.written(10).reason, Reason::TypeNotReady);
    batch.scene.kind = Some(kind(json!({})));
    batch.facts.store_is_away = Some("it is down".into());
    let told = batch.written(10);
    assert_eq!((told.state, told.reason), (State::Queued, Reason::StoreUnavailable));
    batch.facts.store_is_away = None;
    assert_eq!(batch.written(11).state, State::Processing);
}

#[test]
fn a_long_reason_is_written_once() {
    let mut batch = Batch::begun(json!({"count": 4, "chunkSize": 2}), json!({}));
    batch.facts.refused = Some((Why::new(Reason::LaunchRefused, "no ".repeat(2000)), at(60)));
    let told = batch.written(2);
    assert_eq!(told.reason, Reason::LaunchRefused);
    batch.scene.task.status = Some(told);
    assert_eq!(batch.decide(3).action, Action::Rest);
}

#[test]
fn a_batch_whose_type_moves_to_a_pool_makes_no_more_chunks() {
    let mut batch = Batch::begun(json!({"count": 4, "chunkSize": 2}), json!({}));
    batch.scene.kind = Some(kind(json!({"executor": "Pool", "workerPool": "warm"})));
    assert_eq!(batch.written(2).reason, Reason::TypeNotReady);
}

#[test]
fn counts_are_written_now_and_then_and_the_end_at_once() {
    let mut batch = Batch::begun(json!({"count": 4, "chunkSize": 2, "parallelism": 1}), json!({}));
    batch.make(1, State::Processing);
    assert_eq!(batch.decide(2), Decision { action: Action::Rest, wake: Some(at(5)) });
    let told = batch.written(5);
    assert_eq!((counts_of(&told).running, counts_of(&told).not_started), (2, 2));
    batch.scene.task.status = Some(told);
    batch.rests(20);
    batch.ends(1, &[]);
    batch.fold(20);
    batch.make(20, State::Processing);
    assert_eq!(counts_of(&batch.written(20)).done, 2);
    batch.ends(2, &[]);
    batch.fold(21);
    let done = batch.written(21);
    assert_eq!((done.state, done.reason, done.admitted), (State::Completed, Reason::Succeeded, None));
    assert_eq!(done.result, Some(json!({"total": 4, "done": 4, "failed": 0})));
    assert_eq!(done.progress.and_then(|progress| progress.percent), Some(100));
}

#[test]
fn once_too_many_items_have_failed_no_chunk_starts_unless_more_may() {
    let mut batch =
        Batch::begun(json!({"count": 100, "chunkSize": 10, "parallelism": 2, "maxFailedItems": "1%"}), json!({}));
    batch.make(1, State::Processing);
    batch.make(1, State::Processing);
    batch.ends(1, &[3, 4]);
    batch.fold(2);
    let told = batch.written(2);
    assert_eq!((told.state, told.reason), (State::Processing, Reason::TooManyFailedItems));
    batch.scene.task.status = Some(told);
    batch.rests(3);
    let most = |batch: &mut Batch, most: i64| {
        let limit = task_manager_api::FailedItemsLimit::Number(most);
        batch.scene.task.spec.batch.as_mut().expect("a batch").max_failed_items = Some(limit);
    };
    most(&mut batch, 2);
    assert!(matches!(batch.step(3), BatchStep::Begin { .. }));
    most(&mut batch, 1);
    batch.ends(2, &[]);
    batch.fold(4);
    let failed = batch.written(4);
    assert_eq!((failed.state, failed.reason), (State::Failed, Reason::TooManyFailedItems));
    assert_eq!(failed.message.as_deref(), Some("2 of 100 items failed for good (3-4), and maxFailedItems allows 1"));
}

#[test]
fn a_batch_that_is_cancelled_ends_when_its_chunks_have() {
    let mut batch = Batch::begun(json!({"count": 10, "chunkSize": 2, "parallelism": 2}), json!({}));
    batch.make(1, State::Processing);
    batch.make(1, State::Queued);
    batch.scene.task.spec.cancel = true;
    let BatchStep::Cancel(cancelled) = batch.step(2) else { panic!("the running chunk goes on") };
    assert_eq!(cancelled.metadata.uid.as_deref(), Some("chunk-1"));
    batch.facts.chunks[0].is_asked = true;
    assert!(matches!(batch.step(2), BatchStep::Withdraw { number: 2, .. }));
    Arc::make_mut(batch.facts.ledger.as_mut().expect("a ledger")).give_back(2);
    batch.facts.chunks.pop();
    let told = batch.written(2);
    assert_eq!((told.state, told.reason), (State::Processing, Reason::Stopping));
    batch.scene.task.status = Some(told);
    batch.rests(3);
    batch.facts.chunks[0].is_asked = false;
    batch.change(1, |status| {
        (status.state, status.reason, status.archived) = (State::Cancelled, Reason::Cancelled, Some(true));
    });
    batch.fold(4);
    let ended = batch.written(4);
    assert_eq!((ended.state, ended.reason), (State::Cancelled, Reason::Cancelled));
    let counts = counts_of(&ended);
    assert_eq!((counts.cancelled, counts.not_started), (2, 8));
}

#[test]
fn the_end_of_a_chunk_is_taken_in_only_when_its_record_is_kept() {
    let mut batch = Batch::begun(json!({"count": 2}), json!({}));
    batch.make(1, State::Processing);
    batch.ends(1, &[]);
    batch.change(1, |status| status.archived = Some(false));
    batch.rests(2);
    batch.change(1, |status| status.archived = Some(true));
    assert!(matches!(batch.step(3), BatchStep::Fold { .. }));
}

#[test]
fn a_chunk_that_is_there_is_taken_over_and_one_of_another_run_goes() {
    let mut batch = Batch::begun(json!({"count": 4, "chunkSize": 2}), json!({}));
    let cut = Cut { items: Items::range(0, 1), failures: 0, apart: false };
    batch.show(7, &cut, State::Processing);
    assert!(matches!(batch.step(1), BatchStep::TakeOver { number: 7, .. }));
    for odd in [Cut { items: Items::range(3, 9), ..cut.clone() }, Cut { items: Items::default(), ..cut.clone() }] {
        batch.facts.chunks.clear();
        batch.show(8, &odd, State::Processing);
        assert!(matches!(batch.step(1), BatchStep::Remove(_)), "{odd:?}");
    }
    batch.facts.chunks.clear();
    batch.show(9, &cut, State::Processing);
    Arc::make_mut(&mut batch.facts.chunks[0].task).spec.chunk.as_mut().expect("a chunk").run_id = "other".into();
    assert!(matches!(batch.step(1), BatchStep::Remove(_)));
}

#[test]
fn a_chunk_that_the_watch_does_not_show_is_asked_for_after_a_while() {
    let mut batch = Batch::begun(json!({"count": 4, "chunkSize": 2, "parallelism": 1}), json!({}));
    batch.make(1, State::Queued);
    batch.facts.chunks.clear();
    batch.facts.missing = vec![MissingChunk { number: 1, made_at: at(1), was_shown: false }];
    assert_eq!(batch.decide(2).wake, Some(at(6)));
    assert_eq!(batch.step(6), BatchStep::LookFor { number: 1 });
    batch.facts.missing[0].was_shown = true;
    assert_eq!(batch.step(2), BatchStep::LookFor { number: 1 });
}
