//! Waits for a watch until it has shown all that is there now, by a list of names and versions.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use kube::api::{ListParams, ObjectMeta};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::cluster::calls::{CallError, Reads};

/// How long to wait before trying again what the API server did not answer.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often it is asked whether the watch has caught up...
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// ...and for how long, before the list is read again: what has gone meanwhile is never shown.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);
/// So many names are asked for at once.
const PAGE: u32 = 500;

/// Returns once `has_reached` holds of each object that is on a list which is read now. `what_for` names what waits.
pub async fn caught_up<K>(
    reads: &Reads,
    objects: &Api<K>,
    which: &ListParams,
    what_for: &str,
    has_reached: impl Fn(&ObjectMeta) -> bool,
) where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    loop {
        match try_once(reads, objects, which, &has_reached).await {
            Ok(true) => return,
            Ok(false) => tracing::warn!(what_for, "the watch is behind; waits for it"),
            Err(error) => {
                tracing::warn!(what_for, %error, "failed to read what the watch must have shown; asks again");
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

/// False where the watch did not catch up in time.
async fn try_once<K>(
    reads: &Reads,
    objects: &Api<K>,
    which: &ListParams,
    has_reached: &impl Fn(&ObjectMeta) -> bool,
) -> Result<bool, CallError>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut page = ListParams { limit: Some(PAGE), ..which.clone() };
    loop {
        let list = reads.read(objects.list_metadata(&page)).await?;
        let began = Instant::now();
        while !list.items.iter().all(|object| has_reached(&object.metadata)) {
            if began.elapsed() > CAUGHT_UP_WITHIN {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
        if page.continue_token.is_none() {
            return Ok(true);
        }
    }
}
