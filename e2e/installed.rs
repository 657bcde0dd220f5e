//! The operator as users have it: its image on the node, installed by Helm, reached by Services.

use std::path::{Path, PathBuf};
use std::process::Output;

use harness::{Metrics, Namespace, Operator, target};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{PersistentVolume, Pod, Secret};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::process::Command;

/// Longer than an image takes to start on a node that has much else to do.
const INSTALLS_WITHIN: &str = "180s";
/// The chart's folder in the checkout.
pub const CHART: &str = "charts/task-manager";
/// The Secret with the URL of a PostgreSQL.
const SECRET: &str = "archive";

/// A release of the chart in a namespace, for that namespace alone, or for another one alone. Its name is the namespace's.
pub struct Release {
    namespace: Namespace,
    /// The namespace whose tasks it runs.
    watched: String,
    /// The chart's values, as `--set` takes them.
    values: Vec<String>,
}

/// The checkout.
pub fn root() -> PathBuf {
    target().join("..").canonicalize().expect("the checkout")
}

pub(crate) async fn run(command: &mut Command) -> Output {
    let said = command.output().await.unwrap_or_else(|error| panic!("{command:?} can be started: {error}"));
    let told = [&said.stdout[..], &said.stderr].map(String::from_utf8_lossy).concat();
    assert!(said.status.success(), "{command:?}: {told}");
    said
}

impl Release {
    /// The program under test as an image on the node, and a volume for its archive; nothing is installed yet.
    pub async fn prepare(namespace: &Namespace) -> Self {
        make_image(namespace).await;
        make_volume(namespace).await;
        let values = format!("archive.sqlite.storageClass={},archive.sqlite.size=1Gi", namespace.name);
        Self { namespace: namespace.clone(), watched: namespace.name.clone(), values: vec![values] }
    }

    /// The same of two replicas, with their archive in the PostgreSQL at this URL.
    pub async fn prepare_replicas(namespace: &Namespace, url: &str) -> Self {
        make_image(namespace).await;
        let secret = json!({"metadata": {"name": SECRET}, "stringData": {"url": url}});
        namespace.create::<Secret>(&serde_json::from_value(secret).expect("a secret")).await;
        let values = format!("replicas=2,archive.postgres.secretName={SECRET}");
        Self { namespace: namespace.clone(), watched: namespace.name.clone(), values: vec![values] }
    }

    /// The same for the tasks of another namespace, with more values.
    pub fn watching(mut self, namespace: &Namespace, more: &str) -> Self {
        self.watched = namespace.name.clone();
        self.values.push(more.into());
        self
    }

    /// Helm of this name (helm or helm4) with these words, and the namespace.
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
        self.put(helm, "install", &root().join(CHART), &["--set", "crds.install=false"]).await
    }

    /// `helm install` or `helm upgrade` with this chart and these words. Returns once it is ready.
    pub async fn put(&self, helm: &str, how: &str, chart: &Path, more: &[&str]) -> String {
        let name = &self.namespace.name;
        let common = [
            format!("image.tag={name},image.pullPolicy=Never,test.image=localhost/busybox:1"),
            format!("watchNamespace={},policies.enabled=false,priorityClasses.prefix={name}-", self.watched),
        ];
        let values: Vec<&str> =
            common.iter().chain(&self.values).flat_map(|values| ["--set", values.as_str()]).collect();
        let chart = chart.to_str().expect("a path that is text");
        let words = [how, name.as_str(), chart, "--wait", "--timeout", INSTALLS_WITHIN];
        self.helm(helm, &[&words, &values[..], more].concat()).await
    }

    /// `helm rollback` to the first revision.
    pub async fn roll_back(&self, helm: &str) {
        self.helm(helm, &["rollback", &self.namespace.name, "1", "--wait", "--timeout", INSTALLS_WITHIN]).await;
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

    /// The Lease by which the replicas elect their leader.
    pub async fn lease(&self) -> Lease {
        let name = format!("{}-task-manager", self.namespace.name);
        self.namespace.api::<Lease>().get(&name).await.expect("the Lease")
    }

    /// The pod of the replica that leads, as the Lease names it.
    pub async fn leader(&self) -> Option<String> {
        self.lease().await.spec?.holder_identity.filter(|name| !name.is_empty())
    }

    /// The pods of all replicas.
    pub async fn replicas(&self) -> Vec<Pod> {
        let ours = format!("app.kubernetes.io/name=task-manager,app.kubernetes.io/instance={}", self.namespace.name);
        self.namespace.pods().list(&ListParams::default().labels(&ours)).await.expect("pods").items
    }

    /// The metrics of each replica.
    pub async fn metrics(&self) -> Vec<Metrics> {
        let mut all = vec![];
        for pod in self.replicas().await {
            let path = format!("/api/v1/namespaces/{}/pods/{}:8081/proxy/metrics", self.namespace.name, pod.name_any());
            let said = self.namespace.kubectl(&["get", "--raw", &path]).await;
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            all.push(Metrics { text: String::from_utf8_lossy(&said.stdout).into_owned() });
        }
        all
    }

    /// Takes away what no release and no namespace takes with it.
    pub async fn clean_up(self) {
        let volumes = Api::<PersistentVolume>::all(self.namespace.client.clone());
        let _ = volumes.delete(&self.namespace.name, &DeleteParams::default()).await;
        let _ = std::fs::remove_dir_all(folder_of(&self.namespace));
    }
}

/// Gives the node an image of the program under test, tagged with the namespace. The static program of `make image` takes
/// minutes to build, so the image has it only if TASK_MANAGER_IMAGE_BINARY names it.
async fn make_image(namespace: &Namespace) {
    make_image_as(namespace, &namespace.name).await;
}

/// The same with a tag of its own; the name of the image.
pub(crate) async fn make_image_as(namespace: &Namespace, tag: &str) -> String {
    let (file, name) = (image_file(tag), format!("localhost/task-manager:{tag}"));
    let mut build = Command::new(root().join("image/build"));
    build.arg("--binary").arg(image_binary()).env("TASK_MANAGER_IMAGE", &name);
    run(build.env("TASK_MANAGER_IMAGE_FILE", &file)).await;
    load(namespace, &file).await;
    name
}

/// The program that is in the images.
pub(crate) fn image_binary() -> PathBuf {
    std::env::var_os("TASK_MANAGER_IMAGE_BINARY").map_or_else(Operator::binary, PathBuf::from)
}

/// Where an image is until the node has it.
pub(crate) fn image_file(tag: &str) -> PathBuf {
    std::fs::create_dir_all(target().join("test-logs")).expect("a folder");
    target().join("test-logs").join(format!("{tag}.tar"))
}

/// Gives the node the image, and removes the file.
pub(crate) async fn load(namespace: &Namespace, file: &Path) {
    let kubeconfig = namespace.cluster.kubeconfig();
    let name = kubeconfig.parent().and_then(Path::file_name).expect("the folder of a cluster");
    run(Command::new(root().join("e2e/cluster/cluster")).arg("load").arg(file).arg("--name").arg(name)).await;
    let _ = std::fs::remove_file(file);
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
