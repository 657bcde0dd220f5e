//! The status of a pool: its workers by state, and whether it has those that it should have.

use jiff::Timestamp;

use super::PoolDecision;
use crate::Reason;
use crate::telling::conditions;
use task_manager_api::{WorkerPool, WorkerPoolStatus};

/// The status that `pool` should have. `replaced` workers are to be added to those that its status counts, and `refused` says
/// why no worker can be made.
pub fn pool_status(
    pool: &WorkerPool,
    decision: &PoolDecision,
    replaced: i64,
    refused: Option<&str>,
    now: Timestamp,
) -> WorkerPoolStatus {
    let before = pool.status.clone().unwrap_or_default();
    let PoolDecision { counts, trouble, .. } = decision;
    let ready = counts.ready();
    // A pool that may have none is ready without one, unless one that is wanted does not come up.
    let lacks = ready < usize::try_from(pool.spec.min()).unwrap_or_default() || ready == 0 && trouble.is_some();
    let mut coming =
        format!("{ready} of at least {} workers have asked for work, {} start", pool.spec.min(), counts.starting);
    if let Some(trouble) = trouble {
        coming = conditions::followed(&coming, trouble);
    }
    let (status, reason, message) = match refused {
        Some(why) => ("False", Reason::PoolNotReady, why),
        None if pool.spec.max() == 0 => ("False", Reason::Suspended, "replicas.max is 0: the pool is paused"),
        None if lacks => ("False", Reason::PoolNotReady, coming.as_str()),
        None => ("True", Reason::Ready, Reason::Ready.sentence()),
    };
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    WorkerPoolStatus {
        observed_generation: pool.metadata.generation.unwrap_or_default(),
        ready: count(ready),
        busy: count(counts.busy),
        idle: count(counts.idle),
        unhealthy: count(counts.unhealthy),
        restarts: before.restarts.saturating_add(replaced),
        conditions: conditions::ready(status, reason, message, &before.conditions, now),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pool::Counts;

    fn status(min: i32, max: i32, counts: Counts, refused: Option<&str>) -> (String, String, WorkerPoolStatus) {
        decided(min, max, PoolDecision { counts, ..PoolDecision::default() }, refused)
    }

    fn decided(
        min: i32,
        max: i32,
        decision: PoolDecision,
        refused: Option<&str>,
    ) -> (String, String, WorkerPoolStatus) {
        let pool: WorkerPool =
            serde_json::from_value(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "WorkerPool",
            "metadata": {"name": "warm", "generation": 3},
            "spec": {"replicas": {"min": min, "max": max}, "template": {}}, "status": {"restarts": 2}}))
            .expect("a pool");
        let status = pool_status(&pool, &decision, 1, refused, Timestamp::UNIX_EPOCH);
        let ready = &status.conditions[0];
        (ready.status.clone(), ready.reason.clone(), status)
    }

    #[test]
    fn a_pool_is_ready_when_as_many_workers_have_asked_as_there_must_be() {
        let counts = |idle| Counts { starting: 1, busy: 1, idle, unhealthy: 1, stopping: 1 };
        assert_eq!(status(2, 4, counts(1), None).0, "True");
        let (ready, reason, written) = status(3, 4, counts(1), None);
        assert_eq!((ready.as_str(), reason.as_str()), ("False", "PoolNotReady"));
        assert_eq!((written.ready, written.busy, written.idle, written.unhealthy), (2, 1, 1, 1));
        assert_eq!((written.restarts, written.observed_generation), (3, 3));
        assert_eq!(status(0, 4, Counts::default(), None).0, "True", "it has none while nobody wants one");
        assert_eq!(status(0, 0, counts(1), None).1, "Suspended");
        assert_eq!(status(0, 4, counts(1), Some("no quota")).0, "False");
    }
    #[test]
    fn a_pool_whose_workers_do_not_come_up_says_why() {
        let told = |min, idle| {
            let counts = Counts { starting: 1, idle, ..Counts::default() };
            let trouble = Some("warm-1 waits: no such image".to_owned());
            let (ready, _, status) = decided(min, 4, PoolDecision { counts, trouble, ..PoolDecision::default() }, None);
            (ready, status.conditions[0].message.clone())
        };
        let (ready, message) = told(2, 1);
        assert!(ready == "False" && message.contains("warm-1 waits: no such image"), "{message}");
        let (ready, message) = told(0, 0);
        assert!(ready == "False" && message.contains("no such image"), "one is wanted, and there is none: {message}");
        assert_eq!(told(0, 1).0, "True", "those that there are do the work");
    }
}
