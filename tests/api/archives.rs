//! Replicas that have different archives, by mistake.

use std::time::Duration;

use harness::*;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use serde_json::json;
use task_manager::api::{Reason, State};

const ARCHIVE: &str = "taskmanager.dev/archive";
/// Longer than a replica with another archive lets the others go first.
const A_WHILE: Duration = Duration::from_secs(120);

/// Who leads, and the archive that the Lease names.
async fn lease(ns: &Namespace) -> Option<(String, String)> {
    let lease = ns.api::<Lease>().list(&ListParams::default()).await.ok()?.items.pop()?;
    let named = lease.metadata.annotations?.get(ARCHIVE)?.clone();
    Some((lease.spec?.holder_identity.unwrap_or_default(), named))
}

async fn led_by(ns: &Namespace, leader: &str) -> String {
    eventually(&format!("{leader} leads"), A_WHILE, async || {
        lease(ns).await.filter(|(holder, _)| holder == leader).map(|(_, named)| named)
    })
    .await
}

async fn differs(operator: &Operator) -> bool {
    let (status, told) = http_get(operator.health, "/readyz?verbose").await.expect("it answers");
    assert_eq!(status, 200, "readiness does not depend on it: {told}");
    told.contains("[-]archive-identity failed: this replica's archive is")
}

async fn keyed(rest: &Rest, key: &str) -> Answer {
    let body = json!({"task_type": "work", "kb_id": "kb-1", "payload": {}});
    rest.post_with("/api/v1/tasks", &[("idempotency-key", key)], &body).await
}

#[tokio::test]
async fn a_replica_with_another_archive_leads_last_and_begins_nothing_that_may_have_run_before() {
    in_namespace("two-archives", async |ns| {
        ns.create(&task_type("work")).await;
        let _node = ns.fake_node();
        let other = format!("{}-other.db", ns.archive());
        let mut first = Operator::with_rest(&ns, &["--identity", "first"]).await;
        let named = led_by(&ns, "first").await;
        let mut second = Operator::with_rest(&ns, &["--identity", "second", "--archive", &other]).await;
        eventually("it is told", SOON, async || differs(&second).await.then_some(())).await;
        assert!(!differs(&first).await);
        assert!(second.logged().contains("--adopt-archive"), "{}", second.logged());
        let rest = second.rest();
        assert_eq!(keyed(&rest, "k-1").await.problem().0, "archive", "it may have been used before");
        let nobody = rest.get("/api/v1/tasks/00000000-0000-4000-8000-000000000000/status").await;
        assert_eq!(nobody.problem().0, "archive", "it may be in the other one");
        assert_eq!(keyed(&first.rest(), "k-1").await.status, 202);

        let mut third = Operator::with_rest(&ns, &["--identity", "third"]).await;
        first.stop().await;
        assert_eq!(led_by(&ns, "third").await, named);
        third.stop().await;
        assert_eq!(led_by(&ns, "second").await, named, "it leads, for nobody else is there");
        ns.create(&task("plain")).await;
        ns.create(&task("rare").with(|spec| spec.once = true)).await;
        ns.task_in("plain", State::Completed).await;
        ns.task_when("rare", "waits", |_, status| status.reason == Reason::WaitingForArchive).await;
        assert!(differs(&second).await);

        first.start_again().await;
        assert_eq!(led_by(&ns, "first").await, named, "it need not wait until the other one ends");
        ns.task_in("rare", State::Completed).await;
        eventually("the other one makes room in words", SOON, async || {
            second.logged().contains("gives the lease up: its archive is not the one").then_some(())
        })
        .await;
        eventually("it tells who leads", SOON, async || {
            let (_, told) = http_get(second.health, "/readyz?verbose").await?;
            told.contains("[+]lease ok: first leads since 20").then_some(())
        })
        .await;

        first.stop().await;
        second.stop().await;
        let adopting =
            Operator::with_rest(&ns, &["--identity", "adopting", "--archive", &other, "--adopt-archive"]).await;
        eventually("the Lease names its archive", SOON, async || {
            lease(&ns).await.filter(|(holder, now)| holder == "adopting" && *now != named).map(drop)
        })
        .await;
        ns.create(&task("rare-too").with(|spec| spec.once = true)).await;
        ns.task_in("rare-too", State::Completed).await;
        assert!(!differs(&adopting).await);
        first.start_again().await;
        eventually("now the other one differs", SOON, async || differs(&first).await.then_some(())).await;
        let file = other.trim_start_matches("sqlite:").to_owned();
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{file}{end}"));
        }
    })
    .await;
}
