//! Watches that repeat themselves, stall, break off, and forget where they were.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::faults::{EventFault, Kind, Passed, Plan, Point, Wire};

use super::lives::Life;
use super::sweep::sweep;
use super::walk::walk;
use super::{is_of_the_one_behind, is_of_the_task};

/// Longer than two watches may lie apart; long enough for everything else to have gone by.
const A_WHILE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn watch_events_that_come_twice_change_nothing() {
    for life in [Life::success(), Life::retry(), Life::out_of_memory(), Life::cancel(), Life::new_run()] {
        let once = walk(&life, &Wire::new(Plan::Faultless)).await;
        let twice = walk(&life, &Wire::new(Plan::EveryEvent(EventFault::Twice))).await;
        if all_writes_are_answered(&once) && all_writes_are_answered(&twice) {
            assert_eq!(writes(&twice), writes(&once), "life {}: what was written, and how often", life.name);
        }
    }
}

/// A request that the API server does not answer in time is repeated.
fn all_writes_are_answered(passed: &[Passed]) -> bool {
    passed.iter().all(|passed| passed.point.kind != Kind::Write || !passed.fate.is_empty())
}

/// How often each write about a task passed. What is said of one that waits, runs or is being stopped, and whether its
/// pod is deleted beside its Job, depends on how soon that is over.
fn writes(passed: &[Passed]) -> BTreeMap<&str, usize> {
    let is_by_the_clock =
        |label: &str| label.starts_with("DELETE pods") || label.ends_with("Processing") || label.ends_with("Queued");
    let mut counts = BTreeMap::new();
    for point in passed.iter().map(|passed| &passed.point).filter(|point| point.kind == Kind::Write) {
        let is_of_a_task = is_of_the_task(point) || is_of_the_one_behind(point);
        if is_of_a_task && !is_by_the_clock(&point.label) {
            *counts.entry(point.label.as_str()).or_default() += 1;
        }
    }
    counts
}

#[tokio::test]
async fn nothing_is_lost_when_a_watch_ends_anywhere() {
    at_every_event(Life::retry(), &[EventFault::EndBefore, EventFault::CutInside]).await;
}

#[tokio::test]
async fn a_watch_whose_version_is_too_old_begins_anew_and_nothing_is_lost() {
    at_every_event(Life::retry(), &[EventFault::Expired, EventFault::EndThenGone]).await;
}

#[tokio::test]
async fn a_failure_is_counted_once_whatever_is_seen_late() {
    at_every_event(Life::retry(), &[EventFault::Late(A_WHILE)]).await;
}

#[tokio::test]
async fn a_cancelled_task_keeps_its_slot_until_its_pod_has_ended_whatever_is_seen_late() {
    at_every_event(Life::cancel(), &[EventFault::Late(A_WHILE)]).await;
}

#[tokio::test]
async fn a_new_run_waits_for_the_end_of_the_one_before_whatever_is_seen_late() {
    at_every_event(Life::new_run(), &[EventFault::Late(A_WHILE)]).await;
}

async fn at_every_event(life: Life, faults: &[EventFault]) {
    let plans = |Passed { point, .. }: &Passed| match is_struck(point) {
        true => faults.iter().map(|fault| Plan::AtEvent(point.clone(), *fault)).collect(),
        false => vec![],
    };
    sweep(&format!("{}, {faults:?}", life.name), async |wire| walk(&life, wire).await, plans).await;
}

/// The first lists come as lists. Bookmarks come by the clock.
fn is_struck(point: &Point) -> bool {
    point.kind == Kind::Event && !is_of_the_one_behind(point) && !point.label.starts_with("BOOKMARK")
}
