//! Changes to a spec, as a merge patch (RFC 7396): of a task that is there, and of one that is repeated. Null means
//! that nothing is said, so that the type's default holds again. Whether a value is right is the API server's to say.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::submission::{Resources, Retry};
use crate::api::Priority;
use crate::rest::request::numbers;
use crate::serving::json;
use crate::serving::problem::{Problem, ProblemType};

/// A change of a task that is not finished. A field that is absent stays as it is; null takes it back, as if the
/// submission had not had it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskChanges {
    /// At once, while it waits.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<Priority>)]
    priority: Option<Value>,
    /// True: it is held in its queue; what runs goes on.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<bool>)]
    suspend: Option<Value>,
    /// It is not started before this time (RFC 3339).
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-01-01T00:00:00Z")]
    start_after: Option<Value>,
    /// From the next attempt on.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 604800)]
    timeout_seconds: Option<Value>,
    /// Seconds from arrival to a final state, at once.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 31536000)]
    deadline_seconds: Option<Value>,
    /// From the next failure on; merged field by field.
    #[serde(default, deserialize_with = "json::given_object")]
    #[schema(value_type = Option<Retry>)]
    retry: Option<Option<Retry>>,
    /// From the next attempt on; merged resource by resource.
    #[serde(default, deserialize_with = "json::given_object")]
    #[schema(value_type = Option<Resources>)]
    resources: Option<Option<Resources>>,
    /// Seconds after its end for which it stays in the cluster. Null: the type's, else 3600.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 31536000)]
    ttl_seconds: Option<Value>,
    /// Of a batch, at once.
    #[serde(default, deserialize_with = "json::object")]
    batch: Option<BatchChanges>,
}

/// The fields of a batch that may change while it runs. Null takes one back.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchChanges {
    /// From the next chunk on.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 10000)]
    chunk_size: Option<Value>,
    /// The number of chunks at once.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 1000)]
    parallelism: Option<Value>,
    /// The number of items that may fail for good, or a percentage of all: 10 or "1%".
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<Value>, example = "1%")]
    max_failed_items: Option<Value>,
}

impl BatchChanges {
    fn patch(&self) -> Value {
        Value::Object(written([
            ("chunkSize", self.chunk_size.clone()),
            ("parallelism", self.parallelism.clone()),
            ("maxFailedItems", self.max_failed_items.clone()),
        ]))
    }
}

/// A type that has the changes of a replay and the fields that a request has beside them: they stand here once, for
/// serde flattens nothing into a type that refuses unknown fields.
macro_rules! changing {
    ($(#[$about:meta])* pub struct $name:ident { $($more:tt)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            #[serde(default, deserialize_with = "json::given")]
            #[schema(value_type = Option<Priority>)]
            pub priority: Option<Value>,
            /// Name of a TaskQueue.
            #[serde(default, deserialize_with = "json::given")]
            #[schema(value_type = Option<String>, min_length = 1, max_length = 253)]
            pub queue: Option<Value>,
            /// The whole payload, in place of the old one.
            #[serde(default, deserialize_with = "json::given")]
            #[schema(value_type = Option<Object>, example = json!({"uri": "s3://in/7.pdf"}))]
            pub payload: Option<Value>,
            /// Seconds that one attempt may run.
            #[serde(default, deserialize_with = "json::given")]
            #[schema(value_type = Option<i32>, minimum = 1, maximum = 604800)]
            pub timeout_seconds: Option<Value>,
            /// Seconds from arrival to a final state.
            #[serde(default, deserialize_with = "json::given")]
            #[schema(value_type = Option<i32>, minimum = 1, maximum = 31536000)]
            pub deadline_seconds: Option<Value>,
            /// Merged field by field.
            #[serde(default, deserialize_with = "json::given_object")]
            #[schema(value_type = Option<Retry>)]
            pub retry: Option<Option<Retry>>,
            /// Merged resource by resource.
            #[serde(default, deserialize_with = "json::given_object")]
            #[schema(value_type = Option<Resources>)]
            pub resources: Option<Option<Resources>>,
            $($more)*
        }
    };
}

changing! {
    /// The changes of a task that is repeated. A field that is absent is as it was; null takes it back, as if the
    /// submission had not had it.
    pub struct ReplayChanges {}
}

changing! {
    /// How a task is repeated. A field that is absent is as it was; null takes it back, as if the submission had not
    /// had it.
    pub struct ReplayRequest {
        /// True: nothing is made, and the answer says what would be.
        #[serde(default)]
        pub dry_run: bool,
    }
}

impl ReplayRequest {
    pub fn changes(self) -> ReplayChanges {
        let Self { priority, queue, payload, timeout_seconds, deadline_seconds, retry, resources, dry_run: _ } = self;
        ReplayChanges { priority, queue, payload, timeout_seconds, deadline_seconds, retry, resources }
    }
}

/// Reads a body that has values of a spec.
pub fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    // A number, a nesting or half a character that is not read is JSON nevertheless.
    let read = json::json(text).map_err(|problem| match problem.is(ProblemType::Syntax) {
        true => numbers::exact(text).err().unwrap_or(problem),
        false => problem,
    })?;
    numbers::exact(text).map(|()| read)
}

/// Fields of a submission that a task keeps for life, each with the remedy.
const FIXED: [(&str, &str); 8] = [
    ("payload", "cancel the task and replay it with another payload"),
    ("queue", "cancel the task and replay it with another queue"),
    ("task_type", "submit a new task"),
    ("kb_id", "submit a new task"),
    ("namespace", "submit a new task"),
    ("name", "submit a new task"),
    ("idempotency_key", "submit a new task"),
    ("cancel", "POST to its path with /cancel at the end"),
];

impl TaskChanges {
    /// Reads a body. A field that no task can change is refused with the remedy.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let fields: Map<String, Value> = json::json(text)?;
        if let Some((field, remedy)) = FIXED.into_iter().find(|(field, _)| fields.contains_key(*field)) {
            let detail = format!("{field} cannot be changed while the task is there: {remedy}");
            return Err(ProblemType::Invalid.because(detail).at(field));
        }
        read(text)
    }

    /// The merge patch of the spec.
    pub fn patch(&self) -> Map<String, Value> {
        written([
            ("priority", self.priority.clone()),
            ("suspend", self.suspend.clone()),
            ("startAfter", self.start_after.clone()),
            ("timeoutSeconds", self.timeout_seconds.clone()),
            ("deadlineSeconds", self.deadline_seconds.clone()),
            ("retry", part(self.retry.as_ref(), Retry::patch)),
            ("resources", part(self.resources.as_ref(), Resources::patch)),
            ("ttlSecondsAfterFinished", self.ttl_seconds.clone()),
            ("batch", self.batch.as_ref().map(BatchChanges::patch)),
        ])
    }
}

impl ReplayChanges {
    /// The merge patch of the spec, but for the payload, which is not merged.
    fn patch(&self) -> Map<String, Value> {
        written([
            ("priority", self.priority.clone()),
            ("queue", self.queue.clone()),
            ("timeoutSeconds", self.timeout_seconds.clone()),
            ("deadlineSeconds", self.deadline_seconds.clone()),
            ("retry", part(self.retry.as_ref(), Retry::patch)),
            ("resources", part(self.resources.as_ref(), Resources::patch)),
        ])
    }

    /// All that is changed, by which one request is told from another; `None` where nothing is.
    pub fn told(&self) -> Option<Value> {
        let mut told = self.patch();
        told.extend(written([("payload", self.payload.clone())]));
        (!told.is_empty()).then_some(Value::Object(told))
    }

    /// The spec with these changes.
    pub fn applied(&self, mut spec: Value) -> Value {
        merge(&mut spec, &Value::Object(self.patch()));
        if let (Some(payload), Some(fields)) = (&self.payload, spec.as_object_mut()) {
            fields.remove("payload");
            fields.extend(written([("payload", Some(payload.clone()))]).into_iter().filter(|(_, new)| !new.is_null()));
        }
        spec
    }
}

/// The fields that a request has, with numbers as the API server stores them.
pub fn written<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let written = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let mut written = Value::Object(written.collect());
    numbers::settle(&mut written);
    if let Value::Object(fields) = written { fields } else { Map::new() }
}

/// A field that is an object, or null.
fn part<T>(field: Option<&Option<T>>, patch: fn(&T) -> Value) -> Option<Value> {
    field.map(|given| given.as_ref().map_or(Value::Null, patch))
}

/// Applies a merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, change) in changes {
        match change {
            Value::Null => drop(fields.remove(name)),
            change => merge(fields.entry(name.clone()).or_insert(Value::Null), change),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_has_what_was_written_nulls_included() {
        let text = r#"{"priority": null, "timeout_seconds": 60.0, "retry": {"max_seconds": 7, "limit": null},
            "resources": {"limits": {"memory": null}}}"#;
        let patch = TaskChanges::read(text).expect("read").patch();
        let expected = json!({"priority": null, "timeoutSeconds": 60, "retry": {"maxSeconds": 7, "limit": null},
            "resources": {"limits": {"memory": null}}});
        assert_eq!(Value::Object(patch), expected);
        assert!(TaskChanges::read("{}").expect("read").patch().is_empty());
        assert_eq!(
            Value::Object(TaskChanges::read(r#"{"retry": null}"#).expect("read").patch()),
            json!({"retry": null})
        );
    }

    #[test]
    fn a_field_that_no_task_can_change_is_refused_with_the_remedy() {
        for (text, field, remedy) in [
            (r#"{"payload": {}}"#, "payload", "replay it"),
            (r#"{"priority": "low", "task_type": "x"}"#, "task_type", "submit a new task"),
            (r#"{"prio": "low"}"#, "prio", "unknown field"),
            (r#"{"retry": {"most": 1}}"#, "retry.most", "unknown field"),
            (r#"{"retry": 5}"#, "retry", "a JSON object"),
        ] {
            let problem = TaskChanges::read(text).expect_err(text);
            assert!(problem.is(ProblemType::Invalid) && problem.detail.contains(remedy), "{problem:?}");
            assert_eq!(problem.field.as_deref(), Some(field), "{text}");
        }
        assert!(TaskChanges::read(r#"{"timeout_seconds": 99999999999999999999}"#).is_err());
    }

    #[test]
    fn a_repeated_spec_is_merged_and_its_payload_replaced() {
        let spec = json!({"type": "t", "queue": "q", "payload": {"a": 1, "b": 2}, "retry": {"limit": 1, "factor": 3.0},
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}});
        let text = r#"{"payload": {"a": 5}, "queue": null, "retry": {"limit": 4},
            "resources": {"limits": {"memory": "2Gi", "cpu": null}}}"#;
        let changes: ReplayChanges = json::json(text).expect("read");
        let expected = json!({"type": "t", "payload": {"a": 5}, "retry": {"limit": 4, "factor": 3.0},
            "resources": {"limits": {"memory": "2Gi"}}});
        assert_eq!(changes.applied(spec.clone()), expected);
        let nothing = ReplayChanges::default();
        assert_eq!((nothing.applied(spec.clone()), nothing.told()), (spec.clone(), None));
        let none: ReplayChanges = json::json(r#"{"payload": null}"#).expect("read");
        assert_eq!((none.applied(spec).get("payload"), none.told()), (None, Some(json!({"payload": null}))));
    }
}
