//! Changes to a task that exists: cancel, suspend, deadline.

use harness::*;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State};

use crate::stage::{set, started, status};

#[tokio::test]
async fn a_queued_task_is_cancelled_at_once() {
    in_namespace("cancel-queued", async |ns| {
        ns.create(&task_queue("default", 0)).await;
        let (node, _operator) = set(&ns, &[]).await;
        ns.create(&task("one")).await;
        ns.patch_task("one", json!({"cancel": true})).await.expect("accepted");
        let ended = ns.task_in("one", State::Cancelled).await;
        assert_eq!((status(&ended).attempt, status(&ended).attempts.len(), node.starts().len()), (0, 0, 0));
        assert_eq!(status(&ended).observed_generation, 2);
    })
    .await;
}

#[tokio::test]
async fn a_running_task_is_cancelled_only_when_its_pod_has_ended() {
    in_namespaces("cancel-running", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        node.linger("one");
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        ns.create(&task("next")).await;
        ns.patch_task("one", json!({"cancel": true})).await.expect("accepted");
        let stopping =
            ns.task_when("one", "says that it is being stopped", |_, status| status.reason == Reason::Stopping).await;
        assert_eq!(status(&stopping).state, State::Processing);
        stays("it is not Cancelled, and its slot not free, while its pod runs", A_MOMENT, async || {
            status(&ns.task("one").await).state == State::Processing && node.starts_of("next") == 0
        })
        .await;
        node.let_go("one");
        let ended = status(&ns.task_in("one", State::Cancelled).await);
        assert_eq!(
            (ended.attempts.len(), ended.failures, ended.attempts[0].outcome),
            (1, 0, AttemptOutcome::Cancelled)
        );
        ns.task_in("next", State::Completed).await;
        let phases = ns.pods_now().await.into_iter().map(|pod| pod.status.and_then(|status| status.phase));
        assert!(
            phases.flatten().all(|phase| phase != "Running"),
            "the cancelled one is kept for its log, and has ended"
        );
    })
    .await;
}

#[tokio::test]
async fn a_task_that_waits_for_its_retry_is_cancelled_at_once() {
    in_namespaces("cancel-retry", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::exit(1));
        let retry = serde_json::from_value(json!({"initialSeconds": 600, "maxSeconds": 600})).expect("retry");
        ns.create(&task("one").with(|spec| spec.retry = Some(retry))).await;
        ns.task_when("one", "waits for its retry", |_, status| status.reason == Reason::WaitingForRetry).await;
        ns.patch_task("one", json!({"cancel": true})).await.expect("accepted");
        let ended = status(&ns.task_in("one", State::Cancelled).await);
        assert_eq!((ended.attempt, ended.failures, ended.next_attempt_at), (1, 1, None));
    })
    .await;
}

#[tokio::test]
async fn a_suspended_task_waits_and_holds_back_nobody() {
    in_namespace("suspend", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = set(&ns, &[]).await;
        ns.create(&task("held").with(|spec| spec.suspend = true)).await;
        ns.create(&task("free")).await;
        ns.task_in("free", State::Completed).await;
        ns.task_when("held", "says so", |_, status| status.reason == Reason::Suspended).await;
        stays("it is not started", A_MOMENT, async || node.starts_of("held") == 0).await;
        ns.patch_task("held", json!({"suspend": false})).await.expect("accepted");
        ns.task_in("held", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn suspending_a_running_task_does_not_stop_it() {
    in_namespace("suspend-running", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("one", [Outcome::Hold]);
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        ns.patch_task("one", json!({"suspend": true})).await.expect("accepted");
        stays("it goes on", A_MOMENT, async || status(&ns.task("one").await).state == State::Processing).await;
        node.end("one", Outcome::succeed());
        let done = ns.task_in("one", State::Completed).await;
        assert_eq!(status(&done).observed_generation, 2);
    })
    .await;
}

#[tokio::test]
async fn a_task_is_not_started_before_its_time() {
    in_namespace("start-after", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (_node, _operator) = set(&ns, &[]).await;
        let time = Timestamp::from_second(Timestamp::now().as_second() + 12).expect("a time");
        ns.create(&task("later").with(|spec| spec.start_after = Some(Time(time)))).await;
        ns.create(&task("now")).await;
        ns.task_in("now", State::Completed).await;
        ns.task_when("later", "says so", |_, status| status.reason == Reason::NotYetDue).await;
        let done = status(&ns.task_in("later", State::Completed).await);
        let admitted = done.admitted_at.expect("a time").0;
        assert!(admitted >= time && admitted < time + SignedDuration::from_secs(30), "{admitted} for {time}");
    })
    .await;
}

#[tokio::test]
async fn a_deadline_ends_a_task_wherever_it_is() {
    in_namespaces("deadline", async |ns| {
        ns.create(&task_queue("full", 0)).await;
        let (node, _operator) = set(&ns, &[]).await;
        node.script("running", [Outcome::Hold]);
        node.script("retrying", [Outcome::exit(1)]);
        let with = |name: &str, queue: &str| {
            task(name).with(|spec| {
                spec.deadline_seconds = Some(3);
                spec.queue = queue.into();
                spec.retry =
                    Some(serde_json::from_value(json!({"initialSeconds": 600, "maxSeconds": 600})).expect("retry"));
            })
        };
        ns.create(&with("queued", "full")).await;
        ns.create(&with("running", "default")).await;
        ns.create(&with("retrying", "default")).await;
        ns.create(&with("quick", "default")).await;
        for (name, attempts) in [("queued", 0), ("running", 1), ("retrying", 1)] {
            let ended = status(&ns.task_in(name, State::Failed).await);
            assert_eq!((ended.reason, ended.attempts.len()), (Reason::DeadlineExceeded, attempts), "{name}");
            let took = ended.finished_at.expect("a time").0.duration_since(ended.queued_at.expect("a time").0);
            assert!(took >= SignedDuration::from_secs(3) && took < SignedDuration::from_secs(10), "{name}: {took}");
        }
        eventually("no pod of the running one is left", SOON, async || {
            ns.pods_now()
                .await
                .iter()
                .all(|pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() != Some("Running")))
                .then_some(())
        })
        .await;
        assert_eq!(status(&ns.task("quick").await).state, State::Completed, "what was done in time stays done");
    })
    .await;
}
