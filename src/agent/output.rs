//! Passes on what the work writes, in whole lines, and remembers the end of it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::api::worker_protocol::LOG_BYTES;

/// Read at once.
const PIECE: usize = 8 << 10;
/// A line that is longer is passed on in pieces.
const LINE: usize = 16 << 10;

/// The end of what was written, on both streams.
#[derive(Clone, Default)]
pub struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock();
        kept.extend_from_slice(bytes);
        // One byte more tells that it was cut.
        let surplus = kept.len().saturating_sub(LOG_BYTES + 1);
        kept.drain(..surplus);
    }

    /// The last lines, where lines are short enough; `None` where nothing was written.
    pub fn text(&self) -> Option<String> {
        let kept = self.0.lock();
        let is_cut = kept.len() > LOG_BYTES;
        let text = String::from_utf8_lossy(&kept).into_owned();
        let text = if is_cut || text.len() > LOG_BYTES { last_lines(&text) } else { &text };
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// The end of a text, from the beginning of a line if there is one.
fn last_lines(text: &str) -> &str {
    let mut from = text.len().saturating_sub(LOG_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let end = &text[from..];
    match end.find('\n') {
        Some(at) if at + 1 < end.len() => &end[at + 1..],
        _ => end,
    }
}

/// Where lines of several tasks meet, one after another.
pub type Sink<W> = Arc<tokio::sync::Mutex<W>>;

/// Passes everything on until the end. Where nobody takes it, it is read all the same, so that the work does not hang.
pub async fn pass_on<W: AsyncWrite + Unpin>(mut from: impl AsyncRead + Unpin, to: Sink<W>, tail: Tail) {
    let mut waiting = Vec::with_capacity(PIECE);
    let mut piece = vec![0; PIECE];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        tail.push(&piece[..read]);
        waiting.extend_from_slice(&piece[..read]);
        let whole = match waiting.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => at + 1,
            None if waiting.len() > LINE => waiting.len(),
            None => continue,
        };
        write(&to, &waiting[..whole]).await;
        waiting.drain(..whole);
    }
    if !waiting.is_empty() {
        // The next line is of another task.
        waiting.push(b'\n');
        write(&to, &waiting).await;
    }
}

async fn write<W: AsyncWrite + Unpin>(to: &Sink<W>, bytes: &[u8]) {
    let mut to = to.lock().await;
    if to.write_all(bytes).await.is_ok() {
        drop(to.flush().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn passed(pieces: &[&[u8]]) -> (Vec<u8>, Option<String>) {
        let (mut work, from) = tokio::io::duplex(64 << 10);
        let (to, tail) = (Sink::new(tokio::sync::Mutex::new(Vec::new())), Tail::default());
        let passing = tokio::spawn({
            let (to, tail) = (to.clone(), tail.clone());
            async move { pass_on(from, to, tail).await }
        });
        for piece in pieces {
            work.write_all(piece).await.expect("written");
        }
        drop(work);
        passing.await.expect("it ends");
        let written = to.lock().await.clone();
        (written, tail.text())
    }

    #[tokio::test]
    async fn lines_are_passed_on_whole_and_the_last_one_is_ended() {
        let (written, tail) = passed(&[b"one\ntw", b"o\n", b"three"]).await;
        assert_eq!(written, b"one\ntwo\nthree\n");
        assert_eq!(tail.as_deref(), Some("one\ntwo\nthree"));
        assert_eq!(passed(&[]).await, (Vec::new(), None));
    }

    #[tokio::test]
    async fn a_line_without_end_is_passed_on_in_bounded_pieces() {
        let long = vec![b'x'; 300 << 10];
        let (written, tail) = passed(&[&long]).await;
        assert_eq!(written.len(), long.len() + 1);
        assert_eq!(tail.map(|tail| tail.len()), Some(LOG_BYTES));
    }

    #[test]
    fn the_tail_has_the_last_lines_and_bytes_that_are_no_text_are_marked() {
        let tail = Tail::default();
        assert_eq!(tail.text(), None);
        (0..10_000).for_each(|number| tail.push(format!("line {number}\n").as_bytes()));
        let text = tail.text().expect("lines");
        assert!(text.len() <= LOG_BYTES && text.len() > LOG_BYTES - 20, "{}", text.len());
        assert!(text.starts_with("line ") && text.ends_with("line 9999\n"), "{text:.20}");
        tail.push(&[0xff; LOG_BYTES]);
        let marked = tail.text().expect("marks");
        assert!(marked.len() <= LOG_BYTES && marked.starts_with('\u{fffd}'));
    }
}
