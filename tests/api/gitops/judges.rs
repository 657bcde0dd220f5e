//! The judges: Argo CD's Lua interpreter with the shipped health checks, Flux's kstatus and its expressions.

use std::collections::HashMap;
use std::fs;
use std::process::Stdio;

use harness::target;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How each of them calls the health of an object.
#[derive(Clone, Debug, Deserialize)]
pub struct Verdict {
    argocd: Health,
    kstatus: String,
    flux: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Health {
    status: String,
    message: String,
}

impl Verdict {
    /// By Argo CD, by kstatus, and by a Kustomization of Flux as it is shipped.
    pub fn words(&self) -> [&str; 3] {
        [&self.argocd.status, &self.kstatus, &self.flux]
    }

    /// What Argo CD shows beside it.
    pub fn message(&self) -> &str {
        &self.argocd.message
    }
}

pub fn shipped(file: &str) -> Vec<Value> {
    let file = target().join("../manifests/gitops").join(file);
    serde_saphyr::from_multiple(&fs::read_to_string(file).expect("it is shipped")).expect("YAML")
}

/// The health check of each kind, out of the ConfigMap.
pub fn health_checks() -> HashMap<String, String> {
    let config = shipped("argocd/argocd-cm.yaml").remove(0);
    let data = config["data"].as_object().expect("a ConfigMap").clone();
    let of_kind = |key: &str| key.strip_prefix("resource.customizations.health.taskmanager.dev_").map(str::to_owned);
    data.into_iter().filter_map(|(key, lua)| Some((of_kind(&key)?, lua.as_str()?.to_owned()))).collect()
}

/// The expressions of all Kustomizations.
fn expressions() -> Vec<Value> {
    let documents = shipped("flux/kustomizations.yaml");
    let lists = documents.iter().filter_map(|document| document["spec"]["healthCheckExprs"].as_array());
    lists.flatten().cloned().collect()
}

/// Has the objects judged, in their order.
pub async fn judged(objects: &[Value]) -> Vec<Verdict> {
    let build = Command::new(target().join("../tests/gitops/build")).output().await.expect("it can be started");
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let program = String::from_utf8(build.stdout).expect("a path");
    let mut judges = Command::new(program.trim())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it can be started");
    let asked = json!({"argocd": health_checks(), "flux": expressions(), "objects": objects}).to_string();
    // Dropped at the end of the statement, so that the program sees the end of its input.
    judges.stdin.take().expect("a pipe").write_all(asked.as_bytes()).await.expect("it reads");
    let said = judges.wait_with_output().await.expect("it ends");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let verdicts: Vec<Verdict> = serde_json::from_slice(&said.stdout).expect("verdicts");
    assert_eq!(verdicts.len(), objects.len());
    verdicts
}
