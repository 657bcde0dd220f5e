//! The idempotency key: the client's own name for its request, so that sending it twice is harmless.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::IntoParams;

use crate::serving::problem::{Problem, ProblemType};

const HEADER: &str = "Idempotency-Key";
const LONGEST: usize = 255;
const QUOTES: [char; 3] = ['"', '\'', '`'];

/// The key in the header, if there is one.
pub struct IdempotencyKey(pub Option<String>);

/// The same, as the document tells of it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it is written down for the OpenAPI document alone")]
pub struct KeyHeader {
    /// The client's own name for this request: visible ASCII, such as a UUID, with or without double quotes
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!#-&(-_a-~]+$")]
    key: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut given = parts.headers.get_all(HEADER).iter();
        match (given.next(), given.next()) {
            (None, _) => Ok(Self(None)),
            (Some(_), Some(_)) => Err(ProblemType::Header.because("send one Idempotency-Key").at(HEADER)),
            (Some(only), None) => {
                let text = only.to_str().map_err(|_| wrong(HEADER))?;
                key(text, HEADER).map(|key| Self(Some(key)))
            }
        }
    }
}

/// The key as it is meant: the draft of the header writes it in double quotes, most clients do not.
pub fn key(text: &str, field: &str) -> Result<String, Problem> {
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let fits = (1..=LONGEST).contains(&bare.len()) && bare.bytes().all(|byte| byte.is_ascii_graphic());
    // Quotes without anything in them are how an unset variable is sent.
    let says_something = bare.contains(|c| !QUOTES.contains(&c));
    if fits && says_something { Ok(bare.to_owned()) } else { Err(wrong(field)) }
}

fn wrong(field: &str) -> Problem {
    let kind = if field == HEADER { ProblemType::Header } else { ProblemType::Invalid };
    kind.because("a key has 1 to 255 visible ASCII characters, such as a UUID; leave it out where there is none")
        .at(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_means_the_same_with_and_without_quotes() {
        assert_eq!(key("a-1", "k"), Ok("a-1".into()));
        assert_eq!(key("\"a-1\"", "k"), Ok("a-1".into()));
        let longest = "x".repeat(255);
        assert_eq!(key(&format!("\"{longest}\""), "k"), Ok(longest));
        for wrong in ["", "\"\"", "\"", "''", "\"'\"", "\"\"\"\"", "\" \"", " ", "a b", "a\tb", "ä", &"x".repeat(256)]
        {
            assert!(key(wrong, "k").is_err(), "{wrong}");
        }
    }
}
