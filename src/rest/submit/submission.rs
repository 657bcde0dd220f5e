//! A submission: the fields that a body may have, and the spec that it stands for. Whether its values are right is the API
//! server's to say, as it is for a manifest; here only the names of fields are known.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::changes::written;
use super::manifest::present;
use crate::api::Priority;
use crate::rest::request::field_names::type_name;
use crate::rest::request::key::key;
use crate::rest::request::numbers;
use crate::serving::json;
use crate::serving::problem::{Problem, ProblemType};

/// One piece of work to be done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The kind of work: the name of a TaskType; document_processing stands for document-processing.
    #[schema(value_type = String, min_length = 1, max_length = 253, example = "document_processing")]
    pub task_type: Value,
    /// A correlation key of yours, opaque to us.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 253, pattern = "^[^\\x00]*$", example = "kb-42")]
    pub kb_id: Option<Value>,
    /// Any JSON object, which the work is given. At most 32768 bytes as compact JSON unless the type says
    /// otherwise. A number that would come back as another (an integer beyond 64 bits with a sign, digits beyond
    /// those of a double) is refused: write it as a string. So is a key that comes twice.
    #[schema(value_type = Option<Object>, example = json!({"uri": "s3://in/7.pdf"}))]
    pub payload: Option<Value>,
    /// Many items, each of which is done, retried and counted by itself.
    #[serde(default, deserialize_with = "json::object")]
    pub batch: Option<Batch>,
    /// Default: the type's, else normal.
    #[schema(value_type = Option<Priority>)]
    pub priority: Option<Value>,
    /// Name of a TaskQueue. Default: "default", which need not be created.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 253)]
    pub queue: Option<Value>,
    /// Seconds that one attempt may run. Default: the type's, else 3600.
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 604800)]
    pub timeout_seconds: Option<Value>,
    /// Seconds from arrival to a final state, queueing and retries included. Default: no deadline.
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 31536000)]
    pub deadline_seconds: Option<Value>,
    /// How failures are tried again; merged field by field with the type's defaults.
    #[serde(default, deserialize_with = "json::object")]
    pub retry: Option<Retry>,
    /// Requests and limits of the work's container, within the type's maximum.
    #[serde(default, deserialize_with = "json::object")]
    pub resources: Option<Resources>,
    /// The task is not started before this time (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-01-01T00:00:00Z")]
    pub start_after: Option<Value>,
    /// Seconds after which the finished task is removed from the cluster; it is still
    /// known here then. Default: the type's, else 3600.
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 31536000)]
    pub ttl_seconds: Option<Value>,
    /// One of the served namespaces. Default: the usual one.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 63)]
    pub namespace: Option<Value>,
    /// The name of the resource. Default: one that nobody has. Not together with an idempotency key.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 253)]
    pub name: Option<Value>,
    /// In a bulk submission, the same as the Idempotency-Key header of a single one.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255, pattern = "^[!#-&(-_a-~]+$")]
    pub idempotency_key: Option<Value>,
}

/// How failures are tried again. The pause before retry n is initial_seconds × factor^(n-1), at most
/// max_seconds, give or take a tenth.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How many failures are tried again. Default: 3.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 100)]
    limit: Option<Value>,
    /// Seconds before the first retry. Default: 10.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 86400)]
    initial_seconds: Option<Value>,
    /// By how much each pause is longer than the one before. Default: 2.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<f64>, minimum = 1, maximum = 10)]
    factor: Option<Value>,
    /// The longest pause in seconds. Default: 300.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 86400)]
    max_seconds: Option<Value>,
    /// How many attempts may be lost to the cluster before the task fails. Default: 20.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 1000)]
    disruption_limit: Option<Value>,
    /// By how much memory grows after each time out of memory. Default: 1.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<f64>, minimum = 1, maximum = 4)]
    oom_memory_factor: Option<Value>,
}

/// The items of a task that is done in chunks: either `count` or `items`.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The number of items, which are numbered from 0.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 10000000)]
    count: Option<Value>,
    /// The items themselves, any JSON values; their size counts as that of the payload.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<Vec<Value>>, max_items = 10000)]
    items: Option<Value>,
    /// The number of items that one attempt is given. Default: 100.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 10000)]
    chunk_size: Option<Value>,
    /// The number of chunks that are at work or wait for a slot at once. Default: 8.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 1000)]
    parallelism: Option<Value>,
    /// The number of items that may fail for good, or a percentage of all: 10 or "1%". Default: every item is tried, and any
    /// that failed makes the task failed.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<Value>, example = "1%")]
    max_failed_items: Option<Value>,
}

impl Batch {
    /// With nulls, of which the API server says what it says to those of a manifest.
    fn spec(&self) -> Value {
        Value::Object(written([
            ("count", self.count.clone()),
            ("items", self.items.clone()),
            ("chunkSize", self.chunk_size.clone()),
            ("parallelism", self.parallelism.clone()),
            ("maxFailedItems", self.max_failed_items.clone()),
        ]))
    }
}

/// Requests and limits of the work's container, as in a pod.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Reserved for the work. Example: {"cpu": "500m", "memory": "256Mi"}.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Quantity>>)]
    requests: Option<Value>,
    /// Never exceeded by the work. Example: {"memory": "512Mi"}.
    #[serde(default, deserialize_with = "json::given")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Quantity>>)]
    limits: Option<Value>,
}

/// A Kubernetes quantity, not negative: 500m, 2 or 1Gi.
#[derive(ToSchema)]
#[schema(value_type = String, max_length = 32, example = "500m")]
#[allow(dead_code, reason = "it is written down for the OpenAPI document alone")]
struct Quantity(String);

impl Submission {
    /// Reads a body. What Kubernetes would not keep as it is written is refused.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let submission = json::json(text);
        // An array of as many values would be read as well.
        let is_object = text.trim_start().starts_with('{');
        let submission = match submission {
            // A number, a nesting or half a character that is not read is JSON nevertheless.
            Err(problem) if problem.is(ProblemType::Syntax) => {
                return Err(numbers::exact(text).err().unwrap_or(problem));
            }
            Err(problem) if is_object || !problem.is(ProblemType::Invalid) => return Err(problem),
            Ok(submission) if is_object => submission,
            _ => {
                let detail = "a submission is a JSON object, such as {\"task_type\": \"document_processing\"}";
                return Err(ProblemType::Invalid.because(detail));
            }
        };
        numbers::exact(text).map(|()| submission)
    }

    /// The type's name.
    pub fn kind(&self) -> Option<String> {
        self.task_type.as_str().map(type_name)
    }

    /// The key in the body, which a bulk submission uses.
    pub fn key(&self) -> Result<Option<String>, Problem> {
        let Some(given) = &self.idempotency_key else { return Ok(None) };
        let field = "idempotency_key";
        let text = given.as_str().ok_or_else(|| ProblemType::Invalid.because("a key is a string").at(field))?;
        key(text, field).map(Some)
    }

    /// The spec of the Task that this stands for.
    pub fn spec(&self) -> Value {
        let mut spec = Map::new();
        let mut put = |name: &str, value: Option<&Value>| {
            if let Some(value) = value {
                spec.insert(name.to_owned(), value.clone());
            }
        };
        put("type", Some(&self.kind().map_or_else(|| self.task_type.clone(), Value::from)));
        put("kbId", self.kb_id.as_ref());
        put("payload", self.payload.as_ref());
        put("batch", self.batch.as_ref().map(Batch::spec).as_ref());
        put("priority", self.priority.as_ref());
        put("queue", self.queue.as_ref());
        put("timeoutSeconds", self.timeout_seconds.as_ref());
        put("deadlineSeconds", self.deadline_seconds.as_ref());
        put("retry", self.retry.as_ref().map(Retry::spec).as_ref());
        put("resources", self.resources.as_ref().map(Resources::spec).as_ref());
        put("startAfter", self.start_after.as_ref());
        put("ttlSecondsAfterFinished", self.ttl_seconds.as_ref());
        let mut spec = Value::Object(spec);
        numbers::settle(&mut spec);
        spec
    }
}

impl Retry {
    fn spec(&self) -> Value {
        present(self.patch())
    }

    /// What was written, nulls included.
    pub fn patch(&self) -> Value {
        Value::Object(written([
            ("limit", self.limit.clone()),
            ("initialSeconds", self.initial_seconds.clone()),
            ("factor", self.factor.clone()),
            ("maxSeconds", self.max_seconds.clone()),
            ("disruptionLimit", self.disruption_limit.clone()),
            ("oomMemoryFactor", self.oom_memory_factor.clone()),
        ]))
    }
}

impl Resources {
    fn spec(&self) -> Value {
        present(self.patch())
    }

    /// What was written, nulls included.
    pub fn patch(&self) -> Value {
        Value::Object(written([("requests", self.requests.clone()), ("limits", self.limits.clone())]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_that_is_no_object_is_no_submission() {
        for text in
            [r#"["work",null,{},null,null,null,null,null,null,null,null,null,null,null]"#, "[]", "5", "\"x\"", " null"]
        {
            let problem = Submission::read(text).expect_err(text);
            assert!(
                problem.is(ProblemType::Invalid) && problem.detail.contains("a JSON object"),
                "{text}: {problem:?}"
            );
        }
    }

    #[test]
    fn a_spec_has_what_was_written_and_nothing_else() {
        let text = r#"{"task_type": "t", "retry": {"max_seconds": 7, "limit": null}, "ttl_seconds": "x", "name": "n"}"#;
        let spec = Submission::read(text).expect("read").spec();
        assert_eq!(spec, json!({"type": "t", "retry": {"maxSeconds": 7}, "ttlSecondsAfterFinished": "x"}));
    }
}
