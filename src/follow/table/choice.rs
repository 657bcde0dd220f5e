//! Which tasks are shown where there are more of them than lines. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::super::view::{Stage, is_trouble};
use crate::api::{State, Task};

/// The tasks that are shown, in their order, and the number of those that are not. What is stuck stands at the top, and
/// then what failed; all else keeps the order of arrival.
///
/// Where not all have room, trouble gets half of it, what is stuck and then what failed last; then comes what runs,
/// then what ended last and the head of the queue. `height` says how many lines a task takes.
pub fn choose<'a>(tasks: &[&'a Task], room: usize, height: impl Fn(&Task) -> usize) -> (Vec<&'a Task>, usize) {
    let mut ordered = tasks.to_vec();
    ordered.sort_by_key(|task| (!asks_for_attention(task), asks_for_attention(task) && has_ended(task)));
    let fits = ordered.len() <= room && ordered.iter().map(|task| height(task)).sum::<usize>() <= room;
    if fits {
        return (ordered, 0);
    }
    let mut picked = Picked { tasks: &ordered, height, chosen: Vec::new(), left: room.saturating_sub(1).max(1) };
    let half = picked.left.div_ceil(2);
    let mut rest_of_trouble = picked.pick(by_urgency(&ordered), half);
    let all = picked.left;
    picked.pick(of(&ordered, |stage| stage.state == State::Processing), all);
    let waiting = of(&ordered, |stage| stage.state == State::Queued);
    let for_waiting = waiting.len().min(picked.left / 2);
    let for_ended = picked.left - for_waiting;
    picked.pick(last_ended_first(&ordered, of(&ordered, |stage| stage.state.is_final())), for_ended);
    let all = picked.left;
    picked.pick(waiting, all);
    rest_of_trouble.retain(|at| !picked.chosen.contains(at));
    let all = picked.left;
    picked.pick(rest_of_trouble, all);
    let mut chosen = picked.chosen;
    chosen.sort_unstable();
    let hidden = ordered.len() - chosen.len();
    (chosen.into_iter().map(|at| ordered[at]).collect(), hidden)
}

struct Picked<'a, 't, H> {
    tasks: &'a [&'t Task],
    height: H,
    chosen: Vec<usize>,
    /// The lines that are left.
    left: usize,
}

impl<H: Fn(&Task) -> usize> Picked<'_, '_, H> {
    /// Picks from the first on, for at most so many lines. Returns those that had no room.
    fn pick(&mut self, candidates: Vec<usize>, lines: usize) -> Vec<usize> {
        let mut budget = lines.min(self.left);
        let mut candidates = candidates.into_iter().peekable();
        while let Some(&at) = candidates.peek() {
            // The very first one is shown, whatever room there is.
            let height = (self.height)(self.tasks[at]);
            if budget == 0 || height > budget && !self.chosen.is_empty() {
                break;
            }
            self.chosen.push(at);
            budget = budget.saturating_sub(height);
            self.left = self.left.saturating_sub(height);
            candidates.next();
        }
        candidates.collect()
    }
}

fn has_ended(task: &Task) -> bool {
    Stage::of(task).state.is_final()
}

fn asks_for_attention(task: &Task) -> bool {
    let stage = Stage::of(task);
    is_trouble(stage.state, stage.reason)
}

/// Those of the tasks that are no trouble.
fn of(tasks: &[&Task], wanted: fn(&Stage) -> bool) -> Vec<usize> {
    let is_wanted = |at: &usize| !asks_for_attention(tasks[*at]) && wanted(&Stage::of(tasks[*at]));
    (0..tasks.len()).filter(is_wanted).collect()
}

fn by_urgency(tasks: &[&Task]) -> Vec<usize> {
    let trouble = (0..tasks.len()).filter(|at| asks_for_attention(tasks[*at]));
    let (failed, mut stuck): (Vec<usize>, Vec<usize>) = trouble.partition(|at| has_ended(tasks[*at]));
    stuck.extend(last_ended_first(tasks, failed));
    stuck
}

fn last_ended_first(tasks: &[&Task], mut ended: Vec<usize>) -> Vec<usize> {
    ended.sort_by_cached_key(|&at| Reverse(finished_at(tasks[at])));
    ended
}

fn finished_at(task: &Task) -> Option<Timestamp> {
    task.status.as_ref()?.finished_at.as_ref().map(|time| time.0)
}
