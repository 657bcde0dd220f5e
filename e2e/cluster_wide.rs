//! Objects that belong to no namespace: made for one test, and deleted after it.

use harness::Cluster;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};
use serde_json::Value;

/// Is deleted when this is dropped.
pub struct ClusterWide {
    cluster: Cluster,
    kind: String,
    name: String,
}

impl ClusterWide {
    pub async fn create<K>(cluster: Cluster, client: &Client, manifest: Value) -> Self
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
    {
        let resource = ApiResource::erase::<K>(&());
        let name = manifest.pointer("/metadata/name").and_then(Value::as_str).expect("a name").to_owned();
        let mut manifest = manifest;
        manifest["apiVersion"] = resource.api_version.clone().into();
        manifest["kind"] = resource.kind.clone().into();
        let object: DynamicObject = serde_json::from_value(manifest).expect("a manifest");
        let all = Api::<DynamicObject>::all_with(client.clone(), &resource);
        all.create(&PostParams::default(), &object).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { cluster, kind: resource.plural, name }
    }
}

impl Drop for ClusterWide {
    fn drop(&mut self) {
        let mut command = self.cluster.kubectl();
        let command = command.as_std_mut().args(["delete", "--ignore-not-found", &self.kind, &self.name]);
        let _ = command.output();
    }
}
