use super::*;
use crate::launch::holds;
use task_manager_api::{Quantity, Resources, TaskTypeSpec};

fn kind(template: Value) -> TaskType {
    let mut kind = TaskType::new("reports", TaskTypeSpec { template, ..TaskTypeSpec::default() });
    kind.metadata.namespace = Some("docs".into());
    kind
}

fn bare() -> TaskType {
    kind(json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "work", "image": "busybox"}]}}))
}

#[test]
fn the_pod_is_asked_for_as_the_job_controller_would() {
    let (kind, settings) = (bare(), Settings::default());
    let probe = Probe::new(&kind, &settings).expect("a template");
    let (job, pod) = (probe.job().expect("a Job"), probe.pod(true));
    assert_eq!((&job["metadata"]["namespace"], &pod["metadata"]["namespace"]), (&json!("docs"), &json!("docs")));
    let labels = &pod["metadata"]["labels"];
    assert_eq!((&labels["app"], &labels["job-name"]), (&json!("x"), &job["metadata"]["name"]));
    assert!(names::LABELS_OF_JOBS.iter().all(|key| labels.get(key).is_some()));
    let owner = &pod["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["controller"], owner.get("blockOwnerDeletion")),
        (&json!("Job"), &json!(true), None)
    );
    assert_eq!(pod["metadata"]["finalizers"], json!(["batch.kubernetes.io/job-tracking"]));
    assert_eq!(pod["spec"], job["spec"]["template"]["spec"]);
}

#[test]
fn the_defaults_for_memory_are_in_it_only_where_they_are_asked_for() {
    let (kind, settings) = (bare(), Settings::default());
    let probe = Probe::new(&kind, &settings).expect("a template");
    let resources = |with_defaults| probe.pod(with_defaults)["spec"]["containers"][0]["resources"].clone();
    assert_eq!(resources(false), json!({}));
    assert_eq!(resources(true), json!({"requests": {"memory": "128Mi"}, "limits": {"memory": "1Gi"}}));
    assert!(!probe.names_memory());
}

#[test]
fn a_job_that_came_back_without_a_field_is_told_with_the_fields_name() {
    let template = json!({"spec": {"hostnameOverride": "h", "containers": [{"name": "work", "image": "busybox"}]}});
    let (kind, settings) = (kind(template), Settings::default());
    let probe = Probe::new(&kind, &settings).expect("a template");
    let mut answered = probe.job().expect("a Job");
    assert_eq!(probe.dropped_of_job(&answered), None);
    answered["spec"]["template"]["spec"].as_object_mut().expect("a spec").remove("hostnameOverride");
    let said = probe.dropped_of_job(&answered).expect("a sentence");
    assert!(said.contains("spec.template.spec.hostnameOverride") && said.contains("feature gate"), "{said}");
}

#[test]
fn a_bare_pod_is_asked_for_as_it_is_launched_and_its_own_fields_are_looked_for() {
    let template = json!({"spec": {"hostnameOverride": "h", "containers": [{"name": "work", "image": "busybox"}]}});
    let (mut kind, settings) = (kind(template), Settings::default());
    kind.spec.executor = Executor::Pod;
    let probe = Probe::new(&kind, &settings).expect("a template");
    assert_eq!(probe.job(), None);
    let mut answered = probe.pod(true);
    assert_eq!((&answered["kind"], &answered["metadata"]["namespace"]), (&json!("Pod"), &json!("docs")));
    assert_eq!(answered["metadata"]["ownerReferences"][0]["kind"], json!("Task"));
    assert_eq!(probe.dropped_of_pod(&answered), None);
    answered["spec"].as_object_mut().expect("a spec").remove("hostnameOverride");
    let said = probe.dropped_of_pod(&answered).expect("a sentence");
    assert!(said.contains("spec.template.spec.hostnameOverride"), "{said}");
}

/// The amounts that a task with these resources counts for, where the dry run was answered with this pod.
fn counted(pod: Value, task: Resources) -> Vec<(String, String)> {
    let parsed =
        ParsedType::read(&bare().spec).with_dry_run(Some(Arc::new(DryRun::of(&json!({ "spec": pod }), false))));
    let task = Task::new("t", TaskSpec { resources: Some(task), ..TaskSpec::default() });
    let amounts = holds::counted(&task, &parsed, &Settings::default()).expect("amounts");
    amounts.into_iter().map(|(name, amount)| (name, amount.to_string())).collect()
}

fn of(amounts: &[(&str, &str)]) -> Vec<(String, String)> {
    amounts.iter().map(|(name, amount)| ((*name).to_owned(), (*amount).to_owned())).collect()
}

#[test]
fn queues_count_the_answered_pod_with_the_tasks_share_in_place_of_the_works() {
    let pod = json!({
        "overhead": {"cpu": "50m", "memory": "20Mi"},
        "containers": [
            {"name": "mesh-proxy", "resources": {"requests": {"cpu": "100m"}}},
            {"name": "work", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}},
        ],
    });
    assert_eq!(counted(pod.clone(), Resources::default()), of(&[("cpu", "250m"), ("memory", "148Mi")]));
    let requests = [("memory".to_owned(), Quantity("256Mi".into()))].into();
    let asks = Resources { requests, ..Resources::default() };
    assert_eq!(counted(pod, asks), of(&[("cpu", "250m"), ("memory", "276Mi")]));
}

#[test]
fn an_answer_without_the_works_container_counts_for_nothing() {
    let other = json!({"containers": [{"name": "other", "resources": {"requests": {"cpu": "9"}}}]});
    assert_eq!(counted(other, Resources::default()), of(&[("memory", "128Mi")]));
}

#[test]
fn an_answer_without_a_pod_leaves_the_pod_of_the_answer_before() {
    let pod = json!({"spec": {"containers": [
        {"name": "work", "resources": {"requests": {"memory": "128Mi"}}},
        {"name": "proxy", "resources": {"requests": {"cpu": "100m", "memory": "8Mi"}}},
    ]}});
    let counted = |dry_run: &DryRun| {
        let pod = dry_run.pod.clone().expect("a pod").counted();
        pod.into_iter().map(|(name, amount)| (name, amount.to_string())).collect::<Vec<_>>()
    };
    let good = DryRun::of(&pod, false);
    let nothing = |memory_is_set| DryRun { pod: None, memory_is_set };
    assert_eq!(nothing(false).after(&good, "work"), good);
    let by_namespace = nothing(true).after(&good, "work");
    assert!(by_namespace.memory_is_set);
    assert_eq!(
        counted(&by_namespace),
        of(&[("cpu", "100m"), ("memory", "8Mi")]),
        "the operator's default is not the namespace's"
    );
    let newer = DryRun::of(&json!({"spec": {"containers": [{"name": "work"}]}}), false);
    assert_eq!(newer.clone().after(&good, "work"), newer, "the last answer counts");
    assert_eq!(nothing(true).after(&nothing(false), "work"), nothing(true));
}

#[test]
fn what_pods_came_out_larger_by_is_counted_for_later_tasks_too() {
    let surplus = [("cpu".to_owned(), task_manager_api::Amount(250))].into();
    let parsed = ParsedType::read(&bare().spec).with_surplus(surplus);
    let task = Task::new("t", TaskSpec::default());
    let amounts = holds::counted(&task, &parsed, &Settings::default()).expect("amounts");
    let amounts: Vec<_> = amounts.into_iter().map(|(name, amount)| (name, amount.to_string())).collect();
    assert_eq!(amounts, of(&[("cpu", "250m"), ("memory", "128Mi")]));
}
