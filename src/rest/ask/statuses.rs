//! The statuses of many tasks, from memory: POST /api/v1/tasks/status.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::status::Status;
use crate::rest::find::Finder;
use crate::rest::index::Index;
use crate::serving::body::Body;
use crate::serving::problem::{Problem, ProblemType, Problems};

const MOST: usize = 1000;

/// Which tasks are asked about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskIds {
    /// Up to 1,000.
    #[schema(min_items = 1, max_items = 1000)]
    task_ids: Vec<String>,
}

/// How they stand.
#[derive(Serialize, ToSchema)]
pub struct Statuses {
    statuses: Vec<Status>,
    /// Ids that no task has.
    not_found: Vec<String>,
}

/// Get many statuses
///
/// Up to 1,000 in one request, from memory.
#[utoipa::path(post, path = "/api/v1/tasks/status", tag = "tasks", request_body = TaskIds,
    responses((status = 200, description = "How they stand.", body = Statuses), Problems))]
pub async fn statuses(
    State(finder): State<Arc<Finder>>,
    State(index): State<Arc<Index>>,
    Body(TaskIds { task_ids }): Body<TaskIds>,
) -> Result<Json<Statuses>, Problem> {
    if !(1..=MOST).contains(&task_ids.len()) {
        let detail = format!("ask for 1 to {MOST} tasks at once, not {}", task_ids.len());
        return Err(ProblemType::Invalid.because(detail).at("task_ids"));
    }
    // All that are not known are waited for together, until nobody knows about one of them.
    let found = try_join_all(task_ids.iter().map(|id| finder.find_among_many(id))).await?;
    let mut answer = Statuses { statuses: vec![], not_found: vec![] };
    for (id, found) in task_ids.into_iter().zip(found) {
        match found {
            Some(known) => answer.statuses.push(Status::of(&known, &index)),
            None => answer.not_found.push(id),
        }
    }
    Ok(Json(answer))
}
