//! The rights under which operators run in tests: those that an installation gives them, and no more.
//!
//! An operator under test is the service account `task-manager` of its namespace, by impersonation: no token is made for
//! it. Its rights in that namespace come from a RoleBinding; those about the whole cluster from its group.

use std::path::PathBuf;
use std::sync::LazyLock;

use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Config, ResourceExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::cluster::{Cluster, target};
use crate::namespace::Namespace;
use crate::patience::{SOON, eventually};

/// The operator's service account.
const ACCOUNT: &str = "task-manager";
/// All operators under test.
const GROUP: &str = "task-manager-tests";
const IN_A_NAMESPACE: &str = "task-manager-tests:namespace";
const IN_THE_CLUSTER: &str = "task-manager-tests:cluster";

/// charts/task-manager/files/rights.yaml, as far as it is the operator's.
#[derive(Clone, Debug, Deserialize)]
pub struct Rights {
    pub operator: Vec<Right>,
    pub rest: Vec<Right>,
    pub lease: Vec<Right>,
    pub cluster: Vec<Right>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Right {
    /// Of a right that can be left out.
    pub name: Option<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub verbs: Vec<String>,
}

impl Rights {
    pub fn of_the_chart() -> &'static Self {
        static RIGHTS: LazyLock<Rights> = LazyLock::new(|| {
            let text = include_str!("../../charts/task-manager/files/rights.yaml");
            serde_saphyr::from_str(text).expect("rights.yaml has these lists")
        });
        &RIGHTS
    }

    /// Those that count in one namespace, REST and the Lease among them.
    pub fn in_a_namespace(&self) -> impl Iterator<Item = &Right> {
        self.operator.iter().chain(&self.rest).chain(&self.lease)
    }
}

impl Right {
    pub fn rule(&self) -> PolicyRule {
        PolicyRule {
            api_groups: Some(self.api_groups.clone()),
            resources: Some(self.resources.clone()),
            verbs: self.verbs.clone(),
            ..PolicyRule::default()
        }
    }
}

static ROLES: OnceCell<()> = OnceCell::const_new();

async fn install_roles(client: &Client) {
    let rights = Rights::of_the_chart();
    let role = |name: &str, rules: Vec<PolicyRule>| {
        made::<ClusterRole>(json!({"metadata": {"name": name}, "rules": rules}))
    };
    let namespaced = role(IN_A_NAMESPACE, rights.in_a_namespace().map(Right::rule).collect());
    let cluster = role(IN_THE_CLUSTER, rights.cluster.iter().map(Right::rule).collect());
    let group = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": GROUP});
    let binding = in_cluster(IN_THE_CLUSTER, group);
    let ours = PatchParams::apply("task-manager-tests").force();
    let roles = Api::<ClusterRole>::all(client.clone());
    for role in [namespaced, cluster] {
        roles.patch(&role.name_any(), &ours, &Patch::Apply(&role)).await.expect("the role is accepted");
    }
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    bindings.patch(IN_THE_CLUSTER, &ours, &Patch::Apply(&binding)).await.expect("the binding is accepted");
}

/// Gives a service account of the namespace the rights that count there.
pub(crate) fn in_namespace(account: &str, namespace: &str) -> RoleBinding {
    made(json!({
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": IN_A_NAMESPACE},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }))
}

/// Gives a subject the rights about the whole cluster.
pub(crate) fn in_cluster(name: &str, subject: Value) -> ClusterRoleBinding {
    made(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": IN_THE_CLUSTER},
        "subjects": [subject],
    }))
}

/// Gives the operators of this namespace their rights there, and waits until these count.
pub(crate) async fn grant(namespace: &Namespace) {
    ROLES.get_or_init(|| install_roles(&namespace.client)).await;
    namespace.create(&in_namespace(ACCOUNT, &namespace.name)).await;
    let client = Client::try_from(config(namespace.cluster, &namespace.name).await).expect("a client");
    let reviews = Api::<SelfSubjectAccessReview>::all(client);
    let asked: SelfSubjectAccessReview = made(json!({"spec": {"resourceAttributes": {
        "namespace": namespace.name, "verb": "list", "group": "taskmanager.dev", "resource": "tasks",
    }}}));
    eventually("the operator's rights count", SOON, async || {
        let answer = reviews.create(&PostParams::default(), &asked).await.ok()?;
        answer.status.filter(|status| status.allowed).map(drop)
    })
    .await;
}

fn user(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:{ACCOUNT}")
}

fn groups(namespace: &str) -> Vec<String> {
    let accounts = ["system:authenticated".into(), "system:serviceaccounts".into()];
    accounts.into_iter().chain([format!("system:serviceaccounts:{namespace}"), GROUP.into()]).collect()
}

/// The client configuration of the operators of this namespace.
pub(crate) async fn config(cluster: Cluster, namespace: &str) -> Config {
    let mut config = cluster.config().await;
    config.auth_info.impersonate = Some(user(namespace));
    config.auth_info.impersonate_groups = Some(groups(namespace));
    config
}

/// The kubeconfig of the operators of this namespace.
pub(crate) fn kubeconfig(namespace: &Namespace) -> PathBuf {
    let text = std::fs::read_to_string(namespace.cluster.kubeconfig()).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).expect("YAML");
    let account = &mut kubeconfig["users"][0]["user"];
    account["as"] = user(&namespace.name).into();
    account["as-groups"] = groups(&namespace.name).into();
    let folder = target().join("test-logs").join("operators");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(&namespace.name);
    std::fs::write(&file, kubeconfig.to_string()).expect("a file");
    file
}

fn made<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object")
}
