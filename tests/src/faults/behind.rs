//! A watch as an API server answers it whose own caches lag: what comes, comes later. What asks for the newest state,
//! as a list does, gets it all the same.

use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use tower::BoxError;

use super::events::of_chunks;
use super::layer::{Answer, Sender, send};

/// Answers `request`, a watch, at once; and tells what there is to tell so much later.
pub(super) fn watch(sender: &Sender, request: Request<Body>, lag: Duration) -> Answer {
    let sender = sender.clone();
    let later = stream::once(async move {
        tokio::time::sleep(lag).await;
        Ok::<_, BoxError>(send(&sender, request).await?.into_body().into_data_stream().boxed())
    });
    Ok(Response::new(of_chunks(later.try_flatten().boxed())))
}
