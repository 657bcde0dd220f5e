//! The reasons. Conditions, events, metric labels and log lines all print a variant of this enum, so that a search
//! for one word finds everything.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumMessage, IntoEnumIterator, IntoStaticStr};

/// Why a task is in its state, or why an attempt ended. The words are API: the list may grow, and a word never
/// changes its meaning.
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
    /// It waits in its queue until there is room and its turn has come.
    #[strum(
        detailed_message = "Nothing; if it takes long, the queue's status.waitingFor says why, and REST says it of each task. Where nothing starts at all, see whether an operator runs: `kubectl get lease -A -o custom-columns=NAME:.metadata.name,HOLDER:.spec.holderIdentity,RENEWED:.spec.renewTime` names the one that leads, and when it last renewed its lease."
    )]
    #[default]
    Queued,
    /// Its queue is suspended.
    #[strum(detailed_message = "Set spec.suspend of the TaskQueue to false.")]
    QueueSuspended,
    /// Its queue cannot be used as it is, and admits nobody.
    #[strum(detailed_message = "Read the TaskQueue's Ready condition and correct its spec.")]
    QueueNotReady,
    /// A WorkerPool has not the workers that it should have: the message says why.
    #[strum(
        detailed_message = "Read the WorkerPool's Ready condition: its template is refused, or its workers do not come up or never ask for work."
    )]
    PoolNotReady,
    /// Its queue has no room: the message says of what, and how much is used.
    #[strum(
        detailed_message = "Nothing; it starts when its turn has come and enough has ended. Else raise the queue's capacity."
    )]
    QueueFull,
    /// Tasks of its priority and below use as much of the queue as they may together; the rest is kept for more urgent ones.
    #[strum(
        detailed_message = "Nothing; it starts when enough of them have ended. Else raise the queue's ceiling, or the task's priority."
    )]
    CeilingReached,
    /// As many tasks of its type run as may.
    #[strum(detailed_message = "Nothing; it starts when one of them has ended. Else raise the type's maxConcurrent.")]
    TypeLimit,
    /// As many tasks of its type and kbId run, or go before it, as may run at once.
    #[strum(
        detailed_message = "Nothing; it starts when one of them has ended. Else raise the type's maxConcurrentPerKbId."
    )]
    KeyLimit,
    /// No worker of the pool that runs tasks of its type is free.
    #[strum(
        detailed_message = "Nothing; it starts when a worker has ended its task or a new one has started. Else raise the WorkerPool's replicas.max; its Ready condition says why workers do not come up."
    )]
    NoWorker,
    /// As many tasks run in all queues together as the operator lets run.
    #[strum(
        detailed_message = "Nothing; it starts when enough have ended. Else raise the operator's --max-running-tasks."
    )]
    OperatorLimit,
    /// spec.suspend holds it.
    #[strum(detailed_message = "Set spec.suspend to false.")]
    Suspended,
    /// spec.startAfter lies ahead.
    #[strum(detailed_message = "Nothing; it starts by itself.")]
    NotYetDue,
    /// The TaskType that it names does not exist.
    #[strum(detailed_message = "Create the TaskType, or correct spec.type together with a new runId.")]
    TypeMissing,
    /// The TaskType that it names cannot be used as it is.
    #[strum(detailed_message = "Read the TaskType's Ready condition and correct its template.")]
    TypeNotReady,
    /// The TaskQueue that it names does not exist.
    #[strum(detailed_message = "Create the TaskQueue, or correct spec.queue together with a new runId.")]
    QueueMissing,
    /// It asks for more than its queue has in all, so it can never start there.
    #[strum(detailed_message = "Ask for less, raise the queue's capacity, or use another queue.")]
    TooLargeForQueue,
    /// It begins when the archive answers: it must first be told, or asked, how an earlier run ended.
    #[strum(detailed_message = "See that the archive can be reached and has room; the message says what it lacks.")]
    WaitingForArchive,
    /// No chunk of the batch starts, and no end of one is taken in, while the archive takes nothing.
    #[strum(detailed_message = "See that the archive can be reached and has room; the message says what it lacks.")]
    StoreUnavailable,
    /// Its namespace is being deleted: nothing of it is begun or tried again.
    #[strum(
        detailed_message = "Nothing. Where the namespace does not go, its own conditions say what keeps it (kubectl describe namespace)."
    )]
    NamespaceTerminating,
    /// A failed attempt is tried again after a pause.
    #[strum(detailed_message = "Nothing; the message says what failed and when it is tried again.")]
    WaitingForRetry,

    // Holding a slot.
    /// It has a slot; its pod is on its way, or began less than ten seconds ago.
    #[strum(detailed_message = "Nothing.")]
    Admitted,
    /// Its work has not started yet; the message says what it waits for.
    #[strum(
        detailed_message = "Nothing, unless the message names a trouble; after startDeadlineSeconds it is given up."
    )]
    Starting,
    /// Somebody else suspended its Job before it had a pod: a queue for all Jobs of the cluster, mostly.
    #[strum(
        detailed_message = "Nothing; it keeps its slot and goes on when its Job is resumed. See whoever suspends Jobs."
    )]
    JobSuspended,
    /// Its pod bears scheduling gates that somebody else put there.
    #[strum(
        detailed_message = "Nothing; it keeps its slot and goes on when the gates are taken off. See who put them there."
    )]
    PodGated,
    /// Its work runs.
    #[strum(detailed_message = "Nothing.")]
    Running,
    /// Its pod is being ended: somebody cancelled, deleted or re-ran the task, its time is up, or its work has ended and a container beside it has not.
    #[strum(
        detailed_message = "Nothing; it ends when the pod has ended, after its grace period at the latest. Let containers that serve the work be native sidecars."
    )]
    Stopping,

    // Ends of an attempt.
    /// The work ended with exit code 0.
    #[strum(detailed_message = "Nothing; the result is in status.result.")]
    Succeeded,
    /// The work succeeded, but its pod was gone before the result could be read.
    #[strum(detailed_message = "Run it again with a new runId if the result is needed.")]
    ResultLost,
    /// The work ended with another exit code than 0.
    #[strum(detailed_message = "Read the pod's log; name exit codes that are not worth another try in failureRules.")]
    ExitCode,
    /// The attempt ran longer than its timeout.
    #[strum(detailed_message = "Raise timeoutSeconds, or make the work smaller.")]
    Timeout,
    /// The work was killed for using more memory than its limit; or another container was, and then the work failed.
    #[strum(
        detailed_message = "Raise the memory limit that the message names, or let that of the work grow with retry.oomMemoryFactor."
    )]
    OOMKilled,
    /// The pod used more disk than it may.
    #[strum(detailed_message = "Write less to the container's disk, or raise its ephemeral-storage limit.")]
    DiskLimit,
    /// The work itself reported an error.
    #[strum(detailed_message = "Read the message; it is the work's own.")]
    ReportedError,
    /// The check after the work did not succeed.
    #[strum(detailed_message = "Read the message of the check.")]
    VerificationFailed,
    /// The pod was evicted from its node.
    #[strum(detailed_message = "Nothing; it is tried again. If it happens often, look at the nodes.")]
    Evicted,
    /// The pod made room for one of higher priority, or somebody suspended its Job while it ran.
    #[strum(detailed_message = "Nothing; it is tried again.")]
    Preempted,
    /// The kubelet of its node refused the pod before it made a container.
    #[strum(
        detailed_message = "Nothing where the node had no room: it is tried again elsewhere. Else correct what the message names in the type's template."
    )]
    RejectedByNode,
    /// The node that ran the pod is gone or does not answer.
    #[strum(detailed_message = "Nothing; it is tried again. Look at the node.")]
    NodeLost,
    /// Somebody deleted the pod, or lowered its deadline.
    #[strum(detailed_message = "Nothing; it is tried again.")]
    PodDeleted,
    /// Somebody deleted the Job.
    #[strum(detailed_message = "Nothing; it is tried again. To end a task set spec.cancel or delete the task.")]
    JobDeleted,
    /// The warm worker that ran the task is gone.
    #[strum(detailed_message = "Nothing; it is tried again.")]
    WorkerLost,
    /// The worker's process began anew again and again while it held the task, and never ended it.
    #[strum(detailed_message = "Read the worker's log: the task most likely ends its process.")]
    WorkerRestarted,
    /// The image could not be pulled in time. Final where the registry says that there is no such image or no right to it.
    #[strum(
        detailed_message = "Correct the image's name or the pull secret, then run it again with a new runId. A registry that has trouble is asked again by itself."
    )]
    ImageUnavailable,
    /// A container could not be made in time, or could not be started: its command, its configuration, a ConfigMap or a Secret is wrong or missing. Final where no other try helps: no such command, mostly.
    #[strum(
        detailed_message = "Correct or create what the message names; where the task has failed, then run it again with a new runId."
    )]
    ContainerConfig,
    /// The work did not start within startDeadlineSeconds: an init container, a sidecar, a probe, a pull, a volume or the sandbox took too long.
    #[strum(
        detailed_message = "Look at the container or the volume that the message names, or raise startDeadlineSeconds; it is tried again."
    )]
    StartTimeout,
    /// No node takes the pod. After a minute, or after startDeadlineSeconds where a node is coming, the slot is given back and the task goes to the end of its line.
    #[strum(
        detailed_message = "Add nodes, ask for less, correct the node selector, or bound the queue by what the nodes have; it is tried again after longer and longer pauses."
    )]
    Unschedulable,
    /// A resource quota of the namespace refuses the Job or its pod; the slot is given back, after a minute where it is the pod of a Job. Where it counts finished Jobs or pods, some have gone for it.
    #[strum(
        detailed_message = "Raise the quota, or bound the queue by it; where it says \"must specify\", say that amount in the type's template or have a LimitRange give a default."
    )]
    QuotaExceeded,
    /// The API server refuses the Job or its pod; the slot is given back, after a minute where it is the pod of a Job.
    #[strum(detailed_message = "Read the message; correct the type's template or the namespace's policies.")]
    LaunchRefused,
    /// The API server failed to make the Job or bare pod, or did not answer; after a minute of that the slot is given back.
    #[strum(detailed_message = "Read the message; look at the API server and at the cluster's admission webhooks.")]
    LaunchFailed,
    /// No pod appears for the Job; after a minute the slot is given back.
    #[strum(detailed_message = "Look whether the cluster's Job controller works.")]
    PodNotCreated,
    /// What the task asks for changed between its admission and its launch; the slot was given back, the first time without losing its place.
    #[strum(detailed_message = "Nothing; it is admitted again as it is now.")]
    SpecChanged,
    /// A new runId took this run's place.
    #[strum(detailed_message = "Nothing; the new run has begun.")]
    Superseded,

    // Ends of a task.
    /// spec.once: an earlier task of this name has had this run, and this one ends as that one did.
    #[strum(detailed_message = "Nothing. To run it again, set runId to a new value.")]
    RanBefore,
    /// Its idempotency key had been used for another request, which was found out only after it was accepted; it did not run.
    #[strum(detailed_message = "Send it again under a new key.")]
    KeyReused,
    /// spec.cancel ended it.
    #[strum(detailed_message = "Nothing. To run it again, set cancel to false and runId to a new value.")]
    Cancelled,
    /// The task was deleted before it was final. The archive says so, and the task itself while somebody's finalizer keeps it.
    #[strum(detailed_message = "Nothing. Create it again if the work is still wanted.")]
    Deleted,
    /// spec.deadlineSeconds ran out.
    #[strum(detailed_message = "Raise deadlineSeconds, the priority or the queue's capacity.")]
    DeadlineExceeded,
    /// The payload is larger than its type allows.
    #[strum(detailed_message = "Put the content into a store of yours and hand over a reference.")]
    PayloadTooLarge,
    /// The payload is not what was written: the API server has rounded a number in it, or it is nested too deeply to be read.
    #[strum(detailed_message = "Write such numbers as strings, nest it less, and set a new runId.")]
    InvalidPayload,
    /// It asks for more than its type's maximum.
    #[strum(detailed_message = "Ask for less, or have the type's maximum raised.")]
    AboveMaximum,

    /// More items of the batch have failed for good than may. While chunks of it run, a higher maxFailedItems lets it go on.
    #[strum(
        detailed_message = "Read the errors of the items in the archive's records of the chunks; raise maxFailedItems, or set a new runId once the cause is put right."
    )]
    TooManyFailedItems,
    /// Ten chunks of the batch in a row ended by themselves, or could not be run, without one item done.
    #[strum(
        detailed_message = "Read the records and logs of the chunks: most likely the work fails whatever its items are. Set a new runId once that is put right."
    )]
    ChunksFail,

    // Types and queues.
    /// It can be used.
    #[strum(detailed_message = "Nothing.")]
    Ready,
    /// Whether it can be used could not be found out yet; that is tried again.
    #[strum(detailed_message = "Nothing, unless it stays so: then read the message.")]
    NotChecked,

    /// A word that this version does not know, written by a newer one.
    #[strum(detailed_message = "Read the message; upgrade the operator.")]
    #[serde(other)]
    Unknown,
}

impl Reason {
    /// The reasons for which an attempt may have failed: those that failureRules can match.
    pub const FAILURES: [Self; 17] = [
        Self::ExitCode,
        Self::Timeout,
        Self::OOMKilled,
        Self::DiskLimit,
        Self::ReportedError,
        Self::VerificationFailed,
        Self::Evicted,
        Self::Preempted,
        Self::RejectedByNode,
        Self::NodeLost,
        Self::PodDeleted,
        Self::JobDeleted,
        Self::WorkerLost,
        Self::WorkerRestarted,
        Self::ImageUnavailable,
        Self::ContainerConfig,
        Self::StartTimeout,
    ];

    /// The reason that this word means; `Unknown` where it is one of a later version, or none.
    pub fn read(word: &str) -> Self {
        serde_json::from_value(word.into()).unwrap_or(Self::Unknown)
    }

    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The meaning of the reason in a sentence.
    pub fn sentence(self) -> &'static str {
        self.get_documentation().unwrap_or_default()
    }
}

/// A page in Markdown with the meaning of every reason and the advice for it.
pub fn reasons_as_markdown() -> String {
    let rows = Reason::iter().map(|reason| {
        format!("| `{reason}` | {} | {} |\n", reason.sentence(), reason.get_detailed_message().unwrap_or_default())
    });
    let head = "# Reasons\n\n\
        The same words stand in `status.reason`, in conditions, events, metrics and logs. This page is generated: \
        `make generate`.\n\n| reason | what it means | what to do |\n| --- | --- | --- |\n";
    std::iter::once(head.to_owned()).chain(rows).collect()
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
    fn every_reason_says_what_to_do() {
        assert!(Reason::iter().all(|reason| reason.get_detailed_message().is_some()));
    }

    #[test]
    fn the_page_of_reasons_is_what_the_words_say() {
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reasons.md")).unwrap_or_default();
        assert!(page == reasons_as_markdown(), "docs/reasons.md is stale: run `make generate`");
    }

    #[test]
    fn every_reason_has_an_entry_in_the_page_for_troubleshooting() {
        let page = include_str!("../../docs/troubleshooting.md");
        let entries: Vec<_> = page.split("\n### ").skip(1).collect();
        for reason in Reason::iter() {
            let is_of_it =
                |entry: &&&str| entry.lines().next().is_some_and(|head| head.contains(&format!("`{reason}`")));
            let entry = entries.iter().find(is_of_it);
            assert!(entry.is_some(), "docs/troubleshooting.md has no entry \"### `{reason}`\"");
            for part in ["**Seen:**", "**Causes:**", "**Run:**", "**Change:**"] {
                assert!(entry.is_some_and(|entry| entry.contains(part)), "docs/troubleshooting.md: {reason}: {part}");
            }
        }
    }

    #[test]
    fn a_word_of_a_newer_version_is_read_as_unknown() {
        assert_eq!(serde_json::from_str::<Reason>("\"Enchanted\"").expect("any word"), Reason::Unknown);
    }
}
