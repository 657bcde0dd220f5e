//! The refusals that are ours, of what no schema can see: an unknown type or queue, and what is above what the type allows
//! or the queue could ever hold. All else is refused by the API server, when the task is created.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Submitter;
use crate::api::{Reason, Task, TaskSpec, TaskTypeSpec};
use crate::core::launch::policy;
use crate::rest::request::field_names;
use crate::serving::problem::{Problem, ProblemType};

/// Seconds for which a finished task stays in the cluster, where neither the request nor the type says otherwise.
const TTL: i32 = 3600;

impl Submitter {
    /// The spec, after our refusals. Whoever makes a task over REST never sees the cluster, so the task does not stay
    /// there for ever.
    pub(super) async fn validated(&self, mut spec: Value, namespace: &str) -> Result<Value, Problem> {
        // A spec that cannot be read so is refused by the API server too, and its words are better.
        let Ok(typed) = serde_json::from_value::<TaskSpec>(spec.clone()) else { return Ok(spec) };
        let kind = self.kind(namespace, &typed.type_).await?;
        let ttl = typed.ttl_seconds_after_finished.unwrap_or_else(|| ttl(&kind));
        let task = Task::new("", typed);
        // So is a quantity that is none.
        if has_readable_quantities(&task.spec) {
            if let Some(problem) = above_maximum(&task, &kind) {
                return Err(problem);
            }
            self.fits_its_queue(namespace, &task).await?;
        }
        if let Some(fields) = spec.as_object_mut() {
            fields.insert("ttlSecondsAfterFinished".into(), ttl.into());
        }
        Ok(spec)
    }

    pub(super) async fn kind(&self, namespace: &str, name: &str) -> Result<Arc<TaskTypeSpec>, Problem> {
        if let Some(kind) = self.index.kind(namespace, name) {
            return Ok(kind);
        }
        let unknown = || {
            ProblemType::UnknownType
                .because(format!("there is no TaskType {name:?} here; look for a typing error"))
                .at("task_type")
        };
        if !may_be_name(name) {
            return Err(unknown());
        }
        // It may have been made a moment ago.
        let kind = self.api.task_type(namespace, name).await?.ok_or_else(unknown)?;
        Ok(Arc::new(kind.spec))
    }
}

/// Seconds for which a finished task of this type stays in the cluster, where its request says nothing.
pub fn ttl(kind: &TaskTypeSpec) -> i32 {
    kind.defaults.ttl_seconds_after_finished.unwrap_or(TTL)
}

/// Refuses a change of a task's spec to what its type does not allow.
pub(super) fn within_maximum(type_: &str, patch: &Map<String, Value>, kind: &TaskTypeSpec) -> Result<(), Problem> {
    let mut changed: Value = patch.clone().into();
    changed["type"] = type_.into();
    // One that cannot be read so is refused by the API server too, and its words are better.
    let Ok(typed) = serde_json::from_value::<TaskSpec>(without_nulls(changed)) else { return Ok(()) };
    if !has_readable_quantities(&typed) {
        return Ok(());
    }
    above_maximum(&Task::new("", typed), kind).map_or(Ok(()), Err)
}

fn has_readable_quantities(spec: &TaskSpec) -> bool {
    let resources = spec.resources.iter();
    let mut quantities = resources.flat_map(|named| named.requests.values().chain(named.limits.values()));
    quantities.all(|quantity| quantity.amount().is_ok())
}

fn without_nulls(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    fields.map(|(name, value)| (name, without_nulls(value))).collect::<Map<_, _>>().into()
}

/// Whether an object can be called so.
pub(super) fn may_be_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (1..=253).contains(&name.len())
        && name.bytes().all(fits)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

fn above_maximum(task: &Task, kind: &TaskTypeSpec) -> Option<Problem> {
    let refusal = policy::refusal(task, kind)?;
    let message = field_names::sentence(&refusal.message);
    Some(match refusal.reason {
        Reason::PayloadTooLarge => ProblemType::PayloadTooLarge.because(message).at("payload"),
        Reason::InvalidPayload => ProblemType::NumberTooLong.because(message).at("payload"),
        _ => {
            let field = message.split([' ', ':']).next().unwrap_or_default().to_owned();
            ProblemType::AboveMaximum.because(message).at(field)
        }
    })
}
