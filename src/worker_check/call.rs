//! One open call of `next`, and the answers that it may be given.

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::api::worker_protocol::{Done, LeasedTask, NextRequest};

/// A call that the worker waits to be answered.
pub struct Call {
    pub request: NextRequest,
    answer: oneshot::Sender<Reply>,
}

#[derive(Debug)]
pub(super) enum Reply {
    Json(Value),
    Unavailable(u64),
    HangUp,
}

/// Each of these answers says whether the worker still waited for it.
impl Call {
    pub(super) fn new(request: NextRequest, answer: oneshot::Sender<Reply>) -> Self {
        Self { request, answer }
    }

    pub fn done(&self) -> Option<&Done> {
        self.request.done.as_ref()
    }

    pub fn is_open(&self) -> bool {
        !self.answer.is_closed()
    }

    /// Gives a task, and keeps what was handed in.
    pub fn give(self, task: &LeasedTask) -> bool {
        let task = serde_json::to_value(task).map(with_later_fields).unwrap_or_default();
        self.answer(Some(true), json!({"task": task, "stop": false}))
    }

    /// Keeps what was handed in; there is nothing to do.
    pub fn keep(self) -> bool {
        self.answer(Some(true), json!({"task": null, "stop": false}))
    }

    /// What was handed in came too late.
    pub fn do_not_keep(self, why: &str) -> bool {
        self.answer(Some(false), json!({"task": null, "stop": false, "why": why}))
    }

    /// Says nothing of what was handed in, as when another replica begins to lead.
    pub fn let_go(self) -> bool {
        self.answer(None, json!({"task": null, "stop": false}))
    }

    /// Keeps what was handed in, and tells the worker to end.
    pub fn stop(self) -> bool {
        self.answer(Some(true), json!({"task": null, "stop": true}))
    }

    /// 503, to be said again after so many seconds.
    pub fn unavailable(self, seconds: u64) -> bool {
        self.answer.send(Reply::Unavailable(seconds)).is_ok()
    }

    /// Closes the connection without an answer.
    pub fn hang_up(self) -> bool {
        self.answer.send(Reply::HangUp).is_ok()
    }

    fn answer(self, kept: Option<bool>, mut answer: Value) -> bool {
        if let Some(kept) = kept.filter(|_| self.request.done.is_some()) {
            answer["kept"] = kept.into();
        }
        self.answer.send(Reply::Json(with_later_fields(answer))).is_ok()
    }
}

/// A later version may say more, which a worker of today ignores.
pub(super) fn with_later_fields(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.insert("said_by_a_later_version".into(), json!({"lease": null, "list": [1, 2]}));
    }
    value
}
