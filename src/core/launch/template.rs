//! Reads a TaskType's pod template: typed, with no unknown field and nothing that the operator sets itself.

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use serde_json::Value;

use super::names;

/// Prefix of the environment variables that the operator sets.
pub const OUR_VARIABLES: &str = "TASK_";
/// The folder that holds the payload file.
pub const OUR_MOUNT: &str = "/task";
/// Prefix of the names of the volumes that the operator adds.
pub const OUR_VOLUMES: &str = "task-manager-";

/// Why a template cannot be used. The sentence is shown to whoever wrote the type.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TemplateError {
    #[error("spec.template is not a pod template: {0}")]
    Unreadable(String),
    #[error("spec.template.{0} is not a field of a pod template; look for a typing error")]
    UnknownField(String),
    #[error("spec.template.spec.containers is empty; name the container that does the work")]
    NoContainer,
    #[error("the API server refuses its pod: {0}")]
    Refused(String),
    #[error("spec.template sets {0}, which the operator sets itself; remove it")]
    Ours(String),
}

/// The typed form of a template, or the first thing that is wrong with it.
pub fn read(written: &Value) -> Result<PodTemplateSpec, TemplateError> {
    let written = with_quantities_as_text(written.clone());
    let template: PodTemplateSpec =
        serde_path_to_error::deserialize(&written).map_err(|error| TemplateError::Unreadable(error.to_string()))?;
    let understood = serde_json::to_value(&template).map_err(|error| TemplateError::Unreadable(error.to_string()))?;
    match lost_field(&written, &understood, "") {
        Some(field) => return Err(TemplateError::UnknownField(field)),
        None => check_ownership(&template)?,
    }
    Ok(template)
}

/// The template with quantities as text: manifests may hold `cpu: 1` where the typed form wants `"1"`.
fn with_quantities_as_text(mut template: Value) -> Value {
    let Some(spec) = template.get_mut("spec") else { return template };
    quantities_as_text(spec);
    for containers in ["containers", "initContainers"] {
        let list = spec.get_mut(containers).and_then(Value::as_array_mut);
        list.into_iter().flatten().for_each(quantities_as_text);
    }
    template
}

/// The same for the `resources` of one container, or of the pod as a whole.
fn quantities_as_text(spec: &mut Value) {
    for field in ["requests", "limits"] {
        let quantities = spec.pointer_mut(&format!("/resources/{field}")).and_then(Value::as_object_mut);
        let numbers = quantities.into_iter().flat_map(|quantities| quantities.values_mut()).filter(|it| it.is_number());
        numbers.for_each(|number| *number = Value::String(number.to_string()));
    }
}

/// The first field of `written` that the typed form lacks: a typing error, or a field of a newer Kubernetes, which would
/// otherwise be dropped silently.
fn lost_field(written: &Value, understood: &Value, path: &str) -> Option<String> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => written.iter().find_map(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match understood.get(key) {
                Some(inner) => lost_field(value, inner, &path),
                None if is_empty(value) => None,
                None => Some(path),
            }
        }),
        (Value::Array(written), Value::Array(understood)) => written
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(index, (written, understood))| lost_field(written, understood, &format!("{path}[{index}]"))),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn check_ownership(template: &PodTemplateSpec) -> Result<(), TemplateError> {
    let spec = template.spec.as_ref().filter(|spec| !spec.containers.is_empty()).ok_or(TemplateError::NoContainer)?;
    let metadata = template.metadata.iter();
    let marks = metadata.flat_map(|metadata| [metadata.labels.as_ref(), metadata.annotations.as_ref()]).flatten();
    if let Some(key) = marks.flat_map(|marks| marks.keys()).find(|key| key.starts_with(names::PREFIX)) {
        return Err(TemplateError::Ours(format!("the label or annotation {key}")));
    }
    if spec.restart_policy.as_ref().is_some_and(|policy| policy != "Never") {
        return Err(TemplateError::Ours("spec.restartPolicy".into()));
    }
    if spec.active_deadline_seconds.is_some() {
        return Err(TemplateError::Ours("spec.activeDeadlineSeconds (use defaults.timeoutSeconds)".into()));
    }
    if let Some(volume) = spec.volumes.iter().flatten().find(|volume| volume.name.starts_with(OUR_VOLUMES)) {
        return Err(TemplateError::Ours(format!("the volume {}", volume.name)));
    }
    containers(spec).try_for_each(check_container)
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten())
}

fn check_container(container: &Container) -> Result<(), TemplateError> {
    if let Some(variable) = container.env.iter().flatten().find(|variable| variable.name.starts_with(OUR_VARIABLES)) {
        return Err(TemplateError::Ours(format!("the variable {}", variable.name)));
    }
    let ours = |path: &str| path == OUR_MOUNT || path.starts_with("/task/") || path.starts_with("/task-");
    match container.volume_mounts.iter().flatten().find(|mount| ours(&mount.mount_path)) {
        Some(mount) => Err(TemplateError::Ours(format!("a mount at {}", mount.mount_path))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParsedType;
    use serde_json::json;
    use task_manager_api::TaskTypeSpec;

    fn read(template: Value) -> Result<PodTemplateSpec, TemplateError> {
        ParsedType::read(&TaskTypeSpec { template, ..TaskTypeSpec::default() }).template
    }

    fn with(field: &str, value: Value) -> Value {
        let mut template = json!({"spec": {"containers": [{"name": "work", "image": "busybox"}]}});
        template.pointer_mut("/spec").and_then(Value::as_object_mut).expect("a spec").insert(field.into(), value);
        template
    }

    #[test]
    fn a_plain_template_is_read_and_numbers_do_as_quantities() {
        let template = json!({"spec": {"containers": [{"name": "work", "image": "busybox",
            "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}}]}});
        let spec = read(template).expect("a pod template").spec.expect("a spec");
        let requests = spec.containers[0].resources.as_ref().and_then(|resources| resources.requests.as_ref());
        assert_eq!(requests.expect("requests")["cpu"].0, "1");
        let whole =
            read(with("resources", json!({"limits": {"cpu": 2}}))).expect("a pod template").spec.expect("a spec");
        assert_eq!(whole.resources.and_then(|resources| resources.limits).expect("limits")["cpu"].0, "2");
    }

    #[test]
    fn a_typing_error_is_found_and_named() {
        let template = json!({"spec": {"containers": [{"name": "work", "image": "busybox", "comand": ["sh"]}]}});
        assert_eq!(read(template), Err(TemplateError::UnknownField("spec.containers[0].comand".into())));
    }

    #[test]
    fn what_is_empty_may_be_left_out_and_is_no_unknown_field() {
        for empty in [json!(null), json!({}), json!([])] {
            assert!(read(with("noSuchField", empty.clone())).is_ok(), "{empty}");
        }
        for full in [json!(0), json!(""), json!([null]), json!({"a": null})] {
            assert_eq!(read(with("noSuchField", full)), Err(TemplateError::UnknownField("spec.noSuchField".into())));
        }
    }

    /// A type of generation 2, of whose generation `seen` the dry run said `ready`.
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
}
