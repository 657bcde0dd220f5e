//! Changes a task that is not finished: PATCH /api/v1/tasks/{id}. The API server judges the change as it would judge
//! kubectl's; refused beside that is only what is above the type's maximum.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::{Map, Value};

use super::Submitter;
use super::changes::TaskChanges;
use crate::api::Task;
use crate::rest::ask::status::{Status, has_tag, tagged};
use crate::rest::find::Finder;
use crate::rest::index::{Index, IndexedTask};
use crate::rest::request::id::{Id, unknown_task};
use crate::serving::body::Text;
use crate::serving::problem::{Problem, ProblemType, Problems};

/// The operator writes to the task too: so often a change is tried that meets another.
const TRIES: usize = 4;

/// Change a task
///
/// A merge patch (RFC 7396) of a task that is not finished: its priority and whether and when it may start, at once; how
/// long it may run, how it is tried again and its resources, from the next attempt on. With If-Match it is changed only
/// if its status is still the one of that ETag.
#[utoipa::path(patch, path = "/api/v1/tasks/{id}", tag = "tasks",
    request_body(content((TaskChanges = "application/merge-patch+json"), (TaskChanges = "application/json"))),
    params(("id" = String, Path, description = "The task_id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the status that the change is meant for")),
    responses((status = 200, description = "It is changed; this is how it stands.", body = Status,
        headers(("ETag" = String))), Problems))]
pub async fn change(
    State(finder): State<Arc<Finder>>,
    State(submitter): State<Arc<Submitter>>,
    State(index): State<Arc<Index>>,
    Id(id): Id,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Response, Problem> {
    let changes = TaskChanges::read(&body)?;
    let known = finder.find(&id).await?;
    if known.state.is_final() {
        return Err(finished());
    }
    // The operator may write what no status shows.
    let as_matched = |known: &IndexedTask| has_tag(&headers, header::IF_MATCH, &Status::of(known, &index));
    let is_meant = headers.contains_key(header::IF_MATCH).then_some(as_matched);
    if is_meant.as_ref().is_some_and(|is_meant| !is_meant(&known)) {
        return Err(not_as_matched());
    }
    let patch = submitter.validated_change(&known, changes.patch()).await?;
    if !patch.is_empty() {
        let task = submitter.patch(&finder, &known, is_meant, &Value::Object(patch)).await?;
        if task.status_or_default().state.is_final() {
            return Err(finished());
        }
    }
    let known = index.get(&id).unwrap_or(known);
    Ok(tagged(&Status::of(&known, &index), &HeaderMap::new()))
}

fn finished() -> Problem {
    ProblemType::Finished
        .because("it is finished, and nothing of it can change; replay it to run it again with changes")
}

fn not_as_matched() -> Problem {
    ProblemType::NotAsMatched.because("its status is no longer the one of this ETag; look at it again").at("If-Match")
}

impl Submitter {
    /// Writes a merge patch of its spec to a task, as long as it stands as `is_meant` has it, if that is given.
    pub(super) async fn patch<F: Fn(&IndexedTask) -> bool>(
        &self,
        finder: &Finder,
        known: &Arc<IndexedTask>,
        is_meant: Option<F>,
        spec: &Value,
    ) -> Result<Task, Problem> {
        let mut known = known.clone();
        for _ in 0..TRIES {
            let version = is_meant.is_some().then_some(known.version);
            match self.api.change(&known.head.namespace, &known.head.name, &known.uid, version, spec).await {
                Ok(Some(task)) => {
                    self.index.task_seen(&task);
                    return Ok(task);
                }
                Ok(None) => return Err(unknown_task()),
                // It changed, or another task has its name.
                Err(problem) if problem.is(ProblemType::Changed) => {
                    finder.in_cluster(&known).await?.ok_or_else(unknown_task)?;
                    known = self.index.get(&known.uid).ok_or_else(unknown_task)?;
                    if is_meant.as_ref().is_some_and(|is_meant| !is_meant(&known)) {
                        return Err(not_as_matched());
                    }
                }
                Err(problem) => return Err(problem),
            }
        }
        Err(ProblemType::Changed.because("the task changes too often; send the request again in a moment"))
    }

    /// A merge patch after our refusals, which are about what it changes alone: the type may allow less than it did when
    /// the task was made.
    async fn validated_change(
        &self,
        known: &IndexedTask,
        mut patch: Map<String, Value>,
    ) -> Result<Map<String, Value>, Problem> {
        let kind = self.kind(&known.head.namespace, &known.head.task_type).await;
        // Its type may have been deleted.
        let kind = match kind {
            Err(problem) if problem.is(ProblemType::UnknownType) => return Ok(patch),
            kind => kind?,
        };
        if let Some(ttl) = patch.get_mut("ttlSecondsAfterFinished").filter(|ttl| ttl.is_null()) {
            *ttl = super::validate::ttl(&kind).into();
        }
        super::validate::within_maximum(&known.head.task_type, &patch, &kind)?;
        Ok(patch)
    }
}
