//! What a request brings, read with bounds; what cannot be read is a problem, never axum's own words.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::json;
use crate::rest::ask::large;
use crate::rest::problem::{Problem, ProblemType};

/// A body that has not arrived by then is not waited for, however steadily it trickles.
const BODY: Duration = Duration::from_secs(10);

/// The body's text, declared as JSON and within the route's limit.
pub struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(ProblemType::MediaType.because("send the body with Content-Type: application/json"));
        }
        let arrived = tokio::time::timeout(BODY, Bytes::from_request(request, state)).await;
        let arrived = arrived.map_err(|_| {
            ProblemType::SlowBody
                .because(format!("the body has not arrived within {} s; send it again", BODY.as_secs()))
        })?;
        let bytes = arrived.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ProblemType::BodyTooLarge.because(
                "the body is larger than is read here: put the content into a store of yours and hand over a reference",
            ),
            _ => ProblemType::Syntax.because("the body broke off"),
        })?;
        let text = String::from_utf8(bytes.into());
        text.map(Self).map_err(|_| ProblemType::Syntax.because("the body is not UTF-8"))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(large::is_json)
}

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Text(text) = Text::from_request(request, state).await?;
        json::json(&text).map(Self)
    }
}

/// The query.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        json::query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// The task's id in the path.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|_| unknown_task())
    }
}

pub fn unknown_task() -> Problem {
    ProblemType::UnknownTask.because("no task has this id; use the task_id that the submission was answered with")
}

/// What the client calls its request, so that sending it twice is harmless.
pub struct IdempotencyKey(pub Option<String>);

/// The same, as the document tells of it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it is written down for the OpenAPI document alone")]
pub struct KeyHeader {
    /// What the client calls this request: visible ASCII, such as a UUID, with or without double quotes
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    key: Option<String>,
}

const HEADER: &str = "idempotency-key";
const LONGEST_KEY: usize = 255;

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut given = parts.headers.get_all(HEADER).iter();
        let (Some(first), None) = (given.next(), given.next()) else {
            return match parts.headers.contains_key(HEADER) {
                true => Err(ProblemType::Header.because("send one Idempotency-Key").at("Idempotency-Key")),
                false => Ok(Self(None)),
            };
        };
        let text = first.to_str().map_err(|_| wrong_key("Idempotency-Key"))?;
        key(text, "Idempotency-Key").map(|key| Self(Some(key)))
    }
}

/// The key as it is meant: the draft of the header writes it in double quotes, most clients do not.
pub fn key(text: &str, field: &str) -> Result<String, Problem> {
    let fits = (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if fits { Ok(bare.to_owned()) } else { Err(wrong_key(field)) }
}

fn wrong_key(field: &str) -> Problem {
    let kind = if field == "Idempotency-Key" { ProblemType::Header } else { ProblemType::Invalid };
    kind.because("a key has 1 to 255 visible ASCII characters, such as a UUID").at(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_means_the_same_with_and_without_quotes() {
        assert_eq!(key("a-1", "k"), Ok("a-1".into()));
        assert_eq!(key("\"a-1\"", "k"), Ok("a-1".into()));
        for wrong in ["", "a b", "a\tb", "ä", &"x".repeat(256)] {
            assert!(key(wrong, "k").is_err(), "{wrong}");
        }
    }
}
