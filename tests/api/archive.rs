//! Archive before forget, as a user sees it: what is kept of a run, and what becomes of tasks while the archive is
//! away.

use std::time::{Duration, Instant};

use harness::*;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State, Task, TaskStatus};
use task_manager::archive::{Archive, Filter, Options, Record};
use tokio::net::TcpListener;

use crate::stage::{set, started, status};

const TASKS: usize = 20;
/// Much less than if each of the tasks waited for an archive that does not answer.
const WITHOUT_WAITING: Duration = Duration::from_secs(20);

fn archive_at(url: &str) -> Archive {
    // Patient: the disk may have much else to do.
    Archive::at(url, &Options { deadline: SOON, ..Options::default() }).expect("a URL")
}

async fn record(ns: &Namespace, task: &Task) -> Option<Record> {
    let uid = task.metadata.uid.as_deref().expect("a uid");
    archive_at(&ns.archive()).find(uid).await.expect("the archive answers")
}

async fn recorded(ns: &Namespace, name: &str) -> Task {
    ns.task_when(name, "is recorded", |_, status| status.is_archived()).await
}

async fn recorded_as(ns: &Namespace, task: &Task, state: State, reason: Reason) -> Record {
    let is_so = |record: &Record| (record.summary.state, record.summary.reason) == (state, reason);
    eventually(&format!("its record says {state} {reason}"), SOON, async || record(ns, task).await.filter(is_so)).await
}

/// The operator counts a record as written a moment after the archive shows it.
async fn no_record_waits(operator: &Operator) {
    eventually("no record waits", SOON, async || {
        let waiting = operator.metrics().await.value("task_manager_archive_records_waiting", &[]);
        (waiting == Some(0.0)).then_some(())
    })
    .await;
}

async fn readyz(operator: &Operator) -> String {
    let (code, text) = http_get(operator.health, "/readyz?verbose").await.expect("an answer");
    assert_eq!(code, 200, "readiness does not depend on the archive: {text}");
    text
}

#[tokio::test]
async fn the_record_of_a_run_tells_all_of_it() {
    in_namespace("record", async |ns| {
        let (node, operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::exit(1), Outcome::result(r#"{"pages": 10}"#)]);
        ns.create(&task("one").with(|spec| spec.kb_id = Some("kb-42".into()))).await;
        let task = recorded(&ns, "one").await;
        let is = status(&task);
        let record = record(&ns, &task).await.expect("a record");
        assert_eq!((record.summary.state, record.summary.reason), (State::Completed, Reason::Succeeded));
        assert_eq!((record.summary.attempt, record.summary.failures), (2, 1));
        assert_eq!(record.summary.kb_id.as_deref(), Some("kb-42"));
        assert_eq!(record.summary.finished_at, is.finished_at.map(|time| time.0));
        assert_eq!((record.details.attempts, record.details.result), (is.attempts, Some(json!({"pages": 10}))));
        assert_eq!(record.details.spec["payload"], json!({"name": "one"}));
        assert!(!record.details.payload_lost);
        let metrics = operator.metrics().await;
        assert_eq!(metrics.count("task_manager_archive_writes_total", &[("result", "ok")]), 1);
        assert_eq!(metrics.value("task_manager_archive_up", &[]), Some(1.0));
        assert_eq!(readyz(&operator).await.lines().find(|line| line.contains("archive")), Some("[+]archive ok"));
    })
    .await;
}

#[tokio::test]
async fn while_the_archive_is_down_tasks_end_and_stay_and_later_all_are_recorded() {
    in_namespace("archive-down", async |ns| {
        let (_node, operator) = set(&ns, &["--keep-finished-seconds", "0"]).await;
        let held = Held::hold(&ns).await;
        let began = Instant::now();
        for number in 0..TASKS {
            let name = format!("t-{number}");
            ns.create(&task(&name).with(|spec| spec.ttl_seconds_after_finished = Some(0))).await;
        }
        let tasks = ns.all_final(SOON).await;
        assert!(began.elapsed() < WITHOUT_WAITING, "they have waited for the archive: {:?}", began.elapsed());
        assert_eq!(tasks.len(), TASKS, "nothing is removed before it is recorded");
        assert!(tasks.iter().all(|task| status(task).archived == Some(false)), "{tasks:#?}");
        eventually("all wait for their record", SOON, async || {
            let metrics = operator.metrics().await;
            let waiting = metrics.value("task_manager_archive_records_waiting", &[]);
            (waiting == Some(TASKS as f64) && metrics.value("task_manager_archive_up", &[]) == Some(0.0)).then_some(())
        })
        .await;
        let told = readyz(&operator).await;
        assert!(told.contains("[-]archive failed: the archive does not answer: "), "{told}");
        assert_eq!(ns.jobs_now().await.len(), TASKS, "nor are their Jobs");
        held.let_go().await;
        eventually("all are recorded and removed", SOON, async || {
            let left = ns.tasks().list(&ListParams::default()).await.ok()?.items;
            left.is_empty().then_some(())
        })
        .await;
        let archive = archive_at(&ns.archive());
        let kept = archive.list(&Filter::within([&ns.name]), None, 100).await.expect("an answer").items;
        assert_eq!(kept.iter().filter(|record| record.state == State::Completed).count(), TASKS);
        no_record_waits(&operator).await;
        assert_eq!(operator.metrics().await.value("task_manager_archive_up", &[]), Some(1.0));
        let said = |words: &str| operator.logged().matches(words).count();
        assert_eq!((said("takes no records"), said("takes records again")), (1, 1), "it is said once each");
    })
    .await;
}

#[tokio::test]
async fn an_archive_that_takes_calls_and_says_nothing_holds_up_no_task() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("postgres://user:password@{}/archive", silent.local_addr().expect("an address"));
    in_namespace("archive-silent", async |ns| {
        let (_node, _operator) = set(&ns, &["--archive", &url]).await;
        let began = Instant::now();
        for number in 0..TASKS {
            ns.create(&task(&format!("t-{number}"))).await;
        }
        let tasks = ns.all_final(SOON).await;
        assert!(began.elapsed() < WITHOUT_WAITING, "they have waited for the archive: {:?}", began.elapsed());
        assert!(tasks.iter().all(|task| status(task).archived == Some(false)), "{tasks:#?}");
    })
    .await;
}

#[tokio::test]
async fn an_archive_whose_folder_is_made_later_is_used_then() {
    in_namespace("archive-later", async |ns| {
        let folder = target().join("test-archives").join(&ns.name);
        let url = format!("sqlite:{}/archive.db", folder.display());
        let (_node, operator) = set(&ns, &["--archive", &url]).await;
        ns.create(&task("one")).await;
        let task = ns.task_in("one", State::Completed).await;
        assert_eq!(status(&task).archived, Some(false));
        assert!(readyz(&operator).await.contains("[-]archive failed: the archive refuses: "));
        std::fs::create_dir_all(&folder).expect("a folder");
        recorded(&ns, "one").await;
        let kept = archive_at(&url).find(task.metadata.uid.as_deref().expect("a uid")).await.expect("an answer");
        assert_eq!(kept.expect("a record").summary.state, State::Completed);
        std::fs::remove_dir_all(&folder).expect("it is removed");
    })
    .await;
}

#[tokio::test]
async fn while_the_archives_file_is_moved_away_no_empty_one_replaces_it() {
    in_namespace("archive-moved", async |ns| {
        let (_node, operator) = set(&ns, &[]).await;
        ns.create(&task("before")).await;
        let before = recorded(&ns, "before").await;
        let file = ns.archive().strip_prefix("sqlite:").expect("a file").to_owned();
        let moved = format!("{file}.moved");
        std::fs::rename(&file, &moved).expect("it is moved");
        let after = ns.create(&task("after")).await;
        ns.task_when("after", "ends all the same", |_, status| status.state == State::Completed).await;
        eventually("it is told", SOON, async || readyz(&operator).await.contains("[-]archive").then_some(())).await;
        assert!(operator.logged().contains("moved, removed or replaced"));
        stays("no other one is made", A_MOMENT, async || !std::path::Path::new(&file).exists()).await;

        std::fs::rename(&moved, &file).expect("it is back");
        recorded(&ns, "after").await;
        for task in [&before, &after] {
            let found = record(&ns, task).await.map(|record| record.summary.state);
            assert_eq!(found, Some(State::Completed), "nothing was lost");
        }
        assert!(readyz(&operator).await.contains("[+]archive ok"));
    })
    .await;
}

#[tokio::test]
async fn a_task_deleted_unfinished_is_recorded_as_deleted_even_if_the_archive_is_down() {
    in_namespace("deleted", async |ns| {
        let (node, operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::Hold);
        // The watch of pods may be ahead of that of tasks: a pod that is gone before its task has left nothing to record.
        node.linger("runs");
        let held_back = ns.create(&task("held-back").with(|spec| spec.suspend = true)).await;
        let runs = ns.create(&task("runs")).await;
        started(&node, "runs", 1).await;
        ns.task_when("held-back", "says so", |_, status| status.reason == Reason::Suspended).await;
        ns.tasks().delete("held-back", &DeleteParams::default()).await.expect("deleted");
        let told = recorded_as(&ns, &held_back, State::Cancelled, Reason::Deleted).await;
        assert_eq!((told.summary.attempt, &told.details.spec["payload"]), (0, &json!({"name": "held-back"})));
        let held = Held::hold(&ns).await;
        ns.tasks().delete("runs", &DeleteParams::default()).await.expect("deleted");
        eventually("its record waits", SOON, async || {
            let waiting = operator.metrics().await.value("task_manager_archive_records_waiting", &[]);
            (waiting == Some(1.0)).then_some(())
        })
        .await;
        node.let_go("runs");
        held.let_go().await;
        let told = recorded_as(&ns, &runs, State::Cancelled, Reason::Deleted).await;
        assert_eq!((told.summary.attempt, &told.details.spec["payload"]), (1, &json!({"name": "runs"})));
        assert!(told.summary.message.is_some_and(|words| words.contains("Processing")));
        let attempts = told.details.attempts.iter();
        let attempts: Vec<_> = attempts.map(|attempt| (attempt.outcome, attempt.reason, attempt.pod.clone())).collect();
        let pod = Some(node.starts()[0].pod.clone());
        assert_eq!(attempts, [(AttemptOutcome::Cancelled, Reason::Deleted, pod)], "the attempt that ran");
        no_record_waits(&operator).await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_task_that_a_finalizer_keeps_says_so_and_ends_and_is_recorded_with_its_attempt() {
    in_namespace("deleted-kept", async |ns| {
        let (node, operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::Hold);
        node.linger("runs");
        let keep = |kept: Option<&str>| json!({"metadata": {"finalizers": kept.map(|kept| vec![kept])}});
        for (name, suspend) in [("runs", false), ("waits", true)] {
            ns.create(&task(name).with(|spec| spec.suspend = suspend)).await;
            let patch = Patch::Merge(keep(Some("example.com/keep")));
            ns.tasks().patch(name, &PatchParams::default(), &patch).await.expect("accepted");
        }
        started(&node, "runs", 1).await;
        for name in ["runs", "waits"] {
            ns.tasks().delete(name, &DeleteParams::default()).await.expect("deleted");
        }
        let told = ns.task_when("runs", "says that it ends", |_, status| status.reason == Reason::Stopping).await;
        let message = status(&told).message;
        assert_eq!(message.as_deref(), Some("deleted while it was processing; waiting for its pod to end"));
        node.let_go("runs");
        for (name, attempts) in [("runs", 1), ("waits", 0)] {
            let kept = ns.task_when(name, "is over", |_, status| status.is_archived()).await;
            let end = status(&kept);
            assert_eq!((end.state, end.reason, end.attempts.len()), (State::Cancelled, Reason::Deleted, attempts));
            let told = recorded_as(&ns, &kept, State::Cancelled, Reason::Deleted).await;
            assert_eq!(told.details.attempts, end.attempts, "{name}");
            let patch = Patch::Merge(keep(None));
            ns.tasks().patch(name, &PatchParams::default(), &patch).await.expect("accepted");
            stays("its record stays", A_MOMENT, async || {
                let again = record(&ns, &kept).await.expect("a record");
                again.details.attempts == end.attempts && again.summary.archived_at == told.summary.archived_at
            })
            .await;
        }
        assert!(!operator.logged().contains("Superseded"), "it was deleted");
    })
    .await;
}

#[tokio::test]
async fn what_waits_in_memory_is_written_when_the_operator_is_asked_to_end() {
    in_namespace("deleted-late", async |ns| {
        let (_node, mut operator) = set(&ns, &[]).await;
        let one = ns.create(&task("one").with(|spec| spec.suspend = true)).await;
        ns.task_when("one", "says so", |_, status| status.reason == Reason::Suspended).await;
        ns.tasks().delete("one", &DeleteParams::default()).await.expect("deleted");
        operator.stop().await;
        let told = record(&ns, &one).await.map(|record| record.summary.reason);
        // It may have ended before it saw that the task was gone; then nobody did.
        assert!(told.is_none_or(|reason| reason == Reason::Deleted), "{told:?}");
        assert!(!operator.logged().contains("they are lost"));
    })
    .await;
}

#[tokio::test]
async fn a_new_run_waits_until_the_archive_has_the_record_of_the_one_before() {
    in_namespace("rerun-down", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let held = Held::hold(&ns).await;
        ns.create(&task("one")).await;
        let first = ns.task_in("one", State::Completed).await;
        ns.patch_task("one", json!({"runId": "2", "payload": {"other": true}})).await.expect("accepted");
        ns.task_when("one", "says what it waits for", |task, _| condition(task, "Reconciling") == Some("True")).await;
        stays("the first run's end is not wiped out", A_MOMENT, async || {
            status(&ns.task("one").await).finished_at == status(&first).finished_at && node.starts_of("one") == 1
        })
        .await;
        held.let_go().await;
        let is_second = |_: &Task, status: &task_manager::api::TaskStatus| {
            status.run_id.as_deref() == Some("2") && status.is_archived()
        };
        let second = ns.task_when("one", "has run again", is_second).await;
        let uid = second.metadata.uid.as_deref().expect("a uid");
        let archive = archive_at(&ns.archive());
        let [first, second] = [archive.find_run(uid, "1").await, archive.find_run(uid, "2").await]
            .map(|found| found.expect("an answer").expect("a record"));
        assert_eq!((first.summary.state, second.summary.state), (State::Completed, State::Completed));
        assert_eq!(second.details.spec["payload"], json!({"name": "one", "other": true}));
        assert_eq!(first.details.spec["payload"], json!({"name": "one"}), "it is not given another's");
        assert!(!first.details.payload_lost);
    })
    .await;
}

/// The record of the first run of `task`, which another one has superseded.
async fn first_run(ns: &Namespace, name: &str) -> Record {
    let is_second = |status: &TaskStatus| status.run_id.as_deref() == Some("2") && status.is_archived();
    let second = ns.task_when(name, "has run again", |_, status| is_second(status)).await;
    let uid = second.metadata.uid.as_deref().expect("a uid");
    let first = archive_at(&ns.archive()).find_run(uid, "1").await.expect("an answer").expect("a record");
    assert_eq!((first.summary.state, first.summary.reason), (State::Cancelled, Reason::Superseded));
    first
}

#[tokio::test]
async fn a_run_that_is_superseded_while_the_operator_is_away_is_recorded_as_it_ran() {
    in_namespace("superseded", async |ns| {
        ns.create(&task_type("other")).await;
        let (node, mut operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one").with(|spec| spec.kb_id = Some("kb-1".into()))).await;
        started(&node, "one", 1).await;
        operator.stop().await;
        let next = json!({"runId": "2", "type": "other", "kbId": "kb-2", "payload": {"other": true}});
        ns.patch_task("one", next).await.expect("accepted");
        operator.start_again().await;
        let first = first_run(&ns, "one").await;
        assert_eq!((first.summary.type_.as_str(), first.summary.kb_id.as_deref()), ("work", Some("kb-1")));
        assert_eq!(first.details.spec["payload"], json!({"name": "one"}));
        assert!(!first.details.payload_lost);
    })
    .await;
}

#[tokio::test]
async fn of_a_superseded_run_of_which_nothing_is_left_the_payload_is_said_to_be_lost() {
    in_namespace("superseded-gone", async |ns| {
        let (node, mut operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        operator.stop().await;
        ns.patch_task("one", json!({"runId": "2"})).await.expect("accepted");
        for job in ns.jobs_now().await {
            ns.jobs().delete(&job.name_any(), &DeleteParams::background()).await.expect("deleted");
        }
        eventually("its pod is gone", SOON, async || ns.pods_now().await.is_empty().then_some(())).await;
        operator.start_again().await;
        let first = first_run(&ns, "one").await;
        assert!(first.details.payload_lost && first.details.spec.get("payload").is_none(), "it is not guessed");
    })
    .await;
}

/// The end of a new task of this name.
async fn created_again(ns: &Namespace, name: &str, run_id: &str) -> Task {
    ns.create(&task(name).with(|spec| (spec.once, spec.run_id) = (true, run_id.into()))).await;
    recorded(ns, name).await
}

async fn removed(ns: &Namespace, name: &str) {
    ns.tasks().delete(name, &DeleteParams::default()).await.expect("deleted");
    eventually("it is gone", SOON, async || ns.tasks().get_opt(name).await.ok()?.is_none().then_some(())).await;
}

#[tokio::test]
async fn a_task_with_once_runs_once_however_often_it_is_created() {
    in_namespace("once", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::result("7"), Outcome::exit(1)]);
        let first = created_again(&ns, "one", "1").await;
        assert_eq!(status(&first).reason, Reason::Succeeded);
        removed(&ns, "one").await;
        for _ in 0..2 {
            let again = status(&created_again(&ns, "one", "1").await);
            assert_eq!((again.state, again.reason), (State::Completed, Reason::RanBefore));
            assert_eq!((again.result, again.attempt), (Some(json!(7)), 0));
            removed(&ns, "one").await;
        }
        assert_eq!(node.starts_of("one"), 1, "nothing was run again");
        ns.create(&task("one")).await;
        ns.task_when("one", "runs, for it does not say once", |_, status| status.attempt > 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_task_with_once_that_had_a_run_before_does_not_run_it_again() {
    in_namespace("once-reruns", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        created_again(&ns, "one", "1").await;
        let mut reasons = vec![];
        for run_id in ["2", "1", "2"] {
            ns.patch_task("one", json!({"runId": run_id})).await.expect("accepted");
            let is_over = |status: &TaskStatus| status.run_id.as_deref() == Some(run_id) && status.is_archived();
            let ended = ns.task_when("one", "has ended this run", |_, status| is_over(status)).await;
            reasons.push(status(&ended).reason);
        }
        assert_eq!(reasons, [Reason::Succeeded, Reason::RanBefore, Reason::RanBefore]);
        assert_eq!(node.starts_of("one"), 2);
    })
    .await;
}

#[tokio::test]
async fn a_task_with_once_that_never_ran_may_be_created_again_and_runs() {
    in_namespace("once-mended", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        ns.create(&task("one").with(|spec| (spec.once, spec.cancel) = (true, true))).await;
        assert_eq!(status(&recorded(&ns, "one").await).reason, Reason::Cancelled);
        removed(&ns, "one").await;
        assert_eq!(status(&created_again(&ns, "one", "1").await).reason, Reason::Succeeded);
        assert_eq!(node.starts_of("one"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_task_with_once_waits_while_the_archive_does_not_answer_and_others_do_not() {
    in_namespace("once-down", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        let held = Held::hold(&ns).await;
        // It is known to be down as soon as something was to be put into it.
        ns.create(&task("other")).await;
        ns.task_in("other", State::Completed).await;
        ns.create(&task("one").with(|spec| spec.once = true)).await;
        ns.task_when("one", "says so", |_, status| status.reason == Reason::WaitingForArchive).await;
        assert_eq!(node.starts_of("one"), 0);
        held.let_go().await;
        let ran = status(&recorded(&ns, "one").await);
        assert_eq!((ran.state, ran.reason, node.starts_of("one")), (State::Completed, Reason::Succeeded, 1));
    })
    .await;
}

#[tokio::test]
async fn records_beyond_the_number_that_is_kept_are_forgotten() {
    in_namespace("forgotten", async |ns| {
        let (_node, operator) = set(&ns, &[]).await;
        for name in ["one", "two", "three"] {
            ns.create(&task(name)).await;
            recorded(&ns, name).await;
        }
        drop(operator);
        let _operator = ns.operator(&["--archive-keep-records", "1"]).await;
        let archive = archive_at(&ns.archive());
        let left = eventually("one record is left", SOON, async || {
            let left = archive.list(&Filter::default(), None, 10).await.ok()?.items;
            (left.len() == 1).then_some(left)
        })
        .await;
        assert_eq!(left[0].name, "three", "the newest");
    })
    .await;
}
