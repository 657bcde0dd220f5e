//! Problems, as RFC 9457 has them: a stable type for programs, a sentence for people, and the field.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use strum::EnumIter;
use utoipa::ToSchema;

pub use super::problem_types::Problems;

/// Seconds after which trying again is worth it.
const RETRY_AFTER: &str = "1";

/// The types of problems. The list may grow, a type never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter)]
pub enum ProblemType {
    Syntax,
    Query,
    Header,
    NoToken,
    Forbidden,
    NotYourTask,
    CrossSite,
    LogsForbidden,
    UnknownTask,
    UnknownNamespace,
    NoSuchPath,
    NoCheckpoint,
    Method,
    SlowBody,
    NotFinished,
    Finished,
    NoLog,
    Exists,
    NamespaceEnds,
    Changed,
    AttemptOver,
    ResultGone,
    PayloadGone,
    RecordGone,
    LogGone,
    NotAsMatched,
    BodyTooLarge,
    PayloadTooLarge,
    MediaType,
    ContentEncoding,
    Invalid,
    NumberTooLong,
    UnknownType,
    UnknownQueue,
    AboveMaximum,
    LargerThanQueue,
    KeyReused,
    Busy,
    Deadline,
    NotReady,
    NotTaken,
    ApiServer,
    NodeAway,
    Archive,
}

impl ProblemType {
    /// Its type, title and status.
    pub(super) const fn parts(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::Syntax => ("/problems/syntax", "The body is not JSON that can be read", 400),
            Self::Query => ("/problems/query", "The query is not valid", 400),
            Self::Header => ("/problems/header", "A header is not valid", 400),
            Self::NoToken => ("/problems/no-token", "Who are you?", 401),
            Self::NotYourTask => ("/problems/not-your-task", "The token's pod may not say this", 403),
            Self::CrossSite => ("/problems/cross-site", "A page of another site may not do this", 403),
            Self::LogsForbidden => ("/problems/logs-forbidden", "The operator may not read logs", 403),
            Self::Forbidden => ("/problems/forbidden", "The cluster does not allow it", 403),
            Self::UnknownTask => ("/problems/unknown-task", "There is no such task", 404),
            Self::UnknownNamespace => ("/problems/unknown-namespace", "There is no such namespace here", 404),
            Self::NoSuchPath => ("/problems/no-such-path", "There is nothing at this path", 404),
            Self::NoCheckpoint => ("/problems/no-checkpoint", "There is no checkpoint", 404),
            Self::Method => ("/problems/method", "The path does not know this method", 405),
            Self::SlowBody => ("/problems/slow-body", "The body did not arrive in time", 408),
            Self::NotFinished => ("/problems/not-finished", "The task is not finished", 409),
            Self::Finished => ("/problems/finished", "The task is finished", 409),
            Self::NoLog => ("/problems/no-log", "There is no log yet", 409),
            Self::Exists => ("/problems/exists", "There is a task of this name", 409),
            Self::NamespaceEnds => ("/problems/namespace-ends", "The namespace is being deleted", 409),
            Self::Changed => ("/problems/changed", "The task changed meanwhile", 409),
            Self::AttemptOver => ("/problems/attempt-over", "The attempt is over", 409),
            Self::ResultGone => ("/problems/result-gone", "The result is kept no more", 410),
            Self::PayloadGone => ("/problems/payload-gone", "The payload is kept no more", 410),
            Self::RecordGone => ("/problems/record-gone", "The record is kept no more", 410),
            Self::LogGone => ("/problems/log-gone", "The log is no longer kept", 410),
            Self::NotAsMatched => ("/problems/not-as-matched", "The task is not as If-Match says", 412),
            Self::BodyTooLarge => ("/problems/body-too-large", "The body is too large", 413),
            Self::PayloadTooLarge => ("/problems/payload-too-large", "The payload is too large", 413),
            Self::MediaType => ("/problems/media-type", "The body is not declared as JSON", 415),
            Self::ContentEncoding => ("/problems/content-encoding", "The body is in an encoding that is not read", 415),
            Self::Invalid => ("/problems/invalid", "The request is not valid", 422),
            Self::NumberTooLong => ("/problems/number-too-long", "A number would not come back as it was written", 422),
            Self::UnknownType => ("/problems/unknown-type", "There is no such task type", 422),
            Self::UnknownQueue => ("/problems/unknown-queue", "There is no such queue", 422),
            Self::LargerThanQueue => ("/problems/larger-than-queue", "It is larger than its queue", 422),
            Self::AboveMaximum => ("/problems/above-maximum", "It is above what the task type allows", 422),
            Self::KeyReused => ("/problems/key-reused", "The idempotency key stands for another request", 422),
            Self::Busy => ("/problems/busy", "Too much is going on", 503),
            Self::Deadline => ("/problems/deadline", "It was not done in time", 503),
            Self::NotReady => ("/problems/not-ready", "Not ready yet", 503),
            Self::NotTaken => ("/problems/not-taken", "Not taken yet", 503),
            Self::ApiServer => ("/problems/api-server", "The API server did not answer", 503),
            Self::NodeAway => ("/problems/node-away", "The node did not answer", 503),
            Self::Archive => ("/problems/archive", "The archive did not answer", 503),
        }
    }

    /// A problem of this kind, in a sentence that says what to do.
    pub fn because(self, detail: impl Into<String>) -> Problem {
        let (kind, title, status) = self.parts();
        Problem { kind, title, status, detail: detail.into(), field: None }
    }
}

/// A problem (RFC 9457): why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem: stable, for programs to act on.
    #[serde(rename = "type")]
    #[schema(value_type = ProblemType, example = "/problems/invalid")]
    pub kind: &'static str,
    /// The kind in words.
    #[schema(value_type = String)]
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The cause this time, and the remedy.
    pub detail: String,
    /// The field of the request that it is about, such as retry.limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Problem {
    pub fn at(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    pub fn is(&self, kind: ProblemType) -> bool {
        self.kind == kind.parts().0
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // The rest of the body is not read, so nothing can follow on this connection.
            StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
