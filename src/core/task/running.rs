//! A task that holds a slot: its Job is launched, followed, ended when it is to end, and judged when it has.
//!
//! The slot is given back, and the next state written, only when the pod has ended or is gone. `starting` follows a
//! container that takes long to start, `stopping` ends what is to end before its time.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

use super::starting::{given_up, late_start, overdue_before_it_began, start_deadline, starting};
use super::status::because;
use super::stopping::{Stop, stopping};
use super::{Action, Decision, View, earliest, job_name, queued};
use crate::Reason;
use crate::attempt::ended;
use crate::attempt::ended::{Ended, LOST_AFTER};
use crate::attempt::facts::{GIVEN_BACK_AFTER, JobFacts, Observed, PodFacts, TOLD_AFTER, Why};
use crate::launch::holds;
use crate::time::after;
use task_manager_api::{FailureRule, State, Task, TaskStatus};

/// A pod that runs so long past its timeout is ended by us: its kubelet did not do it.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// How long a finished Job's pod may be unseen before it is taken to be gone: two watches keep no common time.
const POD_UNSEEN_FOR: SignedDuration = SignedDuration::from_secs(5);

pub(super) fn decide(view: &View) -> Decision {
    let attempt = Attempt::of(view);
    let view = &view.with_words(attempt.pod);
    if let Some(stop) = Stop::wanted(view) {
        return stopping(view, &attempt, stop);
    }
    let decision = match (attempt.ends_strangers(view), late_start(view, &attempt), attempt.pod) {
        (Some(ending), ..) => ending,
        (None, Some(why), _) => given_up(view, &attempt, &why),
        (None, None, Some(pod)) => with_pod(view, &attempt, pod),
        (None, None, None) => without_pod(view, &attempt),
    };
    // What an attempt before left is removed while there is nothing else to do.
    let leftover = attempt.leftover(view).filter(|_| decision.action == Action::Rest);
    leftover.unwrap_or(decision).no_later_than(view.ahead(view.deadline()))
}

/// Whether a pod may speak for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It is at work on the present attempt.
    Present,
    /// Its attempt is over, or to be given up for another run: its word changes nothing any more.
    Over,
    /// It says that it is at work on the present attempt, whose Job was not seen yet.
    Unproven,
    /// It is none of this task's.
    Stranger,
}

/// Whether the pod of this uid may speak for `task`.
pub fn hearing(task: &Task, observed: &Observed, pod_uid: &str) -> Hearing {
    let status = task.status.clone().unwrap_or_default();
    let Some(speaker) = observed.pods.iter().find(|pod| pod.uid == pod_uid) else { return Hearing::Stranger };
    let wanted = status.run_id.as_ref() == Some(&task.spec.run_id) && task.metadata.deletion_timestamp.is_none();
    if status.state != State::Processing || !wanted || speaker.has_ended() {
        return Hearing::Over;
    }
    let name = job_name(task);
    match Attempt::named(&name, &status, observed) {
        Attempt { pod: Some(pod), .. } if pod.uid == pod_uid => Hearing::Present,
        Attempt { job: None, pod: None } if speaker.job == name => Hearing::Unproven,
        _ => Hearing::Over,
    }
}

/// The children of the present attempt.
pub(super) struct Attempt<'a> {
    pub(super) job: Option<&'a JobFacts>,
    /// Where there are several: one that has not ended, and of those the first. Whoever makes another one in the Job's
    /// name comes later.
    pub(super) pod: Option<&'a PodFacts>,
}

impl<'a> Attempt<'a> {
    fn of(view: &View<'a>) -> Self {
        Self::named(&view.job_name(), &view.status, view.around.observed)
    }

    fn named(name: &str, status: &TaskStatus, observed: &'a Observed) -> Self {
        // A launch that came to nothing leaves its name to the next one.
        let job = observed.jobs.iter().filter(|job| job.name == name).max_by_key(|job| (!job.gone, job.created_at));
        // Of a Job that nobody remembers, only the pod is believed whose name was written down while it was there.
        let is_believed = |pod: &PodFacts| match job {
            Some(job) => pod.is_owned_by(job),
            None => pod.job == name && status.worker.as_ref() == Some(&pod.name),
        };
        let pods = observed.pods.iter().filter(|pod| is_believed(pod));
        let first = |pod: &PodFacts| Reverse((pod.created_at, pod.uid.clone()));
        let stays = |pod: &PodFacts| (!pod.has_ended(), !pod.is_gone(), pod.due_gone_at.is_none());
        Self { job, pod: pods.max_by_key(|pod| (stays(pod), first(pod))) }
    }

    /// Nothing of it can run any more.
    pub(super) fn can_run_no_more(&self, now: Timestamp) -> bool {
        match self.pod {
            Some(pod) => ended::ended(pod, self.job, now).is_some(),
            None => self.job.is_none_or(|job| !job.is_live()),
        }
    }

    /// Deletes its Job, or waits until that is gone.
    pub(super) fn delete_job(&self, why: Reason) -> Decision {
        match self.job {
            Some(job) if !job.gone && !job.deleting => {
                Decision::act(Action::DeleteJob { name: job.name.clone(), uid: job.uid.clone(), why })
            }
            _ => self.delete_pod(why),
        }
    }

    pub(super) fn delete_pod(&self, why: Reason) -> Decision {
        match self.pod {
            Some(pod) if !pod.is_gone() && pod.due_gone_at.is_none() => {
                Decision::act(Action::DeletePod { name: pod.name.clone(), uid: pod.uid.clone(), why })
            }
            pod => Decision::wake_at(pod.and_then(PodFacts::gone_by).map(just_lost)),
        }
    }

    /// Nothing is known of it: before anything follows from that, what else there is of the task ends.
    fn ends_strangers(&self, view: &View) -> Option<Decision> {
        let is_unknown = self.job.is_none() && self.pod.is_none();
        is_unknown.then(|| ending_others(view)).flatten()
    }

    /// The Job of an attempt before, which this one's launch leaves to be removed.
    fn leftover(&self, view: &View) -> Option<Decision> {
        let present = self.job.filter(|job| !job.gone)?;
        let mut jobs = view.around.observed.jobs.iter();
        let leftover = jobs.find(|job| !job.gone && !job.deleting && job.name != present.name)?;
        let why = view.status.attempts.last().map_or(Reason::Superseded, |attempt| attempt.reason);
        Some(Decision::act(Action::DeleteJob { name: leftover.name.clone(), uid: leftover.uid.clone(), why }))
    }
}

/// The first moment at which a pod that should be gone counts as lost.
fn just_lost(due: Timestamp) -> Timestamp {
    after(due, LOST_AFTER + SignedDuration::from_secs(1))
}

fn with_pod(view: &View, attempt: &Attempt, pod: &PodFacts) -> Decision {
    if let Some(until) = view.ahead(ended::job_may_tell_until(pod, attempt.job)) {
        return Decision::wake_at(Some(until));
    }
    match ended::ended(pod, attempt.job, view.now) {
        Some(ended) => {
            let ended = overdue_before_it_began(view, pod, &ended).unwrap_or(ended);
            Decision::write(judged(view, &ended, Some(pod)))
        }
        None => live(view, attempt, pod),
    }
}

pub(super) fn judged(view: &View, ended: &Ended, pod: Option<&PodFacts>) -> TaskStatus {
    let view = &view.with_last_words(pod);
    let ended = match &view.status.reported_error {
        Some(reported) => &ended.clone().with_report(reported),
        None => ended,
    };
    view.attempt_ended(ended, ended::judge(ended, rules(view)), pod)
}

fn rules<'a>(view: &View<'a>) -> &'a [FailureRule] {
    view.around.task_type.map(|kind| kind.spec.failure_rules.as_slice()).unwrap_or_default()
}

/// The pod is on its way or at work.
fn live(view: &View, attempt: &Attempt, pod: &PodFacts) -> Decision {
    let overdue = overdue_at(pod);
    if view.is_past(overdue) && pod.due_gone_at.is_none() {
        return attempt.delete_pod(Reason::Timeout);
    }
    let lost = pod.gone_by().map(just_lost);
    let (told, told_at) = if pod.has_started() { running(view, pod) } else { starting(view, pod) };
    let told = view.say(told.unwrap_or_else(|| view.status.clone()));
    let start = (!pod.has_started()).then(|| start_deadline(view)).flatten();
    let wake = earliest([told_at, overdue, lost, start, view.words_due(pod)].map(|time| view.ahead(time)));
    told.no_later_than(wake)
}

/// When it should long have been ended for its timeout.
fn overdue_at(pod: &PodFacts) -> Option<Timestamp> {
    let timeout = SignedDuration::from_secs(pod.timeout_seconds?);
    Some(after(after(pod.started_from()?, timeout), OVERDUE_AFTER))
}

/// A run longer than ten seconds is written once: its pod and when it started. Anything shorter is told by
/// the final write.
fn running(view: &View, pod: &PodFacts) -> (Option<TaskStatus>, Option<Timestamp>) {
    let tell_at = after(pod.started_from().unwrap_or(pod.age_from()), TOLD_AFTER);
    let node = pod.node.as_deref().unwrap_or("its node");
    let told = (view.status.reason != Reason::Running && view.is_past(Some(tell_at)))
        .then(|| view.processing(&because(Reason::Running, format!("on {node}")), Some(pod)));
    (told, Some(tell_at))
}

fn without_pod(view: &View, attempt: &Attempt) -> Decision {
    match attempt.job {
        None if view.status.started_at.is_some() => {
            // It ran, as the status says, and nothing of it is left.
            let message = format!("the Job {} and its pod are gone", view.job_name());
            Decision::write(judged(view, &vanished(Reason::JobDeleted, message), None))
        }
        None => launch(view),
        Some(job) if job.gone || job.deleting => job_gone(view, job),
        Some(job) => match (job.finished_from().map(|end| after(end, POD_UNSEEN_FOR)), ended_unseen(job)) {
            (Some(unseen), Some(_)) if unseen > view.now => Decision::wake_at(Some(unseen)),
            (_, Some(ended)) => Decision::write(judged(view, &ended, None)),
            (_, None) => no_pod_yet(view, attempt, job),
        },
    }
}

/// How a finished Job ended whose pod is gone.
pub(super) fn ended_unseen(job: &JobFacts) -> Option<Ended> {
    let name = &job.name;
    Some(match job.finished?.succeeded {
        true => vanished(Reason::ResultLost, ended::result_lost(name)),
        false => vanished(Reason::PodDeleted, format!("the pod of the Job {name} is gone")),
    })
}

pub(super) fn vanished(reason: Reason, message: String) -> Ended {
    Ended { reason, message, exit_code: None, at: None, reported: None, left: None }
}

/// Launches what was admitted; or gives the slot back when that cannot be.
fn launch(view: &View) -> Decision {
    if let Some(given_back) = cannot_be_launched(view) {
        return given_back;
    }
    let Some(kind) = view.around.task_type else {
        return Decision::write(view.readmitted(&queued::no_type(view)));
    };
    let counted = match holds::counted(view.task, kind, view.around.settings) {
        Ok(counted) => holds::to_quantities(&counted),
        Err(error) => return Decision::write(view.readmitted(&queued::not_ready(view, &error))),
    };
    // What runs is what was admitted: a change in between goes through admission again.
    if view.status.admitted.as_ref().is_some_and(|admitted| admitted.resources != counted) {
        let why = because(Reason::SpecChanged, "what it asks for changed between admission and launch");
        return Decision::write(view.readmitted(&why));
    }
    Decision::act(Action::Launch)
}

/// The API server refused the Job; or it does not say whether it made it, which is told before it is given up.
fn cannot_be_launched(view: &View) -> Option<Decision> {
    let observed = view.around.observed;
    if let Some(refused) = &observed.refused {
        return Some(Decision::write(view.not_launched(refused)));
    }
    let unanswered = observed.unanswered.as_ref()?;
    if unanswered.is_given_up(view.now) {
        return Some(Decision::write(view.not_launched(&unanswered.why)));
    }
    let is_news = unanswered.is_to_be_told(view.now) && view.status.reason != unanswered.why.reason;
    is_news.then(|| Decision::write(view.processing(&unanswered.why, None)))
}

/// What may still run of a task for which nothing was launched, as far as its status says: another attempt's, or the
/// late outcome of a launch that nobody answered. It ends before anything is launched, and before anything is said.
/// So does a Job that somebody made in the name of the attempt to come, also when it has ended: the attempt would be
/// judged by it.
pub(super) fn ending_others(view: &View) -> Option<Decision> {
    let observed = view.around.observed;
    let is_to_end = |job: &JobFacts| observed.may_run(job) || view.is_forestalled_by(job);
    if let Some(job) = observed.jobs.iter().find(|job| !job.deleting && is_to_end(job)) {
        let why = if view.status.state.is_final() { view.status.reason } else { Reason::Superseded };
        return Some(Decision::act(Action::DeleteJob { name: job.name.clone(), uid: job.uid.clone(), why }));
    }
    let pod = observed.pods.iter().find(|pod| ended::ended(pod, None, view.now).is_none())?;
    Some(Attempt { job: None, pod: Some(pod) }.delete_pod(Reason::Superseded))
}

/// The Job is gone and no pod of it was seen: by our hand, because no pod came; or by somebody else's.
fn job_gone(view: &View, job: &JobFacts) -> Decision {
    if !job.gone {
        return Decision::rest();
    }
    match no_pod_told(view) {
        Some(why) if view.is_past(Some(after(job.age_from(), GIVEN_BACK_AFTER))) => {
            Decision::write(view.not_launched(&why))
        }
        _ => Decision::write(judged(
            view,
            &vanished(Reason::JobDeleted, format!("somebody deleted the Job {}", job.name)),
            None,
        )),
    }
}

/// What the status says of the missing pod, written before the Job was given up.
fn no_pod_told(view: &View) -> Option<Why> {
    let told = matches!(view.status.reason, Reason::PodNotCreated | Reason::QuotaExceeded | Reason::LaunchRefused);
    told.then(|| because(view.status.reason, view.status.message.clone().unwrap_or_default()))
}

/// A Job whose pod has not appeared: looked into, told, and in the end given up with nothing counted.
fn no_pod_yet(view: &View, attempt: &Attempt, job: &JobFacts) -> Decision {
    let tell_at = after(job.age_from(), TOLD_AFTER);
    let give_up_at = after(job.age_from(), GIVEN_BACK_AFTER);
    if view.now < tell_at {
        return Decision::wake_at(Some(tell_at));
    }
    let found = view.around.observed.explained.clone();
    let why = found.unwrap_or_else(|| because(Reason::PodNotCreated, format!("the Job {} has no pod yet", job.name)));
    if no_pod_told(view).is_none_or(|told| told.reason != why.reason) {
        return view.say(view.processing(&why, None)).no_later_than(Some(give_up_at));
    }
    if view.is_past(Some(give_up_at)) { attempt.delete_job(why.reason) } else { Decision::wake_at(Some(give_up_at)) }
}
