//! Takes submissions: POST /api/v1/tasks. Each goes one way, which [`Submitter::take`] lists: its body is read
//! (`submission`), what no schema can see is refused (`validate`), it becomes a manifest (`manifest`), which the API
//! server takes or refuses (`create`, or `keyed` where the same request may come twice), and its id is the answer.

pub mod bulk;
pub mod cancel;
pub mod cancel_many;
pub mod change;
pub mod changes;
mod create;
mod keyed;
mod manifest;
mod queues;
pub mod replay;
mod submission;
mod validate;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::api_server::ApiServer;
use super::index::Index;
use super::namespaces::Namespaces;
use super::request::key::{IdempotencyKey, KeyHeader};
use crate::archive::Archive;
use crate::core::Settings;
use crate::serving::body::Text;
use crate::serving::problem::{Problem, ProblemType, Problems};
use keyed::KeyedRequest;
use queues::Queues;
use submission::Submission;

pub use validate::ttl as default_ttl;

/// A submission that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct Submitted {
    /// By which everything else is asked for.
    task_id: String,
    /// Always submitted.
    #[schema(value_type = String, example = "submitted")]
    status: &'static str,
}

/// Submit a task
///
/// The task is queued at once. With an Idempotency-Key the same request can be sent again: it is answered with
/// the same task for as long as that is remembered, at least 24 hours while its record is kept. The same key
/// with another request is refused.
#[utoipa::path(post, path = "/api/v1/tasks", tag = "tasks", request_body = Submission,
    params(KeyHeader),
    responses((status = 202, description = "It is queued.", body = Submitted,
        headers(("Location" = String, description = "Where it is"))), Problems))]
pub async fn submit(
    State(submitter): State<Arc<Submitter>>,
    IdempotencyKey(key): IdempotencyKey,
    Text(body): Text,
) -> Result<Response, Problem> {
    let submission = Submission::read(&body)?;
    if submission.idempotency_key.is_some() {
        return Err(ProblemType::Invalid
            .because("send the key of a single task as the header Idempotency-Key")
            .at("idempotency_key"));
    }
    let task_id = submitter.take(&submission, key).await?;
    let location = [(header::LOCATION, format!("/api/v1/tasks/{task_id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Submitted { task_id, status: "submitted" })).into_response())
}

/// Creates tasks on behalf of clients.
pub struct Submitter {
    index: Arc<Index>,
    api: ApiServer,
    archive: Archive,
    namespaces: Arc<Namespaces>,
    queues: Queues,
}

impl Submitter {
    pub fn new(
        index: Arc<Index>,
        api: ApiServer,
        archive: Archive,
        namespaces: Arc<Namespaces>,
        settings: Settings,
    ) -> Self {
        Self { index, api, archive, namespaces, queues: Queues::new(settings) }
    }

    /// The way of a submission that was read. Makes the task, or finds the one that the key stands for; returns its
    /// uid.
    async fn take(&self, submission: &Submission, key: Option<String>) -> Result<String, Problem> {
        let namespace = self.namespaces.meant(text(submission.namespace.as_ref(), "namespace")?)?;
        let name = text(submission.name.as_ref(), "name")?;
        let Some(key) = key else {
            let spec = self.validated(submission.spec(), namespace).await?;
            return self.create(namespace, name, spec).await;
        };
        if name.is_some() {
            return Err(ProblemType::Invalid
                .because("the name follows from the idempotency key; leave one of them out")
                .at("name"));
        }
        let digest = manifest::digest(&submission.spec());
        let request = KeyedRequest { namespace, key: &key, digest, replay_of: None };
        self.create_once(&request, async || self.validated(submission.spec(), namespace).await).await
    }
}

fn text<'a>(value: Option<&'a Value>, field: &str) -> Result<Option<&'a str>, Problem> {
    let text =
        |value: &'a Value| value.as_str().ok_or_else(|| ProblemType::Invalid.because("it is a string").at(field));
    value.map(text).transpose()
}
