use serde_json::json;

use super::*;
use crate::ParsedType;
use task_manager_api::TaskTypeSpec;

fn read(template: Value) -> Result<Template, TemplateError> {
    ParsedType::read(&TaskTypeSpec { template, ..TaskTypeSpec::default() }).template
}

fn with(field: &str, value: Value) -> Value {
    let mut template = json!({"spec": {"containers": [{"name": "work", "image": "busybox"}]}});
    template.pointer_mut("/spec").and_then(Value::as_object_mut).expect("a spec").insert(field.into(), value);
    template
}

/// The template with `fields` in its first container.
fn work(fields: Value) -> Value {
    let mut container = json!({"name": "work", "image": "busybox"});
    let fields = fields.as_object().cloned().unwrap_or_default();
    container.as_object_mut().expect("a container").extend(fields);
    with("containers", json!([container]))
}

#[test]
fn a_plain_template_is_read_and_numbers_do_as_quantities() {
    let template = work(json!({"resources": {"requests": {"cpu": 1, "memory": 1e8}, "limits": {"memory": "1Gi"}}}));
    let requests = read(template).expect("a pod template").work.resources.requests;
    assert_eq!((requests["cpu"].0.as_str(), requests["memory"].0.as_str()), ("1", "100000000"));
    let whole = read(with("resources", json!({"limits": {"cpu": 0.5}}))).expect("a pod template").pod.resources;
    assert_eq!(whole.limits["cpu"].0, "0.5");
}

#[test]
fn everything_that_is_written_is_kept_whether_this_version_knows_it_or_not() {
    let template = with("fieldOfTomorrow", json!({"size": 1}));
    assert_eq!(read(template.clone()).expect("a pod template").written, template);
}

#[test]
fn null_is_nothing() {
    let template = json!({"metadata": {"creationTimestamp": null, "labels": null}, "spec": {"initContainers": null,
        "volumes": null, "activeDeadlineSeconds": null, "containers": [{"name": "work", "env": null, "resources": {"limits": null}}]}});
    assert!(read(template).is_ok());
}

#[test]
fn what_cannot_be_a_pod_is_refused() {
    assert!(matches!(read(json!({"spec": {"containers": "work"}})), Err(TemplateError::Unreadable(_))));
    assert_eq!(read(json!({"spec": {"containers": []}})), Err(TemplateError::NoContainer));
    assert_eq!(read(json!({})), Err(TemplateError::NoContainer));
}

#[test]
fn what_is_ours_is_refused() {
    for template in [
        with("restartPolicy", json!("OnFailure")),
        with("activeDeadlineSeconds", json!(5)),
        with("volumes", json!([{"name": "task-manager-files", "emptyDir": {}}])),
        with("containers", json!([{"name": "work", "env": [{"name": "TASK_ID", "value": "1"}]}])),
        with("containers", json!([{"name": "work", "volumeMounts": [{"name": "v", "mountPath": "/task"}]}])),
        json!({"metadata": {"labels": {"taskmanager.dev/x": "y"}}, "spec": {"containers": [{"name": "work"}]}}),
    ] {
        assert!(matches!(read(template.clone()), Err(TemplateError::Ours(_))), "{template}");
    }
    assert!(read(with("restartPolicy", json!("Never"))).is_ok());
}

#[test]
fn the_labels_of_an_exported_job_are_all_named_with_what_to_do() {
    let labels =
        json!({"batch.kubernetes.io/controller-uid": "u", "controller-uid": "u", "job-name": "nightly", "app": "x"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "work"}]}});
    let said = read(template).expect_err("another Job's").to_string();
    assert!(
        said.contains("batch.kubernetes.io/controller-uid, controller-uid, job-name") && said.contains("remove"),
        "{said}"
    );
}

#[test]
fn the_works_container_starts_once_and_others_as_they_like() {
    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    for fields in [json!({"restartPolicy": "Never"}), json!({"restartPolicyRules": rules})] {
        assert!(matches!(read(work(fields.clone())), Err(TemplateError::Restarts(_))), "{fields}");
    }
    let beside = |action: &str| json!([{"name": "work"}, {"name": "beside", "restartPolicy": "Never", "restartPolicyRules": [{"action": action}]}]);
    assert!(read(with("containers", beside("Restart"))).is_ok());
    let said = read(with("containers", beside("RestartAllContainers"))).expect_err("it restarts the work").to_string();
    assert!(said.contains("containers[1].restartPolicyRules") && said.contains("RestartAllContainers"), "{said}");
}

#[test]
fn the_result_file_is_ours_and_the_policy_of_the_message_is_not() {
    assert!(matches!(read(work(json!({"terminationMessagePath": "/tmp/x"}))), Err(TemplateError::Ours(_))));
    let exported =
        json!({"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "FallbackToLogsOnError"});
    assert!(read(work(exported)).is_ok());
}

#[test]
fn of_the_metadata_only_labels_and_annotations_are_taken_and_what_else_it_says_is_named() {
    let with_metadata = |metadata: Value| {
        let mut template = work(json!({}));
        template["metadata"] = metadata;
        read(template)
    };
    for (field, value) in [
        ("name", json!("mine")),
        ("generateName", json!("mine-")),
        ("namespace", json!("other")),
        ("finalizers", json!(["example.com/wait"])),
        ("ownerReferences", json!([{"kind": "Job"}])),
        ("fieldOfTomorrow", json!(1)),
    ] {
        let mut metadata = json!({"labels": {"app": "x"}});
        metadata[field] = value;
        assert_eq!(with_metadata(metadata).map(drop), Err(TemplateError::NotKept(field.into())));
    }
    let exported =
        json!({"labels": {"app": "x"}, "annotations": {}, "creationTimestamp": null, "name": "", "finalizers": []});
    assert!(with_metadata(exported).is_ok());
}
