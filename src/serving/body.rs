//! Bodies of JSON, read within bounds. A body that cannot be read is a problem in our words, never in axum's.

use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use serde::de::DeserializeOwned;

use super::json;
use super::manners::media_type;
use super::problem::{Problem, ProblemType};

/// A body that has not arrived by then is not waited for, however steadily it trickles.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// The body's text, declared as JSON and within the route's limit.
pub struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_declared_as_json(request.method(), request.headers()) {
            return Err(media_type());
        }
        let most = request.extensions().get::<Most>().copied();
        let arrived = tokio::time::timeout(ARRIVES_WITHIN, Bytes::from_request(request, state)).await;
        let arrived = arrived.map_err(|_| {
            ProblemType::SlowBody
                .because(format!("the body has not arrived within {} s; send it again", ARRIVES_WITHIN.as_secs()))
        })?;
        let bytes = arrived.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(most),
            _ => ProblemType::Syntax.because("the body broke off"),
        })?;
        let text = String::from_utf8(bytes.into());
        text.map(Self).map_err(|_| ProblemType::Syntax.because("the body is not UTF-8"))
    }
}

fn too_large(most: Option<Most>) -> Problem {
    let most = most.map_or("is read here".into(), |Most(bytes)| format!("the {bytes} bytes that are read here"));
    let what = "send less at once, or put the content into a store of yours and hand over a reference";
    ProblemType::BodyTooLarge.because(format!("the body is larger than {most}: {what}"))
}

/// The most bytes of a body that a route reads, as it is told to who sends more.
#[derive(Clone, Copy)]
struct Most(usize);

/// Bounds the bodies of some routes.
pub fn at_most(bytes: usize) -> (Extension<impl Clone + Send + Sync + 'static + use<>>, DefaultBodyLimit) {
    (Extension(Most(bytes)), DefaultBodyLimit::max(bytes))
}

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Whether the headers declare JSON. A change may be declared as the merge patch that it is.
pub fn is_declared_as_json(method: &Method, headers: &HeaderMap) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    declared.is_some_and(|declared| is_json(declared) || method == Method::PATCH && is(declared, MERGE_PATCH))
}

/// Whether a content type is JSON.
pub fn is_json(content_type: &str) -> bool {
    is(content_type, JSON)
}

fn is(content_type: &str, wanted: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

/// The body's text, where one was sent. A body that is not declared as JSON was refused before.
pub struct OptionalText(pub Option<String>);

impl<S: Send + Sync> FromRequest<S> for OptionalText {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_declared_as_json(request.method(), request.headers()) {
            return Ok(Self(None));
        }
        let Text(text) = Text::from_request(request, state).await?;
        Ok(Self(Some(text).filter(|text| !text.is_empty())))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_content_type_whatever_its_parameters() {
        assert!(is_json("application/json") && is_json("Application/JSON; charset=utf-8") && !is_json("text/json"));
    }
}
