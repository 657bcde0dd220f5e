//! An archive, and whether it takes what it is given: one that does not is asked by nobody but a probe, so that it
//! costs no task its deadline. Says once that it is down, and once that it is back.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Archive, Error, Record};

/// How often an archive that takes what it is given is probed.
const LOOK: Duration = Duration::from_secs(15);
/// How long after a failure it is, first …
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// … and at most: each pause is twice the one before.
const LAST_PROBE: Duration = Duration::from_secs(30);

/// An archive that is known to take what it is given, or not to.
pub struct Guard {
    archive: Archive,
    /// Why it does not.
    trouble: watch::Sender<Option<String>>,
    /// How often it was found down since it last took something.
    found_down: AtomicU32,
}

impl Guard {
    pub fn of(archive: Archive) -> Self {
        Self { archive, trouble: watch::Sender::new(None), found_down: AtomicU32::new(0) }
    }

    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    pub fn is_up(&self) -> bool {
        self.trouble.borrow().is_none()
    }

    /// Why it takes nothing, in a sentence; `None` while it does.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Puts a record, unless the archive is known to take none.
    pub async fn put(&self, record: &Record) -> Result<(), Error> {
        let trouble = self.trouble.borrow().clone();
        if let Some(trouble) = trouble {
            return Err(Error::Down(trouble));
        }
        let put = self.archive.put(record).await;
        match &put {
            Ok(()) => self.found_down.store(0, Ordering::Relaxed),
            Err(error) if error.passes() => self.found(Err(error.clone())),
            // It is this record.
            Err(Error::TooLarge { .. }) => {}
            // Is it this record, or everything?
            Err(_) => self.found(self.archive.probe().await),
        }
        put
    }

    /// What one who asked it something else was answered.
    pub fn asked<T>(&self, answer: &Result<T, Error>) {
        if let Err(error) = answer
            && error.passes()
        {
            self.found(Err(error.clone()));
        }
    }

    /// Brings the archive up to date and looks after it; never ends.
    pub async fn watch_over(&self) {
        let prepared = self.archive.prepare().await;
        self.found(if prepared.is_ok() { self.archive.probe().await } else { prepared });
        loop {
            if self.is_up() {
                let mut trouble = self.trouble();
                match timeout(LOOK, trouble.wait_for(Option::is_some)).await {
                    Ok(_) => {}
                    Err(_) => self.found(self.archive.probe().await),
                }
            } else {
                sleep(self.pause()).await;
                self.found(self.archive.probe().await);
            }
        }
    }

    fn pause(&self) -> Duration {
        let doubled = self.found_down.load(Ordering::Relaxed).saturating_sub(1).min(16);
        FIRST_PROBE.saturating_mul(1 << doubled).min(LAST_PROBE)
    }

    fn found(&self, answer: Result<(), Error>) {
        let trouble = answer.err().map(|error| error.to_string());
        if trouble.is_some() {
            self.found_down.fetch_add(1, Ordering::Relaxed);
        }
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
