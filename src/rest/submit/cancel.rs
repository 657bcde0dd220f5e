//! Ends a task: POST /api/v1/tasks/{id}/cancel.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::Submitter;
use crate::api::Task;
use crate::rest::ask::status::Status;
use crate::rest::find::Finder;
use crate::rest::index::{Index, IndexedTask};
use crate::rest::request::id::Id;
use crate::serving::problem::{Problem, Problems};

/// Cancel a task
///
/// It leaves its queue, or its work is stopped; its status says cancelled when that is done. A task that is
/// finished stays as it is.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/cancel", tag = "tasks",
    params(("id" = String, Path, description = "The task_id")),
    responses((status = 202, description = "It will be cancelled.", body = Status),
        (status = 200, description = "It is finished already.", body = Status), Problems))]
pub async fn cancel(
    State(finder): State<Arc<Finder>>,
    State(submitter): State<Arc<Submitter>>,
    State(index): State<Arc<Index>>,
    Id(id): Id,
) -> Result<(StatusCode, Json<Status>), Problem> {
    let known = finder.find(&id).await?;
    if known.state.is_final() {
        return Ok((StatusCode::OK, Json(Status::of(&known, &index))));
    }
    if !known.is_cancelled {
        submitter.cancel(&finder, &known).await?;
    }
    let known = index.get(&id).unwrap_or(known);
    Ok((StatusCode::ACCEPTED, Json(Status::of(&known, &index))))
}

impl Submitter {
    /// Asks for the task's end.
    pub(super) async fn cancel(&self, finder: &Finder, known: &Arc<IndexedTask>) -> Result<Task, Problem> {
        self.patch(finder, known, None::<fn(&IndexedTask) -> bool>, &json!({"cancel": true})).await
    }
}
