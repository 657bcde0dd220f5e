//! Archive before forget, walked: crashes and refusals between record, final status and deletion, with an archive
//! that answers and with one that does not.

use std::sync::Arc;

use harness::faults::{Fault, Passed, Plan, Wire};
use harness::{Held, With, in_namespace, task};
use kube::ResourceExt;
use task_manager::api::State;
use task_manager::archive::Filter;

use super::checks;
use super::lives::Life;
use super::walk::Walk;
use super::{every_fault, is_of_the_task, sweep};
use crate::stage::status;

#[tokio::test]
async fn a_task_whose_time_is_over_goes_only_after_its_record_whatever_fails() {
    let plans = |passed: &Passed| if is_of_the_task(&passed.point) { every_fault(&passed.point) } else { vec![] };
    sweep("time to live", a_life_that_ends_in_deletion, plans).await;
}

async fn a_life_that_ends_in_deletion(wire: &Arc<Wire>) -> Vec<Passed> {
    let mut passed = vec![];
    in_namespace("walk-ttl", async |ns| {
        ns.create(&task("one").with(|spec| spec.ttl_seconds_after_finished = Some(0))).await;
        let walk = Walk::watch(&ns, &Life::success(), wire).await;
        let is_there = || walk.tasks.look_at_present(|tasks| tasks.iter().any(|task| task.name_any() == "one"));
        walk.becomes("it is gone", || !is_there()).await;
        passed = wire.passed();
        let records = walk.archive.list(&Filter::default(), None, 100).await.expect("the archive answers").items;
        let last = walk.tasks.seen().into_iter().rfind(|seen| seen.object.name_any() == "one").expect("it was there");
        assert_eq!((status(&last.object).state, status(&last.object).archived), (State::Completed, Some(true)));
        checks::is_told_of(&last.object, &records);
    })
    .await;
    passed
}

/// The operator is dropped at each request that changes something, while the archive does not answer and after.
#[tokio::test]
async fn nothing_is_lost_when_the_operator_stops_anywhere_while_the_archive_is_down() {
    for life in [Life::success(), Life::new_run()] {
        let plans = |passed: &Passed| match is_of_the_task(&passed.point) && passed.point.kind.is_write() {
            true => [Fault::StopBefore, Fault::StopAfter].map(|stop| Plan::At(passed.point.clone(), stop)).into(),
            false => vec![],
        };
        let name = format!("{} without archive", life.name);
        sweep(&name, async |wire| walk_without_archive(&life, wire).await, plans).await;
    }
}

async fn walk_without_archive(life: &Life, wire: &Arc<Wire>) -> Vec<Passed> {
    let mut passed = vec![];
    in_namespace(&format!("walk-down-{}", life.name), async |ns| {
        let held = Held::hold(&ns).await;
        let walk = Walk::begin(&ns, life, wire).await;
        walk.change_while_running(&ns, life).await;
        let is_over = || {
            walk.tasks.look_at_present(|tasks| {
                let mut ended = tasks.iter().map(|task| status(task)).filter(|status| status.state.is_final());
                tasks.len() == 2 && ended.clone().count() == 2 && ended.all(|status| status.archived == Some(false))
            })
        };
        walk.becomes("both are final, and not recorded", is_over).await;
        held.let_go().await;
        passed = walk.goes_on_to_its_end(life).await;
    })
    .await;
    passed
}
