//! The operator as users have it: its image on the node, installed by Helm, reached by Services.

use std::path::{Path, PathBuf};
use std::process::Output;

use harness::{Namespace, Operator, target};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use tokio::process::Command;

/// Longer than an image takes to start on a node that has much else to do.
const INSTALLS_WITHIN: &str = "180s";

/// A release of the chart in a namespace, for that namespace alone. Its name is the namespace's.
pub struct Release {
    namespace: Namespace,
    tag: String,
}

fn root() -> PathBuf {
    target().join("..").canonicalize().expect("the checkout")
}

async fn run(command: &mut Command) -> Output {
    let said = command.output().await.unwrap_or_else(|error| panic!("{command:?} can be started: {error}"));
    let told = [&said.stdout[..], &said.stderr].map(String::from_utf8_lossy).concat();
    assert!(said.status.success(), "{command:?}: {told}");
    said
}

impl Release {
    /// The program under test as an image on the node, and a volume for its archive; nothing is installed yet. The static
    /// program of `make image` takes minutes to build, so the image has it only if TASK_MANAGER_IMAGE_BINARY names it.
    pub async fn prepare(namespace: &Namespace) -> Self {
        let file = target().join("test-logs").join(format!("{}.tar", namespace.name));
        std::fs::create_dir_all(target().join("test-logs")).expect("a folder");
        let binary = std::env::var_os("TASK_MANAGER_IMAGE_BINARY").map_or_else(Operator::binary, PathBuf::from);
        let mut build = Command::new(root().join("image/build"));
        build.arg("--binary").arg(binary);
        build.env("TASK_MANAGER_IMAGE", format!("localhost/task-manager:{}", namespace.name));
        run(build.env("TASK_MANAGER_IMAGE_FILE", &file)).await;
        load(namespace, &file).await;
        let _ = std::fs::remove_file(&file);
        make_volume(namespace).await;
        Self { namespace: namespace.clone(), tag: namespace.name.clone() }
    }

    /// Helm of this name (helm or helm4) with these words, then the release's name and namespace.
    async fn helm(&self, helm: &str, words: &[&str]) -> String {
        let kubeconfig = self.namespace.cluster.kubeconfig();
        let mut command = Command::new(kubeconfig.with_file_name("bin").join(helm));
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, target().join("helm"));
        }
        command.env("KUBECONFIG", &kubeconfig).args(words).args(["--namespace", &self.namespace.name]);
        String::from_utf8(run(&mut command).await.stdout).expect("text")
    }

    /// Returns once it is ready. What the cluster has once (definitions, policies) is left as it is.
    pub async fn install(&self, helm: &str) -> String {
        let name = &self.namespace.name;
        let values = [
            format!("image.tag={},image.pullPolicy=Never,test.image=localhost/busybox:1", self.tag),
            format!("watchNamespace={name},crds.install=false,policies.enabled=false"),
            format!("priorityClasses.prefix={name}-,archive.sqlite.storageClass={name},archive.sqlite.size=1Gi"),
        ];
        let chart = root().join("charts/task-manager");
        let chart = chart.to_str().expect("a path that is text");
        let words = ["install", name, chart, "--wait", "--timeout", INSTALLS_WITHIN, "--set", &values.join(",")];
        self.helm(helm, &words).await
    }

    /// `helm test`
    pub async fn test(&self, helm: &str) {
        self.helm(helm, &["test", &self.namespace.name, "--timeout", INSTALLS_WITHIN]).await;
    }

    pub async fn uninstall(&self, helm: &str) -> String {
        self.helm(helm, &["uninstall", &self.namespace.name, "--wait", "--timeout", INSTALLS_WITHIN]).await
    }

    /// The URL of REST for pods, by the cluster's DNS.
    pub fn rest(&self) -> String {
        format!("http://{0}-task-manager.{0}:8080", self.namespace.name)
    }

    /// Takes away what no release and no namespace takes with it.
    pub async fn clean_up(self) {
        let volumes = Api::<PersistentVolume>::all(self.namespace.client.clone());
        let _ = volumes.delete(&self.namespace.name, &DeleteParams::default()).await;
        let _ = std::fs::remove_dir_all(folder_of(&self.namespace));
    }
}

/// Gives the node the image.
async fn load(namespace: &Namespace, file: &Path) {
    let kubeconfig = namespace.cluster.kubeconfig();
    let name = kubeconfig.parent().and_then(Path::file_name).expect("the folder of a cluster");
    run(Command::new(root().join("e2e/cluster/cluster")).arg("load").arg(file).arg("--name").arg(name)).await;
}

fn folder_of(namespace: &Namespace) -> PathBuf {
    target().join("test-archives").join(format!("{}-volume", namespace.name))
}

/// A volume on the node's disk, which nothing there provides by itself.
async fn make_volume(namespace: &Namespace) {
    let folder = folder_of(namespace);
    std::fs::create_dir_all(&folder).expect("a folder");
    let on_linux = json!([{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]);
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": {"name": namespace.name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": namespace.name,
            "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": on_linux}]}},
        },
    }))
    .expect("a volume");
    let volumes = Api::<PersistentVolume>::all(namespace.client.clone());
    volumes.create(&PostParams::default(), &volume).await.expect("the volume is accepted");
}
