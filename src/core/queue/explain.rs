//! Why a pending task does not start: what holds it back, in numbers, and its place where it waits for its turn. The one
//! place where waiting is explained, for the status, for queues, over REST and to those who follow.

use std::sync::Arc;

use jiff::Timestamp;

use super::admission::AdmissionQueue;
use super::ledger::Running;
use super::order::Key;
use super::pending::{Place, Turn};
use super::quota::{Lack, Quota};
use super::state::PendingTask;
use crate::Reason;
use strum::IntoEnumIterator;
use task_manager_api::{Amount, Priority};

/// What is used has moved when it did by more than the bound divided by this.
const MOVES_LITTLE: i128 = 10;

/// Why a pending task does not start.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub hold: Hold,
    /// Where it waits for its turn: nothing but those before it, and its queue, hold it back.
    pub turn: Option<Turn>,
    /// It would have room if nobody went before it.
    pub would_fit: bool,
}

/// What holds a pending task back. Of one that waits for its turn, what holds back the first in its line.
#[derive(Clone, Debug, PartialEq)]
pub enum Hold {
    NotDue(Timestamp),
    QueueMissing(Arc<str>),
    QueueSuspended(Arc<str>),
    QueueNotReady {
        queue: Arc<str>,
        fault: String,
    },
    TooLarge {
        queue: Arc<str>,
        lack: Lack,
    },
    TypeLimit {
        task_type: Arc<str>,
        limit: Running,
    },
    KeyLimit {
        task_type: Arc<str>,
        kb_id: Arc<str>,
        limit: Running,
        /// How many of the kbId go before it.
        before: usize,
    },
    /// No worker of the pool that runs tasks of its type is free.
    NoWorker {
        pool: Arc<str>,
    },
    QueueFull(Lack),
    CeilingReached(Lack),
    OperatorLimit(Running),
    /// It starts as soon as those before it have.
    Nothing,
}

impl AdmissionQueue {
    /// Why a task that is pending does not start; `None` for any other.
    pub fn explain(&mut self, uid: &str, now: Timestamp) -> Option<Explanation> {
        self.pending.promote(now, &self.ledger);
        let pending = self.pending.get(uid)?;
        let hold = self.held_alone(uid, &pending).or_else(|| self.held_by_others(uid, &pending));
        if let Some(hold) = hold {
            return Some(Explanation { hold, turn: None, would_fit: false });
        }
        let turn = self.pending.turn(uid, &self.ledger)?;
        let first = self.pending.get(&turn.first)?;
        let would_fit = self.lack(&pending).is_none();
        Some(Explanation { hold: self.lack(&first).unwrap_or(Hold::Nothing), turn: Some(turn), would_fit })
    }

    /// The holds that have nothing to do with other tasks.
    fn held_alone(&self, uid: &str, pending: &PendingTask) -> Option<Hold> {
        let name = || pending.queue.1.clone();
        match (self.pending.place(uid)?, self.ledger.quota(&pending.queue)) {
            (Place::Delayed, _) => pending.ready_at.map(Hold::NotDue),
            (_, None) => Some(Hold::QueueMissing(name())),
            (_, Some(Quota { fault: Some(fault), .. })) => {
                Some(Hold::QueueNotReady { queue: name(), fault: fault.clone() })
            }
            (_, Some(quota)) if quota.suspended => Some(Hold::QueueSuspended(name())),
            (Place::Apart, Some(quota)) => {
                let lack = quota.never_fits(pending.order.priority(), &pending.requests)?;
                Some(Hold::TooLarge { queue: name(), lack })
            }
            (Place::Line, Some(_)) => None,
        }
    }

    /// The limits of its type and kbId, which let others of its queue go before it.
    fn held_by_others(&self, uid: &str, pending: &PendingTask) -> Option<Hold> {
        let task_type = pending.task_type.1.clone();
        if let Some(limit) = self.ledger.of_type(&pending.task_type).filter(|limit| limit.is_full()) {
            return Some(Hold::TypeLimit { task_type, limit });
        }
        if let Some(pool) =
            self.ledger.pool_of(&pending.task_type).filter(|_| self.ledger.lacks_a_worker(&pending.task_type))
        {
            return Some(Hold::NoWorker { pool: pool.1.clone() });
        }
        let kb_id = pending.kb_id.clone()?;
        let limit = self.ledger.of_kb_id(&pending.task_type, &kb_id)?;
        let before = self.pending.before_of_kb_id(uid);
        let is_held = i64::try_from(before).is_ok_and(|before| limit.running.saturating_add(before) >= limit.most);
        is_held.then_some(Hold::KeyLimit { task_type, kb_id, limit, before })
    }

    /// The room that this task lacks, which is that of its queue before that of all.
    fn lack(&self, pending: &PendingTask) -> Option<Hold> {
        let lack = self.ledger.lack(&pending.queue, pending.order.priority(), &pending.requests);
        let of_queue = lack.map(|lack| match lack.ceiling {
            Some(_) => Hold::CeilingReached(lack),
            None => Hold::QueueFull(lack),
        });
        of_queue.or_else(|| self.ledger.all().filter(|limit| limit.is_full()).map(Hold::OperatorLimit))
    }

    /// Why the first task of a queue does not start, and its uid; `None` where nobody waits.
    pub fn explain_first(&mut self, queue: &Key, now: Timestamp) -> Option<(Arc<str>, Explanation)> {
        self.pending.promote(now, &self.ledger);
        let first = self.pending.front(queue, &self.ledger)?;
        let explanation = self.explain(&first, now)?;
        Some((first, explanation))
    }
}

impl AdmissionQueue {
    /// The first `most` of each queue and priority among those that are due and could fit, and why each does not start.
    pub fn fronts(&mut self, most: usize, now: Timestamp) -> Vec<(Arc<str>, Explanation)> {
        self.pending.promote(now, &self.ledger);
        let pending = &self.pending;
        let of_queue = |queue| Priority::iter().flat_map(move |priority| pending.fronts(queue, priority, most));
        let fronts: Vec<Arc<str>> = pending.queues().flat_map(of_queue).collect();
        fronts.into_iter().filter_map(|uid| self.explain(&uid, now).map(|why| (uid, why))).collect()
    }
}

impl Explanation {
    /// `Queued` where nothing but its turn is waited for.
    pub fn reason(&self) -> Reason {
        self.hold.reason()
    }

    /// The explanation as it is now, with all numbers. `first` is the name of the first in line.
    pub fn message(&self, first: Option<&str>) -> String {
        let Some(Turn { place, of, .. }) = self.turn else { return self.hold.message() };
        if place == 1 {
            return joined(&self.of_the_first("it asks for"), &format!("first of {of} in line"));
        }
        let of_first = match first {
            Some(first) => self.behind(first),
            None => self.hold.message(),
        };
        joined(&of_first, &format!("place {place} of {of}"))
    }

    /// The explanation as a status keeps it: without numbers that change while nothing that holds it back does. Whoever
    /// goes first is named only to those whom nobody else holds back.
    pub fn lasting_message(&self, first: Option<&str>) -> String {
        match &self.turn {
            None => self.hold.lasting_message(),
            Some(Turn { place: 1, .. }) => self.of_the_first("it asks for"),
            Some(_) if !self.would_fit => self.hold.message(),
            Some(_) => first.map_or_else(|| self.hold.message(), |first| self.behind(first)),
        }
    }

    /// Whether a status that has told `told` would say something else in substance. How much is used or running may move
    /// a little, and who becomes the first need not read how much it asks for.
    pub fn differs_from(&self, told: &Self) -> bool {
        let (now, before) = (self.named_first(), told.named_first());
        let is_of_another = now != before || (now.is_some() && self.hold.asks() != told.hold.asks());
        is_of_another || self.hold.differs_from(&told.hold)
    }

    /// Whoever goes first, where that alone holds this task back.
    fn named_first(&self) -> Option<&Arc<str>> {
        self.turn.as_ref().filter(|turn| turn.place > 1 && self.would_fit).map(|turn| &turn.first)
    }

    /// The explanation of the first one, for its queue.
    pub fn of_queue(&self, first: &str) -> String {
        self.of_the_first(&format!("{first} asks for"))
    }

    fn of_the_first(&self, who_asks_for: &str) -> String {
        match &self.hold {
            Hold::QueueFull(lack) | Hold::CeilingReached(lack) if lack.resource.is_some() => {
                format!("{}, {who_asks_for} {}", self.hold.message(), lack.asks)
            }
            hold => hold.message(),
        }
    }

    fn behind(&self, first: &str) -> String {
        match &self.hold {
            Hold::QueueFull(lack) | Hold::CeilingReached(lack) if lack.resource.is_some() => {
                format!("{}, and {first}, which is first in line, asks for {}", self.hold.message(), lack.asks)
            }
            hold => joined(&hold.message(), &format!("{first} is first in line")),
        }
    }
}

fn joined(first: &str, second: &str) -> String {
    if first.is_empty() { second.into() } else { format!("{first}; {second}") }
}

impl Hold {
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotDue(_) => Reason::NotYetDue,
            Self::QueueMissing(_) => Reason::QueueMissing,
            Self::QueueSuspended(_) => Reason::QueueSuspended,
            Self::QueueNotReady { .. } => Reason::QueueNotReady,
            Self::TooLarge { .. } => Reason::TooLargeForQueue,
            Self::TypeLimit { .. } => Reason::TypeLimit,
            Self::NoWorker { .. } => Reason::NoWorker,
            Self::KeyLimit { .. } => Reason::KeyLimit,
            Self::QueueFull(_) => Reason::QueueFull,
            Self::CeilingReached(_) => Reason::CeilingReached,
            Self::OperatorLimit(_) => Reason::OperatorLimit,
            Self::Nothing => Reason::Queued,
        }
    }

    /// How much the one that lacks room asks for.
    fn asks(&self) -> Option<Amount> {
        match self {
            Self::QueueFull(lack) | Self::CeilingReached(lack) => Some(lack.asks),
            _ => None,
        }
    }

    fn differs_from(&self, told: &Self) -> bool {
        match (self, told) {
            (Self::QueueFull(now), Self::QueueFull(told)) | (Self::CeilingReached(now), Self::CeilingReached(told)) => {
                let bound = |lack: &Lack| (lack.resource.clone(), lack.most, lack.ceiling);
                let moved = (now.used - told.used).0.saturating_abs();
                bound(now) != bound(told) || moved.saturating_mul(MOVES_LITTLE) > now.most.0
            }
            (Self::TypeLimit { limit: now, .. }, Self::TypeLimit { limit: told, .. })
            | (Self::OperatorLimit(now), Self::OperatorLimit(told)) => now.most != told.most,
            (Self::KeyLimit { limit: now, .. }, Self::KeyLimit { limit: told, .. }) => {
                (now.most, now.is_full()) != (told.most, told.is_full())
            }
            (now, told) => now != told,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NotDue(time) => format!("not started before {time}"),
            Self::QueueMissing(queue) => missing_queue(queue),
            Self::QueueSuspended(queue) => format!("queue {queue} is suspended"),
            Self::QueueNotReady { queue, fault } => format!("queue {queue} cannot be used: {fault}"),
            Self::TooLarge { queue, lack } => format!("queue {queue}: {}", lack.for_ever()),
            Self::NoWorker { pool } => format!("no worker of pool {pool} is free"),
            Self::TypeLimit { task_type, limit } => format!("type {task_type}: {limit} tasks run"),
            Self::KeyLimit { task_type, kb_id, limit, before } => {
                let others = if *before == 0 || limit.is_full() { String::new() } else { before_it(*before) };
                format!("type {task_type}, kbId {kb_id}: {limit} tasks run{others}")
            }
            Self::QueueFull(lack) | Self::CeilingReached(lack) => lack.now(),
            Self::OperatorLimit(limit) => format!("{limit} tasks run in all queues of this operator"),
            Self::Nothing => String::new(),
        }
    }
}

impl Hold {
    /// The message without a number that moves while the hold lasts.
    fn lasting_message(&self) -> String {
        match self {
            Self::KeyLimit { task_type, kb_id, limit, .. } if !limit.is_full() => {
                format!("type {task_type}, kbId {kb_id}: {} may run at once, and others go before it", limit.most)
            }
            hold => hold.message(),
        }
    }
}

fn before_it(before: usize) -> String {
    if before == 1 { ", and 1 goes before it".into() } else { format!(", and {before} go before it") }
}

/// The words for a queue that nobody created.
pub fn missing_queue(queue: &str) -> String {
    format!(
        "there is no TaskQueue {queue} in this namespace: create it, or correct spec.queue together with a new runId"
    )
}

#[cfg(test)]
mod tests;
