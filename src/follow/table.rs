//! The live picture: a table of the tasks and a line of counts, for a terminal of some size. Pure.

use std::{cmp::Reverse, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    board::Board,
    text::{self, Line, Tone},
    view::{Counts, Row, Stage, is_telling},
};
use crate::api::{Priority, State, Task};

/// The columns and lines of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub lines: usize,
}

/// All lines of the picture; none is wider than the terminal, and together they fit its height.
pub fn frame(board: &Board, now: Timestamp, elapsed: Duration, note: Option<&str>, size: Size) -> Vec<Line> {
    let tasks = board.tasks();
    // The header, the counts and a free line for the cursor; the note when there is one.
    let room = size.lines.saturating_sub(3 + usize::from(note.is_some())).max(1);
    let awaited: Vec<&str> = board.awaited().collect();
    let (shown, hidden) = choose(&tasks, room.saturating_sub(usize::from(!awaited.is_empty())).max(1));
    let rows: Vec<Row> = shown.iter().map(|task| Row::of(task, now)).collect();

    let mut lines = table(&rows, size.columns);
    lines.extend((hidden > 0).then(|| Line::of(Tone::Dim, format!("… and {hidden} more"))));
    lines.extend(
        (!awaited.is_empty()).then(|| Line::of(Tone::Caution, format!("not there yet: {}", awaited.join(", ")))),
    );
    lines.push(counts_line(&Counts::of(tasks), elapsed, size.columns));
    lines.extend(note.map(|note| Line::of(Tone::Caution, text::clean(note))));
    lines.into_iter().map(|line| line.cut(size.columns)).collect()
}

/// Where there are more tasks than lines: what runs comes first, then what ended last, then the head of the queue,
/// which keeps half of the room that is left. Those chosen keep their order.
fn choose<'a>(tasks: &[&'a Task], room: usize) -> (Vec<&'a Task>, usize) {
    if tasks.len() <= room {
        return (tasks.to_vec(), 0);
    }
    let of = |wanted: fn(State) -> bool| (0..tasks.len()).filter(move |at| wanted(Stage::of(tasks[*at]).state));
    let running = of(|state| state == State::Processing);
    let waiting: Vec<usize> = of(|state| state == State::Queued).collect();
    let mut ended: Vec<usize> = of(State::is_final).collect();
    ended.sort_by_cached_key(|&at| Reverse(finished_at(tasks[at])));

    // One line tells how many are not shown.
    let room = room.saturating_sub(1).max(1);
    let mut chosen: Vec<usize> = running.take(room).collect();
    let left = room - chosen.len();
    let for_ended = ended.len().min(left - waiting.len().min(left / 2));
    chosen.extend(ended.iter().take(for_ended));
    chosen.extend(waiting.iter().take(left - for_ended));
    chosen.sort_unstable();
    (chosen.iter().map(|&at| tasks[at]).collect(), tasks.len() - chosen.len())
}

fn finished_at(task: &Task) -> Option<Timestamp> {
    task.status.as_ref()?.finished_at.as_ref().map(|time| time.0)
}

/// A column: its content, its greatest width, and how early a narrow terminal drops it.
struct Column {
    title: &'static str,
    cell: fn(&Row) -> (Tone, String),
    widest: usize,
    right: bool,
    /// 0: always shown. The highest goes first.
    dispensable: u8,
}

const GAP: usize = 2;
/// Less than this of a message tells nothing.
const NARROWEST_MESSAGE: usize = 24;
const NARROWEST_NAME: usize = 10;

const COLUMNS: [Column; 8] = [
    Column { title: "NAME", cell: |row| (Tone::Plain, row.name.clone()), widest: 40, right: false, dispensable: 0 },
    Column { title: "TYPE", cell: |row| (Tone::Dim, row.type_.clone()), widest: 24, right: false, dispensable: 8 },
    Column { title: "PRIORITY", cell: priority_cell, widest: 8, right: false, dispensable: 4 },
    Column { title: "STATE", cell: |row| (row.tone, row.state.to_string()), widest: 10, right: false, dispensable: 0 },
    Column { title: "REASON", cell: reason_cell, widest: 18, right: false, dispensable: 2 },
    Column { title: "TRY", cell: |row| (Tone::Plain, row.attempt.clone()), widest: 4, right: true, dispensable: 3 },
    Column { title: "WAITED", cell: |row| (Tone::Dim, row.waited.clone()), widest: 8, right: true, dispensable: 7 },
    Column { title: "RAN", cell: |row| (Tone::Plain, row.ran.clone()), widest: 8, right: true, dispensable: 6 },
];
/// Between PRIORITY and RAN: the message goes when what is left for it is too narrow.
const MESSAGE_DISPENSABLE: u8 = 5;

fn priority_cell(row: &Row) -> (Tone, String) {
    let tone = match row.priority {
        Priority::Critical => Tone::Strong,
        Priority::High | Priority::Normal => Tone::Plain,
        Priority::Low => Tone::Dim,
    };
    (tone, row.priority.to_string())
}

fn reason_cell(row: &Row) -> (Tone, String) {
    let told = if is_telling(row.state, row.reason) { row.reason.to_string() } else { String::new() };
    (row.tone, told)
}

fn table(rows: &[Row], columns: usize) -> Vec<Line> {
    let layout = Layout::of(rows, columns);
    let mut lines = vec![layout.header()];
    lines.extend(rows.iter().map(|row| layout.row(row)));
    lines
}

struct Layout {
    /// The columns that are shown, with their widths.
    columns: Vec<(&'static Column, usize)>,
    message: Option<usize>,
}

impl Layout {
    fn of(rows: &[Row], available: usize) -> Self {
        let natural = |column: &'static Column| {
            let cells = rows.iter().map(|row| text::width(&(column.cell)(row).1)).max().unwrap_or(0);
            (column, cells.min(column.widest).max(text::width(column.title)))
        };
        let mut columns: Vec<_> = COLUMNS.iter().map(natural).collect();
        let mut message = true;
        while taken(&columns) + if message { GAP + NARROWEST_MESSAGE } else { 0 } > available {
            let next = columns.iter().map(|(column, _)| column.dispensable).max().unwrap_or(0);
            if message && next < MESSAGE_DISPENSABLE {
                message = false;
            } else if next > 0 {
                columns.retain(|(column, _)| column.dispensable != next);
            } else {
                let excess = taken(&columns).saturating_sub(available);
                columns[0].1 = columns[0].1.saturating_sub(excess).max(NARROWEST_NAME);
                break;
            }
        }
        let left = available.saturating_sub(taken(&columns) + GAP);
        Self { columns, message: message.then_some(left) }
    }

    fn header(&self) -> Line {
        let cells = self.columns.iter().map(|(column, width)| (Tone::Strong, fit(column, column.title, *width)));
        joined(cells.chain(self.message.map(|_| (Tone::Strong, "MESSAGE".to_owned()))))
    }

    fn row(&self, row: &Row) -> Line {
        let cells = self.columns.iter().map(|(column, width)| {
            let (tone, text) = (column.cell)(row);
            (tone, fit(column, &text, *width))
        });
        joined(cells.chain(self.message.map(|width| (Tone::Dim, text::cut(&row.message, width).into_owned()))))
    }
}

fn taken(columns: &[(&'static Column, usize)]) -> usize {
    columns.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
}

fn fit(column: &Column, text: &str, width: usize) -> String {
    if column.right { text::pad_left(text, width) } else { text::pad(text, width) }
}

fn joined(cells: impl Iterator<Item = (Tone, String)>) -> Line {
    let mut line = Line::default();
    for (at, (tone, text)) in cells.enumerate() {
        line = if at == 0 { line.and(tone, text) } else { line.and(Tone::Plain, " ".repeat(GAP)).and(tone, text) };
    }
    line
}

const BAR: usize = 20;

/// "██████░░░░  9 of 14 final   2 processing, 3 queued, 7 completed, 2 failed   42s"
fn counts_line(counts: &Counts, elapsed: Duration, columns: usize) -> Line {
    let filled = (counts.finals() * BAR).checked_div(counts.total()).unwrap_or(0);
    let mut line = Line::default();
    if columns >= 60 {
        line = line.and(Tone::Good, "█".repeat(filled)).and(Tone::Dim, "░".repeat(BAR - filled)).and(Tone::Plain, "  ");
    }
    line = line.and(Tone::Strong, format!("{} of {} final", counts.finals(), counts.total()));
    for (at, (tone, text)) in counts.named().enumerate() {
        line = line.and(Tone::Plain, if at == 0 { "   " } else { ", " }).and(tone, text);
    }
    let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
    line.and(Tone::Dim, format!("   {}", text::duration(elapsed)))
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::{
        api::AttemptOutcome,
        follow::fixtures::{Story, at, task},
    };

    fn board(tasks: impl IntoIterator<Item = Task>) -> Board {
        let mut board = Board::new(&[]);
        board.apply(Event::Init);
        for task in tasks {
            board.apply(Event::InitApply(task));
        }
        board.apply(Event::InitDone);
        board
    }

    fn picture(board: &Board, columns: usize, lines: usize) -> Vec<String> {
        let lines = frame(board, at(20), Duration::from_secs(42), None, Size { columns, lines });
        lines.iter().map(Line::plain).collect()
    }

    fn some() -> Board {
        board([
            task("bake").was_queued(0).tried(3, 8, AttemptOutcome::Succeeded).ended(State::Completed, 8).saying("done"),
            task("cook").was_queued(0).processes_since(9).of_priority(Priority::Critical),
            task("dine").was_queued(5).tried(6, 7, AttemptOutcome::Failed).waits_for_retry(25).saying("it fell"),
        ])
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        assert_eq!(
            picture(&some(), 110, 24),
            [
                "NAME  TYPE  PRIORITY  STATE       REASON           TRY  WAITED  RAN  MESSAGE",
                "bake  demo  normal    Completed                      1      3s   5s  done",
                "cook  demo  critical  Processing  Running            1      9s  11s",
                "dine  demo  normal    Queued      WaitingForRetry    1     14s   1s  again in 5s: it fell",
                "██████░░░░░░░░░░░░░░  1 of 3 final   1 processing, 1 queued, 1 completed   42s",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_drops_columns_before_it_cuts() {
        assert_eq!(
            picture(&some(), 48, 24),
            [
                "NAME  PRIORITY  STATE       REASON           TRY",
                "bake  normal    Completed                      1",
                "cook  critical  Processing  Running            1",
                "dine  normal    Queued      WaitingForRetry    1",
                "1 of 3 final   1 processing, 1 queued, 1 comple…",
            ]
        );
    }

    #[test]
    fn no_line_is_ever_wider_than_the_terminal_nor_the_picture_higher() {
        let long =
            |at: usize| task(&format!("{at}-{}", "n".repeat(200))).saying(&"日本語 ".repeat(100)).processes_since(1);
        let board = board((0..40).map(long));
        for columns in (0..200).step_by(3) {
            for lines in [0, 1, 5, 24, 60] {
                let frame = frame(&board, at(20), Duration::MAX, Some("a note"), Size { columns, lines });
                assert!(frame.iter().all(|line| line.width() <= columns), "{columns}");
                assert!(frame.len() < lines.max(6), "{} lines in {lines}", frame.len());
            }
        }
    }

    #[test]
    fn where_not_all_have_room_the_running_and_the_latest_are_shown() {
        let done = |n: i64| task(&format!("done-{n}")).was_queued(0).ended(State::Completed, n);
        let tasks =
            (0..9).map(done).chain((0..9).map(|n| task(&format!("wait-{n}")))).chain([task("work").processes_since(3)]);
        let lines = picture(&board(tasks), 80, 10);
        let names: Vec<&str> = lines.iter().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(
            names,
            ["NAME", "done-6", "done-7", "done-8", "wait-0", "wait-1", "work", "…", "█████████░░░░░░░░░░░"]
        );
        assert!(lines[7].contains("13 more"), "{lines:?}");
    }

    #[test]
    fn an_empty_namespace_has_a_picture_too() {
        assert_eq!(picture(&board([]), 80, 24)[1], "░░░░░░░░░░░░░░░░░░░░  0 of 0 final   42s");
    }
}
