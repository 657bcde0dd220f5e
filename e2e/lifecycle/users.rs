//! People with the roles that every cluster has, to which ours are added.

use e2e::world::on_a_node;
use serde_json::json;

#[tokio::test]
async fn who_may_view_edit_or_administrate_a_namespace_may_do_that_to_its_tasks() {
    on_a_node("editors", async |world| {
        for (role, may_write_tasks, may_write_types) in
            [("view", false, false), ("edit", true, false), ("admin", true, true)]
        {
            let user = world.namespace.user_of_cluster(role, role).await;
            assert!(user.may("get", "taskmanager.dev", "taskqueues").await, "{role}");
            assert_eq!(user.may("create", "taskmanager.dev", "tasks").await, may_write_tasks, "{role}");
            assert_eq!(user.may("patch", "taskmanager.dev", "tasktypes").await, may_write_types, "{role}");
            for ours in ["taskqueues", "tasks/status", "tasktypes/status", "taskqueues/status", "tasks/finalizers"] {
                assert!(!user.may("update", "taskmanager.dev", ours).await, "{role} {ours}");
            }
        }
        world.work("true").await;
        let editor = world.namespace.user_of_cluster("editor", "edit").await;
        let task = editor.create(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
            "metadata": {"name": "theirs"}, "spec": {"type": "work", "payload": {}}}));
        task.await.expect("an editor makes a task");
        world.completes(&world.namespace.task("theirs").await).await;
    })
    .await;
}
