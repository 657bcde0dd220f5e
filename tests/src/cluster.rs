//! The cluster that the tests use, and its kubeconfig. The resource definitions are installed once.

use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::patience::{SOON, eventually};

/// A cluster that tests run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// etcd and the API server alone; the tests play all other components.
    ControlPlane,
    /// A whole node.
    Node,
    /// A whole node that tests may break: they run one at a time.
    FragileNode,
}

/// The folder that everything built or written goes to.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").canonicalize().expect("cargo has made target/")
}

impl Cluster {
    /// The kubeconfig. Panics with the command that creates the cluster when there is none.
    pub fn kubeconfig(self) -> PathBuf {
        let (variable, name, command) = match self {
            Self::ControlPlane => ("TASK_MANAGER_TEST_KUBECONFIG", "api", "make test-api"),
            Self::Node => ("TASK_MANAGER_E2E_KUBECONFIG", "e2e", "make test-e2e"),
            Self::FragileNode => ("TASK_MANAGER_FAULTS_KUBECONFIG", "faults", "make test-faults"),
        };
        let named = std::env::var_os(variable).map(PathBuf::from);
        let file = named.unwrap_or_else(|| target().join(name).join("kubeconfig"));
        assert!(file.exists(), "there is no {}: run `{command}`, which starts the cluster first", file.display());
        file
    }

    /// The address at which its pods reach this machine, where it has pods.
    pub fn host_address(self) -> Option<String> {
        let file = self.kubeconfig().with_file_name("host-address");
        std::fs::read_to_string(file).ok().map(|address| address.trim().to_owned())
    }

    /// The client configuration of an administrator.
    pub async fn config(self) -> Config {
        config_of(&self.kubeconfig()).await
    }

    /// A client of an administrator. Each test has its own: a client lives and dies with its runtime.
    pub async fn client(self) -> Client {
        let client = Client::try_from(self.config().await).expect("a client");
        DEFINITIONS.get_or_init(|| install_definitions(client.clone())).await;
        client
    }

    pub fn kubectl(self) -> Command {
        let file = self.kubeconfig();
        let beside = file.parent().map(|folder| folder.join("bin/kubectl")).filter(|kubectl| kubectl.exists());
        let mut command = Command::new(beside.unwrap_or_else(|| "kubectl".into()));
        command.env("KUBECONFIG", file);
        command
    }
}

/// The client configuration of this kubeconfig.
pub(crate) async fn config_of(kubeconfig: &Path) -> Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    config.expect("a kubeconfig that can be used")
}

static DEFINITIONS: OnceCell<()> = OnceCell::const_new();

async fn install_definitions(client: Client) {
    let definitions = Api::<CustomResourceDefinition>::all(client);
    for definition in task_manager::api::crds() {
        let name = definition.name_any();
        let ours = PatchParams::apply("task-manager-tests").force();
        definitions.patch(&name, &ours, &Patch::Apply(&definition)).await.expect("the definition is accepted");
        eventually(&format!("{name} is established"), SOON, async || {
            let status = definitions.get(&name).await.expect("the definition").status?;
            let mut conditions = status.conditions.into_iter().flatten();
            conditions.find(|seen| seen.type_ == "Established" && seen.status == "True").map(drop)
        })
        .await;
    }
}
