//! Takes what warm workers hand in, and has them wait for what they ask for. A word is answered when the task's status says what
//! became of it, and never before.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::cache::Cache;
use super::cache::workers::{Asked, HandedIn, Hanging};
use super::leased_task;
use super::reports::Taker;
use crate::api::{Reason, Task};
use crate::core::attempt::lease;
use crate::core::attempt::lease::{Kept, NotKept};
use crate::live::{Ask, Done, Given, Next, NotTaken, Reporter, ToStop};

/// How long a worker waits until what it handed in is written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);
/// A call that another one ended is answered so much later: two processes that share a slot would else end each other's calls as
/// fast as they can ask.
const BETWEEN_TWO: Duration = Duration::from_secs(1);

impl Taker {
    pub(super) async fn hand_in_and_ask(&self, reporter: &Reporter, ask: Ask) -> Result<Next, NotTaken> {
        self.is_known(reporter).await?;
        let Ask { done, slot, wait, beats } = ask;
        let kept = match done {
            Some(done) => Some(self.hand_in(reporter, done).await?),
            None => None,
        };
        match self.ask(reporter, slot, wait, beats).await {
            Ok(given) => Ok(Next { kept, given }),
            // What is written is told all the same; what stands against another task is told by the next call.
            Err(_) if kept.is_some() => Ok(Next { kept, given: Given::Nothing }),
            Err(error) => Err(error),
        }
    }

    /// A worker may ask before the watch shows its pod.
    async fn is_known(&self, reporter: &Reporter) -> Result<(), NotTaken> {
        if !self.context.scope.covers(&reporter.namespace) {
            return Err(NotTaken::Stranger);
        }
        if !self.context.cache.is_worker(&reporter.uid) {
            // A token outlives its pod by a few seconds.
            let gone = |error| if error == NotTaken::Over { NotTaken::NoWorker } else { error };
            self.find(reporter).await.map_err(gone)?;
        }
        if self.context.cache.is_worker(&reporter.uid) { Ok(()) } else { Err(NotTaken::NoWorker) }
    }

    async fn hand_in(&self, reporter: &Reporter, done: Done) -> Result<Kept, NotTaken> {
        let (lease, ended_for) = (&done.lease.clone(), done.outcome.ended_for());
        let (over, task) = match self.context.cache.hand_in(reporter, done) {
            HandedIn::Told(Kept::No(NotKept::Unknown)) => return self.recorded(reporter, lease, ended_for).await,
            HandedIn::Told(kept) => return Ok(kept),
            HandedIn::NotNow => return Err(NotTaken::NotNow("its task cannot be read")),
            HandedIn::Waits { over, task } => (over, task),
        };
        self.wake_up(&task).await?;
        let told = timeout(WRITTEN_WITHIN, self.told(lease, &over)).await;
        told.map_err(|_| NotTaken::NotNow("it could not be written to the task yet"))
    }

    /// What became of a lease by the record of its run: its task is gone, or runs anew.
    async fn recorded(&self, reporter: &Reporter, lease: &str, ended_for: Option<Reason>) -> Result<Kept, NotTaken> {
        let unknown = Kept::No(NotKept::Unknown);
        let Some(uid) = lease::task_uid(lease) else { return Ok(unknown) };
        let record = self.context.records.last_of(uid).await;
        let record = record.map_err(|_| NotTaken::NotNow("the archive does not answer"))?;
        let ended = record.filter(|record| record.summary.namespace == reporter.namespace).map(|record| record.task());
        let kept = ended.and_then(|task| lease::kept_by_name(&task, lease, &reporter.uid, ended_for));
        Ok(kept.unwrap_or(unknown))
    }

    async fn told(&self, lease: &str, over: &Arc<Notify>) -> Kept {
        loop {
            // Before the look, so that nothing is missed between the two.
            let rung = over.notified();
            let mut rung = std::pin::pin!(rung);
            rung.as_mut().enable();
            if let Some(kept) = self.context.cache.past_lease(lease) {
                return kept;
            }
            rung.await;
        }
    }

    async fn ask(&self, reporter: &Reporter, slot: u32, wait: Duration, beats: bool) -> Result<Given, NotTaken> {
        let cache = &self.context.cache;
        let until = Instant::now() + wait;
        loop {
            let (call, wake, again_at) = match cache.worker_asks(reporter, slot, beats).ok_or(NotTaken::NoWorker)?? {
                Asked::Stop => return Ok(Given::Stop),
                Asked::TooOften { task, lease, over } => {
                    self.wake_up(&task).await?;
                    // So that it does not ask again and again meanwhile.
                    let _ = timeout(WRITTEN_WITHIN, self.told(&lease, &over)).await;
                    return Ok(Given::Nothing);
                }
                Asked::Again { task, lease, first } => return self.again(reporter, &task, &lease, first).await,
                Asked::Hangs { call, wake, again_at } => (call, wake, again_at),
            };
            let Hanging { id, answer } = call;
            let _open = OpenCall { cache, worker: &reporter.uid, slot, id };
            if let Some(task) = wake {
                self.wake_up(&task).await?;
            }
            let left = until.saturating_duration_since(Instant::now());
            let pause = again_at.map_or(left, |at| left.min(time_until(at)));
            match timeout(pause, answer).await {
                // Another call for the slot came, of a process that could not know of this one, or does not.
                Ok(Ok(Given::Nothing)) => sleep(BETWEEN_TWO.min(left)).await,
                Ok(given) => return Ok(given.unwrap_or(Given::Nothing)),
                Err(_) if pause < left => continue,
                Err(_) => {}
            }
            return Ok(Given::Nothing);
        }
    }

    /// The same task again, with its payload.
    async fn again(
        &self,
        reporter: &Reporter,
        task: &ObjectRef<Task>,
        lease: &str,
        first: Timestamp,
    ) -> Result<Given, NotTaken> {
        let tasks = self.context.reads.namespaced::<Task>(&reporter.namespace);
        let whole = self.context.reads.read(tasks.get_opt(&task.name)).await;
        let whole = whole.map_err(|_| NotTaken::NotNow("the API server does not answer"))?;
        let held = whole.filter(|whole| leased_task::lease_name(whole).as_deref() == Some(lease));
        // Its lease is over by now.
        let Some(whole) = held else { return Ok(Given::Nothing) };
        let heartbeat = self.context.cache.heartbeat_of(&reporter.uid);
        let kind = self.context.cache.type_of(&whole);
        // The worker that lost its memory may have left one in this very attempt.
        let checkpoint = self.context.records.may_have_checkpoint(&whole).await;
        let leased = kind.and_then(|kind| leased_task::of(&whole, &kind, heartbeat, first, checkpoint));
        let leased = leased.ok_or(NotTaken::NotNow("its type is missing"))?;
        self.context.cache.handed_out_again(lease, first);
        Ok(Given::Task(Box::new(leased)))
    }

    /// The stop that a worker is to be told of. What waits for its being fetched is looked at.
    pub(super) async fn fetch_stop(&self, reporter: &Reporter, task: &Task) -> Option<ToStop> {
        let told = self.context.cache.fetch_stop(reporter)?;
        // Whether the task is looked at now or at its time changes nothing for the worker.
        let _ = self.look_at(task).await;
        Some(told)
    }

    async fn wake_up(&self, task: &ObjectRef<Task>) -> Result<(), NotTaken> {
        match self.context.cache.task(task) {
            Some(task) => self.look_at(&task).await,
            None => Ok(()),
        }
    }
}

fn time_until(at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
}

/// A call of a worker: when it is dropped, nothing is given to it any longer.
struct OpenCall<'a> {
    cache: &'a Cache,
    worker: &'a str,
    slot: u32,
    id: u64,
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.cache.call_over(self.worker, self.slot, self.id);
    }
}
