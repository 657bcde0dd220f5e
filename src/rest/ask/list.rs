//! Tasks by filters, newest first, page by page, from memory: GET /api/v1/tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::status::Status;
use crate::api::Priority;
use crate::rest::index::{Index, IndexedTask, Uid};
use crate::rest::namespaces::Namespaces;
use crate::rest::request::field_names::type_name;
use crate::rest::request::page;
use crate::rest::request::query::Query;
use crate::rest::wire::Phase;
use crate::serving::problem::{Problem, ProblemType, Problems};

const LIMIT: u32 = 100;

/// Which tasks are wanted. Filters are and-ed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// queued, processing, completed, failed or cancelled.
    status: Option<Phase>,
    /// The kind of work; document_processing stands for document-processing.
    task_type: Option<String>,
    kb_id: Option<String>,
    priority: Option<Priority>,
    queue: Option<String>,
    /// One of the served namespaces. Default: all of them.
    namespace: Option<String>,
    /// Tasks on a page. Default: 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The next_cursor of the page before.
    #[param(pattern = "^[0-9]{1,12}\\.[0-9a-f-]{36}$")]
    cursor: Option<String>,
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
    let after = filter.cursor.as_deref().map(place).transpose()?;
    namespaces.filtered(filter.namespace.as_deref())?;
    let kind = filter.task_type.as_deref().map(type_name);
    let mut found = index.page(after, limit + 1, |known| filter.takes(kind.as_deref(), known));
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|last| cursor(last));
    Ok(Json(Page { items: found.iter().map(|known| Status::of(known, &index)).collect(), next_cursor }))
}

impl Filter {
    fn takes(&self, kind: Option<&str>, known: &IndexedTask) -> bool {
        let is = |wanted: Option<&str>, is: Option<&str>| wanted.is_none_or(|wanted| is == Some(wanted));
        let head = &known.head;
        self.status.is_none_or(|status| status == head.status)
            && self.priority.is_none_or(|priority| priority == head.priority)
            && is(kind, Some(&head.task_type))
            && is(self.kb_id.as_deref(), head.kb_id.as_deref())
            && is(self.queue.as_deref(), Some(&head.queue))
            && is(self.namespace.as_deref(), Some(&head.namespace))
    }
}

/// Creation has whole seconds.
fn cursor(known: &IndexedTask) -> String {
    format!("{}.{}", known.created_at.as_second(), known.uid)
}

fn place(cursor: &str) -> Result<(Timestamp, Uid), Problem> {
    let read = || {
        let (second, uid) = cursor.split_once('.')?;
        let second = second.bytes().all(|byte| byte.is_ascii_digit()).then(|| second.parse().ok())??;
        let fits = uid.len() == 36 && uid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        Some((Timestamp::from_second(second).unwrap_or(Timestamp::MAX), fits.then(|| uid.into())?))
    };
    read().ok_or_else(|| page::unknown_cursor(ProblemType::Query))
}
