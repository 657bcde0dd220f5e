//! The fine print of the worker protocol.

use harness::*;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use task_manager::api::{Reason, State, WorkerPool};

use super::{warm, warm_with_slots};

fn told(answer: &Value) -> (Option<bool>, Option<&str>) {
    (answer["kept"].as_bool(), answer["why"].as_str())
}

/// Waits until so many workers have asked for work, as the pool's status says.
async fn have_asked(ns: &Namespace, ready: i32) {
    eventually("they have asked for work", SOON, async || {
        let status = ns.api::<WorkerPool>().get("warm").await.ok()?.status?;
        (status.ready == ready).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_second_call_for_a_slot_ends_the_first_with_nothing() {
    in_namespace("pool-second", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        let second = async {
            have_asked(&ns, 1).await;
            workers[0].next(json!({"wait": 0})).await
        };
        // It would hang for longer than the test has patience.
        let (first, second) = tokio::join!(workers[0].next(json!({"wait": 50})), second);
        for answer in [first, second] {
            assert_eq!((&answer["task"], &answer["stop"], answer.get("kept")), (&Value::Null, &json!(false), None));
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_processes_in_one_slot_the_second_waits_until_the_first_is_silent() {
    in_namespace("pool-processes", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        let (first, second) = (workers[0].as_process("first"), workers[0].as_process("second"));
        ns.create(&task("one")).await;
        let given = first.task().await;
        let progress = async |worker: &WarmWorker| worker.progress(&given["lease"], &json!({})).await.status;
        assert_eq!(second.next(json!({"wait": 0})).await["task"], Value::Null);
        assert_eq!((progress(&first).await, progress(&second).await), (204, 409));
        let again = first.next(json!({"wait": 0})).await;
        assert_eq!(again["task"]["lease"], given["lease"], "its answer was lost");
        let taken_over = second.task_with(json!({"wait": 50, "beats": true})).await;
        assert_eq!(taken_over["lease"], given["lease"], "the first was silent");
        assert_eq!((progress(&first).await, progress(&second).await), (409, 204));
        assert_eq!(told(&second.done(&given["lease"], json!({})).await).0, Some(true));
        let status = ns.task_in("one", State::Completed).await.status.expect("a status");
        assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_word_is_answered_the_same_again_while_task_or_record_is_there() {
    in_namespace("pool-same", async |ns| {
        let (mut operator, workers) = warm(&ns, 1).await;
        ns.create(&task("one")).await;
        let lease = workers[0].task().await["lease"].clone();
        let done = async || told(&workers[0].done(&lease, json!({"result": {"pages": 1}})).await).0;
        let failed = async || told(&workers[0].done(&lease, json!({"error": {"message": "no"}})).await).0;
        assert_eq!((done().await, done().await, failed().await), (Some(true), Some(true), Some(true)));
        operator.crash().await;
        assert_eq!((done().await, failed().await), (Some(true), Some(true)), "by the task's status");
        let status = ns.task_when("one", "is recorded", |_, status| status.is_archived()).await.status.expect("one");
        assert_eq!(
            (status.state, status.result),
            (State::Completed, Some(json!({"pages": 1}))),
            "the first one counts"
        );
        ns.tasks().delete("one", &DeleteParams::default()).await.expect("it is deleted");
        operator.crash().await;
        assert_eq!(done().await, Some(true), "by its record");
        let unknown =
            format!("{}.1.0123456789abcdef", lease.as_str().and_then(|it| it.split('.').next()).expect("a uid"));
        assert_eq!(told(&workers[0].done(&json!(unknown), json!({})).await), (Some(false), Some("Unknown")));
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_asks_for_other_work_after_a_cancel_has_dropped_the_first() {
    in_namespace("pool-dropped", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        ns.create(&task("one")).await;
        let lease = workers[0].task().await["lease"].clone();
        ns.patch_task("one", json!({"cancel": true})).await.expect("it is taken");
        ns.task_when("one", "is stopping", |_, status| status.reason == Reason::Stopping).await;
        eventually("nothing is given again", SOON, async || {
            workers[0].next(json!({"wait": 0})).await["task"].is_null().then_some(())
        })
        .await;
        ns.task_in("one", State::Cancelled).await;
        let late = workers[0].done(&lease, json!({"result": 1})).await;
        assert_eq!(told(&late), (Some(false), Some("Cancelled")));
    })
    .await;
}

#[tokio::test]
async fn a_word_after_another_run_was_asked_for_is_superseded_and_that_run_follows() {
    in_namespace("pool-rerun", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        ns.create(&task("one")).await;
        let lease = workers[0].task().await["lease"].clone();
        ns.patch_task("one", json!({"runId": "2"})).await.expect("it is taken");
        let stop = eventually("the worker is told", SOON, async || {
            let answer = workers[0].progress(&lease, &json!({})).await;
            (answer.status == 200).then(|| answer.json())
        })
        .await;
        assert_eq!(stop["cancel"]["reason"], json!("Superseded"));
        let late = workers[0].done(&lease, json!({"error": {"message": "stopped"}})).await;
        assert_eq!(told(&late), (Some(false), Some("Superseded")));
        let given = workers[0].task().await;
        assert_eq!((&given["name"], &given["attempt"]), (&json!("one"), &json!(1)));
        assert_ne!(given["lease"], lease);
        assert_eq!(told(&workers[0].done(&given["lease"], json!({})).await).0, Some(true));
        ns.task_when("one", "has run twice", |_, status| {
            status.run_id.as_deref() == Some("2") && status.state == State::Completed
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn reports_name_their_lease_and_an_empty_one_changes_no_progress() {
    in_namespace("pool-reports", async |ns| {
        let (operator, workers) = warm(&ns, 2).await;
        let uid = ns.create(&task("one")).await.metadata.uid.expect("a uid");
        let lease = workers[0].task().await["lease"].clone();
        assert_eq!(workers[0].progress(&lease, &json!({"percent": 40})).await.status, 204);
        assert_eq!(workers[0].progress(&lease, &json!({})).await.status, 204);
        assert_eq!(operator.rest().status(&uid).await["progress"]["percent"].as_f64(), Some(40.0));
        assert_eq!(workers[0].progress(&lease, &json!({"done": 1.5})).await.status, 422);
        for other in [&json!("nobody-knows-this"), &lease] {
            let worker = if other == &lease { &workers[1] } else { &workers[0] };
            assert_eq!(worker.progress(other, &json!({})).await.status, 409);
            assert_eq!(worker.error(other, &json!({"message": "no"})).await.status, 409);
            assert_eq!(worker.result(other, "text/plain", "no".into()).await.status, 409);
        }
        let large = "x".repeat(100_000);
        assert_eq!(workers[0].result(&lease, "text/plain", large.clone()).await.status, 204);
        assert_eq!(told(&workers[0].done(&lease, json!({})).await).0, Some(true));
        let result = operator.rest().get(&format!("/api/v1/tasks/{uid}/result")).await;
        assert_eq!((result.status, result.text.len()), (200, large.len()));
        assert_eq!(workers[0].progress(&lease, &json!({})).await.status, 409);
    })
    .await;
}

#[tokio::test]
async fn an_error_that_was_told_before_goes_before_what_is_handed_in_and_rules_match_exit_codes() {
    in_namespace("pool-errors", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        let rules = json!({"spec": {"failureRules": [{"exitCodes": [64], "action": "Fail"}]}});
        ns.types().patch("work", &PatchParams::default(), &Patch::Merge(rules)).await.expect("it is taken");
        ns.create(&task("told")).await;
        let lease = workers[0].task().await["lease"].clone();
        let said = json!({"type": "Broken", "message": "page 7", "retryable": false});
        assert_eq!(workers[0].error(&lease, &said).await.status, 204);
        assert_eq!(told(&workers[0].done(&lease, json!({"exit_code": 1})).await).0, Some(true));
        let status = ns.task_in("told", State::Failed).await.status.expect("a status");
        assert_eq!((status.reason, status.attempt), (Reason::ReportedError, 1));
        ns.create(&task("ruled")).await;
        let lease = workers[0].task().await["lease"].clone();
        let done = json!({"exit_code": 64, "error": {"type": "Usage"}});
        assert_eq!(told(&workers[0].done(&lease, done).await).0, Some(true));
        let status = ns.task_in("ruled", State::Failed).await.status.expect("a status");
        assert_eq!((status.attempt, status.attempts[0].exit_code), (1, Some(64)));
    })
    .await;
}

#[tokio::test]
async fn a_busy_worker_whose_template_has_changed_is_told_to_stop_after_its_task() {
    in_namespace("pool-stop", async |ns| {
        let (_operator, workers) = warm(&ns, 1).await;
        ns.create(&task("one")).await;
        let lease = workers[0].task().await["lease"].clone();
        let mut template = worker_pool("warm", 1, 1).spec.template;
        template["spec"]["containers"][0]["command"] = json!(["sleep", "1800"]);
        let change = Patch::Merge(json!({"spec": {"template": template}}));
        ns.api::<WorkerPool>().patch("warm", &PatchParams::default(), &change).await.expect("it is changed");
        let seen = |pool: &WorkerPool| {
            pool.status.as_ref().map(|status| status.observed_generation) == pool.metadata.generation
        };
        eventually("the change is seen", SOON, async || {
            ns.api::<WorkerPool>().get("warm").await.ok().filter(seen).map(drop)
        })
        .await;
        assert_eq!(workers[0].progress(&lease, &json!({})).await.status, 204, "its task goes on");
        let answer = workers[0].done(&lease, json!({})).await;
        assert_eq!((told(&answer).0, &answer["stop"]), (Some(true), &json!(true)));
        ns.task_in("one", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn each_slot_of_a_worker_has_a_task_of_its_own() {
    in_namespace("pool-slots", async |ns| {
        let (_operator, workers) = warm_with_slots(&ns, 1, 2).await;
        for name in ["one", "two"] {
            ns.create(&task(name)).await;
        }
        let first = workers[0].task_with(json!({"slot": 0})).await;
        let second = workers[0].task_with(json!({"slot": 1})).await;
        assert_ne!(first["id"], second["id"]);
        assert_eq!(workers[0].next_once(&json!({"slot": 2, "wait": 0})).await.status, 422);
        assert_eq!(workers[0].progress(&Value::Null, &json!({})).await.status, 409, "it says of which");
        for (slot, given) in [(1, &second), (0, &first)] {
            let done = json!({"done": {"lease": given["lease"]}, "slot": slot, "wait": 0});
            assert_eq!(told(&workers[0].next(done).await).0, Some(true));
        }
    })
    .await;
}
