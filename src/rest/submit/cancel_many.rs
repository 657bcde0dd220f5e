//! Ends many tasks, by a filter: POST /api/v1/tasks/cancel.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::Submitter;
use super::bulk::{Bulks, TAKEN_WITHIN, not_in_time};
use crate::api::State as TaskState;
use crate::rest::ask::list::{Place, page_of, place};
use crate::rest::ask::selection::{Selection, selecting};
use crate::rest::find::Finder;
use crate::rest::index::{Index, IndexedTask};
use crate::rest::namespaces::Namespaces;
use crate::rest::request::id::unknown_task;
use crate::rest::request::page;
use crate::serving::body::Body;
use crate::serving::problem::{Problem, ProblemType, Problems};

const MOST: usize = 1000;
/// So many are cancelled at the same time.
const AT_ONCE: usize = 16;

selecting! {
    /// Which tasks are to be cancelled. Filters are and-ed; one is needed, or `all`. Tasks that are finished, or whose
    /// cancellation was asked for before, are not meant by a filter.
    #[derive(Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    pub struct CancelFilter {
        /// These alone, up to 1,000. Each has its outcome, also one that is finished or that nobody knows.
        #[schema(min_items = 1, max_items = 1000)]
        task_ids: Option<Vec<String>>,
        /// True: every task that no filter leaves out.
        #[serde(default)]
        all: bool,
        /// True: nothing is cancelled, and the answer says how many would be, and which.
        #[serde(default)]
        dry_run: bool,
        /// Cancel at most so many, the newest. Default: 1000.
        #[schema(minimum = 1, maximum = 1000)]
        limit: Option<u32>,
        /// The next_cursor of the answer before.
        cursor: Option<String>,
    }
}

/// The outcome of a cancellation by a filter.
#[derive(Serialize, ToSchema)]
pub struct CancelOutcome {
    /// Tasks that the filter means, whatever the limit.
    matched: usize,
    /// How many of them were cancelled now: each leaves its queue, or its work is stopped.
    cancelled: usize,
    /// How many were finished already, and stay as they are.
    already_final: usize,
    /// How many could not be cancelled.
    failed: usize,
    dry_run: bool,
    /// The outcome for each, up to the limit. In a dry run, which there are.
    results: Vec<CancelItem>,
    /// Where to go on; absent when all that matched were tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// The outcome for one; in a dry run absent for one that would be cancelled.
#[derive(Serialize, ToSchema)]
pub struct CancelItem {
    task_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<CancelWord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// The outcome in a word.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelWord {
    /// It leaves its queue, or its work is stopped; its status says cancelled when that is done.
    Cancelled,
    AlreadyFinal,
    /// The problem says why.
    Failed,
}

/// Cancel many tasks
///
/// All that a filter means, up to 1,000 at once: send it again with the `next_cursor` of the answer while there is one.
/// Those that wait go first, so that none of them takes the place of one that runs. A dry run says how many there are,
/// and which.
#[utoipa::path(post, path = "/api/v1/tasks/cancel", tag = "tasks", request_body = CancelFilter,
    responses((status = 200, description = "The outcome for each.", body = CancelOutcome), Problems))]
pub async fn cancel_many(
    State(finder): State<Arc<Finder>>,
    State(submitter): State<Arc<Submitter>>,
    State(index): State<Arc<Index>>,
    State(namespaces): State<Arc<Namespaces>>,
    State(bulks): State<Bulks>,
    Body(wanted): Body<CancelFilter>,
) -> Result<Json<CancelOutcome>, Problem> {
    let selection = wanted.selection(&namespaces)?;
    if selection.is_empty() && wanted.task_ids.is_none() && !wanted.all {
        return Err(page::everything());
    }
    let limit = page::limit(wanted.limit, MOST as u32, ProblemType::Invalid)? as usize;
    let after = wanted.cursor.as_deref().map(|cursor| place(cursor, ProblemType::Invalid)).transpose()?;
    let _turn = bulks.turn()?;
    let meant = match &wanted.task_ids {
        Some(ids) => by_ids(&finder, ids, &selection).await?,
        None => by_filter(&index, &selection, after, limit),
    };
    let Meant { matched, mut tasks, told, next_cursor } = meant;
    tasks.sort_by_key(|known| known.state == TaskState::Processing);
    let tried = if wanted.dry_run {
        tasks.iter().map(|known| CancelItem::of(&known.uid, None)).collect()
    } else {
        let until = Instant::now() + TAKEN_WITHIN;
        let outcomes: Vec<_> = tasks.iter().map(|known| submitter.cancelled(&finder, known, until)).collect();
        stream::iter(outcomes).buffered(AT_ONCE).collect::<Vec<_>>().await
    };
    let results: Vec<CancelItem> = tried.into_iter().chain(told).collect();
    let count = |word| results.iter().filter(|item| item.outcome == Some(word)).count();
    let [cancelled, already_final, failed] =
        [CancelWord::Cancelled, CancelWord::AlreadyFinal, CancelWord::Failed].map(count);
    Ok(Json(CancelOutcome { matched, cancelled, already_final, failed, dry_run: wanted.dry_run, results, next_cursor }))
}

/// The tasks that a request means.
struct Meant {
    matched: usize,
    /// To be cancelled.
    tasks: Vec<Arc<IndexedTask>>,
    /// Not to be cancelled, with the reason.
    told: Vec<CancelItem>,
    next_cursor: Option<String>,
}

fn by_filter(index: &Index, selection: &Selection, after: Option<Place>, limit: usize) -> Meant {
    let takes = |known: &IndexedTask| !known.state.is_final() && !known.is_cancelled && selection.takes(known);
    let mut matched = 0;
    index.each(|known| matched += usize::from(takes(known)));
    let (tasks, next_cursor) = page_of(index, after, limit, takes);
    Meant { matched, tasks, told: vec![], next_cursor }
}

async fn by_ids(finder: &Finder, ids: &[String], selection: &Selection) -> Result<Meant, Problem> {
    if !(1..=MOST).contains(&ids.len()) {
        let detail = format!("name 1 to {MOST} tasks at once, not {}", ids.len());
        return Err(ProblemType::Invalid.because(detail).at("task_ids"));
    }
    let ids: BTreeSet<&String> = ids.iter().collect();
    let found = try_join_all(ids.iter().map(|id| finder.find_among_many(id))).await?;
    let mut meant = Meant { matched: 0, tasks: vec![], told: vec![], next_cursor: None };
    for (id, found) in ids.into_iter().zip(found) {
        match found {
            None => meant.told.push(CancelItem::failed(id, unknown_task())),
            Some(known) if !selection.takes(&known) => {}
            Some(known) if known.state.is_final() => {
                meant.matched += 1;
                meant.told.push(CancelItem::of(id, Some(CancelWord::AlreadyFinal)));
            }
            Some(known) => {
                meant.matched += 1;
                meant.tasks.push(known);
            }
        }
    }
    Ok(meant)
}

impl Submitter {
    async fn cancelled(&self, finder: &Finder, known: &Arc<IndexedTask>, until: Instant) -> CancelItem {
        // Nothing that has its turn too late is begun.
        if Instant::now() >= until {
            return CancelItem::failed(&known.uid, not_in_time());
        }
        match timeout_at(until, self.cancel(finder, known)).await {
            Ok(Ok(task)) if task.status_or_default().state.is_final() => {
                CancelItem::of(&known.uid, Some(CancelWord::AlreadyFinal))
            }
            Ok(Ok(_)) => CancelItem::of(&known.uid, Some(CancelWord::Cancelled)),
            Ok(Err(problem)) => CancelItem::failed(&known.uid, problem),
            Err(_) => CancelItem::failed(&known.uid, not_in_time()),
        }
    }
}

impl CancelItem {
    fn of(id: &str, outcome: Option<CancelWord>) -> Self {
        Self { task_id: id.into(), outcome, problem: None }
    }

    fn failed(id: &str, problem: Problem) -> Self {
        Self { problem: Some(problem), ..Self::of(id, Some(CancelWord::Failed)) }
    }
}
