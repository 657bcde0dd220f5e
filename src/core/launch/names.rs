//! Names, labels and annotations of Jobs and pods. No other module makes them.

use jiff::Timestamp;
use kube_core::ResourceExt;

use crate::digest::sha256_hex;
pub use task_manager_api::{ANNOTATION_BODY_DIGEST, ANNOTATION_REPLAY_OF};
use task_manager_api::{Task, TaskStatus};

/// On every Job and pod of a task: the uid of its Task.
pub const LABEL_TASK_UID: &str = "taskmanager.dev/task-uid";
/// On every Job and pod of a task, as a label: the name of its Task, cut with a hash where it is longer than a label. Where
/// it was cut, as an annotation too: the whole name.
pub const TASK: &str = "taskmanager.dev/task";
/// On every Job and pod of a task: the name of its TaskType, cut to the 63 characters of a label.
pub const LABEL_TYPE: &str = "taskmanager.dev/type";
/// On every Job and pod of a task: the number of its attempt.
pub const LABEL_ATTEMPT: &str = "taskmanager.dev/attempt";
/// On a task that was submitted under a name that the client chose: a number of this submission alone.
pub const ANNOTATION_SUBMISSION: &str = "taskmanager.dev/submission";
/// The slot of the attempt as JSON, so that it is counted when its Task is gone.
pub const ANNOTATION_HOLDS: &str = "taskmanager.dev/holds";
/// The name of the container that does the work, wherever others put theirs.
pub const ANNOTATION_CONTAINER: &str = "taskmanager.dev/container";
/// How many seconds the work may take, from its own start.
pub const ANNOTATION_TIMEOUT: &str = "taskmanager.dev/timeout-seconds";
/// On a pod that we end, or whose end is due soon: the reason.
pub const ANNOTATION_ENDED_FOR: &str = "taskmanager.dev/ended-for";
/// The container that `kubectl logs` and `kubectl exec` take where none is named.
pub const ANNOTATION_DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// The payload, which the downward API turns into a file.
pub const ANNOTATION_PAYLOAD: &str = "taskmanager.dev/payload";
/// The items of a chunk, which the downward API turns into a file.
pub const ANNOTATION_ITEMS: &str = "taskmanager.dev/items";
/// The annotations that the operator sets on pods alone.
pub const ANNOTATIONS_OF_PODS: [&str; 5] =
    [ANNOTATION_CONTAINER, ANNOTATION_TIMEOUT, ANNOTATION_DEFAULT_CONTAINER, ANNOTATION_PAYLOAD, ANNOTATION_ITEMS];
/// On every task that is a chunk of a batch: the name of the batch's task, cut with a hash where it is longer than a label.
pub const LABEL_BATCH: &str = "taskmanager.dev/batch";
/// On every worker of a pool: the name of its WorkerPool, cut with a hash where it is longer than a label.
pub const LABEL_POOL: &str = "taskmanager.dev/pool";
/// On every worker of a pool: the digest of what it was made from.
pub const ANNOTATION_TEMPLATE: &str = "taskmanager.dev/template";
/// Prefix of the labels and annotations that the operator sets.
pub const PREFIX: &str = "taskmanager.dev/";
/// Set by the Job controller on its pods.
pub const LABEL_JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// All labels that the API server sets in the template of a Job. A Job that is created with others is refused.
pub const LABELS_OF_JOBS: [&str; 4] =
    ["batch.kubernetes.io/controller-uid", LABEL_JOB_NAME, "controller-uid", "job-name"];

const LONGEST: usize = 63;
const HASH_DIGITS: usize = 16;

/// The name of the Job that runs one attempt. It can be computed from the attempt, so that a second creation conflicts
/// instead of starting a second Job. It contains the uid, so that a task that was deleted and created again never takes
/// over old children, and the run's arrival, so that a run whose runId was used before does not either.
fn job(task_name: &str, uid: &str, run_id: &str, arrival: &str, attempt: i32) -> String {
    with_hash(&task_name.replace('.', "-"), format!("{uid}/{run_id}/{arrival}/{attempt}"))
}

/// The beginning of `text`, and a hash of what tells it from others that begin so.
fn with_hash(text: &str, of: String) -> String {
    let hash: String = sha256_hex(of).chars().take(HASH_DIGITS).collect();
    let stem: String = text.chars().take(LONGEST - HASH_DIGITS - 1).collect();
    format!("{}-{hash}", stem.trim_end_matches(['-', '.', '_']))
}

/// The name of the Job or bare pod that runs the attempt that `status` names.
pub fn job_of(task: &Task, status: &TaskStatus) -> String {
    let uid = task.metadata.uid.as_deref().unwrap_or_default();
    let run_id = status.run_id.as_deref().unwrap_or(&task.spec.run_id);
    job(&task.name_any(), uid, run_id, status.arrival.as_deref().unwrap_or_default(), status.attempt)
}

/// The name of the task that is this chunk of a batch. As with Jobs, a second creation conflicts instead of making a second
/// chunk.
pub fn chunk(batch: &Task, number: u32) -> String {
    let (uid, status) = (batch.metadata.uid.as_deref().unwrap_or_default(), batch.status_or_default());
    let run_id = status.run_id.as_deref().unwrap_or(&batch.spec.run_id);
    let arrival = status.arrival.as_deref().unwrap_or_default();
    with_hash(&batch.name_any().replace('.', "-"), format!("{uid}/{run_id}/{arrival}/chunk/{number}"))
}

/// The name of a task as a label value: itself, or where it is too long its first 46 characters and a hash.
pub fn task_label(name: &str) -> String {
    if name.len() <= LONGEST { name.into() } else { with_hash(name, name.to_owned()) }
}

/// The name of a worker's pod. The number is one that no other worker of this pool has had since the operator leads.
pub fn worker(pool_name: &str, pool_uid: &str, began: Timestamp, number: u64) -> String {
    with_hash(&pool_name.replace('.', "-"), format!("{pool_uid}/{began}/{number}"))
}

/// `text` as a label value: cut to what fits, never ending in a separator.
pub fn label_value(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST).collect();
    cut.trim_end_matches(['-', '.', '_']).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn another_uid_run_arrival_or_attempt_gives_another_name() {
        let first = job("report", "uid", "1", "7", 1);
        assert!(first.starts_with("report-"));
        for other in [
            job("report", "other", "1", "7", 1),
            job("report", "uid", "2", "7", 1),
            job("report", "uid", "1", "8", 1),
            job("report", "uid", "1", "7", 2),
        ] {
            assert_ne!(first, other);
        }
        assert_eq!(first, job("report", "uid", "1", "7", 1));
    }

    #[test]
    fn each_worker_of_a_pool_has_a_name_of_its_own_also_after_a_restart() {
        let began = Timestamp::UNIX_EPOCH;
        let one = worker("gpu.large", "uid", began, 1);
        assert!(one.starts_with("gpu-large-"), "{one}");
        for other in [
            worker("gpu.large", "uid", began, 2),
            worker("gpu.large", "uid", Timestamp::MAX, 1),
            worker("gpu.large", "x", began, 1),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn tasks_whose_long_names_begin_alike_have_labels_of_their_own() {
        assert_eq!(task_label(&"x".repeat(63)), "x".repeat(63));
        let [one, other] = ["a", "b"].map(|end| task_label(&format!("{}.{end}", "x".repeat(62))));
        assert_ne!(one, other);
        assert!(one.starts_with(&format!("{}-", "x".repeat(46))) && one.len() == 63, "{one}");
    }

    #[test]
    fn a_label_value_is_cut_to_what_fits_and_never_ends_in_a_separator() {
        assert_eq!(label_value("document-processing"), "document-processing");
        assert_eq!(label_value(&"x".repeat(64)), "x".repeat(63));
        assert_eq!(label_value(&format!("{}.-_x", "x".repeat(60))), "x".repeat(60));
    }

    proptest! {
        #[test]
        fn a_tasks_label_is_a_valid_one(name in "[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?") {
            let label = task_label(&name);
            prop_assert!(label.len() <= 63);
            prop_assert!(label.starts_with(|c: char| c.is_ascii_alphanumeric()));
            prop_assert!(label.ends_with(|c: char| c.is_ascii_alphanumeric()));
        }

        #[test]
        fn names_are_valid_dns_labels_of_at_most_63_characters(name in "[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", attempt in 1..1000) {
            let job = job(&name, "0b6f", "1", "7", attempt);
            prop_assert!(job.len() <= 63);
            prop_assert!(job.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            prop_assert!(!job.starts_with('-') && !job.ends_with('-'));
        }
    }
}
