//! Names for all that passes the wire: each request and watch event has a label that is the same in every run of a
//! story, and a number among those with its label. A fault names the point at which it strikes.

use std::fmt::{Display, Formatter};
use std::time::Duration;

use futures::FutureExt;
use http::{Method, Request};
use kube::client::Body;
use serde_json::Value;

/// The place of one request or watch event in an operator's life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    pub kind: Kind,
    pub label: String,
    /// 1 for the first one of this label.
    pub occurrence: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Read,
    Write,
    /// A request about the Lease that changes nothing.
    LeaseRead,
    LeaseWrite,
    /// The beginning of a watch.
    Watch,
    /// A line in the answer of a watch.
    Event,
}

impl Kind {
    pub fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::LeaseWrite)
    }
}

impl Display for Point {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}.)", self.label, self.occurrence)
    }
}

/// In the query of lists and watches of the pods of worker pools, which are apart from those of tasks.
const OF_POOLS: &str = "labelSelector=taskmanager.dev%2Fpool";

/// The verb, resource and object of a request.
pub(super) struct Asked {
    pub kind: Kind,
    pub label: String,
    /// Such as "tasks"; "workers" for lists and watches of the pods of worker pools.
    pub resource: String,
    /// Whether the watch also delivers present objects, not only changes.
    pub is_list: bool,
    /// How long it lets the API server take.
    pub allowed: Option<Duration>,
}

impl Asked {
    pub fn of(request: &Request<Body>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let method = request.method();
        let path = Path::of(request.uri().path());
        let resource = if query.contains(OF_POOLS) { "workers" } else { path.resource };
        let is_watch = query.contains("watch=true");
        let kind = match (*method == Method::GET, path.resource) {
            (true, _) if is_watch => Kind::Watch,
            (true, "leases") => Kind::LeaseRead,
            (true, _) => Kind::Read,
            (false, "leases") => Kind::LeaseWrite,
            // It asks, and changes nothing.
            (false, _) if query.contains("dryRun") => Kind::Read,
            (false, _) => Kind::Write,
        };
        let verb = match (is_watch, path.name) {
            (true, _) => "WATCH",
            (false, None) if *method == Method::GET => "LIST",
            _ => method.as_str(),
        };
        let mut label = format!("{verb} {resource}");
        for part in [path.name.map(stem), path.subresource].into_iter().flatten() {
            label.push('/');
            label.push_str(part);
        }
        if query.contains("dryRun") {
            label.push_str(" dry run");
        } else if let Some(about) = about(request) {
            label.push(' ');
            label.push_str(&about);
        }
        let is_list = verb == "LIST";
        Self { kind, label, resource: resource.to_owned(), is_list, allowed: allowed(query) }
    }
}

fn allowed(query: &str) -> Option<Duration> {
    let milliseconds = query.split('&').find_map(|part| part.strip_prefix("timeout=")?.strip_suffix("ms"))?;
    milliseconds.parse().ok().map(Duration::from_millis)
}

struct Path<'a> {
    resource: &'a str,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

impl<'a> Path<'a> {
    /// `/api/v1/…` or `/apis/GROUP/VERSION/…`, within a namespace or not.
    fn of(path: &'a str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let skipped = if parts.first() == Some(&"api") { 2 } else { 3 };
        let within = match parts.get(skipped..).unwrap_or_default() {
            ["namespaces", _, within @ ..] if !within.is_empty() => within,
            all => all,
        };
        let part = |number: usize| within.get(number).copied();
        Self { resource: part(0).unwrap_or_default(), name: part(1), subresource: part(2) }
    }
}

/// The part of a body in a label: the state of a status, or the name of a new object.
fn about(request: &Request<Body>) -> Option<String> {
    // It is there already: nothing is waited for.
    let bytes = request.body().try_clone()?.collect_bytes().now_or_never()?.ok()?;
    let body: Value = serde_json::from_slice(&bytes).ok()?;
    let word = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    match *request.method() {
        Method::POST => word("/metadata/name").map(stem).or_else(|| word("/reason")).map(str::to_owned),
        _ => word("/status/state").map(str::to_owned),
    }
}

/// A child's name begins with that of its task, and goes on with what differs in every run.
fn stem(name: &str) -> &str {
    name.split(['-', '.']).next().unwrap_or(name)
}

/// The label of a line of a watch, such as "MODIFIED Pod one".
pub(super) fn label_of_event(line: &[u8]) -> String {
    let event: Value = serde_json::from_slice(line).unwrap_or_default();
    let word = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let label = format!("{} {} {}", word("/type"), word("/object/kind"), stem(word("/object/metadata/name")));
    label.trim_end().to_owned()
}
