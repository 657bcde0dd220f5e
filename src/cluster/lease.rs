//! Leader election by a Lease, so that of several operators one acts.
//!
//! The truth about one task does not rest on it: every status write carries the resourceVersion that it was decided
//! on. The bound on all tasks together does, for each leader admits from books of its own. So a leader knows by the
//! monotonic clock until when it may write, and stops by itself before anyone else can take the lease, however long it
//! was paused.

mod agreed_archive;
mod claim;
mod leadership;
mod look;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::calls::within;
pub use agreed_archive::{ARCHIVE, AgreedArchive};
pub use leadership::Leadership;
use leadership::Until;
use look::{Candidate, Look};

/// A lease that was not renewed for so long may be taken.
const DURATION: Duration = Duration::from_secs(10);
/// How often the leader renews it.
const RENEWAL: Duration = Duration::from_secs(2);
/// How soon the leader tries again after a renewal that failed. So one that is lost with all its time costs no lease:
/// before it is over, a second one has as much time.
const AGAIN: Duration = Duration::from_millis(500);
/// How often one who waits looks at it.
const LOOK: Duration = Duration::from_secs(1);
/// No look at the lease may take longer. A renewal is one request, where nobody else has written to it.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
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
    /// The resourceVersion with which the Lease was last seen; 0 before.
    seen_at: AtomicU64,
    /// The Lease as we last wrote it: it is renewed without being read before.
    written: Mutex<Option<Lease>>,
    /// How often the cluster was seen to have gone back in time.
    restored: watch::Sender<u64>,
    /// Who leads, or why that is not known.
    told: watch::Sender<Result<String, String>>,
    archive: Option<AgreedArchive>,
    /// The archive differed when the lease was taken: nobody with the agreed one was there.
    led_differing: AtomicBool,
}

/// Why a term is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TermEnd {
    /// A part of it failed, or it was asked to stop.
    ByItself,
    /// Its archive is not the agreed one, and another is to lead.
    MakesRoom,
    LeaseLost,
}

impl TermEnd {
    /// The lease is still ours: another need not wait for it to run out.
    fn gives_up_the_lease(self) -> bool {
        self != Self::LeaseLost
    }

    /// A term that ended by itself may end at once again; another replica may do better.
    fn pause(self) -> Duration {
        if self == Self::ByItself { STEP_BACK } else { LOOK }
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
            written: Mutex::default(),
            restored: watch::Sender::new(0),
            told: watch::Sender::new(Err("the Lease was not looked at yet".into())),
            archive: None,
            led_differing: AtomicBool::new(false),
        }
    }

    /// Agrees with the other replicas on an archive, too.
    pub fn with_archive(self, archive: AgreedArchive) -> Self {
        Self { archive: Some(archive), ..self }
    }

    pub fn leadership(&self) -> Leadership {
        Leadership { until: self.until.subscribe() }
    }

    /// The annotations of another who leads.
    pub fn said(&self) -> watch::Receiver<Option<BTreeMap<String, String>>> {
        self.said.subscribe()
    }

    /// Who leads and since when, or why that is not known, in words.
    pub fn told(&self) -> watch::Receiver<Result<String, String>> {
        self.told.subscribe()
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
                Ok(Look::Yields | Look::Overtaken | Look::WentBack) => {}
                Err(error) => {
                    ready.send_replace(false);
                    tracing::warn!(lease = self.name, %error, "failed to look at the lease; looks again");
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Keeps the lease until the term must end. One that ran out, if only for a moment, is lost: another may have led in
    /// between, and so this term must end before the next one begins.
    async fn keep(&self) -> TermEnd {
        let end = self.renew().await;
        if end == TermEnd::LeaseLost {
            self.until.send_replace(None);
        }
        end
    }

    async fn renew(&self) -> TermEnd {
        let mut pause = RENEWAL;
        loop {
            tokio::time::sleep(pause).await;
            if self.has_run_out() {
                tracing::error!(lease = self.name, "the lease ran out");
                return TermEnd::LeaseLost;
            }
            let began = tokio::time::Instant::now();
            pause = match self.look(Candidate::Leads).await {
                // It may have been another's in between, and be free again.
                Ok(Look::Ours) if self.has_run_out() => {
                    tracing::error!(lease = self.name, "the lease ran out while it was renewed");
                    return TermEnd::LeaseLost;
                }
                Ok(Look::Ours) => RENEWAL.saturating_sub(began.elapsed()).max(AGAIN),
                Ok(Look::Overtaken) => AGAIN,
                Ok(Look::Yields) => {
                    tracing::warn!(
                        lease = self.name,
                        "gives the lease up: its archive is not the one on which the replicas agree, and one that has that may lead"
                    );
                    return TermEnd::MakesRoom;
                }
                Ok(Look::Taken(by)) => {
                    tracing::error!(lease = self.name, by, "the lease was taken");
                    return TermEnd::LeaseLost;
                }
                Ok(Look::WentBack) => return TermEnd::LeaseLost,
                Err(error) => {
                    tracing::warn!(lease = self.name, %error, "failed to renew the lease; tries again");
                    AGAIN
                }
            };
        }
    }

    fn has_run_out(&self) -> bool {
        self.until.borrow().is_none_or(|until| until.remaining(Instant::now(), SystemTime::now()).is_none())
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
        if let Err(error) = within(LOOK_WITHIN, released).await {
            tracing::warn!(lease = self.name, %error, "failed to give up the lease; it runs out by itself");
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
        let end = tokio::select! {
            () = &mut acting => TermEnd::ByItself,
            end = election.keep() => {
                over.cancel();
                acting.await;
                end
            }
        };
        if !shutdown.is_cancelled() {
            if end.gives_up_the_lease() {
                election.release().await;
            }
            shutdown.run_until_cancelled(tokio::time::sleep(end.pause())).await;
        }
    }
    if election.leadership().remaining().is_some() {
        election.release().await;
    }
}

#[cfg(test)]
mod tests;
