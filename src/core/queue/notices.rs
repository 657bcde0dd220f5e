//! Remembers whose status says why it waits, and since when. A status is a write, so only the first of each queue and priority are told,
//! once they have stood there for a while, and again only when what holds them back has changed in substance.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::explain::Explanation;
use crate::Reason;
use crate::attempt::facts::Why;
use crate::telling::wait::Wait;

/// So many of each queue and priority are told.
pub const TOLD: usize = 10;
/// For so long a task has waited for one reason when its status says it.
const STANDS_FOR: SignedDuration = SignedDuration::from_secs(10);
/// A task is told at most so often.
const BETWEEN: SignedDuration = SignedDuration::from_secs(60);

/// The notices of this leader. What an earlier leader has told stands in the statuses.
#[derive(Debug, Default)]
pub struct Notices {
    of_tasks: HashMap<Arc<str>, Notice>,
}

#[derive(Debug)]
struct Notice {
    reason: Reason,
    since: Timestamp,
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    at: Timestamp,
    explanation: Explanation,
    why: Why,
}

/// A task that may have to be told why it waits.
pub struct Waiting {
    pub uid: Arc<str>,
    pub explanation: Explanation,
    /// The name of the first in its line.
    pub first: Option<String>,
    /// It is among the first of its queue and priority. Any other is told only that what its status says is over.
    pub is_in_front: bool,
    /// The reason that its status gives.
    pub says: Reason,
}

impl Notices {
    /// Takes in all that may have to be told as they wait now; returns those whose notices are new.
    pub fn take_in(&mut self, mut waiting: Vec<Waiting>, now: Timestamp) -> Vec<Arc<str>> {
        let is_told_here = |reason| reason == Reason::Queued || Wait::of(reason).is_of_many();
        waiting.retain(|waiting| is_told_here(waiting.explanation.reason()));
        let seen: HashSet<Arc<str>> = waiting.iter().map(|waiting| waiting.uid.clone()).collect();
        self.of_tasks.retain(|uid, _| seen.contains(uid));
        waiting.into_iter().filter_map(|waiting| self.tell_if_due(waiting, now)).collect()
    }

    fn tell_if_due(&mut self, waiting: Waiting, now: Timestamp) -> Option<Arc<str>> {
        let Waiting { uid, explanation, first, is_in_front, says } = waiting;
        let reason = explanation.reason();
        let notice = self.of_tasks.entry(uid.clone()).or_insert_with(|| Notice { reason, since: now, told: None });
        if notice.reason != reason {
            (notice.reason, notice.since) = (reason, now);
        }
        let told_lately = notice.told.as_ref().is_some_and(|told| now < told.at + BETWEEN);
        let stands = now >= notice.since + STANDS_FOR;
        let is_news = match &notice.told {
            _ if !is_in_front || reason == Reason::Queued => reason != says,
            Some(told) => explanation.differs_from(&told.explanation),
            None => true,
        };
        if told_lately || !stands || !is_news {
            return None;
        }
        let why = Why::new(reason, explanation.lasting_message(first.as_deref()));
        notice.told = Some(Told { at: now, explanation, why });
        Some(uid)
    }

    /// What this task's status is to say of its wait; `None` where it has not been told.
    pub fn of(&self, uid: &str) -> Option<&Why> {
        self.of_tasks.get(uid)?.told.as_ref().map(|told| &told.why)
    }
}

#[cfg(test)]
mod tests;
