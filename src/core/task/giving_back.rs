//! A slot that is given back with nothing counted: the task goes to the end of its line and pauses. Never asks whether
//! anything still runs.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::look::Look;
use super::status::{explained, saying};
use crate::attempt::backoff;
use crate::attempt::facts::Why;
use crate::telling::conditions;
use crate::telling::wait::Wait;
use crate::time::after;
use task_manager_api::{GivenBack, State, TaskStatus};

impl Look<'_> {
    /// Something else would be launched than what was admitted: it is admitted anew, at once and in its old place. Where
    /// that happens again, its slot is given back as any other: whoever changes it again and again starves nobody.
    pub(super) fn readmitted(&self, why: &Why) -> TaskStatus {
        let status = self.without_attempt();
        if status.given_back > 0 {
            return self.given_back(status, why);
        }
        let status = TaskStatus { given_back: 1, next_attempt_at: Some(MicroTime(self.now)), ..status };
        saying(status, self.task, State::Queued, why, self.now)
    }

    /// No pod came of the launch: it was no attempt.
    pub(super) fn not_launched(&self, why: &Why) -> TaskStatus {
        self.given_back(self.without_attempt(), why)
    }

    /// A pod was made, and no node took it.
    pub(super) fn not_placed(&self, why: &Why) -> TaskStatus {
        self.given_back(self.slotless(), why)
    }

    /// The slot is given back and nothing is counted. The task goes to the end of its line, and each time in a row it
    /// waits longer before it is admitted again: what nobody puts right costs little, and starves nobody.
    fn given_back(&self, status: TaskStatus, why: &Why) -> TaskStatus {
        let given_back = status.given_back.saturating_add(1);
        let held = status.admitted_at.as_ref().map_or(SignedDuration::ZERO, |from| self.now.duration_since(from.0));
        let pause = backoff::after_giving_back(given_back, held);
        let until = after(self.now, pause);
        let message = Some(conditions::shortened(&why.message)).filter(|message| !message.is_empty());
        let last_given_back = GivenBack { reason: why.reason, message };
        let status = TaskStatus {
            given_back,
            // What the look at a queued task finds out by itself may be over by then.
            last_given_back: Some(last_given_back)
                .filter(|given_back| !Wait::of(given_back.reason).is_before_admission()),
            line: Some(self.input.highest_seen.to_string()),
            next_attempt_at: Some(MicroTime(until)),
            ..status
        };
        saying(status, self.task, State::Queued, &tried_again_from(why, until), self.now)
    }

    /// Why the slot was last given back and from when on it may have one again; `None` once an attempt has run since. The
    /// words stay true when that time is over.
    pub(super) fn why_given_back(&self) -> Option<Why> {
        let GivenBack { reason, message } = self.status.last_given_back.clone()?;
        let why = Why::new(reason, message.unwrap_or_default());
        Some(match &self.status.next_attempt_at {
            Some(until) => tried_again_from(&why, until.0),
            None => why,
        })
    }

    fn without_attempt(&self) -> TaskStatus {
        TaskStatus { attempt: self.status.attempt.saturating_sub(1), ..self.slotless() }
    }
}

fn tried_again_from(why: &Why, until: Timestamp) -> Why {
    explained(why, &format!("the slot was given back; tried again from {} on", until.strftime("%Y-%m-%dT%H:%M:%SZ")))
}
