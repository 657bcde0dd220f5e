//! The part of an answer that is the same wherever a task is told of: in a status, in a list, as a whole, and among
//! the dead letters. The index keeps it as it is answered.

use std::sync::Arc;

use kube::ResourceExt;
use serde::Serialize;
use utoipa::ToSchema;

use super::wire::{KnownReason, Phase};
use crate::api::{Priority, Reason, Task};
use crate::archive::RecordSummary;
use crate::core::queue::Told;

/// Which task it is, and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Head {
    #[schema(value_type = String)]
    pub task_id: Arc<str>,
    /// queued, processing, completed, failed or cancelled.
    pub status: Phase,
    #[schema(value_type = String)]
    pub task_type: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kb_id: Option<Arc<str>>,
    #[schema(value_type = String)]
    pub namespace: Arc<str>,
    #[schema(value_type = String)]
    pub name: Arc<str>,
    #[schema(value_type = String)]
    pub queue: Arc<str>,
    /// The priority in force.
    pub priority: Priority,
    /// How often it was launched; the number of the last attempt.
    pub attempt: i32,
    /// Attempts that failed and count against retry.limit.
    pub failures: i32,
    /// Attempts lost to the cluster.
    pub disruptions: i32,
    /// Why it is in this state, in one word.
    #[schema(value_type = KnownReason)]
    pub reason: Reason,
    /// The reason in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub message: Option<Arc<str>>,
}

impl Head {
    /// `priority` is the one in force.
    pub fn of(task: &Task, priority: Priority) -> Self {
        let (spec, status) = (&task.spec, task.status.as_ref());
        Self {
            task_id: task.metadata.uid.as_deref().unwrap_or_default().into(),
            status: status.map(|status| status.state).unwrap_or_default().into(),
            task_type: spec.type_.as_str().into(),
            kb_id: spec.kb_id.as_deref().map(Arc::from),
            namespace: task.metadata.namespace.as_deref().unwrap_or_default().into(),
            name: task.name_any().into(),
            queue: spec.queue.as_str().into(),
            priority,
            attempt: status.map(|status| status.attempt).unwrap_or_default(),
            failures: status.map(|status| status.failures).unwrap_or_default(),
            disruptions: status.map(|status| status.disruptions).unwrap_or_default(),
            reason: status.map(|status| status.reason).unwrap_or_default(),
            message: status.and_then(|status| status.message.as_deref()).map(Arc::from),
        }
    }
}

impl Head {
    /// The same of a task that waits as told now.
    pub fn waiting_for(self, told: Told) -> Self {
        let message = Some(told.message).filter(|message| !message.is_empty());
        Self { reason: told.reason, message: message.map(Arc::from), ..self }
    }
}

impl From<RecordSummary> for Head {
    fn from(summary: RecordSummary) -> Self {
        Self {
            task_id: summary.uid.into(),
            status: summary.state.into(),
            task_type: summary.type_.into(),
            kb_id: summary.kb_id.map(Arc::from),
            namespace: summary.namespace.into(),
            name: summary.name.into(),
            queue: summary.queue.into(),
            priority: summary.priority,
            attempt: summary.attempt,
            failures: summary.failures,
            disruptions: summary.disruptions,
            reason: summary.reason,
            message: summary.message.map(Arc::from),
        }
    }
}
