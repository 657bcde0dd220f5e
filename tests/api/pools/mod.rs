//! Warm workers: the test asks for work as the program in a worker's pod would.

mod costs;
mod dispatch;
mod leases;
mod sizes;
mod takeover;

use harness::*;

/// A pool "warm" of so many workers, a type "work" that it runs, and an operator that listens to them.
async fn warm(ns: &Namespace, workers: usize) -> (Operator, Vec<WarmWorker>) {
    ns.account_for_pods().await;
    let count = i32::try_from(workers).expect("a few");
    ns.create(&worker_pool("warm", count, count)).await;
    ns.create(&pool_type("work", "warm")).await;
    let operator = Operator::with_worker(ns, &[]).await;
    let workers = WarmWorker::all(ns, "warm", workers, &operator.worker()).await;
    (operator, workers)
}
