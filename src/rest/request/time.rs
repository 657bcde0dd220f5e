//! Times in a query or a body.

use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::api::read_time;

/// A time, if one is written. What is none is told with what to write.
pub fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let plus = if text.contains(' ') { "; a + is written %2B in a query" } else { "" };
    let error =
        || D::Error::custom(format!("{text:?} is no time: write one such as 2026-01-01T00:00:00Z (RFC 3339){plus}"));
    read_time(&text).map(Some).ok_or_else(error)
}
