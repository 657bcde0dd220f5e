//! Knows which PriorityClasses the cluster has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::Context;

/// They change seldom.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// Looks once at once, then again and again. Where they may not be read, there are none.
pub async fn run(context: Arc<Context>) {
    let classes = Api::<PriorityClass>::all(context.client.clone());
    loop {
        match context.calls.read(classes.list(&ListParams::default())).await {
            Ok(found) => {
                let names: BTreeSet<_> = found.iter().map(ResourceExt::name_any).collect();
                context.classes.send_if_modified(|known| {
                    let changed = *known != names;
                    *known = names;
                    changed
                });
            }
            Err(error) => tracing::debug!(%error, "failed to read the PriorityClasses"),
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
