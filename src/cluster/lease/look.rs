//! One look at the Lease: it is taken or renewed where that is right. Whoever leads reads it only where somebody else has
//! written to it.
//!
//! A look is also what shows soonest that the cluster was restored from a backup, for nothing of ours is written as often, and
//! every replica looks at it. The watches would not tell: one that goes on from a resourceVersion that lies ahead stays
//! silent.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use tokio::time::timeout;

use super::claim::annotations_of_leader;
use super::{DURATION, Election, LOOK_WITHIN, MARGIN, Until, YIELD};
use crate::cluster::calls::CallError;
use crate::cluster::version;

/// The outcome of a look at the Lease.
#[derive(Debug)]
pub(super) enum Look {
    Ours,
    /// Somebody else holds it, or is to have the time to take it. The mark changes with each renewal.
    Taken(String),
    /// We hold it, and are to make room for those whose archive is the agreed one.
    Yields,
    /// Somebody wrote to it a moment before us: the next look tells who holds it.
    Overtaken,
    /// It is older than it was: the cluster was restored from a backup.
    WentBack,
}

/// The mark of a Lease that is gone.
const GONE: &str = "nobody, for it is gone";

/// Who looks at the Lease.
#[derive(Clone, Copy)]
pub(super) enum Candidate<'a> {
    Leads,
    /// One who waits for it, and what it saw last, since when.
    Waits(Option<&'a (String, Instant)>),
}

impl Candidate<'_> {
    fn leads(&self) -> bool {
        matches!(self, Self::Leads)
    }

    /// The mark that was just read must be the old one: a replica that stood still has read nothing meanwhile.
    fn has_waited(&self, mark: &str, time: Duration) -> bool {
        matches!(self, Self::Waits(Some((before, since))) if before == mark && since.elapsed() >= time)
    }
}

/// When a look began, by both clocks.
type Asked = (Instant, SystemTime);

impl Election {
    /// Looks at the lease, and takes or renews it where that is right. It is ours from before the request was sent: whoever
    /// waits for it counts from later.
    pub(super) async fn look(&self, candidate: Candidate<'_>) -> Result<Look, CallError> {
        let look = timeout(LOOK_WITHIN, self.look_now(candidate)).await.unwrap_or(Err(CallError::Deadline));
        if let Err(error) = &look {
            self.tell(Err(format!("the Lease could not be looked at: {error}")));
        }
        look
    }

    async fn look_now(&self, candidate: Candidate<'_>) -> Result<Look, CallError> {
        let asked = (Instant::now(), SystemTime::now());
        let ours = self.written.lock().clone().filter(|_| candidate.leads());
        if let Some(lease) = ours {
            match self.take_or_wait(lease, candidate, asked).await {
                // Somebody wrote to it, it is gone, or the cluster was restored.
                Ok(Look::Overtaken) | Err(CallError::NotFound) => {}
                renewed => return renewed,
            }
        }
        let Some(lease) = self.leases.get_opt(&self.name).await? else { return self.make(candidate, asked).await };
        if self.saw(&lease) {
            return Ok(Look::WentBack);
        }
        self.take_or_wait(lease, candidate, asked).await
    }

    /// Takes or renews the Lease, as it was last seen, unless others go before.
    async fn take_or_wait(&self, lease: Lease, candidate: Candidate<'_>, asked: Asked) -> Result<Look, CallError> {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let is_anothers = !holder.is_empty() && holder != self.identity;
        let differs = self.archive.as_ref().is_some_and(|archive| archive.differs(lease.metadata.annotations.as_ref()));
        if differs && !is_anothers && candidate.leads() && self.makes_room(&lease) {
            return Ok(Look::Yields);
        }
        if is_anothers || differs && !candidate.leads() {
            let renewed = spec.renew_time.as_ref().map(|time| time.0.to_string()).unwrap_or_default();
            let mark = format!("{holder} at {renewed}");
            if !candidate.has_waited(&mark, if differs { DURATION + YIELD } else { DURATION }) {
                let said = lease.metadata.annotations.clone().unwrap_or_default();
                self.heard(is_anothers.then(|| annotations_of_leader(said)));
                self.ask_for_room(lease).await;
                return Ok(Look::Taken(mark));
            }
        }
        self.led_differing.store(differs, Ordering::Relaxed);
        let answer = self.leases.replace(&self.name, &PostParams::default(), &self.claim(Some(lease))).await;
        self.outcome(answer.map_err(CallError::from), asked)
    }

    /// There is no Lease. Whoever led by one that somebody deleted makes it anew before others may: it is still theirs. By
    /// the version that the new one gets it is known whether the cluster was restored from a time before the Lease.
    async fn make(&self, candidate: Candidate<'_>, asked: Asked) -> Result<Look, CallError> {
        let seen_at = self.seen_at.load(Ordering::Relaxed);
        if seen_at > 0 && !candidate.leads() && !candidate.has_waited(GONE, DURATION) {
            self.heard(None);
            self.tell(Ok("nobody leads: the Lease is gone".into()));
            return Ok(Look::Taken(GONE.into()));
        }
        let answer = self.leases.create(&PostParams::default(), &self.claim(None)).await;
        let look = self.outcome(answer.map_err(CallError::from), asked);
        if seen_at > 0 && matches!(look, Ok(Look::Ours)) {
            tracing::warn!(lease = self.name, "somebody deleted the lease; it was made anew");
        }
        look
    }

    /// One that came to differ while it led makes room for those that do not; one that took the lease though it differs,
    /// because none of them was there, when one of them asks for it.
    fn makes_room(&self, lease: &Lease) -> bool {
        let is_asked = self.archive.as_ref().is_some_and(|archive| archive.is_asked_for(&lease.metadata));
        is_asked || !self.led_differing.load(Ordering::Relaxed)
    }

    /// Whoever leads has another archive than the agreed one, which this replica has: it is asked to make room. Where that
    /// fails, the next look asks again.
    async fn ask_for_room(&self, mut lease: Lease) {
        let asks = self.archive.as_ref().is_some_and(|archive| archive.ask(&self.identity, &mut lease.metadata));
        if asks && let Err(error) = self.leases.replace(&self.name, &PostParams::default(), &lease).await {
            tracing::debug!(lease = self.name, %error, "failed to ask the leader to make room; asks again");
        }
    }

    /// Takes note of the Lease as it is; true where it is older than it was.
    fn saw(&self, lease: &Lease) -> bool {
        let now = version(&lease.metadata);
        if now < self.seen_at.swap(now, Ordering::Relaxed) {
            tracing::error!(lease = self.name, "the lease went back: the cluster was restored; all begin anew");
            self.restored.send_modify(|times| *times += 1);
            return true;
        }
        if let Some(archive) = &self.archive {
            archive.seen(lease.metadata.annotations.as_ref());
        }
        self.tell(Ok(self.in_words(lease)));
        false
    }

    fn tell(&self, stands: Result<String, String>) {
        drop(self.told.send_replace(stands));
    }

    /// Who leads, and since when.
    fn in_words(&self, lease: &Lease) -> String {
        let spec = lease.spec.clone().unwrap_or_default();
        let since = spec.acquire_time.map(|time| format!(" since {}", time.0)).unwrap_or_default();
        match spec.holder_identity.filter(|holder| !holder.is_empty()) {
            Some(holder) if holder == self.identity => format!("this replica, {holder}, leads{since}"),
            Some(holder) => format!("{holder} leads{since}"),
            None => "nobody leads".into(),
        }
    }

    /// The outcome of writing the Lease.
    fn outcome(&self, answer: Result<Lease, CallError>, asked: Asked) -> Result<Look, CallError> {
        match answer {
            Ok(lease) if self.saw(&lease) => Ok(Look::WentBack),
            Ok(lease) => {
                self.until.send_replace(Until::after(asked.0, asked.1, DURATION - MARGIN));
                self.heard(None);
                *self.written.lock() = Some(lease);
                Ok(Look::Ours)
            }
            Err(CallError::Conflict | CallError::AlreadyExists) => Ok(Look::Overtaken),
            Err(error) => Err(error),
        }
    }
}
