//! Removes Jobs and pods whose task is gone. The garbage collector does that in the ordinary case; this is for a task
//! that was deleted with its children orphaned. Never removes a Job or pod whose owner is there, by the API server's word;
//! but where that owner is none of ours, whatever it makes holds no slot, whatever its labels and annotations say.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;

use crate::api::Task;
use crate::cluster::calls::{CallError, Calls, Reads};
use crate::controller::cache::Cache;
use crate::controller::cache::children::{Child, ChildKind};
use crate::controller::reconcile::delete::{Removal, only, remove};
use crate::core::launch::names;

/// An orphan that is seen twice, so far apart, is one that the garbage collector does not take.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(10);
/// How many Jobs and pods of tasks that are gone are looked for in a sweep.
const ASKED_FOR: usize = 50;
/// How many are removed in a sweep, and at once: then it is looked anew which of them are still there.
const REMOVED: usize = 500;
const AT_ONCE: usize = 8;

pub async fn run(cache: Arc<Cache>, calls: Calls) {
    let mut seen_before = HashSet::new();
    let mut lingered_before = HashSet::new();
    loop {
        let (lingering, seen) = (cache.lingering(), cache.orphans());
        let only_lingers = |child: &&Child| !seen.contains(child);
        for child in lingering.intersection(&lingered_before).filter(only_lingers).take(ASKED_FOR) {
            if let Err(error) = look_for(child, &cache, &calls.reads).await {
                let Child { kind, namespace, name, .. } = child;
                tracing::debug!(namespace, ?kind, name, %error, "failed to look for it; will try again");
            }
        }
        lingered_before = lingering;
        let orphans: Vec<Child> = seen.intersection(&seen_before).take(REMOVED).cloned().collect();
        let removals = orphans.into_iter().map(|orphan| remove_orphan(orphan, &cache, &calls));
        stream::iter(removals).buffer_unordered(AT_ONCE).collect::<()>().await;
        seen_before = seen;
        tokio::time::sleep(BETWEEN_SWEEPS).await;
    }
}

/// An answer to our own request may come after the watch has shown the end of what it tells of, which then counts as there
/// for good.
async fn look_for(child: &Child, cache: &Cache, reads: &Reads) -> Result<(), CallError> {
    let Child { kind, namespace, name, uid } = child;
    let found = match kind {
        ChildKind::Job => metadata::<Job>(namespace, name, reads).await?,
        ChildKind::Pod => metadata::<Pod>(namespace, name, reads).await?,
    };
    if found.and_then(|found| found.uid).as_ref() != Some(uid) {
        cache.child_not_there(child);
    }
    Ok(())
}

async fn remove_orphan(orphan: Child, cache: &Cache, calls: &Calls) {
    if let Err(error) = look_and_remove(&orphan, cache, calls).await {
        let Child { kind, namespace, name, .. } = &orphan;
        tracing::warn!(namespace, ?kind, name, %error, "failed to remove what a task left that is gone; will try again");
    }
}

/// Removes it unless its owner is there after all.
async fn look_and_remove(orphan: &Child, cache: &Cache, calls: &Calls) -> Result<(), CallError> {
    let Child { kind, namespace, name, uid } = orphan;
    let owner = match kind {
        ChildKind::Job => owner_of::<Job, Task>(orphan, is_task, &calls.reads).await?,
        ChildKind::Pod => match owner_of::<Pod, Job>(orphan, is_job_of, &calls.reads).await? {
            // A bare pod's owner is the task.
            Owner::Stranger { .. } => owner_of::<Pod, Task>(orphan, is_task, &calls.reads).await?,
            owner => owner,
        },
    };
    match owner {
        Owner::There => return Ok(()),
        Owner::WithoutChild => {
            cache.child_not_there(orphan);
            return Ok(());
        }
        Owner::Stranger { task, owner } => {
            tracing::warn!(namespace, ?kind, name, "is called ours and is not: it holds no slot");
            cache.disown(&task, if *kind == ChildKind::Job { uid } else { &owner });
            return Ok(());
        }
        Owner::Gone => {}
    }
    let removal = match kind {
        ChildKind::Job => remove::<Job>(namespace, name, only(uid), calls).await?,
        ChildKind::Pod => remove::<Pod>(namespace, name, only(uid), calls).await?,
    };
    if removal == Removal::Asked {
        tracing::info!(namespace, ?kind, name, "removed what a task left that is gone");
    }
    Ok(())
}

/// The owner of a Job or pod that bears our labels.
enum Owner {
    /// Ours.
    There,
    /// Not asked for: the child itself is not there.
    WithoutChild,
    /// Somebody who is none of ours, and whatever task the child names.
    Stranger { task: String, owner: String },
    /// Nobody who is there.
    Gone,
}

/// The task with this uid.
fn is_task(owner: &ObjectMeta, task: &str) -> bool {
    owner.uid.as_deref() == Some(task)
}

/// A Job as we make them, of the task with this uid.
fn is_job_of(owner: &ObjectMeta, task: &str) -> bool {
    let label = owner.labels.as_ref().and_then(|labels| labels.get(names::LABEL_TASK_UID));
    let holds = owner.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(names::ANNOTATION_HOLDS));
    holds && label.is_some_and(|label| label == task)
}

/// The owner of this child, by the API server's word on both. Whoever may make Jobs can give the pods of one whatever
/// labels and annotations we use.
async fn owner_of<K, O>(
    orphan: &Child,
    is_ours: fn(&ObjectMeta, &str) -> bool,
    reads: &Reads,
) -> Result<Owner, CallError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    O: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let found = metadata::<K>(&orphan.namespace, &orphan.name, reads).await?;
    let is_it = |found: &ObjectMeta| found.uid.as_ref() == Some(&orphan.uid);
    let Some(child) = found.filter(is_it) else { return Ok(Owner::WithoutChild) };
    let task = child.labels.unwrap_or_default().remove(names::LABEL_TASK_UID).unwrap_or_default();
    let owners = child.owner_references.unwrap_or_default();
    let kind = O::kind(&());
    // Other products have kinds of these names too.
    let is_of_kind = |owner: &OwnerReference| {
        owner.kind == kind && owner.api_version.split('/').next() == Some(O::group(&()).as_ref())
    };
    let Some(owner) = owners.iter().find(|owner| is_of_kind(owner)).or(owners.first()).cloned() else {
        return Ok(Owner::Gone);
    };
    if !is_of_kind(&owner) {
        return Ok(Owner::Stranger { task, owner: owner.uid });
    }
    let there = metadata::<O>(&orphan.namespace, &owner.name, reads).await?;
    Ok(match there.filter(|there| there.uid.as_ref() == Some(&owner.uid)) {
        None => Owner::Gone,
        Some(there) if is_ours(&there, &task) => Owner::There,
        Some(_) => Owner::Stranger { task, owner: owner.uid },
    })
}

async fn metadata<K>(namespace: &str, name: &str, reads: &Reads) -> Result<Option<ObjectMeta>, CallError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let objects = reads.namespaced::<K>(namespace);
    Ok(reads.read(objects.get_metadata_opt(name)).await?.map(|found| found.metadata))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use axum::http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use kube::runtime::reflector;
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use tokio::sync::watch;
    use tokio::time::timeout;
    use tower::service_fn;

    use super::*;
    use crate::cluster::lease::Election;
    use crate::core::Settings;

    const SPACE: &str = "docs";
    const HOLDS: &str = r#"{"queue":"default","type":"work","priority":"normal","resources":{}}"#;
    const A_DELETION: Duration = Duration::from_millis(20);

    /// The Job of a task that is not there, and names no owner.
    fn job(name: &str) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": SPACE, "uid": name,
            "labels": {names::LABEL_TASK_UID: format!("task-of-{name}")}, "annotations": {names::ANNOTATION_HOLDS: HOLDS}}})
    }

    /// Has the Jobs that are asked for, and a Lease; notes what is deleted.
    fn server(deleted: Arc<Mutex<HashSet<String>>>) -> Client {
        let answer = move |request: Request<Body>| {
            let deleted = deleted.clone();
            async move {
                let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
                let body = match name.as_str() {
                    "lease" => {
                        json!({"metadata": {"name": name, "resourceVersion": "7"}, "spec": {"holderIdentity": "me"}})
                    }
                    name => job(name),
                };
                if request.method() == "DELETE" {
                    tokio::time::sleep(A_DELETION).await;
                    deleted.lock().insert(name);
                }
                Ok::<_, Infallible>(Response::new(Body::from(body.to_string().into_bytes())))
            }
        };
        Client::new(service_fn(answer), SPACE)
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_orphans_so_many_go_in_a_sweep_several_at_once() {
        let deleted = Arc::new(Mutex::new(HashSet::new()));
        let client = server(deleted.clone());
        let cache = Arc::new(Cache::new(reflector::store().0, Settings::default()));
        for number in 0..REMOVED + 100 {
            let job: Job = serde_json::from_value(job(&format!("job-{number}"))).expect("a Job");
            cache.job_seen(&job);
        }
        let election = Election::new(client.clone(), SPACE, "lease", "me", BTreeMap::new());
        election.win(&watch::Sender::new(false)).await;
        let calls = Calls::new(Reads::new(client), election.leadership(), Arc::default());
        let running = run(cache, calls);
        tokio::pin!(running);
        let after_the_first = BETWEEN_SWEEPS + Duration::from_secs(5);
        assert!(timeout(after_the_first, &mut running).await.is_err());
        assert_eq!(deleted.lock().len(), REMOVED, "they were seen twice");
    }
}
