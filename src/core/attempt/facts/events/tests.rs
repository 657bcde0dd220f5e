use serde_json::{Value, json};

use super::*;
use crate::attempt::facts::fixtures::{JOB, at, job, pod, running, status_of, waiting_for};

fn event(reason: &str, message: &str, second: i64) -> PodEvent {
    let seen = Some(after(at("2026-03-01T10:00:00Z"), jiff::SignedDuration::from_secs(second)));
    let is_warning = !matches!(reason, "Pulling" | "Pulled" | "Created" | "Started" | "BackOff");
    let container = Some("work".to_owned()).filter(|_| !reason.contains("Mount") && !reason.contains("Sandbox"));
    PodEvent {
        is_warning,
        reason: reason.into(),
        message: message.into(),
        component: "kubelet".into(),
        container,
        first_seen: seen,
        last_seen: seen,
    }
}

fn creating() -> PodFacts {
    pod(json!({"phase": "Pending", "containerStatuses": [status_of("work", waiting_for("ContainerCreating", ""))]}))
}

fn explained(events: &[PodEvent]) -> Option<(Reason, String)> {
    Stuck::PodNotStarted(&creating()).explained_by(events).map(|why| (why.reason, why.message))
}

/// Its slot was given just before its Job was made.
fn stuck<'a>(observed: &'a Observed, job: &str, now: &str) -> Option<Stuck<'a>> {
    observed.stuck(job, at("2026-03-01T10:00:00Z"), at(now))
}

#[test]
fn a_job_without_a_pod_is_stuck_after_ten_seconds() {
    let observed = Observed { jobs: vec![job(json!({}))], ..Observed::default() };
    assert_eq!(stuck(&observed, JOB, "2026-03-01T10:00:09Z"), None);
    let found = stuck(&observed, JOB, "2026-03-01T10:00:10Z").expect("it is stuck");
    let why = found.explained_by(&[event("FailedCreate", "exceeded quota: small", 1)]).expect("it is told");
    assert_eq!((found.uid(), why.reason), ("9f1e", Reason::QuotaExceeded));
    assert_eq!(stuck(&observed, "another", "2026-03-01T10:01:00Z"), None);
    let observed = Observed { pods: vec![pod(json!({}))], ..observed };
    assert_eq!(stuck(&observed, JOB, "2026-03-01T10:01:00Z"), None);
}

#[test]
fn a_suspended_job_is_not_stuck_and_its_pod_is_due_after_it_is_resumed() {
    let [first, resumed] = ["2026-03-01T10:00:00Z", "2026-03-01T10:05:00Z"].map(at);
    let held = JobFacts { suspended: true, ..job(json!({})) }.first_seen(first);
    let is_stuck = |job: &JobFacts, when: &str| {
        let observed = Observed { jobs: vec![job.clone()], ..Observed::default() };
        stuck(&observed, JOB, when).is_some()
    };
    assert!(!is_stuck(&held, "2026-03-01T10:04:00Z"));
    let resumed = job(json!({})).first_seen(resumed).after(&held);
    assert!(!is_stuck(&resumed, "2026-03-01T10:05:09Z") && is_stuck(&resumed, "2026-03-01T10:05:10Z"));
}

#[test]
fn a_pod_that_does_not_start_and_does_not_say_why_is_stuck_after_ten_seconds() {
    let observed = Observed { jobs: vec![job(json!({}))], pods: vec![creating()], ..Observed::default() };
    assert_eq!(stuck(&observed, JOB, "2026-03-01T10:00:09Z"), None);
    let found = stuck(&observed, JOB, "2026-03-01T10:00:10Z").expect("it is stuck");
    assert_eq!(found.uid(), "b5c8");
    let is_stuck = |status: Value| {
        let observed = Observed { jobs: vec![job(json!({}))], pods: vec![pod(status)], ..Observed::default() };
        stuck(&observed, JOB, "2026-03-01T10:01:00Z").is_some()
    };
    let of_work = |state: Value| json!({"phase": "Pending", "containerStatuses": [status_of("work", state)]});
    assert!(!is_stuck(of_work(waiting_for("ImagePullBackOff", "no such image"))), "it says why itself");
    assert!(!is_stuck(of_work(running())));
    let fetching = json!({"phase": "Pending", "initContainerStatuses": [status_of("fetch", running())],
        "containerStatuses": [status_of("work", waiting_for("PodInitializing", ""))]});
    assert!(!is_stuck(fetching), "of an init container that runs no event tells more");
}

#[test]
fn what_an_event_says_is_told_with_its_cause_first() {
    let refused = "Failed to pull image \"R/x:1\": failed to pull and unpack image \"R/x:1\": failed to resolve reference \"R/x:1\": pulling from host R failed with status code [manifests 1]: 403 Forbidden";
    let sandbox = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for \"gvisor\" is configured";
    let driver = "MountVolume.SetUp failed for volume \"v\" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name none not found in the list of registered CSI drivers";
    for (reason, message, expected, told) in [
        ("Pulling", "Pulling image \"R/slow:1\"", Reason::Starting, "pulling image R/slow:1 since 10:00:03 UTC"),
        (
            "Failed",
            refused,
            Reason::ImageUnavailable,
            "container work: image R/x:1: pulling from host R failed with status code [manifests 1]: 403 Forbidden",
        ),
        (
            "ErrImageNeverPull",
            "Container image \"R/x:1\" is not present with pull policy of Never",
            Reason::ImageUnavailable,
            "container work: Container image \"R/x:1\" is not present with pull policy of Never",
        ),
        (
            "FailedMount",
            "MountVolume.SetUp failed for volume \"v\" : secret \"keys\" not found",
            Reason::ContainerConfig,
            "volume \"v\": secret \"keys\" not found",
        ),
        (
            "FailedMount",
            driver,
            Reason::Starting,
            "volume \"v\": driver name none not found in the list of registered CSI drivers",
        ),
        ("FailedCreatePodSandBox", sandbox, Reason::Starting, "its sandbox: no runtime for \"gvisor\" is configured"),
        (
            "Failed",
            "Error: secret \"none\" not found",
            Reason::ContainerConfig,
            "container work: secret \"none\" not found",
        ),
        ("FailedSomethingNew", "it said", Reason::Starting, "container work: it said"),
    ] {
        assert_eq!(explained(&[event(reason, message, 3)]), Some((expected, told.into())), "{reason}");
    }
}

#[test]
fn the_newest_event_counts_and_what_came_to_an_end_is_not_told() {
    let mount = event("FailedMount", "MountVolume.SetUp failed for volume \"v\" : secret \"keys\" not found", 3);
    let pulling = event("Pulling", "Pulling image \"R/x:1\"", 5);
    let pulled = event("Pulled", "Successfully pulled image", 9);
    let reason = |events: &[PodEvent]| explained(events).map(|(reason, _)| reason);
    assert_eq!(reason(&[mount.clone(), pulling.clone()]), Some(Reason::Starting), "the mount is there by now");
    assert_eq!(reason(&[mount.clone(), pulling.clone(), pulled.clone()]), None);
    let again = PodEvent { last_seen: pulled.last_seen, ..mount };
    assert_eq!(reason(&[again, pulled]), Some(Reason::ContainerConfig), "of one second the trouble is told");
    let harmless = event("FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (none)", 8);
    assert_eq!(
        explained(&[pulling, harmless]).map(|(_, told)| told).as_deref(),
        Some("pulling image R/x:1 since 10:00:05 UTC")
    );
    assert_eq!(reason(&[event("FailedScheduling", "0/1 nodes are available", 9)]), None, "it has a node by now");
}

#[test]
fn of_a_sidecar_that_is_not_up_its_probe_is_told() {
    let pod = PodFacts {
        awaited: Some(Awaited { container: "proxy".into(), is: Awaiting::Up }),
        ..pod(json!({"phase": "Pending", "containerStatuses": [status_of("work", waiting_for("PodInitializing", ""))]}))
    };
    let of = |container: &str, message: &str| PodEvent {
        container: Some(container.into()),
        ..event("Unhealthy", message, 4)
    };
    let events = [
        of("proxy", "Startup probe failed: no route\n"),
        of("other", "Startup probe failed: else"),
        event("Pulled", "", 9),
    ];
    let told = Stuck::PodNotStarted(&pod).explained_by(&events).expect("it is told");
    assert_eq!((told.reason, told.message.as_str()), (Reason::Starting, "Startup probe failed: no route"));
}

#[test]
fn an_event_tells_that_the_work_has_started_though_its_status_does_not() {
    let started = event("Started", "Started container work", 7);
    assert_eq!(work_started(&creating(), std::slice::from_ref(&started)), started.first_seen);
    let of_another = PodEvent { container: Some("beside".into()), ..started };
    assert_eq!(work_started(&creating(), &[of_another, event("Created", "Created container work", 7)]), None);
}

#[test]
fn a_pod_without_a_node_is_explained_by_whatever_warns() {
    let pod = PodFacts { node: None, ..creating() };
    let claim = event("FailedResourceClaimCreation", "resource claim template \"none\" not found", 1);
    let told = Stuck::PodNotStarted(&pod).explained_by(&[claim]).expect("it is told");
    assert_eq!(told, Why::new(Reason::Unschedulable, "resource claim template \"none\" not found"));
}

#[test]
fn a_quota_is_told_from_any_other_refusal() {
    let quota = r#"Error creating: pods "report-7" is forbidden: exceeded quota: small, requested: pods=1, used: pods=5, limited: pods=5"#;
    assert_eq!(no_pod(quota).reason, Reason::QuotaExceeded);
    assert_eq!(no_pod("Error creating: admission webhook denied the request").reason, Reason::LaunchRefused);
    assert_eq!(no_pod(quota).message, quota);
    let unnamed = no_pod(r#"pods "q" is forbidden: failed quota: mem: must specify limits.memory for: work"#);
    assert_eq!(unnamed.reason, Reason::QuotaExceeded);
    assert!(unnamed.message.contains("limits.memory for: work; say it in"), "{}", unnamed.message);
}

#[test]
fn only_a_quota_that_counts_objects_counts_ended_ones() {
    let counts = |requested: &str| {
        let message = format!(r#"jobs.batch "a" is forbidden: exceeded quota: q, requested: {requested}=1, used: 2"#);
        counts_ended_ones(&no_pod(&message))
    };
    assert!(counts("count/jobs.batch") && counts("count/pods"));
    assert!(!counts("pods") && !counts("requests.cpu") && !counts("count/secrets"));
    assert!(!counts_ended_ones(&Why::new(Reason::LaunchRefused, "count/jobs.batch=1")));
}

#[test]
fn a_mere_word_says_less_than_a_sentence() {
    for word in ["Error: ErrImagePull", "Error: ImagePullBackOff", "Error: ErrImageNeverPull"] {
        assert!(!is_a_sentence(word), "{word}");
    }
    for sentence in ["Failed to pull image \"localhost/none:1\": not found", "Error: secret \"token\" not found"] {
        assert!(is_a_sentence(sentence), "{sentence}");
    }
}
