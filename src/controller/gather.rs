//! Reads everything that a decision depends on, beforehand.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::Context;
use super::cache::Gathered;
use super::calls::{CallError, within};
use crate::api::Task;
use crate::core::lifecycle;
use crate::core::observe::{self, JobFacts, Trouble};

/// How many of a Job's events are looked at for its last words.
const EVENTS: u32 = 20;

/// `None` while the watch still shows the task as it was before our own last write.
pub async fn gather(task: &Task, context: &Context, now: Timestamp) -> Result<Option<Gathered>, CallError> {
    let Some(mut gathered) = context.cache.gather(task) else { return Ok(None) };
    if let Some(job) = gathered.observed.without_pod(&lifecycle::job_name(task), now) {
        gathered.observed.no_pod = why_no_pod(task, job, context).await?;
    }
    Ok(Some(gathered))
}

/// The Job controller tells only in events why it could not make a pod.
async fn why_no_pod(task: &Task, job: &JobFacts, context: &Context) -> Result<Option<Trouble>, CallError> {
    let namespace = task.namespace().unwrap_or_default();
    let events = Api::<Event>::namespaced(context.client.clone(), &namespace);
    let fields = format!("involvedObject.uid={},reason=FailedCreate", job.uid);
    let found = within(events.list(&ListParams::default().fields(&fields).limit(EVENTS))).await?;
    let last = found.items.into_iter().max_by_key(ResourceExt::creation_timestamp);
    Ok(last.and_then(|event| event.message).map(|words| observe::no_pod(&words)))
}
