//! Requests to the API server: each has a deadline, and its error says what to do. Watches and logs, which have no
//! single answer, have rooms of their own.

use std::fmt::{Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use kube::core::{NamespaceResourceScope, Status};
use kube::{Api, Client, Resource};

use super::lease::Leadership;
use super::rights::Rights;
use crate::errors::chain;
use crate::metrics::Metrics;

/// No request may take longer.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long the API server has for a request: a parameter of its URL. It counts from when the API server has received the
/// head of the request, queues included, and nothing is written after it. So a write that waits there ends with the lease
/// that it was sent under, also where nobody can tell the API server that its sender gave it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLeft(Duration);

impl Display for TimeLeft {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        // The API server takes 0 for no bound of ours.
        write!(f, "timeout={}ms", self.0.as_millis().max(1))
    }
}

/// Why a request failed, by what the caller should do about it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The object is not there, or no longer: nothing is left to do.
    #[error("not found")]
    NotFound,
    /// The object changed meanwhile: look again.
    #[error("it changed meanwhile")]
    Conflict,
    /// It was said to have changed, and has not: try again.
    #[error("the API server said that it changed meanwhile, and it has not")]
    NoConflict,
    /// An object of that name exists: look whose it is.
    #[error("it exists already")]
    AlreadyExists,
    /// The namespace is being deleted: nothing new can be made in it.
    #[error("the namespace is being deleted")]
    Terminating,
    /// The API server will not have it: trying again changes nothing by itself.
    #[error("refused: {}", .0.message)]
    Refused(Box<Status>),
    /// Another operator may act now: this one must not.
    #[error("the lease is no longer ours")]
    NotLeader,
    /// The outcome is not known: look, then try again.
    #[error("no answer in time")]
    Deadline,
    /// Try again.
    #[error("{}", failure(.0))]
    Failed(#[source] Box<kube::Error>),
}

fn failure(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("the API server answered {}: {}", status.code, status.message),
        error => format!("failed to reach the API server: {}", chain(error)),
    }
}

impl CallError {
    /// A label for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::NoConflict => "no_conflict",
            Self::AlreadyExists => "already_exists",
            Self::Terminating => "terminating",
            Self::Refused(_) => "refused",
            Self::NotLeader => "not_leader",
            Self::Deadline => "deadline",
            Self::Failed(_) => "failed",
        }
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => status.into(),
            error => Self::Failed(Box::new(error)),
        }
    }
}

impl From<Box<Status>> for CallError {
    fn from(status: Box<Status>) -> Self {
        let terminating = || {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
        };
        match (status.code, status.reason.as_str()) {
            (404, _) => Self::NotFound,
            (409, "AlreadyExists") => Self::AlreadyExists,
            (409, _) => Self::Conflict,
            (403, _) if terminating() => Self::Terminating,
            (400 | 403 | 405 | 413 | 422, _) => Self::Refused(status),
            _ => Self::Failed(Box::new(kube::Error::Api(status))),
        }
    }
}

/// Requests that change nothing, each with a deadline.
#[derive(Clone)]
pub struct Reads {
    client: Client,
    pub rights: Rights,
}

impl Reads {
    pub fn new(client: Client) -> Self {
        Self { client, rights: Rights::default() }
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The objects of one kind in one namespace.
    pub fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// Awaits a request, but no longer than the deadline.
    pub async fn read<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        within(DEADLINE, request).await
    }
}

/// Requests of whoever leads: those that change something end with the lease.
#[derive(Clone)]
pub struct Calls {
    pub reads: Reads,
    leadership: Leadership,
    metrics: Arc<Metrics>,
}

impl Calls {
    pub fn new(reads: Reads, leadership: Leadership, metrics: Arc<Metrics>) -> Self {
        Self { reads, leadership, metrics }
    }

    pub fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        self.reads.namespaced(namespace)
    }

    /// How long the lease is still ours; `None` once another operator may act.
    pub fn remaining(&self) -> Option<Duration> {
        self.leadership.remaining()
    }

    /// Awaits a request that changes nothing, but no longer than the deadline.
    pub async fn read<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        self.reads.read(request).await
    }

    /// Awaits a request that changes something, but no longer than the lease is ours.
    pub async fn write<T>(
        &self,
        operation: &'static str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallError> {
        self.write_within(operation, |_| request).await
    }

    /// The same where the request tells the API server, too, how long it has.
    pub async fn write_within<T, F>(
        &self,
        operation: &'static str,
        request: impl FnOnce(TimeLeft) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let left = self.leadership.remaining().map(|left| left.min(DEADLINE));
        let answer = match left {
            Some(left) => within(left, request(TimeLeft(left))).await,
            None => Err(CallError::NotLeader),
        };
        let outcome = answer.as_ref().map_or_else(CallError::kind, |_| "ok");
        self.metrics.wrote(operation, outcome);
        answer
    }
}

/// Awaits a request to the API server, but no longer than `deadline`: the client itself would wait for ever.
pub async fn within<T>(deadline: Duration, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(deadline, request).await {
        Ok(answer) => answer.map_err(CallError::from),
        Err(_) => Err(CallError::Deadline),
    }
}
