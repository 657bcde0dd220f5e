//! The API server's refusals, told as problems in the words of the request. Its verdict on a submission is ours.

use kube::core::Status;
use kube::core::response::StatusCause;

use crate::rest::request::field_names;
use crate::serving::problem::{Problem, ProblemType};

/// The problem with a manifest or a change that the API server refused.
pub fn refused(status: &Status) -> Problem {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let causes: Vec<&StatusCause> = causes.collect();
    if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") {
        return ProblemType::NamespaceEnds.because("the namespace is being deleted: nothing new can be made in it");
    }
    match status.code {
        400 | 422 => invalid(status, &causes),
        403 => ProblemType::Forbidden.because(field_names::sentence(&status.message)),
        404 => ProblemType::UnknownNamespace.because(status.message.clone()).at("namespace"),
        409 if status.reason == "AlreadyExists" => {
            ProblemType::Exists.because("a task of this name exists in the namespace; choose another name").at("name")
        }
        409 => ProblemType::Changed.because("the task changed meanwhile; look again"),
        413 => ProblemType::PayloadTooLarge.because(status.message.clone()).at("payload"),
        _ => away(),
    }
}

/// The field of a cause which says that some rules could not be looked at because of what else is wrong.
const NOT_ABOUT_A_FIELD: &str = "<nil>";
/// The beginning of its message where there is a field too many.
const UNDECODED: &str = "strict decoding error: ";

fn invalid(status: &Status, causes: &[&StatusCause]) -> Problem {
    let causes = causes.iter().filter(|cause| !cause.message.is_empty() && cause.field != NOT_ABOUT_A_FIELD);
    let causes: Vec<_> = causes.collect();
    let told: Vec<String> = causes.iter().map(|cause| told(cause)).collect();
    let undecoded = status.message.split_once(UNDECODED).map_or(status.message.as_str(), |(_, why)| why);
    let detail = if told.is_empty() { field_names::sentence(undecoded) } else { told.join("; ") };
    let field = causes.iter().map(|cause| cause.field.as_str()).find(|field| !field.is_empty());
    // A field that is not in the schema is named in its sentence only.
    let field = field.or_else(|| Some(undecoded.strip_prefix("unknown field \"")?.split_once('"')?.0));
    let problem = ProblemType::Invalid.because(detail);
    match field {
        Some(field) => problem.at(field_names::field(field)),
        None => problem,
    }
}

/// How the sentence of a refused value begins.
const INVALID: &str = "Invalid value: ";
/// What follows where a rule of ours refuses it, and the API server is of 1.34: nothing of the value, or that it is an
/// object. The rule's words say more.
const NO_VALUE: [&str; 2] = ["\"\": ", "\"object\": "];
/// Values that begin with a letter, as words do.
const BARE_VALUES: [&str; 3] = ["true: ", "false: ", "null: "];

/// Words of ours where the API server's are a pattern.
fn in_other_words(cause: &StatusCause) -> Option<String> {
    let value = || cause.message.strip_prefix(INVALID).and_then(|rest| rest.split(": spec.").next());
    let is_about_form = ["should match", "must be of type date-time"].iter().any(|words| cause.message.contains(words));
    match cause.field.as_str() {
        "spec.startAfter" if is_about_form => {
            let value = value().unwrap_or("it");
            Some(format!("start_after: {value} is no time: write one such as 2026-01-01T00:00:00Z (RFC 3339)"))
        }
        "spec.kbId" if is_about_form => {
            Some("kb_id: it holds a NUL, which no environment variable can carry: leave that out".into())
        }
        _ => None,
    }
}

fn told(cause: &StatusCause) -> String {
    if let Some(told) = in_other_words(cause) {
        return told;
    }
    let message = field_names::sentence(rule(&cause.message).unwrap_or(&cause.message));
    let field = field_names::field(&cause.field);
    if cause.field.is_empty() || message.contains(&field) { message } else { format!("{field}: {message}") }
}

/// The words of a rule of ours alone. API servers since 1.35 say nothing of an object before them, and show every other
/// value, with which our words end.
fn rule(message: &str) -> Option<&str> {
    let said = message.strip_prefix(INVALID)?;
    if let Some(rule) = NO_VALUE.iter().find_map(|nothing| said.strip_prefix(nothing)) {
        return Some(rule);
    }
    if said.starts_with(char::is_alphabetic) && !BARE_VALUES.iter().any(|value| said.starts_with(value)) {
        return Some(said);
    }
    let (value, rule) = said.split_once(": ")?;
    rule.ends_with(&format!("\"{}\"", value.trim_matches('"'))).then_some(rule)
}

/// The API server did not answer, or could not.
pub fn away() -> Problem {
    ProblemType::ApiServer
        .because("the Kubernetes API server did not answer as it should; send the request again in a moment")
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
        assert!(problem.is(ProblemType::Invalid));
        assert_eq!(problem.field.as_deref(), Some("timeout_seconds"));
        assert_eq!(
            problem.detail,
            "Invalid value: -1: timeout_seconds in body should be greater than or equal to 1; retry.max_seconds: Invalid value: \"x\""
        );
    }

    #[test]
    fn a_pattern_that_does_not_fit_is_told_with_what_to_write() {
        let message = "Invalid value: \"tomorrow\": spec.startAfter in body must be of type date-time: \"tomorrow\"";
        let cause = json!({"reason": "FieldValueInvalid", "field": "spec.startAfter", "message": message});
        let problem = said(json!({"code": 422, "reason": "Invalid", "details": {"causes": [cause]}}));
        assert_eq!(problem.field.as_deref(), Some("start_after"));
        let told = "start_after: \"tomorrow\" is no time: write one such as 2026-01-01T00:00:00Z (RFC 3339)";
        assert_eq!(problem.detail, told);
        let message = "Invalid value: \"a\\x00\": spec.kbId in body should match '^[^\\x00]*$'";
        let cause = json!({"reason": "FieldValueInvalid", "field": "spec.kbId", "message": message});
        let problem = said(json!({"code": 422, "reason": "Invalid", "details": {"causes": [cause]}}));
        assert!(problem.detail.contains("NUL"), "{problem:?}");
    }

    #[test]
    fn a_field_too_many_is_named() {
        let message = "Task in version \"v1alpha1\" cannot be handled as a Task: strict decoding error: unknown field \"spec.retry.factor.by\"";
        let problem = said(json!({"code": 400, "reason": "BadRequest", "message": message}));
        assert_eq!(problem.field.as_deref(), Some("retry.factor.by"));
        assert_eq!(problem.detail, "unknown field \"retry.factor.by\"");
    }

    #[test]
    fn a_value_that_the_words_of_a_rule_end_with_is_told_once() {
        let detail = |message: &str| {
            let cause =
                json!({"reason": "FieldValueInvalid", "field": "spec.resources.limits[memory]", "message": message});
            let problem = said(json!({"code": 422, "reason": "Invalid", "details": {"causes": [cause]}}));
            assert_eq!(problem.field.as_deref(), Some("resources.limits.memory"));
            problem.detail
        };
        for value in [r#""""#, r#""-5Mi""#] {
            let message = format!("Invalid value: {value}: write a quantity, in place of \"-5Mi\"");
            assert_eq!(detail(&message), "resources.limits.memory: write a quantity, in place of \"-5Mi\"");
        }
        let message = "Invalid value: -5: write a quantity, in place of \"-5\"";
        assert_eq!(detail(message), "resources.limits.memory: write a quantity, in place of \"-5\"");
    }

    #[test]
    fn a_rule_about_an_object_is_told_in_its_own_words() {
        for message in [
            "Invalid value: \"object\": a payload changes only together with runId",
            "Invalid value: a payload changes only together with runId",
        ] {
            assert_eq!(rule(message), Some("a payload changes only together with runId"));
        }
        for message in
            ["Invalid value: true: must not be so", "Invalid value: \"No\": must be lower case", "Required value"]
        {
            assert_eq!(rule(message), None);
        }
    }

    #[test]
    fn each_answer_has_its_kind() {
        for (status, kind) in [
            (json!({"code": 409, "reason": "AlreadyExists"}), ProblemType::Exists),
            (json!({"code": 409, "reason": "Conflict"}), ProblemType::Changed),
            (json!({"code": 403, "reason": "Forbidden", "message": "exceeded quota"}), ProblemType::Forbidden),
            (
                json!({"code": 403, "details": {"causes": [{"reason": "NamespaceTerminating"}]}}),
                ProblemType::NamespaceEnds,
            ),
            (json!({"code": 400, "message": "strict decoding error"}), ProblemType::Invalid),
            (json!({"code": 413, "message": "too large"}), ProblemType::PayloadTooLarge),
            (json!({"code": 429}), ProblemType::ApiServer),
            (json!({"code": 500}), ProblemType::ApiServer),
        ] {
            assert!(said(status.clone()).is(kind), "{status}");
        }
    }
}
