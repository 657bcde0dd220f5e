//! The live picture: a table of the tasks and a line of counts, for a terminal of some size. Pure.

mod choice;
mod layout;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use self::{
    choice::choose,
    layout::{Layout, has_messages},
};
use super::{
    board::Board,
    counts::Counts,
    text::{self, Line, Tone},
    view::Row,
};
use crate::api::Task;

/// The columns and lines of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub lines: usize,
}

/// A message beneath its row takes so many lines at most.
const MESSAGE_LINES: usize = 3;
const INDENT: usize = 4;

/// All lines of the picture; none is wider than the terminal, and together they fit its height.
pub fn frame(board: &Board, now: Timestamp, elapsed: Duration, note: Option<&str>, size: Size) -> Vec<Line> {
    let awaited: Vec<&str> = board.awaited().collect();
    let others = 3 + usize::from(note.is_some()) + usize::from(!awaited.is_empty());
    // The header, the counts and a free line for the cursor; the note and the awaited when there are any.
    let room = size.lines.saturating_sub(others).max(1);
    let beside = has_messages(size.columns, board.has_several_namespaces());
    let height = |task: &Task| if beside || !Row::of(task, now).must_tell() { 1 } else { 2 };
    let (shown, hidden) = choose(&board.tasks(), room, height);
    let rows: Vec<Row> = shown.iter().map(|task| Row::of(task, now)).collect();

    let mut lines = table(&rows, board, size.columns, room.saturating_sub(usize::from(hidden > 0)));
    lines.extend((hidden > 0).then(|| Line::of(Tone::Dim, format!("… and {hidden} more"))));
    lines.extend(
        (!awaited.is_empty()).then(|| Line::of(Tone::Caution, format!("not there yet: {}", awaited.join(", ")))),
    );
    lines.push(counts_line(&board.counts(), elapsed, size.columns));
    lines.extend(note.map(|note| Line::of(Tone::Caution, text::clean(note))));
    lines.into_iter().map(|line| line.cut(size.columns)).collect()
}

/// The header and the rows. A message that has no room in its row stands beneath it, as far as there are lines.
fn table(rows: &[Row], board: &Board, columns: usize, room: usize) -> Vec<Line> {
    let layout = Layout::of(rows, columns, board.has_several_namespaces());
    let beneath: Vec<Option<String>> = rows.iter().map(|row| layout.beneath(row)).collect();
    let width = columns.saturating_sub(INDENT);
    let wanted =
        beneath.iter().map(|told| told.as_ref().map_or(0, |told| text::wrap(told, width, MESSAGE_LINES).len()));
    let granted = shared(&wanted.collect::<Vec<_>>(), room.saturating_sub(rows.len()));
    let mut lines = vec![layout.header()];
    for ((row, told), granted) in rows.iter().zip(beneath).zip(granted) {
        lines.push(layout.row(row, granted > 0));
        let pieces = told.filter(|_| granted > 0).map(|told| text::wrap(&told, width, granted)).unwrap_or_default();
        lines.extend(pieces.into_iter().map(|piece| Line::of(Tone::Plain, " ".repeat(INDENT)).and(row.tone, piece)));
    }
    lines
}

/// One line for each that wants any, then a second and a third, while there are any.
fn shared(wanted: &[usize], mut left: usize) -> Vec<usize> {
    let mut granted = vec![0; wanted.len()];
    for round in 1..=MESSAGE_LINES {
        for (granted, wanted) in granted.iter_mut().zip(wanted) {
            if *wanted >= round && left > 0 {
                *granted = round;
                left -= 1;
            }
        }
    }
    granted
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
