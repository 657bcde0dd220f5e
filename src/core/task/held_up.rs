//! Tells what keeps the end of an attempt from coming, whatever it is ended for. It is a condition of its own, and the end of
//! the message; what the message says before that stays.

use super::Decision;
use super::decision::Action;
use super::look::Look;
use crate::Reason;
use crate::attempt::facts::Why;
use crate::attempt::{Attempt, HeldUp, Ran};
use crate::telling::conditions;
use task_manager_api::TaskStatus;

/// Nothing else is to be done about an attempt that ends: what holds that up is told once.
pub(super) fn told(look: &Look, attempt: &Attempt, decision: Decision) -> Decision {
    let Some(held) = attempt.held_up().filter(|_| decision.action == Action::Rest) else { return decision };
    let is_told = conditions::held_up_by(&look.status) == Some(held.by.as_str());
    match look.ahead(Some(held.at)) {
        Some(at) => decision.no_later_than(Some(at)),
        None if is_told => decision,
        None => Decision::write(look.held_up(&ends_for(look, &held), &held.by, attempt.ran().as_ref())),
    }
}

/// The reason for its end, as it stands in the status where that speaks of an end or of a trouble already.
fn ends_for(look: &Look, held: &HeldUp) -> Why {
    use Reason::{Admitted, JobSuspended, NamespaceTerminating, PodGated, Running, Starting};
    match look.status.reason {
        Admitted | Starting | JobSuspended | PodGated | Running | NamespaceTerminating => held.ends_for.clone(),
        reason => Why::new(reason, conditions::without_hold_up(&look.status)),
    }
}

impl Look<'_> {
    /// It holds its slot, and its end, for `why`, is held up.
    pub(super) fn held_up(&self, why: &Why, by: &str, ran: Option<&Ran>) -> TaskStatus {
        let whole = Why::new(why.reason, conditions::followed(&why.message, by));
        let status = self.processing(&whole, ran);
        let before = &self.status.conditions;
        TaskStatus {
            conditions: conditions::with_hold_up(status.conditions, why.reason, by, before, self.now),
            ..status
        }
    }
}
