//! What an author can make in large numbers or sizes: it keeps no operator from running, within the memory that it was given.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use harness::*;
use http::{Request, header};
use kube::Resource;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use task_manager::api::{Reason, State, Task, TaskStatus};

use crate::stage::{seconds, set, status};

/// The memory limit that the figures are for, in KiB.
const LIMIT: u64 = 256 << 10;
/// Each task's payload. The API server takes little more.
const PAYLOAD: usize = 1 << 20;
/// To write and to judge them all.
const PATIENCE: Duration = Duration::from_secs(600);

/// So many tasks; `make test-large` says more.
fn many() -> usize {
    std::env::var("FLOOD_TASKS").ok().and_then(|many| many.parse().ok()).unwrap_or(60)
}

/// The costliest text that there is for whoever builds it: an object of small numbers. The API server builds each of them,
/// several times over, so that hundreds of these take all the memory of a machine: then it is a text of the same length.
fn payload() -> String {
    match many() {
        0..=60 => format!("{{\"a\":[1{}]}}", ",1".repeat(PAYLOAD / 2)),
        _ => format!("{{\"a\":\"{}\"}}", "x".repeat(PAYLOAD)),
    }
}

async fn flood(ns: &Namespace, prefix: &str, many: usize, more: &str, payload: &str) {
    let url = Task::url_path(&(), Some(&ns.name));
    let creates = (0..many).map(|number| {
        let body = format!(
            "{{\"apiVersion\":\"taskmanager.dev/v1alpha1\",\"kind\":\"Task\",\"metadata\":{{\"name\":\"{prefix}-{number}\"{more}}},\
             \"spec\":{{\"type\":\"work\",\"payload\":{payload}}}}}"
        );
        let request = Request::post(&url).header(header::CONTENT_TYPE, "application/json").body(body.into_bytes());
        let client = ns.client.clone();
        async move {
            match client.request::<Value>(request.expect("a request")).await {
                // The client repeats by itself what was carried out and not answered in time.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                answer => drop(answer.expect("accepted")),
            }
        }
    });
    stream::iter(creates).buffer_unordered(4).for_each(async |_| {}).await;
}

/// How many tasks have failed, as the operator's memory has it: a list of them all, asked for again and again, would cost
/// the API server more than the operator does.
async fn failed(operator: &Operator) -> usize {
    let answer = operator.rest().get("/api/v1/tasks?status=failed&limit=1000").await;
    if answer.status == 200 { answer.json()["items"].as_array().map_or(0, Vec::len) } else { 0 }
}

/// The most memory that the operator has held at once so far, in KiB.
fn most_memory(operator: &Operator) -> u64 {
    let pid = operator.pid().expect("it runs");
    let told = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let most = told.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    most.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

fn is_within(operator: &Operator, when: &str) {
    let most = most_memory(operator);
    println!("{when}: {} MiB", most >> 10);
    assert!(most < LIMIT, "{when}: {} MiB", most >> 10);
}

#[tokio::test]
async fn tasks_with_payloads_of_a_mebibyte_leave_an_operator_running_and_ready() {
    in_namespace("flood", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        let mut operator = Operator::with_rest(&ns, &[]).await;
        flood(&ns, "large", many(), "", &payload()).await;
        let all_failed = async |deadline| {
            eventually("all are refused", deadline, async || (failed(&operator).await >= many()).then_some(())).await;
        };
        all_failed(PATIENCE).await;
        let large = ns.task("large-0").await;
        assert_eq!(status(&large).reason, Reason::PayloadTooLarge);
        assert!(status(&large).message.is_some_and(|told| told.contains(&format!("{} bytes", payload().len()))));
        is_within(&operator, "while they came");
        operator.crash().await;
        ns.create(&task("small")).await;
        ns.task_in("small", State::Completed).await;
        assert_eq!(node.starts_of("small"), 1);
        is_within(&operator, "after a restart among them");
        ns.tasks().delete_collection(&DeleteParams::default(), &ListParams::default()).await.expect("deleted");
        ns.create(&task("last")).await;
        ns.task_in("last", State::Completed).await;
        is_within(&operator, "after they were deleted");
    })
    .await;
}

#[tokio::test]
async fn large_annotations_and_payloads_that_may_run_are_not_kept_in_memory() {
    in_namespace("flood-legal", async |ns| {
        let mut kind = task_type("work");
        kind.spec.maximum.payload_bytes = Some(131_072);
        ns.create(&kind).await;
        let _node = ns.fake_node();
        let mut operator = Operator::with_rest(&ns, &["--default-queue-tasks", "0"]).await;
        let annotations = format!(",\"annotations\":{{\"taskmanager.dev/note\":\"{}\"}}", "x".repeat(200 << 10));
        let payload = format!("{{\"a\":[1{}]}}", ",1".repeat(65_000));
        flood(&ns, "legal", 3 * many(), &annotations, &payload).await;
        is_within(&operator, "while they came");
        operator.crash().await;
        eventually("they wait", SOON, async || {
            let queued = operator.metrics().await.count("task_manager_tasks_queued", &[("priority", "normal")]);
            (queued == 3 * many() as u64).then_some(())
        })
        .await;
        is_within(&operator, "after a restart among them");
    })
    .await;
}

#[tokio::test]
async fn beyond_the_number_of_known_tasks_the_operator_goes_on_with_those_it_knows_and_says_so() {
    in_namespace("flood-known", async |ns| {
        let (node, operator) = set(&ns, &["--max-known-tasks", "10"]).await;
        let mut waits = task("t");
        waits.spec.suspend = true;
        for number in 0..12 {
            waits.metadata.name = Some(format!("waits-{number}"));
            ns.create(&waits).await;
        }
        let beyond = async |tasks: u64| {
            let what = format!("{tasks} are beyond the bound");
            eventually(&what, 2 * SOON, async || {
                (operator.metrics().await.count("task_manager_tasks_beyond", &[]) == tasks).then_some(())
            })
            .await;
        };
        beyond(2).await;
        let (code, told) = http_get(operator.health, "/readyz?verbose").await.expect("an answer");
        assert_eq!(code, 200);
        assert!(told.contains("2 more are not looked at: --max-known-tasks is 10"), "{told}");
        assert!(operator.logged().contains("2 more are not looked at") || operator.logged().contains("1 more are not"));
        ns.patch_task("waits-0", json!({"suspend": false})).await.expect("accepted");
        ns.task_in("waits-0", State::Completed).await;
        ns.patch_task("waits-11", json!({"suspend": false})).await.expect("accepted");
        tokio::time::sleep(seconds(3)).await;
        assert_eq!(node.starts_of("waits-11"), 0, "it is not known");
        for name in ["waits-0", "waits-1"] {
            ns.tasks().delete(name, &DeleteParams::default()).await.expect("deleted");
        }
        let has_run = |_: &Task, status: &TaskStatus| status.state == State::Completed;
        ns.task_within(3 * SOON, "waits-11", "has run", has_run).await;
        beyond(0).await;
        let (_, told) = http_get(operator.health, "/readyz?verbose").await.expect("an answer");
        assert!(told.contains("[+]tasks ok"), "{told}");
    })
    .await;
}
