//! Waits for a watch until it has shown all that is there now, by a list of names and versions.

use std::time::Duration;

use kube::api::{ListParams, ObjectMeta};
use kube::{Api, Resource};
use serde::Deserialize;
use tokio::time::Instant;

use super::Eye;
use super::page::{Asked, Content, Page, PageSize};
use crate::cluster::calls::{CallError, Reads};

/// How long to wait before trying again what the API server did not answer.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often it is asked whether the watch has caught up...
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// ...and for how long, before the list is read again: what has gone meanwhile is never shown.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);

/// Somebody who waits for a watch.
pub struct Waiting<'a> {
    /// It is named by this.
    pub what_for: &'a str,
    /// Told of a watch that stays behind, as of one that is broken: health says so, and a leader ends its term.
    pub eye: Eye,
}

/// Returns once `has_reached` holds of each object that is on a list which is read now.
pub async fn caught_up<K>(
    reads: &Reads,
    objects: &Api<K>,
    which: &ListParams,
    waiting: Waiting<'_>,
    has_reached: impl Fn(&ObjectMeta) -> bool,
) where
    K: Resource<DynamicType = ()>,
{
    let Waiting { what_for, eye } = waiting;
    let kind = K::kind(&());
    loop {
        match try_once(reads, objects, which, &eye, &has_reached).await {
            Ok(true) => return,
            Ok(false) => {
                tracing::warn!(what_for, "the watch is behind; waits for it");
                eye.breaks(format!("{what_for} waits for the watch of {kind}, which lags behind the API server"));
            }
            Err(error) => {
                tracing::warn!(what_for, %error, "failed to read what the watch must have shown; asks again");
                eye.breaks(format!(
                    "{what_for} waits for the watch of {kind}, and a list of what that must show failed: {error}"
                ));
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

/// False where the watch did not catch up in time.
async fn try_once<K: Resource<DynamicType = ()>>(
    reads: &Reads,
    objects: &Api<K>,
    which: &ListParams,
    eye: &Eye,
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
                eye.sees();
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use axum::http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Client;
    use kube::client::Body;
    use parking_lot::Mutex;
    use serde_json::json;
    use tower::service_fn;

    use super::*;
    use crate::cluster::watch::Sight;

    /// Lists one object, or fails with this code.
    fn server(code: Arc<Mutex<u16>>) -> Client {
        let server = service_fn(move |_: Request<Body>| {
            let code = *code.lock();
            let list = json!({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]});
            let failure = json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"});
            let body = if code == 200 { list } else { failure };
            let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(response.expect("a response")) }
        });
        Client::new(server, "docs")
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_others_wait_for_counts_as_blind_until_it_has_caught_up() {
        let (code, is_behind) = (Arc::new(Mutex::new(500)), Arc::new(Mutex::new(true)));
        let client = server(code.clone());
        let (sight, reads, objects) =
            (Arc::new(Sight::default()), Reads::new(client.clone()), Api::<ConfigMap>::all(client));
        let waiting = Waiting { what_for: "admission", eye: sight.eye() };
        let all = ListParams::default();
        let reached = caught_up(&reads, &objects, &all, waiting, |_| !*is_behind.lock());
        let told = |words: &'static str| {
            let mut trouble = sight.trouble();
            async move {
                let says = |told: &Option<String>| told.as_ref().is_some_and(|told| told.contains(words));
                trouble.wait_for(says).await.map(drop).expect("it is there");
            }
        };
        let turns = async {
            told("admission waits for the watch of ConfigMap, and a list").await;
            *code.lock() = 200;
            told("admission waits for the watch of ConfigMap, which lags behind").await;
            assert!(sight.blind_for().is_some(), "a leader ends its term by that");
            *is_behind.lock() = false;
        };
        tokio::time::timeout(2 * CAUGHT_UP_WITHIN, futures::future::join(reached, turns)).await.expect("it catches up");
        assert_eq!((sight.blind_for(), sight.trouble().borrow().clone()), (None, None));
    }
}
