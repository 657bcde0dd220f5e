//! The values in force for a task: its own, else its type's, else the built-in default, within the type's maximum.

use super::resources;
use crate::Reason;
use task_manager_api::exact::Fault;
use task_manager_api::{ItemList, Payload, Priority, Retry, Task, TaskSpec, TaskTypeSpec};

const TIMEOUT_SECONDS: i32 = 3600;
const START_DEADLINE_SECONDS: i32 = 600;
/// The largest payload as compact JSON, where the type says nothing.
pub const PAYLOAD_BYTES: i32 = 32_768;

#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub priority: Priority,
    pub timeout_seconds: i64,
    pub start_deadline_seconds: i64,
    pub retry: RetryPolicy,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    pub limit: i32,
    pub initial_seconds: i32,
    pub factor: f64,
    pub max_seconds: i32,
    pub disruption_limit: i32,
    pub oom_memory_factor: f64,
}

/// Why a type does not accept a task, which then ends Failed at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub reason: Reason,
    pub message: String,
}

impl Policy {
    /// Without a type, which may have been deleted while the task ran, the task's own values and the defaults apply.
    pub fn of(task: &TaskSpec, task_type: Option<&TaskTypeSpec>) -> Self {
        let defaults = task_type.map(|task_type| &task_type.defaults);
        Self {
            priority: priority(task, task_type),
            timeout_seconds: timeout(task, task_type).into(),
            start_deadline_seconds: task_type
                .and_then(|task_type| task_type.start_deadline_seconds)
                .unwrap_or(START_DEADLINE_SECONDS)
                .into(),
            retry: RetryPolicy::of(task.retry.as_ref(), defaults.and_then(|defaults| defaults.retry.as_ref()))
                .within(task_type.and_then(|task_type| task_type.maximum.retry_limit)),
        }
    }
}

impl RetryPolicy {
    /// The type's maximum also bounds the defaults.
    fn within(self, most: Option<i32>) -> Self {
        Self { limit: most.map_or(self.limit, |most| self.limit.min(most)), ..self }
    }

    fn of(task: Option<&Retry>, task_type: Option<&Retry>) -> Self {
        fn first<T>(task: Option<&Retry>, task_type: Option<&Retry>, field: impl Fn(&Retry) -> Option<T>) -> Option<T> {
            task.and_then(&field).or_else(|| task_type.and_then(&field))
        }
        Self {
            limit: first(task, task_type, |retry| retry.limit).unwrap_or(3),
            initial_seconds: first(task, task_type, |retry| retry.initial_seconds).unwrap_or(10),
            factor: first(task, task_type, |retry| retry.factor).unwrap_or(2.0),
            max_seconds: first(task, task_type, |retry| retry.max_seconds).unwrap_or(300),
            disruption_limit: first(task, task_type, |retry| retry.disruption_limit).unwrap_or(20),
            oom_memory_factor: first(task, task_type, |retry| retry.oom_memory_factor).unwrap_or(1.0),
        }
    }
}

pub fn priority(task: &TaskSpec, task_type: Option<&TaskTypeSpec>) -> Priority {
    let wanted =
        task.priority.or_else(|| task_type.and_then(|task_type| task_type.defaults.priority)).unwrap_or_default();
    task_type.and_then(|task_type| task_type.maximum.priority).map_or(wanted, |most| wanted.min(most))
}

fn timeout(task: &TaskSpec, task_type: Option<&TaskTypeSpec>) -> i32 {
    let default = task_type.and_then(|task_type| task_type.defaults.timeout_seconds);
    let wanted = task.timeout_seconds.or(default).unwrap_or(TIMEOUT_SECONDS);
    task_type.and_then(|task_type| task_type.maximum.timeout_seconds).map_or(wanted, |most| wanted.min(most))
}

/// Why the task exceeds the limits of its type, which the schema cannot check; `None` where it does not.
pub fn refusal(task: &Task, task_type: &TaskTypeSpec) -> Option<Refusal> {
    payload_refusal(&task.spec, task_type).or_else(|| {
        above_maximum(&task.spec, task_type).map(|message| Refusal { reason: Reason::AboveMaximum, message })
    })
}

/// The items of a batch that are written down count as its payload.
fn payload_refusal(task: &TaskSpec, task_type: &TaskTypeSpec) -> Option<Refusal> {
    let TaskSpec { payload, type_, .. } = task;
    let most = task_type.maximum.payload_bytes.unwrap_or(PAYLOAD_BYTES).max(0) as usize;
    let items = task.batch.as_ref().and_then(|batch| batch.items.as_ref());
    let bytes = payload.as_ref().map_or(2, Payload::bytes) + items.map_or(0, ItemList::bytes);
    if bytes > most.max(2) {
        let with_items = if items.is_some() { " with the items of the batch" } else { "" };
        let message = format!(
            "the payload{with_items} has {bytes} bytes as compact JSON; type {type_} allows {most}: put the content into a store of yours and hand over a reference"
        );
        return Some(Refusal { reason: Reason::PayloadTooLarge, message });
    }
    let fault = payload.as_ref()?.fault().filter(|fault| !matches!(fault, Fault::MayBeRounded { .. }))?;
    Some(Refusal { reason: Reason::InvalidPayload, message: fault.to_string() })
}

fn above_maximum(task: &TaskSpec, task_type: &TaskTypeSpec) -> Option<String> {
    let type_ = &task.type_;
    let maximum = &task_type.maximum;
    if let Some(most) = maximum.priority.filter(|most| task.priority.is_some_and(|asked| asked > *most)) {
        return Some(format!("spec.priority is above {most}, the highest that type {type_} allows"));
    }
    if let Some(most) = maximum.timeout_seconds.filter(|most| task.timeout_seconds.is_some_and(|asked| asked > *most)) {
        return Some(format!("spec.timeoutSeconds is above {most}, the most that type {type_} allows"));
    }
    let limit = task.retry.as_ref().and_then(|retry| retry.limit);
    if let Some(most) = maximum.retry_limit.filter(|most| limit.is_some_and(|asked| asked > *most)) {
        return Some(format!("spec.retry.limit is above {most}, the most that type {type_} allows"));
    }
    resources::exceeding(task, task_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use task_manager_api::{Defaults, Maximum, Quantity, Resources};

    fn task(spec: TaskSpec) -> Task {
        Task::new("t", TaskSpec { type_: "thumbnails".into(), ..spec })
    }

    #[test]
    fn built_in_defaults_apply_where_neither_task_nor_type_sets_a_value() {
        let policy = Policy::of(&TaskSpec::default(), None);
        assert_eq!(
            (policy.priority, policy.timeout_seconds, policy.start_deadline_seconds),
            (Priority::Normal, 3600, 600)
        );
        let retry = policy.retry;
        assert_eq!((retry.limit, retry.initial_seconds, retry.max_seconds, retry.disruption_limit), (3, 10, 300, 20));
        assert_eq!((retry.factor, retry.oom_memory_factor), (2.0, 1.0));
    }

    #[test]
    fn defaults_stay_within_the_types_maximum() {
        let maximum = Maximum {
            priority: Some(Priority::Low),
            timeout_seconds: Some(600),
            retry_limit: Some(1),
            ..Maximum::default()
        };
        let policy = Policy::of(&TaskSpec::default(), Some(&TaskTypeSpec { maximum, ..TaskTypeSpec::default() }));
        assert_eq!((policy.priority, policy.timeout_seconds, policy.retry.limit), (Priority::Low, 600, 1));
    }

    #[test]
    fn retry_is_merged_field_by_field() {
        let spec = TaskSpec { retry: Some(Retry { limit: Some(7), ..Retry::default() }), ..TaskSpec::default() };
        let task_type = TaskTypeSpec {
            defaults: Defaults {
                retry: Some(Retry { limit: Some(1), initial_seconds: Some(2), ..Retry::default() }),
                ..Defaults::default()
            },
            ..TaskTypeSpec::default()
        };
        let retry = Policy::of(&spec, Some(&task_type)).retry;
        assert_eq!((retry.limit, retry.initial_seconds, retry.max_seconds), (7, 2, 300));
    }

    #[test]
    fn a_payload_is_measured_as_compact_json_against_the_types_limit() {
        let task_type = TaskTypeSpec {
            maximum: Maximum { payload_bytes: Some(9), ..Maximum::default() },
            ..TaskTypeSpec::default()
        };
        let of = |value: serde_json::Value| {
            let payload = serde_json::from_value(value).expect("an object");
            refusal(&task(TaskSpec { payload: Some(payload), ..TaskSpec::default() }), &task_type)
                .map(|refusal| refusal.reason)
        };
        assert_eq!(of(json!({"a": "bc"})), Some(Reason::PayloadTooLarge));
        assert_eq!(of(json!({"a": "b"})), None);
    }

    #[test]
    fn a_payload_that_is_not_what_was_written_is_refused_and_an_honest_double_is_not() {
        let of = |value: serde_json::Value| {
            let payload = Some(serde_json::from_value(value).expect("an object"));
            refusal(&task(TaskSpec { payload, ..TaskSpec::default() }), &TaskTypeSpec::default())
        };
        let refused = of(json!({"id": 9_223_372_036_854_776_000_u64})).expect("it was rounded");
        assert_eq!(refused.reason, Reason::InvalidPayload);
        assert!(refused.message.starts_with("payload.id is 9223372036854776000, which"), "{}", refused.message);
        assert_eq!(of(json!({"x": 1e300, "y": 1.234_567_890_123_456_8e22, "z": 0.1})), None);
    }

    #[test]
    fn each_maximum_is_told_with_the_field_and_the_bound() {
        let task_type = TaskTypeSpec {
            maximum: Maximum {
                priority: Some(Priority::High),
                timeout_seconds: Some(60),
                retry_limit: Some(2),
                resources: [("memory".to_owned(), Quantity("1Gi".into()))].into(),
                ..Maximum::default()
            },
            ..TaskTypeSpec::default()
        };
        let asks = [
            (TaskSpec { priority: Some(Priority::Critical), ..TaskSpec::default() }, "spec.priority"),
            (TaskSpec { timeout_seconds: Some(61), ..TaskSpec::default() }, "spec.timeoutSeconds"),
            (
                TaskSpec { retry: Some(Retry { limit: Some(3), ..Retry::default() }), ..TaskSpec::default() },
                "spec.retry.limit",
            ),
            (with_limit("memory", "2Gi"), "memory"),
            (with_limit("nvidia.com/gpu", "1"), "nvidia.com/gpu"),
        ];
        for (spec, word) in asks {
            let refusal = refusal(&task(spec), &task_type).expect("above the maximum");
            assert_eq!(refusal.reason, Reason::AboveMaximum);
            assert!(refusal.message.contains(word), "{}", refusal.message);
        }
        assert_eq!(refusal(&task(with_limit("cpu", "64")), &task_type), None, "cpu is not named, so it is free");
        let exactly = TaskSpec {
            priority: Some(Priority::High),
            timeout_seconds: Some(60),
            retry: Some(Retry { limit: Some(2), ..Retry::default() }),
            ..with_limit("memory", "1Gi")
        };
        assert_eq!(refusal(&task(exactly), &task_type), None, "the maximum itself is allowed");
    }

    fn with_limit(resource: &str, quantity: &str) -> TaskSpec {
        let limits = [(resource.to_owned(), Quantity(quantity.into()))].into();
        TaskSpec { resources: Some(Resources { limits, ..Resources::default() }), ..TaskSpec::default() }
    }
}
