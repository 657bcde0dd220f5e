//! Refuses the fields of a template that are the operator's or the Job controller's to set, and those that would start
//! the work more than once. Reads no other field.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::pod_resources::null_or;
use super::template::{TemplateError, unreadable};
use super::work_inputs::RESULT_FILE;
use super::{dropped, names};

/// Prefix of the environment variables that the operator sets.
pub const OUR_VARIABLES: &str = "TASK_";
/// The folder that holds the payload file.
pub const OUR_MOUNT: &str = "/task";
/// Prefix of the names of the volumes that the operator adds.
pub const OUR_VOLUMES: &str = "task-manager-";
/// The action of a restart rule that begins every container anew.
const RESTARTS_ALL: &str = "RestartAllContainers";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    #[serde(deserialize_with = "null_or")]
    metadata: Marks,
    #[serde(deserialize_with = "null_or")]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Marks {
    #[serde(deserialize_with = "null_or")]
    labels: BTreeMap<String, Option<String>>,
    #[serde(deserialize_with = "null_or")]
    annotations: BTreeMap<String, Option<String>>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(deserialize_with = "null_or")]
    containers: Vec<Container>,
    #[serde(deserialize_with = "null_or")]
    init_containers: Vec<Container>,
    #[serde(deserialize_with = "null_or")]
    volumes: Vec<Named>,
    restart_policy: Option<String>,
    active_deadline_seconds: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    #[serde(deserialize_with = "null_or")]
    env: Vec<Named>,
    #[serde(deserialize_with = "null_or")]
    volume_mounts: Vec<Mount>,
    #[serde(deserialize_with = "null_or")]
    restart_policy_rules: Vec<Rule>,
    restart_policy: Option<String>,
    termination_message_path: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    #[serde(deserialize_with = "null_or")]
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mount {
    #[serde(deserialize_with = "null_or")]
    mount_path: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rule {
    #[serde(deserialize_with = "null_or")]
    action: String,
}

/// The first field of a template that is not its author's to set.
pub fn check(written: &Value) -> Result<(), TemplateError> {
    let Written { metadata, spec } =
        serde_path_to_error::deserialize(written).map_err(|error| unreadable("", &error))?;
    check_marks(&metadata)?;
    check_spec(&spec)?;
    for (list, containers) in [("containers", &spec.containers), ("initContainers", &spec.init_containers)] {
        for (index, container) in containers.iter().enumerate() {
            check_container(container, &format!("{list}[{index}]"))?;
        }
    }
    spec.containers.first().map_or(Ok(()), check_work)
}

fn check_marks(metadata: &Marks) -> Result<(), TemplateError> {
    // An exported object has fields that are null or empty.
    let says_something = |value: &Value| !dropped::is_empty(value);
    if let Some((field, _)) = metadata.others.iter().find(|(_, value)| says_something(value)) {
        return Err(TemplateError::NotKept(field.clone()));
    }
    let mut keys = metadata.labels.keys().chain(metadata.annotations.keys());
    if let Some(key) = keys.find(|key| key.starts_with(names::PREFIX)) {
        return Err(TemplateError::Ours(format!("the label or annotation {key}")));
    }
    let of_a_job: Vec<_> = names::LABELS_OF_JOBS.into_iter().filter(|key| metadata.labels.contains_key(*key)).collect();
    if of_a_job.is_empty() { Ok(()) } else { Err(TemplateError::OfAnotherJob(of_a_job.join(", "))) }
}

fn check_spec(spec: &Spec) -> Result<(), TemplateError> {
    if spec.restart_policy.as_ref().is_some_and(|policy| policy != "Never") {
        return Err(TemplateError::Ours("spec.restartPolicy".into()));
    }
    if spec.active_deadline_seconds.is_some() {
        return Err(TemplateError::Ours("spec.activeDeadlineSeconds (use defaults.timeoutSeconds)".into()));
    }
    match spec.volumes.iter().find(|volume| volume.name.starts_with(OUR_VOLUMES)) {
        Some(volume) => Err(TemplateError::Ours(format!("the volume {}", volume.name))),
        None => Ok(()),
    }
}

fn check_container(container: &Container, place: &str) -> Result<(), TemplateError> {
    if let Some(variable) = container.env.iter().find(|variable| variable.name.starts_with(OUR_VARIABLES)) {
        return Err(TemplateError::Ours(format!("the variable {}", variable.name)));
    }
    let is_ours = |path: &str| path == OUR_MOUNT || path.starts_with("/task/") || path.starts_with("/task-");
    if let Some(mount) = container.volume_mounts.iter().find(|mount| is_ours(&mount.mount_path)) {
        return Err(TemplateError::Ours(format!("a mount at {}", mount.mount_path)));
    }
    let restarts_all = container.restart_policy_rules.iter().any(|rule| rule.action == RESTARTS_ALL);
    if restarts_all {
        Err(TemplateError::Restarts(format!("{place}.restartPolicyRules: {RESTARTS_ALL}")))
    } else {
        Ok(())
    }
}

/// The work's container alone: it starts once, and its termination message is the result.
fn check_work(work: &Container) -> Result<(), TemplateError> {
    let restarts = [
        ("restartPolicy", work.restart_policy.is_some()),
        ("restartPolicyRules", !work.restart_policy_rules.is_empty()),
    ];
    if let Some((field, _)) = restarts.into_iter().find(|(_, is_set)| *is_set) {
        return Err(TemplateError::Restarts(format!("containers[0].{field}")));
    }
    match work.termination_message_path.as_deref().filter(|path| !path.is_empty() && *path != RESULT_FILE) {
        Some(_) => Err(TemplateError::Ours("spec.containers[0].terminationMessagePath (see TASK_RESULT_FILE)".into())),
        None => Ok(()),
    }
}
