//! The last lines of a log, from a real kubelet to the archive's dead letters.

use harness::{Cluster, Namespace, Operator, Rest, With, eventually, in_namespace_of};
use serde_json::json;

use e2e::world::{A_TASK, never_again, pods_can_be_made, shell};

/// The log that is kept of a task of this type, which fails. A node that has much else to do may not hand out a log in
/// time, and then there is none: another task is asked.
async fn log_kept_of(namespace: &Namespace, rest: &Rest, name: &str, script: &str) -> String {
    namespace.create(&shell(name, script).with(never_again)).await;
    eventually(&format!("a task of the type {name} is a dead letter with its log"), A_TASK, async || {
        let id = rest.submit(&json!({"task_type": name, "payload": {}})).await;
        eventually("it has failed", A_TASK, async || (rest.status(&id).await["status"] == "failed").then_some(()))
            .await;
        let letters = rest.get(&format!("/api/v1/tasks/dead-letters?task_type={name}")).await.json();
        assert!(letters["items"].as_array()?.iter().any(|letter| letter["task_id"] == json!(id)), "{letters}");
        rest.get(&format!("/api/v1/tasks/{id}")).await.json()["log"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn of_a_failed_attempt_the_last_200_lines_are_kept_and_of_long_ones_the_last_64_kib() {
    in_namespace_of(Cluster::Node, "logs", async |namespace| {
        pods_can_be_made(&namespace).await;
        let operator = Operator::with_rest(&namespace, &[]).await;
        let rest = operator.rest();

        let kept = log_kept_of(&namespace, &rest, "many-lines", "seq 1 300; exit 1").await;
        let last: Vec<String> = (101..=300).map(|number| number.to_string()).collect();
        assert_eq!(kept.lines().collect::<Vec<_>>(), last);

        let long = "for i in $(seq 1 200); do printf %01000d $i; echo; done; exit 1";
        let kept = log_kept_of(&namespace, &rest, "long-lines", long).await;
        assert!((63 << 10..=64 << 10).contains(&kept.len()), "{} bytes", kept.len());
        let whole: String = (1..=200).map(|number| format!("{number:01000}\n")).collect();
        assert!(whole.trim_end().ends_with(&kept), "it is the end");
    })
    .await;
}
