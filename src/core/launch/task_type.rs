//! A TaskType as decisions read it, and the status that says whether it can be used.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::dry_run::DryRun;
use super::template::{self, Template, TemplateError};
use crate::Reason;
use crate::attempt::facts::no_pod;
use crate::telling::conditions;
use task_manager_api::{Condition, TaskType, TaskTypeSpec, TaskTypeStatus};

#[cfg(test)]
mod tests;

#[derive(Clone, Debug, PartialEq)]
pub struct ParsedType {
    pub spec: TaskTypeSpec,
    pub template: Result<Template, TemplateError>,
    /// The last dry run of this generation; `None` before the first one that was answered.
    pub dry_run: Option<Arc<DryRun>>,
}

impl ParsedType {
    /// Parses a type. Its template is an error also where its status holds a refusal of the API server's dry run for this
    /// generation.
    pub fn of(task_type: &TaskType) -> Self {
        Self::read(&task_type.spec).refused(refusal(task_type))
    }

    pub fn read(spec: &TaskTypeSpec) -> Self {
        let template = template::read(&spec.template);
        // The template holds the JSON, so that memory holds it once.
        Self { spec: TaskTypeSpec { template: Value::Null, ..spec.clone() }, template, dry_run: None }
    }

    /// The same type, whose template the API server has refused in these words.
    pub fn refused(self, why: Option<String>) -> Self {
        match why.filter(|_| self.template.is_ok()) {
            Some(message) => Self { template: Err(TemplateError::Refused(message)), ..self },
            None => self,
        }
    }

    /// The same type with what a dry run of it was answered.
    pub fn with_dry_run(self, dry_run: Option<Arc<DryRun>>) -> Self {
        Self { dry_run, ..self }
    }
}

/// The refusal of this generation by the API server's dry run, from the type's status.
fn refusal(task_type: &TaskType) -> Option<String> {
    let ready = ready_of_this_generation(task_type)?;
    (ready.status == "False").then(|| ready.message.clone())
}

/// Whether a type can be used, as far as is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Usable {
    Yes,
    No(String),
    /// Something outside of the template stands in the way just now: a quota, a policy, a missing right.
    Hindered(String),
    /// Nobody answered.
    NotKnown(String),
}

/// The status that the type should have.
pub fn status(task_type: &TaskType, usable: &Usable, now: Timestamp) -> TaskTypeStatus {
    let before = task_type.status.clone().unwrap_or_default();
    let ready = ready_of_this_generation(task_type);
    let is_kept = match usable {
        Usable::Yes | Usable::No(_) => false,
        // A refusal of this generation is taken back by a Yes alone.
        Usable::Hindered(why) => ready.is_some_and(|ready| {
            ready.status == "False" || says_the_same(ready, why) && ready.reason == hindered(why).as_str()
        }),
        Usable::NotKnown(why) => ready.is_some_and(|ready| ready.status != "Unknown" || says_the_same(ready, why)),
    };
    if is_kept {
        return before;
    }
    let (status, reason, message) = match usable {
        Usable::Yes => ("True", Reason::Ready, Reason::Ready.sentence()),
        Usable::No(why) => ("False", Reason::TypeNotReady, why.as_str()),
        Usable::Hindered(why) => ("Unknown", hindered(why), why.as_str()),
        Usable::NotKnown(why) => ("Unknown", Reason::NotChecked, why.as_str()),
    };
    let message = conditions::shortened(message);
    TaskTypeStatus {
        observed_generation: task_type.metadata.generation.unwrap_or_default(),
        conditions: conditions::ready(status, reason, &message, &before.conditions, now),
    }
}

/// What the tasks of this type would be told. Only where we may not ask is it not known what they would be.
fn hindered(why: &str) -> Reason {
    let may_not_ask = why.contains("cannot create resource");
    if may_not_ask { Reason::NotChecked } else { no_pod(why).reason }
}

/// The Ready condition, where it speaks of this generation.
fn ready_of_this_generation(task_type: &TaskType) -> Option<&Condition> {
    let status = task_type.status.as_ref()?;
    let is_current = Some(status.observed_generation) == task_type.metadata.generation;
    status.conditions.iter().find(|condition| condition.type_ == "Ready").filter(|_| is_current)
}

/// The words are the same but for numbers, such as how much of a quota is used just now.
fn says_the_same(ready: &Condition, why: &str) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    ready.status == "Unknown" && words(&ready.message) == words(&conditions::shortened(why))
}

/// Whether the dry run has accepted the type's present generation.
pub fn is_checked(task_type: &TaskType) -> bool {
    ready_of_this_generation(task_type).is_some_and(|ready| ready.status == "True")
}
