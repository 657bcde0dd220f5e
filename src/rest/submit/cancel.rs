//! Ends a task: POST /api/v1/tasks/{id}/cancel.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::rest::app::App;
use crate::rest::ask::status::Status;
use crate::rest::problem::{Problem, Problems};
use crate::rest::request::extract::{Id, unknown_task};

/// Cancel a task
///
/// It leaves its queue, or its work is stopped; its status says cancelled when that is done. A task that is
/// finished stays as it is.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/cancel", tag = "tasks",
    params(("id" = String, Path, description = "The task_id")),
    responses((status = 202, description = "It will be cancelled.", body = Status),
        (status = 200, description = "It is finished already.", body = Status), Problems))]
pub async fn cancel(State(app): State<Arc<App>>, Id(id): Id) -> Result<(StatusCode, Json<Status>), Problem> {
    let known = app.find(&id).await?;
    if known.state.is_final() {
        return Ok((StatusCode::OK, Json(Status::of(&known, &app.index))));
    }
    if !known.cancelled {
        let task = app.calls.cancel(&known.namespace, &known.name, &known.uid).await?.ok_or_else(unknown_task)?;
        app.index.task_seen(&task);
    }
    let known = app.index.get(&id).unwrap_or(known);
    Ok((StatusCode::ACCEPTED, Json(Status::of(&known, &app.index))))
}
