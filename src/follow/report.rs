//! The last words: why each failed task failed, what is left, every result, and a picture of the run. Pure.

use jiff::Timestamp;

use super::{
    board::Board,
    options::Scope,
    text::{self, Line, Tone, clean},
    timeline::timeline,
    told::{self, Told},
    view::{self, Stage},
};
use crate::api::{AttemptRecord, State, Task};

/// A task and the name that it is shown by.
type Named<'a> = (String, &'a Task);

/// A report stays readable: of each kind so many tasks at most.
const MOST: usize = 50;
const RESULT_LINES: usize = 3;
const WIDEST_NAME: usize = 28;
/// Below this many columns a text stands under its name instead of beside it.
const NARROW: usize = 70;

pub fn report(board: &Board, scope: &Scope, now: Timestamp, columns: usize) -> Vec<Line> {
    let tasks: Vec<Named> = board.tasks().into_iter().map(|task| (board.name(task), task)).collect();
    let mut lines = vec![Line::default(), summary(board, scope)];
    let of = |state: State| tasks.iter().filter(move |(_, task)| Stage::of(task).state == state).collect::<Vec<_>>();
    let open: Vec<&Named> = tasks.iter().filter(|(_, task)| !view::is_final(task)).collect();
    lines.extend(section("Failures", &of(State::Failed), |task| failed(task, columns)));
    lines.extend(section("Not final", &open, |task| unfinished(task, now, columns)));
    lines.extend(names("Never appeared", board.awaited().map(clean)));
    lines.extend(names("Deleted before the end", board.deleted().map(|key| board.name_of(key))));
    lines.extend(section("Cancelled", &of(State::Cancelled), |task| cancelled(task, columns)));
    lines.extend(section("Results", &of(State::Completed), |task| completed(task, columns)));

    let picture = timeline(&tasks[..tasks.len().min(MOST)], now, columns);
    if !picture.is_empty() {
        lines.push(Line::default());
        lines.extend(picture);
    }
    lines.into_iter().map(|line| line.cut(columns)).collect()
}

/// "14 tasks in namespace docs: 9 completed, 5 failed"
fn summary(board: &Board, scope: &Scope) -> Line {
    let counts = board.counts();
    let noun = if counts.total() == 1 { "task" } else { "tasks" };
    let mut line = Line::of(Tone::Strong, format!("{} {noun} in {}", counts.total(), clean(&scope.to_string())));
    for (at, (tone, text)) in counts.named().enumerate() {
        line = line.and(Tone::Plain, if at == 0 { ": " } else { ", " }).and(tone, text);
    }
    line
}

fn names(title: &str, names: impl Iterator<Item = String>) -> Vec<Line> {
    let mut lines: Vec<Line> = names.map(|name| Line::of(Tone::Caution, format!("  {name}"))).collect();
    let left = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    lines.extend(and_more(left));
    if lines.is_empty() { lines } else { [vec![Line::default(), Line::of(Tone::Strong, title)], lines].concat() }
}

fn and_more(left: usize) -> Option<Line> {
    (left > 0).then(|| Line::of(Tone::Dim, format!("  … and {left} more")))
}

fn section(title: &str, tasks: &[&Named], describe: impl Fn(&Named) -> Vec<Line>) -> Vec<Line> {
    if tasks.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::default(), Line::of(Tone::Strong, title)];
    lines.extend(tasks.iter().take(MOST).flat_map(|task| describe(task)));
    lines.extend(and_more(tasks.len().saturating_sub(MOST)));
    lines
}

fn completed((name, task): &Named, columns: usize) -> Vec<Line> {
    let status = task.status.clone().unwrap_or_default();
    let told = told::result(&status).or_else(|| status.message.as_deref().map(clean)).unwrap_or_default();
    let after = if status.attempt > 1 { format!("after attempt {}: ", status.attempt) } else { String::new() };
    hanging(name, &format!("{after}{told}"), Tone::Good, columns)
}

/// The name, and beside it a text of a few lines; below it where the terminal is narrow.
fn hanging(name: &str, told: &str, tone: Tone, columns: usize) -> Vec<Line> {
    let beside = columns >= NARROW;
    let indent = if beside { 2 + WIDEST_NAME + 2 } else { 4 };
    let mut pieces = text::wrap(told, columns.saturating_sub(indent), RESULT_LINES).into_iter();
    let first = Line::of(tone, format!("  {}  ", text::pad_name(name, WIDEST_NAME)));
    let first = if beside { first.and(Tone::Plain, pieces.next().unwrap_or_default()) } else { first };
    let rest = pieces.map(|piece| Line::of(Tone::Plain, " ".repeat(indent)).and(Tone::Plain, piece));
    std::iter::once(first).chain(rest).collect()
}

fn failed((name, task): &Named, columns: usize) -> Vec<Line> {
    let status = task.status.clone().unwrap_or_default();
    let message = clean(status.message.as_deref().unwrap_or_default());
    let why = if message.is_empty() { status.reason.to_string() } else { format!("{}: {message}", status.reason) };
    let mut lines = hanging(name, &why, Tone::Bad, columns);
    lines.extend(status.attempts.iter().map(|attempt| attempt_line(attempt, &message)));
    lines
}

/// "    attempt 1  ExitCode, exit code 1, ran 3s: its own message"
fn attempt_line(attempt: &AttemptRecord, told_already: &str) -> Line {
    let code = attempt.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let ran = match (&attempt.started_at, &attempt.finished_at) {
        (Some(started), Some(finished)) => format!(", ran {}", text::duration(finished.0.duration_since(started.0))),
        _ => ", never started".into(),
    };
    let message = clean(attempt.message.as_deref().unwrap_or_default());
    let message =
        if message.is_empty() || told_already.contains(&message) { String::new() } else { format!(": {message}") };
    Line::of(Tone::Dim, format!("    attempt {}  ", attempt.number))
        .and(Tone::Plain, format!("{}{code}{ran}", attempt.reason))
        .and(Tone::Dim, message)
}

fn cancelled((name, task): &Named, columns: usize) -> Vec<Line> {
    let message = task.status.as_ref().and_then(|status| status.message.as_deref()).map(clean);
    hanging(name, &message.unwrap_or_default(), Tone::Caution, columns)
}

fn unfinished((name, task): &Named, now: Timestamp, columns: usize) -> Vec<Line> {
    let Told { reason, message } = told::told(task, now);
    let stage = Stage { reason, ..Stage::of(task) }.told();
    let told = if message.is_empty() { stage } else { format!("{stage}: {message}") };
    hanging(name, &told, Tone::Caution, columns)
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::{
        api::AttemptOutcome,
        follow::fixtures::{Story, at, task},
    };

    fn told(names: &[&str], tasks: impl IntoIterator<Item = Task>, columns: usize) -> Vec<String> {
        let mut board = Board::new(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        board.apply(Event::Init);
        for task in tasks {
            board.apply(Event::InitApply(task));
        }
        board.apply(Event::InitDone);
        report(&board, &Scope::One("docs".into()), at(20), columns).iter().map(Line::plain).collect()
    }

    #[test]
    fn a_report_tells_results_failures_and_what_is_not_final() {
        let bad = AttemptOutcome::Failed;
        let lines = told(
            &[],
            [
                task("counts")
                    .was_queued(0)
                    .tried(1, 2, bad)
                    .tried(3, 5, AttemptOutcome::Succeeded)
                    .ended(State::Completed, 5)
                    .with_result(json!({"words": 7})),
                task("dies")
                    .was_queued(0)
                    .tried(1, 4, bad)
                    .with_exit(1, "it ended with exit code 1")
                    .tried(6, 7, bad)
                    .with_exit(137, "killed")
                    .ended(State::Failed, 7)
                    .saying("killed"),
                task("gone").was_queued(0).ended(State::Cancelled, 3).saying("spec.cancel ended it."),
                task("waits").was_queued(0).waits_for_retry(30).saying("exit code 1"),
            ],
            100,
        );
        let expected = [
            "",
            "4 tasks in namespace docs: 1 queued, 1 completed, 1 failed, 1 cancelled",
            "",
            "Failures",
            "  dies                          ExitCode: killed",
            "    attempt 1  ExitCode, exit code 1, ran 3s: it ended with exit code 1",
            "    attempt 2  ExitCode, exit code 137, ran 1s",
            "",
            "Not final",
            "  waits                         Queued (WaitingForRetry): again in 10s: exit code 1",
            "",
            "Cancelled",
            "  gone                          spec.cancel ended it.",
            "",
            "Results",
            "  counts                        after attempt 2: {\"words\":7}",
        ];
        assert_eq!(lines[..expected.len()], expected);
        assert!(lines.iter().any(|line| line.starts_with("Timeline")), "{lines:?}");
    }

    #[test]
    fn a_long_result_is_cut_after_a_few_lines() {
        let lines = told(&[], [task("a").ended(State::Completed, 1).with_result(json!("x".repeat(4000)))], 80);
        assert_eq!(lines.iter().filter(|line| line.contains("xxx")).count(), RESULT_LINES);
        assert!(lines.iter().any(|line| line.ends_with("xx…")));
    }

    #[test]
    fn thousands_of_tasks_give_a_short_report() {
        let lines = told(&[], (0..3000).map(|n| task(&format!("t-{n}")).ended(State::Completed, 1)), 80);
        assert!(lines.len() < 3 * MOST, "{}", lines.len());
        assert!(lines.iter().any(|line| line.contains("and 2950 more")));
    }

    #[test]
    fn a_task_that_never_appeared_is_named() {
        assert!(told(&["lost"], [], 80).ends_with(&["Never appeared".to_owned(), "  lost".to_owned()]));
    }

    #[test]
    fn a_task_that_was_deleted_before_its_end_is_named() {
        let mut board = Board::new(&[]);
        board.apply(Event::Init);
        board.apply(Event::InitApply(task("gone")));
        board.apply(Event::InitDone);
        board.apply(Event::Delete(task("gone")));
        let lines: Vec<String> = report(&board, &Scope::All, at(20), 80).iter().map(Line::plain).collect();
        assert_eq!(
            lines,
            ["", "1 task in all namespaces: 1 deleted before the end", "", "Deleted before the end", "  gone"]
        );
    }

    #[test]
    fn a_narrow_terminal_gets_a_narrow_report() {
        for columns in 0..100 {
            for line in told(
                &[],
                [task("dies").tried(1, 4, AttemptOutcome::Failed).ended(State::Failed, 7).saying("日本語")],
                columns,
            ) {
                assert!(text::width(&line) <= columns, "{line:?} in {columns}");
            }
        }
    }
}
