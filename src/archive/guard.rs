//! An archive, and whether it takes what it is given: one that does not is asked by nobody but a probe, so that it
//! costs no task its deadline. One that takes some of what it is given is busy, and not down. Says once that it is down,
//! and once that it is back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{Archive, Error, Record};

/// How often an archive that takes what it is given is probed.
const LOOK: Duration = Duration::from_secs(15);
/// How long after a failure it is, first …
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// … and at most: each pause is twice the one before, until it has taken what it is given for as long as between two
/// looks. So one that comes and goes is not believed at once each time.
const LAST_PROBE: Duration = Duration::from_secs(30);

/// An archive that is known to take what it is given, or not to.
pub struct Guard {
    archive: Archive,
    /// Why it does not.
    trouble: watch::Sender<Option<String>>,
    /// When it last took a record.
    taken: Mutex<Option<Instant>>,
}

impl Guard {
    pub fn of(archive: Archive) -> Self {
        Self { archive, trouble: watch::Sender::new(None), taken: Mutex::default() }
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
        let began = Instant::now();
        let put = self.archive.put(record).await;
        match &put {
            Ok(()) => *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now()),
            // It was not the turn of this record.
            Err(error) if error.passes() && self.has_taken_since(began) => {}
            Err(error) if error.passes() => self.found(Err(error.clone())),
            // It is this record.
            Err(Error::TooLarge { .. }) => {}
            // Is it this record, or everything?
            Err(_) => self.found(self.archive.probe().await),
        }
        put
    }

    fn has_taken_since(&self, began: Instant) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|taken| taken >= began)
    }

    /// Has it asked something else. Where there is no answer, it may only be that many ask at once.
    pub async fn ask<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let began = Instant::now();
        let answer = asked.await;
        if let Err(error) = &answer
            && error.passes()
            && !self.has_taken_since(began)
        {
            self.found(self.archive.probe().await);
        }
        answer
    }

    /// Brings the archive up to date and looks after it; never ends.
    pub async fn watch_over(&self) {
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

    /// What was moved is prepared anew, which may take longer than a call.
    async fn look(&self) {
        let began = Instant::now();
        let prepared = self.archive.prepare().await;
        let probed = if prepared.is_ok() { self.archive.probe().await } else { prepared };
        if probed.is_ok() || !self.has_taken_since(began) {
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
