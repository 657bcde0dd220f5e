//! Takes what the work reports over HTTP: finds the attempt that its pod is at work on, and keeps the report for the next
//! decision about the task. What must outlive us is in the task's status before the reporter is answered.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{BoxFuture, FutureExt};
use futures::{SinkExt, future};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, ReportOf};
use super::record::Records;
use crate::api::{Task, TaskStatus};
use crate::cluster::calls::Reads;
use crate::cluster::watch::Scope;
use crate::core::attempt::id::AttemptId;
use crate::core::attempt::reports::{Report, Reports, same};
use crate::live::{Ask, Live, Next, NotTaken, ReportTaker, Reporter, ToStop};

/// How long a reporter waits until the watches have shown what its attempt is.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);
/// How long a reporter waits until its report is written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(8);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

type Wake = mpsc::Sender<ObjectRef<Task>>;

/// The values that taking reports uses.
pub struct Context {
    pub reads: Reads,
    /// Only pods of these namespaces are known.
    pub scope: Scope,
    pub cache: Arc<Cache>,
    pub live: Arc<Live>,
    pub records: Arc<Records>,
}

/// Takes reports until it is dropped.
pub async fn run(context: Context, wake: Wake, stop: CancellationToken) {
    let live = context.live.clone();
    let _taking = live.take_with(Arc::new(Taker { context, wake, stop }));
    future::pending::<()>().await;
}

pub(super) struct Taker {
    pub(super) context: Context,
    pub(super) wake: Wake,
    stop: CancellationToken,
}

impl ReportTaker for Taker {
    fn attempt_of<'a>(&'a self, reporter: &'a Reporter) -> BoxFuture<'a, Result<AttemptId, NotTaken>> {
        self.until_stopped(async { self.task_of(reporter).await.map(|task| AttemptId::of(&task)) })
    }

    fn take<'a>(&'a self, reporter: &'a Reporter, report: Report) -> BoxFuture<'a, Result<Option<ToStop>, NotTaken>> {
        self.until_stopped(async move {
            let task = self.task_of(reporter).await?;
            if report != Report::Heartbeat {
                self.keep(reporter, &task, report).await?;
            }
            Ok(self.fetch_stop(reporter, &task).await)
        })
    }

    fn next<'a>(&'a self, reporter: &'a Reporter, ask: Ask) -> BoxFuture<'a, Result<Next, NotTaken>> {
        self.until_stopped(async move { self.hand_in_and_ask(reporter, ask).await })
    }
}

impl Taker {
    async fn keep(&self, reporter: &Reporter, task: &Task, report: Report) -> Result<(), NotTaken> {
        let attempt = AttemptId::of(task);
        let before = self.context.live.keep(&attempt, &reporter.uid, report.clone());
        if !is_awaited(task, &before, &report) {
            self.look_at(task).await?;
        }
        match report {
            Report::Heartbeat | Report::Progress(_) => Ok(()),
            Report::Error(_) | Report::Result(_) => self.written(reporter, &attempt, &report).await,
        }
    }

    /// The reconciler ends when nobody can wake it any longer, so no report is waited for when the term is over.
    fn until_stopped<'a, T: Send + 'a>(
        &'a self,
        taking: impl Future<Output = Result<T, NotTaken>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, NotTaken>> {
        let taken = self.stop.run_until_cancelled(taking);
        taken.map(|taken| taken.unwrap_or(Err(NotTaken::NobodyLeads))).boxed()
    }

    /// The task on whose present attempt this pod is at work.
    async fn task_of(&self, reporter: &Reporter) -> Result<Arc<Task>, NotTaken> {
        if !self.context.scope.covers(&reporter.namespace) {
            return Err(NotTaken::Stranger);
        }
        let known = timeout(KNOWN_WITHIN, async {
            loop {
                match self.context.cache.lease_of(reporter) {
                    Some(Err(NotTaken::NotNow(_))) => {
                        sleep(BETWEEN_LOOKS).await;
                        continue;
                    }
                    Some(leased) => return leased,
                    None => {}
                }
                match self.context.cache.report_of(reporter) {
                    ReportOf::Present(task) => return Ok(task),
                    ReportOf::Over => return Err(NotTaken::Over),
                    ReportOf::Stranger => return Err(NotTaken::Stranger),
                    ReportOf::Unknown => self.find(reporter).await?,
                    ReportOf::TooSoon => sleep(BETWEEN_LOOKS).await,
                }
            }
        });
        known.await.unwrap_or(Err(NotTaken::NotNow("its task is not known well enough yet")))
    }

    /// A pod may report before the watch shows it.
    pub(super) async fn find(&self, reporter: &Reporter) -> Result<(), NotTaken> {
        let pods = self.context.reads.namespaced::<Pod>(&reporter.namespace);
        let found = self.context.reads.read(pods.get_opt(&reporter.pod)).await;
        let found = found.map_err(|_| NotTaken::NotNow("the API server does not answer"))?;
        match found.filter(|pod| pod.uid().as_ref() == Some(&reporter.uid)) {
            Some(pod) if self.context.cache.worker_found(&pod) || self.context.cache.pod_found(&pod) => Ok(()),
            Some(_) => Err(NotTaken::Stranger),
            // Its token outlives it by a few seconds.
            None => Err(NotTaken::Over),
        }
    }

    pub(super) async fn look_at(&self, task: &Task) -> Result<(), NotTaken> {
        look_at(&self.wake, task).await
    }

    /// Waits until the watch shows that the report is written.
    async fn written(&self, reporter: &Reporter, attempt: &AttemptId, report: &Report) -> Result<(), NotTaken> {
        let written = timeout(WRITTEN_WITHIN, async {
            loop {
                let task = self.task_of(reporter).await?;
                if AttemptId::of(&task) != *attempt {
                    return Err(NotTaken::Over);
                }
                if says(task.status_or_default(), report) {
                    return Ok(());
                }
                sleep(BETWEEN_LOOKS).await;
            }
        });
        written.await.unwrap_or(Err(NotTaken::NotNow("it could not be written to the task yet")))
    }
}

/// Has the task looked at. Where that takes too long the reporter is told so, but the task is in the line all the same, from
/// the first moment on: each sender has one place of its own. So what was kept of the report is written even if it comes
/// again and is then taken for awaited.
async fn look_at(wake: &Wake, task: &Task) -> Result<(), NotTaken> {
    let sent = timeout(KNOWN_WITHIN, wake.clone().send(ObjectRef::from_obj(task))).await;
    if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(NotTaken::NotNow("too much else is going on")) }
}

/// It says this already.
fn says(status: &TaskStatus, report: &Report) -> bool {
    match report {
        Report::Heartbeat => true,
        Report::Progress(progress) => status.progress.as_ref().is_some_and(|written| same(written, progress)),
        Report::Error(error) => status.reported_error.as_ref() == Some(error),
        Report::Result(result) => status.result_ref.as_ref() == Some(result),
    }
}

/// Somebody will look at the task anyway: a progress before this one waits for its time to be written.
fn is_awaited(task: &Task, before: &Reports, report: &Report) -> bool {
    let status = task.status_or_default();
    let unwritten = before.progress.clone().map(Report::Progress).is_some_and(|before| !says(status, &before));
    matches!(report, Report::Progress(_)) && unwritten
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;
    use crate::api::TaskSpec;

    #[tokio::test(start_paused = true)]
    async fn a_task_whose_reporter_waited_too_long_is_looked_at_all_the_same() {
        let (wake, woken) = mpsc::channel(1);
        let tasks = ["one", "two", "three", "four"].map(|name| Task::new(name, TaskSpec::default()));
        let mut refused = 0;
        for task in &tasks {
            refused += usize::from(look_at(&wake, task).await.is_err());
        }
        assert!(refused > 0, "the line is full");
        drop(wake);
        let names: Vec<String> = woken.map(|reference| reference.name).collect().await;
        assert_eq!(names, ["one", "two", "three", "four"]);
    }
}
