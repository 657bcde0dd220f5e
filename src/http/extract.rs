//! What a request brings, read with bounds; what cannot be read is a problem, never axum's own words.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use utoipa::IntoParams;

use super::large;
use super::problem::{Kind, Problem};

/// A body that has not arrived by then is not waited for, however steadily it trickles.
const BODY: Duration = Duration::from_secs(10);

/// The body's text, declared as JSON and within the route's limit.
pub struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Kind::MediaType.because("send the body with Content-Type: application/json"));
        }
        let arrived = tokio::time::timeout(BODY, Bytes::from_request(request, state)).await;
        let arrived = arrived.map_err(|_| {
            Kind::SlowBody.because(format!("the body has not arrived within {} s; send it again", BODY.as_secs()))
        })?;
        let bytes = arrived.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Kind::BodyTooLarge.because(
                "the body is larger than is read here: put the content into a store of yours and hand over a reference",
            ),
            _ => Kind::Syntax.because("the body broke off"),
        })?;
        let text = String::from_utf8(bytes.into());
        text.map(Self).map_err(|_| Kind::Syntax.because("the body is not UTF-8"))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(large::is_json)
}

/// Reads a JSON object; says which field it is that cannot be read.
pub fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut json).map(|Whole(read)| read).map_err(|error| {
        let field = error.path().to_string();
        let problem = match error.inner().classify() {
            Category::Data => Kind::Invalid.because(error.inner().to_string()),
            Category::Syntax | Category::Eof | Category::Io => Kind::Syntax.because(error.inner().to_string()),
        };
        if field == "." { problem } else { problem.at(field) }
    })?;
    json.end().map_err(|error| Kind::Syntax.because(error.to_string()))?;
    Ok(read)
}

struct Whole<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let absent = || D::Error::invalid_type(Unexpected::Unit, &AN_OBJECT);
        object(deserializer)?.map(Self).ok_or_else(absent)
    }
}

const AN_OBJECT: &str = "a JSON object";

/// An object, or null for none. Derived code would take a list of as many values, too, which no manifest may hold.
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Object(PhantomData))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(AN_OBJECT)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Some)
    }

    /// One that breaks off is no JSON at all, and that goes before.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Err(A::Error::invalid_type(Unexpected::Seq, &self))
    }
}

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Text(text) = Text::from_request(request, state).await?;
        read(&text).map(Self)
    }
}

/// The query.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|rejection| Kind::Query.because(rejection.body_text()))
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
    Kind::UnknownTask.because("no task has this id; use the task_id that the submission was answered with")
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
                true => Err(Kind::Header.because("send one Idempotency-Key").at("Idempotency-Key")),
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
    let kind = if field == "Idempotency-Key" { Kind::Header } else { Kind::Invalid };
    kind.because("a key has 1 to 255 visible ASCII characters, such as a UUID").at(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(rename = "inner")]
        _inner: Inner,
        #[serde(rename = "other", default, deserialize_with = "object")]
        _other: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(rename = "number")]
        _number: i32,
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_field() {
        for (text, kind, field) in [
            (r#"{"inner": {"number": "x"}}"#, Kind::Invalid, Some("inner.number")),
            (r#"{"inner": {"number": 1, "nope": 1}}"#, Kind::Invalid, Some("inner.nope")),
            (r#"{"inner": {"number": 1}, "inner": {"number": 1}}"#, Kind::Invalid, None),
            (r#"{"inner": {"number": 1}, "other": [1]}"#, Kind::Invalid, Some("other")),
            (r#"{"inner": {"number": 1}, "other": {"number": "x"}}"#, Kind::Invalid, Some("other.number")),
            (r#"{"inner": {"number": 1}, "other": {"nope": 1}}"#, Kind::Invalid, Some("other.nope")),
            (r#"[{"number": 1}, null]"#, Kind::Invalid, None),
            (r"null", Kind::Invalid, None),
            (r"{}", Kind::Invalid, None),
            (r"[", Kind::Syntax, None),
            (r#"{"inner": {"number": 1}, "other": [1}"#, Kind::Syntax, Some("other")),
            (r"", Kind::Syntax, None),
            (r#"{"inner": {"number": 1}} x"#, Kind::Syntax, None),
        ] {
            let problem = read::<Outer>(text).expect_err(text);
            assert!(problem.is(kind), "{text}: {problem:?}");
            assert_eq!(problem.field.as_deref(), field, "{text}: {problem:?}");
        }
    }

    #[test]
    fn a_key_means_the_same_with_and_without_quotes() {
        assert_eq!(key("a-1", "k"), Ok("a-1".into()));
        assert_eq!(key("\"a-1\"", "k"), Ok("a-1".into()));
        for wrong in ["", "a b", "a\tb", "ä", &"x".repeat(256)] {
            assert!(key(wrong, "k").is_err(), "{wrong}");
        }
    }
}
