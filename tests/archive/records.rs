//! Records go in and come out again.

use harness::arbitrary::{any_object, text};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;
use task_manager::api::{AttemptOutcome, AttemptRecord, Reason, State};
use task_manager::archive::{Error, Record};

use crate::openings::meddle;
use crate::stage::{Store, completed, put_all, record, second};

on_all!(
    a_record_reads_back_as_it_was,
    whatever_others_wrote_reads_back_as_it_was,
    of_several_runs_the_newest_is_found,
    of_several_tasks_of_one_name_the_newest_is_found,
    what_nobody_put_is_not_found,
    a_replay_is_linked_once_and_stays_linked,
    a_record_that_is_too_large_is_refused_for_good,
    of_several_ends_of_a_run_the_newest_that_was_launched_is_the_outcome,
    however_a_record_is_written_down_its_attempts_are_known,
);

async fn a_record_reads_back_as_it_was(store: Store) {
    let archive = store.open().await;
    let whole = record("u-1", 120, |record| {
        record.summary.state = State::Failed;
        record.summary.reason = Reason::OOMKilled;
        record.summary.message = Some("container work was killed; failed twice, retries used up".into());
        record.summary.replay_of = Some("u-0".into());
        record.summary.finished_at = Some(second(120) + SignedDuration::from_nanos(123_456_789));
        record.details.attempts = vec![AttemptRecord {
            number: 4,
            started_at: Some(MicroTime(second(3))),
            finished_at: Some(MicroTime(second(9))),
            outcome: AttemptOutcome::Failed,
            reason: Reason::OOMKilled,
            message: Some("killed".into()),
            exit_code: Some(137),
            permanent: false,
            pod: Some("report-x".into()),
            node: Some("n-1".into()),
        }];
        record.details.node = Some("n-1".into());
        record.details.result_truncated = true;
        record.details.body_digest = Some("abc".into());
    });
    archive.put(&whole).await.expect("it is put");
    assert_eq!(archive.find("u-1").await.expect("found"), Some(whole.clone()));
    assert_eq!(archive.find_run("u-1", "1").await.expect("found"), Some(whole.clone()));
    assert_eq!(archive.by_name("docs", "task-u-1", "1").await.expect("found"), Some(whole));
}

/// Texts of every kind wherever others write texts: NUL, emoji, backslashes, quotes.
fn anything() -> impl Strategy<Value = Record> {
    let texts = proptest::collection::vec(text(), 5);
    (texts, any_object(), proptest::option::of(text())).prop_map(|(texts, payload, log)| {
        record("", 10, |record| {
            record.summary.run_id = texts[0].clone();
            record.summary.kb_id = Some(texts[1].clone());
            record.summary.type_ = texts[2].clone();
            record.summary.queue = texts[3].clone();
            record.summary.message = Some(texts[4].clone());
            record.details.spec = json!({ "payload": payload });
            record.details.log = log;
        })
    })
}

async fn whatever_others_wrote_reads_back_as_it_was(store: Store) {
    let archive = store.open().await;
    let mut runner = TestRunner::deterministic();
    for number in 0..200 {
        let mut record = anything().new_tree(&mut runner).expect("a record").current();
        record.summary.uid = format!("u-{number}");
        archive.put(&record).await.unwrap_or_else(|error| panic!("{error}: {record:#?}"));
        let found = archive.find_run(&record.summary.uid, &record.summary.run_id).await.expect("found");
        assert_eq!(found.as_ref(), Some(&record));
    }
}

async fn of_several_runs_the_newest_is_found(store: Store) {
    let archive = store.open().await;
    let run = |run_id: &str, queued| {
        record("u-1", queued + 50, |record| {
            record.summary.run_id = run_id.into();
            record.summary.queued_at = Some(second(queued));
        })
    };
    put_all(&archive, &[run("b", 200), run("c", 300), run("a", 100)]).await;
    assert_eq!(archive.find("u-1").await.expect("found").expect("a record").summary.run_id, "c");
    assert_eq!(archive.find_run("u-1", "a").await.expect("found"), Some(run("a", 100)));
}

async fn of_several_tasks_of_one_name_the_newest_is_found(store: Store) {
    let archive = store.open().await;
    let task = |uid: &str, queued| {
        record(uid, queued + 50, |record| {
            record.summary.name = "report".into();
            record.summary.queued_at = Some(second(queued));
        })
    };
    put_all(&archive, &[task("u-2", 200), task("u-3", 300), task("u-1", 100)]).await;
    let found = archive.by_name("docs", "report", "1").await.expect("found");
    assert_eq!(found, Some(task("u-3", 300)));
    let mut refused = task("u-4", 400);
    refused.summary.reason = Reason::KeyReused;
    put_all(&archive, &[refused]).await;
    let found = archive.by_name("docs", "report", "1").await.expect("found");
    assert_eq!(found, Some(task("u-3", 300)), "a key goes on standing for what it stood for first");
    for (namespace, name, run_id) in [("other", "report", "1"), ("docs", "other", "1"), ("docs", "report", "2")] {
        assert_eq!(archive.by_name(namespace, name, run_id).await.expect("an answer"), None);
    }
}

async fn what_nobody_put_is_not_found(store: Store) {
    let archive = store.open().await;
    archive.put(&completed("u-1", 10)).await.expect("it is put");
    assert_eq!(archive.find("u-2").await.expect("an answer"), None);
    assert_eq!(archive.find_run("u-1", "2").await.expect("an answer"), None);
    assert_eq!(archive.link_replay("u-2", "u-3").await.expect("an answer"), None);
    assert_eq!(archive.result("u-1", "1").await.expect("an answer"), None);
}

async fn a_replay_is_linked_once_and_stays_linked(store: Store) {
    let archive = store.open().await;
    let first = completed("u-1", 10);
    let second = record("u-1", 90, |record| {
        record.summary.run_id = "2".into();
        record.summary.queued_at = Some(crate::stage::second(80));
    });
    put_all(&archive, &[first.clone(), second.clone()]).await;
    for by in ["u-7", "u-7", "u-8"] {
        assert_eq!(archive.link_replay("u-1", by).await.expect("linked").as_deref(), Some("u-7"));
    }
    put_all(&archive, &[second]).await;
    let newest = archive.find("u-1").await.expect("found").expect("a record");
    assert_eq!((newest.summary.run_id.as_str(), newest.summary.replayed_by.as_deref()), ("2", Some("u-7")));
    assert_eq!(archive.find_run("u-1", "1").await.expect("found"), Some(first), "an earlier run was not replayed");
}

async fn a_record_that_is_too_large_is_refused_for_good(store: Store) {
    let archive = store.open().await;
    let large = record("u-1", 10, |record| record.details.spec = json!({"payload": "x".repeat(5 << 20)}));
    let refused = archive.put(&large).await.expect_err("it is too large");
    assert!(matches!(refused, Error::TooLarge { .. }) && !refused.is_temporary(), "{refused}");
    archive.put(&completed("u-1", 10)).await.expect("others are still taken");
}

async fn of_several_ends_of_a_run_the_newest_that_was_launched_is_the_outcome(store: Store) {
    let archive = store.open().await;
    let ended = |uid: &str, queued, reason, attempt| {
        record(uid, 100, |record| {
            record.summary.name = "report".into();
            record.summary.queued_at = Some(second(queued));
            record.summary.message = Some(r#"said "attempt":0, and "attempt":1,"#.into());
            (record.summary.reason, record.summary.attempt) = (reason, attempt);
        })
    };
    let outcome = async || {
        let found = archive.outcome("docs", "report", "1").await.expect("an answer");
        found.map(|record| record.summary.uid)
    };
    put_all(&archive, &[ended("refused", 5, Reason::AboveMaximum, 0), ended("unborn", 9, Reason::Deleted, 0)]).await;
    assert_eq!(outcome().await, None, "nothing was launched");
    put_all(&archive, &[ended("ran", 1, Reason::Deleted, 1)]).await;
    assert_eq!(outcome().await.as_deref(), Some("ran"), "what was never launched does not hide it");
    put_all(&archive, &[ended("like-it", 7, Reason::RanBefore, 0), ended("unborn-2", 8, Reason::Cancelled, 0)]).await;
    assert_eq!(outcome().await.as_deref(), Some("like-it"));
}

/// As version 3 made it, by rewriting all records.
const COLUMN_ON_SQLITE: &str = "(json_extract(summary, '$.attempt')) VIRTUAL";
const COLUMN_ON_POSTGRES: &str = r"((replace(summary, '\u0000', '\u0001')::json->>'attempt')::bigint) STORED";

async fn however_a_record_is_written_down_its_attempts_are_known(store: Store) {
    let archive = store.open().await;
    let unborn = record("u-1", 10, |record| record.summary.attempt = 0);
    put_all(&archive, &[unborn, completed("u-2", 10)]).await;
    meddle(&store, r#"UPDATE archive_records SET summary = replace(summary, '"attempt":', ' "attempt" : ')"#).await;
    let are_known = async || {
        let archive = store.open().await;
        for (uid, was_launched) in [("u-1", false), ("u-2", true)] {
            let found = archive.outcome("docs", &format!("task-{uid}"), "1").await.expect("an answer");
            assert_eq!(found.is_some(), was_launched, "{uid}");
        }
    };
    are_known().await;
    let column = if store.url.starts_with("sqlite") { COLUMN_ON_SQLITE } else { COLUMN_ON_POSTGRES };
    meddle(&store, &format!("ALTER TABLE archive_records ADD COLUMN attempt BIGINT GENERATED ALWAYS AS {column}"))
        .await;
    meddle(&store, "INSERT INTO archive_migrations (version, digest) VALUES (3, 'as it was')").await;
    are_known().await;
    store.open().await.put(&completed("u-3", 10)).await.expect("it is put");
}
