//! Leader election by a Lease, so that of several operators one acts.
//!
//! The truth about one task does not rest on it: every status write carries the resourceVersion that it was decided
//! on. The bound on all tasks together does, for each leader admits from books of its own. So a leader knows by the
//! monotonic clock until when it may write, and stops by itself before anyone else can take the lease, however long it
//! was paused.

mod agreed_archive;
mod claim;
mod leadership;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::calls::{CallError, within};
use super::version;
pub use agreed_archive::{ARCHIVE, AgreedArchive};
use claim::annotations_of_leader;
pub use leadership::Leadership;
use leadership::Until;

/// A lease that was not renewed for so long may be taken.
const DURATION: Duration = Duration::from_secs(10);
/// How often the leader renews it.
const RENEWAL: Duration = Duration::from_secs(2);
/// How often one who waits looks at it.
const LOOK: Duration = Duration::from_secs(1);
/// No request about the lease may take longer.
const REQUEST: Duration = Duration::from_secs(3);
/// One whose term ended by itself stands back for so long: another has the time to take the lease.
const STEP_BACK: Duration = Duration::from_secs(5);
/// The leader stops so long before the lease can be taken.
const MARGIN: Duration = Duration::from_secs(1);
/// One whose archive is not the agreed one takes the lease so much later than any other would.
const YIELD: Duration = Duration::from_secs(5);

/// One candidate for one Lease.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    until: Arc<watch::Sender<Option<Until>>>,
    /// Annotations on the Lease, by which a leader says how it is reached: ours…
    says: BTreeMap<String, String>,
    /// …and those of another who leads; `None` while nobody else does.
    said: watch::Sender<Option<BTreeMap<String, String>>>,
    /// The resourceVersion with which the Lease was last seen; 0 before, and where it is gone.
    seen_at: AtomicU64,
    /// How often the cluster was seen to have gone back in time.
    restored: watch::Sender<u64>,
    archive: Option<AgreedArchive>,
    /// The archive differed when the lease was taken: nobody with the agreed one was there.
    led_differing: AtomicBool,
}

/// The outcome of a look at the Lease.
enum Look {
    Ours,
    /// Somebody else holds it. The mark changes with each renewal.
    Taken(String),
    /// Somebody wrote to it a moment before us: the next look tells who holds it.
    Overtaken,
    /// It is older than it was, or gone: the cluster was restored from a backup.
    WentBack,
}

/// Who looks at the Lease.
enum Candidate<'a> {
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

impl Election {
    /// `says` is what others may know of us while we lead: annotations on the Lease.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, says: BTreeMap<String, String>) -> Self {
        let (until, _) = watch::channel(None);
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.into(),
            identity: identity.into(),
            until: Arc::new(until),
            says,
            said: watch::Sender::new(None),
            seen_at: AtomicU64::new(0),
            restored: watch::Sender::new(0),
            archive: None,
            led_differing: AtomicBool::new(false),
        }
    }

    /// Agrees with the other replicas on an archive, too.
    pub fn with_archive(self, archive: AgreedArchive) -> Self {
        Self { archive: Some(archive), ..self }
    }

    fn archive_differs(&self, lease: &Lease) -> bool {
        self.archive.as_ref().is_some_and(|archive| archive.differs(lease.metadata.annotations.as_ref()))
    }

    pub fn leadership(&self) -> Leadership {
        Leadership { until: self.until.subscribe() }
    }

    /// The annotations of another who leads.
    pub fn said(&self) -> watch::Receiver<Option<BTreeMap<String, String>>> {
        self.said.subscribe()
    }

    /// Changes whenever the cluster is seen to have been restored from a backup, whoever leads.
    pub fn restored(&self) -> watch::Receiver<u64> {
        self.restored.subscribe()
    }

    fn heard(&self, said: Option<BTreeMap<String, String>>) {
        self.said.send_if_modified(|before| {
            let news = *before != said;
            *before = said;
            news
        });
    }

    /// Waits until the lease is ours. One who sees somebody else's lease is ready to take over: `ready` tells.
    pub async fn win(&self, ready: &watch::Sender<bool>) {
        let mut seen: Option<(String, Instant)> = None;
        loop {
            match self.look(Candidate::Waits(seen.as_ref())).await {
                Ok(Look::Ours) => return,
                Ok(Look::Taken(mark)) => {
                    ready.send_replace(true);
                    if seen.as_ref().is_none_or(|(before, _)| *before != mark) {
                        seen = Some((mark, Instant::now()));
                    }
                }
                Ok(Look::Overtaken | Look::WentBack) => {}
                Err(error) => {
                    ready.send_replace(false);
                    tracing::warn!(lease = self.name, %error, "failed to look at the lease; looks again");
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Keeps the lease; returns when it is lost. One that ran out, if only for a moment, is lost: another may
    /// have led in between, and so this term must end before the next one begins.
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            let until = *self.until.borrow();
            let has_run_out = || until.is_none_or(|until| until.remaining(Instant::now(), SystemTime::now()).is_none());
            if has_run_out() {
                tracing::error!(lease = self.name, "the lease ran out");
                break;
            }
            match self.look(Candidate::Leads).await {
                // It may have been another's in between, and be free again.
                Ok(Look::Ours) if has_run_out() => {
                    tracing::error!(lease = self.name, "the lease ran out while it was renewed");
                    break;
                }
                Ok(Look::Ours | Look::Overtaken) => {}
                Ok(Look::Taken(by)) => {
                    tracing::error!(lease = self.name, by, "the lease was taken");
                    break;
                }
                Ok(Look::WentBack) => break,
                Err(error) => tracing::warn!(lease = self.name, %error, "failed to renew the lease"),
            }
        }
        self.until.send_replace(None);
    }

    /// Gives the lease up, so that another need not wait for it to run out.
    pub async fn release(&self) {
        self.until.send_replace(None);
        let released = async {
            let mut lease = self.leases.get(&self.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = None;
                self.leases.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok(())
        };
        if let Err(error) = within(REQUEST, released).await {
            tracing::warn!(lease = self.name, %error, "failed to give up the lease; it runs out by itself");
        }
    }

    /// Looks at the lease, and takes or renews it where that is right. It is ours from before the request was
    /// sent: whoever waits for it counts from later.
    ///
    /// It is also what shows soonest that the cluster was restored from a backup, for nothing of ours is written as
    /// often, and every replica looks at it. The watches would not tell: one that goes on from a resourceVersion that lies
    /// ahead stays silent.
    async fn look(&self, candidate: Candidate<'_>) -> Result<Look, CallError> {
        let asked = (Instant::now(), SystemTime::now());
        let found = within(REQUEST, self.leases.get_opt(&self.name)).await?;
        let now = found.as_ref().map_or(0, |lease| version(&lease.metadata));
        if now < self.seen_at.swap(now, Ordering::Relaxed) {
            tracing::error!(lease = self.name, "the lease went back: the cluster was restored; all begin anew");
            self.restored.send_modify(|times| *times += 1);
            return Ok(Look::WentBack);
        }
        let Some(lease) = found else {
            return self
                .written(within(REQUEST, self.leases.create(&PostParams::default(), &self.claim(None))).await, asked);
        };
        self.saw(&lease);
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let is_anothers = !holder.is_empty() && holder != self.identity;
        let differs = self.archive_differs(&lease);
        // One that came to differ while it led makes room for those that do not.
        let yields = differs && !(candidate.leads() && self.led_differing.load(Ordering::Relaxed));
        if is_anothers || yields {
            let renewed = spec.renew_time.as_ref().map(|time| time.0.to_string()).unwrap_or_default();
            let mark = format!("{holder} at {renewed}");
            if !candidate.has_waited(&mark, if yields { DURATION + YIELD } else { DURATION }) {
                self.heard(is_anothers.then(|| annotations_of_leader(lease.metadata.annotations.unwrap_or_default())));
                return Ok(Look::Taken(mark));
            }
        }
        self.led_differing.store(differs, Ordering::Relaxed);
        let claim = self.claim(Some(lease));
        self.written(within(REQUEST, self.leases.replace(&self.name, &PostParams::default(), &claim)).await, asked)
    }

    fn saw(&self, lease: &Lease) {
        if let Some(archive) = &self.archive {
            archive.seen(lease.metadata.annotations.as_ref());
        }
    }

    fn written(&self, answer: Result<Lease, CallError>, asked: (Instant, SystemTime)) -> Result<Look, CallError> {
        match answer {
            Ok(lease) => {
                self.saw(&lease);
                self.seen_at.store(version(&lease.metadata), Ordering::Relaxed);
                self.until.send_replace(Until::after(asked.0, asked.1, DURATION - MARGIN));
                self.heard(None);
                Ok(Look::Ours)
            }
            Err(CallError::Conflict | CallError::AlreadyExists) => Ok(Look::Overtaken),
            Err(error) => Err(error),
        }
    }
}

/// Runs `term` for as long as the lease is ours, and again whenever it is won again, until `shutdown`. A term
/// ends when its token is cancelled; the lease is given up only after that.
pub async fn lead<F>(
    election: &Election,
    ready: &watch::Sender<bool>,
    shutdown: &CancellationToken,
    mut term: impl FnMut(CancellationToken) -> F,
) where
    F: Future<Output = ()>,
{
    while shutdown.run_until_cancelled(election.win(ready)).await.is_some() {
        tracing::info!(lease = election.name, identity = election.identity, "leads");
        let over = shutdown.child_token();
        let acting = term(over.clone());
        tokio::pin!(acting);
        let pause = tokio::select! {
            () = &mut acting => STEP_BACK,
            () = election.keep() => {
                over.cancel();
                acting.await;
                LOOK
            }
        };
        if !shutdown.is_cancelled() {
            // A term that ended by itself may end at once again; another replica may do better.
            if pause == STEP_BACK {
                election.release().await;
            }
            shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }
    if election.leadership().remaining().is_some() {
        election.release().await;
    }
}

#[cfg(test)]
mod tests;
