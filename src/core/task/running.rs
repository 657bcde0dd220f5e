//! A task that holds a slot: its attempt is launched, followed, ended when it is to end, and judged when it has.
//!
//! The slot is given back, and the next state written, only when nothing of the attempt can run any longer.

use super::launching::{launch, obstacle};
use super::look::Look;
use super::stopping::{Stop, stopping};
use super::{Action, Decision, held_up, room};
use crate::Reason;
use crate::attempt::ended::Ended;
use crate::attempt::facts::Why;
use crate::attempt::{A_NODE_COMES, Attempt, Live, NODE_IS_SILENT, Ran, Stage, others, verdict};
use crate::time::earliest;
use task_manager_api::{FailureRule, TaskStatus};

pub(super) fn decide(look: &Look, attempt: &Attempt) -> Decision {
    let look = &look.with_due_reports(attempt);
    if let Some(stop) = Stop::wanted(look) {
        return stopping(look, attempt, stop);
    }
    let decision = match attempt.stage(look.time_limits()) {
        Stage::NotLaunched => launch(look, attempt),
        Stage::Live(live) => follow(look, attempt, live),
        Stage::ToEnd(ending) => Decision::end(ending),
        Stage::Unclear { until } => Decision::wake_at(until),
        Stage::NeverLaunched(why) => Decision::write(look.not_launched(&why)),
        Stage::NotPlaced(why) => Decision::write(look.not_placed(&why)),
        Stage::Ended(ended) => Decision::write(judged(look, attempt, &ended)),
    };
    let decision = held_up::told(look, attempt, removes_leftovers(look, attempt, decision));
    decision.no_later_than(look.ahead(look.deadline()))
}

/// Nothing of the attempt runs as far as is known, and it is not launched now: its slot is about to be given back.
pub(super) fn gives_the_slot_back(look: &Look, attempt: &Attempt) -> bool {
    if !attempt.can_run_no_more() || others::ending(look.task, &look.input.observed, look.now).is_some() {
        return false;
    }
    Stop::wanted(look).is_some()
        || match attempt.stage(look.time_limits()) {
            Stage::NotLaunched => obstacle(look, attempt).is_some(),
            Stage::NeverLaunched(_) | Stage::NotPlaced(_) | Stage::Ended(_) => true,
            Stage::Live(_) | Stage::ToEnd(_) | Stage::Unclear { .. } => false,
        }
}

/// Writes what is news of it, and looks again when something is due.
fn follow(look: &Look, attempt: &Attempt, live: Live) -> Decision {
    let Live { news, news_at, wake } = live;
    let is_news = look.is_past(news_at) && !is_told(&look.status, &news);
    let status = if is_news { look.processing(&news, attempt.ran().as_ref()) } else { look.status.clone() };
    if is_news && room::may_help(look, &news) {
        return Decision::act(Action::MakeRoom(Box::new(status)));
    }
    let due = [news_at, wake, look.reports_due(attempt)];
    look.write_if_news(status).no_later_than(earliest(due.map(|time| look.ahead(time))))
}

/// The status says this already. Of one reason the first words stay, for the same trouble may be put in many; but while
/// it starts, another part of the start is news, and so is a node that is coming, or goes silent.
fn is_told(status: &TaskStatus, news: &Why) -> bool {
    let about = |message: &str| message.split(": ").next().unwrap_or_default().to_owned();
    let told = status.message.as_deref().unwrap_or_default();
    status.reason == news.reason
        && match news.reason {
            Reason::Starting => about(told) == about(&news.message),
            Reason::Unschedulable => told.contains(A_NODE_COMES) == news.message.contains(A_NODE_COMES),
            Reason::Running => told.contains(NODE_IS_SILENT) == news.message.contains(NODE_IS_SILENT),
            _ => true,
        }
}

pub(super) fn judged(look: &Look, attempt: &Attempt, ended: &Ended) -> TaskStatus {
    let look = &look.with_last_reports(attempt);
    let ended = match &look.status.reported_error {
        Some(reported) => &ended.clone().with_report(reported),
        None => ended,
    };
    let ran: Option<Ran> = attempt.ran();
    look.attempt_ended(ended, verdict::judge(ended, rules(look)), ran.as_ref())
}

fn rules<'a>(look: &Look<'a>) -> &'a [FailureRule] {
    look.input.task_type.as_ref().map(|read| read.spec.failure_rules.as_slice()).unwrap_or_default()
}

/// Removes what an attempt before left while there is nothing else to do.
fn removes_leftovers(look: &Look, attempt: &Attempt, decision: Decision) -> Decision {
    let why = look.status.attempts.last().map_or(Reason::Superseded, |attempt| attempt.reason);
    match attempt.leftover(why) {
        Some(deletion) if decision.action == Action::Rest => Decision::act(Action::Delete(deletion)),
        _ => decision,
    }
}
