//! A TaskType as decisions read it, and the status that says whether it can be used.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::dry_run::DryRun;
use super::resources::Amounts;
use super::template::{self, Template, TemplateError};
use super::{holds, notes, refusal};
use crate::Reason;
use crate::attempt::facts::no_pod;
use crate::telling::conditions;
use task_manager_api::{Condition, Executor, TaskType, TaskTypeSpec, TaskTypeStatus};

#[cfg(test)]
mod tests;

#[derive(Clone, Debug, PartialEq)]
pub struct ParsedType {
    pub spec: TaskTypeSpec,
    pub template: Result<Template, TemplateError>,
    /// The last dry run of this generation; `None` before the first one that was answered.
    pub dry_run: Option<Arc<DryRun>>,
    /// By how much pods of this generation came out larger than their slots, as where a webhook skips dry runs.
    pub surplus: Amounts,
}

impl ParsedType {
    /// Parses a type. Its template is an error also where its status holds a refusal of the API server's dry run for this
    /// generation.
    pub fn of(task_type: &TaskType) -> Self {
        Self::read(&task_type.spec).refused(refusal(task_type))
    }

    pub fn read(spec: &TaskTypeSpec) -> Self {
        let template = match spec.executor {
            Executor::Job | Executor::Pod => template::read(&spec.template),
            Executor::Pool => Err(TemplateError::OfAPool),
        };
        // The template holds the JSON, so that memory holds it once.
        Self {
            spec: TaskTypeSpec { template: Value::Null, ..spec.clone() },
            template,
            dry_run: None,
            surplus: Amounts::new(),
        }
    }

    /// Whether its tasks can be run, as far as the type itself tells: by its template, or because its pool is there.
    pub fn runs(&self) -> Result<(), &TemplateError> {
        match &self.template {
            Ok(_) | Err(TemplateError::OfAPool) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same type, whose template the API server has refused in these words; or why its pool cannot run its tasks.
    pub fn refused(self, why: Option<String>) -> Self {
        let refusal = match self.template {
            Ok(_) => why.map(TemplateError::Refused),
            Err(TemplateError::OfAPool) => why.map(TemplateError::NoPool),
            Err(_) => None,
        };
        match refusal {
            Some(refusal) => Self { template: Err(refusal), ..self },
            None => self,
        }
    }

    /// The same type with what a dry run of it was answered.
    pub fn with_dry_run(self, dry_run: Option<Arc<DryRun>>) -> Self {
        Self { dry_run, ..self }
    }

    pub fn with_surplus(self, surplus: Amounts) -> Self {
        Self { surplus, ..self }
    }
}

/// The refusal of this generation by the API server's dry run, from the type's status.
fn refusal(task_type: &TaskType) -> Option<String> {
    let ready = ready_of_this_generation(task_type)?;
    (ready.status == "False").then(|| ready.message.clone())
}

/// The surplus that the status of a type tells of, for its present generation.
pub fn surplus_told(task_type: &TaskType) -> Amounts {
    let status = task_type.status.as_ref();
    let current = status.filter(|status| Some(status.observed_generation) == task_type.metadata.generation);
    current.map(|status| holds::to_amounts(&status.surplus)).unwrap_or_default()
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

/// Whether a type can be used whose tasks a pool runs: it has no pods of its own that could be tried out.
pub fn usable_by_pool(spec: &TaskTypeSpec, pool_is_there: bool) -> Usable {
    match spec.worker_pool.as_deref() {
        Some(pool) if !pool_is_there => Usable::No(format!("there is no WorkerPool {pool} in this namespace")),
        _ => Usable::Yes,
    }
}

/// The status that the type should have. `parsed` is how queues count its pods.
pub fn status(task_type: &TaskType, usable: &Usable, parsed: &ParsedType, now: Timestamp) -> TaskTypeStatus {
    let before = task_type.status.clone().unwrap_or_default();
    let surplus = holds::to_quantities(&parsed.surplus);
    let (status, reason, message) = match usable {
        Usable::Yes => ("True", Reason::Ready, notes::with_notes(Reason::Ready.sentence(), parsed)),
        Usable::No(why) => ("False", Reason::TypeNotReady, why.clone()),
        Usable::Hindered(why) => ("Unknown", hindered(why), notes::of_unanswered(why, parsed)),
        Usable::NotKnown(why) => ("Unknown", Reason::NotChecked, notes::of_unanswered(why, parsed)),
    };
    let message = conditions::shortened(&message);
    let ready = ready_of_this_generation(task_type);
    let is_kept = match usable {
        Usable::Yes | Usable::No(_) => false,
        // A refusal of this generation is taken back by a Yes alone.
        Usable::Hindered(_) => ready.is_some_and(|ready| {
            ready.status == "False" || says_the_same(ready, &message) && ready.reason == reason.as_str()
        }),
        Usable::NotKnown(_) => ready.is_some_and(|ready| ready.status != "Unknown" || says_the_same(ready, &message)),
    };
    if is_kept {
        return TaskTypeStatus { surplus, ..before };
    }
    TaskTypeStatus {
        observed_generation: task_type.metadata.generation.unwrap_or_default(),
        conditions: conditions::ready(status, reason, &message, &before.conditions, now),
        surplus,
    }
}

/// What the tasks of this type would be told. Only where we may not ask is it not known what they would be.
fn hindered(why: &str) -> Reason {
    let may_not_ask = why.contains("cannot create resource") || refusal::of_no_dry_run(why).is_some();
    if may_not_ask { Reason::NotChecked } else { no_pod(why).reason }
}

/// The Ready condition, where it speaks of this generation.
fn ready_of_this_generation(task_type: &TaskType) -> Option<&Condition> {
    let status = task_type.status.as_ref()?;
    let is_current = Some(status.observed_generation) == task_type.metadata.generation;
    status.conditions.iter().find(|condition| condition.type_ == "Ready").filter(|_| is_current)
}

/// The words are the same but for numbers, such as how much of a quota is used just now.
fn says_the_same(ready: &Condition, message: &str) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    ready.status == "Unknown" && words(&ready.message) == words(message)
}

/// Whether the dry run has accepted the type's present generation.
pub fn is_checked(task_type: &TaskType) -> bool {
    ready_of_this_generation(task_type).is_some_and(|ready| ready.status == "True")
}
