//! Checkpoints: what an attempt leaves for the next one of its run.

use harness::*;
use hyper::Method;
use kube::api::DeleteParams;
use serde_json::json;
use task_manager::api::{State, TaskStatus};

use super::{at_work, listening, runs, submission, taken};

const LARGEST: usize = 1 << 20;

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem().0)
}

/// Content, its type, and the attempt that left it.
#[track_caller]
fn left(answer: &Answer) -> (&str, Option<&str>, Option<&str>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    (&answer.text, answer.header("content-type"), answer.header("task-attempt"))
}

async fn none_is_kept(ns: &Namespace) {
    eventually("no checkpoint is kept", SOON, async || (checkpoints_of(ns).await == 0).then_some(())).await;
}

#[tokio::test]
async fn the_last_checkpoint_of_any_attempt_is_found_by_the_next_and_goes_with_the_final_record() {
    in_namespaces("worker-checkpoint", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        node.script("one", [Outcome::Hold, Outcome::exit(1), Outcome::Hold]);
        let id = rest.submit(&submission("one")).await;
        let first = Worker::of(&ns, &node, operator.worker(), "one", 1).await;
        assert_eq!(refused(&first.left().await), (404, "no-checkpoint".into()));
        for page in 1..=3 {
            taken(&first.leave("application/json", json!({"page": page}).to_string()).await);
        }
        assert_eq!(left(&first.left().await), (r#"{"page":3}"#, Some("application/json"), Some("1")), "its own");
        node.end("one", Outcome::exit(1));
        // The second attempt fails, and leaves none.
        let third = Worker::of(&ns, &node, operator.worker(), "one", 3).await.for_attempt("3");
        assert_eq!(left(&third.left().await), (r#"{"page":3}"#, Some("application/json"), Some("1")));
        taken(&third.leave("text/plain", "page 4".into()).await);
        assert_eq!(left(&third.left().await), ("page 4", Some("text/plain"), Some("3")));
        runs(&rest, &id, 3).await;
        assert_eq!(checkpoints_of(&ns).await, 1);
        node.end("one", Outcome::succeed());
        ns.task_when("one", "is recorded", |_, status| status.is_archived()).await;
        none_is_kept(&ns).await;
        assert_eq!(refused(&third.leave("text/plain", "late".into()).await), (409, "attempt-over".into()));
        assert_eq!(refused(&third.left().await), (409, "attempt-over".into()));
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint_of_another_attempt_is_refused_and_one_that_is_too_large_with_its_limit() {
    in_namespace("worker-checkpoint-refused", async |ns| {
        let (node, operator, _) = listening(&ns).await;
        let (_, worker) = at_work(&ns, &node, &operator).await;
        let whole = "x".repeat(LARGEST);
        taken(&worker.leave("text/plain", whole.clone()).await);
        let more = worker.leave("text/plain", whole.clone() + "x").await;
        assert_eq!(refused(&more), (413, "body-too-large".into()));
        assert!(more.text.contains("a checkpoint has up to 1048576 bytes"), "{}", more.text);
        for other in ["0", "2"] {
            let other = worker.for_attempt(other);
            assert_eq!(refused(&other.leave("text/plain", "late".into()).await), (409, "attempt-over".into()));
            assert_eq!(refused(&other.left().await), (409, "attempt-over".into()));
        }
        let stranger = worker.with("nonsense");
        assert_eq!(refused(&stranger.leave("text/plain", "x".into()).await), (401, "no-token".into()));
        assert_eq!(refused(&stranger.left().await), (401, "no-token".into()));
        let posted = operator.worker().post("/worker/v1/checkpoint", &json!({})).await;
        assert_eq!((posted.status, posted.header("allow")), (405, Some("PUT,GET,HEAD")));
        assert!(worker.left().await.text == whole, "none of these is kept");
        let task = ns.task("one").await;
        let written = serde_json::to_string(&task.status).expect("a status");
        assert!(!written.contains("checkpoint"), "nothing is written to the task: {written}");
    })
    .await;
}

#[tokio::test]
async fn while_the_store_is_away_a_checkpoint_is_neither_taken_nor_given_and_then_it_is() {
    in_namespace("worker-checkpoint-away", async |ns| {
        let (node, operator, _) = listening(&ns).await;
        let (_, worker) = at_work(&ns, &node, &operator).await;
        taken(&worker.leave("text/plain", "page 1".into()).await);
        let held = Held::hold(&ns).await;
        for answer in [worker.leave("text/plain", "page 2".into()).await, worker.left().await] {
            assert_eq!((refused(&answer), answer.header("retry-after")), ((503, "archive".into()), Some("1")));
        }
        // The work and its reports go on.
        taken(&worker.progress(&json!({"percent": 50})).await);
        held.let_go().await;
        eventually("it is taken", SOON, async || {
            (worker.leave("text/plain", "page 2".into()).await.status == 204).then_some(())
        })
        .await;
        assert_eq!(left(&worker.left().await).0, "page 2");
    })
    .await;
}

#[tokio::test]
async fn a_new_run_begins_without_the_checkpoint_of_the_one_before() {
    in_namespace("worker-checkpoint-runs", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        node.script("one", [Outcome::Hold, Outcome::Hold, Outcome::Hold]);
        rest.submit(&submission("one")).await;
        let first = Worker::of(&ns, &node, operator.worker(), "one", 1).await;
        taken(&first.leave("text/plain", "of the first run".into()).await);
        for (start, run_id) in [(2, "2"), (3, "1")] {
            ns.patch_task("one", json!({"runId": run_id})).await.expect("accepted");
            let is_it = |status: &TaskStatus| status.run_id.as_deref() == Some(run_id);
            ns.task_when("one", "runs anew", |_, status| is_it(status) && status.state == State::Processing).await;
            let worker = Worker::of(&ns, &node, operator.worker(), "one", start).await;
            assert_eq!(refused(&worker.left().await), (404, "no-checkpoint".into()), "runId {run_id}");
            assert_eq!(checkpoints_of(&ns).await, 0, "the run that was superseded has a final record");
            let content = format!("of runId {run_id}");
            taken(&worker.leave("text/plain", content.clone()).await);
            assert_eq!(left(&worker.left().await), (content.as_str(), Some("text/plain"), Some("1")));
        }
    })
    .await;
}

#[tokio::test]
async fn the_checkpoint_of_a_deleted_task_is_deleted() {
    in_namespace("worker-checkpoint-deleted", async |ns| {
        let (node, operator, _) = listening(&ns).await;
        let (_, worker) = at_work(&ns, &node, &operator).await;
        taken(&worker.leave("text/plain", "page 1".into()).await);
        assert_eq!(checkpoints_of(&ns).await, 1);
        ns.tasks().delete("one", &DeleteParams::default()).await.expect("deleted");
        none_is_kept(&ns).await;
    })
    .await;
}

#[tokio::test]
async fn any_replica_takes_a_checkpoint_and_gives_it() {
    in_namespace("worker-checkpoint-replicas", async |ns| {
        let (node, leader, _) = listening(&ns).await;
        let second = leader.replica("second").await;
        let (_, worker) = at_work(&ns, &node, &leader).await;
        let content: String = (0..LARGEST / 16).map(|number| format!("{number:015}\n")).collect();
        taken(&worker.through(second.worker()).leave("text/csv", content.clone()).await);
        for way in [leader.worker(), second.worker()] {
            let answer = worker.through(way).left().await;
            assert!(left(&answer) == (content.as_str(), Some("text/csv"), Some("1")), "another content");
        }
        let more = worker.through(second.worker()).leave("text/csv", content + "x").await;
        assert_eq!(refused(&more), (413, "body-too-large".into()));
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint_that_was_taken_is_found_though_the_operator_is_killed_at_once() {
    in_namespace("worker-checkpoint-killed", async |ns| {
        let (node, mut operator, _) = listening(&ns).await;
        let (_, worker) = at_work(&ns, &node, &operator).await;
        taken(&worker.leave("text/plain", "page 60".into()).await);
        operator.kill().await;
        node.script("one", [Outcome::Hold, Outcome::Hold]);
        node.end("one", Outcome::exit(1));
        operator.start_again().await;
        let again = Worker::of(&ns, &node, operator.worker(), "one", 2).await;
        let answer =
            eventually("it is given", SOON, async || Some(again.left().await).filter(|answer| answer.status != 503))
                .await;
        assert_eq!(left(&answer), ("page 60", Some("text/plain"), Some("1")));
        node.end("one", Outcome::succeed());
        ns.task_in("one", State::Completed).await;
        none_is_kept(&ns).await;
    })
    .await;
}

#[tokio::test]
async fn whether_there_is_a_checkpoint_may_be_asked_without_fetching_it() {
    in_namespace("worker-checkpoint-head", async |ns| {
        let (node, operator, _) = listening(&ns).await;
        let (_, worker) = at_work(&ns, &node, &operator).await;
        let bearer = format!("Bearer {}", worker.token);
        let ask = async || {
            let headers = [("authorization", bearer.as_str())];
            operator.worker().send(Method::HEAD, "/worker/v1/checkpoint", &headers, None).await
        };
        assert_eq!(ask().await.status, 404);
        taken(&worker.leave("text/plain", "page 1".into()).await);
        let answer = ask().await;
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("6")));
    })
    .await;
}
