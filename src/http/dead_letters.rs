//! Tasks that failed, from the archive, newest first: GET /api/v1/tasks/dead-letters.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::IntoEnumIterator;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};

use super::app::{self, App};
use super::extract::Params;
use super::names::type_name;
use super::problem::{Kind, Problem, Problems};
use super::status::{Phase, Priority};
use crate::api::Reason;
use crate::archive::{Cursor, Filter, Summary};

const LIMIT: u32 = 100;
const MOST: u32 = 1000;

/// Which dead letters are wanted. Filters are and-ed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The kind of work; document_processing stands for document-processing.
    task_type: Option<String>,
    /// Why it failed, in one word.
    #[param(schema_with = words)]
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
    /// Whether it was replayed. Default: either.
    replayed: Option<bool>,
    /// Dead letters on a page. Default: 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The next_cursor of the page before.
    cursor: Option<String>,
}

/// A reason that there is. A word that we do not know is nobody's filter, but a typing error.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct Word(pub Reason);

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(told: String) -> Result<Self, String> {
        let known = Reason::iter().find(|reason| reason.to_string() == told);
        known.map(Self).ok_or_else(|| format!("{told:?} is no reason; use one of those that docs/reasons.md lists"))
    }
}

/// The reasons, as the document lists them.
pub fn words() -> Schema {
    let words = Reason::iter().map(|reason| reason.to_string());
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
}

/// One of the reasons, or null.
pub fn word_or_null() -> Schema {
    let words = Reason::iter().map(|reason| Value::from(reason.to_string())).chain([Value::Null]);
    let types = SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(types).enum_values(Some(words)).into()
}

/// A task that failed: its retries are used up, or its error is permanent.
#[derive(Serialize, ToSchema)]
pub struct DeadLetter {
    task_id: String,
    /// Always failed.
    status: Phase,
    task_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kb_id: Option<String>,
    namespace: String,
    name: String,
    queue: String,
    priority: Priority,
    /// How often it was launched.
    attempt: i32,
    /// Attempts that failed and counted.
    failures: i32,
    /// Attempts lost to the cluster.
    disruptions: i32,
    /// Why it failed, in one word.
    #[schema(schema_with = words)]
    reason: Reason,
    /// The reason in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    /// The task_id of the task that this one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_of: Option<String>,
    /// The task_id of the task that repeats this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_by: Option<String>,
}

impl From<Summary> for DeadLetter {
    fn from(summary: Summary) -> Self {
        Self {
            task_id: summary.uid,
            status: summary.state.into(),
            task_type: summary.type_,
            kb_id: summary.kb_id,
            namespace: summary.namespace,
            name: summary.name,
            queue: summary.queue,
            priority: summary.priority.into(),
            attempt: summary.attempt,
            failures: summary.failures,
            disruptions: summary.disruptions,
            reason: summary.reason,
            message: summary.message,
            created_at: summary.created_at,
            finished_at: summary.finished_at,
            replay_of: summary.replay_of,
            replayed_by: summary.replayed_by,
        }
    }
}

/// A page of dead letters, the last that failed first.
#[derive(Serialize, ToSchema)]
pub struct DeadLetters {
    items: Vec<DeadLetter>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List dead letters
///
/// Tasks that failed, whether or not they are still in the cluster, the last that failed first. Their payload,
/// attempts and log are at /api/v1/tasks/{id}.
#[utoipa::path(get, path = "/api/v1/tasks/dead-letters", tag = "dead letters", params(Wanted),
    responses((status = 200, description = "A page of them.", body = DeadLetters), Problems))]
pub async fn dead_letters(
    State(app): State<Arc<App>>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<DeadLetters>, Problem> {
    let limit = wanted.limit.unwrap_or(LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(Kind::Query.because(format!("limit is 1 to {MOST}")).at("limit"));
    }
    let after: Option<Cursor> = wanted.cursor.as_deref().map(cursor).transpose()?;
    let filter = Filter {
        type_: wanted.task_type.as_deref().map(type_name),
        reason: wanted.reason.map(|Word(reason)| reason),
        kb_id: wanted.kb_id,
        priority: wanted.priority.map(Into::into),
        queue: wanted.queue,
        finished_from: wanted.failed_from,
        finished_before: wanted.failed_before,
        replayed: wanted.replayed,
        ..within(&app, wanted.namespace.as_deref())?
    };
    let page = app.archive.list(&filter, after.as_ref(), limit).await.map_err(app::away)?;
    let items = page.items.into_iter().map(DeadLetter::from).collect();
    Ok(Json(DeadLetters { items, next_cursor: page.next.map(|next| next.to_string()) }))
}

/// All dead letters that a client may see: of this namespace, or of all that are served.
pub fn within(app: &App, namespace: Option<&str>) -> Result<Filter, Problem> {
    let namespaces = match namespace {
        Some(namespace) => vec![app.namespace(Some(namespace))?.to_owned()],
        None => app.namespaces().to_vec(),
    };
    Ok(Filter::within(namespaces).dead_letters())
}

fn cursor(text: &str) -> Result<Cursor, Problem> {
    text.parse().map_err(|_| Kind::Query.because("this cursor was not given out here; begin without one").at("cursor"))
}
