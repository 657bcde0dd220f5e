//! Knows which PriorityClasses the cluster has. The first launch waits for the first look, which ends within its
//! deadline. Never decides which one a pod gets.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::controller::Context;

/// They change seldom.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);
/// After a look that failed.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Looks once at once, then again and again. Where they may not be read, there are none.
pub async fn run(context: Arc<Context>) {
    let classes = Api::<PriorityClass>::all(context.client.clone());
    loop {
        let pause = match context.calls.read(classes.list(&ListParams::default())).await {
            Ok(found) => {
                context.classes.send_replace(Some(found.iter().map(ResourceExt::name_any).collect()));
                BETWEEN_LOOKS
            }
            Err(error) => {
                tracing::debug!(%error, "failed to read the PriorityClasses");
                context.classes.send_modify(|known| *known = Some(known.take().unwrap_or_default()));
                TRY_AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}
