//! An operator that lacks rights which it can do without.

use harness::*;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use task_manager::api::Reason;

use crate::stage::{started, status};
use crate::templates::{kind, read, ready};

/// Gives the account these rights in the place of those that it had.
async fn may(ns: &Namespace, rules: Value) {
    let (roles, bindings) =
        (Api::<ClusterRole>::all(ns.client.clone()), Api::<ClusterRoleBinding>::all(ns.client.clone()));
    let name = format!("{}-few", ns.name);
    let role: ClusterRole = read(json!({"metadata": {"name": name}, "rules": rules}));
    let binding: ClusterRoleBinding = read(json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": ns.name}]}));
    roles.create(&PostParams::default(), &role).await.expect("a role");
    bindings.create(&PostParams::default(), &binding).await.expect("a binding");
    bindings.delete(&format!("{}-rights", ns.name), &DeleteParams::default()).await.expect("deleted");
}

async fn removed(ns: &Namespace) {
    let name = format!("{}-few", ns.name);
    let _ = Api::<ClusterRole>::all(ns.client.clone()).delete(&name, &DeleteParams::default()).await;
    let _ = Api::<ClusterRoleBinding>::all(ns.client.clone()).delete(&name, &DeleteParams::default()).await;
}

#[tokio::test]
async fn each_missing_right_is_logged_once_with_what_is_then_not_known() {
    in_namespace("rights", async |ns| {
        let account = ns.account().await;
        let all = json!(["*"]);
        may(&ns, json!([
            {"apiGroups": ["taskmanager.dev", "batch", "coordination.k8s.io", "authentication.k8s.io"], "resources": all, "verbs": all},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch", "delete"]},
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        ]))
        .await;
        ns.apply(kind(json!({}), json!({}), json!({}))).await.expect("accepted");
        let node = ns.fake_node();
        node.otherwise(Outcome::Waiting("ContainerCreating".into()));
        let operator = ns.operator_as(&account, &[]).await;
        let said = ready(&ns, "Unknown").await;
        assert!(said.message.contains("cannot create resource \"pods\""), "{}", said.message);
        for name in ["one", "two"] {
            ns.create(&task(name)).await;
            started(&node, name, 1).await;
            ns.task_when(name, "is told though events may not be read", |_, status| status.reason == Reason::Starting).await;
        }
        assert!(status(&ns.task("one").await).admitted.is_some());
        let told = |resource: &str| {
            let log = operator.logged();
            log.lines().filter(|line| line.contains("a right is missing") && line.contains(resource)).count()
        };
        for resource in ["events", "\"pods\"", "priorityclasses", "namespaces"] {
            assert_eq!(told(resource), 1, "{resource}: {}", operator.logged());
        }
        removed(&ns).await;
        account.remove().await;
    })
    .await;
}
