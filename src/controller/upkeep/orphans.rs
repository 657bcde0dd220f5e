//! Removes Jobs and pods whose task is gone. The garbage collector does that in the ordinary case; this is for a task
//! that was deleted with its children orphaned. Never removes a Job or pod whose owner is there, by the API server's word;
//! but where that owner is none of ours, whatever it makes holds no slot, whatever its labels and annotations say.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

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
        for orphan in seen.intersection(&seen_before) {
            if let Err(error) = sweep(orphan, &cache, &calls).await {
                let Child { kind, namespace, name, .. } = orphan;
                tracing::warn!(namespace, ?kind, name, %error, "failed to remove what a task left that is gone; will try again");
            }
        }
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

async fn sweep(orphan: &Child, cache: &Cache, calls: &Calls) -> Result<(), CallError> {
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
