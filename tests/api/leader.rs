//! Several operators, one of which acts.

use std::time::Duration;

use harness::*;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, ListParams};
use task_manager::api::{Reason, State};
use task_manager::archive::{Archive, Filter, Options};

use crate::stage::{started, status};

/// Longer than a lease, and time to notice.
const A_TERM: Duration = Duration::from_secs(120);

#[tokio::test]
async fn of_two_operators_one_acts_and_the_other_takes_over_when_it_ends() {
    in_namespace("two", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        let mut first = ns.operator(&["--identity", "first"]).await;
        eventually("the first one leads", SOON, async || first.logged().contains("leads").then_some(())).await;
        let leases = ns.record::<Lease>().await;
        let second = ns.operator(&["--identity", "second"]).await;
        ns.create(&task("one")).await;
        ns.task_in("one", State::Completed).await;
        assert_eq!(second.writes().await, 0, "it waits");
        node.script("running", [Outcome::Hold]);
        ns.create(&task("running")).await;
        started(&node, "running", 1).await;
        assert!(first.stop().await.status.success());
        ns.create(&task("next")).await;
        ns.task_in("next", State::Completed).await;
        let holders = leases.seen().into_iter().map(|seen| seen.object.spec.and_then(|spec| spec.holder_identity));
        let free = holders.filter(|holder| holder.as_deref().unwrap_or_default().is_empty()).count();
        assert!(free > 0, "a lease that is given up need not run out");
        node.end("running", Outcome::succeed());
        ns.task_in("running", State::Completed).await;
        assert_eq!(node.starts().len(), 3);
    })
    .await;
}

/// As a database far away is.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$ \
    LANGUAGE plpgsql; \
    CREATE TRIGGER slow BEFORE INSERT ON archive_records FOR EACH ROW EXECUTE FUNCTION slow()";

#[tokio::test]
async fn whoever_leads_next_finds_the_records_of_the_tasks_that_were_deleted_before() {
    in_namespace("handed-over", async |ns| {
        let server = Postgres::shared().await;
        let url = server.database().await;
        let mut first = ns.operator(&["--archive", &url]).await;
        // They wait for their type.
        for number in 0..80 {
            ns.create(&task(&format!("t-{number}"))).await;
        }
        ns.task_when("t-79", "waits", |_, status| status.reason == Reason::TypeMissing).await;
        server.execute(url.rsplit('/').next().expect("a name"), SLOW).await;
        ns.tasks().delete_collection(&DeleteParams::default(), &ListParams::default()).await.expect("deleted");
        // The watch shows one thing after another: whoever is seen now was made after all those were seen to go.
        ns.create(&task("after")).await;
        ns.task_when("after", "waits", |_, status| status.reason == Reason::TypeMissing).await;
        let leases = ns.api::<Lease>();
        let archive = Archive::at(&url, &Options { deadline: SOON, ..Options::default() }).expect("a URL");
        let given_up = eventually("the lease is given up", SOON, async || {
            let lease = leases.list(&ListParams::default()).await.ok()?.items.into_iter().next()?;
            let holder = lease.spec?.holder_identity.unwrap_or_default();
            holder.is_empty().then_some(())
        });
        let records = async {
            given_up.await;
            archive.count(&Filter::default()).await.expect("a count").many
        };
        let (ended, records) = futures::join!(first.stop(), records);
        assert!(ended.status.success());
        assert_eq!(records, 80, "so many are there when another may lead");
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_stood_still_does_no_harm_when_it_wakes() {
    in_namespace("frozen", async |ns| {
        ns.create(&task_queue("default", 2)).await;
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.otherwise(Outcome::after(Duration::from_millis(300), Outcome::succeed()));
        let first = ns.operator(&["--identity", "first"]).await;
        eventually("the first one leads", SOON, async || first.logged().contains("leads").then_some(())).await;
        let tasks = ns.record::<task_manager::api::Task>().await;
        let second = ns.operator(&["--identity", "second"]).await;
        for number in 0..20 {
            ns.create(&task(&format!("t-{number}"))).await;
        }
        started(&node, "t-3", 1).await;
        first.freeze().await;
        eventually("the second one leads", A_TERM, async || second.logged().contains("leads").then_some(())).await;
        first.thaw().await;
        for task in ns.all_final(A_TERM).await {
            let name = task.metadata.name.clone().unwrap_or_default();
            let told = (status(&task).state, status(&task).attempt, status(&task).failures, node.starts_of(&name));
            assert_eq!(told, (State::Completed, 1, 0, 1), "{name}");
        }
        let most = most_at_once(&tasks.seen(), |task| status(task).state == State::Processing);
        assert_eq!(most, 2);
        let written = second.writes().await;
        assert!(written > 0);
        eventually("the first one waits for its turn", SOON, async || {
            first
                .logged()
                .contains("the lease ran out")
                .then_some(())
                .or_else(|| first.logged().contains("was taken").then_some(()))
        })
        .await;
        eventually("it tells of nothing that waits and runs elsewhere", SOON, async || {
            let metrics = first.metrics().await;
            let told = ["running", "queued"].map(|what| metrics.value(&format!("task_manager_tasks_{what}"), &[]));
            (told == [Some(0.0), Some(0.0)]).then_some(())
        })
        .await;
    })
    .await;
}
