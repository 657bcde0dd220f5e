//! Where the log of an attempt is: with its pod, which only the Job of that attempt may have made, or in the archive.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::core::Status;

use crate::api::{Reason, State, Task};
use crate::cluster::calls::{CallError, Reads};
use crate::core::attempt::facts::{JobFacts, LogOf, Observed, PodFacts};
use crate::rest::api_server::away;
use crate::rest::find::Finder;
use crate::rest::index::IndexedTask;
use crate::serving::problem::{Problem, ProblemType};

pub enum Source {
    Live(LogOf),
    Archived(String),
}

/// Finds the log of this attempt.
pub async fn find(finder: &Finder, reads: &Reads, known: &IndexedTask, attempt: i32) -> Result<Source, Problem> {
    let pod = match finder.in_cluster(known).await? {
        Some(task) => pod_of(reads, &task, attempt).await,
        None => Ok(None),
    };
    match pod {
        Ok(Some((observed, pod))) => match observed.log_of(&pod) {
            Some(log_of) => Ok(Source::Live(log_of)),
            None => Err(nothing_yet(known)),
        },
        Ok(None) => archived(finder, known, attempt).await.map(Source::Archived),
        Err(problem) => archived(finder, known, attempt).await.map(Source::Archived).map_err(|_| problem),
    }
}

/// The pod of this attempt, if it is there: the newest that its Job made.
async fn pod_of(reads: &Reads, task: &Task, attempt: i32) -> Result<Option<(Observed, String)>, Problem> {
    let namespace = task.metadata.namespace.as_deref().unwrap_or_default();
    let of_task = ListParams::default().labels(&Observed::selector(task));
    let (jobs, pods) = (reads.namespaced::<Job>(namespace), reads.namespaced::<Pod>(namespace));
    let (jobs, pods) = futures::join!(reads.read(jobs.list(&of_task)), reads.read(pods.list(&of_task)));
    let jobs = jobs.map_err(not_read)?.items.iter().map(JobFacts::of).collect();
    let pods = pods.map_err(not_read)?.items.iter().map(PodFacts::of).collect();
    Ok(Observed::of_attempt(task, attempt, jobs, pods))
}

/// The log, as the pod's node hands it out. `None`: the pod is gone.
pub async fn open(
    reads: &Reads,
    namespace: &str,
    log_of: &LogOf,
    lines: u32,
    follow: bool,
) -> Result<impl futures::AsyncBufRead + Send + use<>, Option<Problem>> {
    let which = LogParams {
        container: Some(log_of.container.clone()),
        tail_lines: Some(lines.into()),
        follow,
        ..LogParams::default()
    };
    let pods = reads.namespaced::<Pod>(namespace);
    reads.read(pods.log_stream(&log_of.pod, &which)).await.map_err(|error| match error {
        CallError::NotFound => None,
        CallError::Refused(status) if status.code == 400 => Some(not_there(&status)),
        error => Some(not_read(error)),
    })
}

/// The kubelet's words for a container that has written nothing.
fn not_there(status: &Status) -> Problem {
    ProblemType::NoLog.because(format!("there is no log yet: {}", status.message))
}

fn not_read(error: CallError) -> Problem {
    match error {
        CallError::Refused(status) if status.code == 403 => ProblemType::LogsForbidden.because(format!(
            "the operator lacks a right: {}; whoever installed it gives it get on pods/log, and list on pods and jobs",
            status.message
        )),
        error => {
            tracing::warn!(%error, "a log that a REST client asked for could not be read");
            match error {
                CallError::Failed(_) => {
                    ProblemType::NodeAway.because("the pod's node does not hand out its log; ask again in a moment")
                }
                _ => away(),
            }
        }
    }
}

/// The end of the log as the archive has it: of an attempt that failed, or the last one of a task that did.
pub async fn archived(finder: &Finder, known: &IndexedTask, attempt: i32) -> Result<String, Problem> {
    let is_last = attempt == known.head.attempt;
    if let Some(log) = finder.attempt_log(known, attempt).await? {
        return Ok(log);
    }
    if !known.state.is_final() {
        return Err(if is_last && known.state == State::Processing { nothing_yet(known) } else { gone(attempt) });
    }
    let record = match finder.record_of(known).await {
        Err(problem) if problem.is(ProblemType::RecordGone) => return Err(gone(attempt)),
        record => record?,
    };
    record.details.log.filter(|_| is_last && record.summary.attempt == attempt).ok_or_else(|| gone(attempt))
}

fn gone(attempt: i32) -> Problem {
    ProblemType::LogGone.because(format!(
        "the pod of attempt {attempt} is gone; kept are the last lines of attempts that failed, of the last ten of a run"
    ))
}

/// Nothing was launched, or nothing of it has begun.
pub fn nothing_yet(known: &IndexedTask) -> Problem {
    let head = &known.head;
    if known.state.is_final() {
        return ProblemType::LogGone.because("no container of it has started: there is no log");
    }
    let why = head.message.as_deref().unwrap_or_else(|| Reason::sentence(head.reason));
    let state = known.state.to_string().to_lowercase();
    ProblemType::NoLog.because(format!("there is no log yet: it is {state}, {}: {why}", head.reason))
}
