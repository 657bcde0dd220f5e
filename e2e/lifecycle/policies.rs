//! The admission policies that come with the operator, on a cluster that has a Job controller of its own.

use harness::{eventually, target};
use serde_json::json;

use e2e::world::{A_CHANGE, on_a_node};

#[tokio::test]
async fn under_the_policies_tasks_run_and_nobody_else_makes_pods_in_their_name() {
    on_a_node("policies", async |world| {
        let folder = target().join("../manifests/policies");
        let folder = folder.to_str().expect("a path that is text");
        let applied =
            world.namespace.kubectl(&["apply", "--server-side", "--force-conflicts", "--filename", folder]).await;
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        let namespace = &world.namespace.name;
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "makes-pods"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]});
        world.namespace.apply(binding).await.expect("accepted");
        let who = format!("system:serviceaccount:{namespace}:default");
        let forge = ["run", "forged", "--as", &who, "--dry-run=server", "--image", "localhost/busybox:1", "--labels", "taskmanager.dev/task-uid=x"];
        eventually("a pod in a task's name is refused", A_CHANGE, async || {
            let said = world.namespace.kubectl(&forge).await;
            String::from_utf8_lossy(&said.stderr).contains("leave it out").then_some(())
        })
        .await;
        let task = world.script("task", "true").await;
        assert_eq!(world.completes(&task).await.attempt, 1, "the Job controller's own pods are let in");
    })
    .await;
}
