//! How old each thing about a pod is: by the cluster's stamps, and by when we first saw it.

use jiff::Timestamp;

use super::pod::{PodFacts, Work};
use crate::Reason;
use crate::time::{after, since};

/// When we first saw something of a pod: it, that its node has taken it on, that its gates are gone, that its work
/// has started and ended, that we end it; and by when it should be gone, counted from when we first saw that it is being
/// deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodSeen {
    at: Option<Timestamp>,
    ungated_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    work_started_at: Option<Timestamp>,
    work_ended_at: Option<Timestamp>,
    ended_for_at: Option<Timestamp>,
    due_gone_at: Option<Timestamp>,
}

impl PodFacts {
    /// The first sights of a pod, given those of an earlier version.
    pub(super) fn seen_after(&self, before: &Self) -> PodSeen {
        let gates_just_went = !before.gates.is_empty() && self.gates.is_empty();
        PodSeen {
            at: before.seen.at.or(self.seen.at),
            ungated_at: if gates_just_went { self.seen.at } else { before.seen.ungated_at },
            started_at: before.seen.started_at.or(self.seen.started_at),
            work_started_at: before.seen.work_started_at.or(self.seen.work_started_at),
            work_ended_at: before.seen.work_ended_at.or(self.seen.work_ended_at),
            ended_for_at: if before.ended_for == self.ended_for { before.seen } else { self.seen }.ended_for_at,
            // Somebody who deletes it once more may have shortened its grace.
            due_gone_at: if before.due_gone_at == self.due_gone_at { before.seen } else { self.seen }.due_gone_at,
        }
    }

    /// These facts, seen now for the first time.
    pub fn first_seen(self, now: Timestamp) -> Self {
        let grace = self.due_gone_at.zip(self.deleted_at).map(|(due, asked)| due.duration_since(asked));
        let seen = PodSeen {
            at: Some(now),
            ungated_at: None,
            started_at: self.started_at.map(|_| now),
            work_started_at: (self.work != Work::NotStarted).then_some(now),
            work_ended_at: self.work_ended().then_some(now),
            ended_for_at: self.ended_for.map(|_| now),
            due_gone_at: grace.map(|grace| after(now, grace)),
        };
        Self { seen, ..self }
    }

    /// From when its age counts.
    pub fn age_from(&self) -> Timestamp {
        since(self.created_at, self.seen.at)
    }

    /// When its deletion was first seen.
    pub(super) fn deletion_seen_at(&self) -> Option<Timestamp> {
        let grace = self.due_gone_at?.duration_since(self.deleted_at?);
        self.seen.due_gone_at?.checked_sub(grace).ok()
    }

    /// From when it counts how long it has been on its node.
    pub fn started_from(&self) -> Option<Timestamp> {
        Some(since(self.started_at?, self.seen.started_at))
    }

    /// From when the time counts that its start may take: from its creation, or from when its gates went.
    pub fn starts_from(&self) -> Timestamp {
        self.seen.ungated_at.map_or(self.age_from(), |ungated| ungated.max(self.age_from()))
    }

    /// From when it counts how long its work has been running.
    pub fn work_from(&self) -> Option<Timestamp> {
        Some(since(self.work.started_at().or(self.started_at)?, self.seen.work_started_at))
    }

    /// When its work started, by the earlier of the node's clock and of ours.
    pub fn work_from_at_the_earliest(&self) -> Option<Timestamp> {
        let stamp = self.work.started_at()?;
        Some(self.seen.work_started_at.map_or(stamp, |seen| seen.min(stamp)))
    }

    /// From when it counts how long its work has been over.
    pub fn work_ended_from(&self) -> Option<Timestamp> {
        let Work::Ended { at, .. } = &self.work else { return None };
        at.map(|at| since(at, self.seen.work_ended_at)).or(self.seen.work_ended_at)
    }

    /// From when it counts how long we have been ending it.
    pub fn ended_for_from(&self) -> Option<Timestamp> {
        self.ended_for.and(self.seen.ended_for_at)
    }

    /// We have just asked for its end, which no watch has shown.
    pub fn will_end(&mut self, seconds: i64, ended_for: Reason, now: Timestamp) {
        (self.deadline_seconds, self.ended_for, self.seen.ended_for_at) = (Some(seconds), Some(ended_for), Some(now));
    }

    /// When it should be gone, its grace included.
    pub fn gone_by(&self) -> Option<Timestamp> {
        Some(since(self.due_gone_at?, self.seen.due_gone_at))
    }
}
