use serde_json::json;

use super::*;
use crate::attempt::facts::{Phase, PodFacts, Work, fixtures};
use crate::pool::worker::Calls;

const TEMPLATE: &str = "t1";

fn at(second: i64) -> Timestamp {
    after(fixtures::at("2026-03-01T10:00:00Z"), SignedDuration::from_secs(second))
}

/// A worker whose pod was made at second 0, that asked for work then and whose call hangs.
fn idle(uid: &str, since: i64) -> Worker {
    let pod = PodFacts { uid: uid.into(), name: format!("warm-{uid}"), ..fixtures::pod(json!({})) };
    let calls = Calls { first: Some(at(0)), last: Some(at(since)), is_open: true, beats: true, listened_from: at(0) };
    Worker {
        pod,
        template: TEMPLATE.into(),
        calls,
        idle_since: at(since),
        holds: 0,
        given: 0,
        tasks: 0,
        failed_alone: 0,
        stopping: false,
        asked_to_go: false,
    }
}

fn busy(uid: &str) -> Worker {
    let worker = idle(uid, 0);
    Worker { holds: 1, given: 1, calls: Calls { is_open: false, ..worker.calls }, ..worker }
}

fn starting(uid: &str) -> Worker {
    Worker { calls: Calls { listened_from: at(0), ..Calls::default() }, ..idle(uid, 0) }
}

fn pool(min: i32, max: i32) -> WorkerPoolSpec {
    serde_json::from_value(json!({"replicas": {"min": min, "max": max}, "template": {}})).expect("a pool")
}

fn decided(spec: &WorkerPoolSpec, workers: &[Worker], waiting: usize, second: i64) -> PoolDecision {
    let input = PoolInput {
        spec,
        template: TEMPLATE,
        workers,
        waiting,
        faults: 0,
        last_fault: None,
        last_replaced_for: None,
        told_to_drop: &[],
    };
    decide(&input, at(second))
}

fn deleted(decision: &PoolDecision) -> Vec<&str> {
    decision.delete.iter().map(|going| going.uid.as_str()).collect()
}

#[test]
fn as_many_workers_are_made_as_tasks_wait_for_within_the_pools_bounds() {
    assert_eq!(decided(&pool(2, 8), &[], 0, 1).create, 2);
    assert_eq!(decided(&pool(0, 8), &[busy("a")], 3, 1).create, 3);
    assert_eq!(decided(&pool(0, 8), &[busy("a"), starting("b")], 3, 1).create, 2, "one that starts counts");
    assert_eq!(decided(&pool(0, 2), &[busy("a")], 30, 1).create, 1);
    assert_eq!(decided(&pool(0, 0), &[], 30, 1).create, 0, "the pool is paused");
    let shared = WorkerPoolSpec { slots_per_worker: Some(4), ..pool(0, 8) };
    assert_eq!(decided(&shared, &[], 5, 1).create, 2);
}

#[test]
fn a_worker_that_goes_takes_a_place_until_it_has_ended_or_is_given_up() {
    let goes = |worker: Worker| Worker { pod: PodFacts { due_gone_at: Some(at(30)), ..worker.pod }, ..worker };
    let made = |workers: &[Worker], second| decided(&pool(2, 2), workers, 0, second).create;
    assert_eq!(made(&[goes(idle("a", 0)), idle("b", 0)], 20), 0);
    assert_eq!(made(&[Worker { asked_to_go: true, ..idle("a", 0) }, idle("b", 0)], 20), 0);
    let has_ended = |worker: Worker| Worker { pod: PodFacts { phase: Phase::Failed, ..worker.pod }, ..worker };
    assert_eq!(made(&[has_ended(goes(idle("a", 0))), idle("b", 0)], 20), 1);
    assert_eq!(made(&[goes(idle("a", 0)), idle("b", 0)], 90), 0);
    assert_eq!(made(&[goes(idle("a", 0)), idle("b", 0)], 91), 1, "its node does not answer");
    assert_eq!(decided(&pool(1, 2), &[goes(idle("a", 0))], 0, 20).create, 1, "there is room for both");
}

#[test]
fn a_pool_grows_by_ten_at_once_at_most_and_goes_on() {
    let decision = decided(&pool(0, 100), &[], 50, 1);
    assert_eq!((decision.create, decision.wake), (10, Some(at(2))));
}

#[test]
fn idle_workers_above_the_least_go_when_their_time_is_over_the_longest_idle_first() {
    let workers = [idle("a", 50), idle("b", 10), idle("c", 20)];
    assert_eq!(deleted(&decided(&pool(1, 8), &workers, 0, 310)), ["b"]);
    assert_eq!(deleted(&decided(&pool(1, 8), &workers, 0, 400)), ["b", "c"], "one stays");
    assert_eq!(deleted(&decided(&pool(1, 8), &workers, 0, 100)), [""; 0]);
    assert_eq!(deleted(&decided(&pool(0, 0), &workers, 0, 60)).len(), 3, "a paused pool keeps none");
    assert_eq!(deleted(&decided(&pool(0, 1), &[busy("a"), busy("b")], 0, 20)), [""; 0], "none that is at work");
}

#[test]
fn a_changed_template_replaces_idle_workers_at_once_and_busy_ones_after_their_task() {
    let old = |worker: Worker| Worker { template: "t0".into(), ..worker };
    let decision = decided(&pool(2, 8), &[old(idle("a", 0)), old(busy("b"))], 0, 5);
    assert_eq!((deleted(&decision), decision.stop.clone()), (vec!["a"], vec!["b".to_owned()]));
    assert_eq!(decision.create, 1);
    assert_eq!(decision.delete[0].replaced_for, Some(WORN_OUT));
    let told = Worker { stopping: true, ..old(busy("b")) };
    assert_eq!(decided(&pool(1, 8), &[told], 0, 5).stop, [""; 0]);
    let told = Worker { stopping: true, ..old(idle("b", 0)) };
    assert_eq!(decided(&pool(1, 8), &[told], 0, 5).delete[0].replaced_for, None, "it was counted when it was told");
}

#[test]
fn each_fault_has_a_word_and_a_worker_too_many_has_none() {
    let going = |workers: &[Worker], second| decided(&pool(1, 8), workers, 0, second).delete.pop().expect("one goes");
    assert_eq!(going(&[busy("a")], 25).replaced_for, Some("Silent"));
    assert_eq!(going(&[starting("a")], 600).replaced_for, Some("NeverAsked"));
    assert_eq!(going(&[idle("a", 0), idle("b", 0)], 301).replaced_for, None, "one too many");
}

#[test]
fn workers_are_counted_by_state() {
    let going = Worker { asked_to_go: true, ..idle("d", 0) };
    let broken = Worker { failed_alone: 3, ..idle("e", 0) };
    let workers = [idle("a", 0), busy("b"), starting("c"), going, broken];
    let counts = Counts { starting: 1, busy: 1, idle: 1, unhealthy: 1, stopping: 1 };
    assert_eq!(count(&pool(0, 8), &workers, at(1)), counts);
}

#[test]
fn a_worker_goes_after_its_last_task_and_when_it_is_too_old() {
    let spec = WorkerPoolSpec { max_tasks_per_worker: Some(10), max_worker_age_seconds: Some(3600), ..pool(1, 8) };
    let used = Worker { tasks: 10, ..idle("a", 0) };
    assert_eq!(deleted(&decided(&spec, &[used], 0, 5)), ["a"]);
    assert_eq!(deleted(&decided(&spec, &[idle("a", 3590)], 0, 3599)), [""; 0]);
    assert_eq!(deleted(&decided(&spec, &[idle("a", 3590)], 0, 3601)), ["a"]);
}

#[test]
fn a_worker_that_is_not_heard_is_replaced() {
    let hung_up = |worker: Worker| Worker { calls: Calls { is_open: false, ..worker.calls }, ..worker };
    let fault = |worker: Worker, second| {
        let going = decided(&pool(1, 8), &[worker], 0, second).delete.pop()?;
        Some(going.why.map(|why| why.message).unwrap_or_default())
    };
    assert_eq!(fault(hung_up(idle("a", 10)), 34), None);
    assert_eq!(fault(hung_up(idle("a", 10)), 35), Some(Fault::DoesNotAsk.told().into()));
    assert_eq!(fault(idle("a", 10), 999), None, "its call hangs");
    assert_eq!(fault(busy("a"), 25), Some(Fault::Silent.told().into()));
    let without_promise = Worker { calls: Calls { beats: false, ..busy("a").calls }, ..busy("a") };
    assert_eq!(fault(without_promise, 99_999), None);
    assert_eq!(fault(starting("a"), 599), None);
    assert_eq!(fault(starting("a"), 600), Some(Fault::NeverAsked.told().into()));
    assert_eq!(fault(Worker { failed_alone: 3, ..idle("a", 0) }, 1), Some(Fault::FailsAll.told().into()));
}

#[test]
fn a_worker_that_was_granted_a_task_and_does_not_ask_for_it_is_replaced_though_it_promised_nothing() {
    let calls = Calls { is_open: false, beats: false, ..idle("a", 10).calls };
    let granted = Worker { holds: 1, given: 0, calls, ..idle("a", 10) };
    let gone = |second| deleted(&decided(&pool(1, 8), std::slice::from_ref(&granted), 0, second)).len();
    assert_eq!((gone(34), gone(35)), (0, 1));
}

#[test]
fn a_new_leader_counts_silence_from_its_own_first_sight() {
    let worker = busy("a");
    let calls = Calls { last: None, listened_from: at(1000), ..worker.calls };
    let worker = Worker { calls, ..worker };
    let silent = |second| decided(&pool(1, 8), std::slice::from_ref(&worker), 0, second).delete.len();
    assert_eq!((silent(1024), silent(1025)), (0, 1));
}

#[test]
fn after_faults_workers_are_made_again_only_after_a_pause_that_grows() {
    let spec = pool(1, 8);
    let made = |faults, second| {
        let input = PoolInput {
            spec: &spec,
            template: TEMPLATE,
            workers: &[],
            waiting: 0,
            faults,
            last_fault: Some(at(0)),
            last_replaced_for: None,
            told_to_drop: &[],
        };
        let decision = decide(&input, at(second));
        (decision.create, decision.wake)
    };
    assert_eq!(made(1, 4), (0, Some(at(5))));
    assert_eq!(made(1, 5), (1, None));
    assert_eq!(made(3, 19), (0, Some(at(20))));
    assert_eq!(made(40, 299), (0, Some(at(300))));
    assert_eq!(made(0, 0), (1, None));
}

#[test]
fn a_pool_with_too_few_workers_says_what_the_next_one_waits_for_or_why_one_went() {
    let spec = pool(1, 8);
    let trouble = |workers: &[Worker], waiting, faults| {
        let last_replaced_for = Some("it ended by itself: exit code 1");
        let (last_fault, told_to_drop) = (Some(at(0)), &[][..]);
        let input = PoolInput {
            spec: &spec,
            template: TEMPLATE,
            workers,
            waiting,
            faults,
            last_fault,
            last_replaced_for,
            told_to_drop,
        };
        decide(&input, at(1)).trouble
    };
    let waiting = Some(Why::new(Reason::ImageUnavailable, "no such image"));
    let stuck = || Worker { pod: PodFacts { waiting: waiting.clone(), ..starting("a").pod }, ..starting("a") };
    assert_eq!(trouble(&[stuck()], 0, 1).as_deref(), Some("warm-a waits: no such image"));
    let replaced = Some("the last one was replaced: it ended by itself: exit code 1");
    assert_eq!(trouble(&[starting("a")], 0, 1).as_deref(), replaced);
    assert_eq!(trouble(&[starting("a")], 0, 0), None, "a task has succeeded since");
    assert_eq!(trouble(&[idle("b", 0), stuck()], 0, 1), None, "there are as many as there should be");
    assert_eq!(trouble(&[busy("b"), stuck()], 1, 1).as_deref(), Some("warm-a waits: no such image"));
}

#[test]
fn a_worker_that_ended_is_removed_once_nothing_of_it_is_awaited() {
    let ended = || {
        let worker = idle("a", 0);
        let work = Work::Ended { exit_code: 1, started_at: Some(at(0)), at: Some(at(1)), left: None };
        Worker { pod: PodFacts { phase: Phase::Failed, work, ..worker.pod }, ..worker }
    };
    let decision = decided(&pool(0, 8), &[ended()], 0, 1);
    assert_eq!(deleted(&decision), ["a"]);
    assert!(decision.delete[0].why.as_ref().is_some_and(|why| why.message.starts_with("it ended by itself")));
    assert!(
        deleted(&decided(&pool(0, 8), &[Worker { holds: 1, ..ended() }], 0, 1)).is_empty(),
        "its task is judged first"
    );
    let told = decided(&pool(0, 8), &[Worker { stopping: true, ..ended() }], 0, 1);
    assert_eq!((deleted(&told), told.delete[0].why.clone()), (vec!["a"], None), "it was told to");
    assert!(deleted(&decided(&pool(0, 8), &[Worker { asked_to_go: true, ..ended() }], 0, 1)).is_empty());
}

#[test]
fn a_worker_is_judged_when_its_container_has_ended_and_the_kubelet_has_not_told_the_pods_end() {
    let replaced = |exit_code, others: fn(PodFacts) -> PodFacts| {
        let work = Work::Ended { exit_code, started_at: Some(at(0)), at: Some(at(1)), left: None };
        let pod = others(PodFacts { phase: Phase::Running, work, ..idle("a", 0).pod });
        let decision = decided(&pool(0, 8), &[Worker { pod, ..idle("a", 0) }], 0, 1);
        decision.delete[0].why.as_ref().map(|why| why.message.clone())
    };
    assert!(replaced(127, |pod| pod).is_some_and(|why| why.contains("exit code 127")));
    let deleted = |pod| PodFacts { deleted_at: Some(at(0)), disrupted_at: Some(at(0)), ..pod };
    assert_eq!(replaced(0, deleted), None, "somebody else ended it");
}

#[test]
fn a_worker_that_goes_on_with_what_nobody_wants_is_replaced() {
    let spec = pool(0, 8);
    let told_to_drop = [("a".to_owned(), at(9))];
    let workers = [busy("a")];
    let input = PoolInput {
        spec: &spec,
        template: TEMPLATE,
        workers: &workers,
        waiting: 0,
        faults: 0,
        last_fault: None,
        last_replaced_for: None,
        told_to_drop: &told_to_drop,
    };
    let before = decide(&input, at(8));
    assert_eq!((deleted(&before).len(), before.wake), (0, Some(at(9))));
    assert_eq!(deleted(&decide(&input, at(9))), ["a"]);
}

#[test]
fn a_worker_whose_container_has_ended_beside_another_is_removed_once_its_task_is_judged() {
    let work = || Work::Ended { exit_code: 137, started_at: Some(at(0)), at: Some(at(5)), left: None };
    let beside =
        |worker: Worker| Worker { pod: PodFacts { phase: Phase::Running, work: work(), ..worker.pod }, ..worker };
    assert_eq!(deleted(&decided(&pool(0, 8), &[beside(busy("a"))], 0, 6)), [""; 0]);
    let decision = decided(&pool(0, 8), &[beside(idle("a", 0))], 0, 6);
    assert_eq!((deleted(&decision), decision.delete[0].why.is_some()), (vec!["a"], true));
    assert_eq!(decided(&pool(0, 1), &[beside(idle("a", 0))], 1, 6).create, 0, "its pod still takes its place");
}

#[test]
fn a_worker_that_others_ended_has_no_fault() {
    let has_fault = |exit_code: i32, change: fn(PodFacts) -> PodFacts| {
        let worker = idle("a", 0);
        let work = Work::Ended { exit_code, started_at: Some(at(0)), at: Some(at(60)), left: None };
        let phase = if exit_code == 0 { Phase::Succeeded } else { Phase::Failed };
        let pod = change(PodFacts { phase, work, ..worker.pod });
        decided(&pool(0, 8), &[Worker { pod, ..worker }], 0, 61).delete.pop().expect("it goes").why.is_some()
    };
    let deleted = |pod| PodFacts { deleted_at: Some(at(50)), due_gone_at: Some(at(80)), ..pod };
    let evicted = |pod| PodFacts { disrupted_at: Some(at(50)), ..pod };
    for exit_code in [0, 143] {
        assert!(has_fault(exit_code, |pod| pod));
        assert!(!has_fault(exit_code, deleted) && !has_fault(exit_code, evicted), "{exit_code}");
    }
    let too_late = |pod| PodFacts { deleted_at: Some(at(70)), due_gone_at: Some(at(80)), ..pod };
    assert!(has_fault(1, too_late), "it had ended before");
}
