//! Bodies that go into the archive, whatever they are: read within bounds of size and time, and one of each pod at a time.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::WorkerApi;
use crate::archive::{Error, LONGEST_TYPE};
use crate::core::attempt::id::AttemptId;
use crate::live::{NotTaken, Reporter};
use crate::serving::problem::{Problem, ProblemType};

/// Something of it arrives at least so often.
const SOMETHING: Duration = Duration::from_secs(10);

/// A kind of body.
pub(super) struct Upload {
    /// As it is called in sentences, with its article.
    pub what: &'static str,
    pub largest: usize,
    /// For one that is too large.
    pub instead: &'static str,
    /// The whole of it has arrived by then.
    pub within: Duration,
}

impl Upload {
    /// A body whose head says that it is too large is not read.
    pub fn check_length(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|bytes| bytes > self.largest as u64) { Err(self.too_large()) } else { Ok(()) }
    }

    /// Lets an upload begin: whose it is, what it says of itself, and its turn.
    pub async fn begin<'a>(
        &self,
        api: &'a WorkerApi,
        permits: &'a Semaphore,
        reporter: &Reporter,
        headers: &HeaderMap,
    ) -> Result<Begun<'a>, Problem> {
        let attempt = api.live.attempt_of(reporter).await?;
        let content_type = content_type(headers)?;
        self.check_length(headers)?;
        let (Some(turn), Ok(permit)) = (Turn::of(api, reporter), permits.try_acquire()) else {
            return Err(self.busy());
        };
        Ok(Begun { attempt, content_type, turn, _permit: permit })
    }

    pub async fn read(&self, body: Body) -> Result<Vec<u8>, Problem> {
        let whole = timeout(self.within, self.read_pieces(body.into_data_stream())).await;
        whole.unwrap_or_else(|_| Err(too_slow(self.within)))
    }

    async fn read_pieces(&self, mut body: BodyDataStream) -> Result<Vec<u8>, Problem> {
        let mut content = Vec::new();
        while let Some(piece) = timeout(SOMETHING, body.next()).await.map_err(|_| too_slow(SOMETHING))? {
            let piece = piece.map_err(|_| ProblemType::Syntax.because("the body broke off"))?;
            if content.len() + piece.len() > self.largest {
                return Err(self.too_large());
            }
            content.extend_from_slice(&piece);
        }
        Ok(content)
    }

    fn too_large(&self) -> Problem {
        let Self { what, largest, instead, .. } = self;
        ProblemType::BodyTooLarge.because(format!("{what} has up to {largest} bytes: {instead}"))
    }

    fn busy(&self) -> Problem {
        let why =
            format!("{} is on its way from too many, or another of this pod; send it again in a moment", self.what);
        ProblemType::Busy.because(why)
    }

    pub fn not_stored(&self, error: Error) -> Problem {
        match error {
            Error::TooLarge { .. } => self.too_large(),
            Error::Outdated(_) => NotTaken::Over.into(),
            error => {
                let what = self.what;
                // The archive itself tells once that it is away.
                if error.is_temporary() {
                    tracing::debug!(%error, "failed to store {what}");
                } else {
                    tracing::warn!(%error, "failed to store {what}");
                }
                ProblemType::Archive.because(format!("{what} could not be stored; send it again in a moment"))
            }
        }
    }
}

/// An upload on its way.
pub(super) struct Begun<'a> {
    pub attempt: AttemptId,
    pub content_type: String,
    turn: Turn<'a>,
    _permit: SemaphorePermit<'a>,
}

impl Begun<'_> {
    /// Fails where its attempt is over by now: a late upload does not overwrite what came in the meantime.
    pub async fn is_not_late(&self, reporter: &Reporter) -> Result<(), Problem> {
        if self.turn.api.live.attempt_of(reporter).await? == self.attempt { Ok(()) } else { Err(NotTaken::Over.into()) }
    }
}

/// One of each pod at a time, so that none keeps the others from handing over theirs.
struct Turn<'a> {
    api: &'a WorkerApi,
    pod: String,
}

impl<'a> Turn<'a> {
    fn of(api: &'a WorkerApi, reporter: &Reporter) -> Option<Self> {
        let pod = reporter.uid.clone();
        api.uploading.lock().insert(pod.clone()).then(|| Self { api, pod })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.api.uploading.lock().remove(&self.pod);
    }
}

fn content_type(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok("application/octet-stream".into()) };
    let value = value.to_str().ok().filter(|value| (1..=LONGEST_TYPE).contains(&value.len()));
    value.map(str::to_owned).ok_or_else(|| {
        ProblemType::Header.because("a content type has 1 to 255 visible ASCII characters").at("Content-Type")
    })
}

fn too_slow(limit: Duration) -> Problem {
    ProblemType::SlowBody
        .because(format!("nothing, or not all of it, has arrived within {} s; send it again", limit.as_secs()))
}
