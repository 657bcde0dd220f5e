//! The API server's answers, as REST tells them. Its verdict on a submission is ours.

use kube::core::Status;
use kube::core::response::StatusCause;

use super::names;
use super::problem::{Kind, Problem};
use crate::api::{Reason, Task, TaskTypeSpec};
use crate::core::policy;

/// What it said to a manifest or a change that it refused.
pub fn refused(status: &Status) -> Problem {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let causes: Vec<&StatusCause> = causes.collect();
    if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") {
        return Kind::NamespaceEnds.because("the namespace is being deleted: nothing new can be made in it");
    }
    match status.code {
        400 | 422 => invalid(status, &causes),
        403 => Kind::Forbidden.because(names::sentence(&status.message)),
        404 => Kind::UnknownNamespace.because(status.message.clone()).at("namespace"),
        409 if status.reason == "AlreadyExists" => {
            Kind::Exists.because("a task of this name exists in the namespace; choose another name").at("name")
        }
        409 => Kind::Changed.because("the task changed meanwhile; look again"),
        413 => Kind::PayloadTooLarge.because(status.message.clone()).at("payload"),
        _ => away(),
    }
}

/// It says that some rules could not be looked at because of what else is wrong.
const NOT_ABOUT_A_FIELD: &str = "<nil>";

fn invalid(status: &Status, causes: &[&StatusCause]) -> Problem {
    let causes = causes.iter().filter(|cause| !cause.message.is_empty() && cause.field != NOT_ABOUT_A_FIELD);
    let causes: Vec<_> = causes.collect();
    let told: Vec<String> = causes.iter().map(|cause| told(cause)).collect();
    let detail = if told.is_empty() { names::sentence(&status.message) } else { told.join("; ") };
    let field = causes.iter().map(|cause| cause.field.as_str()).find(|field| !field.is_empty());
    let problem = Kind::Invalid.because(detail);
    match field {
        Some(field) => problem.at(names::field(field)),
        None => problem,
    }
}

fn told(cause: &StatusCause) -> String {
    let message = names::sentence(&cause.message);
    let field = names::field(&cause.field);
    if cause.field.is_empty() || message.contains(&field) { message } else { format!("{field}: {message}") }
}

/// It did not answer, or could not.
pub fn away() -> Problem {
    Kind::ApiServer.because("the Kubernetes API server did not answer as it should; send the request again in a moment")
}

/// Two of the refusals that are ours: what a type allows is no matter of a schema.
pub fn own(task: &Task, kind: &TaskTypeSpec) -> Option<Problem> {
    let refusal = policy::refusal(task, kind)?;
    let message = names::sentence(&refusal.message);
    Some(if refusal.reason == Reason::PayloadTooLarge {
        Kind::PayloadTooLarge.because(message).at("payload")
    } else {
        let field = message.split([' ', ':']).next().unwrap_or_default().to_owned();
        Kind::AboveMaximum.because(message).at(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(value: Value) -> Problem {
        refused(&serde_json::from_value(value).expect("a status"))
    }

    #[test]
    fn an_invalid_value_is_told_with_the_field_as_the_client_wrote_it() {
        let problem =
            said(json!({"code": 422, "reason": "Invalid", "message": "Task \"x\" is invalid", "details": {"causes": [
            {"reason": "FieldValueInvalid", "field": "spec.timeoutSeconds",
             "message": "Invalid value: -1: spec.timeoutSeconds in body should be greater than or equal to 1"},
            {"reason": "FieldValueInvalid", "field": "spec.retry.maxSeconds", "message": "Invalid value: \"x\""}]}}));
        assert!(problem.is(Kind::Invalid));
        assert_eq!(problem.field.as_deref(), Some("timeout_seconds"));
        assert_eq!(
            problem.detail,
            "Invalid value: -1: timeout_seconds in body should be greater than or equal to 1; retry.max_seconds: Invalid value: \"x\""
        );
    }

    #[test]
    fn each_answer_has_its_kind() {
        for (status, kind) in [
            (json!({"code": 409, "reason": "AlreadyExists"}), Kind::Exists),
            (json!({"code": 409, "reason": "Conflict"}), Kind::Changed),
            (json!({"code": 403, "reason": "Forbidden", "message": "exceeded quota"}), Kind::Forbidden),
            (json!({"code": 403, "details": {"causes": [{"reason": "NamespaceTerminating"}]}}), Kind::NamespaceEnds),
            (json!({"code": 400, "message": "strict decoding error"}), Kind::Invalid),
            (json!({"code": 413, "message": "too large"}), Kind::PayloadTooLarge),
            (json!({"code": 429}), Kind::ApiServer),
            (json!({"code": 500}), Kind::ApiServer),
        ] {
            assert!(said(status.clone()).is(kind), "{status}");
        }
    }
}
