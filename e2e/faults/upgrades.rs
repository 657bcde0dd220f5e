//! The installed product is upgraded and rolled back by Helm while tasks run and wait. Here and not beside the other tests of
//! the chart, for the definitions change under everything that uses the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::installed::{CHART, Release, root};
use e2e::pods::Pods;
use e2e::previous::{PresentDefinitions, apply_a_later_migration, chart, has_status_field, undo_the_newest_migrations};
use e2e::warm::{Workers, pool_of_agents_in, warm_type};
use e2e::world::{A_CHANGE, never_again, pods_can_be_made, retry, shell};
use harness::{
    Cluster, Database, Namespace, Postgres, With, eventually, in_namespace_of, open_archive, records, task, task_queue,
};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;
use task_manager::api::{Executor, Reason, State, Task, TaskTypeSpec};
use task_manager::archive::{Archive, Filter, Options};

use super::can_be_used_again;

const TASKS: usize = 100;
const SLOTS: i32 = 8;
/// Records that are in the archive before anything of this release ran.
const EARLIER: i64 = 50;
const ALL_TASKS: Duration = Duration::from_secs(600);
/// For the operator to show that it writes nothing.
const QUIET: Duration = Duration::from_secs(5);
const NOWHERE: &str = "nowhere";
/// The type whose tasks warm workers run.
const POOLED: &str = "pooled";
const WORKERS: i32 = 2;
/// The annotation of the Lease that names the archive.
const ARCHIVE: &str = "taskmanager.dev/archive";
type Annotations = BTreeMap<String, String>;

/// The end of the task of this number: its type, state and attempts.
fn fate(number: usize) -> (&'static str, State, i32) {
    match number % 10 {
        0..=4 => ("succeeds", State::Completed, 1),
        5 => ("bare", State::Completed, 1),
        6 => (POOLED, State::Completed, 1),
        7 | 8 => ("recovers", State::Completed, 2),
        _ => ("fails", State::Failed, 1),
    }
}

/// Types with every fate, and one whose pods no node takes, so that its task gives its slot back again and again.
async fn make_types(ns: &Namespace) {
    let work = "sleep 1; printf %s \"$TASK_NAME\" > \"$TASK_RESULT_FILE\"";
    let once_more = format!("[ $TASK_ATTEMPT -gt 1 ] || {{ echo not yet; exit 1; }}; {work}");
    ns.create(&pool_of_agents_in(ns, WORKERS, WORKERS, work).await).await;
    ns.create(&warm_type(POOLED, 0)).await;
    ns.create(&shell("succeeds", work)).await;
    ns.create(&shell("bare", work).with(|kind| kind.executor = Executor::Pod)).await;
    ns.create(&shell("recovers", &once_more).with(|kind| retry(kind).limit = Some(1))).await;
    ns.create(&shell("fails", "echo never; exit 3").with(never_again)).await;
    let elsewhere = |kind: &mut TaskTypeSpec| kind.template["spec"]["nodeSelector"] = json!({"there": "none"});
    ns.create(&shell(NOWHERE, "true").with(elsewhere)).await;
}

async fn make_tasks(ns: &Namespace) {
    ns.create(&task_queue("default", SLOTS)).await;
    ns.create(&task_queue(NOWHERE, 1)).await;
    ns.create(&task(NOWHERE).with(|spec| (spec.type_, spec.queue) = (NOWHERE.into(), NOWHERE.into()))).await;
    for number in 0..TASKS {
        let name = format!("task-{number:02}");
        ns.create(&task(&name).with(|spec| spec.type_ = fate(number).0.into())).await;
    }
}

/// Waits until at least so many tasks are final, and asserts that not all are.
async fn are_final(ns: &Namespace, least: usize) {
    let count = eventually(&format!("{least} tasks are final"), ALL_TASKS, async || {
        let tasks = ns.tasks().list(&ListParams::default()).await.ok()?.items;
        let is_final = |task: &&Task| task.status.as_ref().is_some_and(|status| status.state.is_final());
        Some(tasks.iter().filter(is_final).count()).filter(|count| *count >= least)
    })
    .await;
    assert!(count < TASKS - SLOTS as usize, "{count} are final: there is nothing left to upgrade under");
}

/// What the version before recorded within the last hour: older records might be removed meanwhile.
async fn record_earlier(archive: &Archive) {
    let an_hour_ago = Timestamp::now().as_second() - records::second(0).as_second() - 3600;
    for number in 0..EARLIER {
        let record = records::completed(&format!("earlier-{number}"), an_hour_ago + number);
        archive.put(&record).await.expect("it is put");
    }
}

/// The task that no node takes gave its slot back at least once, and was not tried without a pause.
async fn waits_for_a_node(ns: &Namespace) {
    ns.task_within(A_CHANGE, NOWHERE, "has given its slot back", |_, status| {
        (status.state, status.reason) == (State::Queued, Reason::Unschedulable)
    })
    .await;
}

fn ended_right(number: usize, task: &Task) {
    let (_, state, attempts) = fate(number);
    let status = task.status.clone().expect("a status");
    let failures = attempts - 1 + i32::from(state == State::Failed);
    let counted = (status.state, status.attempt, status.attempts.len(), status.failures, status.disruptions);
    let name = task.name_any();
    assert_eq!(counted, (state, attempts, attempts as usize, failures, 0), "{name}: {:?}", status.message);
    assert_eq!(status.result, (state == State::Completed).then(|| name.clone().into()), "{name}");
}

/// The archive has a whole record of each task, finds it by filter, and still has what was there before.
async fn all_are_recorded(archive: &Archive, tasks: &[Task]) {
    for task in tasks {
        let record = archive.find(&task.uid().expect("a uid")).await.expect("an answer").expect("a record");
        let status = task.status.clone().unwrap_or_default();
        let (name, summary, details) = (task.name_any(), record.summary, record.details);
        assert_eq!((summary.state, summary.reason), (status.state, status.reason), "{name}");
        assert_eq!((details.result, details.attempts.len()), (status.result, status.attempts.len()), "{name}");
        assert!(status.state != State::Failed || details.log.as_deref() == Some("never"), "{name}: {:?}", details.log);
    }
    let failed = Filter { states: vec![State::Failed], ..Filter::default() };
    eventually("the filters know all records", A_CHANGE, async || {
        let all = archive.count(&Filter::default()).await.ok()?;
        let failed = archive.count(&failed).await.ok()?;
        ((all.many, failed.many) == (EARLIER as u64 + tasks.len() as u64, TASKS as u64 / 10)).then_some(())
    })
    .await;
    assert_eq!(archive.searchable().await.expect("a number"), EARLIER as u64 + tasks.len() as u64);
}

/// Requests of all replicas that changed something.
async fn writes(release: &Release) -> u64 {
    release.metrics().await.iter().map(|metrics| metrics.count("task_manager_api_writes_total", &[])).sum()
}

/// A hundred tasks go through the versions; returns them when all are final and recorded.
async fn through_both_versions(ns: &Namespace, release: &Release, server: &Postgres, database: &Database) -> Vec<Task> {
    let has_line = async || has_status_field(ns.cluster, "tasks.taskmanager.dev", "line").await;
    let name = database.url.rsplit('/').next().expect("a name");
    let soon = ["--set", "pods.unschedulableSeconds=5"];
    release.put("helm", "install", &chart(ns).await, &[&soon[..], &["--take-ownership"]].concat()).await;
    assert!(!has_line().await, "the definitions are those of before");
    make_types(ns).await;
    make_tasks(ns).await;
    are_final(ns, 10).await;
    waits_for_a_node(ns).await;

    undo_the_newest_migrations(server, name).await;
    release.put("helm", "upgrade", &root().join(CHART), &soon).await;
    assert!(has_line().await, "the definitions are those of now");
    are_final(ns, 50).await;

    apply_a_later_migration(server, name).await;
    release.roll_back("helm").await;
    assert!(!has_line().await, "the definitions are those of before");
    waits_for_a_node(ns).await;
    ns.patch_task(NOWHERE, json!({"cancel": true})).await.expect("it may be cancelled");
    ns.all_archived(ALL_TASKS).await
}

/// Each task with its version.
async fn versions(ns: &Namespace) -> Vec<(String, Option<String>)> {
    let tasks = ns.tasks().list(&ListParams::default()).await.expect("tasks").items;
    tasks.iter().map(|task| (task.name_any(), task.resource_version())).collect()
}

/// It is uninstalled, which leaves the tasks and says so, and installed again, which finds all as it was.
async fn is_taken_over_by_a_release_of_the_same_name(ns: &Namespace, release: &Release) {
    let (left, archive) = (versions(ns).await, release.lease().await.metadata.annotations);
    let told = release.uninstall("helm").await;
    assert!(told.contains("kept") && told.contains("[CustomResourceDefinition] tasks.taskmanager.dev"), "{told}");
    assert_eq!(versions(ns).await, left, "the tasks stay");
    release.put("helm", "install", &root().join(CHART), &[]).await;
    eventually("one of the new replicas leads", A_CHANGE, async || {
        let leader = release.leader().await?;
        release.replicas().await.iter().any(|pod| pod.name_any() == leader).then_some(())
    })
    .await;
    let of_archive = |annotations: Option<Annotations>| annotations.and_then(|all| all.get(ARCHIVE).cloned());
    let now = release.lease().await.metadata.annotations;
    assert_eq!(of_archive(now), of_archive(archive), "it is the same archive");
    tokio::time::sleep(QUIET).await;
    assert_eq!(versions(ns).await, left, "nothing is written of what has ended");
    release.uninstall("helm").await;
}

/// The program is the same before and after, with another version in its labels, so that all pods are replaced. The version
/// before is there by its definitions, and by the archive that it left; the later one by the archive alone.
#[tokio::test]
async fn an_upgrade_and_a_rollback_lose_nothing_of_a_hundred_tasks_and_run_none_twice() {
    can_be_used_again().await;
    in_namespace_of(Cluster::FragileNode, "upgraded", async |ns| {
        pods_can_be_made(&ns).await;
        let server = Postgres::start_for_pods(&ns.cluster.host_address().expect("a node has one")).await;
        let database = server.database_for_pods().await;
        let release = Release::prepare_replicas(&ns, &database.for_pods).await;
        let archive = open_archive(&database.for_pods, &Options::default()).await.expect("the archive opens");
        record_earlier(&archive).await;
        let (pods, workers) = (Pods::record(&ns).await, Workers::record(&ns).await);
        let present = PresentDefinitions(ns.cluster);
        let mut done = through_both_versions(&ns, &release, &server, &database).await;

        let nowhere = done.iter().position(|task| task.name_any() == NOWHERE).expect("it is there");
        let nowhere = done.remove(nowhere);
        assert_eq!(nowhere.status.as_ref().expect("a status").state, State::Cancelled);
        let tries = pods.of(&nowhere).len();
        assert!(tries <= 8, "{tries} pods of a task that no node takes: it pauses 30 s after each");
        assert_eq!(done.len(), TASKS);
        done.iter().enumerate().for_each(|(number, task)| ended_right(number, task));
        let with_pods: Vec<Task> = done.iter().filter(|task| task.spec.type_ != POOLED).cloned().collect();
        pods.assert_one_for_each_attempt(&with_pods);
        let stayed = workers.all().iter().filter(|seen| !seen.deleted).count();
        assert_eq!((workers.all().len(), stayed), (WORKERS as usize, WORKERS as usize), "no worker was replaced");
        assert_eq!(workers.status().await.restarts, 0);
        assert!(pods.most_at_once() <= SLOTS as usize + 1, "{} pods at once", pods.most_at_once());
        done.push(nowhere);
        all_are_recorded(&archive, &done).await;
        let before = writes(&release).await;
        tokio::time::sleep(QUIET).await;
        assert_eq!(writes(&release).await, before, "nothing changes, and somebody writes");

        is_taken_over_by_a_release_of_the_same_name(&ns, &release).await;
        drop(present);
    })
    .await;
}
