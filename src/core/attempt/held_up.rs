//! Finds what keeps the end of an attempt from coming though it was asked for: a node that is slow to end the pod, or a finalizer
//! that somebody put on the Job. Ends nothing, and waits for as long as it takes.

use jiff::Timestamp;

use super::by_job::ByJob;
use super::ended;
use super::facts::container::Awaiting;
use super::facts::{JobFacts, NodeState, PodFacts, TOLD_AFTER, Why};
use crate::Reason;
use crate::time::after;

/// Something that is still there though it should be gone.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldUp {
    /// The one that keeps it there.
    pub by: String,
    /// From when on that is told.
    pub at: Timestamp,
    /// Why it ends, where nothing is said of that yet.
    pub ends_for: Why,
}

impl ByJob<'_> {
    pub(super) fn held_up(&self) -> Option<HeldUp> {
        self.pod_held_up().or_else(|| self.job_held_up())
    }

    /// Its pod should long be gone, and its node answers.
    fn pod_held_up(&self) -> Option<HeldUp> {
        let is_slow = |pod: &&PodFacts| pod.asked.node == NodeState::Answers && ended::is_long_due(pod, self.now);
        let pod = self.pod.filter(|pod| !pod.has_ended()).filter(is_slow)?;
        // How it will be judged when it is gone, if it says no more until then.
        let ended = ended::judged(&PodFacts { gone_at: Some(self.now), ..pod.clone() }, self.job);
        Some(HeldUp { by: self.slow_node(pod), at: self.now, ends_for: Why::new(Reason::Stopping, ended.message) })
    }

    fn slow_node(&self, pod: &PodFacts) -> String {
        let node = format!("node {}", pod.node.as_deref().unwrap_or_default());
        let is_made = pod.awaited.as_ref().is_some_and(|awaited| awaited.is == Awaiting::Made);
        match &self.observed.explained {
            Some(why) if is_made && why.message.starts_with("pulling ") => format!("{node} is still {}", why.message),
            _ if pod.asked.work_started_at.is_some() => format!("{node} still waits for a postStart hook"),
            _ if is_made => format!("{node} still pulls an image, or waits for a hook, and ends it after that"),
            _ => format!("{node} answers, and has not ended it yet"),
        }
    }

    /// Its Job is being deleted and has no pod any longer. The garbage collector takes its own finalizers off in a moment.
    fn job_held_up(&self) -> Option<HeldUp> {
        let job = self.job.filter(|job| !job.gone && !job.finalizers.is_empty())?;
        let without_pod_from = match self.pod {
            Some(pod) if !pod.has_ended() => return None,
            Some(pod) => pod.gone_at.or_else(|| pod.work_ended_from()),
            None => None,
        };
        let from = job.deleted_from()?.max(without_pod_from.unwrap_or(Timestamp::MIN));
        let ends_for = Why::new(Reason::Stopping, ended::job_deleted(job));
        Some(HeldUp { by: kept_by(job), at: after(from, TOLD_AFTER), ends_for })
    }
}

fn kept_by(job: &JobFacts) -> String {
    let finalizers = job.finalizers.join(", ");
    let what = if job.finalizers.len() == 1 { "finalizer" } else { "finalizers" };
    format!("the {} {} is kept by the {what} {finalizers}", job.kind.word(), job.name)
}
