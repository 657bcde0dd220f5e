//! A watch as an API server answers it whose own caches lag: a list that is streamed with it is from the past, and
//! what came since follows later. What asks for the newest state, as a plain list does, gets it all the same.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

use super::events::{Chunk, of_chunks};
use super::layer::{Answer, Sender, send};

/// What a list at an exact version must not ask for, and what a watch from there must not.
const OF_A_STREAMED_LIST: [&str; 3] = ["sendInitialEvents", "resourceVersionMatch", "resourceVersion"];
const OF_A_WATCH: [&str; 3] = ["watch", "allowWatchBookmarks", "timeoutSeconds"];

/// Answers `request`, a watch: a list that it asks for is the one of `version`, and changes come `lag` later.
pub(super) async fn watch(sender: &Sender, request: Request<Body>, version: &str, lag: Duration) -> Answer {
    let streams_a_list = request.uri().query().is_some_and(|query| query.contains("sendInitialEvents=true"));
    let (initial, since) = match streams_a_list {
        true => (
            list_at(sender, request.uri(), version).await?,
            format!("{}&resourceVersion={version}", without(request.uri(), &OF_A_STREAMED_LIST)),
        ),
        false => (vec![], request.uri().to_string()),
    };
    let later = stream::once(watch_later(sender.clone(), since, lag)).try_flatten();
    Ok(Response::new(of_chunks(stream::iter(initial).map(Ok).chain(later).boxed())))
}

async fn list_at(sender: &Sender, uri: &Uri, version: &str) -> Result<Vec<Bytes>, BoxError> {
    let plain = without(uri, &[OF_A_STREAMED_LIST.as_slice(), OF_A_WATCH.as_slice()].concat());
    let at_version = format!("{plain}&resourceVersion={version}&resourceVersionMatch=Exact");
    let list = send(sender, get(&at_version)?).await?.into_body().collect().await?.to_bytes();
    Ok(initial_events(&serde_json::from_slice(&list)?))
}

async fn watch_later(sender: Sender, uri: String, lag: Duration) -> Result<BoxStream<'static, Chunk>, BoxError> {
    tokio::time::sleep(lag).await;
    Ok(send(&sender, get(&uri)?).await?.into_body().into_data_stream().boxed())
}

/// Path and query without these parameters; ends so that more can be appended.
fn without(uri: &Uri, parameters: &[&str]) -> String {
    let is_kept = |part: &&str| !parameters.contains(&part.split('=').next().unwrap_or_default());
    let kept: Vec<&str> = uri.query().unwrap_or_default().split('&').filter(is_kept).collect();
    format!("{}?{}", uri.path(), kept.join("&"))
}

fn get(uri: &str) -> Result<Request<Body>, http::Error> {
    Request::get(uri).body(Body::empty())
}

fn initial_events(list: &Value) -> Vec<Bytes> {
    let kind = list["kind"].as_str().unwrap_or_default().trim_end_matches("List");
    let version = &list["apiVersion"];
    let items = list["items"].as_array().into_iter().flatten().cloned().map(|mut item| {
        item["kind"] = kind.into();
        item["apiVersion"] = version.clone();
        json!({"type": "ADDED", "object": item})
    });
    let end = json!({"resourceVersion": list["metadata"]["resourceVersion"],
        "annotations": {"k8s.io/initial-events-end": "true"}});
    let end = json!({"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": version, "metadata": end}});
    items.chain([end]).map(|event| format!("{event}\n").into()).collect()
}
