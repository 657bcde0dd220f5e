//! Waits for a watch until it has shown all that is there now, by a list of names and versions.

use std::time::{Duration, Instant};

use kube::api::{ListParams, ObjectMeta};
use kube::{Api, Resource};
use serde::Deserialize;

use super::page::{Asked, Content, Page, PageSize};
use crate::cluster::calls::{CallError, Reads};

/// How long to wait before trying again what the API server did not answer.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often it is asked whether the watch has caught up...
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// ...and for how long, before the list is read again: what has gone meanwhile is never shown.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);

/// Returns once `has_reached` holds of each object that is on a list which is read now. `what_for` names what waits.
pub async fn caught_up<K>(
    reads: &Reads,
    objects: &Api<K>,
    which: &ListParams,
    what_for: &str,
    has_reached: impl Fn(&ObjectMeta) -> bool,
) where
    K: Resource,
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
async fn try_once<K: Resource>(
    reads: &Reads,
    objects: &Api<K>,
    which: &ListParams,
    has_reached: &impl Fn(&ObjectMeta) -> bool,
) -> Result<bool, CallError> {
    let (client, mut token, mut size) = (reads.client(), None, PageSize::default());
    loop {
        let asked = Asked { url: objects.resource_url(), which, content: Content::Metadata };
        let mut page = Page::<Named>::ask(&client, asked, token, size).await?;
        let mut behind = vec![];
        while let Some(Named { metadata }) = page.next().await? {
            behind.push(metadata.into());
        }
        let began = Instant::now();
        loop {
            behind.retain(|object| !has_reached(object));
            if behind.is_empty() {
                break;
            }
            if began.elapsed() > CAUGHT_UP_WITHIN {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let end = page.end()?;
        (token, size) = (end.next, end.size);
        if token.is_none() {
            return Ok(true);
        }
    }
}

/// An object of which no more is read than which it is, and in which version.
#[derive(Deserialize)]
struct Named {
    metadata: Identity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
}

impl From<Identity> for ObjectMeta {
    fn from(Identity { name, namespace, uid, resource_version }: Identity) -> Self {
        Self { name, namespace, uid, resource_version, ..Self::default() }
    }
}
