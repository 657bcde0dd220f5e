//! An archive of very many records, left by an earlier version: it is brought up to date while it is used, and every
//! filter, count and clearing out keeps to its deadline or says that it was cut. ARCHIVE_RECORDS says how many records;
//! `make test-large` has a million.

use std::time::{Duration, Instant};

use harness::{eventually, open_archive};
use sqlx::{AnyConnection, Connection};
use task_manager::api::{Priority, Reason};
use task_manager::archive::{Archive, Count, Filter, Options, PruneLimits};
use tokio::time::timeout;

use crate::openings::meddle;
use crate::stage::{PATIENT, Store, completed, record, second};

on_all!(an_archive_of_many_records_of_an_earlier_version_is_brought_up_to_date_while_it_is_used);

const FEW: u64 = 20_000;

/// Behind a pooler fewer of them: it is the same server, asked the same.
fn records(store: &Store) -> u64 {
    let asked = std::env::var("ARCHIVE_RECORDS").ok().and_then(|many| many.parse().ok());
    asked.map_or(FEW, |many: u64| if store.is_pooled { FEW.max(many / 10) } else { many })
}

/// As version 2 left it.
const OLDER: &str = "DROP TABLE archive_search; DROP TABLE archive_progress; DROP TABLE archive_logs; \
    DROP TABLE archive_identity; DROP TABLE archive_checkpoints; DROP TABLE archive_chunks; DELETE FROM archive_migrations WHERE version > 2";
const WITHOUT_TRIGGERS_ON_SQLITE: &str = "DROP TRIGGER archive_search_put; DROP TRIGGER archive_search_change; \
    DROP TRIGGER archive_search_forget; DROP TRIGGER archive_checkpoints_end; DROP TRIGGER archive_checkpoints_end_late";
const WITHOUT_TRIGGERS_ON_POSTGRES: &str = "DROP TRIGGER archive_search_keep ON archive_records; DROP FUNCTION archive_search_keep; \
    DROP TRIGGER archive_checkpoints_end ON archive_records; DROP FUNCTION archive_checkpoints_end";

/// One of so many is of a rare type, and as many are of a rare queue.
const RARE: u64 = 5000;

/// So many dead letters, a second apart, as rows made by the database itself out of one of them.
async fn left_by_version_2(store: &Store, many: u64) {
    let archive = store.open().await;
    let one = record("NUMBER", 0, |record| {
        record.summary.state = task_manager::api::State::Failed;
        record.summary.reason = Reason::ExitCode;
        record.details.log = Some("a line of some length\n".repeat(20));
    });
    archive.put(&one).await.expect("it is put");
    let is_sqlite = store.url.starts_with("sqlite");
    meddle(store, if is_sqlite { WITHOUT_TRIGGERS_ON_SQLITE } else { WITHOUT_TRIGGERS_ON_POSTGRES }).await;
    meddle(store, OLDER).await;
    let (numbers, uid) = match is_sqlite {
        true => (
            format!(
                "(WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers \
                 WHERE number < {many}) SELECT number FROM numbers)"
            ),
            "printf('%08x-0000-4000-8000-%012d', (number * 2654435761) % 4294967296, number)",
        ),
        false => (
            format!("(SELECT generate_series AS number FROM generate_series(1::bigint, {many})) AS numbers"),
            "(lpad(to_hex((number * 2654435761) % 4294967296), 8, '0') || '-0000-4000-8000-' || lpad(number::text, 12, '0'))",
        ),
    };
    // Keys in no order: SQLite would write each page of their index again and again.
    let in_memory = if is_sqlite { "PRAGMA cache_size = -400000; PRAGMA synchronous = OFF;" } else { "" };
    let rows = format!(
        "{in_memory} INSERT INTO archive_records (uid, run_id, namespace, name, type, kb_id, priority, queue, state, reason, at, final, \
         began, genuine, archived, replayed_by, summary, details) \
         SELECT {uid}, run_id, CASE WHEN number % 10 = 0 THEN 'web' ELSE namespace END, name || number, \
         CASE WHEN number % {RARE} = 0 THEN 'rare' ELSE type END, 'kb-' || (number % 1000), priority, \
         CASE WHEN number % {RARE} = 1 THEN 'rare' ELSE queue END, state, reason, at + number * 1000000, final, began, \
         genuine, archived, CASE WHEN number % 3 = 0 THEN 'somebody' END, replace(summary, 'NUMBER', {uid}), details \
         FROM archive_records, {numbers} WHERE uid = 'NUMBER'"
    );
    meddle(store, &rows).await;
    meddle(store, "DELETE FROM archive_records WHERE uid = 'NUMBER'").await;
    if !is_sqlite && many <= FEW {
        // A server would rather read a large table as a whole; now this small one too.
        let database = store.url.rsplit('/').next().unwrap_or_default();
        meddle(store, &format!("ALTER DATABASE {database} SET random_page_cost = 1000")).await;
    }
}

/// How many records a server has read in statements that went through a whole table. SQLite does not say.
async fn read_in_whole_tables(store: &Store) -> i64 {
    if store.url.starts_with("sqlite") {
        return 0;
    }
    let mut connection = AnyConnection::connect(&store.url).await.expect("a connection");
    let asked = "SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relname IN ('archive_records', 'archive_search')";
    // A pooler may have the next statement carried out by another session, unless both are in one transaction.
    let mut transaction = connection.begin().await.expect("a transaction");
    let read = sqlx::query_scalar(asked).persistent(false).fetch_one(&mut *transaction).await.expect("an answer");
    transaction.rollback().await.expect("it ends");
    connection.close().await.expect("it closes");
    read
}

/// Another process, as far as the database can tell.
async fn opened(store: &Store) -> Archive {
    let options = Options::default();
    // On a machine that has much else to do a connection may take longer than a call waits.
    eventually("the archive opens", PATIENT, async || open_archive(&store.url, &options).await.ok()).await
}

/// So often it is stopped, before it may go on to its end.
const STOPS: u32 = 20;

/// Runs it for so long, again and again, each time by another. Returns how often it was stopped, and the longest time
/// that a record took meanwhile.
async fn brought_up_to_date(store: &Store, stop_after: Duration) -> (u32, Duration) {
    let (mut stopped, mut longest) = (0, Duration::ZERO);
    loop {
        let archive = opened(store).await;
        let writer = opened(store).await;
        let puts = async {
            for number in 0.. {
                let began = Instant::now();
                writer
                    .put(&completed(&format!("late-{}", number % 50), number % 50))
                    .await
                    .expect("it is put meanwhile");
                longest = longest.max(began.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            done = timeout(if stopped < STOPS { stop_after } else { Duration::MAX }, archive.make_searchable()) => match done {
                Ok(done) => {
                    done.expect("it is brought up to date");
                    return (stopped, longest);
                }
                Err(_) => stopped += 1,
            },
            () = puts => {}
        }
    }
}

async fn count(archive: &Archive, about: &str, filter: &Filter) -> Count {
    let began = Instant::now();
    let count = archive.count(filter).await.unwrap_or_else(|error| panic!("{about}: {error}"));
    eprintln!("    count {about}: {count:?} in {:?}", began.elapsed());
    count
}

/// All of them, page by page, each within the deadline.
async fn listed(archive: &Archive, about: &str, filter: &Filter) -> (u64, Duration) {
    let (mut many, mut after, mut longest, mut pages) = (0, None, Duration::ZERO, 0);
    loop {
        let began = Instant::now();
        let page = archive.list(filter, after.as_ref(), 1000).await.unwrap_or_else(|error| panic!("{about}: {error}"));
        longest = longest.max(began.elapsed());
        (many, pages) = (many + page.items.len() as u64, pages + 1);
        after = page.next;
        // The first of very many pages tell enough.
        if after.is_none() || pages == 30 {
            eprintln!("    list {about}: {many} on {pages} pages, the slowest in {longest:?}");
            return (many, longest);
        }
    }
}

/// Some of them are replayed, each within the deadline.
async fn replayed(archive: &Archive) {
    let filter = Filter { last_run: true, replayed: Some(false), ..Filter::within(["docs"]).dead_letters() };
    let page = archive.list(&filter, None, 50).await.expect("a page");
    assert!(!page.items.is_empty(), "nobody has replayed two of three");
    let mut longest = Duration::ZERO;
    for record in &page.items {
        let began = Instant::now();
        let by = archive.link_replay(&record.uid, "again").await.expect("it is noted");
        assert_eq!(by.as_deref(), Some("again"));
        longest = longest.max(began.elapsed());
    }
    eprintln!("    {} replayed, the slowest in {longest:?}", page.items.len());
}

fn filters() -> [(&'static str, Filter, u64); 8] {
    let dead = || Filter::within(["docs", "web"]).dead_letters();
    [
        ("all", dead(), 1),
        ("of a rare type", Filter { type_: Some("rare".into()), ..dead() }, RARE),
        (
            "of a rare queue and another type",
            Filter { queue: Some("rare".into()), type_: Some("document-processing".into()), ..dead() },
            RARE,
        ),
        ("of nobody", Filter { priority: Some(Priority::Low), ..dead() }, u64::MAX),
        ("for no such reason", Filter { reason: Some(Reason::OOMKilled), ..dead() }, u64::MAX),
        ("of one kbId", Filter { kb_id: Some("kb-7".into()), ..dead() }, 1000),
        ("of a namespace", Filter { namespaces: Some(vec!["web".into()]), ..dead() }, 10),
        (
            "to be replayed, of a rare type",
            Filter { type_: Some("rare".into()), last_run: true, replayed: Some(true), ..dead() },
            3 * RARE,
        ),
    ]
}

async fn an_archive_of_many_records_of_an_earlier_version_is_brought_up_to_date_while_it_is_used(store: Store) {
    let many = records(&store);
    let kind = store.url.split(':').next().unwrap_or_default().to_owned();
    left_by_version_2(&store, many).await;
    eprintln!("{kind}: {many} records of version 2 are there");
    let in_whole_tables = read_in_whole_tables(&store).await;
    let began = Instant::now();
    let archive = opened(&store).await;
    eprintln!("  opened in {:?}", began.elapsed());
    assert!(began.elapsed() < PATIENT / 2, "it opens at once");
    archive.put(&completed("first", 0)).await.expect("it is put at once");
    let rare = &filters()[1].1;
    let (found, _) = listed(&archive, "of a rare type, before", rare).await;
    assert!(found <= many / RARE);

    let began = Instant::now();
    let stop_after = Duration::from_millis(100 + many / 400);
    let (stopped, longest) = brought_up_to_date(&store, stop_after).await;
    eprintln!("  searchable in {:?}, stopped {stopped} times; the slowest record took {longest:?}", began.elapsed());
    assert!(stopped > 0, "it was never stopped");
    let archive = opened(&store).await;
    let late = archive.count(&Filter { states: vec![task_manager::api::State::Completed], ..Filter::default() }).await;
    let late = late.expect("counted").many;
    assert_eq!(archive.searchable().await.expect("counted"), many + late);

    for (about, filter, one_of) in filters() {
        let expected = if one_of == u64::MAX { 0 } else { many / one_of };
        let counted = count(&archive, about, &filter).await;
        assert!(
            counted.many == expected || counted.is_cut && counted.many < expected,
            "{about}: {counted:?} {expected}"
        );
        let (found, _) = listed(&archive, about, &filter).await;
        assert!(found == expected || found >= 30, "{about}: {found} of {expected}");
    }

    replayed(&archive).await;

    let began = Instant::now();
    let older_than = second(i64::try_from(many / 20).expect("few"));
    let limits = PruneLimits { older_than, keep_at_most: many * 9 / 10 };
    // A pooler may have carried out a put whose client had gone a moment after they were counted.
    let there = archive.searchable().await.expect("counted");
    let forgotten = archive.prune(&limits).await.expect("it is pruned");
    eprintln!("  {forgotten} forgotten in {:?}", began.elapsed());
    // Each batch of them would take as long as the whole table.
    let in_whole_tables = read_in_whole_tables(&store).await - in_whole_tables;
    assert!(in_whole_tables < i64::try_from(many).expect("few"), "{in_whole_tables} records read without an index");
    assert!(forgotten >= many / 10, "{forgotten}");
    assert_eq!(archive.searchable().await.expect("counted"), there - forgotten);
}
