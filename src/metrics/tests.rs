use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::*;
use crate::api::{AttemptRecord, Reason, TaskSpec};

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c: char| !is_name(c)).filter(|word| word.starts_with("task_manager_")).map(str::to_owned).collect()
}

/// Metrics in which everything was counted once: a family without a series is not exposed.
fn counted() -> Metrics {
    let metrics = Metrics::default();
    let took = Duration::from_millis(1);
    metrics.depth([1; Priority::COUNT], 1);
    metrics.reconciled(took, Some("deadline"));
    metrics.wrote("create", "ok");
    metrics.watch_failed("Task");
    metrics.archived(took, "ok");
    metrics.answered("/api/v1/tasks", "GET", 200, took);
    let pool = ("docs".into(), "warm".into());
    metrics.handed_out(&pool, took, true);
    metrics.worker_replaced(&pool, "Silent");
    metrics.token_reviewed("ok");
    let pools = vec![PoolLoad { namespace: pool.0, pool: pool.1, workers: [1; 5], waiting: 1 }];
    metrics.load(Load { pools, ..Load::default() });
    metrics.task_moved(&task(State::Queued, 0, None), &task(State::Processing, 1, Some(5)));
    let mut given_back = task(State::Queued, 0, Some(5));
    given_back.status.get_or_insert_default().given_back = 1;
    metrics.task_moved(&task(State::Processing, 1, Some(5)), &given_back);
    let mut ended = task(State::Completed, 1, Some(5));
    ended.status.get_or_insert_default().attempts.push(AttemptRecord::default());
    metrics.task_moved(&task(State::Processing, 1, Some(5)), &ended);
    let mut given_back = task(State::Queued, 1, Some(5));
    given_back.status.get_or_insert_default().given_back = 1;
    metrics.task_moved(&task(State::Processing, 1, Some(5)), &given_back);
    metrics
}

/// The names under which the samples of each metric can be asked for.
fn exposed() -> BTreeSet<String> {
    let text = counted().text();
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let samples = described.flat_map(|(name, kind)| match kind {
        "counter" => vec![format!("{name}_total")],
        "histogram" => ["bucket", "count", "sum"].map(|part| format!("{name}_{part}")).to_vec(),
        _ => vec![name.to_owned()],
    });
    samples.collect()
}

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/monitoring").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_there_are() {
    let exposed = exposed();
    for name in ["dashboard.json", "alerts.yaml"] {
        let named = named(&file(name));
        assert!(named.len() > 5, "{name} asks for metrics");
        let missing: Vec<_> = named.difference(&exposed).collect();
        assert!(missing.is_empty(), "{name} asks for {missing:?}; there are {exposed:?}");
    }
}

#[test]
fn every_metric_has_a_place_on_the_dashboard_or_a_reason_to_have_none() {
    // Each is told by others on the dashboard, which carry more labels; or is of interest only when it alerts.
    let told_by_others = ["tasks_queued", "tasks_running", "watch_failures"];
    let alerts = ["tasks_beyond", "archive_records_lost", "archive_logs_lost", "archive_differs", "watches_broken"];
    let elsewhere = [&told_by_others[..], &alerts].concat();
    let elsewhere: Vec<_> = elsewhere.iter().map(|name| format!("task_manager_{name}")).collect();
    let (shown, alerted) = (named(&file("dashboard.json")), file("alerts.yaml"));
    assert!(alerts.iter().all(|name| alerted.contains(&format!("task_manager_{name}"))), "each of these has an alert");
    let text = counted().text();
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for (name, _) in described.filter(|(name, _)| !elsewhere.contains(&name.to_string())) {
        assert!(shown.iter().any(|shown| shown.starts_with(name)), "{name} is not on the dashboard");
    }
}

#[test]
fn each_alert_says_what_to_do() {
    let rules: serde_json::Value = serde_saphyr::from_str(&file("alerts.yaml")).expect("YAML");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    for rule in rules {
        let said = rule["annotations"]["action"].as_str().unwrap_or_default();
        assert!(said.len() > 40 && rule["annotations"]["summary"].is_string(), "{rule}");
    }
}

fn task(state: State, attempt: i32, admitted_at: Option<i64>) -> Task {
    let at = |second| MicroTime(Timestamp::from_second(second).expect("a time"));
    let queued_at = Some(at(0));
    let status = TaskStatus { state, attempt, queued_at, admitted_at: admitted_at.map(at), ..TaskStatus::default() };
    Task { status: Some(status), ..Task::new("t", TaskSpec::default()) }
}

#[test]
fn slots_that_were_given_back_are_counted_by_what_stood_in_the_way() {
    let metrics = Metrics::default();
    let [held, queued] = [task(State::Processing, 1, Some(5)), task(State::Queued, 0, Some(5))];
    for (reason, given_back) in [(Reason::Unschedulable, 1), (Reason::Unschedulable, 2), (Reason::Suspended, 0)] {
        let mut after = queued.clone();
        after.status = after.status.map(|status| TaskStatus { reason, given_back, ..status });
        metrics.task_moved(&held, &after);
    }
    let text = metrics.text();
    let counted: Vec<_> = text.lines().filter(|line| line.starts_with("task_manager_slots_given_back_total")).collect();
    assert!(
        matches!(counted[..], [line] if line.contains("reason=\"Unschedulable\"") && line.ends_with(" 2")),
        "{text}"
    );
}

#[test]
fn a_task_whose_slot_is_given_back_again_and_again_has_waited_once() {
    let metrics = Metrics::default();
    let life = [
        task(State::Queued, 0, None),
        task(State::Processing, 1, Some(5)),
        task(State::Queued, 0, Some(5)),
        task(State::Processing, 1, Some(40)),
    ];
    for moved in life.windows(2) {
        metrics.task_moved(&moved[0], &moved[1]);
    }
    let text = metrics.text();
    assert!(text.contains("queue_wait_seconds_count{priority=\"normal\"} 1\n"), "{text}");
    assert!(text.contains("queue_wait_seconds_sum{priority=\"normal\"} 5.0\n"), "{text}");
}

#[test]
fn a_thousand_combinations_of_queue_and_type_have_series_of_their_own() {
    let metrics = Metrics::default();
    for number in 0..1010 {
        let mut after = task(State::Completed, 1, Some(5));
        after.spec.queue = format!("queue-{number}");
        metrics.task_moved(&task(State::Processing, 1, Some(5)), &after);
    }
    let text = metrics.text();
    let series = text.lines().filter(|line| line.starts_with("task_manager_tasks_finished_total{")).count();
    assert_eq!(series, 1001);
    assert!(text.contains("queue=\"_other\",type=\"_other\",state=\"Completed\",reason=\"Queued\"} 10\n"), "{text}");
}

#[test]
fn a_scrape_shows_the_last_load_alone() {
    let metrics = Metrics::default();
    let queue = |name: &str| QueueLoad {
        namespace: "docs".into(),
        queue: name.into(),
        oldest: None,
        amounts: vec![Amount { resource: "memory".into(), used: 1024.0, capacity: Some(2048.0) }],
    };
    metrics.load(Load { queues: vec![queue("old")], ..Load::default() });
    let origin = Origin { namespace: "docs".into(), queue: "new".into(), task_type: "work".into() };
    let tasks = vec![(origin, Tasks { waiting: 3, running: 1 })];
    let unready = UnreadyType { namespace: "docs".into(), task_type: "work".into(), reason: "InvalidTemplate".into() };
    metrics.load(Load { queues: vec![queue("new")], tasks, unready_types: vec![unready], ..Load::default() });
    let text = metrics.text();
    assert!(!text.contains("\"old\""), "{text}");
    for line in [
        "task_manager_queue_tasks_waiting{namespace=\"docs\",queue=\"new\",type=\"work\"} 3.0",
        "task_manager_queue_tasks_running{namespace=\"docs\",queue=\"new\",type=\"work\"} 1.0",
        "task_manager_queue_oldest_wait_seconds{namespace=\"docs\",queue=\"new\"} 0.0",
        "task_manager_queue_used{namespace=\"docs\",queue=\"new\",resource=\"memory\"} 1024.0",
        "task_manager_queue_capacity{namespace=\"docs\",queue=\"new\",resource=\"memory\"} 2048.0",
        "task_manager_type_not_ready{namespace=\"docs\",type=\"work\",reason=\"InvalidTemplate\"} 1.0",
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line} is not in\n{text}");
    }
}

#[test]
fn workers_are_told_by_state_and_tasks_by_whether_a_worker_was_idle() {
    let metrics = Metrics::default();
    let pool = ("docs".into(), "warm".into());
    for was_free in [true, true, false] {
        metrics.handed_out(&pool, Duration::from_millis(3), was_free);
    }
    let pools = vec![PoolLoad { namespace: "docs".into(), pool: "warm".into(), workers: [1, 2, 3, 4, 5], waiting: 6 }];
    metrics.load(Load { pools, ..Load::default() });
    let text = metrics.text();
    for line in [
        "pool_workers{namespace=\"docs\",pool=\"warm\",state=\"starting\"} 1.0",
        "pool_workers{namespace=\"docs\",pool=\"warm\",state=\"stopping\"} 5.0",
        "pool_tasks_waiting{namespace=\"docs\",pool=\"warm\"} 6.0",
        "pool_tasks_given_total{namespace=\"docs\",pool=\"warm\",worker=\"idle\"} 2",
        "pool_tasks_given_total{namespace=\"docs\",pool=\"warm\",worker=\"awaited\"} 1",
        "pool_dispatch_seconds_count{namespace=\"docs\",pool=\"warm\"} 3",
    ] {
        assert!(text.lines().any(|told| told == format!("task_manager_{line}")), "{line} is missing in {text}");
    }
}

#[test]
fn pools_beyond_the_bound_share_one_series() {
    let metrics = Metrics::default();
    for number in 0..pools::MOST_POOLS + 2 {
        metrics.worker_replaced(&("docs".into(), format!("pool-{number}").into()), "Silent");
    }
    let text = metrics.text();
    let counted: Vec<_> = text.lines().filter(|line| line.contains("pool_workers_replaced_total{")).collect();
    assert_eq!(counted.len(), pools::MOST_POOLS + 1);
    assert!(counted.iter().any(|line| line.contains("pool=\"_other\"") && line.ends_with(" 2")), "{text}");
}
