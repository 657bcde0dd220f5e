use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::{Reason, Task, TaskQueue, TaskType, WorkerPool};

/// The CustomResourceDefinitions, as `crds/` holds them and `task-manager crd` prints them.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let unseen = json!({ "observedGeneration": UNSEEN });
    [
        with_default_status(Task::crd(), &first_status()),
        with_default_status(TaskType::crd(), &unseen),
        with_default_status(TaskQueue::crd(), &unseen),
        with_default_status(WorkerPool::crd(), &unseen),
    ]
    .map(with_unwrapped_descriptions)
    .map(with_null_as_absent)
    .into()
}

/// The CustomResourceDefinitions as YAML documents, each with its file name in `crds/`.
pub fn crd_files() -> Result<Vec<(String, String)>, serde_saphyr::ser::Error> {
    crds()
        .iter()
        .map(|crd| {
            let yaml = serde_saphyr::to_string(crd)?;
            Ok((format!("{}.yaml", crd.spec.names.plural), format!("---\n{yaml}")))
        })
        .collect()
}

/// The message holds also while no operator runs, and for a task that waits long and has no other status written.
const ACCEPTED: &str = "It has been accepted. The operator starts it when its queue has room and its turn has come; \
    \"kubectl describe taskqueue\" with the name in spec.queue says what that queue waits for. \
    If this stays for a minute though others of the queue start, or nothing does, see whether an operator runs: \
    \"kubectl get lease -A\" names the one that leads.";

/// The `observedGeneration` of what no controller has seen yet: kstatus and Argo CD's health check wait for it. Without
/// it kstatus calls an object without conditions ready.
const UNSEEN: i64 = -1;

/// Queued, the status of a new Task, so that its first status costs no write.
fn first_status() -> serde_json::Value {
    json!({
        "observedGeneration": UNSEEN,
        "state": "Queued",
        "reason": Reason::Queued.as_str(),
        "conditions": [{
            "type": "Reconciling",
            "status": "True",
            "reason": Reason::Queued.as_str(),
            "message": ACCEPTED,
        }],
    })
}

fn with_default_status(mut crd: CustomResourceDefinition, default: &serde_json::Value) -> CustomResourceDefinition {
    for schema in schemas(&mut crd) {
        if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.default = Some(JSON(default.clone()));
        }
    }
    crd
}

fn schemas(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
}

/// Joins the lines of each paragraph: doc comments are wrapped for the source, and kubectl wraps for the terminal.
fn with_unwrapped_descriptions(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    schemas(&mut crd).for_each(unwrap_descriptions);
    crd
}

fn unwrap_descriptions(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        *description =
            description.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
    }
    parts(schema).for_each(unwrap_descriptions);
}

/// Drops null from enums and `nullable`. The API server refuses null for a nullable enum even where the list contains
/// it; without `nullable` it treats null as absent, as for every other field.
fn with_null_as_absent(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    schemas(&mut crd).for_each(take_null_as_absent);
    crd
}

fn take_null_as_absent(schema: &mut JSONSchemaProps) {
    if let Some(words) = &mut schema.enum_ {
        words.retain(|word| !word.0.is_null());
        schema.nullable = None;
    }
    parts(schema).for_each(take_null_as_absent);
}

/// The schemas directly inside a schema.
fn parts(schema: &mut JSONSchemaProps) -> impl Iterator<Item = &mut JSONSchemaProps> {
    let values = match &mut schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(values)) => Some(&mut **values),
        _ => None,
    };
    let items = match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(&mut **items),
        _ => None,
    };
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).chain(values).chain(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_in_crds_are_what_the_types_say() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds");
        for (name, yaml) in crd_files().expect("YAML") {
            let file = std::fs::read_to_string(format!("{folder}/{name}")).unwrap_or_default();
            assert!(file == yaml, "crds/{name} is stale: run `make generate`");
        }
    }

    #[test]
    fn the_definitions_are_small_enough_for_kubectl_apply() {
        for (name, yaml) in crd_files().expect("YAML") {
            assert!(yaml.len() < 256 * 1024, "{name} has {} bytes", yaml.len());
        }
    }
}
