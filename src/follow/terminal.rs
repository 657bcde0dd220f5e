//! Standard output: a terminal whose picture is drawn anew in place, or a plain stream of lines.

use std::io::{self, Write};

use console::{Style, Term};

use super::{
    table::Size,
    text::{Line, Tone},
};

/// The width of a line where no terminal limits it.
const STREAM_COLUMNS: usize = 160;

pub struct Screen {
    term: Term,
    /// The widths of the lines that stand there now.
    drawn: Vec<usize>,
}

impl Screen {
    pub fn stdout() -> Self {
        Self { term: Term::stdout(), drawn: Vec::new() }
    }

    /// Can a picture be drawn in place?
    pub fn is_live(&self) -> bool {
        self.term.features().is_attended() && !console::is_dumb()
    }

    pub fn size(&self) -> Size {
        match self.term.size_checked() {
            Some((lines, columns)) if self.is_live() && columns > 0 => {
                Size { columns: columns.into(), lines: lines.into() }
            }
            _ => Size { columns: STREAM_COLUMNS, lines: usize::MAX },
        }
    }

    /// Draws over the last picture, in one write so that nothing flickers.
    pub fn redraw(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut picture = self.back_to_the_top();
        for line in lines {
            picture.push_str(&paint(line));
            picture.push_str("\x1b[K\n");
        }
        picture.push_str("\x1b[J");
        self.drawn = lines.iter().map(Line::width).collect();
        self.write(&picture)
    }

    /// Prints below what stands there, which stays.
    pub fn print(&mut self, lines: &[Line]) -> io::Result<()> {
        self.drawn.clear();
        let text: String = lines.iter().map(|line| paint(line) + "\n").collect();
        self.write(&text)
    }

    /// A terminal that has become narrower has broken the old lines into several.
    fn back_to_the_top(&self) -> String {
        let columns = self.size().columns;
        let up: usize = self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        if up == 0 { String::new() } else { format!("\x1b[{up}A\r") }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.term.write_all(text.as_bytes())?;
        self.term.flush()
    }
}

/// With colours where the terminal has them and nobody has set NO_COLOR.
fn paint(line: &Line) -> String {
    line.pieces().map(|(tone, text)| style(tone).apply_to(text).to_string()).collect()
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Dim => Style::new().dim(),
        Tone::Strong => Style::new().bold(),
        Tone::Good => Style::new().green(),
        Tone::Bad => Style::new().red(),
        Tone::Busy => Style::new().cyan(),
        Tone::Caution => Style::new().yellow(),
    }
}
