//! The text of a log: its end within a bound, or all that comes while it is followed.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use futures::{AsyncBufRead, AsyncRead, AsyncReadExt, Stream, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::serving::problem::{Problem, ProblemType};

/// The most of an answer; of more, the end.
const MOST: usize = 1 << 20;
/// So long the node has to hand it out.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// The most that is followed, and for how long. A client that has gone is noticed when the next line is sent to it.
const FOLLOWED: usize = 64 << 20;
const FOLLOWED_FOR: Duration = Duration::from_secs(3600);
const PIECE: usize = 16 << 10;

/// The end of a log, from the beginning of a line, and whether something was left out.
pub async fn end_of(log: impl AsyncRead) -> Result<(Vec<u8>, bool), Problem> {
    let broken = || ProblemType::NodeAway.because("the pod's node broke off in its log; ask again in a moment");
    match timeout(READ_WITHIN, read_end(log)).await {
        Ok(Ok(end)) => Ok(end),
        Ok(Err(_)) | Err(_) => Err(broken()),
    }
}

async fn read_end(log: impl AsyncRead) -> io::Result<(Vec<u8>, bool)> {
    let mut log = std::pin::pin!(log);
    let (mut kept, mut piece, mut is_cut) = (Vec::new(), vec![0; PIECE], false);
    loop {
        let read = log.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        kept.extend_from_slice(&piece[..read]);
        // Not at every piece, for what is kept is moved.
        if kept.len() > 2 * MOST {
            is_cut = true;
            kept.drain(..kept.len() - MOST);
        }
    }
    if kept.len() > MOST {
        is_cut = true;
        kept.drain(..kept.len() - MOST);
    }
    if let Some(end) = kept.iter().position(|byte| *byte == b'\n').filter(|_| is_cut) {
        kept.drain(..=end);
    }
    Ok((kept, is_cut))
}

/// The last lines of a text.
pub fn last_lines(log: &str, lines: usize) -> &str {
    let whole = log.strip_suffix('\n').unwrap_or(log);
    match lines {
        0 => "",
        lines => whole.rmatch_indices('\n').nth(lines - 1).map_or(log, |(before, _)| &log[before + 1..]),
    }
}

/// All that is written until the pod ends. It is broken off, which the client can tell from an end, when there was too
/// much, when it took too long, and when the operator stops. The turn is over with it.
pub fn followed(
    log: impl AsyncBufRead + Send + 'static,
    over: CancellationToken,
    turn: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let follower =
        Follower { log: Box::pin(log), left: FOLLOWED, until: Instant::now() + FOLLOWED_FOR, over, _turn: turn };
    stream::try_unfold(follower, async |mut follower| Ok(follower.next().await?.map(|piece| (piece, follower))))
}

struct Follower<L> {
    log: Pin<Box<L>>,
    left: usize,
    until: Instant,
    over: CancellationToken,
    _turn: OwnedSemaphorePermit,
}

impl<L: AsyncRead> Follower<L> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = vec![0; PIECE.min(self.left)];
        if piece.is_empty() {
            return Err(io::Error::other("there is too much of it"));
        }
        let reading = timeout_at(self.until, self.log.read(&mut piece));
        let Some(read) = self.over.run_until_cancelled(reading).await else {
            return Err(io::Error::other("the operator stops"));
        };
        let read = read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        piece.truncate(read);
        self.left -= read;
        Ok((read > 0).then(|| piece.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::io::Cursor;
    use futures::{StreamExt, TryStreamExt};
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn of_too_much_the_end_is_answered_from_the_beginning_of_a_line() {
        let log: String = (0..4000).map(|number| format!("{number} {}\n", "x".repeat(1000))).collect();
        let (end, is_cut) = end_of(Cursor::new(log.as_bytes())).await.expect("read");
        let end = String::from_utf8(end).expect("text");
        assert!(is_cut && end.len() <= MOST && end.len() > MOST - 2000 && log.ends_with(&format!("\n{end}")));
        let short = end_of(Cursor::new(b"a\xffb\n".as_slice())).await.expect("read");
        assert_eq!(short, (b"a\xffb\n".to_vec(), false));
    }

    #[test]
    fn the_last_lines_are_counted_with_and_without_a_last_break() {
        for (log, lines, end) in
            [("a\nb\nc\n", 2, "b\nc\n"), ("a\nb\nc", 2, "b\nc"), ("a\n", 5, "a\n"), ("a\nb", 0, ""), ("", 3, "")]
        {
            assert_eq!(last_lines(log, lines), end, "{log:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_followed_ends_with_the_pod_and_is_broken_off_when_it_takes_too_long() {
        let turns = Arc::new(Semaphore::new(1));
        let turn = || turns.clone().try_acquire_owned().expect("a turn");
        let over = CancellationToken::new();
        let read: Vec<_> = followed(Cursor::new(b"a\nb\n".as_slice()), over.clone(), turn()).collect().await;
        assert_eq!(read.into_iter().collect::<io::Result<Vec<_>>>().expect("its end").concat(), b"a\nb\n");
        let silent = stream::pending::<io::Result<Vec<u8>>>().into_async_read();
        let read: Vec<_> = followed(silent, over, turn()).collect().await;
        assert!(matches!(read.as_slice(), [Err(error)] if error.kind() == io::ErrorKind::TimedOut), "{read:?}");
        assert_eq!(turns.available_permits(), 1);
    }
}
