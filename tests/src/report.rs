//! Describes the objects of a namespace: printed when its test has failed.

use std::fmt::{Debug, Write};
use std::path::Path;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use task_manager::api::{Task, TaskQueue, TaskType, WorkerPool};

use crate::namespace::Namespace;

/// The most objects of a kind that are printed whole.
const MOST_TOLD: usize = 20;
const LINES_OF_A_LOG: usize = 60;

pub async fn of(namespace: &Namespace) -> String {
    let mut text = format!("\n===== namespace {} when the test failed\n", namespace.name);
    for part in [
        objects::<Task>(namespace, &["/metadata/resourceVersion", "/spec", "/status"]).await,
        objects::<TaskType>(namespace, &["/spec"]).await,
        objects::<TaskQueue>(namespace, &["/spec"]).await,
        objects::<WorkerPool>(namespace, &["/spec/replicas", "/status"]).await,
        objects::<Job>(namespace, &["/metadata/deletionTimestamp", "/metadata/ownerReferences/0/name", "/status"])
            .await,
        objects::<Pod>(namespace, &["/metadata/deletionTimestamp", "/metadata/ownerReferences/0/name", "/status"])
            .await,
        objects::<Event>(namespace, &["/involvedObject/name", "/reason", "/message"]).await,
    ] {
        text.push_str(&part);
    }
    namespace.logs().iter().for_each(|log| text.push_str(&tail(log)));
    text + &logs_of_installed(namespace).await
}

/// The logs of pods that no task made: an operator that was installed.
async fn logs_of_installed(namespace: &Namespace) -> String {
    let others = ListParams::default().labels("!taskmanager.dev/task-uid");
    let pods = namespace.pods().list(&others).await.map(|pods| pods.items).unwrap_or_default();
    let last = LogParams { tail_lines: Some(LINES_OF_A_LOG as i64), ..LogParams::default() };
    let mut text = String::new();
    for pod in pods.iter().take(MOST_TOLD).map(ResourceExt::name_any) {
        let log = namespace.pods().logs(&pod, &last).await.unwrap_or_else(|error| error.to_string());
        let _ = writeln!(text, "--- the end of the log of pod {pod}\n{log}");
    }
    text
}

async fn objects<K>(namespace: &Namespace, fields: &[&str]) -> String
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let kind = K::kind(&());
    let listed = match namespace.api::<K>().list(&ListParams::default()).await {
        Ok(listed) => listed.items,
        Err(error) => return format!("--- {kind}: {error}\n"),
    };
    let mut text = format!("--- {kind}: {}\n", listed.len());
    for object in listed.iter().take(MOST_TOLD) {
        let whole = serde_json::to_value(object).unwrap_or_default();
        let told: Vec<String> = fields
            .iter()
            .filter_map(|field| whole.pointer(field))
            .filter(|value| !value.is_null())
            .map(brief)
            .collect();
        let _ = writeln!(text, "{}: {}", object.name_any(), told.join(" "));
    }
    text
}

fn brief(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn tail(log: &Path) -> String {
    let whole = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = whole.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES_OF_A_LOG)..].join("\n");
    format!("--- the end of {}\n{last}\n", log.display())
}
