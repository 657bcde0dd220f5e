//! Lines of painted text, and the small matters of fitting text into a terminal. Pure.

use std::borrow::Cow;

use jiff::SignedDuration;

/// The meaning of a piece of text; the terminal chooses the colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Dim,
    Strong,
    Good,
    Bad,
    Busy,
    Caution,
}

/// One line of a screen or of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pieces: Vec<(Tone, String)>,
}

impl Line {
    pub fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self::default().and(tone, text)
    }

    pub fn and(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.pieces.push((tone, text.into()));
        self
    }

    pub fn pieces(&self) -> impl Iterator<Item = (Tone, &str)> {
        self.pieces.iter().map(|(tone, text)| (*tone, text.as_str()))
    }

    pub fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| width(text)).sum()
    }

    /// At most so many columns; what is cut off leaves "…".
    pub fn cut(self, columns: usize) -> Self {
        if self.width() <= columns {
            return self;
        }
        let mut left = columns;
        let mut kept = Self::default();
        for (tone, text) in self.pieces {
            // A piece that fills the line exactly is cut too, because more was to follow.
            let full = width(&text) >= left;
            let text = if full { cut(&format!("{text} "), left).into_owned() } else { text };
            left -= width(&text).min(left);
            kept.pieces.push((tone, text));
            if full {
                break;
            }
        }
        kept
    }

    /// Without colours.
    #[cfg(test)]
    pub fn plain(&self) -> String {
        let text: String = self.pieces().map(|(_, text)| text).collect();
        text.trim_end().to_owned()
    }
}

/// The columns that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

/// At most so many columns; what is cut off leaves "…".
pub fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if columns == 0 {
        return Cow::Borrowed("");
    }
    console::truncate_str(text, columns, "…")
}

/// At most so many columns of a name: what is cut out of its middle leaves "…", for names that belong together differ
/// at their ends.
pub fn cut_name(name: &str, columns: usize) -> Cow<'_, str> {
    if width(name) <= columns || columns < 5 {
        return cut(name, columns);
    }
    let tail_columns = (columns - 1) / 3;
    let mut used = 0;
    let tail = name.char_indices().rev().map_while(|(at, letter)| {
        used += width(letter.encode_utf8(&mut [0; 4]));
        (used <= tail_columns).then_some(at)
    });
    let tail = &name[tail.last().unwrap_or(name.len())..];
    let head = cut(name, columns - width(tail));
    Cow::Owned(format!("{head}{tail}"))
}

/// Filled with blanks up to so many columns, and cut where it is longer.
pub fn pad(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    format!("{text}{}", " ".repeat(columns - width(&text).min(columns)))
}

/// As `pad`, for names.
pub fn pad_name(name: &str, columns: usize) -> String {
    pad(&cut_name(name, columns), columns)
}

/// As `pad`, with the text at the right.
pub fn pad_left(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    format!("{}{text}", " ".repeat(columns - width(&text).min(columns)))
}

/// Broken into at most `lines` pieces of so many columns; what is cut off leaves "…".
pub fn wrap(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut pieces = Vec::new();
    let mut rest = text;
    while width(rest) > columns && pieces.len() + 1 < lines {
        let (piece, left) = rest.split_at(break_at(rest, columns));
        pieces.push(piece.trim_end().to_owned());
        rest = left.trim_start();
    }
    pieces.push(cut(rest, columns).into_owned());
    pieces
}

/// Behind the last blank or comma in the second half of the columns, else where they are full.
fn break_at(text: &str, columns: usize) -> usize {
    let mut used = 0;
    let mut behind_a_word = None;
    for (at, letter) in text.char_indices() {
        used += width(letter.encode_utf8(&mut [0; 4]));
        if used > columns {
            return behind_a_word.unwrap_or(at);
        }
        if matches!(letter, ' ' | ',') && used > columns / 2 {
            behind_a_word = Some(at + letter.len_utf8());
        }
    }
    text.len()
}

/// A text of others made harmless for a terminal: no control characters (they would move the cursor or change
/// colours), none that turn the direction of writing, and everything on one line.
pub fn clean(text: &str) -> String {
    let harmless = text.chars().map(|letter| if letter.is_control() || turns_direction(letter) { ' ' } else { letter });
    harmless.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// "8s", "1m05s", "2h03m", "4d07h": two units tell enough.
pub fn duration(time: SignedDuration) -> String {
    let seconds = time.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_two_units() {
        for (seconds, told) in
            [(-3, "0s"), (0, "0s"), (59, "59s"), (65, "1m05s"), (7380, "2h03m"), (90_000, "1d01h"), (i64::MAX, "")]
        {
            assert!(duration(SignedDuration::from_secs(seconds)).contains(told), "{seconds}");
        }
    }

    #[test]
    fn text_is_cut_by_columns_and_not_by_letters() {
        assert_eq!(cut("日本語です", 5), "日本…");
        assert_eq!(pad("日本", 6), "日本  ");
        assert_eq!(pad_left("7", 3), "  7");
        assert_eq!(cut("anything", 0), "");
    }

    #[test]
    fn a_name_keeps_its_end() {
        assert_eq!(cut_name("nightly-import-2026-11-29-0007", 16), "nightly-im…-0007");
        assert_eq!(cut_name("short", 5), "short");
        assert_eq!(cut_name("shorter", 4), "sho…");
        for columns in 0..20 {
            for name in ["n".repeat(30), "日本語".repeat(6), "é".repeat(19)] {
                assert!(width(&cut_name(&name, columns)) <= columns, "{name} in {columns}");
                assert_eq!(width(&pad_name(&name, columns)), columns, "{name} in {columns}");
            }
        }
    }

    #[test]
    fn a_long_text_is_wrapped_and_then_cut() {
        assert_eq!(wrap("abcdefgh", 4, 3), ["abcd", "efgh"]);
        assert_eq!(wrap("abcdefghijkl", 4, 2), ["abcd", "efg…"]);
        assert_eq!(wrap("", 4, 2), [""]);
        assert_eq!(wrap("one two three", 8, 3), ["one two", "three"]);
        assert_eq!(wrap("[12,345,67]", 7, 3), ["[12,", "345,67]"]);
        assert_eq!(wrap("日本語", 2, 9), ["日", "本", "語"]);
    }

    #[test]
    fn a_message_can_neither_move_the_cursor_nor_break_the_line() {
        assert_eq!(clean("\u{1b}[2Jgone\r\nnext\tword\u{202e}x\u{9b}1m"), "[2Jgone next word x 1m");
    }

    #[test]
    fn a_line_keeps_its_tones_when_it_is_cut() {
        let line = Line::of(Tone::Good, "abc").and(Tone::Bad, "defgh").and(Tone::Plain, "ijk");
        let short = line.clone().cut(6);
        assert_eq!(short.plain(), "abcde…");
        assert_eq!(short.pieces().map(|(tone, _)| tone).collect::<Vec<_>>(), [Tone::Good, Tone::Bad]);
        assert_eq!(line.clone().cut(8).plain(), "abcdefg…");
        assert_eq!(line.clone().cut(11), line);
        assert_eq!(line.cut(0).plain(), "");
    }
}
