//! Why tasks wait: told in the statuses of the first of each queue, by the queue for all others, and at a cost that does not
//! grow with the backlog.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use harness::*;
use serde_json::{Value, json};
use task_manager::api::{Priority, Reason, State, Task};

use crate::stage::{a_checked_type, manifest, seen_waiting, set, started, status};

/// By then a wait is told in the statuses of those who stand in front: ten seconds, and two looks.
const TOLD_WITHIN: Duration = Duration::from_secs(40);
/// For so long nothing more is written of a backlog that stands.
const STANDS: Duration = Duration::from_secs(25);
/// Tasks of a backlog, unless WAITING_TASKS says how many.
const BACKLOG: u64 = 300;
/// How many of each queue and priority are told.
const TOLD: u64 = 10;

fn backlog() -> u64 {
    std::env::var("WAITING_TASKS").ok().and_then(|tasks| tasks.parse().ok()).unwrap_or(BACKLOG)
}

async fn a_queue(ns: &Namespace, name: &str, spec: Value) {
    ns.apply(manifest("TaskQueue", name, spec)).await.expect("accepted");
}

fn in_queue(name: &str, queue: &str) -> Task {
    task(name).with(|spec| spec.queue = queue.into())
}

fn asking(memory: &str) -> Option<task_manager::api::Resources> {
    Some(
        serde_json::from_value(json!({"requests": {"memory": memory}, "limits": {"memory": memory}}))
            .expect("resources"),
    )
}

async fn holding(ns: &Namespace, node: &FakeNode, task: &Task) {
    let name = task.metadata.name.clone().unwrap_or_default();
    node.script(&name, [Outcome::Hold]);
    ns.create(task).await;
    started(node, &name, 1).await;
}

/// The message with which this task waits for this reason.
async fn told(ns: &Namespace, name: &str, reason: Reason) -> String {
    let what = format!("says {reason}");
    let waits = ns.task_within(TOLD_WITHIN, name, &what, |_, status| status.reason == reason).await;
    assert_eq!(condition(&waits, "Reconciling"), Some("True"), "{name}");
    status(&waits).message.unwrap_or_default()
}

#[tokio::test]
async fn whoever_stands_in_front_is_told_why_it_waits_with_numbers() {
    in_namespace("told", async |ns| {
        a_queue(&ns, "memory", json!({"capacity": {"resources": {"memory": "128Mi"}}})).await;
        a_queue(&ns, "held", json!({"suspend": true})).await;
        a_queue(&ns, "odd", json!({"capacity": {"resources": {"requests.cpu": 4}}})).await;
        a_queue(&ns, "low-half", json!({"capacity": {"tasks": 2}, "ceilings": {"low": 50}})).await;
        ns.create(&task_type("single").with(|spec| spec.max_concurrent = Some(1))).await;
        ns.create(&task_type("keyed").with(|spec| spec.max_concurrent_per_kb_id = Some(1))).await;
        let (node, _operator) = set(&ns, &[]).await;
        let of_type = |name: &str, type_: &str| {
            task(name).with(|spec| (spec.type_, spec.kb_id) = (type_.into(), Some("kb-1".into())))
        };
        let low = |name: &str| in_queue(name, "low-half").with(|spec| spec.priority = Some(Priority::Low));
        holding(&ns, &node, &in_queue("m-0", "memory").with(|spec| spec.resources = asking("100Mi"))).await;
        holding(&ns, &node, &low("c-0")).await;
        holding(&ns, &node, &of_type("t-0", "single")).await;
        holding(&ns, &node, &of_type("k-0", "keyed")).await;
        for task in [
            in_queue("m-1", "memory").with(|spec| spec.resources = asking("64Mi")),
            in_queue("m-2", "memory").with(|spec| spec.resources = asking("16Mi")),
            in_queue("h-1", "held"),
            in_queue("o-1", "odd"),
            low("c-1"),
            of_type("t-1", "single"),
            of_type("k-1", "keyed"),
        ] {
            ns.create(&task).await;
        }
        for (name, reason, words) in [
            ("m-1", Reason::QueueFull, "memory: 100Mi of 128Mi used, it asks for 64Mi"),
            ("m-2", Reason::QueueFull, "memory: 100Mi of 128Mi used, and m-1, which is first in line, asks for 64Mi"),
            ("h-1", Reason::QueueSuspended, "queue held is suspended"),
            ("o-1", Reason::QueueNotReady, "queue odd cannot be used: spec.capacity.resources.requests.cpu: no pod is counted by this name; write cpu"),
            ("c-1", Reason::CeilingReached, "tasks: 1 of the 1 for priority low and below used"),
            ("t-1", Reason::TypeLimit, "type single: 1 of 1 tasks run"),
            ("k-1", Reason::KeyLimit, "type keyed, kbId kb-1: 1 of 1 tasks run"),
        ] {
            assert_eq!(told(&ns, name, reason).await, words, "{name}");
        }
        queues_say_the_same(&ns).await;
        ns.queues().patch("odd", &Default::default(), &kube::api::Patch::Merge(json!({"spec": {"capacity": {"resources": {"requests.cpu": null}}}}))).await.expect("accepted");
        ns.task_in("o-1", State::Completed).await;
    })
    .await;
}

async fn queues_say_the_same(ns: &Namespace) {
    for (queue, waiting_for, usage) in [
        ("memory", "memory: 100Mi of 128Mi used, m-1 asks for 64Mi", "tasks 1, memory 100Mi/128Mi"),
        ("held", "queue held is suspended", "tasks 0"),
        ("low-half", "tasks: 1 of the 1 for priority low and below used", "tasks 1/2"),
    ] {
        let what = format!("queue {queue} says what it waits for");
        let told = eventually(&what, SOON, async || {
            let status = ns.queues().get(queue).await.ok()?.status?;
            status.waiting_for.clone().map(|waiting_for| (waiting_for, status))
        });
        let (told, status) = told.await;
        assert_eq!((told.as_str(), status.usage.as_deref()), (waiting_for, Some(usage)));
        assert_eq!(status.used.get("tasks").map(|tasks| tasks.0.clone()), Some(status.running.to_string()));
    }
    let odd = ns.queues().get("odd").await.expect("it is there").status.unwrap_or_default();
    assert_eq!((odd.conditions[0].status.as_str(), odd.conditions[0].reason.as_str()), ("False", "QueueNotReady"));
    let shown = ns.kubectl(&["get", "taskqueues", "memory", "-o", "wide", "--no-headers"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("memory 100Mi/128Mi") && shown.contains("m-1 asks for 64Mi"), "{shown}");
}

#[tokio::test]
async fn the_limit_of_the_operator_is_told_in_numbers_only() {
    in_namespace("operator-limit", async |ns| {
        let (node, _operator) = set(&ns, &["--max-running-tasks", "1"]).await;
        holding(&ns, &node, &task("first")).await;
        ns.create(&task("second")).await;
        let message = told(&ns, "second", Reason::OperatorLimit).await;
        assert_eq!(message, "1 of 1 tasks run in all queues of this operator");
        node.end("first", Outcome::succeed());
        ns.task_in("second", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn a_task_that_failed_keeps_saying_so_while_it_waits_for_room() {
    in_namespace("kept", async |ns| {
        ns.create(&task_queue("default", 1)).await;
        let (node, _operator) = set(&ns, &[]).await;
        node.script("flaky", [Outcome::exit(3), Outcome::succeed()]);
        node.script("long", [Outcome::Hold]);
        ns.create(&task("flaky").with(|spec| {
            spec.retry = Some(serde_json::from_value(json!({"initialSeconds": 4, "factor": 1})).expect("retry"));
        }))
        .await;
        ns.create(&task("long")).await;
        started(&node, "long", 1).await;
        let message = told(&ns, "flaky", Reason::QueueFull).await;
        assert_eq!(message, "tasks: 1 of 1 used; before: attempt 1: ExitCode: the work ended with exit code 3");
        node.end("long", Outcome::succeed());
        ns.task_in("flaky", State::Completed).await;
    })
    .await;
}

/// Creates a backlog of these tasks, and waits until the operator has seen it.
async fn pile_up(ns: &Namespace, operator: &Operator, tasks: impl Iterator<Item = Task>) -> u64 {
    let created = stream::iter(tasks).map(async |task| drop(ns.create(&task).await)).buffer_unordered(32).count().await;
    let backlog = created as u64;
    seen_waiting(operator, backlog).await;
    backlog
}

/// The writes of task statuses that the backlog has cost by the time its first ten are told, and until it has stood on.
async fn writes_of_a_standing_backlog(
    ns: &Namespace,
    reason: Reason,
    before: usize,
    recorder: &Recorder<Task>,
) -> usize {
    let is_told = |task: &&Task| status(task).reason == reason;
    eventually("ten are told", TOLD_WITHIN, async || {
        let told = recorder.look_at_present(|tasks| tasks.iter().copied().filter(is_told).count() as u64);
        (told >= TOLD).then_some(())
    })
    .await;
    stays("nobody else is told", STANDS, async || recorder.count() - before <= TOLD as usize).await;
    let queue = ns.queues().get("default").await.expect("a queue").status.unwrap_or_default();
    assert!(queue.waiting_for.is_some(), "those behind are told by their queue: {queue:?}");
    recorder.count() - before
}

/// A full queue with a backlog of tasks that `change` makes special; returns how often statuses of tasks were written.
async fn costs(slug: &str, slots: i32, reason: Reason, change: impl Fn(u64, Task) -> Task) {
    in_namespace(slug, async |ns| {
        ns.create(&task_queue("default", slots)).await;
        ns.create(&task_type("work").with(|spec| spec.max_concurrent_per_kb_id = Some(1))).await;
        let node = ns.fake_node();
        let operator = ns.operator(&[]).await;
        a_checked_type(&ns).await;
        node.script("runs", [Outcome::Hold]);
        ns.create(&change(0, task("runs"))).await;
        started(&node, "runs", 1).await;
        // It says that it runs.
        ns.task_when("runs", "says that it runs", |_, status| status.reason == Reason::Running).await;
        let tasks = (1..=backlog()).map(|number| change(number, task(&format!("w-{number}"))));
        let backlog = pile_up(&ns, &operator, tasks).await;
        let recorder = ns.record::<Task>().await;
        let told_meanwhile =
            recorder.look(|seen| seen.iter().filter(|seen| status(&seen.object).reason == reason).count());
        let listed = recorder.count();
        assert_eq!(listed as u64, backlog + 1);
        let writes = writes_of_a_standing_backlog(&ns, reason, listed, &recorder).await + told_meanwhile;
        assert_eq!(writes as u64, TOLD, "of {backlog} tasks");
    })
    .await;
}

#[tokio::test]
async fn a_backlog_in_a_full_queue_costs_ten_status_writes_however_long_it_is() {
    costs("backlog", 1, Reason::QueueFull, |_, task| task).await;
}

#[tokio::test]
async fn a_backlog_of_one_kb_id_costs_ten_status_writes_however_long_it_is() {
    costs("one-kb", 10, Reason::KeyLimit, |_, task| task.with(|spec| spec.kb_id = Some("kb".into()))).await;
}

#[tokio::test]
async fn a_backlog_of_as_many_kb_ids_costs_ten_status_writes_however_long_it_is() {
    let own = |number, task: Task| task.with(|spec| spec.kb_id = Some(format!("kb-{number}")));
    costs("kb-each", 1, Reason::QueueFull, own).await;
}
