//! Builds the Job that runs one attempt. Says what the work sees, and lets nothing of a task's metadata but
//! its name reach the pod.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource, EnvVar, ObjectFieldSelector, Pod,
    PodTemplateSpec, ProjectedVolumeSource, ResourceRequirements, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as PodQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::{Resource, ResourceExt};
use serde::{Deserialize, Serialize};

use super::{names, resources, task_type};
use crate::{ParsedType, Policy, Settings, TemplateError};
use task_manager_api::{Amount, Payload, Quantity, Resources, Task, TaskSpec, TaskStatus};

const FILES: &str = "task-manager-files";
const SCRATCH: &str = "task-manager-scratch";
const SCRATCH_MOUNT: &str = "/task-scratch";
const PAYLOAD_FILE: &str = "/task/payload.json";
const RESULT_FILE: &str = "/dev/termination-log";
const PROGRESS_FILE: &str = "/task-scratch/progress.json";
const TOKEN: &str = "task-manager-token";
const TOKEN_MOUNT: &str = "/task-token";
const TOKEN_FILE: &str = "/task-token/token";
/// The kubelet renews the token in time; the work reads it anew for each call.
const TOKEN_SECONDS: i64 = 3600;
/// Whom the token of the work is meant for: no API server takes it.
pub const AUDIENCE: &str = "task-manager";

/// What an attempt holds of its queue. It travels on the pod, so that the slot is still counted when the
/// Task is gone and its pod is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holds {
    pub queue: String,
    #[serde(rename = "type")]
    pub type_: String,
    pub kb_id: Option<String>,
    pub priority: task_manager_api::Priority,
    pub resources: BTreeMap<String, Quantity>,
}

/// What an attempt of `task` would count for, as the scheduler counts its pod.
pub fn counted(task: &Task, kind: &ParsedType, settings: &Settings) -> Result<resources::Amounts, TemplateError> {
    let template = kind.template.as_ref().map_err(TemplateError::clone)?;
    let Some((spec, work)) = template.spec.as_ref().and_then(|spec| Some((spec, spec.containers.first()?))) else {
        return Err(TemplateError::NoContainer);
    };
    Ok(resources::of_pod(spec, Some(&resources::of_work(task, kind, work, settings))))
}

/// The Job of the attempt that `status` speaks of. `task` holds its whole payload; `classes` are the
/// PriorityClasses that the cluster has.
pub fn job(
    task: &Task,
    status: &TaskStatus,
    kind: &ParsedType,
    settings: &Settings,
    classes: &BTreeSet<String>,
) -> Result<Job, TemplateError> {
    let uid = task.uid().unwrap_or_default();
    let labels = labels(task, &uid, status.attempt);
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(names::job_of(task, status)),
            namespace: task.namespace(),
            labels: Some(labels.clone()),
            annotations: Some([(names::ANNOTATION_HOLDS.to_owned(), holds(task, status))].into()),
            owner_references: Some(task.controller_owner_ref(&()).into_iter().collect()),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            template: with_priority(template(task, status, kind, settings, labels)?, status, settings, classes),
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// What a run had that nobody can change while it lasts, as the annotations of its pods tell; the rest as in `spec`.
pub fn launched_as(annotations: &BTreeMap<String, String>, spec: &TaskSpec) -> Option<TaskSpec> {
    let holds: Holds = serde_json::from_str(annotations.get(names::ANNOTATION_HOLDS)?).ok()?;
    let payload: Payload = serde_json::from_str(annotations.get(names::ANNOTATION_PAYLOAD)?).ok()?;
    let Holds { queue, type_, kb_id, .. } = holds;
    Some(TaskSpec { type_, kb_id, queue, payload: Some(payload), ..spec.clone() })
}

/// A pod as a task of this type would have it, for asking the API server whether it would take it.
pub fn probe(kind: &ParsedType, type_name: &str, settings: &Settings) -> Result<Pod, TemplateError> {
    let mut task = Task::new(type_name, TaskSpec { type_: type_name.into(), ..TaskSpec::default() });
    task.metadata.uid = Some("probe".into());
    let template = template(&task, &TaskStatus::default(), kind, settings, BTreeMap::new())?;
    let name = Some(names::job_of(&task, &TaskStatus::default()));
    Ok(Pod {
        metadata: ObjectMeta { name, ..template.metadata.unwrap_or_default() },
        spec: template.spec,
        status: None,
    })
}

fn labels(task: &Task, uid: &str, attempt: i32) -> BTreeMap<String, String> {
    [
        (names::LABEL_TASK_UID, uid.to_owned()),
        (names::LABEL_TYPE, names::label_value(&task.spec.type_)),
        (names::LABEL_ATTEMPT, attempt.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// What the attempt that `status` speaks of holds, by the word of its admission. Where that is an older operator's and
/// names no type, the spec does.
pub fn held(task: &Task, status: &TaskStatus) -> Holds {
    let admitted = status.admitted.clone().unwrap_or_default();
    let (type_, kb_id) = match admitted.type_ {
        Some(type_) => (type_, admitted.kb_id),
        None => (task.spec.type_.clone(), task.spec.kb_id.clone()),
    };
    let priority = status.priority.unwrap_or_default();
    Holds { queue: admitted.queue, type_, kb_id, priority, resources: admitted.resources }
}

fn holds(task: &Task, status: &TaskStatus) -> String {
    serde_json::to_string(&held(task, status)).unwrap_or_default()
}

fn template(
    task: &Task,
    status: &TaskStatus,
    kind: &ParsedType,
    settings: &Settings,
    labels: BTreeMap<String, String>,
) -> Result<PodTemplateSpec, TemplateError> {
    let mut template = kind.template.clone()?;
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().extend(labels);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(names::ANNOTATION_HOLDS.into(), holds(task, status));
    annotations.insert(names::ANNOTATION_PAYLOAD.into(), payload(task.spec.payload.as_ref()));

    let spec = template.spec.get_or_insert_default();
    spec.restart_policy = Some("Never".into());
    spec.active_deadline_seconds = Some(Policy::of(&task.spec, Some(&kind.spec)).timeout_seconds);
    spec.volumes.get_or_insert_default().extend([files_volume(), scratch_volume()]);
    if settings.worker_url.is_some() {
        spec.volumes.get_or_insert_default().push(token_volume());
        // A token needs somebody whom it speaks for. API servers fill in the same, if they are set up to.
        spec.service_account_name.get_or_insert_with(|| "default".into());
    }
    if let Some(work) = spec.containers.first_mut() {
        work.resources = Some(requirements(&resources::of_work(task, kind, work, settings)));
        work.termination_message_path = Some(RESULT_FILE.into());
        work.termination_message_policy = Some("File".into());
        fit_out(work, task, status, settings);
    }
    Ok(template)
}

/// Gives the pod the PriorityClass of its task's priority, where the cluster has one by that name and the
/// template does not name another.
fn with_priority(
    mut template: PodTemplateSpec,
    status: &TaskStatus,
    settings: &Settings,
    classes: &BTreeSet<String>,
) -> PodTemplateSpec {
    let name = format!("{}{}", settings.priority_class_prefix, status.priority.unwrap_or_default());
    if let Some(spec) = template.spec.as_mut().filter(|spec| spec.priority_class_name.is_none()) {
        spec.priority_class_name = classes.get(&name).cloned();
    }
    template
}

fn payload(payload: Option<&Payload>) -> String {
    payload.and_then(|payload| serde_json::to_string(payload).ok()).unwrap_or_else(|| "{}".into())
}

fn requirements(work: &Resources) -> ResourceRequirements {
    let write = |quantities: &BTreeMap<String, Quantity>| {
        let written: BTreeMap<_, _> =
            quantities.iter().map(|(name, quantity)| (name.clone(), PodQuantity(quantity.0.clone()))).collect();
        (!written.is_empty()).then_some(written)
    };
    ResourceRequirements { requests: write(&work.requests), limits: write(&work.limits), claims: None }
}

/// What the work sees.
fn fit_out(work: &mut Container, task: &Task, status: &TaskStatus, settings: &Settings) {
    let mut variables = vec![
        ("TASK_ID", task.uid().unwrap_or_default()),
        ("TASK_NAME", task.name_any()),
        ("TASK_TYPE", task.spec.type_.clone()),
        ("TASK_ATTEMPT", status.attempt.to_string()),
        ("TASK_KB_ID", task.spec.kb_id.clone().unwrap_or_default()),
        ("TASK_PAYLOAD_FILE", PAYLOAD_FILE.into()),
        ("TASK_RESULT_FILE", RESULT_FILE.into()),
        ("TASK_PROGRESS_FILE", PROGRESS_FILE.into()),
    ];
    let mut mounts = vec![mount(FILES, task_type::OUR_MOUNT, true), mount(SCRATCH, SCRATCH_MOUNT, false)];
    if let Some(url) = &settings.worker_url {
        variables.extend([("TASK_API_URL", url.clone()), ("TASK_TOKEN_FILE", TOKEN_FILE.into())]);
        mounts.push(mount(TOKEN, TOKEN_MOUNT, true));
    }
    // Ours come first, so that the template's own variables may refer to them.
    let theirs = work.env.take().unwrap_or_default();
    let ours = variables.into_iter().map(|(name, value)| EnvVar {
        name: name.into(),
        value: Some(literal(&value)),
        value_from: None,
    });
    work.env = Some(ours.chain(theirs).collect());
    work.volume_mounts.get_or_insert_default().extend(mounts);
}

/// `$(NAME)` in a value would be replaced by that variable, a Secret's perhaps: `$$` stands for itself.
fn literal(value: &str) -> String {
    value.replace('$', "$$")
}

fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount { name: volume.into(), mount_path: path.into(), read_only: Some(read_only), ..VolumeMount::default() }
}

fn files_volume() -> Volume {
    let payload = DownwardAPIVolumeFile {
        path: "payload.json".into(),
        field_ref: Some(ObjectFieldSelector {
            field_path: format!("metadata.annotations['{}']", names::ANNOTATION_PAYLOAD),
            ..ObjectFieldSelector::default()
        }),
        ..DownwardAPIVolumeFile::default()
    };
    Volume {
        name: FILES.into(),
        downward_api: Some(DownwardAPIVolumeSource {
            items: Some(vec![payload]),
            ..DownwardAPIVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn scratch_volume() -> Volume {
    let small =
        EmptyDirVolumeSource { size_limit: Some(PodQuantity("16Mi".into())), ..EmptyDirVolumeSource::default() };
    Volume { name: SCRATCH.into(), empty_dir: Some(small), ..Volume::default() }
}

/// The pod's own token, for us and nobody else.
fn token_volume() -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: Some(AUDIENCE.into()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".into(),
    };
    let source = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
    let projected = ProjectedVolumeSource { sources: Some(vec![source]), ..ProjectedVolumeSource::default() };
    Volume { name: TOKEN.into(), projected: Some(projected), ..Volume::default() }
}

/// Amounts as a status shows them.
pub fn shown(amounts: &resources::Amounts) -> BTreeMap<String, Quantity> {
    amounts.iter().map(|(name, amount)| (name.clone(), Quantity::from(*amount))).collect()
}

/// Amounts as admission counts them.
pub fn read(shown: &BTreeMap<String, Quantity>) -> BTreeMap<String, Amount> {
    shown.iter().map(|(name, quantity)| (name.clone(), resources::amount(quantity))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use task_manager_api::{Admitted, TaskTypeSpec};

    fn built(spec: TaskSpec) -> Job {
        built_with(spec, &Settings::default())
    }

    fn built_with(spec: TaskSpec, settings: &Settings) -> Job {
        let mut task = Task::new("report-7", TaskSpec { type_: "reports".into(), ..spec });
        task.metadata.uid = Some("uid-1".into());
        task.metadata.namespace = Some("docs".into());
        task.metadata.labels = Some([("secret".to_owned(), "label".to_owned())].into());
        let status = TaskStatus {
            attempt: 2,
            admitted: Some(Admitted { queue: "default".into(), ..Admitted::default() }),
            ..TaskStatus::default()
        };
        let template = json!({"spec": {"containers": [
            {"name": "work", "image": "busybox", "env": [{"name": "TOKEN", "value": "s3cr3t"}]},
            {"name": "beside", "image": "busybox"},
        ]}});
        let kind = ParsedType::read(&TaskTypeSpec { template, ..TaskTypeSpec::default() });
        let classes = ["task-manager-normal".to_owned()].into();
        job(&task, &status, &kind, settings, &classes).expect("a Job")
    }

    fn work(job: &Job) -> Container {
        job.spec.clone().expect("a spec").template.spec.expect("a pod").containers[0].clone()
    }

    fn variable(job: &Job, name: &str) -> Option<String> {
        work(job).env.into_iter().flatten().find(|variable| variable.name == name)?.value
    }

    #[test]
    fn an_attempt_is_a_job_that_never_retries_by_itself() {
        let job = built(TaskSpec { timeout_seconds: Some(90), ..TaskSpec::default() });
        let spec = job.spec.clone().expect("a spec");
        assert_eq!(
            (spec.backoff_limit, spec.ttl_seconds_after_finished, spec.active_deadline_seconds),
            (Some(0), None, None)
        );
        let pod = spec.template.spec.expect("a pod");
        assert_eq!((pod.restart_policy.as_deref(), pod.active_deadline_seconds), (Some("Never"), Some(90)));
        let owner = &job.metadata.owner_references.expect("owners")[0];
        assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("Task", "uid-1", Some(true)));
    }

    #[test]
    fn the_work_is_told_who_it_is() {
        let job = built(TaskSpec { kb_id: Some("kb-42".into()), ..TaskSpec::default() });
        for (name, value) in [
            ("TASK_ID", "uid-1"),
            ("TASK_NAME", "report-7"),
            ("TASK_TYPE", "reports"),
            ("TASK_ATTEMPT", "2"),
            ("TASK_KB_ID", "kb-42"),
            ("TASK_PAYLOAD_FILE", "/task/payload.json"),
            ("TOKEN", "s3cr3t"),
        ] {
            assert_eq!(variable(&job, name).as_deref(), Some(value), "{name}");
        }
    }

    #[test]
    fn job_and_pod_say_whose_they_are_and_what_they_hold() {
        let job = built(TaskSpec { kb_id: Some("kb-42".into()), ..TaskSpec::default() });
        let pod = job.spec.clone().expect("a spec").template.metadata.expect("metadata");
        for metadata in [&job.metadata, &pod] {
            let labels = metadata.labels.clone().expect("labels");
            assert_eq!(labels[names::LABEL_TASK_UID], "uid-1");
            assert_eq!((labels[names::LABEL_TYPE].as_str(), labels[names::LABEL_ATTEMPT].as_str()), ("reports", "2"));
            let held = &metadata.annotations.as_ref().expect("annotations")[names::ANNOTATION_HOLDS];
            let held: Holds = serde_json::from_str(held).expect("JSON");
            let holds = (held.queue.as_str(), held.type_.as_str(), held.kb_id.as_deref());
            assert_eq!(holds, ("default", "reports", Some("kb-42")));
        }
    }

    #[test]
    fn a_pod_tells_what_was_launched_whatever_its_task_says_by_now() {
        let payload = json!({"uri": "s3://in/7.pdf", "half": 0.5, "nested": [{"a": null}]});
        let payload: Payload = serde_json::from_value(payload).expect("a payload");
        let ran = TaskSpec { kb_id: Some("kb-42".into()), payload: Some(payload), ..TaskSpec::default() };
        let pod = built(ran.clone()).spec.expect("a spec").template.metadata.expect("metadata");
        let annotations = pod.annotations.expect("annotations");
        let now = TaskSpec { type_: "other".into(), queue: "other".into(), run_id: "2".into(), ..TaskSpec::default() };
        let told = launched_as(&annotations, &now).expect("a spec");
        assert_eq!((told.type_.as_str(), told.queue.as_str()), ("reports", "default"));
        assert_eq!((told.kb_id, told.payload, told.run_id.as_str()), (ran.kb_id, ran.payload, "2"));
        assert_eq!(launched_as(&BTreeMap::new(), &now), None, "it is none of ours");
    }

    #[test]
    fn the_work_finds_its_payload_read_only_and_a_small_place_to_write() {
        let job = built(TaskSpec::default());
        let mounts = work(&job).volume_mounts.expect("mounts");
        let mounted: Vec<_> = mounts.iter().map(|mount| (mount.mount_path.as_str(), mount.read_only)).collect();
        assert_eq!(mounted, [(task_type::OUR_MOUNT, Some(true)), (SCRATCH_MOUNT, Some(false))]);
        let volumes = job.spec.expect("a spec").template.spec.expect("a pod").volumes.expect("volumes");
        assert_eq!(volumes.iter().map(|volume| &volume.name).collect::<Vec<_>>(), [&mounts[0].name, &mounts[1].name]);
        let file = &volumes[0].downward_api.as_ref().expect("downward API").items.as_ref().expect("files")[0];
        let from = file.field_ref.as_ref().expect("a field");
        assert_eq!(
            (file.path.as_str(), from.field_path.as_str()),
            ("payload.json", "metadata.annotations['taskmanager.dev/payload']")
        );
        let scratch = volumes[1].empty_dir.as_ref().and_then(|dir| dir.size_limit.as_ref());
        assert_eq!(scratch.map(|size| size.0.as_str()), Some("16Mi"), "it cannot fill the node's disk");
    }

    #[test]
    fn where_there_is_a_worker_api_the_work_finds_its_address_and_a_token_for_it() {
        let settings = Settings { worker_url: Some("http://operator:8082".into()), ..Settings::default() };
        let job = built_with(TaskSpec::default(), &settings);
        assert_eq!(variable(&job, "TASK_API_URL").as_deref(), Some("http://operator:8082"));
        assert_eq!(variable(&job, "TASK_TOKEN_FILE").as_deref(), Some("/task-token/token"));
        let mounts = work(&job).volume_mounts.expect("mounts");
        let mounted = mounts.iter().find(|mount| mount.mount_path == "/task-token").expect("a mount");
        let pod = job.spec.expect("a spec").template.spec.expect("a pod");
        assert_eq!(pod.service_account_name.as_deref(), Some("default"));
        assert!(pod.containers[1].volume_mounts.is_none(), "the token is the work's alone");
        let volume = pod.volumes.into_iter().flatten().find(|volume| volume.name == mounted.name).expect("a volume");
        let source = volume.projected.and_then(|projected| projected.sources).expect("sources").remove(0);
        let token = source.service_account_token.expect("a token");
        assert_eq!((token.audience.as_deref(), token.path.as_str()), (Some("task-manager"), "token"));
        assert!(token.expiration_seconds >= Some(600));
    }

    #[test]
    fn without_a_worker_api_the_pod_has_no_token_and_no_account_of_ours() {
        let job = built(TaskSpec::default());
        assert_eq!((variable(&job, "TASK_API_URL"), variable(&job, "TASK_TOKEN_FILE")), (None, None));
        let pod = job.spec.expect("a spec").template.spec.expect("a pod");
        assert!(pod.service_account_name.is_none() && pod.volumes.expect("volumes").len() == 2);
    }

    #[test]
    fn a_kb_id_cannot_read_a_secret_out_of_the_environment() {
        let job = built(TaskSpec { kb_id: Some("$(TOKEN)".into()), ..TaskSpec::default() });
        assert_eq!(variable(&job, "TASK_KB_ID").as_deref(), Some("$$(TOKEN)"));
    }

    #[test]
    fn nothing_of_the_tasks_metadata_but_its_name_reaches_the_pod() {
        let job = built(TaskSpec::default());
        let metadata = job.spec.expect("a spec").template.metadata.expect("metadata");
        assert!(!metadata.labels.expect("labels").contains_key("secret"));
    }

    #[test]
    fn the_payload_comes_as_compact_json_by_the_downward_api() {
        let payload = serde_json::from_value(json!({"uri": "s3://in", "n": 1})).expect("an object");
        let job = built(TaskSpec { payload: Some(payload), ..TaskSpec::default() });
        let annotations =
            job.spec.expect("a spec").template.metadata.expect("metadata").annotations.expect("annotations");
        assert_eq!(annotations[names::ANNOTATION_PAYLOAD], r#"{"n":1,"uri":"s3://in"}"#);
    }

    #[test]
    fn the_pod_gets_the_priority_class_of_its_task_where_there_is_one() {
        let class = |job: Job| job.spec.expect("a spec").template.spec.expect("a pod").priority_class_name;
        assert_eq!(class(built(TaskSpec::default())).as_deref(), Some("task-manager-normal"));
    }

    #[test]
    fn only_the_first_container_is_the_work() {
        let job = built(TaskSpec::default());
        let beside = job.spec.expect("a spec").template.spec.expect("a pod").containers[1].clone();
        assert!(beside.env.is_none() && beside.resources.is_none());
    }

    #[test]
    fn work_without_a_memory_limit_gets_the_default_one() {
        let limits = work(&built(TaskSpec::default())).resources.expect("resources").limits.expect("limits");
        assert_eq!(limits["memory"].0, "1Gi");
    }
}
