//! Removes Jobs and pods whose task is gone. Their owner references do that in the ordinary case; this is for a
//! task that was deleted with its children spared. Never removes what has an owner that is there, whatever the watches
//! have shown of it.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::Context;
use super::calls::CallError;
use super::children::{Child, Kind};
use super::removal::{Removal, only, remove};
use crate::api::Task;

/// An orphan that is seen twice, so far apart, is one that the garbage collector does not take.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(10);

pub async fn run(context: Arc<Context>) {
    if !context.is_ready().await {
        return;
    }
    let mut seen_before = HashSet::new();
    loop {
        let seen = context.cache.orphans();
        for orphan in seen.intersection(&seen_before) {
            if let Err(error) = sweep(orphan, &context).await {
                let Child { kind, namespace, name, .. } = orphan;
                tracing::warn!(namespace, ?kind, name, %error, "failed to remove what a task left that is gone; will try again");
            }
        }
        seen_before = seen;
        tokio::time::sleep(BETWEEN_SWEEPS).await;
    }
}

async fn sweep(orphan: &Child, context: &Context) -> Result<(), CallError> {
    let Child { kind, namespace, name, uid } = orphan;
    let is_owned = match kind {
        Kind::Job => has_owner::<Job, Task>(orphan, context).await?,
        Kind::Pod => has_owner::<Pod, Job>(orphan, context).await?,
    };
    if is_owned {
        return Ok(());
    }
    let removal = match kind {
        Kind::Job => remove::<Job>(namespace, name, only(uid), context).await?,
        Kind::Pod => remove::<Pod>(namespace, name, only(uid), context).await?,
    };
    if removal == Removal::Asked {
        tracing::info!(namespace, ?kind, name, "removed what a task left that is gone");
    }
    Ok(())
}

/// Whether this child has an owner of kind `O` that is there, by the API server's word on both; also when it is gone
/// itself.
async fn has_owner<K, O>(orphan: &Child, context: &Context) -> Result<bool, CallError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    O: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let Some(child) = metadata::<K>(&orphan.namespace, &orphan.name, context).await? else { return Ok(true) };
    let owners = child.owner_references.unwrap_or_default();
    let Some(owner) = owners.into_iter().find(|owner| owner.kind == O::kind(&())) else { return Ok(false) };
    let there = metadata::<O>(&orphan.namespace, &owner.name, context).await?;
    Ok(there.is_some_and(|there| there.uid == Some(owner.uid)))
}

async fn metadata<K>(namespace: &str, name: &str, context: &Context) -> Result<Option<ObjectMeta>, CallError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let objects = Api::<K>::namespaced(context.client.clone(), namespace);
    Ok(context.calls.read(objects.get_metadata_opt(name)).await?.map(|found| found.metadata))
}
