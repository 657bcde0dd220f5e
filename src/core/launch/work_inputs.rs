//! The variables, files and token that the work finds in its container.

use kube_core::ResourceExt;
use serde_json::{Value, json};

use super::json::{Object, is_set, list};
use super::ownership::OUR_MOUNT;
use super::{chunk, names};
use crate::Settings;
use task_manager_api::{Chunk, Task, TaskStatus};

const FILES: &str = "task-manager-files";
const PAYLOAD_FILE: &str = "/task/payload.json";
const ITEMS_FILE: &str = "/task/items.json";
pub const RESULT_FILE: &str = "/dev/termination-log";
const TOKEN: &str = "task-manager-token";
const TOKEN_MOUNT: &str = "/task-token";
const TOKEN_FILE: &str = "/task-token/token";
/// Lifetime of the token. The kubelet renews it before that; the work reads the file again for each call.
const TOKEN_SECONDS: i64 = 3600;
/// Audience of the work's token: the worker API accepts it, and the API server does not.
pub const AUDIENCE: &str = "task-manager";

/// Adds the variables and mounts to the work's container.
pub fn add_to(work: &mut Object, task: &Task, status: &TaskStatus, settings: &Settings) {
    let mut variables = vec![
        ("TASK_ID", task.uid().unwrap_or_default()),
        ("TASK_NAME", task.spec.chunk.as_ref().map_or_else(|| task.name_any(), |chunk| chunk.batch.clone())),
        ("TASK_TYPE", task.spec.type_.clone()),
        ("TASK_ATTEMPT", status.attempt.to_string()),
        ("TASK_KB_ID", task.spec.kb_id.clone().unwrap_or_default()),
        ("TASK_PAYLOAD_FILE", PAYLOAD_FILE.into()),
        ("TASK_RESULT_FILE", RESULT_FILE.into()),
    ];
    variables.extend(task.spec.chunk.iter().flat_map(of_chunk));
    let mut mounts = vec![mount(FILES, OUR_MOUNT)];
    if let Some(url) = &settings.worker_url {
        variables.extend(of_worker_api(url));
        mounts.push(token_mount());
    }
    add(work, &variables, mounts);
}

/// The variables of a chunk of a batch. First and last index are told where its items are one range.
fn of_chunk(chunk: &Chunk) -> Vec<(&'static str, String)> {
    let mut variables = vec![("TASK_ITEMS_FILE", ITEMS_FILE.to_owned())];
    if let Some((first, last)) = chunk::range_of(chunk) {
        variables.extend([("TASK_ITEM_FIRST", first.to_string()), ("TASK_ITEM_LAST", last.to_string())]);
    }
    variables
}

/// The variables of the worker API.
pub fn of_worker_api(url: &str) -> [(&'static str, String); 2] {
    [("TASK_API_URL", url.to_owned()), ("TASK_TOKEN_FILE", TOKEN_FILE.into())]
}

pub fn token_mount() -> Value {
    mount(TOKEN, TOKEN_MOUNT)
}

/// Adds variables and mounts to a container. The variables come first, so that the template's own may refer to them.
pub fn add(container: &mut Object, variables: &[(&str, String)], mounts: Vec<Value>) {
    let ours = variables.iter().map(|(name, value)| json!({"name": name, "value": literal(value)}));
    list(container, "env", |env| drop(env.splice(0..0, ours)));
    list(container, "volumeMounts", |theirs| theirs.extend(mounts));
}

/// The value with `$` doubled: the kubelet would replace `$(NAME)` by that variable, which may hold a Secret.
fn literal(value: &str) -> String {
    value.replace('$', "$$")
}

pub fn mount(volume: &str, path: &str) -> Value {
    json!({"name": volume, "mountPath": path, "readOnly": true})
}

/// The volume of every work: the payload, and of a chunk its items. Every field of a pod costs the API server something at each
/// of its writes.
pub fn files_volume(task: &Task) -> Value {
    let file = |path: &str, annotation: &str| json!({"path": path, "fieldRef": {"fieldPath": format!("metadata.annotations['{annotation}']")}});
    let payload = file("payload.json", names::ANNOTATION_PAYLOAD);
    let items = task.spec.chunk.is_some().then(|| file("items.json", names::ANNOTATION_ITEMS));
    let files: Vec<Value> = [Some(payload), items].into_iter().flatten().collect();
    json!({"name": FILES, "downwardAPI": {"items": files}})
}

/// Adds the volume with the pod's own token. A token needs a service account. The API server fills in the same name where
/// its ServiceAccount admission plugin is on.
pub fn add_token(spec: &mut Object) {
    list(spec, "volumes", |volumes| volumes.push(token_volume()));
    if !is_set(spec, "serviceAccountName") && !is_set(spec, "serviceAccount") {
        spec.insert("serviceAccountName".into(), json!("default"));
    }
}

/// The pod's own token, which only the worker API accepts.
fn token_volume() -> Value {
    let token = json!({"audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"});
    json!({"name": TOKEN, "projected": {"sources": [{"serviceAccountToken": token}]}})
}
