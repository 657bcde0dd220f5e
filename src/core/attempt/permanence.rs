//! Whether another try can help what never started. Known by the words alone, so that who finds nothing but the status
//! decides as who saw the pod.

use crate::Reason;

/// A registry's words for an image that is not there or not allowed, and the kubelet's for one that it will not ask for.
const OF_IMAGES: [&str; 12] = [
    "401 Unauthorized",
    "403 Forbidden",
    "code = NotFound",
    "manifest unknown",
    "name unknown",
    "MANIFEST_UNKNOWN",
    "NAME_UNKNOWN",
    "pull access denied",
    "insufficient_scope",
    "InvalidImageName",
    "invalid reference format",
    "not present with pull policy of Never",
];
/// A runtime's words for a container that it can never start, and the kubelet's for one that it must not.
const OF_CONTAINERS: [&str; 3] = ["StartError", "ContainerCannotRun", "runAsNonRoot"];

/// No other try helps.
pub fn is_permanent(reason: Reason, message: &str) -> bool {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match reason {
        Reason::ImageUnavailable => says(&OF_IMAGES) || message.ends_with(": not found"),
        Reason::ContainerConfig => says(&OF_CONTAINERS),
        _ => false,
    }
}

/// A kubelet's words for a pod that no kubelet would take; all others depend on the node, or on the moment.
const OF_PODS: [&str; 4] = [
    "SysctlForbidden",
    "PodOSNotSupported",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "InitContainerRestartPolicyForbidden",
];

/// A pod that was refused with this word is refused everywhere.
pub fn is_refused_everywhere(word: &str) -> bool {
    OF_PODS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_given_up_for_good_only_where_the_registry_says_no() {
        for (message, permanent) in [
            ("container work: ErrImagePull: R/notfound:1: not found", true),
            (
                "container work: image R/a:1: unexpected status from HEAD request to http://R/v2/a/manifests/1: 403 Forbidden; denied: denied",
                true,
            ),
            (
                "container work: image R/a:1: unexpected status from HEAD request to http://R/v2/a/manifests/1: 429 Too Many Requests",
                false,
            ),
            (
                "container work: image R/a:1: pulling from host R failed with status code [manifests 1]: 401 Unauthorized",
                true,
            ),
            ("container work: image R/a:1: failed to fetch anonymous token: unexpected status: 401 Unauthorized", true),
            (
                "container work: image R/a:1: pulling from host R failed with status code [manifests 1]: 403 Forbidden",
                true,
            ),
            (
                "container work: image none:1: pull access denied, repository does not exist or may require authorization",
                true,
            ),
            ("container work: InvalidImageName: couldn't parse image name", true),
            (
                "container work: ErrImageNeverPull: Container image \"a:1\" is not present with pull policy of Never",
                true,
            ),
            ("container work: image R/a:1: dial tcp 127.0.0.1:5001: connect: connection refused", false),
            (
                "container work: image R/a:1: pulling from host R failed with status code [manifests 1]: 429 Too Many Requests",
                false,
            ),
            ("container work: image R/a:1: 500 Internal Server Error", false),
            ("container work: image R/a:1: dial tcp: lookup R: no such host", false),
            ("container work: image R/a:1: i/o timeout", false),
            ("container work: ImagePullBackOff: Back-off pulling image \"R/a:1\"", false),
        ] {
            assert_eq!(is_permanent(Reason::ImageUnavailable, message), permanent, "{message}");
        }
    }

    #[test]
    fn a_container_is_given_up_for_good_only_where_no_other_try_helps() {
        for (message, permanent) in [
            ("container work: StartError: exec: \"/no/such\": no such file or directory", true),
            ("container work: CreateContainerConfigError: container has runAsNonRoot and image will run as root", true),
            ("container work: CreateContainerConfigError: secret \"none\" not found", false),
            ("volume \"v\": configmap \"none\" not found", false),
        ] {
            assert_eq!(is_permanent(Reason::ContainerConfig, message), permanent, "{message}");
        }
        assert!(!is_permanent(Reason::StartTimeout, "init container fetch: not found"));
    }

    #[test]
    fn a_pod_is_refused_everywhere_only_for_what_no_kubelet_takes() {
        assert!(is_refused_everywhere("SysctlForbidden") && is_refused_everywhere("PodOSNotSupported"));
        for word in ["OutOfcpu", "OutOfpods", "NodeAffinity", "AppArmor", "NodeShutdown", "UnknownReason", "Evicted"] {
            assert!(!is_refused_everywhere(word), "{word}");
        }
    }
}
