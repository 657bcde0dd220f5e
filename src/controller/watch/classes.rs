//! Knows which PriorityClasses the cluster has. The first launch waits for the first look, which ends within its
//! deadline. Never decides which one a pod gets.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use crate::cluster::calls::{CallError, Reads};
use crate::cluster::rights::Right;

/// They change seldom.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);
/// After a look that failed.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// So many first looks may fail before pods are made without a class.
const MAY_FAIL: usize = 3;

/// The PriorityClasses that the cluster has; `None` before the first look.
#[derive(Clone, Default)]
pub struct PriorityClasses(watch::Sender<Option<BTreeSet<String>>>);

impl PriorityClasses {
    /// Waits for the first look.
    pub async fn known(&self) -> BTreeSet<String> {
        // It fails only where nobody can look any longer.
        let mut known = self.0.subscribe();
        known.wait_for(Option::is_some).await.ok().and_then(|known| known.clone()).unwrap_or_default()
    }
}

/// Looks at once, then again and again. Where they may not be read, or never can be, there are none.
pub async fn run(reads: Reads, classes: PriorityClasses) {
    let all = Api::<PriorityClass>::all(reads.client());
    let mut failed = 0;
    loop {
        let answer = reads.read(all.list(&ListParams::default())).await;
        reads.rights.note(Right::ListPriorityClasses, "", &answer);
        let pause = match answer {
            Ok(found) => {
                classes.0.send_replace(Some(found.iter().map(ResourceExt::name_any).collect()));
                BETWEEN_LOOKS
            }
            Err(error) => {
                tracing::debug!(%error, "failed to read the PriorityClasses");
                failed += 1;
                if matches!(error, CallError::Refused(_)) || failed >= MAY_FAIL {
                    classes.0.send_modify(|known| *known = Some(known.take().unwrap_or_default()));
                }
                TRY_AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}
