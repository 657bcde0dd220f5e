//! The wire as a part of the real client's HTTP stack: above what the client does to send a request.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, pending};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use kube::client::{Body, DynBody};
use kube::{Client, Config};
use serde_json::json;
use task_manager::cluster::client::builder;
use tower::buffer::{Buffer, BufferLayer};
use tower::{BoxError, Layer, Service, ServiceExt};

use super::point::{Asked, Kind};
use super::wire::{Fault, Wire};
use super::{behind, events, unreadable};

pub(super) type Answer = Result<Response<Box<DynBody>>, BoxError>;
/// Sends a request to the API server.
pub(super) type Sender = Buffer<Request<Body>, BoxFuture<'static, Answer>>;

pub(super) fn send(sender: &Sender, request: Request<Body>) -> BoxFuture<'static, Answer> {
    sender.clone().oneshot(request).boxed()
}

/// As many requests may wait to be sent as in kube's own client.
const WAITING: usize = 1024;

/// The client that an operator makes of `config`, with the wire in it, for one life of that operator. What overtakes a
/// request is asked for by somebody else.
pub fn client(config: Config, wire: Arc<Wire>, life: usize, somebody: Client) -> kube::Result<Client> {
    let builder = builder(config)?.with_layer(&BufferLayer::new(WAITING));
    Ok(builder.with_layer(&Wiring { wire, life, somebody }).build())
}

#[derive(Clone)]
struct Wiring {
    wire: Arc<Wire>,
    life: usize,
    somebody: Client,
}

impl Layer<Sender> for Wiring {
    type Service = Wired;

    fn layer(&self, sender: Sender) -> Wired {
        Wired { wiring: self.clone(), sender }
    }
}

#[derive(Clone)]
struct Wired {
    wiring: Wiring,
    sender: Sender,
}

impl Service<Request<Body>> for Wired {
    type Response = Response<Box<DynBody>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (Wiring { wire, life, somebody }, sender) = (self.wiring.clone(), self.sender.clone());
        async move {
            let answer = pass(&wire, life, &sender, &somebody, request).await;
            // An answer for somebody who is gone reaches nobody.
            if wire.is_alive(life) { answer } else { pending().await }
        }
        .boxed()
    }
}

async fn pass(wire: &Arc<Wire>, life: usize, sender: &Sender, somebody: &Client, request: Request<Body>) -> Answer {
    let asked = Asked::of(&request);
    if !wire.is_alive(life) {
        return pending().await;
    }
    if wire.is_cut() {
        return Err(broken());
    }
    let (place, fault) = wire.request(life, &asked);
    let spoiled = wire.unreadable_name(&asked.resource).filter(|_| asked.kind != Kind::Watch);
    let answer = match fault {
        None if asked.kind == Kind::Watch => watch(wire, life, sender, request, &asked.resource).await,
        None => send(sender, request).await,
        Some(fault) => suffer(wire, sender, somebody, request, fault).await,
    };
    let answer = match spoiled {
        Some(name) => unreadable::spoil(answer, name).await,
        None => answer,
    };
    let fate = answer.as_ref().map_or_else(ToString::to_string, |answer| answer.status().as_u16().to_string());
    wire.fate(place, &fate);
    answer
}

async fn watch(wire: &Arc<Wire>, life: usize, sender: &Sender, request: Request<Body>, resource: &str) -> Answer {
    let answer = match wire.begins_behind(resource) {
        Some(caught_up) => behind::watch(sender, request, caught_up)?,
        None => send(sender, request).await?,
    };
    Ok(answer.map(|body| events::pass(wire.clone(), life, resource, body)))
}

async fn suffer(wire: &Wire, sender: &Sender, somebody: &Client, request: Request<Body>, fault: Fault) -> Answer {
    match fault {
        Fault::NeverSent => pending().await,
        Fault::Answer(code) => Ok(made_up(code)),
        Fault::StopBefore => {
            wire.stop();
            pending().await
        }
        Fault::StopAfter => {
            send(sender, request).await?;
            wire.stop();
            pending().await
        }
        Fault::AnswerLost => {
            send(sender, request).await?;
            Err(broken())
        }
        Fault::AnswerHeld => {
            send(sender, request).await?;
            pending().await
        }
        Fault::CarriedOutBut(code) => {
            send(sender, request).await?;
            Ok(made_up(code))
        }
        Fault::Overtaken => {
            somebody.send(touch(&request)?).await?;
            send(sender, request).await
        }
    }
}

/// A connection that broke.
pub(super) fn broken() -> BoxError {
    io::Error::new(io::ErrorKind::ConnectionReset, "the wire was cut").into()
}

/// An answer that the API server never gave.
fn made_up(code: u16) -> Response<Box<DynBody>> {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "Timeout",
    };
    let mut answer = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    if code == 429 {
        answer = answer.header(header::RETRY_AFTER, "1");
    }
    let told = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": "made up by the wire"});
    answer.body(whole(told.to_string().into())).expect("an answer")
}

/// A body that is there at once.
pub(super) fn whole(text: Bytes) -> Box<DynBody> {
    Box::new(Full::new(text).map_err(|never: Infallible| match never {}))
}

/// A change to the same object that concerns nobody.
fn touch(request: &Request<Body>) -> Result<Request<Body>, http::Error> {
    let path = request.uri().path().trim_end_matches("/status");
    let change = json!({"metadata": {"annotations": {"touched-by": "somebody-else"}}});
    let patch = Request::builder().method(Method::PATCH).uri(path);
    patch.header(header::CONTENT_TYPE, "application/merge-patch+json").body(change.to_string().into_bytes().into())
}
