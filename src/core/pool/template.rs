//! The pod of a worker: the pool's template as it was written, with labels, token and variables of ours, and the agent where the
//! pool asks for it.

use kube_core::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::digest::sha256_hex;
use crate::launch::json::{Object, list, object};
use crate::launch::{dropped, names, template, work_inputs};
use crate::{Settings, TemplateError};
use task_manager_api::{AgentAs, WorkerPool, WorkerPoolSpec};

const AGENT_VOLUME: &str = "task-manager-agent";
const AGENT_MOUNT: &str = "/task-agent";
/// The path of the program in the operator's image.
const PROGRAM: &str = "/task-manager";

/// Why no worker of a pool can be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PoolError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("this operator has no port for workers: start it with --worker-addr and --worker-url")]
    NoWorkerPort,
    #[error("spec.agent needs the operator's image: start the operator with --agent-image")]
    NoAgentImage,
    #[error("spec.agent wraps the command of the first container: name it in spec.template.spec.containers[0].command")]
    NoCommand,
}

/// The digest of all that goes into the pods of a pool: a worker of another digest is out of date.
pub fn digest(spec: &WorkerPoolSpec, settings: &Settings) -> String {
    let agent_image = spec.agent.as_ref().and(settings.agent_image.as_ref());
    let parts = json!([spec.template, spec.agent, spec.slots(), settings.worker_url, agent_image]);
    sha256_hex(parts.to_string()).chars().take(16).collect()
}

/// What the API server drops of a pool's workers without a word, by its answer to a dry run of one.
pub fn dropped_of(spec: &WorkerPoolSpec, answered: &Value) -> Option<String> {
    let by_image_volume = spec.agent.as_ref().is_some_and(|agent| agent.as_ == AgentAs::ImageVolume);
    let volumes = answered.pointer("/spec/volumes").and_then(Value::as_array);
    let is_agent = |volume: &Value| volume["name"] == AGENT_VOLUME && volume["image"].is_object();
    if by_image_volume && !volumes.into_iter().flatten().any(is_agent) {
        return Some("this cluster has no image volumes: write InitContainer in spec.agent.as".into());
    }
    dropped::told(dropped::fields(&spec.template, answered, "spec.template"), "this API server, or a webhook,")
}

/// The pod of a worker of this name.
pub fn pod(pool: &WorkerPool, name: &str, settings: &Settings) -> Result<Value, PoolError> {
    let read = template::read(&pool.spec.template)?;
    let url = settings.worker_url.as_deref().ok_or(PoolError::NoWorkerPort)?;
    let mut pod = read.written.as_object().cloned().unwrap_or_default();
    pod.extend([("apiVersion".to_owned(), json!("v1")), ("kind".to_owned(), json!("Pod"))]);
    object(&mut pod, "metadata", |metadata| {
        mark(metadata, &read.work.name, &pool.name_any(), &digest(&pool.spec, settings));
        metadata.insert("name".into(), json!(name));
        metadata.insert("namespace".into(), json!(pool.metadata.namespace));
        metadata.insert("ownerReferences".into(), json!([pool.controller_owner_ref(&())]));
    });
    let mut outcome = Ok(());
    let user = user_of(&read.written);
    object(&mut pod, "spec", |spec| {
        spec.insert("restartPolicy".into(), json!("Never"));
        work_inputs::add_token(spec);
        let mut variables: Vec<_> = work_inputs::of_worker_api(url).into();
        variables.push(("TASK_SLOTS", pool.spec.slots().to_string()));
        list(spec, "containers", |containers| {
            if let Some(Value::Object(worker)) = containers.first_mut() {
                work_inputs::add(worker, &variables, vec![work_inputs::token_mount()]);
                if pool.spec.agent.is_some() {
                    outcome = wrap(worker);
                }
            }
        });
        if let Some(agent) = pool.spec.agent.as_ref().filter(|_| outcome.is_ok()) {
            outcome = settings
                .agent_image
                .as_deref()
                .ok_or(PoolError::NoAgentImage)
                .map(|image| bring(spec, agent.as_, image, user));
        }
    });
    outcome.map(|()| Value::Object(pod))
}

fn mark(metadata: &mut Object, container: &str, pool: &str, digest: &str) {
    object(metadata, "labels", |labels| {
        labels.insert(names::LABEL_POOL.into(), json!(names::task_label(pool)));
    });
    object(metadata, "annotations", |annotations| {
        annotations.insert(names::ANNOTATION_TEMPLATE.into(), json!(digest));
        annotations.insert(names::ANNOTATION_CONTAINER.into(), json!(container));
        annotations.entry(names::ANNOTATION_DEFAULT_CONTAINER).or_insert_with(|| json!(container));
    });
}

/// Has the agent run the container's command, once for each task.
fn wrap(worker: &mut Object) -> Result<(), PoolError> {
    let command = worker.get("command").and_then(Value::as_array).filter(|command| !command.is_empty());
    let command = command.ok_or(PoolError::NoCommand)?;
    let agent = [json!(format!("{AGENT_MOUNT}{PROGRAM}")), json!("worker"), json!("--")];
    let wrapped: Vec<Value> = agent.into_iter().chain(command.iter().cloned()).collect();
    worker.insert("command".into(), json!(wrapped));
    list(worker, "volumeMounts", |mounts| mounts.push(work_inputs::mount(AGENT_VOLUME, AGENT_MOUNT)));
    Ok(())
}

/// The user that the worker's container names for itself, and what a namespace of the level "restricted" asks of each container:
/// a template may say it there and not for its pod.
fn user_of(template: &Value) -> Object {
    const FIELDS: [&str; 4] = ["runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile"];
    let context = template.pointer("/spec/containers/0/securityContext").and_then(Value::as_object);
    let fields = context.into_iter().flatten().filter(|(field, _)| FIELDS.contains(&field.as_str()));
    fields.map(|(field, value)| (field.clone(), value.clone())).collect()
}

/// Brings the agent into the pod. An image volume costs no start of a container.
fn bring(spec: &mut Object, how: AgentAs, image: &str, user: Object) {
    let volume = match how {
        AgentAs::InitContainer => json!({"name": AGENT_VOLUME, "emptyDir": {}}),
        AgentAs::ImageVolume => json!({"name": AGENT_VOLUME, "image": {"reference": image}}),
    };
    list(spec, "volumes", |volumes| volumes.push(volume));
    if how == AgentAs::InitContainer {
        let mut security = user;
        security.extend([
            ("allowPrivilegeEscalation".to_owned(), json!(false)),
            ("capabilities".to_owned(), json!({"drop": ["ALL"]})),
            ("readOnlyRootFilesystem".to_owned(), json!(true)),
        ]);
        let installer = json!({
            "name": AGENT_VOLUME,
            "image": image,
            "command": [PROGRAM, "worker", "--install", AGENT_MOUNT],
            "volumeMounts": [{"name": AGENT_VOLUME, "mountPath": AGENT_MOUNT}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "securityContext": security,
        });
        list(spec, "initContainers", |containers| containers.insert(0, installer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(agent: Value) -> WorkerPool {
        let mut spec = json!({"replicas": {"max": 2}, "slotsPerWorker": 2, "template": {
            "metadata": {"labels": {"team": "docs"}},
            "spec": {"containers": [
                {"name": "worker", "image": "my/worker", "command": ["python3", "work.py"], "env": [{"name": "MODE", "value": "$(TASK_API_URL)"}]},
                {"name": "beside", "image": "busybox"},
            ]},
        }});
        if !agent.is_null() {
            spec["agent"] = agent;
        }
        serde_json::from_value(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "WorkerPool",
            "metadata": {"name": "warm", "namespace": "docs", "uid": "uid of warm"}, "spec": spec}))
        .expect("a pool")
    }

    fn settings() -> Settings {
        Settings {
            worker_url: Some("http://operator:8082".into()),
            agent_image: Some("op:1".into()),
            ..Settings::default()
        }
    }

    fn at(value: &Value, pointer: &str) -> Value {
        value.pointer(pointer).cloned().unwrap_or_default()
    }

    #[test]
    fn a_worker_is_the_template_with_our_labels_owner_token_and_address() {
        let pod = pod(&pool(Value::Null), "warm-1", &settings()).expect("a pod");
        assert_eq!(at(&pod, "/metadata/labels"), json!({"team": "docs", "taskmanager.dev/pool": "warm"}));
        assert_eq!(at(&pod, "/metadata/ownerReferences/0/uid"), json!("uid of warm"));
        assert_eq!(at(&pod, "/metadata/ownerReferences/0/controller"), json!(true));
        assert_eq!(at(&pod, "/spec/restartPolicy"), json!("Never"));
        assert_eq!(at(&pod, "/spec/containers/0/command"), json!(["python3", "work.py"]));
        let names: Vec<Value> = at(&pod, "/spec/containers/0/env")
            .as_array()
            .expect("variables")
            .iter()
            .map(|variable| variable["name"].clone())
            .collect();
        assert_eq!(names, ["TASK_API_URL", "TASK_TOKEN_FILE", "TASK_SLOTS", "MODE"]);
        assert_eq!(at(&pod, "/spec/containers/1/env"), Value::Null, "the worker alone");
        assert_eq!(at(&pod, "/spec/volumes/0/projected/sources/0/serviceAccountToken/audience"), json!("task-manager"));
    }

    #[test]
    fn the_agent_is_brought_by_an_init_container_or_an_image_volume_and_runs_the_command() {
        let command = json!(["/task-agent/task-manager", "worker", "--", "python3", "work.py"]);
        let copied = pod(&pool(json!({"as": "InitContainer"})), "warm-1", &settings()).expect("a pod");
        assert_eq!(at(&copied, "/spec/containers/0/command"), command);
        assert_eq!(at(&copied, "/spec/initContainers/0/image"), json!("op:1"));
        let mounted = pod(&pool(json!({"as": "ImageVolume"})), "warm-1", &settings()).expect("a pod");
        assert_eq!(
            (at(&mounted, "/spec/containers/0/command"), at(&mounted, "/spec/initContainers")),
            (command, Value::Null)
        );
        assert!(at(&mounted, "/spec/volumes").to_string().contains(r#""image":{"reference":"op:1"}"#));
    }

    #[test]
    fn the_init_container_runs_as_the_user_that_the_workers_container_names() {
        let mut restricted = pool(json!({"as": "InitContainer"}));
        let user = json!({"runAsUser": 1000, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
        let mut context = user.clone();
        context["privileged"] = json!(false);
        restricted.spec.template["spec"]["containers"][0]["securityContext"] = context;
        let security =
            at(&pod(&restricted, "warm-1", &settings()).expect("a pod"), "/spec/initContainers/0/securityContext");
        for (field, value) in user.as_object().expect("fields") {
            assert_eq!(security[field], *value, "{field}");
        }
        assert_eq!((&security["readOnlyRootFilesystem"], &security["privileged"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn what_the_api_server_drops_of_a_worker_is_named() {
        let of = |how: &str| {
            let pool = pool(json!({"as": how}));
            let answered = pod(&pool, "warm-1", &settings()).expect("a pod");
            (pool.spec, answered)
        };
        for how in ["InitContainer", "ImageVolume"] {
            let (spec, answered) = of(how);
            assert_eq!(dropped_of(&spec, &answered), None, "{how}");
        }
        let (spec, mut answered) = of("ImageVolume");
        answered["spec"].as_object_mut().expect("a spec").remove("volumes");
        assert!(dropped_of(&spec, &answered).is_some_and(|told| told.contains("write InitContainer")));
        let (spec, mut answered) = of("InitContainer");
        answered["spec"]["containers"][0].as_object_mut().expect("a container").remove("env");
        assert!(dropped_of(&spec, &answered).is_some_and(|told| told.contains("spec.template.spec.containers[0].env")));
    }

    #[test]
    fn what_a_pool_lacks_is_named() {
        let without = |change: fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            settings
        };
        let agent = || pool(json!({"as": "InitContainer"}));
        assert_eq!(
            pod(&pool(Value::Null), "w", &without(|settings| settings.worker_url = None)),
            Err(PoolError::NoWorkerPort)
        );
        assert_eq!(pod(&agent(), "w", &without(|settings| settings.agent_image = None)), Err(PoolError::NoAgentImage));
        let mut silent = agent();
        silent.spec.template["spec"]["containers"][0]["command"] = Value::Null;
        assert_eq!(pod(&silent, "w", &settings()), Err(PoolError::NoCommand));
        let mut ours = pool(Value::Null);
        ours.spec.template["metadata"]["labels"]["taskmanager.dev/pool"] = json!("another");
        assert!(matches!(pod(&ours, "w", &settings()), Err(PoolError::Template(TemplateError::Ours(_)))));
    }

    #[test]
    fn a_change_of_what_goes_into_the_pod_changes_the_digest_and_of_the_size_does_not() {
        let digest_of = |change: fn(&mut WorkerPoolSpec)| {
            let mut spec = pool(Value::Null).spec;
            change(&mut spec);
            digest(&spec, &settings())
        };
        let before = digest_of(|_| {});
        assert_eq!(before, digest_of(|spec| spec.replicas.max = 9));
        assert_ne!(before, digest_of(|spec| spec.template["spec"]["containers"][0]["image"] = json!("other")));
        assert_ne!(before, digest_of(|spec| spec.slots_per_worker = Some(3)));
    }
}
