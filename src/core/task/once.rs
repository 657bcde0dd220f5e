//! `spec.once`: a run that an earlier task of the same name has had is not run again; it ends as that one did.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::look::Look;
use crate::attempt::facts::Why;
use crate::launch::names::ANNOTATION_BODY_DIGEST;
use task_manager_api::{Reason, State, Task, TaskStatus};

/// The archive's answer about earlier tasks of the same name and runId.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Earlier {
    /// Nobody needs to know.
    #[default]
    NotAsked,
    /// It does not answer.
    NotKnown,
    /// None of them was launched.
    Never,
    /// The last of them ended like this. A large result of it names the task that left it.
    Ended(Box<TaskStatus>),
    /// The last of them was made by another request under the same idempotency key; this one does not end as that did.
    OfAnotherRequest,
}

impl Earlier {
    /// Reads how an earlier task, or this one in an earlier run, ended. One that was never launched has
    /// run nothing, so that one which was refused may be corrected.
    pub fn found(task: &Task, earlier: Option<Task>) -> Self {
        let counts = |ended: &TaskStatus| ended.reason == Reason::RanBefore || ended.attempt > 0;
        let Some(Task { metadata, status: Some(mut ended), .. }) = earlier else { return Self::Never };
        if !counts(&ended) {
            return Self::Never;
        }
        let digests = (body_digest(&task.metadata), body_digest(&metadata));
        if matches!(digests, (Some(asked), Some(done)) if asked != done) {
            return Self::OfAnotherRequest;
        }
        if let Some(left) = &mut ended.result_ref {
            left.uid = left.uid.take().or(metadata.uid);
        }
        Self::Ended(Box::new(ended))
    }
}

/// The digest of the request that made the task, where that had an idempotency key.
fn body_digest(metadata: &ObjectMeta) -> Option<&String> {
    metadata.annotations.as_ref()?.get(ANNOTATION_BODY_DIGEST)
}

/// Whether the archive must be asked before this task may be admitted. One that was launched was asked for before.
pub fn asks_the_archive(task: &Task) -> bool {
    let status = task.status_or_default();
    let is_at_its_start = status.state == State::Queued && status.attempt == 0 && status.attempts.is_empty();
    let is_superseded = status.superseded_run(&task.spec).is_some();
    task.spec.once && is_at_its_start && !is_superseded && task.metadata.deletion_timestamp.is_none()
}

impl Look<'_> {
    /// It ends as the task before it did, without having run.
    pub(super) fn ran_before(&self, ended: &TaskStatus) -> TaskStatus {
        let message = match (ended.reason, &ended.message) {
            // That one did not run either.
            (Reason::RanBefore, Some(message)) => message.clone(),
            (reason, message) => {
                let how = message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
                format!("an earlier task of this name was {} ({reason}) for this runId{how}", ended.state)
            }
        };
        TaskStatus {
            result: ended.result.clone(),
            result_truncated: ended.result_truncated,
            result_as_text: ended.result_as_text,
            result_ref: ended.result_ref.clone(),
            ..self.finished(ended.state, &Why::new(Reason::RanBefore, message))
        }
    }

    /// Its key was accepted while nobody could say that it was taken.
    pub(super) fn key_was_used(&self) -> TaskStatus {
        let message = "its idempotency key was used before with another request, so it was not run; use a new key";
        self.failed(&Why::new(Reason::KeyReused, message))
    }

    /// Where it waits for the archive to say whether it has run before.
    pub(super) fn waits_for_the_archive(&self) -> Option<Why> {
        let message = "once: the archive must say first whether this runId has run before; it does not answer, or is another one than the \
             Lease names (/readyz?verbose of the operator tells)";
        (self.input.earlier == Earlier::NotKnown).then(|| Why::new(Reason::WaitingForArchive, message))
    }
}
