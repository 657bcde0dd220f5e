//! Guards an archive that may be down: while it takes no records only a probe calls it, so that no task waits for its
//! deadline. An archive that takes some records, or a large result, is busy, not down. Logs once that it is down and
//! once that it is back.

mod activity;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{Archive, AttemptKey, Checkpoint, Error, LargeResult, Record};
use activity::Activity;

/// The interval of probes while the archive takes records.
const LOOK: Duration = Duration::from_secs(15);
/// The first pause between probes after a failure.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// The longest pause. Each pause is twice the one before, until the archive has taken records for one interval of
/// probes, so that one that comes and goes is not trusted at once each time.
const LAST_PROBE: Duration = Duration::from_secs(30);

/// An archive with the knowledge whether it takes records.
pub struct Guard {
    archive: Archive,
    /// Why it takes no records; `None` while it does.
    trouble: watch::Sender<Option<String>>,
    activity: Activity,
}

impl Guard {
    pub fn of(archive: Archive) -> Self {
        Self { archive, trouble: watch::Sender::new(None), activity: Activity::default() }
    }

    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    pub fn is_up(&self) -> bool {
        self.trouble.borrow().is_none()
    }

    /// Why it takes no records, in a sentence; `None` while it does.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Stores a record, and fails at once while the archive is known to take none.
    pub async fn put(&self, record: &Record) -> Result<(), Error> {
        self.must_be_up()?;
        let began = Instant::now();
        let put = self.archive.put(record).await;
        match &put {
            Ok(()) => self.activity.took(),
            Err(error) if error.is_temporary() && self.activity.is_busy_since(began) => {}
            Err(error) if error.is_temporary() => self.found(Err(error.clone())),
            // Only this record is refused.
            Err(Error::TooLarge { .. }) => {}
            // A probe tells whether only this record is refused.
            Err(_) => self.found(self.archive.probe().await),
        }
        put
    }

    /// Stores a large result, and fails at once while the archive is known to take nothing. A disk or a network that is
    /// slow needs long for it, so it has a deadline of its own, and records that wait for it meanwhile say nothing of the
    /// archive. Only where nothing at all was taken in that time is it probed.
    pub async fn put_result(&self, uid: &str, run_id: &str, result: &LargeResult) -> Result<(), Error> {
        self.store(self.archive.put_result(uid, run_id, result)).await
    }

    /// The same for a checkpoint.
    pub async fn put_checkpoint(&self, attempt: &AttemptKey<'_>, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.store(self.archive.put_checkpoint(attempt, checkpoint)).await
    }

    async fn store(&self, storing: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        self.must_be_up()?;
        let began = Instant::now();
        let counted = self.activity.stores();
        let put = storing.await;
        drop(counted);
        match &put {
            Ok(()) => self.activity.took(),
            Err(error) if error.is_temporary() && !self.activity.is_busy_since(began) => {
                let probed = self.archive.probe().await;
                if probed.is_ok() || !self.activity.is_busy_since(began) {
                    self.found(probed);
                }
            }
            Err(_) => {}
        }
        put
    }

    fn must_be_up(&self) -> Result<(), Error> {
        self.trouble.borrow().clone().map_or(Ok(()), |trouble| Err(Error::Down(trouble)))
    }

    /// Runs another call. Where that gets no answer, many calls at once may be the reason, so a probe decides whether
    /// the archive is down.
    pub async fn ask<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let began = Instant::now();
        let answer = asked.await;
        if let Err(error) = &answer
            && error.is_temporary()
            && !self.activity.is_busy_since(began)
        {
            self.found(self.archive.probe().await);
        }
        answer
    }

    /// Brings the archive up to date and probes it; never ends.
    pub async fn watch_over(&self) {
        tokio::join!(self.keep_looking(), self.make_searchable());
    }

    /// Records that an earlier version left are made searchable while the archive takes records; again whenever it is back, for it
    /// may be another one.
    async fn make_searchable(&self) {
        let mut trouble = self.trouble();
        // Fails only when the guard is gone, and with it this.
        while trouble.wait_for(Option::is_none).await.is_ok() {
            match self.archive.make_searchable().await {
                Ok(0) => {}
                Ok(records) => tracing::info!(records, "the archive's filters know all its records"),
                Err(error) => {
                    tracing::warn!(%error, "the archive's filters do not know all its records yet; goes on in a moment");
                    sleep(LOOK).await;
                    continue;
                }
            }
            let _ = trouble.wait_for(Option::is_some).await;
        }
    }

    async fn keep_looking(&self) {
        let mut pause = FIRST_PROBE;
        self.look().await;
        loop {
            if !self.is_up() {
                sleep(pause).await;
                pause = (2 * pause).min(LAST_PROBE);
            } else if self.goes_down_within(LOOK).await {
                continue;
            } else {
                pause = FIRST_PROBE;
            }
            self.look().await;
        }
    }

    async fn goes_down_within(&self, time: Duration) -> bool {
        let mut trouble = self.trouble();
        let down = timeout(time, trouble.wait_for(Option::is_some)).await;
        down.is_ok()
    }

    /// A file that was replaced is prepared again, which may take longer than a call.
    async fn look(&self) {
        let began = Instant::now();
        let prepared = self.archive.prepare().await;
        let probed = if prepared.is_ok() { self.archive.probe().await } else { prepared };
        if probed.is_ok() || !self.activity.is_busy_since(began) {
            self.found(probed);
        }
    }

    fn found(&self, answer: Result<(), Error>) {
        let trouble = answer.err().map(|error| error.to_string());
        self.trouble.send_if_modified(|before| {
            match (&before, &trouble) {
                (None, Some(error)) => {
                    tracing::error!(archive = %self.archive, error, "the archive takes no records; tasks go on, and nothing is removed before its record is there");
                }
                (Some(_), None) => tracing::info!(archive = %self.archive, "the archive takes records again"),
                _ => {}
            }
            let changed = before.is_some() != trouble.is_some();
            *before = trouble;
            changed
        });
    }
}
