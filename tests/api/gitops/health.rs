//! The health of tasks, types, queues and worker pools, as Argo CD and Flux see it.

use harness::*;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::{Reason, State, Task, TaskQueue, TaskStatus, TaskType, crds, reasons_as_markdown};
use task_manager::core::ParsedType;
use task_manager::core::launch::task_type::{self, Usable};
use task_manager::core::pool::{Counts, PoolDecision, pool_status};
use task_manager::core::queue::{QueueCounts, queue_status};
use task_manager::core::telling::conditions::{self, Explanation};

use super::judges::{health_checks, judged};
use crate::stage::{manifest, status};

const WAITS: [&str; 3] = ["Progressing", "InProgress", "InProgress"];
const HELD: [&str; 3] = ["Suspended", "InProgress", "InProgress"];
const GOOD: [&str; 3] = ["Healthy", "Current", "Current"];
const BAD: [&str; 3] = ["Degraded", "Failed", "Failed"];

/// The verdicts on a task whose status speaks of its present generation.
fn expected(state: State, reason: Reason) -> [&'static str; 3] {
    match (state, reason) {
        (State::Completed | State::Cancelled, _) => GOOD,
        (State::Failed, _) | (State::Queued, Reason::TooLargeForQueue) => BAD,
        (State::Queued, Reason::Suspended | Reason::QueueSuspended) => HELD,
        (State::Queued | State::Processing, _) => WAITS,
    }
}

/// The object as the API server shows it.
fn shown<K: serde::Serialize>(object: &K) -> Value {
    serde_json::to_value(object).expect("JSON")
}

/// A task of generation 2 with the conditions that the operator writes.
fn in_state(state: State, reason: Reason, observed_generation: i64) -> Value {
    let explanation = Explanation { state, reason, message: "because" };
    let mut one = task("one");
    one.metadata.generation = Some(2);
    one.status = Some(TaskStatus {
        state,
        reason,
        observed_generation,
        message: Some("because".into()),
        conditions: conditions::of_task(&explanation, &[], Timestamp::UNIX_EPOCH),
        ..TaskStatus::default()
    });
    shown(&one)
}

/// The words of the enum, out of the page that is made of it.
fn all_reasons() -> Vec<Reason> {
    let page = reasons_as_markdown();
    let words = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    words.map(|word| serde_json::from_value(json!(word)).expect("a reason")).collect()
}

#[tokio::test]
async fn each_state_with_each_reason_is_judged_rightly_by_argo_cd_and_flux() {
    let states = [State::Queued, State::Processing, State::Completed, State::Failed, State::Cancelled];
    let all: Vec<_> = states.iter().flat_map(|state| all_reasons().into_iter().map(|why| (*state, why))).collect();
    assert!(all.len() > 250, "{} pairs", all.len());
    let objects: Vec<_> = all.iter().map(|(state, reason)| in_state(*state, *reason, 2)).collect();
    for ((state, reason), verdict) in all.iter().zip(judged(&objects).await) {
        assert_eq!(verdict.words(), expected(*state, *reason), "{state} {reason}");
        assert_eq!(verdict.message(), format!("{reason}: because"));
    }
    let stale: Vec<_> = all.iter().map(|(state, reason)| in_state(*state, *reason, 1)).collect();
    for verdict in judged(&stale).await {
        assert_eq!(verdict.words(), WAITS, "it speaks of an earlier spec");
    }
}

#[tokio::test]
async fn types_queues_and_pools_are_judged_rightly_by_argo_cd_and_flux() {
    let kind = |usable: &Usable| {
        let mut kind: TaskType = task_type("work");
        kind.metadata.generation = Some(1);
        kind.status = Some(task_type::status(&kind, usable, &ParsedType::of(&kind), Timestamp::UNIX_EPOCH));
        shown(&kind)
    };
    let queue = |spec: Value| {
        let mut queue = TaskQueue::new("q", serde_json::from_value(spec).expect("a spec"));
        queue.metadata.generation = Some(1);
        queue.status = Some(queue_status(&queue, &QueueCounts::default(), Timestamp::UNIX_EPOCH));
        shown(&queue)
    };
    let pool = |max: i32, idle: usize| {
        let mut pool = worker_pool("warm", max.min(1), max);
        pool.metadata.generation = Some(1);
        let decision = PoolDecision { counts: Counts { idle, ..Counts::default() }, ..PoolDecision::default() };
        pool.status = Some(pool_status(&pool, &decision, 0, None, Timestamp::UNIX_EPOCH));
        shown(&pool)
    };
    let held = ["Suspended", "InProgress", "Current"];
    let unwell = ["Degraded", "InProgress", "Failed"];
    let unknown = ["Healthy", "InProgress", "Current"];
    let cases = [
        (kind(&Usable::Yes), GOOD),
        (kind(&Usable::No("no such field".into())), unwell),
        (kind(&Usable::Hindered("exceeded quota: small".into())), unknown),
        (kind(&Usable::NotKnown("no answer".into())), unknown),
        (queue(json!({"capacity": {"tasks": 1}})), GOOD),
        (queue(json!({"suspend": true})), held),
        (queue(json!({"capacity": {"resources": {"requests.cpu": 1}}})), unwell),
        (pool(2, 1), GOOD),
        (pool(2, 0), WAITS),
        (pool(0, 0), held),
    ];
    let objects: Vec<_> = cases.iter().map(|(object, _)| object.clone()).collect();
    for ((object, expected), verdict) in cases.iter().zip(judged(&objects).await) {
        assert_eq!(verdict.words(), *expected, "{object}");
        let mut later = object.clone();
        later["metadata"]["generation"] = json!(2);
        assert_eq!(judged(&[later]).await[0].words(), WAITS, "it speaks of an earlier spec: {object}");
    }
}

#[test]
fn argo_cd_has_a_health_check_for_each_of_our_kinds() {
    let checks = health_checks();
    for crd in crds() {
        assert!(checks.contains_key(&crd.spec.names.kind), "manifests/gitops/argocd: {}", crd.spec.names.kind);
    }
}

/// All of our objects in the namespace, as kubectl shows them.
async fn all_objects(ns: &Namespace) -> Vec<Value> {
    let said = ns.kubectl(&["get", "tasks,tasktypes,taskqueues,workerpools", "-o", "json"]).await;
    assert!(said.status.success(), "{said:?}");
    let list: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    list["items"].as_array().expect("a list").clone()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn what_no_operator_has_seen_yet_is_healthy_to_nobody() {
    in_namespace("gitops-unseen", async |ns| {
        ns.apply(shown(&task("one"))).await.expect("accepted");
        ns.apply(shown(&task_type("work"))).await.expect("accepted");
        ns.apply(shown(&task_queue("default", 1))).await.expect("accepted");
        ns.apply(shown(&worker_pool("warm", 0, 1))).await.expect("accepted");
        let objects = all_objects(&ns).await;
        assert_eq!(objects.len(), 4);
        for (object, verdict) in objects.iter().zip(judged(&objects).await) {
            assert_eq!(verdict.words(), WAITS, "{}", object["kind"]);
        }
    })
    .await;
}

/// Tasks that the fake node is to end in some way.
async fn tasks_of_all_fates(ns: &Namespace, node: &FakeNode) {
    node.script("succeeds", [Outcome::succeed()]);
    node.script("fails", [Outcome::exit(3)]);
    node.script("retries", [Outcome::exit(3)]);
    node.script("runs", [Outcome::Hold]);
    let spec = |more: Value| {
        let mut spec = json!({"type": "work"});
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        spec
    };
    for (name, more) in [
        ("succeeds", json!({})),
        ("fails", json!({"retry": {"limit": 0}})),
        ("retries", json!({"retry": {"initialSeconds": 300}})),
        ("runs", json!({})),
        ("cancelled", json!({"suspend": true, "cancel": true})),
        ("held", json!({"suspend": true})),
        ("in-held-queue", json!({"queue": "held"})),
        ("without-type", json!({"type": "missing"})),
        ("of-bad-type", json!({"type": "bad"})),
        ("too-large", json!({"queue": "small", "resources": {"requests": {"cpu": 2}}})),
        ("above-maximum", json!({"timeoutSeconds": 100_000})),
        ("later", json!({"startAfter": "2100-01-01T00:00:00Z"})),
    ] {
        ns.apply(manifest("Task", name, spec(more))).await.expect("accepted");
    }
}

#[tokio::test]
async fn real_tasks_are_judged_rightly_by_argo_cd_and_flux_all_their_life() {
    in_namespace("gitops-health", async |ns| {
        ns.create(&task_type("work").with(|spec| spec.maximum.timeout_seconds = Some(3600))).await;
        let bad = json!({"template": {"spec": {"containers": [{"name": "work", "image": "a", "comand": []}]}}});
        ns.apply(manifest("TaskType", "bad", bad)).await.expect("accepted");
        ns.apply(manifest("TaskQueue", "held", json!({"suspend": true}))).await.expect("accepted");
        ns.apply(manifest("TaskQueue", "small", json!({"capacity": {"resources": {"cpu": 1}}})))
            .await
            .expect("accepted");
        let seen = ns.record::<Task>().await;
        let node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        tasks_of_all_fates(&ns, &node).await;
        let reasons = [
            ("succeeds", Reason::Succeeded, GOOD),
            ("fails", Reason::ExitCode, BAD),
            ("retries", Reason::WaitingForRetry, WAITS),
            ("runs", Reason::Running, WAITS),
            ("cancelled", Reason::Cancelled, GOOD),
            ("held", Reason::Suspended, HELD),
            ("in-held-queue", Reason::QueueSuspended, HELD),
            ("without-type", Reason::TypeMissing, WAITS),
            ("of-bad-type", Reason::TypeNotReady, WAITS),
            ("too-large", Reason::TooLargeForQueue, BAD),
            ("above-maximum", Reason::AboveMaximum, BAD),
            ("later", Reason::NotYetDue, WAITS),
        ];
        for (name, reason, _) in reasons {
            ns.task_when(name, &format!("is {reason}"), |_, status| status.reason == reason).await;
        }
        let objects = all_objects(&ns).await;
        let others = [
            ("work", GOOD),
            ("bad", ["Degraded", "InProgress", "Failed"]),
            ("held", ["Suspended", "InProgress", "Current"]),
            ("small", GOOD),
        ];
        for (object, verdict) in objects.iter().zip(judged(&objects).await) {
            let of_task = reasons.iter().find(|(task, ..)| object["kind"] == "Task" && *task == name(object));
            let of_other = others.iter().find(|(other, _)| object["kind"] != "Task" && *other == name(object));
            let expected =
                of_task.map(|(.., words)| *words).or(of_other.map(|(_, words)| *words)).expect("one of them");
            assert_eq!(verdict.words(), expected, "{} {}: {}", object["kind"], name(object), object["status"]);
        }

        let versions: Vec<Task> = seen.seen().into_iter().map(|seen| seen.object).collect();
        let shown: Vec<_> = versions.iter().map(shown).collect();
        assert!(versions.len() > 2 * reasons.len(), "{} versions", versions.len());
        for (version, verdict) in versions.iter().zip(judged(&shown).await) {
            let status = status(version);
            let is_seen = Some(status.observed_generation) == version.metadata.generation;
            let expected = if is_seen { expected(status.state, status.reason) } else { WAITS };
            assert_eq!(verdict.words(), expected, "{} {} {}", version.name_any(), status.state, status.reason);
        }
        node.end("runs", Outcome::succeed());
    })
    .await;
}
