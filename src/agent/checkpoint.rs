//! The checkpoint of one attempt: what an earlier attempt left is fetched before the work begins, and what the work writes into
//! TASK_CHECKPOINT_FILE is sent to the operator; once more when the work has ended and is to be tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::checkpoint_file::{CheckpointFile, News};
use super::operator::{About, CallError, Operator};
use super::patience::Patience;
use super::tell;
use crate::api::worker_protocol::{LARGEST_CHECKPOINT_BYTES, LeasedTask};

/// The file is looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// One is sent at most so often…
const EACH: Duration = Duration::from_secs(10);
/// …and where sending takes long, for others send too, after so many times as long.
const REST: u32 = 10;
/// The last one is sent by then: the worker may be about to be killed.
const LAST_WITHIN: Duration = Duration::from_secs(10);
/// So long an earlier one is asked for at least, and at most, where the store does not answer.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The way of the checkpoints of one attempt.
pub struct Way {
    pub operator: Arc<Operator>,
    pub about: About,
    /// The operator takes one upload of a pod at a time.
    pub turn: Arc<Mutex<()>>,
}

/// Writes what an earlier attempt left into the file. Where the store does not answer within this time, or the file cannot be
/// written, the work begins without. An error says that the attempt is over.
pub async fn fetch(way: &Way, file: &mut CheckpointFile, within: Duration) -> Result<(), CallError> {
    let why = match timeout(within, ask(way)).await {
        Ok(Ok(None)) => return Ok(()),
        Ok(Ok(Some(content))) => match file.write(&content) {
            Ok(()) => return Ok(()),
            Err(error) => error.to_string(),
        },
        Ok(Err(error @ CallError::Over(_))) => return Err(error),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it did not come within {} s", within.as_secs()),
    };
    tell(&format!("the work begins without the checkpoint of the attempt before: {why}"));
    Ok(())
}

async fn ask(way: &Way) -> Result<Option<hyper::body::Bytes>, CallError> {
    let mut patience = Patience::default();
    loop {
        match way.operator.checkpoint(&way.about).await {
            Err(error @ (CallError::Again { .. } | CallError::NotOurs(_))) => {
                patience.pause("the question for the checkpoint", error).await?;
            }
            answer => return answer,
        }
    }
}

/// How long an earlier checkpoint is waited for where the store does not answer: the longer the work, the longer.
pub fn wait(task: &LeasedTask) -> Duration {
    let tenth = Duration::from_secs(task.timeout_seconds.max(0).unsigned_abs()) / 10;
    tenth.clamp(SHORTEST_WAIT, LONGEST_WAIT)
}

/// Sends what the work writes, until this is dropped.
pub struct Sending {
    ended: oneshot::Sender<HasEnded>,
    sending: AbortOnDropHandle<()>,
}

/// The work has ended: by itself, or by a signal, which may have come in the middle of writing.
struct HasEnded {
    by_itself: bool,
}

impl Sending {
    pub fn start(way: Way, file: CheckpointFile) -> Self {
        let (sender, ended) = oneshot::channel();
        Self { ended: sender, sending: AbortOnDropHandle::new(tokio::spawn(run(way, file, ended))) }
    }

    /// The work has ended and is to be tried again: sends what is new.
    pub async fn finish(self, by_itself: bool) {
        // Fails where the attempt is over, and no checkpoint is taken any longer.
        if self.ended.send(HasEnded { by_itself }).is_ok() && timeout(LAST_WITHIN, self.sending).await.is_err() {
            tell("the last checkpoint could not be sent; the one before counts");
        }
    }
}

async fn run(way: Way, mut file: CheckpointFile, mut ended: oneshot::Receiver<HasEnded>) {
    let mut patience = Patience::default();
    let mut due = Instant::now();
    let end = loop {
        tokio::select! {
            biased;
            end = &mut ended => break end,
            () = sleep(LOOK) => {}
        }
        let began = Instant::now();
        // A checkpoint that is on its way arrives before the last one.
        match look(&way, file, Look::AtWork { may_send: began >= due }).await {
            (same, Outcome::Nothing) => file = same,
            (same, Outcome::Sent) => {
                (file, patience) = (same, Patience::default());
                due = began + EACH.max(began.elapsed() * REST);
            }
            (_, Outcome::Over) => return,
            (same, Outcome::Again(error)) => {
                file = same;
                tokio::select! {
                    end = &mut ended => break end,
                    paused = patience.pause("the checkpoint", error) => if let Err(error) = paused {
                        return tell(&format!("no checkpoint of this attempt is sent any longer: {error}"));
                    },
                }
            }
        }
    };
    // Dropped: nothing more is to be sent.
    let Ok(HasEnded { by_itself }) = end else { return };
    let mut patience = Patience::default();
    while let (same, Outcome::Again(error)) = look(&way, file, Look::Last { by_itself }).await {
        file = same;
        if patience.pause("the last checkpoint", error).await.is_err() {
            return;
        }
    }
}

enum Look {
    AtWork { may_send: bool },
    Last { by_itself: bool },
}

enum Outcome {
    Nothing,
    Sent,
    Again(CallError),
    /// The attempt is over.
    Over,
}

/// Looks at the file, and sends what is new and whole.
async fn look(way: &Way, file: CheckpointFile, how: Look) -> (CheckpointFile, Outcome) {
    let (mut file, news) = news(file, how).await;
    let content = match news {
        News::Nothing => return (file, Outcome::Nothing),
        News::TooLarge(bytes) => {
            tell(&format!(
                "the checkpoint has {bytes} bytes and is not sent: put the state into a store of yours, and a reference to \
                 it into the checkpoint, which has up to {LARGEST_CHECKPOINT_BYTES}"
            ));
            return (file, Outcome::Nothing);
        }
        News::Checkpoint(content) => content,
    };
    let turn = way.turn.lock().await;
    let put = way.operator.put_checkpoint(&way.about, content.into()).await;
    drop(turn);
    match put {
        Ok(()) => (file, Outcome::Sent),
        Err(CallError::Over(_)) => (file, Outcome::Over),
        Err(CallError::Refused(why)) => {
            tell(&format!("the checkpoint is not taken: {why}"));
            (file, Outcome::Sent)
        }
        Err(error) => {
            file.give_back();
            (file, Outcome::Again(error))
        }
    }
}

/// Looks at the file where waiting for a disk holds up nobody.
async fn news(mut file: CheckpointFile, how: Look) -> (CheckpointFile, News) {
    let path = file.path().to_owned();
    let looked_at = tokio::task::spawn_blocking(move || {
        let news = match how {
            Look::AtWork { may_send: false } => {
                file.look();
                News::Nothing
            }
            Look::AtWork { may_send: true } => file.news(false),
            Look::Last { by_itself } => file.news(by_itself),
        };
        (file, news)
    });
    looked_at.await.unwrap_or_else(|_| (CheckpointFile::at(path), News::Nothing))
}

#[cfg(test)]
mod tests {
    use super::super::folder::tests::task;
    use super::*;

    #[test]
    fn an_earlier_checkpoint_is_waited_for_longer_the_longer_the_work_may_take() {
        for (timeout_seconds, seconds) in [(0, 5), (60, 6), (300, 30), (3600, 60), (604_800, 60)] {
            assert_eq!(wait(&LeasedTask { timeout_seconds, ..task() }), Duration::from_secs(seconds));
        }
    }
}
