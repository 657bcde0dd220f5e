//! The two clocks of a pod: until its work starts, and from then. Decides nothing.
//!
//! | moment | by which stamps |
//! | --- | --- |
//! | the kubelet ends it | the pod's startTime + activeDeadlineSeconds, both as the kubelet has them |
//! | its work's time is over | the work's startedAt + timeoutSeconds |
//! | we lower the deadline to that | a tenth of timeoutSeconds before |
//! | we delete it | 60 s after the deadline and its grace |

use jiff::{SignedDuration, Timestamp};

use super::facts::{PodFacts, Work};
use crate::Reason;
use crate::time::{after, earliest};

/// A pod that is there so long past its deadline and its grace is deleted: its kubelet did not end it.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// The least that the API takes for activeDeadlineSeconds: the deadline is over at once.
pub const AT_ONCE: i64 = 1;
/// The kubelet counts from a startTime with fractions, of which its stamp tells the whole second only. With one second
/// more than what the stamps say the work never has less than its timeout.
const NEVER_SHORT: i64 = 1;

/// When the kubelet ends it.
pub fn deadline(pod: &PodFacts) -> Option<Timestamp> {
    Some(after(pod.started_at?, SignedDuration::from_secs(pod.deadline_seconds?)))
}

/// When its work's time is over: by its deadline, or by the work's own start, whatever is first.
pub fn due_to_end(pod: &PodFacts) -> Option<Timestamp> {
    let by_the_work = pod.work.started_at().zip(pod.timeout_seconds);
    let by_the_work = by_the_work.map(|(start, timeout)| after(start, SignedDuration::from_secs(timeout)));
    earliest([deadline(pod), by_the_work])
}

/// The reason for which we end it. Written beside another deadline than the one that we set for it, it is somebody else's,
/// and not believed: at once is a second, and a timeout is judged by the stamps.
pub fn ended_for(pod: &PodFacts) -> Option<Reason> {
    pod.ended_for.filter(|why| *why == Reason::Timeout || pod.deadline_seconds == Some(AT_ONCE))
}

/// Its deadline is that of its work's time; otherwise somebody wanted its end earlier.
pub fn ends_by_its_timeout(pod: &PodFacts) -> bool {
    matches!(ended_for(pod), None | Some(Reason::Timeout))
}

/// `time` is not before its deadline, so that whatever ended then was ended by that.
pub fn outlasted_deadline(pod: &PodFacts, time: Timestamp) -> bool {
    deadline(pod).is_some_and(|deadline| time >= deadline)
}

/// To how many seconds its deadline is lowered so that it is over when its work's time is; `None` where it is as low.
pub fn lowered(pod: &PodFacts) -> Option<i64> {
    let Work::Running { started_at: Some(work) } = pod.work else { return None };
    let before = work.duration_since(pod.started_at?).as_secs().max(0);
    let seconds = before.saturating_add(pod.timeout_seconds?).saturating_add(NEVER_SHORT);
    pod.deadline_seconds.is_none_or(|now| seconds < now).then_some(seconds)
}

/// When it is lowered: a tenth of the timeout before that is over, so that shorter runs cost no write. That is no harm
/// too early, so the earlier of two clocks counts.
pub fn to_be_lowered_at(pod: &PodFacts) -> Option<Timestamp> {
    let timeout = pod.timeout_seconds?;
    let before = (timeout / 10).clamp(5, 60);
    Some(after(pod.work_from_at_the_earliest()?, SignedDuration::from_secs(timeout.saturating_sub(before))))
}

/// When it should long have been ended by its kubelet. Where that could not be told when, the time of its work counts.
pub fn overdue_at(pod: &PodFacts) -> Option<Timestamp> {
    let of_the_work = |timeout| Some(after(pod.work_from()?, SignedDuration::from_secs(timeout)));
    let by_us = pod.timeout_seconds.filter(|_| pod.asked.end_refused && pod.has_started()).and_then(of_the_work);
    let overdue = |due| after(due, OVERDUE_AFTER);
    earliest([due_by_kubelet(pod).map(overdue), by_us.map(overdue)])
}

/// When it should have ended by its deadline, its grace included.
fn due_by_kubelet(pod: &PodFacts) -> Option<Timestamp> {
    let deadline = after(pod.started_from()?, SignedDuration::from_secs(pod.deadline_seconds?));
    let asked = pod.ended_for_from().map_or(deadline, |asked| asked.max(deadline));
    Some(after(asked, SignedDuration::from_secs(pod.grace_seconds.max(0))))
}
