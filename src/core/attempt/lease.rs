//! The lease of a warm worker on one attempt: its name in the worker protocol, and what became of a word on it.

use jiff::{SignedDuration, Timestamp};

use super::HAND_OUTS;
use super::facts::worker::HandedOut;
use super::id::AttemptId;
use crate::Reason;
use crate::digest::sha256_hex;
use crate::time::after;
use task_manager_api::{AttemptOutcome, AttemptRecord, Task, TaskStatus};

const HASH_DIGITS: usize = 16;

/// The lease's name: the uid of the task, the attempt's number, and a hash of run and worker, so that a word of another run or
/// from another worker never counts.
pub fn name(attempt: &AttemptId, worker: &str) -> String {
    let AttemptId { uid, run_id, began, attempt } = attempt;
    let hash: String = sha256_hex(format!("{run_id}/{began}/{worker}")).chars().take(HASH_DIGITS).collect();
    format!("{uid}.{attempt}.{hash}")
}

/// The uid of the task that a lease is of.
pub fn task_uid(lease: &str) -> Option<&str> {
    lease.split_once('.').map(|(uid, _)| uid)
}

/// The worker of this attempt ended by itself while it ran several tasks, and nobody knows for which: `WorkerLost` with the exit
/// code of the worker says so.
pub fn ended_among_others(attempt: &AttemptRecord) -> bool {
    attempt.reason == Reason::WorkerLost && attempt.exit_code.is_some()
}

/// The task has its next worker to itself, so that its end can be told from that of others.
pub fn runs_alone(status: &TaskStatus) -> bool {
    let mut ended = status.attempts.iter().rev();
    let last = ended.find(|attempt| attempt.outcome != AttemptOutcome::Disrupted || ended_among_others(attempt));
    last.is_some_and(ended_among_others)
}

/// What became of what a worker handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Yes,
    No(NotKept),
}

/// Why it is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum NotKept {
    /// Nobody knows of such a lease.
    Unknown,
    /// The attempt had ended otherwise: by its timeout, or because its worker was given up.
    Over,
    /// The task was cancelled or deleted meanwhile.
    Cancelled,
    /// Another run was asked for meanwhile.
    Superseded,
}

/// What became of the word on this lease, by what the task's status says of the attempt since it ended; `None` while it has not.
/// `ended_for` is the reason that the word itself gave, where it is remembered.
pub fn kept(task: &Task, lease: &AttemptId, ended_for: Option<Reason>) -> Option<Kept> {
    let status = task.status_or_default();
    let present = AttemptId::of(task);
    if (&present.run_id, present.began) != (&lease.run_id, lease.began) {
        return Some(Kept::No(NotKept::Superseded));
    }
    let Some(ended) = status.attempts.iter().rev().find(|ended| ended.number == lease.attempt) else {
        return (present.attempt != lease.attempt).then_some(Kept::No(NotKept::Over));
    };
    Some(match (ended.outcome, ended.reason) {
        (AttemptOutcome::Succeeded, _) => Kept::Yes,
        (AttemptOutcome::Failed | AttemptOutcome::Disrupted, Reason::ExitCode | Reason::ReportedError) => Kept::Yes,
        (AttemptOutcome::Failed | AttemptOutcome::Disrupted, reason) if Some(reason) == ended_for => Kept::Yes,
        (_, Reason::Superseded) => Kept::No(NotKept::Superseded),
        (AttemptOutcome::Cancelled, _) => Kept::No(NotKept::Cancelled),
        _ => Kept::No(NotKept::Over),
    })
}

/// The same by the lease's name alone, of a lease that nobody remembers; `None` also where it is of another run or worker.
pub fn kept_by_name(task: &Task, lease: &str, worker: &str, ended_for: Option<Reason>) -> Option<Kept> {
    let attempt = lease.split('.').nth(1)?.parse().ok()?;
    let id = AttemptId { attempt, ..AttemptId::of(task) };
    if name(&id, worker) != lease {
        return None;
    }
    kept(task, &id, ended_for)
}

/// A lease whose worker asks for work in the slot that has it.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Its task is gone, or cannot be read.
    pub without_task: bool,
    /// The worker is to stop, for this.
    pub told_to_stop: Option<Reason>,
    /// The worker has said its last word, which is not written yet.
    pub has_word: bool,
    pub handed_out: HandedOut,
    pub admitted_at: Timestamp,
    /// It is the process that was given the task which asks.
    pub is_holder: bool,
    /// When the process that was given the task was last heard: since when it may have been silent.
    pub heard_at: Option<Timestamp>,
    /// After so long without a word it is taken for dead.
    pub silence: SignedDuration,
}

/// What follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAsk {
    /// It waits: until it is given the task, until its word is written, or until the task can be read again.
    Waits,
    /// The lease is over: nobody wanted the work any longer, and the worker has dropped it.
    Over,
    /// The worker was to stop for this, and has dropped the work without a word.
    Dropped(Reason),
    /// Another process of its pod is at work on the task, as far as is known until then, and two must not be.
    IsAtWork { until: Timestamp },
    /// It is given the task again, whose time counts from when it was first given it.
    Again { first: Timestamp },
    /// It has asked too often.
    TooOften(HandedOut),
}

pub fn on_ask(held: &Held, now: Timestamp) -> OnAsk {
    match (held.without_task, held.told_to_stop) {
        (true, None) => return OnAsk::Waits,
        (true, Some(_)) => return OnAsk::Over,
        (false, _) if held.has_word || held.handed_out == HandedOut::NotYet => return OnAsk::Waits,
        (false, Some(why)) => return OnAsk::Dropped(why),
        (false, None) => {}
    }
    let silent_at = held.heard_at.filter(|_| !held.is_holder).map(|heard| after(heard, held.silence));
    if let Some(until) = silent_at.filter(|silent_at| *silent_at > now) {
        return OnAsk::IsAtWork { until };
    }
    let (first, times) = match held.handed_out {
        HandedOut::At { first, times } => (first, times + 1),
        // The one that led before may have given it out as soon as it had written it.
        HandedOut::NotKnown | HandedOut::NotYet => (held.admitted_at, 1),
    };
    if times > HAND_OUTS { OnAsk::TooOften(HandedOut::At { first, times }) } else { OnAsk::Again { first } }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn lease(run_id: &str, attempt: i32) -> AttemptId {
        AttemptId { uid: "uid-1".into(), run_id: run_id.into(), began: Timestamp::UNIX_EPOCH, attempt }
    }

    fn task(attempts: &[(i32, AttemptOutcome, Reason)]) -> Task {
        let attempts: Vec<_> = attempts
            .iter()
            .map(|(number, outcome, reason)| json!({"number": number, "outcome": outcome, "reason": reason}))
            .collect();
        let last = attempts.len() as i32 + 1;
        let status = json!({"state": "Queued", "reason": "WaitingForRetry", "runId": "1", "attempt": last,
            "queuedAt": "1970-01-01T00:00:00.000000Z", "attempts": attempts});
        serde_json::from_value(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
            "metadata": {"name": "t", "uid": "uid-1"}, "spec": {"type": "x"}, "status": status}))
        .expect("a task")
    }

    fn held(handed_out: HandedOut, admitted_at: Timestamp) -> Held {
        Held {
            without_task: false,
            told_to_stop: None,
            has_word: false,
            handed_out,
            admitted_at,
            is_holder: false,
            heard_at: None,
            silence: SignedDuration::from_secs(15),
        }
    }

    #[test]
    fn another_process_is_given_the_task_once_the_first_one_is_silent() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let handed_out = HandedOut::At { first: at(5), times: 1 };
        let heard = Held { heard_at: Some(at(20)), ..held(handed_out, at(5)) };
        assert_eq!(on_ask(&heard, at(34)), OnAsk::IsAtWork { until: at(35) });
        assert_eq!(on_ask(&heard, at(35)), OnAsk::Again { first: at(5) });
        assert_eq!(
            on_ask(&Held { is_holder: true, ..heard }, at(21)),
            OnAsk::Again { first: at(5) },
            "its answer was lost"
        );
        let stopped = Held { told_to_stop: Some(Reason::Timeout), ..heard };
        assert_eq!(on_ask(&stopped, at(21)), OnAsk::Dropped(Reason::Timeout));
    }

    #[test]
    fn who_asks_while_it_holds_a_lease_is_given_the_task_again_unless_it_was_to_stop() {
        let (admitted_at, first) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(5).expect("a time"));
        let given = |times| HandedOut::At { first, times };
        let held = |handed_out| held(handed_out, admitted_at);
        let on_ask = |held: &Held| on_ask(held, first);
        assert_eq!(on_ask(&held(given(1))), OnAsk::Again { first });
        assert_eq!(on_ask(&held(given(4))), OnAsk::Again { first });
        assert_eq!(on_ask(&held(given(5))), OnAsk::TooOften(given(6)));
        assert_eq!(on_ask(&held(HandedOut::NotKnown)), OnAsk::Again { first: admitted_at });
        assert_eq!(on_ask(&held(HandedOut::NotYet)), OnAsk::Waits, "it is being given it for the first time");
        assert_eq!(on_ask(&Held { has_word: true, ..held(given(1)) }), OnAsk::Waits);
        let stopped = Held { told_to_stop: Some(Reason::Timeout), ..held(given(5)) };
        assert_eq!(on_ask(&stopped), OnAsk::Dropped(Reason::Timeout));
        assert_eq!(on_ask(&Held { has_word: true, ..stopped }), OnAsk::Waits);
        assert_eq!(on_ask(&Held { handed_out: HandedOut::NotYet, ..stopped }), OnAsk::Waits);
        let unreadable = Held { without_task: true, ..held(given(1)) };
        assert_eq!(on_ask(&unreadable), OnAsk::Waits, "nobody told it to drop the work");
        assert_eq!(on_ask(&Held { told_to_stop: Some(Reason::Deleted), ..unreadable }), OnAsk::Over);
    }

    #[test]
    fn a_lease_is_of_one_attempt_of_one_run_by_one_worker() {
        let one = name(&lease("1", 1), "pod-1");
        for other in [name(&lease("2", 1), "pod-1"), name(&lease("1", 2), "pod-1"), name(&lease("1", 1), "pod-2")] {
            assert_ne!(one, other);
        }
        assert_eq!((one.clone(), task_uid(&one)), (name(&lease("1", 1), "pod-1"), Some("uid-1")));
    }

    #[test]
    fn a_word_is_kept_where_the_attempt_ended_by_it() {
        use AttemptOutcome::*;
        for (outcome, reason, expected) in [
            (Succeeded, Reason::Succeeded, Kept::Yes),
            (Failed, Reason::ExitCode, Kept::Yes),
            (Failed, Reason::ReportedError, Kept::Yes),
            (Disrupted, Reason::ReportedError, Kept::Yes),
            (Failed, Reason::Timeout, Kept::No(NotKept::Over)),
            (Disrupted, Reason::WorkerLost, Kept::No(NotKept::Over)),
            (Cancelled, Reason::Cancelled, Kept::No(NotKept::Cancelled)),
            (Cancelled, Reason::Superseded, Kept::No(NotKept::Superseded)),
        ] {
            assert_eq!(
                kept(&task(&[(1, outcome, reason)]), &lease("1", 1), None),
                Some(expected),
                "{outcome:?} {reason}"
            );
        }
    }

    #[test]
    fn after_its_worker_ended_with_several_tasks_a_task_runs_alone_until_an_attempt_of_its_own_has_ended() {
        use AttemptOutcome::*;
        let among_others = (Disrupted, Reason::WorkerLost, Some(137));
        let drained = (Disrupted, Reason::WorkerLost, None);
        let failed = (Failed, Reason::ExitCode, Some(1));
        for (attempts, alone) in [
            (vec![], false),
            (vec![drained], false),
            (vec![failed], false),
            (vec![failed, among_others], true),
            (vec![among_others, drained], true),
            (vec![among_others, failed], false),
        ] {
            let attempt = |(outcome, reason, code): &(AttemptOutcome, Reason, Option<i32>)| json!({"number": 1, "outcome": outcome, "reason": reason, "exitCode": code});
            let attempts: Vec<_> = attempts.iter().map(attempt).collect();
            let status = serde_json::from_value(json!({"state": "Queued", "attempts": attempts})).expect("a status");
            assert_eq!(runs_alone(&status), alone, "{attempts:?}");
        }
    }

    #[test]
    fn a_lease_that_nobody_remembers_is_known_by_its_name() {
        let task = task(&[(1, AttemptOutcome::Succeeded, Reason::Succeeded)]);
        let by_name = |lease: &str, worker: &str| kept_by_name(&task, lease, worker, None);
        let one = name(&lease("1", 1), "pod-1");
        assert_eq!(by_name(&one, "pod-1"), Some(Kept::Yes));
        assert_eq!(by_name(&one, "pod-2"), None, "another worker's");
        assert_eq!(by_name(&name(&lease("2", 1), "pod-1"), "pod-1"), None, "another run's");
        assert_eq!(by_name("nonsense", "pod-1"), None);
    }

    #[test]
    fn a_word_that_itself_gave_the_reason_is_kept_too() {
        for reason in [Reason::Timeout, Reason::OOMKilled, Reason::WorkerLost] {
            let ended = task(&[(1, AttemptOutcome::Failed, reason)]);
            assert_eq!(kept(&ended, &lease("1", 1), Some(reason)), Some(Kept::Yes));
            assert_eq!(kept(&ended, &lease("1", 1), None), Some(Kept::No(NotKept::Over)), "nobody said so");
        }
    }

    #[test]
    fn of_an_attempt_that_has_not_ended_nothing_is_said_and_another_run_counts_as_superseded() {
        assert_eq!(kept(&task(&[]), &lease("1", 1), None), None);
        assert_eq!(kept(&task(&[]), &lease("2", 1), None), Some(Kept::No(NotKept::Superseded)));
        assert_eq!(kept(&task(&[]), &lease("1", 7), None), Some(Kept::No(NotKept::Over)));
    }
}
