//! Removes Jobs whose task is gone. Their owner references do that in the ordinary case; this is for a task
//! that was deleted with its children spared.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};

use super::Context;
use super::cache::Orphan;

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
            remove(orphan, &context).await;
        }
        seen_before = seen;
        tokio::time::sleep(BETWEEN_SWEEPS).await;
    }
}

async fn remove(orphan: &Orphan, context: &Context) {
    let jobs = Api::<Job>::namespaced(context.client.clone(), &orphan.namespace);
    let only_this = Preconditions { uid: Some(orphan.uid.clone()), resource_version: None };
    let how = DeleteParams::background().preconditions(only_this);
    let deleted = context.calls.write("delete", jobs.delete(&orphan.job, &how)).await;
    match deleted {
        Ok(_) => tracing::info!(namespace = orphan.namespace, job = orphan.job, "removed a Job whose task is gone"),
        Err(error) => {
            tracing::warn!(namespace = orphan.namespace, job = orphan.job, %error, "failed to remove a Job whose task is gone; will try again")
        }
    }
}
