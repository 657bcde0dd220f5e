//! Runs finished tasks again, each as a new task: POST /api/v1/tasks/{id}/replay, and many by a filter.
//!
//! What is repeated comes from the archive. The old task is never written to: the new one names it in an
//! annotation, and its record names the new one. A replay whose link was not written, for the operator ended in
//! between, is found again by its name.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::app::{self, App};
use super::dead_letters::{Word, within, word_or_null};
use super::entry::Entry;
use super::extract::{Body, Id, IdempotencyKey, KeyHeader, unknown_task};
use super::manifest;
use super::names::type_name;
use super::problem::{Kind, Problem, Problems};
use super::status::Priority;
use super::submit::{Asked, checked, taken};
use crate::api::Task;
use crate::archive::{Cursor, Filter, Record};
use crate::core::names::ANNOTATION_REPLAY_OF;

const MOST: u32 = 1000;
/// So many are created at the same time.
const AT_ONCE: usize = 16;
/// So often one task can be replayed.
const REPLAYS: u32 = 1000;
/// A name has at most 253 characters; this leaves room for the number.
const LONGEST_STEM: usize = 245;
/// What was about that run alone.
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
    State(app): State<Arc<App>>,
    Id(id): Id,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<Response, Problem> {
    let known = app.find(&id).await?;
    let task_id = match key {
        Some(key) => with_key(&app, &known, &key).await?,
        None => again(&app, &finished(&app, &known).await?).await?,
    };
    let location = [(header::LOCATION, format!("/api/v1/tasks/{task_id}"))];
    let body = Json(Replayed { task_id, status: "submitted", replay_of: id });
    Ok((StatusCode::ACCEPTED, location, body).into_response())
}

/// The record of a task that can be repeated.
async fn finished(app: &App, known: &Entry) -> Result<Record, Problem> {
    if !known.state.is_final() {
        return Err(Kind::NotFinished.because("it is not finished: there is nothing to repeat yet"));
    }
    app.record_of(known).await
}

/// Makes the task that repeats this one, and links the two. Returns its uid.
async fn again(app: &App, record: &Record) -> Result<String, Problem> {
    let uid = made(app, record).await?;
    linked(app, &record.summary.uid, uid).await
}

/// The same for a key, which stands for one replay of one task.
async fn with_key(app: &App, known: &Entry, key: &str) -> Result<String, Problem> {
    let digest = manifest::digest(&json!({"replayOf": *known.uid}));
    let asked = Asked { namespace: &known.namespace, key, digest, replay_of: Some(&known.uid) };
    let uid = asked.once(app, async || spec(app, &finished(app, known).await?).await).await?;
    linked(app, &known.uid, uid).await
}

async fn linked(app: &App, old: &str, new: String) -> Result<String, Problem> {
    app.archive.link_replay(old, &new).await.map_err(app::away)?;
    Ok(new)
}

async fn made(app: &App, record: &Record) -> Result<String, Problem> {
    let old = &record.summary;
    let is_linked = old.replayed_by.is_some();
    let spec = spec(app, record).await?;
    for number in 1..=REPLAYS {
        let name = format!("{}-r{number}", stem(record));
        // Most names that are taken are known to be, which costs no request.
        if let Some(other) = app.index.named(&old.namespace, &name) {
            match other.replay_of.as_deref() == Some(&*old.uid) && !is_linked {
                true => return Ok(other.uid.to_string()),
                false => continue,
            }
        }
        let annotation = (ANNOTATION_REPLAY_OF, old.uid.as_str());
        let manifest = manifest::manifest(&old.namespace, &name.as_str().into(), spec.clone(), [annotation]);
        match app.calls.create(&old.namespace, &manifest).await {
            Err(problem) if problem.is(Kind::Exists) => {
                let other = app.calls.task(&old.namespace, &name).await?;
                if let Some(begun) = other.filter(|other| !is_linked && repeats(other, &old.uid)) {
                    return taken(app, &begun);
                }
            }
            made => return taken(app, &made?),
        }
    }
    Err(Kind::Exists.because(format!("it was replayed {REPLAYS} times; replay one of its replays")))
}

fn repeats(task: &Task, uid: &str) -> bool {
    task.annotations().get(ANNOTATION_REPLAY_OF).is_some_and(|of| of == uid)
}

async fn spec(app: &App, record: &Record) -> Result<Value, Problem> {
    if record.details.payload_lost {
        let why = "its payload was not known any more when it was recorded; submit it anew, with its payload";
        return Err(Kind::PayloadGone.because(why));
    }
    let mut spec = record.details.spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|name, _| !OF_ONE_RUN.contains(&name.as_str()));
    }
    checked(app, spec, &record.summary.namespace).await
}

/// What a replay's name begins with. A replay of a replay is called as one of the first task.
fn stem(record: &Record) -> &str {
    let name = record.summary.name.as_str();
    let of_replay = name.rsplit_once("-r").filter(|(_, number)| number.parse::<u32>().is_ok());
    let stem = of_replay.filter(|_| record.summary.replay_of.is_some()).map_or(name, |(first, _)| first);
    let cut = stem.char_indices().nth(LONGEST_STEM).map_or(stem, |(at, _)| &stem[..at]);
    cut.trim_end_matches(['-', '.'])
}

/// Which dead letters are to be replayed. Filters are and-ed; without any, all are. One that was replayed before is
/// left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The kind of work; document_processing stands for document-processing.
    task_type: Option<String>,
    /// Why it failed, in one word.
    #[schema(schema_with = word_or_null)]
    reason: Option<Word>,
    kb_id: Option<String>,
    priority: Option<Priority>,
    queue: Option<String>,
    /// One of the served namespaces. Default: all of them.
    namespace: Option<String>,
    /// Failed at this time or later (RFC 3339).
    failed_from: Option<Timestamp>,
    /// Failed before this time (RFC 3339).
    failed_before: Option<Timestamp>,
    /// True: nothing is replayed, and the answer says how many would be, and which.
    #[serde(default)]
    dry_run: bool,
    /// Replay at most so many, the last that failed. Default: 1000.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The next_cursor of the answer before.
    cursor: Option<String>,
}

/// What became of a replay by a filter.
#[derive(Serialize, ToSchema)]
pub struct ReplayOutcome {
    /// Dead letters that the filter means and that were not replayed before.
    matched: u64,
    /// How many of them were replayed now.
    replayed: usize,
    dry_run: bool,
    /// What became of each, oldest first. In a dry run, which there are.
    results: Vec<ReplayItem>,
    /// Where to go on; absent when all that matched were tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// What became of one: a replay, or a problem; in a dry run nothing.
#[derive(Serialize, ToSchema)]
pub struct ReplayItem {
    /// The dead letter.
    task_id: String,
    /// The task that repeats it.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// Replay dead letters
///
/// All that a filter means, up to 1,000 at once: send it again with the `next_cursor` of the answer while there is
/// one. Each is replayed once, however often that is asked for. A dry run says how many there are, and which.
#[utoipa::path(post, path = "/api/v1/tasks/dead-letters/replay", tag = "dead letters", request_body = Wanted,
    responses((status = 200, description = "What became of each.", body = ReplayOutcome), Problems))]
pub async fn replay_many(
    State(app): State<Arc<App>>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<ReplayOutcome>, Problem> {
    let limit = wanted.limit.unwrap_or(MOST);
    if !(1..=MOST).contains(&limit) {
        return Err(Kind::Invalid.because(format!("limit is 1 to {MOST}")).at("limit"));
    }
    let Ok(_permit) = app.bulks.try_acquire() else {
        return Err(Kind::Busy.because("too many bulk requests at once; send it again in a moment"));
    };
    let after = wanted.cursor.as_deref().map(str::parse::<Cursor>).transpose();
    let after = after.map_err(|error| Kind::Invalid.because(error.to_string()).at("cursor"))?;
    let dry_run = wanted.dry_run;
    let filter = wanted.filter(&app)?;
    let matched = app.archive.count(&filter).await.map_err(app::away)?;
    let page = app.archive.list(&filter, after.as_ref(), limit).await.map_err(app::away)?;
    let next_cursor = page.next.map(|next| next.to_string());
    let oldest_first = page.items.into_iter().rev();
    let results: Vec<ReplayItem> = if dry_run {
        oldest_first.map(|summary| ReplayItem { task_id: summary.uid, replayed_by: None, problem: None }).collect()
    } else {
        let outcomes: Vec<_> = oldest_first.map(|summary| outcome(&app, summary.uid, summary.run_id)).collect();
        stream::iter(outcomes).buffered(AT_ONCE).collect().await
    };
    let replayed = results.iter().filter(|item| item.replayed_by.is_some()).count();
    Ok(Json(ReplayOutcome { matched, replayed, dry_run, results, next_cursor }))
}

impl Wanted {
    fn filter(self, app: &App) -> Result<Filter, Problem> {
        Ok(Filter {
            type_: self.task_type.as_deref().map(type_name),
            reason: self.reason.map(|Word(reason)| reason),
            kb_id: self.kb_id,
            priority: self.priority.map(Into::into),
            queue: self.queue,
            finished_from: self.failed_from,
            finished_before: self.failed_before,
            replayed: Some(false),
            ..within(app, self.namespace.as_deref())?
        })
    }
}

async fn outcome(app: &App, uid: String, run_id: String) -> ReplayItem {
    let replayed = async {
        let record = app.record(&uid).await?.ok_or_else(unknown_task)?;
        if record.summary.run_id != run_id {
            return Err(Kind::Changed.because("it was run again since, under another runId"));
        }
        // The same request may be on its way twice.
        match record.summary.replayed_by.clone() {
            Some(by) => Ok(by),
            None => again(app, &record).await,
        }
    };
    match replayed.await {
        Ok(by) => ReplayItem { task_id: uid, replayed_by: Some(by), problem: None },
        Err(problem) => ReplayItem { task_id: uid, replayed_by: None, problem: Some(problem) },
    }
}
