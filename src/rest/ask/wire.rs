//! How what is in a task is written over REST: its state, its priority, its progress.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api;

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

/// How urgent a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Critical,
    High,
    Normal,
    Low,
}

impl From<api::Priority> for Priority {
    fn from(priority: api::Priority) -> Self {
        match priority {
            api::Priority::Critical => Self::Critical,
            api::Priority::High => Self::High,
            api::Priority::Normal => Self::Normal,
            api::Priority::Low => Self::Low,
        }
    }
}

impl From<Priority> for api::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Critical => Self::Critical,
            Priority::High => Self::High,
            Priority::Normal => Self::Normal,
            Priority::Low => Self::Low,
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

impl From<&api::Progress> for Progress {
    fn from(progress: &api::Progress) -> Self {
        let api::Progress { percent, done, total, message, updated_at: _ } = progress.clone();
        Self { percent, done, total, message }
    }
}
