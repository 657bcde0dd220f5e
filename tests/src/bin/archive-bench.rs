use futures::StreamExt;
use harness::records::{completed, second};
use serde_json::json;
use std::time::{Duration, Instant};
use task_manager::api::*;
use task_manager::archive::*;

fn rec(n: i64, log: usize) -> Record {
    let mut r = completed(&format!("{:08x}-aaaa-4bbb-8ccc-{:012x}", n * 2654435761 % 4294967291, n), n);
    r.summary.kb_id = Some(format!("kb-{}", n % 1000));
    if n % 50 == 0 {
        r.summary.state = State::Failed;
        r.summary.reason = Reason::ExitCode;
        r.summary.message = Some("exit code 1; failed 4 times, retries used up".into());
    }
    r.details.spec = json!({"type":"document-processing","queue":"default","kbId":"kb-1","payload":{"uri":"s3://in/7.pdf","more":"x".repeat(400)},"runId":"1","once":false,"cancel":false,"suspend":false});
    r.details.attempts = vec![AttemptRecord {
        number: 1,
        pod: Some("report-abcdef0123456789-x2x4z".into()),
        node: Some("node-1".into()),
        started_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(second(1))),
        finished_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(second(9))),
        ..Default::default()
    }];
    r.details.log = (log > 0).then(|| {
        (0..log / 60).map(|i| format!("2026-01-01T00:00:00Z INFO page {i:06} of document {n:08} done ok\n")).collect()
    });
    r
}
async fn puts(a: &Archive, name: &str, from: i64, many: i64, at_once: usize, log: usize) {
    let began = Instant::now();
    let mut took: Vec<Duration> = futures::stream::iter((from..from + many).map(|n| {
        let a = a.clone();
        let r = rec(n, log);
        async move {
            let t = Instant::now();
            a.put(&r).await.unwrap();
            t.elapsed()
        }
    }))
    .buffer_unordered(at_once)
    .collect()
    .await;
    let all = began.elapsed();
    took.sort();
    println!(
        "{name}: {many} puts, {at_once} at once, log {log}: {:.0}/s p50 {:?} p99 {:?} max {:?}",
        many as f64 / all.as_secs_f64(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1]
    );
}
async fn timed<T>(name: &str, f: impl AsyncFn() -> T) {
    let mut took = vec![];
    for _ in 0..30 {
        let t = Instant::now();
        f().await;
        took.push(t.elapsed());
    }
    took.sort();
    println!("  {name}: p50 {:?} max {:?}", took[15], took[29]);
}
#[tokio::main]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let archive =
        Archive::open(&a[1], &Options { deadline: Duration::from_secs(30), ..Default::default() }).await.unwrap();
    let n: i64 = a[2].parse().unwrap();
    puts(&archive, "seq", 0, 500, 1, 0).await;
    puts(&archive, "log", 1000, 500, 1, 12000).await;
    puts(&archive, "par", 2000, 2000, 16, 0).await;
    puts(&archive, "parlog", 5000, 2000, 16, 12000).await;
    if n > 0 {
        puts(&archive, "fill", 100_000, n, 16, 0).await;
    }
    let docs = || Filter::within(["docs"]);
    timed("find", async || archive.find(&rec(2100, 0).summary.uid).await.unwrap().unwrap()).await;
    timed("by_name", async || archive.by_name("docs", &rec(2100, 0).summary.name, "1").await.unwrap().unwrap()).await;
    timed("list 100", async || archive.list(&docs(), None, 100).await.unwrap()).await;
    timed("list 1000", async || archive.list(&docs(), None, 1000).await.unwrap()).await;
    let cursor = Cursor::from(archive.list(&docs(), None, 1000).await.unwrap().next.unwrap());
    timed("list 100 after", async || archive.list(&docs(), Some(&cursor), 100).await.unwrap()).await;
    timed("dead letters 100", async || archive.list(&docs().dead_letters(), None, 100).await.unwrap()).await;
    timed("kb 100", async || archive.list(&Filter { kb_id: Some("kb-7".into()), ..docs() }, None, 100).await.unwrap())
        .await;
    timed("type none", async || {
        archive.list(&Filter { type_: Some("none".into()), ..docs() }, None, 100).await.unwrap()
    })
    .await;
    timed("no namespace", async || archive.list(&Filter::within(["nope"]), None, 100).await.unwrap()).await;
    timed("queue none", async || {
        archive.list(&Filter { queue: Some("none".into()), ..docs() }, None, 100).await.unwrap()
    })
    .await;
    timed("count all", async || archive.count(&docs()).await.unwrap()).await;
    timed("count dead", async || archive.count(&docs().dead_letters()).await.unwrap()).await;
    let keep = archive.count(&Filter::everywhere()).await.unwrap();
    let t = Instant::now();
    let d = archive.prune(&Retention { older_than: jiff::Timestamp::MIN, keep_at_most: keep - 5000 }).await.unwrap();
    println!("  pruned {d} in {:?}", t.elapsed());
}
