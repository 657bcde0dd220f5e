//! Bodies of JSON, read within bounds. A body that cannot be read is a problem in our words, never in axum's.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::json;
use super::problem::{Problem, ProblemType};

/// A body that has not arrived by then is not waited for, however steadily it trickles.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// The body's text, declared as JSON and within the route's limit.
pub struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_declared_as_json(request.headers()) {
            return Err(ProblemType::MediaType.because("send the body with Content-Type: application/json"));
        }
        let arrived = tokio::time::timeout(ARRIVES_WITHIN, Bytes::from_request(request, state)).await;
        let arrived = arrived.map_err(|_| {
            ProblemType::SlowBody
                .because(format!("the body has not arrived within {} s; send it again", ARRIVES_WITHIN.as_secs()))
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

fn is_declared_as_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_json)
}

/// Whether a content type is JSON.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
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
