//! Invariants at the end of every walk and at every moment of it.

use harness::{Recorder, Seen, most_at_once};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use task_manager::api::{Amount, Executor, Quantity, Reason, State, Task, TaskStatus};
use task_manager::archive::{Record, RecordSummary};

use super::lives::{End, Life};
use super::walk::Walk;
use crate::stage::status;

/// Checks everything, when all is done.
pub fn all(walk: &Walk, life: &Life) {
    let tasks = walk.tasks.seen();
    ended_as_it_should(walk, life);
    final_is_final(&tasks);
    each_end_is_counted_once(&tasks);
    no_pause_is_cut_short(&tasks);
    one_slot_for_one_at_a_time(&tasks, &walk.pods.seen());
    first_come_first_served(&tasks);
    each_attempt_has_its_memory(&walk.pods, &life.memory);
    assert_eq!(walk.jobs.count() == 0, life.executor == Executor::Pod, "Jobs are made for that executor alone");
    let logged = walk.operator.logged();
    for words in ["a part of the controller ended", "the operator failed"] {
        assert!(!logged.contains(words), "the log says: {words}");
    }
}

/// The archive has every run that was, as the task's status tells of it, and no other.
pub fn archive(walk: &Walk, life: &Life, records: &[RecordSummary]) {
    let mut expected: Vec<(String, String)> = ["one", "rival"].map(|name| (name.to_owned(), "1".to_owned())).into();
    if life.end.run_id != "1" {
        expected.push(("one".into(), life.end.run_id.into()));
    }
    expected.sort();
    let mut are: Vec<_> = records.iter().map(|record| (record.name.clone(), record.run_id.clone())).collect();
    are.sort();
    assert_eq!(are, expected, "the runs that the archive knows of");
    assert!(records.iter().all(|record| record.state.is_final()), "records of what is over: {records:#?}");
    walk.tasks.look_at_present(|tasks| tasks.iter().for_each(|task| is_told_of(task, records)));
}

/// The record says what the status says.
pub fn is_told_of(task: &Task, records: &[RecordSummary]) {
    let is = status(task);
    let same = |record: &&RecordSummary| {
        Some(&record.uid) == task.metadata.uid.as_ref() && Some(&record.run_id) == is.run_id.as_ref()
    };
    let record = records.iter().find(same).expect("a record");
    let told = (record.state, record.reason, &record.message, record.attempt, record.failures, record.disruptions);
    assert_eq!(told, (is.state, is.reason, &is.message, is.attempt, is.failures, is.disruptions));
    let time = |time: &Option<MicroTime>| time.as_ref().map(|time| time.0);
    let [queued, started, finished] = [&is.queued_at, &is.started_at, &is.finished_at].map(time);
    assert_eq!([record.queued_at, record.started_at, record.finished_at], [queued, started, finished]);
}

/// Nothing of a record is missing. What ran before a new runId may have lost its payload where the operator was
/// dropped, and says so.
pub fn whole(record: &Record, was_struck: bool) {
    let Record { summary, details } = record;
    let payload = &details.spec["payload"]["name"];
    let may_be_lost = was_struck && summary.reason == Reason::Superseded;
    assert!(may_be_lost || !details.payload_lost, "{record:#?}");
    assert_eq!(payload.as_str(), (!details.payload_lost).then_some(summary.name.as_str()), "{record:#?}");
    assert_eq!(details.spec["type"], "work");
}

fn ended_as_it_should(walk: &Walk, life: &Life) {
    let ended = |name: &str| {
        let end = walk
            .tasks
            .look_at_present(|tasks| End::of(tasks.iter().find(|task| task.name_any() == name).expect("the task")));
        (end, walk.node.starts_of(name))
    };
    let expected = [(life.end.clone(), life.outcomes.len()), (Life::success().end, 1)];
    assert_eq!(["one", "rival"].map(ended), expected, "how each task ended, and how many pods were started for it");
}

/// The versions of one task, oldest first.
fn statuses<'a>(seen: &'a [Seen<Task>], name: &'a str) -> impl Iterator<Item = TaskStatus> + 'a {
    seen.iter().filter(move |seen| seen.object.name_any() == name).map(|seen| status(&seen.object))
}

pub fn final_is_final(seen: &[Seen<Task>]) {
    for name in ["one", "rival"] {
        let mut ended: Option<TaskStatus> = None;
        for is in statuses(seen, name) {
            if let Some(was) = ended.as_ref().filter(|was| was.run_id == is.run_id) {
                let lasting = |status: &TaskStatus| {
                    let TaskStatus { state, reason, attempt, failures, disruptions, .. } = status;
                    let record = (status.attempts.clone(), status.result.clone(), status.finished_at.clone());
                    (*state, *reason, *attempt, *failures, *disruptions, record)
                };
                assert_eq!(lasting(&is), lasting(was), "{name}: final is final");
            }
            ended = Some(is).filter(|status| status.state.is_final());
        }
    }
}

/// Each two versions of a task that follow one another in one run.
fn steps(seen: &[Seen<Task>]) -> Vec<[TaskStatus; 2]> {
    let of = |name| statuses(seen, name).filter(|status| status.run_id.is_some()).collect::<Vec<_>>();
    let pairs = ["one", "rival"]
        .map(of)
        .into_iter()
        .flat_map(|versions| versions.windows(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect::<Vec<_>>());
    pairs.filter(|[before, after]| before.run_id == after.run_id).collect()
}

/// Counters and the list of attempts only grow, by one at a time, and never beyond the attempts made.
pub fn each_end_is_counted_once(seen: &[Seen<Task>]) {
    for step in steps(seen) {
        let [before, after] = step
            .each_ref()
            .map(|status| [status.failures + status.disruptions, status.attempts.len() as i32, status.attempt]);
        let grows_by_one_at_most = before.iter().zip(&after).all(|(before, after)| [0, 1].contains(&(after - before)));
        assert!(grows_by_one_at_most && after[0] <= after[1] && after[1] <= after[2], "{step:#?}");
    }
}

pub fn no_pause_is_cut_short(seen: &[Seen<Task>]) {
    for [before, after] in steps(seen).iter().filter(|[_, after]| after.state == State::Processing) {
        assert!(
            before.next_attempt_at.is_none() || after.admitted_at >= before.next_attempt_at,
            "{before:#?}\n{after:#?}"
        );
    }
}

fn one_slot_for_one_at_a_time(tasks: &[Seen<Task>], pods: &[Seen<Pod>]) {
    let hold = most_at_once(tasks, |task| status(task).state == State::Processing);
    let live = most_at_once(pods, |pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        !["Succeeded", "Failed"].contains(&phase)
    });
    assert_eq!((hold, live), (1, 1), "how many held the only slot, and how many pods could run, at one moment");
}

fn first_come_first_served(seen: &[Seen<Task>]) {
    let admitted = seen.iter().find(|seen| status(&seen.object).state == State::Processing).expect("one was admitted");
    assert_eq!(admitted.object.name_any(), "one", "who got the slot first");
}

fn each_attempt_has_its_memory(pods: &Recorder<Pod>, expected: &[i64]) {
    let mut made: Vec<(i64, String, Option<Amount>)> = pods
        .seen()
        .into_iter()
        .filter(|seen| seen.object.name_any().starts_with("one-"))
        .map(|seen| {
            let attempt = seen.object.labels()["taskmanager.dev/attempt"].parse().expect("a number");
            (attempt, seen.object.name_any(), memory(&seen.object))
        })
        .collect();
    made.sort();
    made.dedup();
    let given: Vec<_> = made.into_iter().map(|(.., memory)| memory).collect();
    let expected: Vec<_> = expected.iter().map(|number| Some(Amount::whole(number * 1024 * 1024))).collect();
    assert_eq!(given, expected, "the memory limit of each attempt's pod");
}

fn memory(pod: &Pod) -> Option<Amount> {
    let limits = pod.spec.as_ref()?.containers.first()?.resources.as_ref()?.limits.as_ref()?;
    Quantity(limits.get("memory")?.0.clone()).amount().ok()
}
