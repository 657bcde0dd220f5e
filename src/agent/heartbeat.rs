//! The heartbeat of one lease: says how far the work is, and hears whether it is to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::operator::{About, CallError, Operator};
use super::progress::ProgressFile;
use super::tell;
use crate::api::worker_protocol::{Cancel, LeasedTask};

/// The file is looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// After a heartbeat that was not answered.
const AGAIN: Duration = Duration::from_secs(1);
/// News are told at most so often between two heartbeats.
const NEWS_EACH: u32 = 5;

/// What the operator said to a heartbeat.
#[derive(Debug)]
pub enum Told {
    Cancel(Cancel),
    /// The lease is over.
    Over,
}

/// Beats until the lease is over or nobody listens any longer.
pub async fn run(operator: Arc<Operator>, task: LeasedTask, progress: PathBuf, told: mpsc::Sender<Told>) {
    let interval = Duration::from_secs(task.heartbeat_seconds.max(1).into());
    let about = About::lease(&task.lease);
    let mut file = ProgressFile::at(progress);
    let mut due = Instant::now() + interval;
    let mut may_tell = Instant::now() + interval / NEWS_EACH;
    let mut is_fresh = false;
    loop {
        sleep(LOOK.min(due.saturating_duration_since(Instant::now()))).await;
        let (looked_at, news) = look(file).await;
        file = looked_at;
        is_fresh |= news;
        let now = Instant::now();
        if now < due && !(is_fresh && now >= may_tell) {
            continue;
        }
        match operator.progress(&about, &file.told()).await {
            Ok(None) => {}
            // One that is not heard is said again.
            Ok(Some(cancel)) => drop(told.try_send(Told::Cancel(cancel))),
            Err(CallError::Over(_)) => {
                drop(told.send(Told::Over).await);
                return;
            }
            Err(CallError::Refused(why)) => {
                tell(&format!("{}: the progress is not taken: {why}", task.name));
                file.refused();
            }
            Err(error) => {
                tell(&format!("{}: the heartbeat is said again: {error}", task.name));
                sleep(AGAIN).await;
                due = Instant::now();
                continue;
            }
        }
        is_fresh = false;
        due = now + interval;
        may_tell = now + (interval / NEWS_EACH).max(LOOK);
    }
}

/// Looks at the file, for news, where waiting for a disk holds up nobody.
pub async fn look(mut file: ProgressFile) -> (ProgressFile, bool) {
    let path = file.path().to_owned();
    let looked_at = tokio::task::spawn_blocking(move || {
        let news = file.news().is_some();
        (file, news)
    });
    looked_at.await.unwrap_or_else(|_| (ProgressFile::at(path), false))
}
