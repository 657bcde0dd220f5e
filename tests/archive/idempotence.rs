//! Records of one run come more than once, in any order, from operators that know more or less of it.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::json;
use task_manager::api::{Reason, State};
use task_manager::archive::{Archive, Record};

use crate::stage::{Store, completed, put_all, record, second, unfinished};

on_all!(
    putting_the_same_again_changes_nothing,
    a_final_record_is_never_overwritten_by_one_that_is_not,
    the_later_of_two_final_records_stays,
    an_end_goes_before_a_deletion,
    a_later_run_takes_the_place_of_an_earlier_one_with_its_run_id,
    what_remains_does_not_depend_on_the_order,
    many_may_put_at_once,
);

async fn remains(archive: &Archive, uid: &str) -> Record {
    archive.find(uid).await.expect("an answer").expect("a record")
}

async fn putting_the_same_again_changes_nothing(store: Store) {
    let archive = store.open().await;
    let once = completed("u-1", 10);
    put_all(&archive, &[once.clone(), once.clone(), once.clone()]).await;
    assert_eq!(remains(&archive, "u-1").await, once);
    assert_eq!(archive.count(&task_manager::archive::Filter::default()).await.expect("counted").many, 1);
}

async fn a_final_record_is_never_overwritten_by_one_that_is_not(store: Store) {
    let archive = store.open().await;
    let end = completed("u-1", 10);
    put_all(&archive, &[unfinished("u-1", 5), end.clone(), unfinished("u-1", 99)]).await;
    assert_eq!(remains(&archive, "u-1").await, end);
}

async fn the_later_of_two_final_records_stays(store: Store) {
    let archive = store.open().await;
    let (early, late) = (record("u-1", 10, |record| record.summary.state = State::Failed), completed("u-1", 20));
    put_all(&archive, &[late.clone(), early]).await;
    assert_eq!(remains(&archive, "u-1").await, late);
}

async fn an_end_goes_before_a_deletion(store: Store) {
    let archive = store.open().await;
    let deleted = |uid: &str| {
        record(uid, 30, |record| {
            record.summary.state = State::Cancelled;
            record.summary.reason = Reason::Deleted;
        })
    };
    put_all(&archive, &[completed("u-1", 10), deleted("u-1"), deleted("u-2"), completed("u-2", 10)]).await;
    assert_eq!(remains(&archive, "u-1").await, completed("u-1", 10));
    assert_eq!(remains(&archive, "u-2").await, completed("u-2", 10));
}

async fn a_later_run_takes_the_place_of_an_earlier_one_with_its_run_id(store: Store) {
    let archive = store.open().await;
    let again = record("u-1", 90, |record| {
        record.summary.queued_at = Some(second(80));
        record.summary.state = State::Cancelled;
        record.summary.reason = Reason::Deleted;
    });
    put_all(&archive, &[again.clone(), completed("u-1", 10)]).await;
    assert_eq!(remains(&archive, "u-1").await, again);
}

/// A record of one of two runs of a task, final or not, of any of a few moments.
fn version() -> impl Strategy<Value = Record> {
    let ends = vec![
        (State::Processing, Reason::Running),
        (State::Queued, Reason::WaitingForRetry),
        (State::Completed, Reason::Succeeded),
        (State::Failed, Reason::ExitCode),
        (State::Cancelled, Reason::Deleted),
    ];
    (select(ends), 0..2i64, 0..4i64, 0..3i32).prop_map(|((state, reason), queued, archived, failures)| {
        record("", archived, |record| {
            record.summary.state = state;
            record.summary.reason = reason;
            record.summary.queued_at = Some(second(queued));
            record.summary.finished_at = state.is_final().then(|| second(archived));
            record.summary.failures = failures;
            record.details.result = Some(json!({ "failures": failures }));
        })
    })
}

/// Some versions, and the same in another order, some of them twice.
fn orders() -> impl Strategy<Value = (Vec<Record>, Vec<Record>)> {
    let versions = proptest::collection::vec(version(), 1..6);
    let with_more = (versions, proptest::collection::vec(any::<Index>(), 0..4));
    let both = with_more.prop_map(|(versions, again)| {
        let more: Vec<_> = again.iter().map(|index| index.get(&versions).clone()).chain(versions.clone()).collect();
        (versions, more)
    });
    both.prop_flat_map(|(versions, more)| (Just(versions), Just(more).prop_shuffle()))
}

async fn what_remains_does_not_depend_on_the_order(store: Store) {
    let archive = store.open().await;
    let runtime = tokio::runtime::Handle::current();
    let uids = AtomicU32::new(0);
    let tried = tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config { cases: 100, failure_persistence: None, ..Config::default() });
        runner.run(&orders(), |(one, other)| runtime.block_on(same_end(&archive, &uids, one, other)))
    });
    tried.await.expect("it runs").unwrap_or_else(|error| panic!("{error}"));
}

async fn same_end(
    archive: &Archive,
    uids: &AtomicU32,
    one: Vec<Record>,
    other: Vec<Record>,
) -> Result<(), TestCaseError> {
    let mut ends = vec![];
    for order in [one, other] {
        let uid = format!("u-{}", uids.fetch_add(1, Ordering::Relaxed));
        let named: Vec<_> = order.into_iter().map(|record| called(record, &uid)).collect();
        put_all(archive, &named).await;
        let seen = remains(archive, &uid).await;
        prop_assert!(seen.summary.state.is_final() || named.iter().all(|record| !record.summary.state.is_final()));
        ends.push(called(seen, ""));
    }
    prop_assert_eq!(&ends[0], &ends[1]);
    Ok(())
}

fn called(mut record: Record, uid: &str) -> Record {
    record.summary.uid = uid.into();
    record
}

async fn many_may_put_at_once(store: Store) {
    let archive = store.open().await;
    let puts = (0..400).map(|number| {
        let archive = archive.clone();
        tokio::spawn(async move { archive.put(&completed(&format!("u-{}", number % 40), number)).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.expect("it runs").expect("it is put");
    }
    for number in 0..40 {
        let uid = format!("u-{number}");
        assert_eq!(remains(&archive, &uid).await, completed(&uid, 360 + number));
    }
}
