//! Faults that strike what the operator asks about its Lease: it may lose it, and must lose nothing else.

use std::sync::Arc;

use harness::Outcome;
use harness::faults::{Passed, Wire};
use harness::in_namespace;

use super::lives::Life;
use super::walk::Walk;
use super::{every_fault, is_of_the_lease, sweep};

/// The first renewal.
const RENEWED: &str = "PUT leases/task";

#[tokio::test]
async fn a_task_succeeds_once_whatever_fails_about_the_lease() {
    let plans = |passed: &Passed| match is_of_the_lease(&passed.point) && passed.point.occurrence <= 2 {
        true => every_fault(&passed.point),
        false => vec![],
    };
    sweep("lease", walk_that_is_renewed, plans).await;
}

/// The task runs until the lease was renewed, or the fault has struck.
async fn walk_that_is_renewed(wire: &Arc<Wire>) -> Vec<Passed> {
    let life = Life { outcomes: vec![Outcome::Hold], ..Life::success() };
    let mut passed = vec![];
    in_namespace("walk-lease", async |ns| {
        let walk = Walk::begin(&ns, &life, wire).await;
        let may_end = || wire.has_struck() || wire.passed_of(RENEWED) > 0;
        walk.becomes("its pod is started", || walk.node.starts_of("one") == 1).await;
        walk.becomes("the lease is renewed", may_end).await;
        walk.node.end("one", Outcome::succeed());
        passed = walk.goes_on_to_its_end(&life).await;
    })
    .await;
    passed
}
