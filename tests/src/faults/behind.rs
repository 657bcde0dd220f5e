//! A watch of an API server whose caches lag: events arrive late. Requests for the newest state, such as lists, are
//! not delayed.

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use tower::BoxError;

use super::events::of_chunks;
use super::layer::{Answer, Sender, send};

/// Answers the watch `request` at once, and delivers its events only when `caught_up` is over.
pub(super) fn watch(sender: &Sender, request: Request<Body>, caught_up: BoxFuture<'static, ()>) -> Answer {
    let sender = sender.clone();
    let later = stream::once(async move {
        caught_up.await;
        Ok::<_, BoxError>(send(&sender, request).await?.into_body().into_data_stream().boxed())
    });
    Ok(Response::new(of_chunks(later.try_flatten().boxed())))
}
