//! A TaskType as decisions read it, and the status that says whether it can be used.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use super::template::{self, TemplateError};
use crate::Reason;
use crate::telling::conditions;
use task_manager_api::{TaskType, TaskTypeSpec, TaskTypeStatus};

#[derive(Clone, Debug, PartialEq)]
pub struct ParsedType {
    pub spec: TaskTypeSpec,
    pub template: Result<PodTemplateSpec, TemplateError>,
}

impl ParsedType {
    /// Parses a type. Its template is an error also where its status holds a refusal of the API server's dry run for this
    /// generation.
    pub fn of(task_type: &TaskType) -> Self {
        let read = Self::read(&task_type.spec);
        match refusal(task_type).filter(|_| read.template.is_ok()) {
            Some(message) => Self { template: Err(TemplateError::Refused(message)), ..read },
            None => read,
        }
    }

    pub fn read(spec: &TaskTypeSpec) -> Self {
        let template = template::read(&spec.template);
        // The typed template replaces the JSON one, so that memory holds one of them.
        Self { spec: TaskTypeSpec { template: Value::Null, ..spec.clone() }, template }
    }
}

/// The refusal of this generation by the API server's dry run, from the type's status.
fn refusal(task_type: &TaskType) -> Option<String> {
    let status =
        task_type.status.as_ref().filter(|status| Some(status.observed_generation) == task_type.metadata.generation)?;
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
    (ready.status == "False").then(|| ready.message.clone())
}

/// Whether a type can be used, as far as is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Usable {
    Yes,
    No(String),
    NotKnown(String),
}

/// The status that the type should have.
pub fn status(task_type: &TaskType, usable: &Usable, now: Timestamp) -> TaskTypeStatus {
    let before = task_type.status.clone().unwrap_or_default();
    if matches!(usable, Usable::NotKnown(_)) && refusal(task_type).is_some() {
        // An unanswered check does not replace an earlier refusal of this generation.
        return before;
    }
    let (status, reason, message) = match usable {
        Usable::Yes => ("True", Reason::Ready, Reason::Ready.sentence()),
        Usable::No(why) => ("False", Reason::TypeNotReady, why.as_str()),
        Usable::NotKnown(why) => ("Unknown", Reason::NotChecked, why.as_str()),
    };
    let message = conditions::shortened(message);
    TaskTypeStatus {
        observed_generation: task_type.metadata.generation.unwrap_or_default(),
        conditions: conditions::ready(status, reason, &message, &before.conditions, now),
    }
}

/// Whether the dry run has accepted the type's present generation.
pub fn is_checked(task_type: &TaskType) -> bool {
    let Some(status) = &task_type.status else { return false };
    Some(status.observed_generation) == task_type.metadata.generation
        && status.conditions.iter().any(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(seen: i64, ready: &str) -> TaskType {
        let template = json!({"spec": {"containers": [{"name": "work", "image": "busybox"}]}});
        let mut task_type = TaskType::new("work", TaskTypeSpec { template, ..TaskTypeSpec::default() });
        task_type.metadata.generation = Some(2);
        let conditions =
            conditions::ready(ready, Reason::TypeNotReady, "no such image pull policy", &[], Timestamp::UNIX_EPOCH);
        task_type.status = Some(TaskTypeStatus { observed_generation: seen, conditions });
        task_type
    }

    #[test]
    fn what_the_dry_run_refused_is_no_template_as_long_as_it_speaks_of_this_generation() {
        let refused = Err(TemplateError::Refused("no such image pull policy".into()));
        assert_eq!(ParsedType::of(&checked(2, "False")).template.map(drop), refused);
        assert!(ParsedType::of(&checked(2, "True")).template.is_ok());
        assert!(ParsedType::of(&checked(2, "Unknown")).template.is_ok());
        assert!(ParsedType::of(&checked(1, "False")).template.is_ok(), "it speaks of another generation");
        assert!(ParsedType::of(&TaskType { status: None, ..checked(2, "False") }).template.is_ok());
    }

    #[test]
    fn a_dry_run_without_an_answer_takes_nothing_back() {
        let status_after =
            |task_type: &TaskType| status(task_type, &Usable::NotKnown("no answer".into()), Timestamp::MAX);
        let ready = |status: &TaskTypeStatus| status.conditions[0].status.clone();
        assert_eq!(Some(status_after(&checked(2, "False"))), checked(2, "False").status);
        assert_eq!(ready(&status_after(&checked(1, "False"))), "Unknown", "that No spoke of another generation");
        assert_eq!(ready(&status_after(&checked(2, "Unknown"))), "Unknown");
        let taken_back = status(&checked(2, "False"), &Usable::Yes, Timestamp::MAX);
        assert_eq!(ready(&taken_back), "True", "a Yes is an answer");
    }

    #[test]
    fn a_type_is_checked_when_the_dry_run_said_yes_to_this_generation() {
        assert!(is_checked(&checked(2, "True")));
        assert!(!is_checked(&checked(1, "True")) && !is_checked(&checked(2, "False")));
        assert!(!is_checked(&checked(2, "Unknown")) && !is_checked(&TaskType { status: None, ..checked(2, "True") }));
    }
}
