//! A TaskType's pod template: the JSON as it was written, and of that what the operator reads. Unknown fields are the
//! API server's to judge, which knows those of its own version.

use serde_json::Value;

use super::ownership;
use super::pod_resources::{ContainerResources, PodResources};

/// Why a template cannot be used. The sentence is shown to whoever wrote the type.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TemplateError {
    #[error("spec.template is not a pod template: {0}")]
    Unreadable(String),
    #[error("spec.template.spec.containers is empty; name the container that does the work")]
    NoContainer,
    #[error("the API server refuses it: {0}")]
    Refused(String),
    #[error("a pool runs its tasks: it has no template")]
    OfAPool,
    #[error("{0}")]
    NoPool(String),
    #[error("spec.template sets {0}, which the operator sets itself; remove it")]
    Ours(String),
    #[error(
        "spec.template.metadata.labels has {0}, which the Job controller sets itself, with the values of another Job; remove what an exported Job has of them"
    )]
    OfAnotherJob(String),
    #[error(
        "spec.template.metadata.{0} reaches no pod: labels and annotations alone do, and the rest is set for each attempt; remove it"
    )]
    NotKept(String),
    #[error("spec.template.spec.{0}: an attempt is one start of its work; remove it, and use retry and failureRules")]
    Restarts(String),
}

/// A pod template with at least one container.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The template as it was written.
    pub written: Value,
    /// The resources that it names.
    pub pod: PodResources,
    /// The container that does the work: the first one.
    pub work: ContainerResources,
}

/// The template, or the first thing that is wrong with it.
pub fn read(written: &Value) -> Result<Template, TemplateError> {
    ownership::check(written)?;
    let spec = written.get("spec").filter(|spec| !spec.is_null()).ok_or(TemplateError::NoContainer)?;
    let pod: PodResources = serde_path_to_error::deserialize(spec).map_err(|error| unreadable("spec.", &error))?;
    let work = pod.containers.first().cloned().ok_or(TemplateError::NoContainer)?;
    Ok(Template { written: written.clone(), pod, work })
}

pub fn unreadable(at: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> TemplateError {
    TemplateError::Unreadable(format!("{at}{error}"))
}

#[cfg(test)]
mod tests;
