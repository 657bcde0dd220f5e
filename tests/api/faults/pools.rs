//! A task that warm workers run: its life is walked once for each request of the operator and each call of the worker, and each
//! fault that can strike there.

mod program;

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use harness::faults::{Passed, Plan, Wire, WiredOperator};
use harness::{With, eventually, in_namespace, pool_type, task, worker_pool};
use kube::ResourceExt;
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason, State, Task};
use task_manager::archive::{Archive, Filter, Options};

use super::lives::End;
use super::sweep::sweep;
use super::walk::PATIENCE;
use super::{checks, every_fault};
use crate::stage::status;
use program::{Program, Strike};

/// The most walks at once: each has an operator.
const AT_ONCE: usize = 6;
/// The attempts of the task "one"; the first one fails.
const ATTEMPTS: [i32; 2] = [1, 2];

#[tokio::test]
async fn a_task_on_a_worker_fails_once_and_succeeds_once_whatever_fails_at_the_operator() {
    let plans = |passed: &Passed| match ["one", "warm"].iter().any(|name| passed.point.label.contains(name)) {
        true => every_fault(&passed.point),
        false => vec![],
    };
    sweep("pool", async |wire| walk(None, wire).await, plans).await;
}

#[tokio::test]
async fn a_task_on_a_worker_fails_once_and_succeeds_once_whichever_call_is_lost() {
    let strikes: Vec<Strike> = ATTEMPTS.into_iter().flat_map(Program::strikes).collect();
    let walks = strikes.iter().map(async |strike| {
        let wire = Wire::new(Plan::Faultless);
        let walked = std::panic::AssertUnwindSafe(walk(Some(*strike), &wire));
        let walked = futures::FutureExt::catch_unwind(walked).await;
        if walked.is_err() {
            eprintln!("===== {strike:?}\n{wire}");
        }
        walked.err().map(|_| *strike)
    });
    let failed: Vec<_> =
        stream::iter(walks).buffer_unordered(AT_ONCE).filter_map(async |failed| failed).collect().await;
    assert!(failed.is_empty(), "{} of {} failed: {failed:#?}", failed.len(), strikes.len());
}

/// Walks the life, in which a call of the worker is struck or the plan of the wire strikes; returns what had passed.
async fn walk(strike: Option<Strike>, wire: &Arc<Wire>) -> Vec<Passed> {
    let mut passed = vec![];
    in_namespace("walk-pool", async |ns| {
        ns.account_for_pods().await;
        ns.create(&worker_pool("warm", 1, 1)).await;
        ns.create(&pool_type("work", "warm")).await;
        let retry = serde_json::from_value(json!({"limit": 1})).expect("a retry");
        ns.create(&task("one").with(|spec| spec.retry = Some(retry))).await;
        ns.create(&task("rival")).await;
        let tasks = ns.record::<Task>().await;
        let (operator, way) = WiredOperator::with_worker(&ns, wire, &["--default-queue-tasks", "1"]);
        let (program, _pods) = Program::start(&ns, way, wire.clone(), strike);
        for name in ["one", "rival"] {
            eventually(&format!("{name} is final and recorded"), PATIENCE, async || {
                assert!(!operator.has_ended(), "the operator has ended by itself");
                program.is_well();
                let task = ns.tasks().get(name).await.ok()?;
                let status = task.status?;
                (status.state.is_final() && status.is_archived()).then_some(())
            })
            .await;
        }
        program.has_nothing_to_say().await;
        assert!(strike.is_none() || program.has_struck(), "it never struck");
        passed = wire.passed();
        assert_eq!(program.worked("one"), ATTEMPTS, "the attempts that a worker was at work on");
        assert_eq!(program.worked("rival"), [1]);
        let failed = (1, AttemptOutcome::Failed, Reason::ReportedError);
        let done = |number| (number, AttemptOutcome::Succeeded, Reason::Succeeded);
        for (name, attempts) in [("one", vec![failed, done(2)]), ("rival", vec![done(1)])] {
            let task = ns.task(name).await;
            let (attempt, failures) = (attempts.len() as i32, attempts.len() as i32 - 1);
            let end = End { state: State::Completed, run_id: "1", attempt, failures, oom_kills: 0, attempts };
            assert_eq!(End::of(&task), end, "{name}");
        }
        assert!(status(&ns.task("one").await).result_ref.is_some(), "its result was put");
        let seen = tasks.seen();
        checks::final_is_final(&seen);
        checks::each_end_is_counted_once(&seen);
        checks::no_pause_is_cut_short(&seen);
        let is_processing = |task: &Task| status(task).state == State::Processing;
        assert_eq!(harness::most_at_once(&seen, is_processing), 1, "how many held the only slot");
        let archive = Archive::at(&ns.archive(), &Options { deadline: PATIENCE, ..Options::default() }).expect("a URL");
        let listed = async || archive.list(&Filter::default(), None, 100).await.ok();
        let records = eventually("the archive answers", PATIENCE, listed).await.items;
        assert_eq!(records.len(), 2, "{records:#?}");
        for task in ns.tasks().list(&Default::default()).await.expect("tasks") {
            checks::is_told_of(&task, &records);
            let found = async || archive.find(&task.uid()?).await.ok()?;
            let whole = eventually("the record is there", PATIENCE, found).await;
            checks::whole(&whole, false);
            assert_eq!(whole.details.attempts, status(&task).attempts);
        }
        drop(operator);
    })
    .await;
    passed
}
