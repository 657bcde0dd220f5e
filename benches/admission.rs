//! The time of one admission pass. The target: below 10 ms with 10,000 queued tasks, and no step whose time grows
//! faster than the number of tasks.
#![allow(clippy::expect_used, reason = "a scene that cannot be set up is to stop the measurement")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use serde_json::json;
use task_manager::api::{Amount, Priority, TaskQueueSpec};
use task_manager::core::queue::{AdmissionQueue, Key, Order, Pass, PendingTask, QueueState, Quota, TypeLimits};

const SIZES: [u64; 3] = [1_000, 10_000, 100_000];
const SLOTS: u64 = 50;
const PRIORITIES: [Priority; Priority::COUNT] = [Priority::Low, Priority::Normal, Priority::High, Priority::Critical];

fn key(name: &str) -> Key {
    ("docs".into(), name.into())
}

fn limits(most: Option<i32>, most_per_kb_id: Option<i32>) -> TypeLimits {
    TypeLimits { most, most_per_kb_id, pool: None }
}

fn uid(number: u64) -> Arc<str> {
    format!("0b6f2c1e-5d1a-4a7e-9c3f-{number:012}").into()
}

fn pending(number: u64, task_type: &str) -> PendingTask {
    let requests = [("cpu", Amount(500)), ("memory", Amount::whole(512 << 20))];
    PendingTask {
        queue: key("default"),
        task_type: key(task_type),
        kb_id: Some(format!("kb-{}", number % 100).into()),
        // Arrivals have no order, as after a restart.
        order: Order::new(
            PRIORITIES[number as usize % PRIORITIES.len()],
            number.wrapping_mul(0x9e37_79b9) % 1_000_003,
            uid(number),
        ),
        requests: Arc::new(requests.map(|(name, amount)| (name.to_owned(), amount)).into()),
        executor: task_manager::api::Executor::Job,
        ready_at: None,
        failed_on: None,
    }
}

fn pending_tasks(count: u64) -> Vec<PendingTask> {
    // 50 of another type among those of the common one.
    (0..count).map(|number| pending(number, if number % (count / SLOTS) == 0 { "rare" } else { "common" })).collect()
}

fn with_slots(slots: u64) -> AdmissionQueue {
    let mut admission = AdmissionQueue::new(None);
    let spec: TaskQueueSpec = serde_json::from_value(json!({
        "capacity": {"tasks": slots, "resources": {"cpu": 100_000, "memory": "100Ti"}},
        "ceilings": {"low": 80, "normal": 90},
    }))
    .expect("a queue's spec");
    admission.set_quota(key("default"), Some(Quota::of(&spec)));
    admission
}

fn filled(mut admission: AdmissionQueue, pending_tasks: &[PendingTask]) -> AdmissionQueue {
    for pending in pending_tasks {
        admission.set(pending.order.uid(), QueueState::Pending(pending.clone()));
    }
    admission
}

/// All slots are taken, and the head of the line waits.
fn full(pending_tasks: &[PendingTask]) -> AdmissionQueue {
    let mut admission = with_slots(SLOTS);
    for number in 0..SLOTS {
        admission.set(&uid(u64::MAX - number), QueueState::Admitted(pending(number, "common").reservation()));
    }
    filled(admission, pending_tasks)
}

/// There are slots, but all except 50 tasks are of a type that has as many running as it may.
fn held_back(pending_tasks: &[PendingTask]) -> AdmissionQueue {
    let mut admission = with_slots(1000);
    admission.set_type_limits(key("common"), limits(Some(1), None));
    admission.set(&uid(u64::MAX), QueueState::Admitted(pending(1, "common").reservation()));
    filled(admission, pending_tasks)
}

/// There are slots, but all except 50 tasks wait for their time.
fn early(pending_tasks: &[PendingTask]) -> AdmissionQueue {
    let mut pending_tasks = pending_tasks.to_vec();
    let common = pending_tasks.iter_mut().filter(|pending| pending.task_type == key("common"));
    common.for_each(|pending| pending.ready_at = Some(Timestamp::MAX));
    filled(with_slots(1000), &pending_tasks)
}

fn free(pending_tasks: &[PendingTask]) -> AdmissionQueue {
    filled(with_slots(SLOTS), pending_tasks)
}

/// There are slots, but all tasks are of one kbId, of which one may run.
fn one_kb_id(pending_tasks: &[PendingTask]) -> AdmissionQueue {
    let of_one = |pending: &PendingTask| PendingTask { kb_id: Some("kb".into()), ..pending.clone() };
    limited_by_kb_id(&pending_tasks.iter().map(of_one).collect::<Vec<_>>())
}

/// There are slots for fifty, and each task has a kbId of its own.
fn a_kb_id_each(pending_tasks: &[PendingTask]) -> AdmissionQueue {
    let own = |pending: &PendingTask| PendingTask { kb_id: Some(pending.order.uid().clone()), ..pending.clone() };
    limited_by_kb_id(&pending_tasks.iter().map(own).collect::<Vec<_>>())
}

fn limited_by_kb_id(pending_tasks: &[PendingTask]) -> AdmissionQueue {
    let mut admission = with_slots(SLOTS);
    ["common", "rare"].into_iter().for_each(|name| admission.set_type_limits(key(name), limits(None, Some(1))));
    filled(admission, pending_tasks)
}

/// There are slots, but all except 50 tasks ask for more than the queue has.
fn too_large(pending_tasks: &[PendingTask]) -> AdmissionQueue {
    let mut pending_tasks = pending_tasks.to_vec();
    let common = pending_tasks.iter_mut().filter(|pending| pending.task_type == key("common"));
    common.for_each(|pending| pending.requests = Arc::new([("cpu".to_owned(), Amount::whole(1_000_000))].into()));
    filled(with_slots(1000), &pending_tasks)
}

type Scene = (&'static str, fn(&[PendingTask]) -> AdmissionQueue, usize);

fn passes(criterion: &mut Criterion) {
    let scenes: [Scene; 7] = [
        ("full_queue", full, 0),
        ("type_at_its_maximum", held_back, 50),
        ("waiting_for_their_time", early, 50),
        ("fifty_free_slots", free, 50),
        ("one_kb_id", one_kb_id, 2),
        ("a_kb_id_each", a_kb_id_each, 50),
        ("too_large_for_their_queue", too_large, 50),
    ];
    for (name, scene, expected) in scenes {
        let mut group = criterion.benchmark_group(name);
        for size in SIZES {
            let pending_tasks = pending_tasks(size);
            let check = admit(scene(&pending_tasks)).1;
            assert_eq!(check.admitted.len(), expected, "{name} is not the scene it is meant to be");
            group.throughput(Throughput::Elements(size));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter_batched(|| scene(&pending_tasks), admit, BatchSize::PerIteration);
            });
        }
        group.finish();
    }
}

/// Returns the queue too, so that dropping it is not measured.
fn admit(mut admission: AdmissionQueue) -> (AdmissionQueue, Pass) {
    let pass = admission.admit(black_box(Timestamp::UNIX_EPOCH));
    (admission, pass)
}

/// A queue with such a backlog of these tasks.
type Backlog = fn(&[PendingTask]) -> AdmissionQueue;

/// Why a task in the middle of a backlog waits.
fn explaining(criterion: &mut Criterion) {
    let scenes: [(&str, Backlog); 3] =
        [("explain_in_a_full_queue", full), ("explain_one_kb_id", one_kb_id), ("explain_a_kb_id_each", a_kb_id_each)];
    for (name, scene) in scenes {
        let mut group = criterion.benchmark_group(name);
        for size in SIZES {
            let pending_tasks = pending_tasks(size);
            let mut admission = admit(scene(&pending_tasks)).0;
            let uid = uid(size / 2 + 1);
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| admission.explain(black_box(&uid), Timestamp::UNIX_EPOCH));
            });
        }
        group.finish();
    }
}

fn placing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("placing_anew");
    for size in SIZES {
        let pending_tasks = pending_tasks(size);
        let again = || pending_tasks.iter().cloned().map(QueueState::Pending).collect::<Vec<_>>();
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let mut admission = free(&pending_tasks);
            let place_all = |states: Vec<QueueState>| {
                for (pending, state) in pending_tasks.iter().zip(states) {
                    admission.set(pending.order.uid(), state);
                }
            };
            bencher.iter_batched(again, place_all, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group! {
    name = admission;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1)).without_plots();
    targets = passes, placing, explaining
}
criterion_main!(admission);
