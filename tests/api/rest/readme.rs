//! What the README says to services, said to an operator.

use std::process::Output;

use harness::*;
use serde_json::{Value, json};
use tokio::process::Command;

const README: &str = include_str!("../../../README.md");
const THIS: &str = include_str!("readme.rs");

async fn process(tasks: &str, text: &str) -> reqwest::Result<Value> {
    let client = reqwest::Client::new();
    let submission = json!({"task_type": "document_processing", "payload": {"text": text}});
    let request = client.post(tasks).header("Idempotency-Key", "order-4713").json(&submission);
    let task: Value = request.send().await?.error_for_status()?.json().await?;
    let task = format!("{tasks}/{}", task["task_id"].as_str().unwrap_or_default());
    let mut events = client.get(format!("{task}/events")).send().await?.error_for_status()?;
    while let Some(event) = events.chunk().await? {
        print!("{}", String::from_utf8_lossy(&event)); // ends with the task
    }
    client.get(format!("{task}/result")).send().await?.error_for_status()?.json().await
}

/// The first block of this language in the section for services.
fn block(language: &str) -> &'static str {
    let section = README.split("\n## ").find(|section| section.starts_with("From a service")).expect("the section");
    let block = section.split_once(&format!("```{language}\n")).expect(language).1;
    block.split_once("```").expect("its end").0
}

async fn run(command: &mut Command) -> String {
    let ran = tokio::time::timeout(SOON, command.kill_on_drop(true).output()).await.expect("it ends");
    let Output { status, stdout, stderr } = ran.expect("it starts");
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{status}: {said}\n{}", String::from_utf8_lossy(&stderr));
    said
}

async fn served(ns: &Namespace) -> (FakeNode, Operator, Rest) {
    ns.create(&task_type("document-processing")).await;
    let node = ns.fake_node();
    node.otherwise(Outcome::result(r#"{"words": 6}"#));
    let operator = Operator::with_rest(ns, &[]).await;
    let rest = operator.rest();
    (node, operator, rest)
}

#[tokio::test]
async fn the_example_in_rust_works() {
    assert!(THIS.contains(block("rust")), "the README's example is this one");
    in_namespace("readme-rust", async |ns| {
        let (_node, _operator, rest) = served(&ns).await;
        let result = process(&format!("http://{}/api/v1/tasks", rest.address), "to be").await.expect("a result");
        assert_eq!((&result["status"], &result["result"]), (&json!("completed"), &json!({"words": 6})));
    })
    .await;
}

#[tokio::test]
async fn the_example_in_python_works() {
    in_namespace("readme-python", async |ns| {
        let (_node, _operator, rest) = served(&ns).await;
        let url = format!("http://{}", rest.address);
        let said = run(Command::new("python3").args(["-c", block("python")]).env("TASK_MANAGER_URL", url)).await;
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines.len() > 2 && lines[lines.len() - 2].contains("'completed'"), "events, to the end: {said}");
        assert!(lines[lines.len() - 1].contains("{'words': 6}"), "and the result: {said}");
    })
    .await;
}

#[tokio::test]
async fn the_examples_for_a_shell_work() {
    in_namespace("readme-shell", async |ns| {
        let (_node, _operator, rest) = served(&ns).await;
        // Nothing of it may be answered with a problem.
        let curl = "curl() { command curl -w '\n' \"$@\"; }\n";
        let lines = block("sh").replace("http://localhost:8080", &format!("http://{}", rest.address));
        let script = format!("set -eu\n{curl}{lines}").replace("curl -w", "curl --fail-with-body -w");
        let said = run(Command::new("bash").args(["-c", &script])).await;
        for told in ["\"words\":6", "event: state", "\"kb_id\":\"kb-42\"", "\"matched\":0", "\"replay_of\":"] {
            assert!(said.contains(told), "{told} is missing: {said}");
        }
        assert!(!said.contains("/problems/"), "{said}");
    })
    .await;
}
