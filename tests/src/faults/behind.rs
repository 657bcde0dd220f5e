//! A watch as an API server answers it whose own caches lag: what comes, comes later. What asks for the newest state,
//! as a list does, gets it all the same.

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use tower::BoxError;

use super::events::of_chunks;
use super::layer::{Answer, Sender, send};

/// Answers `request`, a watch, at once; and tells what there is to tell only when `caught_up` is over.
pub(super) fn watch(sender: &Sender, request: Request<Body>, caught_up: BoxFuture<'static, ()>) -> Answer {
    let sender = sender.clone();
    let later = stream::once(async move {
        caught_up.await;
        Ok::<_, BoxError>(send(&sender, request).await?.into_body().into_data_stream().boxed())
    });
    Ok(Response::new(of_chunks(later.try_flatten().boxed())))
}
