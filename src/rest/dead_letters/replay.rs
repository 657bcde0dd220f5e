//! Runs many dead letters again, by a filter: POST /api/v1/tasks/dead-letters/replay.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::filter::filtered;
use crate::archive::{Archive, Count, Cursor, Filter};
use crate::rest::find::{Finder, archive_is_away};
use crate::rest::namespaces::Namespaces;
use crate::rest::request::id::unknown_task;
use crate::rest::request::page;
use crate::rest::submit::Submitter;
use crate::rest::submit::bulk::{Bulks, TAKEN_WITHIN, not_in_time};
use crate::rest::submit::changes::{ReplayChanges, read};
use crate::serving::body::Text;
use crate::serving::json;
use crate::serving::problem::{Problem, ProblemType, Problems};

const LIMIT: u32 = 1000;
/// So many are created at the same time.
const AT_ONCE: usize = 16;

filtered! {
    /// Which dead letters are to be replayed. Filters are and-ed; one is needed, or `all`. One that was replayed before
    /// is left out, and so is a run after which its task was run again.
    #[derive(Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    pub struct ReplayFilter {
        /// True: every dead letter that no filter leaves out.
        #[serde(default)]
        all: bool,
        /// What is changed in each.
        #[serde(default, deserialize_with = "json::object")]
        changes: Option<ReplayChanges>,
        /// True: nothing is replayed, and the answer says how many would be, which, and what would be refused.
        #[serde(default)]
        dry_run: bool,
        /// Replay at most so many, the last that failed. Default: 1000.
        #[schema(minimum = 1, maximum = 1000)]
        limit: Option<u32>,
        /// The next_cursor of the answer before.
        cursor: Option<String>,
    }
}

/// The outcome of a replay by a filter.
#[derive(Serialize, ToSchema)]
pub struct ReplayOutcome {
    /// Dead letters that the filter means and that were not replayed before.
    matched: u64,
    /// Present and true where there was no time to count them all: `matched` are those among the newest.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    matched_cut: bool,
    /// How many of them were replayed now.
    replayed: usize,
    dry_run: bool,
    /// The outcome for each, oldest first. In a dry run, which there are.
    results: Vec<ReplayItem>,
    /// Where to go on; absent when all that matched were tried. An answer with few results, or none, has one too where
    /// there was no time to look further.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// The outcome for one: a replay, or a problem; in a dry run a problem, or nothing.
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
/// one. Each is replayed once, however often that is asked for. A dry run says how many there are, and which. Of very many
/// an answer may have counted and looked at the newest alone; then it says so (`matched_cut`, and a `next_cursor`).
#[utoipa::path(post, path = "/api/v1/tasks/dead-letters/replay", tag = "dead letters", request_body = ReplayFilter,
    responses((status = 200, description = "The outcome for each.", body = ReplayOutcome), Problems))]
pub async fn replay_many(
    State(archive): State<Archive>,
    State(namespaces): State<Arc<Namespaces>>,
    State(bulks): State<Bulks>,
    State(replayer): State<Replayer>,
    Text(body): Text,
) -> Result<Json<ReplayOutcome>, Problem> {
    let mut wanted: ReplayFilter = read(&body)?;
    if wanted.is_empty() && !wanted.all {
        return Err(page::everything());
    }
    let limit = page::limit(wanted.limit, LIMIT, ProblemType::Invalid)?;
    let _turn = bulks.turn()?;
    let after = wanted.cursor.as_deref().map(str::parse::<Cursor>).transpose();
    let after = after.map_err(|_| page::unknown_cursor(ProblemType::Invalid))?;
    let (dry_run, changes) = (wanted.dry_run, wanted.changes.take().unwrap_or_default());
    replayer.submitter.judge(namespaces.meant(wanted.namespace.as_deref())?, &changes).await.map_err(of_changes)?;
    let filter = Filter { replayed: Some(false), last_run: true, ..wanted.filter(&namespaces)? };
    let Count { many: matched, is_cut: matched_cut } = archive.count(&filter).await.map_err(archive_is_away)?;
    let page = archive.list(&filter, after.as_ref(), limit).await.map_err(archive_is_away)?;
    let next_cursor = page.next.map(|next| next.to_string());
    let oldest_first = page.items.into_iter().rev();
    let by = Instant::now() + TAKEN_WITHIN;
    let outcomes = oldest_first.map(|summary| replayer.outcome(summary.uid, summary.run_id, &changes, dry_run, by));
    let outcomes: Vec<_> = outcomes.collect();
    let results: Vec<ReplayItem> = stream::iter(outcomes).buffered(AT_ONCE).collect().await;
    let replayed = results.iter().filter(|item| item.replayed_by.is_some()).count();
    Ok(Json(ReplayOutcome { matched, matched_cut, replayed, dry_run, results, next_cursor }))
}

/// A problem with the changes, which are within the body.
fn of_changes(problem: Problem) -> Problem {
    match &problem.field {
        Some(field) => Problem { field: Some(format!("changes.{field}")), ..problem },
        None => problem.at("changes"),
    }
}

/// Replays one dead letter after the other.
#[derive(Clone)]
pub struct Replayer {
    finder: Arc<Finder>,
    submitter: Arc<Submitter>,
}

impl Replayer {
    pub fn new(finder: Arc<Finder>, submitter: Arc<Submitter>) -> Self {
        Self { finder, submitter }
    }

    async fn outcome(
        &self,
        uid: String,
        run_id: String,
        changes: &ReplayChanges,
        dry_run: bool,
        by: Instant,
    ) -> ReplayItem {
        let replay = timeout_at(by, self.replay(&uid, &run_id, changes, dry_run)).await;
        match replay.unwrap_or_else(|_| Err(not_in_time())) {
            Ok(replayed_by) => ReplayItem { task_id: uid, replayed_by, problem: None },
            Err(problem) => ReplayItem { task_id: uid, replayed_by: None, problem: Some(problem) },
        }
    }

    async fn replay(
        &self,
        uid: &str,
        run_id: &str,
        changes: &ReplayChanges,
        dry_run: bool,
    ) -> Result<Option<String>, Problem> {
        let record = self.finder.record(uid).await?.ok_or_else(unknown_task)?;
        if record.summary.run_id != run_id {
            return Err(ProblemType::Changed.because("it was run again since, under another runId"));
        }
        if dry_run {
            return self.submitter.would_replay(&record, changes).await.map(|_| None);
        }
        // The same request may be on its way twice.
        match record.summary.replayed_by.clone() {
            Some(by) => Ok(Some(by)),
            None => self.submitter.replay(&record, changes).await.map(Some),
        }
    }
}
