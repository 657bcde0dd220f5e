//! Whether a type, a queue or a pool can be used, as its Ready condition has it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Condition;

#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Readiness {
    /// False: its tasks wait. Absent where that could not be found out; its tasks start all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
    /// Why, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The reason in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Readiness {
    pub fn of(conditions: &[Condition]) -> Self {
        let Some(ready) = conditions.iter().find(|condition| condition.type_ == "Ready") else {
            return Self::default();
        };
        Self {
            ready: match ready.status.as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            },
            reason: Some(ready.reason.clone()),
            message: Some(ready.message.clone()).filter(|message| !message.is_empty()),
        }
    }
}
