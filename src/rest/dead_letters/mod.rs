//! Tasks that failed, from the archive, newest first: GET /api/v1/tasks/dead-letters; and how they are run again.

mod filter;
pub mod replay;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::find::archive_is_away;
use super::head::Head;
use super::namespaces::Namespaces;
use super::request::page;
use super::request::query::Query;
use crate::archive::{Archive, Cursor, Filter, RecordSummary};
use crate::serving::problem::{Problem, ProblemType, Problems};
use filter::filtered;

const LIMIT: u32 = 100;

filtered! {
    /// Which dead letters are wanted. Filters are and-ed.
    #[derive(Deserialize, IntoParams)]
    #[serde(deny_unknown_fields)]
    #[into_params(parameter_in = Query)]
    pub struct Wanted {
        /// Whether it was replayed. Default: either.
        replayed: Option<bool>,
        /// Dead letters on a page. Default: 100.
        #[param(minimum = 1, maximum = 1000)]
        limit: Option<u32>,
        /// The next_cursor of the page before.
        cursor: Option<String>,
    }
}

/// A task that failed: its retries are used up, or its error is permanent.
#[derive(Serialize, ToSchema)]
pub struct DeadLetter {
    #[serde(flatten)]
    head: Head,
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

impl From<RecordSummary> for DeadLetter {
    fn from(mut summary: RecordSummary) -> Self {
        Self {
            created_at: summary.created_at,
            finished_at: summary.finished_at,
            replay_of: summary.replay_of.take(),
            replayed_by: summary.replayed_by.take(),
            head: summary.into(),
        }
    }
}

/// A page of dead letters, the last that failed first.
#[derive(Serialize, ToSchema)]
pub struct DeadLetters {
    items: Vec<DeadLetter>,
    /// Where the next page begins; absent on the last one. Where a filter leaves out very many, a page may have few items,
    /// or none, and a next page all the same.
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
    State(archive): State<Archive>,
    State(namespaces): State<Arc<Namespaces>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<DeadLetters>, Problem> {
    let limit = page::limit(wanted.limit, LIMIT, ProblemType::Query)?;
    let after = wanted.cursor.as_deref().map(str::parse::<Cursor>).transpose();
    let after = after.map_err(|_| page::unknown_cursor(ProblemType::Query))?;
    let filter = Filter { replayed: wanted.replayed, ..wanted.filter(&namespaces)? };
    let page = archive.list(&filter, after.as_ref(), limit).await.map_err(archive_is_away)?;
    let items = page.items.into_iter().map(DeadLetter::from).collect();
    Ok(Json(DeadLetters { items, next_cursor: page.next.map(|next| next.to_string()) }))
}
