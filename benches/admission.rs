//! One admission pass over a full board. The target: below 10 ms with 10,000 queued tasks, and no step whose
//! time grows faster than the number of tasks.
#![allow(clippy::expect_used, reason = "a scene that cannot be set up is to stop the measurement")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use serde_json::json;
use task_manager::api::{Amount, Priority, TaskQueueSpec};
use task_manager::core::queue::{Board, Candidate, Capacity, Key, Order, Pass, Standing};

const SIZES: [u64; 3] = [1_000, 10_000, 100_000];
const SLOTS: u64 = 50;
const PRIORITIES: [Priority; Priority::COUNT] = [Priority::Low, Priority::Normal, Priority::High, Priority::Critical];

fn key(name: &str) -> Key {
    ("docs".into(), name.into())
}

fn uid(number: u64) -> Arc<str> {
    format!("0b6f2c1e-5d1a-4a7e-9c3f-{number:012}").into()
}

fn candidate(number: u64, kind: &str) -> Candidate {
    let asks = [("cpu", Amount(500)), ("memory", Amount::whole(512 << 20))];
    Candidate {
        queue: key("default"),
        kind: key(kind),
        kb_id: Some(format!("kb-{}", number % 100).into()),
        // Arrivals come in no order at all, as after a restart.
        order: Order::new(
            PRIORITIES[number as usize % PRIORITIES.len()],
            number.wrapping_mul(0x9e37_79b9) % 1_000_003,
            uid(number),
        ),
        asks: Arc::new(asks.map(|(name, amount)| (name.to_owned(), amount)).into()),
        ready_at: None,
    }
}

fn candidates(count: u64) -> Vec<Candidate> {
    // 50 of another type among those of the common one.
    (0..count).map(|number| candidate(number, if number % (count / SLOTS) == 0 { "rare" } else { "common" })).collect()
}

fn board(slots: u64) -> Board {
    let mut board = Board::new(None);
    let spec: TaskQueueSpec = serde_json::from_value(json!({
        "capacity": {"tasks": slots, "resources": {"cpu": 100_000, "memory": "100Ti"}},
        "ceilings": {"low": 80, "normal": 90},
    }))
    .expect("a queue's spec");
    board.bound_queue(key("default"), Some(Capacity::of(&spec)));
    board
}

fn filled(mut board: Board, candidates: &[Candidate]) -> Board {
    for candidate in candidates {
        board.place(candidate.order.uid(), Standing::Candidate(candidate.clone()));
    }
    board
}

/// All slots are taken, and the head of the line waits.
fn full(candidates: &[Candidate]) -> Board {
    let mut board = board(SLOTS);
    for number in 0..SLOTS {
        board.place(&uid(u64::MAX - number), Standing::Holder(candidate(number, "common").holding()));
    }
    filled(board, candidates)
}

/// There are slots, but all except 50 tasks are of a type that has as many running as it may.
fn held_back(candidates: &[Candidate]) -> Board {
    let mut board = board(1000);
    board.bound_type(key("common"), Some(1), None);
    board.place(&uid(u64::MAX), Standing::Holder(candidate(1, "common").holding()));
    filled(board, candidates)
}

/// There are slots, but all except 50 tasks wait for their time.
fn early(candidates: &[Candidate]) -> Board {
    let mut candidates = candidates.to_vec();
    let common = candidates.iter_mut().filter(|candidate| candidate.kind == key("common"));
    common.for_each(|candidate| candidate.ready_at = Some(Timestamp::MAX));
    filled(board(1000), &candidates)
}

fn free(candidates: &[Candidate]) -> Board {
    filled(board(SLOTS), candidates)
}

type Scene = (&'static str, fn(&[Candidate]) -> Board, usize);

fn passes(criterion: &mut Criterion) {
    let scenes: [Scene; 4] = [
        ("full_queue", full, 0),
        ("type_at_its_maximum", held_back, 50),
        ("waiting_for_their_time", early, 50),
        ("fifty_free_slots", free, 50),
    ];
    for (name, scene, expected) in scenes {
        let mut group = criterion.benchmark_group(name);
        for size in SIZES {
            let candidates = candidates(size);
            let check = admit(scene(&candidates)).1;
            assert_eq!(check.admitted.len(), expected, "{name} is not the scene it is meant to be");
            group.throughput(Throughput::Elements(size));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter_batched(|| scene(&candidates), admit, BatchSize::PerIteration);
            });
        }
        group.finish();
    }
}

/// Hands the board back, so that dropping it is not measured.
fn admit(mut board: Board) -> (Board, Pass) {
    let pass = board.admit(black_box(Timestamp::UNIX_EPOCH));
    (board, pass)
}

fn placing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("placing_anew");
    for size in SIZES {
        let candidates = candidates(size);
        let again = || candidates.iter().cloned().map(Standing::Candidate).collect::<Vec<_>>();
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let mut board = free(&candidates);
            let place_all = |standings: Vec<Standing>| {
                for (candidate, standing) in candidates.iter().zip(standings) {
                    board.place(candidate.order.uid(), standing);
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
    targets = passes, placing
}
criterion_main!(admission);
