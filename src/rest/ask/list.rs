//! Tasks by filters, newest first, page by page, from memory: GET /api/v1/tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::selection::selecting;
use super::status::Status;
use crate::rest::index::{Index, IndexedTask, Uid};
use crate::rest::namespaces::Namespaces;
use crate::rest::request::page;
use crate::rest::request::query::Query;
use crate::serving::problem::{Problem, ProblemType, Problems};

const LIMIT: u32 = 100;

selecting! {
    /// Which tasks are wanted. Filters are and-ed.
    #[derive(Deserialize, IntoParams)]
    #[serde(deny_unknown_fields)]
    #[into_params(parameter_in = Query)]
    pub struct Filter {
        /// Tasks on a page. Default: 100.
        #[param(minimum = 1, maximum = 1000)]
        limit: Option<u32>,
        /// The next_cursor of the page before.
        #[param(pattern = "^[0-9]{1,12}\\.[0-9a-f-]{36}$")]
        cursor: Option<String>,
    }
}

/// A page of tasks, newest first.
#[derive(Serialize, ToSchema)]
pub struct Page {
    items: Vec<Status>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List tasks
///
/// Those that are still in the cluster, newest first, by any of the filters. Tasks made while pages are read are on none of the pages that follow.
#[utoipa::path(get, path = "/api/v1/tasks", tag = "tasks", params(Filter),
    responses((status = 200, description = "A page of them.", body = Page), Problems))]
pub async fn list(
    State(index): State<Arc<Index>>,
    State(namespaces): State<Arc<Namespaces>>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page>, Problem> {
    let limit = page::limit(filter.limit, LIMIT, ProblemType::Query)? as usize;
    let after = filter.cursor.as_deref().map(|cursor| place(cursor, ProblemType::Query)).transpose()?;
    let selection = filter.selection(&namespaces)?;
    let (found, next_cursor) = page_of(&index, after, limit, |known| selection.takes(known));
    Ok(Json(Page { items: found.iter().map(|known| Status::of(known, &index)).collect(), next_cursor }))
}

/// Where a page of the list begins.
pub type Place = (Timestamp, Uid);

/// A page of the tasks that `wanted` takes, newest first, and the cursor of the next one if there is one.
pub fn page_of(
    index: &Index,
    after: Option<Place>,
    limit: usize,
    wanted: impl Fn(&IndexedTask) -> bool,
) -> (Vec<Arc<IndexedTask>>, Option<String>) {
    let mut found = index.page(after, limit + 1, wanted);
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|last| cursor(last));
    (found, next_cursor)
}

/// Creation has whole seconds.
fn cursor(known: &IndexedTask) -> String {
    format!("{}.{}", known.created_at.as_second(), known.uid)
}

/// The place that a cursor names; one that names none is a problem of this kind.
pub fn place(cursor: &str, kind: ProblemType) -> Result<Place, Problem> {
    let read = || {
        let (second, uid) = cursor.split_once('.')?;
        let second = second.bytes().all(|byte| byte.is_ascii_digit()).then(|| second.parse().ok())??;
        let fits = uid.len() == 36 && uid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        Some((Timestamp::from_second(second).unwrap_or(Timestamp::MAX), fits.then(|| uid.into())?))
    };
    read().ok_or_else(|| page::unknown_cursor(kind))
}
