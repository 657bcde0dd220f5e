//! Sorts the refusal of a dry run by its origin: the template's own fault, a default of the namespace, or something else that
//! may be otherwise tomorrow.

const BAD_REQUEST: u16 = 400;
const UNPROCESSABLE: u16 = 422;

/// The API server's words about a webhook that has effects of its own: it refuses the dry run itself, as a bad request.
const NO_DRY_RUN: &str = "does not support dry run";

/// Whether a refusal speaks of the template: it is invalid, or Pod Security forbids it. Policies and webhooks may answer
/// with any code; their words tell them apart.
pub fn is_about_the_template(code: u16, message: &str) -> bool {
    let is_nobodys = message.contains(NO_DRY_RUN);
    let is_a_policys = message.contains("denied request") || message.contains("denied the request");
    !is_a_policys
        && !is_nobodys
        && (matches!(code, BAD_REQUEST | UNPROCESSABLE) || message.contains("violates PodSecurity"))
}

/// The refusal of a request that a webhook in its way cannot be asked about, in words for whoever wrote the type.
pub fn of_no_dry_run(message: &str) -> Option<String> {
    message.contains(NO_DRY_RUN).then(|| format!("cannot be asked: {message}"))
}

/// Whether a refusal is a LimitRange's, or comes of a limit that it has given.
pub fn is_a_limit_ranges(message: &str) -> bool {
    ["usage per Container is", "usage per Pod is", "ratio per Container is", "ratio per Pod is"]
        .iter()
        .any(|words| message.contains(words))
        || is_above_the_limit(message)
}

/// The request is above the limit, which nobody may have written.
pub fn is_above_the_limit(message: &str) -> bool {
    message.contains("must be less than or equal to") && message.contains(" limit of ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_invalid_or_insecure_is_the_templates_fault() {
        for (code, message, expected) in [
            (422, "Job.batch \"w\" is invalid: spec.template.spec.containers[0].name: Invalid value", true),
            (400, "strict decoding error: unknown field \"spec.template.spec.containers[0].comand\"", true),
            (403, "pods \"w\" is forbidden: violates PodSecurity \"restricted:latest\": privileged", true),
            (
                422,
                "jobs.batch \"w\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
                false,
            ),
            (400, "admission webhook \"w.example.com\" does not support dry run", false),
            (400, "admission webhook \"w.example.com\" denied the request: no", false),
            (
                403,
                "pods \"w\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0",
                false,
            ),
            (403, "pods is forbidden: User \"u\" cannot create resource \"pods\" in API group \"\"", false),
            (403, "pods \"w\" is forbidden: maximum memory usage per Container is 128Mi, but limit is 1Gi", false),
        ] {
            assert_eq!(is_about_the_template(code, message), expected, "{message}");
        }
    }

    #[test]
    fn a_webhook_that_does_not_support_dry_runs_is_named() {
        let said = "admission webhook \"w.example.com\" does not support dry run";
        assert_eq!(of_no_dry_run(said).as_deref(), Some(&*format!("cannot be asked: {said}")));
        assert_eq!(of_no_dry_run("exceeded quota: q"), None);
    }

    #[test]
    fn a_limit_range_is_known_by_its_words() {
        for message in [
            "pods \"w\" is forbidden: maximum memory usage per Container is 128Mi, but limit is 1Gi",
            "pods \"w\" is forbidden: memory max limit to request ratio per Container is 2, but provided ratio is 8.0",
            "Pod \"w\" is invalid: spec.containers[0].resources.requests: Invalid value: \"128Mi\": must be less than or equal to memory limit of 64Mi",
        ] {
            assert!(is_a_limit_ranges(message), "{message}");
        }
        assert!(!is_a_limit_ranges("pods \"w\" is forbidden: exceeded quota: q"));
    }
}
