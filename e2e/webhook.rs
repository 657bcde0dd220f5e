//! Admission webhooks as others have them: they change all Jobs or pods that are made in one namespace.

use std::process::Command;

use harness::{Namespace, eventually};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Api;
use kube::api::{DynamicObject, GroupVersionKind, PostParams};
use kube::discovery::pinned_kind;
use serde_json::{Value, json};

use crate::cluster_wide::ClusterWide;
use crate::program::{Program, file};
use crate::world::A_CHANGE;

pub struct Webhook {
    _registered: ClusterWide,
    _program: Program,
}

/// The kind of object that the webhook is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum On {
    Pods,
    Jobs,
}

impl Webhook {
    /// Adds `value` at `path` of each pod or Job that is made from now on.
    pub async fn adds(namespace: &Namespace, on: On, path: &str, value: Value) -> Self {
        let address = namespace.cluster.host_address().expect("the node reaches this machine");
        let mut command = Command::new("python3");
        let operations = json!([{"op": "add", "path": path, "value": value}]);
        command.arg(file("webhook.py")).args([address, operations.to_string()]);
        let program = Program::start(command);
        let reached: Value = serde_json::from_str(&program.said).expect("JSON");
        let manifest = configuration(namespace, on, reached);
        let client = &namespace.client;
        let registered = ClusterWide::create::<MutatingWebhookConfiguration>(namespace.cluster, client, manifest).await;

        eventually("the webhook is asked", A_CHANGE, async || {
            contains(&dry_run(namespace, on).await?["spec"], &value).then_some(())
        })
        .await;
        Self { _registered: registered, _program: program }
    }
}

fn configuration(namespace: &Namespace, on: On, reached: Value) -> Value {
    let rule = match on {
        On::Pods => json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}),
        On::Jobs => {
            json!({"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]})
        }
    };
    json!({
        "metadata": {"name": namespace.name},
        "webhooks": [{
            "name": "e2e.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 10,
            "failurePolicy": "Fail", "clientConfig": reached, "rules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
        }],
    })
}

/// Whether `value` is somewhere in `all`, with what the API server adds to it.
fn contains(all: &Value, value: &Value) -> bool {
    is_within(value, all)
        || match all {
            Value::Array(items) => items.iter().any(|item| contains(item, value)),
            Value::Object(fields) => fields.values().any(|field| contains(field, value)),
            _ => false,
        }
}

fn is_within(value: &Value, all: &Value) -> bool {
    match (value, all) {
        (Value::Object(fields), Value::Object(more)) => {
            fields.iter().all(|(name, field)| more.get(name).is_some_and(|other| is_within(field, other)))
        }
        (Value::Array(items), Value::Array(more)) => {
            items.len() == more.len() && items.iter().zip(more).all(|(item, other)| is_within(item, other))
        }
        _ => value == all,
    }
}

fn probe(on: On) -> (Value, GroupVersionKind) {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "work", "image": "localhost/busybox:1"}]});
    let metadata = json!({"name": "probe"});
    match on {
        On::Pods => (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}),
            GroupVersionKind::gvk("", "v1", "Pod"),
        ),
        On::Jobs => (
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": pod}}}),
            GroupVersionKind::gvk("batch", "v1", "Job"),
        ),
    }
}

/// A pod or a Job that says as little as possible, as the API server would make it.
async fn dry_run(namespace: &Namespace, on: On) -> Option<Value> {
    let (manifest, kind) = probe(on);
    let (resource, _) = pinned_kind(&namespace.client, &kind).await.ok()?;
    let api = Api::<DynamicObject>::namespaced_with(namespace.client.clone(), &namespace.name, &resource);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let object = serde_json::from_value(manifest).expect("a manifest");
    serde_json::to_value(api.create(&params, &object).await.ok()?).ok()
}
