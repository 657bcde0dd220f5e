//! The log of an attempt, from its pod or from the archive.

use harness::*;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::{body_with, served, served_and_held, status_when};
use crate::stage::started;

/// A type "work", somebody to run its pods and hand out their logs, and an operator that serves REST.
async fn with_logs(ns: &Namespace) -> (FakeNode, FakeLogs, Operator, Rest) {
    ns.create(&task_type("work")).await;
    let node = ns.fake_node();
    let logs = FakeLogs::start(ns).await;
    let operator = Operator::with_rest_as(ns, logs.kubeconfig(), &[]).await;
    let rest = operator.rest();
    (node, logs, operator, rest)
}

async fn log(rest: &Rest, id: &str, query: &str) -> Answer {
    rest.get(&format!("/api/v1/tasks/{id}/log?{query}")).await
}

/// Waits until it runs, as the pod tells.
async fn runs(ns: &Namespace, node: &FakeNode, name: &str, times: usize) {
    started(node, name, times).await;
    let pod = node.starts().into_iter().rev().find(|start| start.task == name).expect("it was started").pod;
    eventually("it runs", SOON, async || {
        let status = ns.pods().get(&pod).await.ok()?.status?;
        (status.phase.as_deref() == Some("Running")).then_some(())
    })
    .await;
}

async fn failed(ns: &Namespace, rest: &Rest, id: &str, name: &str) {
    status_when(rest, id, "failed").await;
    ns.task_when(name, "is archived", |_, status| status.is_archived()).await;
}

async fn without_pods(ns: &Namespace) {
    ns.jobs().delete_collection(&DeleteParams::background(), &Default::default()).await.expect("deleted");
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    eventually("no pod is left", SOON, async || {
        ns.pods().delete_collection(&at_once, &Default::default()).await.ok()?;
        ns.pods_now().await.is_empty().then_some(())
    })
    .await;
}

fn said(answer: &Answer) -> (u16, Option<&str>, Option<&str>, &str) {
    (answer.status, answer.header("task-log-source"), answer.header("task-log-attempt"), &answer.text)
}

#[tokio::test]
async fn a_log_comes_from_the_pod_while_it_is_there_and_then_from_the_archive() {
    in_namespaces("rest-log", async |ns| {
        let (node, logs, _operator, rest) = with_logs(&ns).await;
        node.script("one", [Outcome::exit(1), Outcome::Hold]);
        logs.script("one", FakeLog::Text("a\nb\nc\n".into()));
        let more = json!({"name": "one", "retry": {"limit": 1, "initial_seconds": 0}});
        let id = rest.submit(&body_with(more)).await;
        runs(&ns, &node, "one", 2).await;
        let live = log(&rest, &id, "").await;
        assert_eq!(said(&live), (200, Some("live"), Some("2"), "a\nb\nc\n"));
        assert_eq!(live.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(live.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(log(&rest, &id, "attempt=2&tail=7").await.status, 200);
        let asked = logs.asked();
        let asked: Vec<&String> = asked.iter().filter(|path| !path.contains("limitBytes")).collect();
        assert!(asked.iter().all(|path| path.contains("container=work")), "{asked:?}");
        assert!(asked[0].contains("tailLines=200") && asked[1].contains("tailLines=7"), "{asked:?}");
        kept(&rest, &id, 1, "a\nb\nc").await;

        node.end("one", Outcome::exit(1));
        failed(&ns, &rest, &id, "one").await;
        assert_eq!(said(&log(&rest, &id, "").await), (200, Some("live"), Some("2"), "a\nb\nc\n"));
        without_pods(&ns).await;
        assert_eq!(said(&log(&rest, &id, "").await), (200, Some("archived"), Some("2"), "a\nb\nc"));
        assert_eq!(said(&log(&rest, &id, "tail=2&follow=true").await), (200, Some("archived"), Some("2"), "b\nc"));
        kept(&rest, &id, 1, "a\nb\nc").await;
        ns.tasks().delete("one", &DeleteParams::default()).await.expect("deleted");
        eventually("it is gone", SOON, async || ns.tasks().get_opt("one").await.ok()?.is_none().then_some(())).await;
        assert_eq!(said(&log(&rest, &id, "").await), (200, Some("archived"), Some("2"), "a\nb\nc"));
        kept(&rest, &id, 1, "a\nb\nc").await;
    })
    .await;
}

/// The archive has this log of the attempt, whose pod is gone.
async fn kept(rest: &Rest, id: &str, attempt: u32, text: &str) {
    let number = attempt.to_string();
    eventually(&format!("the log of attempt {attempt} is kept"), SOON, async || {
        let answer = log(rest, id, &format!("attempt={attempt}")).await;
        (said(&answer) == (200, Some("archived"), Some(&number), text)).then_some(())
    })
    .await;
}

/// The output of `task-manager logs`, whether it ended well, and what it complained of.
async fn printed(ns: &Namespace, logs: &FakeLogs, more: &[&str]) -> (bool, String, String) {
    let command = [&["logs", "one", "-n", &ns.name], more].concat();
    let printed =
        Operator::command().args(command).env("KUBECONFIG", logs.kubeconfig()).output().await.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (printed.status.success(), text(printed.stdout), text(printed.stderr))
}

#[tokio::test]
async fn the_log_of_each_attempt_that_failed_is_kept_and_no_attempt_waits_for_the_archive() {
    in_namespace("rest-log-attempts", async |ns| {
        let (node, logs, operator, rest) = with_logs(&ns).await;
        node.script("one", [Outcome::Hold, Outcome::Hold, Outcome::Hold]);
        let more = json!({"name": "one", "retry": {"limit": 2, "initial_seconds": 0}});
        logs.script("one", FakeLog::Text("first\n".into()));
        let id = rest.submit(&body_with(more)).await;
        runs(&ns, &node, "one", 1).await;
        let held = Held::hold(&ns).await;
        node.end("one", Outcome::exit(1));
        runs(&ns, &node, "one", 2).await;
        stays("the Job of the first attempt is there until its log is kept", A_MOMENT, async || {
            ns.jobs_now().await.len() == 2
        })
        .await;
        held.let_go().await;
        kept(&rest, &id, 1, "first").await;

        logs.script("one", FakeLog::Text("second\n".into()));
        node.end("one", Outcome::exit(1));
        runs(&ns, &node, "one", 3).await;
        kept(&rest, &id, 2, "second").await;
        logs.script("one", FakeLog::Text("third\n".into()));
        assert_eq!(printed(&ns, &logs, &[]).await, (true, "third\n".into(), String::new()));
        let (done, _, told) = printed(&ns, &logs, &["--attempt", "1"]).await;
        assert!(!done && told.contains("--server"), "{told}");
        let at = operator.flag("--http-addr").expect("it serves REST");
        let server = format!("http://{at}");
        let first = printed(&ns, &logs, &["--attempt", "1", "--server", &server]).await;
        assert_eq!(first, (true, "first\n".into(), String::new()));
        let (done, _, told) = printed(&ns, &logs, &["--attempt", "4"]).await;
        assert!(!done && told.contains("1 to 3"), "{told}");

        node.end("one", Outcome::exit(1));
        failed(&ns, &rest, &id, "one").await;
        without_pods(&ns).await;
        for (attempt, text) in [(1, "first"), (2, "second"), (3, "third")] {
            kept(&rest, &id, attempt, text).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_log_is_followed_line_by_line_until_the_pod_ends() {
    in_namespace("rest-log-follow", async |ns| {
        let (node, logs, mut operator, rest) = with_logs(&ns).await;
        node.otherwise(Outcome::Hold);
        let id = rest.submit(&body_with(json!({"name": "one"}))).await;
        runs(&ns, &node, "one", 1).await;
        let written = logs.open("one");
        written.send("a\n".into()).expect("sent");
        let mut followed = rest.follow_log(&id, "tail=0").await;
        let source = followed.headers.get("task-log-source").and_then(|value| value.to_str().ok());
        assert_eq!((followed.status, source), (200, Some("live")));
        assert_eq!(followed.next().await.expect("a piece").as_deref(), Some("a\n"));
        written.send("b\n".into()).expect("sent");
        assert_eq!(followed.next().await.expect("a piece").as_deref(), Some("b\n"), "as it is written");
        assert!(logs.asked().iter().any(|path| path.contains("follow=true") && path.contains("tailLines=0")));
        drop(written);
        assert_eq!(followed.next().await.expect("its end"), None);

        // When the operator stops it is broken off, which is no end.
        let written = logs.open("one");
        written.send("c\n".into()).expect("sent");
        let mut followed = rest.follow_log(&id, "").await;
        assert_eq!(followed.next().await.expect("a piece").as_deref(), Some("c\n"));
        let (_, broken) = tokio::join!(operator.stop(), followed.next());
        assert!(broken.is_err(), "{broken:?}");
    })
    .await;
}

#[tokio::test]
async fn where_there_is_no_log_yet_the_answer_says_why() {
    in_namespace("rest-no-log", async |ns| {
        let (node, logs, _operator, rest) = with_logs(&ns).await;
        let later = rest.submit(&body_with(json!({"start_after": "2100-01-01T00:00:00Z"}))).await;
        let answer = log(&rest, &later, "").await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (409, "no-log"));
        assert!(answer.text.contains("it is queued"), "{}", answer.text);
        assert_eq!(log(&rest, &later, "follow=true").await.status, 409);
        node.script("slow", [Outcome::Waiting("ContainerCreating".into())]);
        let slow = rest.submit(&body_with(json!({"name": "slow"}))).await;
        started(&node, "slow", 1).await;
        status_when(&rest, &slow, "processing").await;
        assert_eq!(log(&rest, &slow, "").await.problem().0, "no-log", "its container is being made");
        node.script("early", [Outcome::Hold]);
        let early = rest.submit(&body_with(json!({"name": "early"}))).await;
        runs(&ns, &node, "early", 1).await;
        let words = "container \"work\" in pod \"early\" is waiting to start: ContainerCreating";
        logs.script("early", FakeLog::Refused(400, words.into()));
        let answer = log(&rest, &early, "").await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (409, "no-log"));
        assert!(answer.text.contains("waiting to start"), "{}", answer.text);
        for (query, field) in [
            ("attempt=2", "attempt"),
            ("attempt=0", "attempt"),
            ("attempt=x", "attempt"),
            ("tail=10001", "tail"),
            ("tail=-1", "tail"),
            ("follow=perhaps", "follow"),
            ("previous=true", "previous"),
        ] {
            let answer = log(&rest, &early, query).await;
            assert_eq!((answer.status, answer.problem()), (400, ("query".into(), Some(field.into()))), "{query}");
        }
        let nobody = log(&rest, "00000000-0000-0000-0000-000000000000", "").await;
        assert_eq!((nobody.status, nobody.problem().0.as_str()), (404, "unknown-task"));
    })
    .await;
}

#[tokio::test]
async fn a_right_that_is_missing_is_told_as_such_and_the_archive_asked() {
    in_namespace("rest-log-right", async |ns| {
        let (node, logs, _operator, rest) = with_logs(&ns).await;
        node.script("one", [Outcome::Hold]);
        logs.script("one", FakeLog::Text("a\n".into()));
        let id = rest.submit(&body_with(json!({"name": "one", "retry": {"limit": 0}}))).await;
        runs(&ns, &node, "one", 1).await;
        let refused = || FakeLog::Refused(403, "pods \"one\" is forbidden: cannot get resource \"pods/log\"".into());
        logs.script("one", refused());
        let answer = log(&rest, &id, "").await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (403, "logs-forbidden"));
        assert!(answer.text.contains("pods/log"), "{}", answer.text);
        logs.script("one", FakeLog::Refused(500, "no route to host".into()));
        let answer = log(&rest, &id, "").await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (503, "node-away"));
        logs.script("one", FakeLog::Text("a\n".into()));
        node.end("one", Outcome::exit(1));
        failed(&ns, &rest, &id, "one").await;
        logs.script("one", refused());
        assert_eq!(said(&log(&rest, &id, "").await), (200, Some("archived"), Some("1"), "a"));
    })
    .await;
}

#[tokio::test]
async fn a_log_that_nobody_kept_is_gone_and_a_task_that_never_ran_has_none() {
    in_namespace("rest-log-gone", async |ns| {
        let (_node, _operator, rest) = served(&ns).await;
        let id = rest.submit(&body_with(json!({"name": "one"}))).await;
        status_when(&rest, &id, "completed").await;
        ns.task_when("one", "is archived", |_, status| status.is_archived()).await;
        without_pods(&ns).await;
        let answer = log(&rest, &id, "").await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (410, "log-gone"));
    })
    .await;
    in_namespace("rest-log-never", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body_with(json!({}))).await;
        rest.post(&format!("/api/v1/tasks/{id}/cancel"), &Value::Null).await;
        status_when(&rest, &id, "cancelled").await;
        let answer = log(&rest, &id, "").await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (410, "log-gone"));
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_only_says_to_be_the_tasks_is_not_read() {
    in_namespace("rest-log-forged", async |ns| {
        let (node, logs, _operator, rest) = with_logs(&ns).await;
        node.script("one", [Outcome::Hold]);
        let id = rest.submit(&body_with(json!({"name": "one", "retry": {"limit": 0}}))).await;
        runs(&ns, &node, "one", 1).await;
        let pod = ns.pods_now().await.pop().expect("its pod");
        let mut forged = pod.clone();
        forged.metadata = kube::api::ObjectMeta {
            name: Some("secret-holder".into()),
            labels: pod.metadata.labels.clone(),
            annotations: pod.metadata.annotations.clone(),
            ..Default::default()
        };
        ns.create(&forged).await;
        logs.script("one", FakeLog::Text("of the task\n".into()));
        logs.script("secret", FakeLog::Text("of somebody else\n".into()));
        assert_eq!(log(&rest, &id, "").await.text, "of the task\n");
        assert!(logs.asked().iter().all(|path| !path.contains("secret-holder")), "{:?}", logs.asked());
    })
    .await;
}
