//! Work that takes long to start: what it waits for is told, and past its time the attempt is given up.

use jiff::{SignedDuration, Timestamp};

use super::by_job::ByJob;
use super::ended::Ended;
use super::facts::container::{Awaited, Awaiting};
use super::facts::{EventsRead, PodFacts, TOLD_AFTER, Why};
use super::permanence::is_permanent;
use super::{Live, Stage, TimeLimits, clocks, ended};
use crate::Reason;
use crate::telling::conditions;
use crate::time::after;

/// The events of a pod that does not say why it waits are read again after this time, where nobody knows when they were read.
const LOOKED_INTO_AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// Those of a pod for which a node is coming are read again after this time.
const NODE_LOOKED_FOR_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// Part of the message of a pod without a node, where one is coming.
pub const A_NODE_COMES: &str = "; a node is coming: ";

impl ByJob<'_> {
    /// When its work must have started, or its pod have a node: counted from the pod's creation, or from when its
    /// scheduling gates went. Of a pod that is going or gone that may be known no longer; then its admission counts.
    pub(super) fn start_deadline(&self, limits: TimeLimits) -> Option<Timestamp> {
        let from = match self.pod {
            Some(pod) if !pod.gates.is_empty() => return None,
            Some(pod) if pod.due_gone_at.is_none() && !pod.is_gone() => pod.starts_from(),
            _ => self.status.admitted_at.as_ref()?.0,
        };
        let is_short = self.lacks_a_node() || self.pod.is_some_and(is_hopeless);
        let seconds = if is_short { limits.node.min(limits.work) } else { limits.work };
        Some(after(from, SignedDuration::from_secs(seconds)))
    }

    /// It has no node, and none is coming. Of a pod that nobody remembers, the status says so.
    fn lacks_a_node(&self) -> bool {
        match self.pod {
            Some(pod) => pod.node.is_none() && !(self.may_get_a_node(pod) && node_is_coming(pod).is_some()),
            None => self.status.reason == Reason::Unschedulable,
        }
    }

    /// Nobody has asked for the end of this pod.
    pub(super) fn may_get_a_node(&self, pod: &PodFacts) -> bool {
        pod.due_gone_at.is_none() && !pod.is_gone() && self.job.is_some_and(|job| !job.gone && !job.deleting)
    }

    /// The deadline of the pod ended what prepares its work, or what makes its container. What that waited for is why it
    /// failed.
    pub(super) fn overdue_before_it_began(&self, pod: &PodFacts, ended: &Ended) -> Option<Ended> {
        let by_its_deadline = pod.reason.as_deref() == Some("DeadlineExceeded") && ended.exit_code.is_none();
        let init_was_ended = pod.failed_init.as_ref().and_then(|failed| failed.at);
        let init_was_ended = init_was_ended.is_some_and(|at| clocks::outlasted_deadline(pod, at));
        let is_told_otherwise = !matches!(ended.reason, Reason::ExitCode | Reason::NodeLost | Reason::Timeout);
        if pod.has_begun()
            || ended::is_lost_past_its_deadline(pod)
            || is_told_otherwise
            || !(by_its_deadline || init_was_ended)
        {
            return None;
        }
        let why = pod.waiting.clone().or_else(|| self.start_trouble_told()).or_else(|| self.start_told());
        let why = why.filter(|why| why.reason != Reason::Unschedulable);
        Some(ended::overdue_before_its_work(pod, self.job, why))
    }

    /// Why the work has not started though its time to start is over: by the pod's own word, else by what was told
    /// before, for a pod that is being deleted may say nothing of it any longer.
    pub(super) fn late_start(&self, limits: TimeLimits) -> Option<Why> {
        if !self.is_past(self.start_deadline(limits)) {
            return None;
        }
        let Some(pod) = self.pod else { return self.start_trouble_told() };
        if pod.disruption.is_some() {
            return None;
        }
        if pod.has_begun() || pod.has_ended() {
            return self.start_trouble_told().filter(|_| self.is_ended_by_giving_up(pod));
        }
        let told = self.start_trouble_told().filter(|_| pod.due_gone_at.is_some());
        Some(told.unwrap_or_else(|| given_up_for(pod, self.waits_for(pod), limits.work)))
    }

    /// It was given up, and ended by that, its work perhaps just begun. What it says of its end itself goes before.
    fn is_ended_by_giving_up(&self, pod: &PodFacts) -> bool {
        let says_who_deleted_it = |ended: Ended| matches!(ended.reason, Reason::JobDeleted | Reason::PodDeleted);
        self.job.is_none_or(|job| job.gone || job.deleting)
            && ended::ended(pod, self.job, self.now).is_none_or(says_who_deleted_it)
    }

    /// The reason for a slow start that stands in the status.
    fn start_trouble_told(&self) -> Option<Why> {
        use Reason::{ContainerConfig, ImageUnavailable, StartTimeout, Unschedulable};
        let reason = self.status.reason;
        let is_told = matches!(reason, ImageUnavailable | ContainerConfig | StartTimeout | Unschedulable);
        is_told.then(|| Why::new(reason, conditions::without_hold_up(self.status)))
    }

    /// The message of a status `Starting`, as a reason to give the attempt up.
    fn start_told(&self) -> Option<Why> {
        let message = self.status.message.clone().filter(|_| self.status.reason == Reason::Starting)?;
        Some(Why::new(Reason::StartTimeout, message))
    }

    /// It did not start in time. That is told first, then the Job goes; and then the task goes back to the queue, where
    /// no node had room; or fails for good, where trying again would not help; or is tried again.
    pub(super) fn too_late(&self, why: Why, start_within: i64) -> Stage {
        let is_there = self.job.is_some_and(|job| !job.gone) || !self.can_run_no_more();
        let is_told = self.start_trouble_told().is_some_and(|told| told.reason == why.reason);
        match (is_there, is_told) {
            (true, true) => Stage::ToEnd(self.delete(why.reason)),
            (true, false) => Stage::Live(Live { news: why, news_at: Some(self.now), wake: None }),
            (false, _) if why.reason == Reason::Unschedulable => Stage::NotPlaced(why),
            // Its message names the limit already.
            (false, _) if why.reason == Reason::StartTimeout => Stage::Ended(Ended::not_started(why)),
            (false, _) => Stage::Ended(Ended::not_started(why).given_up_at(&limit_told(start_within))),
        }
    }

    /// A start that takes longer than ten seconds is written with what it waits for. An image that cannot be pulled
    /// alternates between two wordings under one reason: the first one is told.
    pub(super) fn starting(&self, pod: &PodFacts) -> (Why, Option<Timestamp>) {
        let why = self.waits_for(pod);
        (why, self.status.admitted_at.as_ref().map(|time| after(time.0, TOLD_AFTER)))
    }

    /// Why the work has not started, by the pod's status or by its events.
    fn waits_for(&self, pod: &PodFacts) -> Why {
        if !pod.gates.is_empty() {
            return Why::new(Reason::PodGated, format!("scheduling gates hold it back: {}", pod.gates.join(", ")));
        }
        if let Some(why) = &pod.waiting {
            let Some(words) = node_is_coming(pod) else { return why.clone() };
            let message = format!("{}{A_NODE_COMES}{words}", why.message.trim_end_matches('.'));
            return Why { message, ..why.clone() };
        }
        let explained = self.observed.explained.clone();
        let Some(awaited) = pod.awaited.as_ref().filter(|_| pod.node.is_some()) else {
            return explained.unwrap_or_else(|| Why::new(Reason::Starting, without_node(pod)));
        };
        awaits(awaited, explained)
    }

    /// When the events of what waits in silence, or for a node that is coming, are asked again.
    pub(super) fn looked_into_again(&self, pod: &PodFacts) -> Option<Timestamp> {
        if pod.node.is_none() && pod.asked.node_is_coming.is_some() {
            return Some(after(self.now, NODE_LOOKED_FOR_AGAIN));
        }
        let stuck = self.stuck().filter(|stuck| stuck.uid() == pod.uid);
        let due = pod.events.as_ref().map(EventsRead::due_at);
        stuck.map(|_| due.unwrap_or_else(|| after(self.now, LOOKED_INTO_AGAIN)))
    }
}

/// It waits for what no time brings, and holds a slot that others wait for.
fn is_hopeless(pod: &PodFacts) -> bool {
    pod.waiting.as_ref().is_some_and(|why| is_permanent(why.reason, &why.message))
}

/// Who says so, where a node is coming for a pod that has none.
fn node_is_coming(pod: &PodFacts) -> Option<String> {
    let meant = || pod.nominated.as_ref().map(|node| format!("the scheduler means it for {node}"));
    pod.asked.node_is_coming.clone().or_else(meant).filter(|_| pod.node.is_none())
}

fn awaits(Awaited { container, is }: &Awaited, explained: Option<Why>) -> Why {
    let detailed = |what: String| match &explained {
        Some(why) => format!("{what}: {}", why.message),
        None => what,
    };
    let message = match is {
        Awaiting::Made => {
            return explained.unwrap_or_else(|| Why::new(Reason::Starting, "its container is being made"));
        }
        Awaiting::Done => format!("init container {container} has not ended"),
        Awaiting::Up => detailed(format!("sidecar {container} is not up")),
        Awaiting::Lasting { exit_code } => {
            detailed(format!("sidecar {container} ends again and again, with exit code {exit_code}"))
        }
    };
    Why::new(Reason::Starting, message)
}

fn without_node(pod: &PodFacts) -> String {
    match &pod.unseen_by {
        Some(scheduler) => format!("no scheduler has looked at it yet: it asks for {scheduler}"),
        None => "no node has taken it yet".into(),
    }
}

fn limit_told(start_within: i64) -> String {
    format!("not started within startDeadlineSeconds, {start_within} s")
}

/// The reason with which it is given up. A pod without a node never had a start of its own.
fn given_up_for(pod: &PodFacts, waits_for: Why, start_within: i64) -> Why {
    match waits_for.reason {
        Reason::Starting if pod.node.is_none() => Why { reason: Reason::Unschedulable, ..waits_for },
        Reason::Starting => {
            let message = conditions::followed(&waits_for.message, &limit_told(start_within));
            Why::new(Reason::StartTimeout, message)
        }
        _ => waits_for,
    }
}
