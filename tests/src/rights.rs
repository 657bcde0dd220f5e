//! The rights under which operators and people act in tests: those that an installation gives them, and no more.
//!
//! An operator under test is a service account of its namespace, by impersonation: no token is made for it. Its rights in
//! that namespace come from a RoleBinding; those about the whole cluster from a group for each of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::audit::Asked;
use crate::cluster::{Cluster, target};
use crate::namespace::Namespace;
use crate::operator::Operator;
use crate::patience::{SOON, eventually};

/// The service account of an operator under test.
pub(crate) const ACCOUNT: &str = "task-manager";
/// The same of one that logs in with a token.
pub(crate) const ACCOUNT_WITH_TOKEN: &str = "operator";
/// The service account of one from which rights were taken away: only that one may be refused anything.
pub const FEW_RIGHTS: &str = "few-rights";
/// All roles and groups of tests begin with this.
pub(crate) const OURS: &str = "task-manager-tests";
/// The name of the right that only batches need, and REST.
const BATCHES: &str = "batches";
const IN_A_NAMESPACE: &str = "task-manager-tests:namespace";
const IN_ALL_NAMESPACES: &str = "task-manager-tests:all-namespaces";
const IN_THE_CLUSTER: &str = "task-manager-tests:cluster";
pub(crate) const RBAC: &str = "rbac.authorization.k8s.io";

/// charts/task-manager/files/rights.yaml.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    pub operator: Vec<Right>,
    pub rest: Vec<Right>,
    pub lease: Vec<Right>,
    pub cluster: Vec<Right>,
    /// By the name of the role.
    pub users: BTreeMap<String, Vec<Right>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Right {
    pub why: String,
    /// Of a right that can be left out.
    pub name: Option<String>,
    /// The loss where it is left out.
    pub without: Option<String>,
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

    /// Those of the operator that count in one namespace, REST and the Lease among them.
    pub fn in_a_namespace(&self) -> impl Iterator<Item = &Right> {
        self.operator.iter().chain(&self.rest).chain(&self.lease)
    }

    /// Those that an installation for a whole cluster has in every namespace, and those on the Lease, which tests have in a
    /// namespace that they may delete. What REST writes is not among them, nor what batches need.
    fn in_all_namespaces(&self) -> impl Iterator<Item = &Right> {
        self.operator.iter().chain(&self.lease).filter(|right| right.is_none_of(&[BATCHES]))
    }

    /// Those of the operator in one namespace without those of these names. REST needs the rights of batches too.
    fn without(&self, names: &[&str]) -> impl Iterator<Item = &Right> {
        let rest = if names.contains(&BATCHES) { &[][..] } else { &self.rest };
        self.operator.iter().chain(rest).chain(&self.lease).filter(|right| right.is_none_of(names))
    }

    pub fn of_the_operator(&self) -> impl Iterator<Item = &Right> {
        self.in_a_namespace().chain(&self.cluster)
    }

    /// The names of those that can be left out.
    pub fn optional(&self) -> Vec<&str> {
        self.of_the_operator().filter_map(|right| right.name.as_deref()).collect()
    }
}

impl Right {
    fn rule(&self) -> PolicyRule {
        PolicyRule {
            api_groups: Some(self.api_groups.clone()),
            resources: Some(self.resources.clone()),
            verbs: self.verbs.clone(),
            ..PolicyRule::default()
        }
    }

    /// Each group, resource and verb of it.
    pub(crate) fn asked(&self) -> impl Iterator<Item = Asked> {
        self.api_groups.iter().flat_map(move |group| {
            self.resources.iter().flat_map(move |resource| {
                self.verbs.iter().map(move |verb| (group.clone(), resource.clone(), verb.clone()))
            })
        })
    }

    fn is_none_of(&self, names: &[&str]) -> bool {
        !self.name.as_deref().is_some_and(|name| names.contains(&name))
    }
}

fn rules<'r>(rights: impl IntoIterator<Item = &'r Right>) -> Vec<PolicyRule> {
    rights.into_iter().map(Right::rule).collect()
}

/// The role, or the group, that has this right about the cluster.
fn about_the_cluster(right: &str) -> String {
    format!("{IN_THE_CLUSTER}:{right}")
}

static ROLES: OnceCell<()> = OnceCell::const_new();

/// A ClusterRole for each list, and for each right about the cluster one beside, with its group.
async fn install_roles(client: &Client) {
    let rights = Rights::of_the_chart();
    let mut roles = vec![
        (IN_A_NAMESPACE.to_owned(), rules(rights.in_a_namespace())),
        (IN_ALL_NAMESPACES.to_owned(), rules(rights.in_all_namespaces())),
        (IN_THE_CLUSTER.to_owned(), rules(&rights.cluster)),
    ];
    let ours = PatchParams::apply(OURS).force();
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    for right in &rights.cluster {
        let name = about_the_cluster(right.name.as_deref().expect("rights about the cluster can be left out"));
        let binding = cluster_binding(&name, &name, json!({"apiGroup": RBAC, "kind": "Group", "name": name}));
        bindings.patch(&name, &ours, &Patch::Apply(&binding)).await.expect("the binding is accepted");
        roles.push((name, rules([right])));
    }
    let all = Api::<ClusterRole>::all(client.clone());
    let roles = roles.into_iter().map(|(name, rules)| made(json!({"metadata": {"name": name}, "rules": rules})));
    for role in roles.chain(rights.users.iter().map(|(name, rights)| role_of_users(name, rights))) {
        let role: ClusterRole = role;
        all.patch(&role.name_any(), &ours, &Patch::Apply(&role)).await.expect("the role is accepted");
    }
}

/// A role that is added to the one of the same name that every cluster has, where there is one.
fn role_of_users(name: &str, rights: &[Right]) -> ClusterRole {
    let added = match name {
        "task-admin" => json!({}),
        _ => json!({format!("{RBAC}/aggregate-to-{name}"): "true"}),
    };
    made(json!({"metadata": {"name": format!("{OURS}:{name}"), "labels": added}, "rules": rules(rights)}))
}

fn cluster_binding(name: &str, role: &str, subject: Value) -> ClusterRoleBinding {
    made(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }))
}

pub(crate) fn binding(name: &str, kind: &str, role: &str, subject: Value) -> RoleBinding {
    made(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": [subject],
    }))
}

fn service_account(name: &str, namespace: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
}

/// Gives a service account of the namespace the rights that count there.
pub(crate) fn in_namespace(account: &str, namespace: &str) -> RoleBinding {
    binding(account, "ClusterRole", IN_A_NAMESPACE, service_account(account, namespace))
}

/// Gives a service account all rights about the cluster.
pub(crate) fn in_cluster(name: &str, account: &str, namespace: &str) -> ClusterRoleBinding {
    cluster_binding(name, IN_THE_CLUSTER, service_account(account, namespace))
}

/// Gives the operators of this namespace their rights there, and waits until these count.
pub(crate) async fn grant(namespace: &Namespace) {
    ROLES.get_or_init(|| install_roles(&namespace.client)).await;
    namespace.create(&in_namespace(ACCOUNT, &namespace.name)).await;
    count(namespace, kubeconfig(namespace.cluster, &namespace.name, ACCOUNT, &[])).await;
}

impl Namespace {
    /// Its operators have their rights in all namespaces, as an installation for a whole cluster: the deletion of this one takes
    /// none of them away but those of REST, which has them only in the namespaces that it serves.
    pub async fn rights_in_all_namespaces(&self) {
        let subject = service_account(ACCOUNT, &self.name);
        let binding = cluster_binding(&format!("{OURS}:{}", self.name), IN_ALL_NAMESPACES, subject);
        let bindings = Api::<ClusterRoleBinding>::all(self.client.clone());
        bindings.create(&PostParams::default(), &binding).await.expect("the binding is accepted");
    }
}

/// Waits until whoever this kubeconfig speaks for may list tasks.
async fn count(namespace: &Namespace, kubeconfig: Value) {
    let reviews = Api::<SelfSubjectAccessReview>::all(client_of(kubeconfig).await);
    let asked: SelfSubjectAccessReview = made(json!({"spec": {"resourceAttributes": {
        "namespace": namespace.name, "verb": "list", "group": "taskmanager.dev", "resource": "tasks",
    }}}));
    eventually("the rights count", SOON, async || {
        let answer = reviews.create(&PostParams::default(), &asked).await.ok()?;
        answer.status.filter(|status| status.allowed).map(drop)
    })
    .await;
}

/// The cluster's kubeconfig for a service account that has all rights about the cluster but those of these names.
fn kubeconfig(cluster: Cluster, namespace: &str, account: &str, without: &[&str]) -> Value {
    let file = cluster.kubeconfig();
    let text = std::fs::read_to_string(&file).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).expect("YAML");
    let user = &mut kubeconfig["users"][0]["user"];
    let certificate = file.with_file_name("pki").join("operators.crt");
    // By this one the audit log tells operators from tests.
    if certificate.exists() {
        *user = json!({"client-certificate": certificate, "client-key": certificate.with_extension("key")});
    }
    let rights = Rights::of_the_chart().cluster.iter().filter(|right| right.is_none_of(without));
    let mut groups = vec!["system:authenticated".to_owned(), "system:serviceaccounts".into()];
    groups.push(format!("system:serviceaccounts:{namespace}"));
    groups.extend(rights.filter_map(|right| right.name.as_deref()).map(about_the_cluster));
    user["as"] = format!("system:serviceaccount:{namespace}:{account}").into();
    user["as-groups"] = groups.into();
    kubeconfig
}

async fn config_from(kubeconfig: Value) -> Config {
    let kubeconfig: Kubeconfig = made(kubeconfig);
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    config.expect("a kubeconfig that can be used")
}

async fn client_of(kubeconfig: Value) -> Client {
    Client::try_from(config_from(kubeconfig).await).expect("a client")
}

/// The client configuration of the operators of this namespace.
pub(crate) async fn config(cluster: Cluster, namespace: &str) -> Config {
    config_from(kubeconfig(cluster, namespace, ACCOUNT, &[])).await
}

fn write(namespace: &str, account: &str, kubeconfig: &Value) -> PathBuf {
    let folder = target().join("test-logs").join("kubeconfigs");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("{namespace}-{account}"));
    std::fs::write(&file, kubeconfig.to_string()).expect("a file");
    file
}

impl Namespace {
    /// The kubeconfig of its operators, who may do what an installation lets them, here alone.
    pub fn operators_kubeconfig(&self) -> PathBuf {
        write(&self.name, ACCOUNT, &kubeconfig(self.cluster, &self.name, ACCOUNT, &[]))
    }

    /// The kubeconfig of operators to whom Roles of this namespace alone give their rights, but for those of these names.
    pub async fn kubeconfig_without(&self, names: &[&str]) -> PathBuf {
        let known = Rights::of_the_chart().optional();
        assert!(names.iter().all(|name| known.contains(name)), "rights.yaml has no such names: {names:?}");
        let left = rules(Rights::of_the_chart().without(names));
        self.create(&made::<Role>(json!({"metadata": {"name": FEW_RIGHTS}, "rules": left}))).await;
        self.create(&binding(FEW_RIGHTS, "Role", FEW_RIGHTS, service_account(FEW_RIGHTS, &self.name))).await;
        let kubeconfig = kubeconfig(self.cluster, &self.name, FEW_RIGHTS, names);
        count(self, kubeconfig.clone()).await;
        write(&self.name, FEW_RIGHTS, &kubeconfig)
    }

    /// An operator without the rights of these names.
    pub async fn operator_without(&self, names: &[&str], flags: &[&str]) -> Operator {
        Operator::start(self, self.kubeconfig_without(names).await, flags).await
    }
}

fn made<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Right> {
        let rights = Rights::of_the_chart();
        rights.of_the_operator().chain(rights.users.values().flatten())
    }

    #[test]
    fn no_right_is_about_secrets_or_about_rights_or_about_everything() {
        for (group, resource, verb) in all().flat_map(Right::asked) {
            let of_whole = [&group, &resource, &verb].into_iter().any(|word| word.contains('*'));
            let of_rights = group == RBAC || ["escalate", "bind", "impersonate"].contains(&verb.as_str());
            assert!(!of_whole && !of_rights, "{verb} {resource} of {group}");
            for guarded in ["secrets", "serviceaccounts", "pods/exec", "pods/attach", "pods/ephemeralcontainers"] {
                assert!(!resource.starts_with(guarded), "{verb} {resource}");
            }
        }
    }

    #[test]
    fn every_right_says_why_and_each_that_can_be_left_out_what_is_then_lost() {
        for right in all() {
            assert!(right.why.ends_with('.'), "{right:?}");
            assert_eq!(right.name.is_some(), right.without.is_some(), "{right:?}");
        }
        let mut names = Rights::of_the_chart().optional();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Rights::of_the_chart().optional().len(), "each name is one right's");
        assert!(Rights::of_the_chart().cluster.iter().all(|right| right.name.is_some()), "namespaced mode has none");
    }

    #[test]
    fn nobody_but_the_operator_may_write_a_status() {
        let users = Rights::of_the_chart().users.values().flatten();
        assert!(users.flat_map(Right::asked).all(|(_, resource, _)| !resource.contains('/')));
    }
}
