//! Reports of the work that runs. The controller of the operator that leads takes reports and keeps them
//! here, and REST shows them from here; so the two meet without knowing each other.
//!
//! Nothing here decides what a report is worth, and nothing is lost with it: the controller writes what must outlive us to
//! the task before the reporter is answered.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use lru::LruCache;
use tokio::sync::broadcast;

use crate::api::worker_protocol::LeasedTask;
use crate::api::{Progress, Reason};
use crate::core::attempt::facts::worker::Outcome;
use crate::core::attempt::id::AttemptId;
use crate::core::attempt::lease::Kept;
use crate::core::attempt::reports::{Report, Reports};

/// The reports of so many tasks are kept; beyond that, those go that came first.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);
/// How many uids of tasks with news may wait for one who follows; whoever is slower is told to look at everything.
const NEWS: usize = 1024;

pub type Uid = String;

/// A pod that reports, as the API server knows it by its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    pub namespace: String,
    pub pod: String,
    pub uid: String,
    /// The number of the attempt that it says it reports for, if it says any.
    pub attempt: Option<i32>,
    /// The lease that it says it reports for, where it is a warm worker.
    pub lease: Option<String>,
    /// The process of the pod that speaks, where it names itself.
    pub process: Option<String>,
}

/// What a warm worker hands in and asks for.
#[derive(Debug)]
pub struct Ask {
    pub done: Option<Done>,
    pub slot: u32,
    /// How long it waits for a task.
    pub wait: Duration,
    /// It promises to be heard while it works.
    pub beats: bool,
}

/// What a worker hands in.
#[derive(Debug)]
pub struct Done {
    pub lease: String,
    pub outcome: Outcome,
    /// The last lines that the work wrote.
    pub log: Option<String>,
}

/// The answer to that.
#[derive(Debug)]
pub struct Next {
    /// What became of what it handed in.
    pub kept: Option<Kept>,
    pub given: Given,
}

/// What a warm worker gets.
#[derive(Debug)]
pub enum Given {
    Task(Box<LeasedTask>),
    /// It asks again.
    Nothing,
    /// It ends.
    Stop,
}

/// Its work is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToStop {
    pub reason: Reason,
    pub grace_seconds: i64,
}

/// Why a report was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    #[error("this replica does not lead, and knows of none that does; say it again in a moment")]
    NobodyLeads,
    #[error("{0}; say it again in a moment")]
    NotNow(&'static str),
    #[error("this token's pod does not work on a task of ours")]
    Stranger,
    #[error("the attempt that this pod worked on is over; what it says no longer changes anything")]
    Over,
    #[error("this token's pod is no worker of a pool")]
    NoWorker,
    #[error("the workers of this pool have {0} slots: name one from 0 on")]
    NoSuchSlot(i32),
}

/// Knows which pod works on which attempt, and takes its reports.
pub trait ReportTaker: Send + Sync {
    /// The attempt that this pod is at work on.
    fn attempt_of<'a>(&'a self, reporter: &'a Reporter) -> BoxFuture<'a, Result<AttemptId, NotTaken>>;

    /// Takes a report. What must outlive us is written when this returns. A warm worker may be told to stop.
    fn take<'a>(&'a self, reporter: &'a Reporter, report: Report) -> BoxFuture<'a, Result<Option<ToStop>, NotTaken>>;

    /// A warm worker hands in what is done, and hangs until there is something to do.
    fn next<'a>(&'a self, reporter: &'a Reporter, ask: Ask) -> BoxFuture<'a, Result<Next, NotTaken>>;
}

pub struct Live {
    /// By the task's uid.
    reports: Mutex<LruCache<Uid, Reports>>,
    news: broadcast::Sender<Uid>,
    taker: Mutex<Option<Arc<dyn ReportTaker>>>,
}

impl Default for Live {
    fn default() -> Self {
        let (reports, news) = (Mutex::new(LruCache::new(MOST)), broadcast::Sender::new(NEWS));
        Self { reports, news, taker: Mutex::default() }
    }
}

/// Reports are taken as long as this lives.
pub struct Taking(Arc<Live>);

impl Drop for Taking {
    fn drop(&mut self) {
        *lock(&self.0.taker) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// From now on `taker` takes reports. Those that others took before do not count.
    pub fn take_with(self: &Arc<Self>, taker: Arc<dyn ReportTaker>) -> Taking {
        lock(&self.reports).clear();
        *lock(&self.taker) = Some(taker);
        Taking(self.clone())
    }

    /// Reports are taken here.
    pub fn is_taking(&self) -> bool {
        lock(&self.taker).is_some()
    }

    fn taker(&self) -> Result<Arc<dyn ReportTaker>, NotTaken> {
        lock(&self.taker).clone().ok_or(NotTaken::NobodyLeads)
    }

    pub async fn attempt_of(&self, reporter: &Reporter) -> Result<AttemptId, NotTaken> {
        self.taker()?.attempt_of(reporter).await
    }

    pub async fn take(&self, reporter: &Reporter, report: Report) -> Result<Option<ToStop>, NotTaken> {
        self.taker()?.take(reporter, report).await
    }

    pub async fn next(&self, reporter: &Reporter, ask: Ask) -> Result<Next, NotTaken> {
        self.taker()?.next(reporter, ask).await
    }

    /// Keeps a report from this pod; returns what it had reported of the same attempt before.
    pub fn keep(&self, attempt: &AttemptId, pod: &str, report: Report) -> Reports {
        let mut kept = lock(&self.reports);
        let before = kept.peek(&attempt.uid).filter(|before| before.attempt == *attempt && before.pod == pod);
        let before = before.cloned().unwrap_or_else(|| Reports::none(attempt.clone(), pod));
        let mut reports = before.clone();
        reports.take(report);
        kept.put(attempt.uid.clone(), reports);
        drop(kept);
        self.tell(&attempt.uid);
        before
    }

    /// The latest reports of this task.
    pub fn reports(&self, uid: &str) -> Option<Reports> {
        lock(&self.reports).peek(uid).cloned()
    }

    pub fn all_reports(&self) -> Vec<Reports> {
        lock(&self.reports).iter().map(|(_, reports)| reports.clone()).collect()
    }

    /// Keeps what another replica, which leads, has taken.
    pub fn copy(&self, reports: Reports) {
        let uid = reports.attempt.uid.clone();
        // One who takes reports knows better.
        if !self.is_taking() {
            lock(&self.reports).put(uid.clone(), reports);
            self.tell(&uid);
        }
    }

    /// How far this attempt is.
    pub fn progress(&self, uid: &str, run_id: &str, began: Timestamp, attempt: i32) -> Option<Progress> {
        let asked = AttemptId { uid: uid.into(), run_id: run_id.into(), began, attempt };
        let kept = lock(&self.reports);
        kept.peek(uid).filter(|reports| reports.attempt == asked)?.progress.clone()
    }

    /// The tasks of which something was reported.
    pub fn news(&self) -> broadcast::Receiver<Uid> {
        self.news.subscribe()
    }

    fn tell(&self, uid: &Uid) {
        // Where nobody follows, nobody is told.
        let _ = self.news.send(uid.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(uid: &str, attempt: i32) -> AttemptId {
        AttemptId { uid: uid.into(), run_id: "1".into(), began: Timestamp::UNIX_EPOCH, attempt }
    }

    fn percent(percent: i32) -> Report {
        Report::Progress(Progress { percent: Some(percent), ..Progress::default() })
    }

    #[test]
    fn another_attempt_begins_with_no_reports_also_in_the_same_pod() {
        let live = Live::default();
        live.keep(&attempt("a", 1), "p1", percent(40));
        assert_eq!(live.keep(&attempt("a", 1), "p1", percent(50)).progress.and_then(|said| said.percent), Some(40));
        let began = Timestamp::UNIX_EPOCH;
        assert_eq!(live.progress("a", "1", began, 1).and_then(|said| said.percent), Some(50));
        assert_eq!((live.progress("a", "1", began, 2), live.progress("a", "2", began, 1)), (None, None));
        assert_eq!(live.progress("a", "1", Timestamp::MAX, 1), None, "a later run of the same runId");
        assert_eq!(live.keep(&attempt("a", 2), "p1", percent(1)), Reports::none(attempt("a", 2), "p1"));
        assert_eq!(live.progress("a", "1", began, 1), None);
    }

    #[test]
    fn the_reports_that_came_first_go_first() {
        let live = Live::default();
        for number in 0..MOST.get() {
            live.keep(&attempt(&number.to_string(), 1), "p", percent(1));
        }
        live.keep(&attempt("0", 1), "p", percent(2));
        live.keep(&attempt("one more", 1), "p", percent(1));
        assert!(live.reports("0").is_some() && live.reports("1").is_none() && live.reports("2").is_some());
        assert_eq!(live.all_reports().len(), MOST.get());
    }

    #[tokio::test]
    async fn where_nobody_leads_no_report_is_taken() {
        let reporter = Reporter {
            namespace: "docs".into(),
            pod: "p".into(),
            uid: "u".into(),
            attempt: None,
            lease: None,
            process: None,
        };
        assert_eq!(Live::default().take(&reporter, percent(1)).await, Err(NotTaken::NobodyLeads));
    }
}
