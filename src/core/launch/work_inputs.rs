//! The variables, files and token that the work finds in its container.

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource, EnvVar, ObjectFieldSelector,
    ProjectedVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as PodQuantity;
use kube_core::ResourceExt;

use super::names;
use super::template::OUR_MOUNT;
use crate::Settings;
use task_manager_api::{Task, TaskStatus};

const FILES: &str = "task-manager-files";
const SCRATCH: &str = "task-manager-scratch";
const SCRATCH_MOUNT: &str = "/task-scratch";
const PAYLOAD_FILE: &str = "/task/payload.json";
pub const RESULT_FILE: &str = "/dev/termination-log";
const PROGRESS_FILE: &str = "/task-scratch/progress.json";
const TOKEN: &str = "task-manager-token";
const TOKEN_MOUNT: &str = "/task-token";
const TOKEN_FILE: &str = "/task-token/token";
/// Lifetime of the token. The kubelet renews it before that; the work reads the file again for each call.
const TOKEN_SECONDS: i64 = 3600;
/// Audience of the work's token: the worker API accepts it, and the API server does not.
pub const AUDIENCE: &str = "task-manager";

/// Adds the variables and mounts to the work's container.
pub fn add_to(work: &mut Container, task: &Task, status: &TaskStatus, settings: &Settings) {
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
    let mut mounts = vec![mount(FILES, OUR_MOUNT, true), mount(SCRATCH, SCRATCH_MOUNT, false)];
    if let Some(url) = &settings.worker_url {
        variables.extend([("TASK_API_URL", url.clone()), ("TASK_TOKEN_FILE", TOKEN_FILE.into())]);
        mounts.push(mount(TOKEN, TOKEN_MOUNT, true));
    }
    // These come first, so that the template's own variables may refer to them.
    let theirs = work.env.take().unwrap_or_default();
    let ours = variables.into_iter().map(|(name, value)| EnvVar {
        name: name.into(),
        value: Some(literal(&value)),
        value_from: None,
    });
    work.env = Some(ours.chain(theirs).collect());
    work.volume_mounts.get_or_insert_default().extend(mounts);
}

/// The value with `$` doubled: the kubelet would replace `$(NAME)` by that variable, which may hold a Secret.
fn literal(value: &str) -> String {
    value.replace('$', "$$")
}

fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount { name: volume.into(), mount_path: path.into(), read_only: Some(read_only), ..VolumeMount::default() }
}

/// The volumes of every work: the payload, and a small place to write.
pub fn volumes() -> [Volume; 2] {
    [files_volume(), scratch_volume()]
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

/// The pod's own token, which only the worker API accepts.
pub fn token_volume() -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: Some(AUDIENCE.into()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".into(),
    };
    let source = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
    let projected = ProjectedVolumeSource { sources: Some(vec![source]), ..ProjectedVolumeSource::default() };
    Volume { name: TOKEN.into(), projected: Some(projected), ..Volume::default() }
}
