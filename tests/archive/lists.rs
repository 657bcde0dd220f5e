//! Lists, newest first, of what a filter means.

use std::collections::HashSet;

use task_manager::api::{Priority, Reason, State};
use task_manager::archive::{Archive, Cursor, Filter, Record};

use crate::stage::{Store, completed, put_all, record, second, unfinished};

on_all!(
    a_filter_means_the_records_for_which_all_of_it_is_true,
    dead_letters_are_the_failed_ones_and_replayed_ones_can_be_left_out,
    a_run_after_which_its_task_was_run_again_can_be_left_out,
    a_list_begins_with_the_newest_and_its_cursors_lead_to_its_end,
    records_of_one_moment_are_each_listed_once,
    ten_thousand_records_are_each_listed_once_while_others_are_put,
);

async fn listed(archive: &Archive, filter: Filter) -> Vec<String> {
    let page = archive.list(&filter, None, 1000).await.expect("a list");
    assert_eq!(page.items.len() as u64, archive.count(&filter).await.expect("a count").many, "{filter:?}");
    page.items.into_iter().map(|item| item.uid).collect()
}

fn various() -> Vec<Record> {
    vec![
        completed("plain", 10),
        record("elsewhere", 20, |record| record.summary.namespace = "other".into()),
        record("failed", 30, |record| {
            record.summary.state = State::Failed;
            record.summary.reason = Reason::Timeout;
        }),
        record("cancelled", 40, |record| {
            record.summary.state = State::Cancelled;
            record.summary.reason = Reason::Cancelled;
        }),
        record("typed", 50, |record| record.summary.type_ = "knowledge-indexing".into()),
        record("keyed", 60, |record| record.summary.kb_id = Some("kb\0\\7".into())),
        record("keyless", 70, |record| record.summary.kb_id = None),
        record("urgent", 80, |record| record.summary.priority = Priority::Critical),
        record("queued", 90, |record| record.summary.queue = "gpu".into()),
        unfinished("unfinished", 100),
    ]
}

async fn a_filter_means_the_records_for_which_all_of_it_is_true(store: Store) {
    let archive = store.open().await;
    put_all(&archive, &various()).await;
    let docs = || Filter::within(["docs"]);
    for (filter, uids) in [
        (Filter::within(["other"]), vec!["elsewhere"]),
        (Filter::within::<&str>([]), vec![]),
        (Filter { type_: Some("knowledge-indexing".into()), ..docs() }, vec!["typed"]),
        (Filter { kb_id: Some("kb\0\\7".into()), ..docs() }, vec!["keyed"]),
        (Filter { kb_id: Some("kb\\0\\7".into()), ..docs() }, vec![]),
        (Filter { priority: Some(Priority::Critical), ..docs() }, vec!["urgent"]),
        (Filter { queue: Some("gpu".into()), ..docs() }, vec!["queued"]),
        (Filter { reason: Some(Reason::Timeout), ..docs() }, vec!["failed"]),
        (Filter { states: vec![State::Processing], ..docs() }, vec!["unfinished"]),
        (Filter { states: vec![State::Failed, State::Cancelled], ..docs() }, vec!["cancelled", "failed"]),
        (Filter { reason: Some(Reason::Timeout), queue: Some("gpu".into()), ..docs() }, vec![]),
        (Filter { finished_from: Some(second(80)), ..docs() }, vec!["queued", "urgent"]),
        (Filter { finished_before: Some(second(30)), ..docs() }, vec!["plain"]),
        (
            Filter { finished_from: Some(second(10)), finished_before: Some(second(31)), ..Filter::default() },
            vec!["failed", "elsewhere", "plain"],
        ),
        (Filter { queue: Some("'; DROP TABLE archive_records; --".into()), ..docs() }, vec![]),
    ] {
        assert_eq!(listed(&archive, filter.clone()).await, uids, "{filter:?}");
    }
    assert_eq!(listed(&archive, Filter::within(["docs", "other", "third"])).await.len(), various().len());
    assert_eq!(listed(&archive, Filter::default()).await.len(), various().len());
}

async fn dead_letters_are_the_failed_ones_and_replayed_ones_can_be_left_out(store: Store) {
    let archive = store.open().await;
    put_all(&archive, &various()).await;
    let again = record("failed-too", 35, |record| record.summary.state = State::Failed);
    archive.put(&again).await.expect("it is put");
    assert_eq!(listed(&archive, Filter::within(["docs"]).dead_letters()).await, ["failed-too", "failed"]);

    archive.link_replay("failed", "u-9").await.expect("linked");
    let which = |replayed| Filter { replayed: Some(replayed), ..Filter::within(["docs"]).dead_letters() };
    assert_eq!(listed(&archive, which(false)).await, ["failed-too"]);
    assert_eq!(listed(&archive, which(true)).await, ["failed"]);
    let shown = archive.list(&which(true), None, 1).await.expect("a list");
    assert_eq!(shown.items[0].replayed_by.as_deref(), Some("u-9"));
}

async fn a_run_after_which_its_task_was_run_again_can_be_left_out(store: Store) {
    let archive = store.open().await;
    let run = |uid: &str, run_id: &str, queued| {
        record(uid, queued + 5, |record| {
            record.summary.state = State::Failed;
            record.summary.run_id = run_id.into();
            record.summary.queued_at = Some(second(queued));
        })
    };
    put_all(&archive, &[run("again", "2", 20), run("again", "1", 30), run("again", "3", 10), run("once", "1", 1)])
        .await;
    let last = Filter { last_run: true, ..Filter::within(["docs"]).dead_letters() };
    let page = archive.list(&last, None, 10).await.expect("a list");
    let runs: Vec<_> = page.items.iter().map(|item| (item.uid.as_str(), item.run_id.as_str())).collect();
    assert_eq!(runs, [("again", "1"), ("once", "1")]);
    assert_eq!(archive.count(&last).await.expect("a count").many, 2);
}

/// Everything that the filter means, page by page; `between` is done between two pages.
async fn read_to_the_end(
    archive: &Archive,
    filter: &Filter,
    limit: u32,
    mut between: impl AsyncFnMut(usize),
) -> Vec<String> {
    let (mut uids, mut after, mut pages) = (vec![], None::<Cursor>, 0);
    loop {
        let page = archive.list(filter, after.as_ref(), limit).await.expect("a page");
        assert!(page.items.len() <= limit as usize);
        uids.extend(page.items.into_iter().map(|item| item.uid));
        // As it goes out to somebody and comes back.
        match page.next.map(|next| next.to_string().parse().expect("a cursor")) {
            Some(next) => after = Some(next),
            None => return uids,
        }
        pages += 1;
        between(pages).await;
    }
}

async fn a_list_begins_with_the_newest_and_its_cursors_lead_to_its_end(store: Store) {
    let archive = store.open().await;
    let newest_first: Vec<_> = (0..10).map(|number| format!("u-{number}")).collect();
    for (number, uid) in newest_first.iter().enumerate() {
        archive.put(&completed(uid, 100 - number as i64)).await.expect("it is put");
    }
    for limit in [1, 3, 5, 10, 1000] {
        let filter = Filter::within(["docs"]);
        assert_eq!(read_to_the_end(&archive, &filter, limit, async |_| {}).await, newest_first, "{limit} a page");
    }
    let last = archive.list(&Filter::default(), None, 10).await.expect("a page");
    assert_eq!(last.next, None, "a full page that is the last one says so");
}

async fn records_of_one_moment_are_each_listed_once(store: Store) {
    let archive = store.open().await;
    for number in 0..50 {
        for run in ["1", "2", "ü", "\0"] {
            let same = record(&format!("u-{number}"), 10, |record| record.summary.run_id = run.into());
            archive.put(&same).await.expect("it is put");
        }
    }
    let uids = read_to_the_end(&archive, &Filter::default(), 7, async |_| {}).await;
    assert_eq!(uids.len(), 200);
}

const RECORDS: i64 = 10_000;

/// Puts these, a few at a time.
async fn put_many(archive: &Archive, records: impl Iterator<Item = Record>) {
    use futures::StreamExt;
    let puts = records.map(|record| {
        let archive = archive.clone();
        async move { archive.put(&record).await }
    });
    let done: Vec<_> = futures::stream::iter(puts).buffer_unordered(16).collect().await;
    done.into_iter().for_each(|put| put.expect("it is put"));
}

async fn ten_thousand_records_are_each_listed_once_while_others_are_put(store: Store) {
    let archive = store.open().await;
    // Several of one second, in any order.
    let there = (0..RECORDS).map(|number| completed(&format!("u-{number}"), number * 7919 % RECORDS / 3));
    put_many(&archive, there).await;
    let filter = Filter::within(["docs"]);
    let uids = read_to_the_end(&archive, &filter, 300, async |page| {
        // Newer than all, of the same moments, and older than all.
        let page = page as i64;
        let new =
            [RECORDS + page, page * 90, -page].map(|finished| completed(&format!("new-{page}-{finished}"), finished));
        put_many(&archive, new.into_iter()).await;
    })
    .await;
    let once: HashSet<_> = uids.iter().collect();
    assert_eq!(once.len(), uids.len(), "some were listed twice");
    let missing: Vec<_> = (0..RECORDS).map(|n| format!("u-{n}")).filter(|uid| !once.contains(uid)).collect();
    assert!(missing.is_empty(), "these were not listed: {missing:?}");
}
