//! The one vocabulary of reasons: condition, event, metric label and log line all print a variant of this
//! enum, so that a person can search for one word and find everything.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumMessage, IntoEnumIterator, IntoStaticStr};

/// Why a task is where it is, or why an attempt ended so. These words are API: the list may grow, a word
/// never changes its meaning.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    Display,
    EnumIter,
    EnumMessage,
    IntoStaticStr,
)]
pub enum Reason {
    // Waiting in the queue.
    /// It waits in its queue until there is room.
    #[default]
    Queued,
    /// spec.suspend holds it.
    Suspended,
    /// spec.startAfter lies ahead.
    NotYetDue,
    /// The TaskType that it names does not exist.
    TypeMissing,
    /// The TaskType that it names cannot be used as it is.
    TypeNotReady,
    /// The TaskQueue that it names does not exist.
    QueueMissing,
    /// It asks for more than its queue has in all, so it can never start there.
    TooLargeForQueue,
    /// A failed attempt is tried again after a pause.
    WaitingForRetry,

    // Holding a slot.
    /// It has a slot, and its pod is being made.
    Admitted,
    /// Its pod waits for its container to start.
    Starting,
    /// Its container runs.
    Running,
    /// Its pod is being ended: somebody cancelled or re-ran the task, or its time is up.
    Stopping,

    // Ends of an attempt.
    /// The work ended with exit code 0.
    Succeeded,
    /// The work succeeded, but its pod was gone before the result could be read.
    ResultLost,
    /// The work ended with another exit code than 0.
    ExitCode,
    /// The attempt ran longer than its timeout.
    Timeout,
    /// A container was killed for using more memory than its limit.
    OOMKilled,
    /// The pod used more disk than it may.
    DiskLimit,
    /// The work itself reported an error.
    ReportedError,
    /// The check after the work did not succeed.
    VerificationFailed,
    /// The pod was evicted from its node.
    Evicted,
    /// The pod made room for one of higher priority.
    Preempted,
    /// The node that ran the pod is gone or does not answer.
    NodeLost,
    /// Somebody deleted the pod.
    PodDeleted,
    /// Somebody deleted the Job.
    JobDeleted,
    /// The warm worker that ran the task is gone.
    WorkerLost,
    /// The image could not be pulled in time.
    ImageUnavailable,
    /// The container could not be made in time: its configuration, a ConfigMap or a Secret is wrong or missing.
    ContainerConfig,
    /// No node had room in time; the slot was given back.
    Unschedulable,
    /// A resource quota of the namespace refused the pod; the slot was given back.
    QuotaExceeded,
    /// The API server refused the Job or its pod; the slot was given back.
    LaunchRefused,
    /// No pod appeared for the Job in time; the slot was given back.
    PodNotCreated,
    /// What the task asks for changed between its admission and its launch; the slot was given back.
    SpecChanged,
    /// A new runId took this run's place.
    Superseded,

    // Ends of a task.
    /// spec.cancel ended it.
    Cancelled,
    /// spec.deadlineSeconds ran out.
    DeadlineExceeded,
    /// The payload is larger than its type allows.
    PayloadTooLarge,
    /// It asks for more than its type's maximum.
    AboveMaximum,

    // Types and queues.
    /// It can be used.
    Ready,
    /// Whether it can be used could not be found out yet; that is tried again.
    NotChecked,

    /// A word that this version does not know, written by a newer one.
    #[serde(other)]
    Unknown,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What the word means, in a sentence.
    pub fn sentence(self) -> &'static str {
        self.get_documentation().unwrap_or_default()
    }
}

impl JsonSchema for Reason {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Reason".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::iter().map(Self::as_str).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_says_what_it_means_and_reads_back() {
        for reason in Reason::iter() {
            assert!(reason.sentence().ends_with('.'), "{reason} needs a sentence");
            let written = serde_json::to_string(&reason).expect("a word");
            assert_eq!(written, format!("\"{reason}\""));
            assert_eq!(serde_json::from_str::<Reason>(&written).expect("the same word"), reason);
        }
    }

    #[test]
    fn a_word_of_a_newer_version_is_read_as_unknown() {
        assert_eq!(serde_json::from_str::<Reason>("\"Enchanted\"").expect("any word"), Reason::Unknown);
    }
}
