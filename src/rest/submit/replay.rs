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
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Submitter;
use super::keyed::KeyedRequest;
use super::manifest::{digest, manifest};
use crate::api::Task;
use crate::archive::Record;
use crate::core::launch::names::ANNOTATION_REPLAY_OF;
use crate::rest::find::{Finder, archive_is_away};
use crate::rest::index::IndexedTask;
use crate::rest::request::id::Id;
use crate::rest::request::key::{IdempotencyKey, KeyHeader};
use crate::serving::problem::{Problem, ProblemType, Problems};

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

/// Replay a task
///
/// Runs a finished task again, as a new task with the same spec; the old one stays as it is. Each links to the
/// other. With an Idempotency-Key the same request can be sent again, as a submission can, and is answered with the same
/// new task; without one each request makes another.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/replay", tag = "dead letters",
    params(("id" = String, Path, description = "The task_id"), KeyHeader),
    responses((status = 202, description = "The new task is queued.", body = Replayed,
        headers(("Location" = String, description = "Where it is"))), Problems))]
pub async fn replay(
    State(finder): State<Arc<Finder>>,
    State(submitter): State<Arc<Submitter>>,
    Id(id): Id,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<Response, Problem> {
    let known = finder.find(&id).await?;
    let task_id = match key {
        Some(key) => submitter.replay_once(&finder, &known, &key).await?,
        None => submitter.replay(&finished(&finder, &known).await?).await?,
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

impl Submitter {
    /// Makes the task that repeats this one, and links the two. Returns its uid.
    pub async fn replay(&self, record: &Record) -> Result<String, Problem> {
        let uid = self.create_replay(record).await?;
        self.link(&record.summary.uid, uid).await
    }

    /// The same for a key, which stands for one replay of one task.
    async fn replay_once(&self, finder: &Finder, known: &IndexedTask, key: &str) -> Result<String, Problem> {
        let digest = digest(&json!({"replayOf": *known.uid}));
        let request = KeyedRequest { namespace: &known.head.namespace, key, digest, replay_of: Some(&known.uid) };
        let spec = async || self.spec_of(&finished(finder, known).await?).await;
        let uid = self.create_once(&request, spec).await?;
        self.link(&known.uid, uid).await
    }

    async fn link(&self, old: &str, new: String) -> Result<String, Problem> {
        self.archive.link_replay(old, &new).await.map_err(archive_is_away)?;
        Ok(new)
    }

    async fn create_replay(&self, record: &Record) -> Result<String, Problem> {
        let old = &record.summary;
        let is_linked = old.replayed_by.is_some();
        let spec = self.spec_of(record).await?;
        for number in 1..=REPLAYS {
            let name = format!("{}-r{number}", stem(record));
            // Most names that are taken are known to be, which costs no request.
            if let Some(other) = self.index.named(&old.namespace, &name) {
                match other.replay_of.as_deref() == Some(&*old.uid) && !is_linked {
                    true => return Ok(other.uid.to_string()),
                    false => continue,
                }
            }
            let annotation = (ANNOTATION_REPLAY_OF, old.uid.as_str());
            let manifest = manifest(&old.namespace, &name, spec.clone(), [annotation]);
            match self.api.create(&old.namespace, &manifest).await {
                Err(problem) if problem.is(ProblemType::Exists) => {
                    let other = self.api.task(&old.namespace, &name).await?;
                    if let Some(begun) = other.filter(|other| !is_linked && repeats(other, &old.uid)) {
                        return self.taken(&begun);
                    }
                }
                created => return self.taken(&created?),
            }
        }
        Err(ProblemType::Exists.because(format!("it was replayed {REPLAYS} times; replay one of its replays")))
    }

    async fn spec_of(&self, record: &Record) -> Result<Value, Problem> {
        if record.details.payload_lost {
            let why = "its payload was not known any more when it was recorded; submit it anew, with its payload";
            return Err(ProblemType::PayloadGone.because(why));
        }
        let mut spec = record.details.spec.clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !OF_ONE_RUN.contains(&name.as_str()));
        }
        self.validated(spec, &record.summary.namespace).await
    }
}

fn repeats(task: &Task, uid: &str) -> bool {
    task.annotations().get(ANNOTATION_REPLAY_OF).is_some_and(|of| of == uid)
}

/// The beginning of a replay's name. A replay of a replay is called as one of the first task.
fn stem(record: &Record) -> &str {
    let name = record.summary.name.as_str();
    let of_replay = name.rsplit_once("-r").filter(|(_, number)| number.parse::<u32>().is_ok());
    let stem = of_replay.filter(|_| record.summary.replay_of.is_some()).map_or(name, |(first, _)| first);
    let cut = stem.char_indices().nth(LONGEST_STEM).map_or(stem, |(at, _)| &stem[..at]);
    cut.trim_end_matches(['-', '.'])
}
