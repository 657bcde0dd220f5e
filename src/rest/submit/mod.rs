//! Takes submissions: POST /api/v1/tasks.

pub mod bulk;
pub mod calls;
pub mod cancel;
pub mod manifest;
pub mod replay;
pub mod submission;
pub mod verdict;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::app::App;
use super::problem::{Problem, ProblemType, Problems};
use super::request::extract::{IdempotencyKey, KeyHeader, Text};
use crate::api::{FIRST_RUN, Task, TaskSpec, TaskTypeSpec};
use crate::core::launch::names;
use submission::Submission;

/// Seconds for which a finished task stays in the cluster, where neither the request nor the type says otherwise.
const TTL: i32 = 3600;

/// A submission that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct Submitted {
    /// By which everything else is asked for.
    pub task_id: String,
    /// Always submitted.
    #[schema(value_type = String, example = "submitted")]
    pub status: &'static str,
}

impl Submitted {
    pub fn of(task_id: &str) -> Self {
        Self { task_id: task_id.into(), status: "submitted" }
    }
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
    State(app): State<Arc<App>>,
    IdempotencyKey(key): IdempotencyKey,
    Text(body): Text,
) -> Result<Response, Problem> {
    let submission = Submission::read(&body)?;
    if submission.idempotency_key.is_some() {
        return Err(ProblemType::Invalid
            .because("send the key of a single task as the header Idempotency-Key")
            .at("idempotency_key"));
    }
    let uid = take(&app, &submission, key).await?;
    let location = [(header::LOCATION, format!("/api/v1/tasks/{uid}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Submitted::of(&uid))).into_response())
}

/// Makes the task, or finds the one that the key stands for; returns its uid.
pub async fn take(app: &App, submission: &Submission, key: Option<String>) -> Result<String, Problem> {
    let namespace = app.namespace(text(submission.namespace.as_ref(), "namespace")?)?;
    text(submission.name.as_ref(), "name")?;
    match key {
        Some(key) => with_key(app, submission, namespace, &key).await,
        None => without_key(app, submission, namespace).await,
    }
}

fn text<'a>(value: Option<&'a Value>, field: &str) -> Result<Option<&'a str>, Problem> {
    let text =
        |value: &'a Value| value.as_str().ok_or_else(|| ProblemType::Invalid.because("it is a string").at(field));
    value.map(text).transpose()
}

async fn without_key(app: &App, submission: &Submission, namespace: &str) -> Result<String, Problem> {
    let spec = checked(app, submission.spec(), namespace).await?;
    let name =
        submission.name.clone().unwrap_or_else(|| manifest::new_name(&submission.kind().unwrap_or_default()).into());
    let created = app.calls.create(namespace, &manifest::manifest(namespace, &name, spec, [])).await;
    match created {
        // The client sends a request again whose answer was lost, and nobody else draws this name.
        Err(problem) if problem.is(ProblemType::Exists) && submission.name.is_none() => {
            let task = app.calls.task(namespace, name.as_str().unwrap_or_default()).await?;
            taken(app, &task.ok_or_else(verdict::away)?)
        }
        created => taken(app, &created?),
    }
}

async fn with_key(app: &App, submission: &Submission, namespace: &str, key: &str) -> Result<String, Problem> {
    if submission.name.is_some() {
        return Err(ProblemType::Invalid
            .because("the name follows from the idempotency key; leave one of them out")
            .at("name"));
    }
    let asked = Asked { namespace, key, digest: manifest::digest(&submission.spec()), replay_of: None };
    asked.once(app, async || checked(app, submission.spec(), namespace).await).await
}

/// What was asked for under an idempotency key.
pub struct Asked<'a> {
    pub namespace: &'a str,
    pub key: &'a str,
    /// Of what else the request said.
    pub digest: String,
    /// The uid of the task that is to be repeated.
    pub replay_of: Option<&'a str>,
}

impl Asked<'_> {
    /// Makes the task, or finds the one that the key stands for; returns its uid. Only for a new one is `spec` asked for.
    pub async fn once(&self, app: &App, spec: impl AsyncFnOnce() -> Result<Value, Problem>) -> Result<String, Problem> {
        let name = manifest::name_of_key(self.namespace, self.key);
        if let Some(entry) = app.index.named(self.namespace, &name) {
            return self.is_same(entry.digest.as_deref()).map(|()| entry.uid.to_string());
        }
        // One that was removed from the cluster has its record by then.
        let archived = app.archive.by_name(self.namespace, &name, FIRST_RUN).await;
        if let Ok(Some(record)) = &archived {
            return self.is_same(record.details.body_digest.as_deref()).map(|()| record.summary.uid.clone());
        }
        let mut spec = spec().await?;
        if let (Err(_), Some(fields)) = (archived, spec.as_object_mut()) {
            // Nobody knows whether this was done before. The task waits until the archive says so, and is not run twice.
            fields.insert("once".into(), true.into());
        }
        let digest = [(names::ANNOTATION_BODY_DIGEST, self.digest.as_str())];
        let annotations = digest.into_iter().chain(self.replay_of.map(|uid| (names::ANNOTATION_REPLAY_OF, uid)));
        let manifest = manifest::manifest(self.namespace, &name.as_str().into(), spec, annotations);
        match app.calls.create(self.namespace, &manifest).await {
            Err(problem) if problem.is(ProblemType::Exists) => {
                let task = app.calls.task(self.namespace, &name).await?.ok_or_else(verdict::away)?;
                self.is_same(task.annotations().get(names::ANNOTATION_BODY_DIGEST).map(String::as_str))?;
                taken(app, &task)
            }
            created => taken(app, &created?),
        }
    }

    /// Whether a task that bears the key's name was made by the same request.
    fn is_same(&self, known: Option<&str>) -> Result<(), Problem> {
        match known {
            Some(known) if known == self.digest => Ok(()),
            Some(_) => Err(ProblemType::KeyReused
                .because("this key was sent before with another request; use a new key for a new task")
                .at("Idempotency-Key")),
            None => {
                Err(ProblemType::Exists.because("a task that was not made by this key bears its name; use another key"))
            }
        }
    }
}

/// The spec, after what is ours to refuse: an unknown type, and what is above what the type allows. Whoever makes
/// a task over REST never sees the cluster, so the task does not stay there.
pub async fn checked(app: &App, mut spec: Value, namespace: &str) -> Result<Value, Problem> {
    // What cannot be read so is not let in by the API server either, and its words are better.
    let Ok(typed) = serde_json::from_value::<TaskSpec>(spec.clone()) else { return Ok(spec) };
    let kind = kind(app, namespace, &typed.type_).await?;
    let ttl = typed.ttl_seconds_after_finished.or(kind.defaults.ttl_seconds_after_finished).unwrap_or(TTL);
    if let Some(problem) = verdict::own(&Task::new("", typed), &kind) {
        return Err(problem);
    }
    if let Some(fields) = spec.as_object_mut() {
        fields.insert("ttlSecondsAfterFinished".into(), ttl.into());
    }
    Ok(spec)
}

async fn kind(app: &App, namespace: &str, name: &str) -> Result<Arc<TaskTypeSpec>, Problem> {
    if let Some(kind) = app.index.kind(namespace, name) {
        return Ok(kind);
    }
    let unknown = || {
        ProblemType::UnknownType
            .because(format!("there is no TaskType {name:?} here; look for a typing error"))
            .at("task_type")
    };
    if !may_be_name(name) {
        return Err(unknown());
    }
    // It may have been made a moment ago.
    let kind = app.calls.task_type(namespace, name).await?.ok_or_else(unknown)?;
    Ok(Arc::new(kind.spec))
}

/// Whether an object can be called so.
fn may_be_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (1..=253).contains(&name.len())
        && name.bytes().all(fits)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

/// What was created is known from here on, before the watch shows it.
pub fn taken(app: &App, task: &Task) -> Result<String, Problem> {
    app.index.task_seen(task);
    task.uid().ok_or_else(verdict::away)
}
