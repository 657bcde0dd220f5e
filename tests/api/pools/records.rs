//! What is kept of a task that workers ran.

use harness::*;
use serde_json::json;
use task_manager::api::{AttemptOutcome, State};
use task_manager::archive::Options;

use super::warm;

#[tokio::test]
async fn the_record_has_the_spec_every_attempt_and_the_logs_that_were_handed_in() {
    in_namespace("pool-record", async |ns| {
        let (operator, workers) = warm(&ns, 1).await;
        let rest = operator.rest();
        let wanted = task("one").with(|spec| {
            spec.payload = serde_json::from_value(json!({"uri": "s3://in/7.pdf"})).ok();
            spec.retry = serde_json::from_value(json!({"limit": 1, "initialSeconds": 0})).ok();
        });
        let uid = ns.create(&wanted).await.metadata.uid.expect("a uid");
        let log = async |query: &str| rest.get(&format!("/api/v1/tasks/{uid}/log{query}")).await;
        for (log_of, number) in [("page 1\nno such page\n", 1), ("page 1\nstill none\n", 2)] {
            let given = workers[0].task().await;
            assert_eq!(given["attempt"], json!(number));
            assert_eq!(log("").await.status, 409, "there is none yet");
            let done = json!({"exit_code": 3, "log": log_of});
            assert_eq!(workers[0].done(&given["lease"], done).await["kept"], json!(true));
        }
        let task = ns.task_when("one", "is recorded", |_, status| status.is_archived()).await;
        assert_eq!(task.status.expect("a status").state, State::Failed);
        let said = |answer: Answer| {
            (answer.status, answer.header("task-log-source").map(str::to_owned), answer.text.trim_end().to_owned())
        };
        let archived = |text: &str| (200, Some("archived".to_owned()), text.to_owned());
        assert_eq!(said(log("").await), archived("page 1\nstill none"));
        eventually("the log of the first attempt is kept", SOON, async || {
            (said(log("?attempt=1").await) == archived("page 1\nno such page")).then_some(())
        })
        .await;
        let archive = open_archive(&ns.archive(), &Options::default()).await.expect("the archive");
        let record = archive.find(&uid).await.expect("an answer").expect("a record");
        assert_eq!(record.details.spec["payload"], json!({"uri": "s3://in/7.pdf"}));
        assert_eq!(record.details.worker.as_deref(), Some(workers[0].pod.as_str()));
        let attempts: Vec<_> = record
            .details
            .attempts
            .iter()
            .map(|ended| (ended.number, ended.outcome, ended.exit_code, ended.pod.as_deref()))
            .collect();
        let failed = |number| (number, AttemptOutcome::Failed, Some(3), Some(workers[0].pod.as_str()));
        assert_eq!(attempts, [failed(1), failed(2)]);
    })
    .await;
}

#[tokio::test]
async fn of_a_longer_log_the_end_is_kept_and_of_a_success_none() {
    in_namespace("pool-logs", async |ns| {
        let (operator, workers) = warm(&ns, 1).await;
        let log = async |uid: &str| operator.rest().get(&format!("/api/v1/tasks/{uid}/log")).await;
        let never = |spec: &mut task_manager::api::TaskSpec| {
            spec.retry = serde_json::from_value(json!({"limit": 0})).ok();
        };
        let failed = ns.create(&task("failed").with(never)).await.metadata.uid.expect("a uid");
        let lease = workers[0].task().await["lease"].clone();
        let long = format!("{}the end", "é".repeat(4000));
        let answer = workers[0].done(&lease, json!({"exit_code": 1, "log": long})).await;
        assert_eq!(answer["kept"], json!(true), "no reason to lose what came of it");
        let kept = log(&failed).await;
        assert_eq!((kept.status, kept.text.ends_with("éthe end")), (200, true));
        assert!(kept.text.len() <= 4096, "{}", kept.text.len());
        let done = ns.create(&task("done")).await.metadata.uid.expect("a uid");
        let lease = workers[0].task().await["lease"].clone();
        assert_eq!(workers[0].done(&lease, json!({"log": "page 1"})).await["kept"], json!(true));
        ns.task_when("done", "is recorded", |_, status| status.is_archived()).await;
        assert_eq!(log(&done).await.problem().0, "log-gone");
    })
    .await;
}
