//! How parts of a task are written over REST where that differs from the resource: its state in lower case, its
//! progress without a time, and the reasons that there are.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use strum::IntoEnumIterator;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::api;
use crate::api::Reason;

/// Where a task is in its life. The last three are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Queued,
    Processing,
    Completed,
    Failed,
    Cancelled,
}

impl From<api::State> for Phase {
    fn from(state: api::State) -> Self {
        match state {
            api::State::Queued => Self::Queued,
            api::State::Processing => Self::Processing,
            api::State::Completed => Self::Completed,
            api::State::Failed => Self::Failed,
            api::State::Cancelled => Self::Cancelled,
        }
    }
}

/// How far the work says it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Progress {
    /// 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<i32>,
    /// Items done, of total.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
    /// In the work's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl From<api::Progress> for Progress {
    fn from(progress: api::Progress) -> Self {
        let api::Progress { percent, done, total, message, updated_at: _ } = progress;
        Self { percent, done, total, message }
    }
}

/// A result as it is answered: one of JSON that the cluster could keep only as its text is JSON again, byte for byte.
pub fn result(kept: &Value, is_text_of_json: bool) -> Option<Box<RawValue>> {
    let text = kept.as_str().filter(|_| is_text_of_json);
    let whole = text.and_then(|text| RawValue::from_string(text.to_owned()).ok());
    whole.or_else(|| to_raw_value(kept).ok())
}

/// A reason that there is. In a filter a word that we do not know is a typing error.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct KnownReason(pub Reason);

impl TryFrom<String> for KnownReason {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let known = Reason::iter().find(|reason| reason.to_string() == word);
        known.map(Self).ok_or_else(|| {
            let words: Vec<String> = Reason::iter().map(|reason| reason.to_string()).collect();
            format!("{word:?} is no reason; write one of these: {}", words.join(", "))
        })
    }
}

impl PartialSchema for KnownReason {
    fn schema() -> RefOr<Schema> {
        let words = Reason::iter().map(|reason| reason.to_string());
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
    }
}

impl ToSchema for KnownReason {
    fn name() -> Cow<'static, str> {
        "Reason".into()
    }
}
