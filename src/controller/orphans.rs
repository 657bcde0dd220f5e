//! Removes Jobs and pods whose task is gone. Their owner references do that in the ordinary case; this is for a
//! task that was deleted with its children spared.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::Context;
use super::children::{Child, Kind};
use super::removal::{only, remove};

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
            sweep(orphan, &context).await;
        }
        seen_before = seen;
        tokio::time::sleep(BETWEEN_SWEEPS).await;
    }
}

async fn sweep(orphan: &Child, context: &Context) {
    let Child { kind, namespace, name, uid } = orphan;
    let removed = match kind {
        Kind::Job => remove::<Job>(namespace, name, only(uid), context).await,
        Kind::Pod => remove::<Pod>(namespace, name, only(uid), context).await,
    };
    match removed {
        Ok(()) => tracing::info!(namespace, ?kind, name, "removed what a task left that is gone"),
        Err(error) => {
            tracing::warn!(namespace, ?kind, name, %error, "failed to remove what a task left that is gone; will try again")
        }
    }
}
