//! Runs a finished task again, as a new task: POST /api/v1/tasks/{id}/replay.
//!
//! The spec that is repeated comes from the archive. The old task is never written to: the new one names it in an
//! annotation, and its record names the new one. A replay whose link was not written, for the operator ended in
//! between, is found again by its name.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::Submitter;
use super::changes::{ReplayChanges, ReplayRequest, read};
use super::keyed::KeyedRequest;
use super::manifest::{digest, manifest, new_name};
use super::submission::Submission;
use crate::api::Task;
use crate::archive::Record;
use crate::core::launch::names::{ANNOTATION_BODY_DIGEST, ANNOTATION_REPLAY_OF};
use crate::rest::find::{Finder, archive_is_away};
use crate::rest::index::IndexedTask;
use crate::rest::request::field_names;
use crate::rest::request::id::Id;
use crate::rest::request::key::{IdempotencyKey, KeyHeader};
use crate::serving::body::OptionalText;
use crate::serving::problem::{Problem, ProblemType, Problems};

/// A type that need not exist.
const ANY: &str = "any";
/// So often one task can be replayed.
const REPLAYS: u32 = 1000;
/// A name has at most 253 characters; this leaves room for the number.
const LONGEST_STEM: usize = 245;
/// The fields of a spec that are about one run alone.
const OF_ONE_RUN: [&str; 5] = ["runId", "cancel", "suspend", "startAfter", "once"];

/// A task that repeats another.
#[derive(Serialize, ToSchema)]
pub struct Replayed {
    /// Of the new task.
    task_id: String,
    /// Always submitted.
    #[schema(value_type = String, example = "submitted")]
    status: &'static str,
    /// Of the task that it repeats.
    replay_of: String,
}

/// What a replay would make.
#[derive(Serialize, ToSchema)]
pub struct ReplayPlan {
    /// Always true.
    dry_run: bool,
    /// Of the task that would be repeated.
    replay_of: String,
    /// What would be submitted, under the name that is free now.
    #[schema(value_type = Submission)]
    submission: Map<String, Value>,
}

/// Replay a task
///
/// Runs a finished task again, as a new task with the same spec but for the changes in the body, which need not be there;
/// the old one stays as it is. Each links to the other. With an Idempotency-Key the same request can be sent again, as a
/// submission can, and is answered with the same new task; without one each request makes another. A dry run is refused
/// where the replay would be, and else says what it would make; a key plays no part in it.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/replay", tag = "dead letters",
    params(("id" = String, Path, description = "The task_id"), KeyHeader), request_body = Option<ReplayRequest>,
    responses((status = 202, description = "The new task is queued.", body = Replayed,
        headers(("Location" = String, description = "Where it is"))),
        (status = 200, description = "What a dry run would make.", body = ReplayPlan), Problems))]
pub async fn replay(
    State(finder): State<Arc<Finder>>,
    State(submitter): State<Arc<Submitter>>,
    Id(id): Id,
    IdempotencyKey(key): IdempotencyKey,
    OptionalText(body): OptionalText,
) -> Result<Response, Problem> {
    let request: ReplayRequest = body.as_deref().map(read).transpose()?.unwrap_or_default();
    let (dry_run, changes) = (request.dry_run, request.changes());
    let known = finder.find(&id).await?;
    if dry_run {
        let submission = submitter.would_replay(&finished(&finder, &known).await?, &changes).await?;
        return Ok(Json(ReplayPlan { dry_run, replay_of: id, submission }).into_response());
    }
    let task_id = match key {
        Some(key) => submitter.replay_once(&finder, &known, &key, &changes).await?,
        None => submitter.replay(&finished(&finder, &known).await?, &changes).await?,
    };
    let location = [(header::LOCATION, format!("/api/v1/tasks/{task_id}"))];
    let body = Json(Replayed { task_id, status: "submitted", replay_of: id });
    Ok((StatusCode::ACCEPTED, location, body).into_response())
}

/// The record of a task that can be repeated.
async fn finished(finder: &Finder, known: &IndexedTask) -> Result<Record, Problem> {
    if !known.state.is_final() {
        return Err(ProblemType::NotFinished.because("it is not finished: there is nothing to repeat yet"));
    }
    finder.record_of(known).await
}

/// The digest of a replay with changes; a replay without any needs none.
fn digest_of(uid: &str, changes: &ReplayChanges) -> Option<String> {
    changes.told().map(|told| digest(&json!({"replayOf": uid, "changes": told})))
}

impl Submitter {
    /// Makes the task that repeats this one, and links the two. Returns its uid.
    pub async fn replay(&self, record: &Record, changes: &ReplayChanges) -> Result<String, Problem> {
        let uid = self.create_replay(record, changes).await?;
        self.link(&record.summary.uid, uid).await
    }

    /// What would be submitted for a replay, after all that refuses one.
    pub async fn would_replay(&self, record: &Record, changes: &ReplayChanges) -> Result<Map<String, Value>, Problem> {
        let namespace = record.summary.namespace.as_str();
        let spec = self.spec_of(record, changes).await?;
        for name in names(record).filter(|name| self.index.named(namespace, name).is_none()) {
            match self.api.dry_run(namespace, &manifest(namespace, &name, spec.clone(), [])).await {
                Err(problem) if problem.is(ProblemType::Exists) => {}
                judged => return judged.map(|task| submission_of(&task)),
            }
        }
        Err(too_often())
    }

    /// The same for a key, which stands for one replay of one task.
    async fn replay_once(
        &self,
        finder: &Finder,
        known: &IndexedTask,
        key: &str,
        changes: &ReplayChanges,
    ) -> Result<String, Problem> {
        let digest = digest_of(&known.uid, changes).unwrap_or_else(|| digest(&json!({"replayOf": *known.uid})));
        let request = KeyedRequest { namespace: &known.head.namespace, key, digest, replay_of: Some(&known.uid) };
        let spec = async || self.spec_of(&finished(finder, known).await?, changes).await;
        let uid = self.create_once(&request, spec).await?;
        self.link(&known.uid, uid).await
    }

    /// Refuses changes that the API server refuses whatever is repeated, before they are made to any.
    pub async fn judge(&self, namespace: &str, changes: &ReplayChanges) -> Result<(), Problem> {
        if changes.told().is_none() {
            return Ok(());
        }
        let name = new_name(ANY)?;
        let spec = changes.applied(json!({"type": ANY}));
        match self.api.dry_run(namespace, &manifest(namespace, &name, spec, [])).await {
            Err(problem) if problem.is(ProblemType::Invalid) => Err(problem),
            // The rest depends on the task that is repeated.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn link(&self, old: &str, new: String) -> Result<String, Problem> {
        self.archive.link_replay(old, &new).await.map_err(archive_is_away)?;
        Ok(new)
    }

    async fn create_replay(&self, record: &Record, changes: &ReplayChanges) -> Result<String, Problem> {
        let old = &record.summary;
        let is_linked = old.replayed_by.is_some();
        let digest = digest_of(&old.uid, changes);
        // It was begun for the same request, and not linked.
        let is_begun = |of: Option<&str>, told: Option<&str>| {
            !is_linked && of == Some(old.uid.as_str()) && told == digest.as_deref()
        };
        let spec = self.spec_of(record, changes).await?;
        for name in names(record) {
            // Most names that are taken are known to be, which costs no request.
            if let Some(other) = self.index.named(&old.namespace, &name) {
                match is_begun(other.replay_of.as_deref(), other.digest.as_deref()) {
                    true => return Ok(other.uid.to_string()),
                    false => continue,
                }
            }
            let annotations = [(ANNOTATION_REPLAY_OF, old.uid.as_str())].into_iter();
            let annotations = annotations.chain(digest.as_deref().map(|digest| (ANNOTATION_BODY_DIGEST, digest)));
            let manifest = manifest(&old.namespace, &name, spec.clone(), annotations);
            match self.api.create(&old.namespace, &manifest).await {
                Err(problem) if problem.is(ProblemType::Exists) => {
                    let other = self.api.task(&old.namespace, &name).await?;
                    let said = |task: &Task, name| task.annotations().get(name).cloned();
                    let begun = other.filter(|other| {
                        let [of, told] = [ANNOTATION_REPLAY_OF, ANNOTATION_BODY_DIGEST].map(|name| said(other, name));
                        is_begun(of.as_deref(), told.as_deref())
                    });
                    if let Some(begun) = begun {
                        return self.taken(&begun);
                    }
                }
                created => return self.taken(&created?),
            }
        }
        Err(too_often())
    }

    async fn spec_of(&self, record: &Record, changes: &ReplayChanges) -> Result<Value, Problem> {
        if record.summary.chunk_of.is_some() {
            let why = "it was a chunk of a batch, which has its items done again: replay the batch";
            return Err(ProblemType::Invalid.because(why));
        }
        if record.details.payload_lost && changes.payload.is_none() {
            let why = "its payload was not known any more when it was recorded; replay it with a payload";
            return Err(ProblemType::PayloadGone.because(why));
        }
        let mut spec = changes.applied(record.details.spec.clone());
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !OF_ONE_RUN.contains(&name.as_str()));
        }
        self.validated(spec, &record.summary.namespace).await
    }
}

fn too_often() -> Problem {
    ProblemType::Exists.because(format!("it was replayed {REPLAYS} times; replay one of its replays"))
}

/// The body of a submission that stands for this task.
fn submission_of(task: &Task) -> Map<String, Value> {
    let spec = serde_json::to_value(&task.spec).unwrap_or_default();
    let mut fields = spec.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| !OF_ONE_RUN.contains(&name.as_str()));
    let mut submission = field_names::body(fields);
    submission.insert("name".into(), task.name_any().into());
    submission.insert("namespace".into(), task.namespace().into());
    submission
}

/// The names that replays of a task have, in this order.
fn names(record: &Record) -> impl Iterator<Item = String> {
    let stem = stem(record);
    (1..=REPLAYS).map(move |number| format!("{stem}-r{number}"))
}

/// The beginning of a replay's name. A replay of a replay is called as one of the first task.
fn stem(record: &Record) -> &str {
    let name = record.summary.name.as_str();
    let of_replay = name.rsplit_once("-r").filter(|(_, number)| number.parse::<u32>().is_ok());
    let stem = of_replay.filter(|_| record.summary.replay_of.is_some()).map_or(name, |(first, _)| first);
    let cut = stem.char_indices().nth(LONGEST_STEM).map_or(stem, |(at, _)| &stem[..at]);
    cut.trim_end_matches(['-', '.'])
}
