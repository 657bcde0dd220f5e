//! Warm workers: the test asks for work as the program in a worker's pod would.

mod checkpoints;
mod costs;
mod dispatch;
mod faults;
mod floods;
mod leases;
mod protocol;
mod records;
mod sizes;
mod takeover;

use harness::*;

/// A pool "warm" of so many workers, a type "work" that it runs, and an operator that listens to them.
async fn warm(ns: &Namespace, workers: usize) -> (Operator, Vec<WarmWorker>) {
    warm_with_slots(ns, workers, 1).await
}

/// The same with workers that run several tasks at once.
async fn warm_with_slots(ns: &Namespace, workers: usize, slots: i32) -> (Operator, Vec<WarmWorker>) {
    ns.account_for_pods().await;
    let count = i32::try_from(workers).expect("a few");
    let mut pool = worker_pool("warm", count, count);
    pool.spec.slots_per_worker = Some(slots);
    ns.create(&pool).await;
    ns.create(&pool_type("work", "warm")).await;
    let operator = Operator::with_worker(ns, &[]).await;
    let workers = WarmWorker::all(ns, "warm", workers, &operator.worker()).await;
    (operator, workers)
}
