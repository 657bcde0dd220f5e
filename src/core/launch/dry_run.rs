//! The dry runs that tell whether a type can be used: the Job as it would be launched, and its pod as the Job controller
//! would make it, or the bare pod; and what decisions read of the answers. Asks nobody.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Launch;
use super::bare_pod::bare_pod;
use super::job::job;
use super::json::{Object, object};
use super::pod_resources::PodResources;
use super::resources::{MEMORY, names_memory};
use super::template::Template;
use super::{dropped, names};
use crate::{ParsedType, Settings, TemplateError};
use task_manager_api::{Executor, Task, TaskSpec, TaskStatus, TaskType};

#[cfg(test)]
mod tests;

/// The uid of a task and of a Job that do not exist. Nobody looks for the owner of an object that is not made.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// The dry run of a type's pod, as far as decisions read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DryRun {
    /// The resources of the pod that the API server would make: with the values of LimitRanges, the overhead of its
    /// RuntimeClass, and injected containers. `None` where no answer held a pod.
    pub pod: Option<PodResources>,
    /// The namespace gives the work a memory request or limit where nobody else names one.
    pub memory_is_set: bool,
}

impl DryRun {
    /// What is known by an answer, which holds the pod.
    pub fn of(answer: &Value, memory_is_set: bool) -> Self {
        let spec = answer.get("spec").unwrap_or(&Value::Null);
        Self { pod: serde_json::from_value(spec.clone()).ok(), memory_is_set }
    }

    /// This answer about a type whose work is called `work`, after another one about the same generation. Where it holds no
    /// pod, queues go on counting the pod of the answer before; but for its memory, where that was not the namespace's.
    pub fn after(self, before: &Self, work: &str) -> Self {
        let pod = self.pod.or_else(|| {
            let kept = before.pod.clone()?;
            let has_our_memory = self.memory_is_set && !before.memory_is_set;
            Some(if has_our_memory { kept.without(MEMORY, work) } else { kept })
        });
        Self { pod, ..self }
    }
}

/// A type, and the manifests by which it is tried out.
pub struct Probe<'a> {
    settings: &'a Settings,
    parsed: ParsedType,
    template: Template,
    /// A task of this type that names nothing itself.
    task: Task,
}

impl<'a> Probe<'a> {
    pub fn new(kind: &TaskType, settings: &'a Settings) -> Result<Self, TemplateError> {
        let parsed = ParsedType::read(&kind.spec);
        let template = parsed.template.clone()?;
        let name = kind.metadata.name.clone().unwrap_or_default();
        let mut task = Task::new(&name, TaskSpec { type_: name.clone(), ..TaskSpec::default() });
        task.metadata.uid = Some(NOBODY.into());
        task.metadata.namespace = kind.metadata.namespace.clone();
        Ok(Self { settings, parsed, template, task })
    }

    /// Type or template name memory: no default of ours applies.
    pub fn names_memory(&self) -> bool {
        names_memory(&self.parsed, &self.template)
    }

    /// The Job of the task; `None` where a bare pod runs it.
    pub fn job(&self) -> Option<Value> {
        (self.parsed.spec.executor == Executor::Job).then(|| self.launched(true, job))
    }

    /// The pod of that Job, or the bare pod; with the operator's defaults for memory where nobody names any, or without.
    pub fn pod(&self, with_defaults: bool) -> Value {
        match self.parsed.spec.executor {
            Executor::Job => pod_of(&self.launched(with_defaults, job)),
            Executor::Pod | Executor::Pool => self.launched(with_defaults, bare_pod),
        }
    }

    fn launched(&self, with_defaults: bool, launch: Launch) -> Value {
        let dry_run = DryRun { pod: None, memory_is_set: !with_defaults };
        let parsed = self.parsed.clone().with_dry_run(Some(Arc::new(dry_run)));
        // Its template was read.
        launch(&self.task, &TaskStatus::default(), &parsed, self.settings, &BTreeSet::new()).unwrap_or_default()
    }

    /// A refusal of a pod that names memory only because the operator's defaults do.
    pub fn because_of_defaults(&self, why: &str) -> String {
        let Settings { default_memory_request, default_memory_limit, .. } = self.settings;
        format!(
            "nobody names the work's memory, so --default-memory-request ({}) and --default-memory-limit ({}) apply: {why}",
            default_memory_request.0, default_memory_limit.0
        )
    }

    /// The sentence about fields of the template that the answered Job lacks; `None` where it has all.
    pub fn dropped_of_job(&self, answered: &Value) -> Option<String> {
        self.dropped(answered.pointer("/spec/template").unwrap_or(&Value::Null))
    }

    /// The same of a bare pod. A Job's pod was looked at in its Job.
    pub fn dropped_of_pod(&self, answered: &Value) -> Option<String> {
        (self.parsed.spec.executor == Executor::Pod).then(|| self.dropped(answered)).flatten()
    }

    fn dropped(&self, template: &Value) -> Option<String> {
        let who = match self.parsed.spec.executor {
            // Webhooks change pods, and hardly ever a Job's template.
            Executor::Pod => "this API server, or a webhook,",
            Executor::Job | Executor::Pool => "this API server",
        };
        dropped::told(dropped::fields(&self.template.written, template, "spec.template"), who)
    }

    /// The answered pod's work has memory that we did not ask for.
    pub fn is_given_memory(&self, answered: &Value) -> bool {
        let DryRun { pod, .. } = DryRun::of(answered, false);
        let work = pod.as_ref().and_then(|pod| pod.container(&self.template.work.name));
        work.is_some_and(|work| work.resources.names(MEMORY))
            || pod.as_ref().is_some_and(|pod| pod.resources.names(MEMORY))
    }
}

/// The pod of a Job, as the Job controller makes it, under a name that is the same each time: refusals repeat it.
fn pod_of(job: &Value) -> Value {
    let job_name = job.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let template = job.pointer("/spec/template").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut pod: Object = template;
    object(&mut pod, "metadata", |metadata| {
        object(metadata, "labels", |labels| {
            let of_job = names::LABELS_OF_JOBS.map(|key| {
                let value = if key.ends_with("job-name") { job_name } else { NOBODY };
                (key.to_owned(), json!(value))
            });
            labels.extend(of_job);
        });
        let owner =
            json!({"apiVersion": "batch/v1", "kind": "Job", "name": job_name, "uid": NOBODY, "controller": true});
        metadata.extend([
            ("name".to_owned(), json!(format!("{job_name}-probe"))),
            ("generateName".to_owned(), json!(format!("{job_name}-"))),
            ("namespace".to_owned(), job.pointer("/metadata/namespace").cloned().unwrap_or_default()),
            ("ownerReferences".to_owned(), json!([owner])),
            ("finalizers".to_owned(), json!(["batch.kubernetes.io/job-tracking"])),
        ]);
    });
    pod.extend([("apiVersion".to_owned(), json!("v1")), ("kind".to_owned(), json!("Pod"))]);
    Value::Object(pod)
}
