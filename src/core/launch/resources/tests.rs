use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::launch::dry_run::DryRun;
use task_manager_api::{Defaults, Maximum, Retry, TaskStatus};

fn quantities(entries: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    entries.iter().map(|(name, text)| ((*name).to_owned(), Quantity((*text).to_owned()))).collect()
}

fn task_type(spec: TaskTypeSpec) -> ParsedType {
    let template = json!({"spec": {"containers": [{"name": "work", "image": "busybox",
        "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}}]}});
    ParsedType::read(&TaskTypeSpec { template, ..spec })
}

fn work(task: &Task, task_type: &ParsedType) -> Resources {
    of_work(task, task_type, task_type.template.as_ref().expect("a template"), &Settings::default())
}

#[test]
fn task_goes_over_type_over_template_key_by_key() {
    let task_type = task_type(TaskTypeSpec {
        defaults: Defaults {
            resources: Some(Resources {
                requests: quantities(&[("cpu", "200m")]),
                limits: quantities(&[("cpu", "2")]),
            }),
            ..Defaults::default()
        },
        ..TaskTypeSpec::default()
    });
    let resources = Some(Resources { requests: quantities(&[("memory", "32Mi")]), ..Resources::default() });
    let task = Task::new("t", TaskSpec { resources, ..TaskSpec::default() });
    let work = work(&task, &task_type);
    assert_eq!(work.requests, quantities(&[("cpu", "200m"), ("memory", "32Mi")]));
    assert_eq!(work.limits, quantities(&[("cpu", "2"), ("memory", "64Mi")]));
}

#[test]
fn a_request_above_its_limit_is_lowered_to_it() {
    let resources = Some(Resources { requests: quantities(&[("memory", "1Gi")]), ..Resources::default() });
    let task = Task::new("t", TaskSpec { resources, ..TaskSpec::default() });
    assert_eq!(work(&task, &task_type(TaskTypeSpec::default())).requests["memory"].0, "64Mi");
}

#[test]
fn memory_grows_with_each_time_out_of_memory_up_to_the_maximum() {
    let task_type = task_type(TaskTypeSpec {
        maximum: Maximum { resources: quantities(&[("memory", "200Mi")]), ..Maximum::default() },
        ..TaskTypeSpec::default()
    });
    let after = |times: i32| {
        let retry = Some(Retry { oom_memory_factor: Some(2.0), ..Retry::default() });
        let mut task = Task::new("t", TaskSpec { retry, ..TaskSpec::default() });
        task.status = Some(TaskStatus { oom_kills: times, ..TaskStatus::default() });
        let mib = 1024 * 1024 * 1000;
        amount(&work(&task, &task_type).limits["memory"]).0 / mib
    };
    assert_eq!([after(0), after(1), after(2)], [64, 128, 200]);
}

#[test]
fn memory_without_a_maximum_grows_to_what_kubernetes_can_write_and_no_further() {
    let retry = Some(Retry { oom_memory_factor: Some(4.0), ..Retry::default() });
    let mut task = Task::new("t", TaskSpec { retry, ..TaskSpec::default() });
    task.status = Some(TaskStatus { oom_kills: i32::MAX, ..TaskStatus::default() });
    assert_eq!(work(&task, &task_type(TaskTypeSpec::default())).limits["memory"].0, i64::MAX.to_string());
}

/// A type of this template that the API server was asked about, with the container `given` in its answer.
fn asked(spec: Value, given: Value, memory_is_set: bool) -> ParsedType {
    let template = json!({ "spec": spec });
    let answer = json!({"spec": {"containers": [given]}});
    let dry_run = DryRun::of(&answer, memory_is_set);
    ParsedType::read(&TaskTypeSpec { template, ..TaskTypeSpec::default() }).with_dry_run(Some(Arc::new(dry_run)))
}

fn bare() -> Value {
    json!({"containers": [{"name": "work"}]})
}

fn plain(spec: Value) -> ParsedType {
    ParsedType::read(&TaskTypeSpec { template: json!({ "spec": spec }), ..TaskTypeSpec::default() })
}

fn anyones() -> Task {
    Task::new("t", TaskSpec::default())
}

#[test]
fn memory_that_nobody_names_is_requested_and_limited_by_the_operators_defaults() {
    let given = work(&anyones(), &plain(bare()));
    assert_eq!((given.requests["memory"].0.as_str(), given.limits["memory"].0.as_str()), ("128Mi", "1Gi"));
}

#[test]
fn whoever_says_anything_of_memory_gets_no_default() {
    let requests = json!({"requests": {"memory": "64Mi"}});
    let in_container = plain(json!({"containers": [{"name": "work", "resources": requests}]}));
    assert_eq!(work(&anyones(), &in_container).limits, quantities(&[]));
    let in_pod = plain(json!({"containers": [{"name": "work"}], "resources": {"limits": {"memory": "2Gi"}}}));
    assert_eq!(work(&anyones(), &in_pod), Resources::default());
    let resources = Some(Resources { limits: quantities(&[("memory", "2Gi")]), ..Resources::default() });
    let asks = Task::new("t", TaskSpec { resources: resources.clone(), ..TaskSpec::default() });
    assert_eq!(work(&asks, &plain(bare())).requests, quantities(&[]), "a limit alone is no request of ours");
    let mut of_type = plain(bare());
    of_type.spec.defaults.resources = resources;
    assert_eq!(work(&anyones(), &of_type).limits, quantities(&[("memory", "2Gi")]));
    let by_namespace = asked(bare(), json!({"name": "work", "resources": {"limits": {"memory": "64Mi"}}}), true);
    assert_eq!(work(&anyones(), &by_namespace), Resources::default());
}

#[test]
fn a_request_above_the_namespaces_default_limit_is_lowered_to_it() {
    let task_type = asked(bare(), json!({"name": "work", "resources": {"limits": {"cpu": "200m"}}}), false);
    let resources = Some(Resources { requests: quantities(&[("cpu", "1")]), ..Resources::default() });
    let task = Task::new("t", TaskSpec { resources, ..TaskSpec::default() });
    assert_eq!(work(&task, &task_type).requests["cpu"].0, "200m");
    let ours = json!({"name": "work", "resources": {"limits": {"memory": "1Gi"}}});
    let resources = Some(Resources { requests: quantities(&[("memory", "2Gi")]), ..Resources::default() });
    let task = Task::new("t", TaskSpec { resources, ..TaskSpec::default() });
    assert_eq!(
        work(&task, &asked(bare(), ours, false)).requests["memory"].0,
        "2Gi",
        "the operator's default is none of it"
    );
}

#[test]
fn memory_that_the_namespace_gives_grows_too() {
    let given = json!({"requests": {"memory": "16Mi"}, "limits": {"memory": "64Mi"}});
    let task_type = asked(bare(), json!({"name": "work", "resources": given}), true);
    let retry = Some(Retry { oom_memory_factor: Some(2.0), ..Retry::default() });
    let mut task = Task::new("t", TaskSpec { retry, ..TaskSpec::default() });
    task.status = Some(TaskStatus { oom_kills: 1, ..TaskStatus::default() });
    let grown = work(&task, &task_type);
    assert_eq!((grown.requests["memory"].0.as_str(), grown.limits["memory"].0.as_str()), ("32Mi", "128Mi"));
}

#[test]
fn values_from_type_and_template_are_bounded_by_the_maximum_and_so_are_defaults() {
    let mut task_type = plain(json!({"containers": [{"name": "work", "resources": {"requests": {"cpu": 8}}}]}));
    task_type.spec.maximum =
        Maximum { resources: quantities(&[("cpu", "2"), ("memory", "256Mi")]), ..Maximum::default() };
    let bounded = work(&anyones(), &task_type);
    assert_eq!(bounded.requests, quantities(&[("cpu", "2"), ("memory", "128Mi")]));
    assert_eq!(bounded.limits, quantities(&[("memory", "256Mi")]));
}
