//! A picture of the run: one bar per task, waiting in light and running in solid characters. Pure.

use jiff::{SignedDuration, Timestamp};

use super::{
    spans::{Run, Spans},
    text::{self, Line, Tone},
};
use crate::api::{AttemptOutcome, Task};

const NARROWEST_BAR: usize = 20;
const WIDEST_BAR: usize = 100;
const WIDEST_NAME: usize = 32;

/// The picture of tasks with the names that they are shown by, or nothing where there is nothing to draw or no room for it.
pub fn timeline(tasks: &[(String, &Task)], now: Timestamp, columns: usize) -> Vec<Line> {
    let spans: Vec<Spans> = tasks.iter().map(|(_, task)| Spans::of(task, now)).collect();
    let (Some(from), Some(to)) = (spans.iter().map(|one| one.from).min(), spans.iter().map(|one| one.to).max()) else {
        return Vec::new();
    };
    let name_width = tasks.iter().map(|(name, _)| text::width(name)).max().unwrap_or(0).min(WIDEST_NAME);
    let width = columns.saturating_sub(name_width + 4).min(WIDEST_BAR);
    if width < NARROWEST_BAR {
        return Vec::new();
    }
    let scale = Scale { from, whole: to.duration_since(from), width };
    let mut lines = vec![
        Line::of(Tone::Strong, "Timeline")
            .and(Tone::Dim, "   ░ waits   ")
            .and(Tone::Plain, "█")
            .and(Tone::Dim, " runs"),
    ];
    for ((name, _), spans) in tasks.iter().zip(&spans) {
        let name = Line::of(Tone::Plain, format!("  {}  ", text::pad_name(name, name_width)));
        lines.push(bar(name, spans, &scale));
    }
    lines.push(axis(name_width, &scale));
    lines
}

struct Scale {
    from: Timestamp,
    whole: SignedDuration,
    width: usize,
}

impl Scale {
    /// The cell in which a time lies, from 0 to the width.
    fn cell(&self, time: Timestamp) -> usize {
        let whole = self.whole.as_secs_f64().max(f64::MIN_POSITIVE);
        let part = time.duration_since(self.from).as_secs_f64() / whole;
        // Saturating: a float beyond the range becomes its end.
        ((part * self.width as f64) as usize).min(self.width)
    }

    /// The cells from one time to another, at least one.
    fn cells(&self, from: Timestamp, to: Timestamp) -> std::ops::Range<usize> {
        let first = self.cell(from).min(self.width - 1);
        first..self.cell(to).clamp(first + 1, self.width)
    }
}

fn bar(line: Line, spans: &Spans, scale: &Scale) -> Line {
    let mut cells = vec![(Tone::Plain, ' '); scale.width];
    cells[scale.cells(spans.from, spans.to)].fill((Tone::Dim, '░'));
    let mut drawn_to = 0;
    for run in &spans.runs {
        let wanted = scale.cells(run.from, run.to);
        // Two short runs within one cell: the second moves on by one, so that both can be counted.
        let first = wanted.start.max(drawn_to).min(scale.width - 1);
        let last = wanted.end.max(first + 1);
        cells[first..last].fill((tone(run), '█'));
        drawn_to = last;
    }
    let used = cells.iter().rposition(|(_, letter)| *letter != ' ').map_or(0, |last| last + 1);
    cells[..used]
        .chunk_by(|one, next| one.0 == next.0)
        .fold(line, |line, chunk| line.and(chunk[0].0, chunk.iter().map(|(_, letter)| letter).collect::<String>()))
}

fn tone(run: &Run) -> Tone {
    match run.outcome {
        None => Tone::Busy,
        Some(AttemptOutcome::Succeeded) => Tone::Good,
        Some(AttemptOutcome::Failed) => Tone::Bad,
        Some(AttemptOutcome::Disrupted | AttemptOutcome::Cancelled) => Tone::Caution,
    }
}

/// "0s ────────── 48s"
fn axis(name_width: usize, scale: &Scale) -> Line {
    let end = text::duration(scale.whole);
    let between = scale.width.saturating_sub(2 + 1 + 1 + text::width(&end));
    Line::of(Tone::Dim, format!("  {}  0s {} {end}", " ".repeat(name_width), "─".repeat(between)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::State,
        follow::fixtures::{Story, at, task},
    };

    fn named(task: &Task) -> (String, &Task) {
        (task.metadata.name.clone().unwrap_or_default(), task)
    }

    fn picture(tasks: &[Task], columns: usize) -> Vec<String> {
        timeline(&tasks.iter().map(named).collect::<Vec<_>>(), at(20), columns).iter().map(Line::plain).collect()
    }

    #[test]
    fn each_task_has_a_bar_from_its_arrival_to_its_end() {
        let (good, bad) = (AttemptOutcome::Succeeded, AttemptOutcome::Failed);
        let tasks = [
            task("first").was_queued(0).tried(4, 10, good).ended(State::Completed, 10),
            task("retried").was_queued(2).tried(4, 6, bad).tried(10, 14, good).ended(State::Completed, 14),
            task("waits").was_queued(16),
            task("runs").was_queued(16).processes_since(18),
        ];
        assert_eq!(
            picture(&tasks, 31),
            [
                "Timeline   ░ waits   █ runs",
                "  first    ░░░░██████",
                "  retried    ░░██░░░░████",
                "  waits                    ░░░░",
                "  runs                     ░░██",
                "           0s ───────────── 20s",
            ]
        );
    }

    #[test]
    fn runs_too_short_for_the_scale_can_still_be_counted() {
        let bad = AttemptOutcome::Failed;
        let short = task("a").was_queued(0).tried(1, 1, bad).tried(1, 1, bad).tried(2, 2, bad).ended(State::Failed, 2);
        let bars = picture(&[short, task("b").was_queued(0).ended(State::Cancelled, 20)], 30);
        assert_eq!(bars[1].matches('█').count(), 3);
    }

    #[test]
    fn nothing_is_drawn_where_there_is_nothing_or_no_room() {
        assert!(picture(&[], 80).is_empty());
        assert!(picture(&[task("a").was_queued(0)], 20).is_empty());
    }

    #[test]
    fn any_times_give_a_picture() {
        for seconds in [i64::from(i32::MIN), -1, 0, 1, 19, i64::from(i32::MAX)] {
            for columns in 24..140 {
                let odd =
                    task("odd").was_queued(seconds).tried(0, seconds, AttemptOutcome::Failed).processes_since(-seconds);
                let lines = timeline(&[named(&odd), named(&task("b").was_queued(0))], at(20), columns);
                assert!(lines.iter().all(|line| line.width() <= columns.max(30)));
            }
        }
    }
}
