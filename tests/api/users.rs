//! People with the roles of the list: what each may do, and that who may write tasks gains nothing else by it.

use harness::*;
use serde_json::{Value, json};
use task_manager::api::State;

use crate::stage::{manifest, refusal, set, started};

const ROLES: [&str; 4] = ["view", "edit", "admin", "task-admin"];

/// The roles that may do this.
async fn who_may(people: &[(&'static str, User)], verb: &str, resource: &str) -> Vec<&'static str> {
    let mut may = vec![];
    for (role, user) in people {
        if user.may(verb, "taskmanager.dev", resource).await {
            may.push(*role);
        }
    }
    may
}

#[tokio::test]
async fn view_edit_and_admin_may_do_what_their_names_say_and_queues_are_for_the_task_admin() {
    in_namespace("roles", async |ns| {
        let mut people = vec![];
        for (role, roles) in
            [("view", &ROLES[..1]), ("edit", &ROLES[..2]), ("admin", &ROLES[..3]), ("task-admin", &ROLES[3..])]
        {
            people.push((role, ns.user(role, roles).await));
        }
        for resource in ["tasks", "tasktypes", "taskqueues"] {
            assert_eq!(who_may(&people, "get", resource).await, ROLES, "{resource}");
        }
        for verb in ["create", "update", "patch", "delete"] {
            assert_eq!(who_may(&people, verb, "tasks").await, ["edit", "admin", "task-admin"], "{verb}");
            assert_eq!(who_may(&people, verb, "tasktypes").await, ["admin", "task-admin"], "{verb}");
            assert_eq!(who_may(&people, verb, "taskqueues").await, ["task-admin"], "{verb}");
            for parts in ["tasks/status", "tasks/finalizers", "tasktypes/status", "taskqueues/status"] {
                assert!(who_may(&people, verb, parts).await.is_empty(), "{verb} {parts}");
            }
        }
    })
    .await;
}

fn pod() -> Value {
    json!({"restartPolicy": "Never", "containers": [{"name": "work", "image": "localhost/busybox:1"}]})
}

#[tokio::test]
async fn who_may_write_tasks_and_nothing_else_gains_nothing_by_it() {
    in_namespace("author", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::Hold);
        ns.create(&task_queue("default", 5)).await;
        let author = ns.user("author", &["view", "edit"]).await;
        author.create(serde_json::to_value(task("one")).expect("JSON")).await.expect("a task is accepted");
        started(&node, "one", 1).await;
        let made = &node.starts()[0];

        let objects = [
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pod()}),
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
                "spec": {"template": {"spec": pod()}}}),
            manifest("TaskType", "mine", json!({"template": {"spec": pod()}})),
            manifest("TaskQueue", "mine", json!({})),
        ];
        for object in objects {
            let said = refusal(author.create(object.clone()).await, "a task's author makes it");
            assert!(said.contains("cannot create resource"), "{object}: {said}");
        }
        let status = "{\"status\": {\"state\": \"Completed\"}}";
        for tried in [
            &["get", "secrets"][..],
            &["get", "pods"],
            &["logs", &made.pod],
            &["exec", &made.pod, "--", "true"],
            &["label", "pod", &made.pod, "taskmanager.dev/task-uid=x", "--overwrite"],
            &["label", "job", &made.job, "taskmanager.dev/task-uid=x", "--overwrite"],
            &["delete", "pod", &made.pod],
            &["delete", "job", &made.job],
            &["patch", "tmt", "one", "--subresource=status", "--type=merge", "--patch", status],
            &["patch", "tmtype", "work", "--type=merge", "--patch", "{\"spec\": {\"maxConcurrent\": 1}}"],
            &["patch", "tmq", "default", "--type=merge", "--patch", "{\"spec\": {\"suspend\": true}}"],
            &["create", "token", "default"],
        ] {
            let said = author.refused(tried).await.unwrap_or_default();
            assert!(said.contains("Forbidden") || said.contains("forbidden"), "{tried:?}: {said}");
        }
        node.end("one", Outcome::succeed());
        ns.task_in("one", State::Completed).await;
    })
    .await;
}

#[tokio::test]
async fn an_author_has_no_say_in_the_pod_but_what_the_type_leaves_open() {
    in_namespace("author-pod", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::Hold);
        let author = ns.user("author", &["view", "edit"]).await;
        for field in ["serviceAccountName", "serviceAccount", "image", "template", "nodeSelector", "volumes", "env"] {
            let mut wished = serde_json::to_value(task("wished")).expect("JSON");
            wished["spec"][field] = json!("x");
            let said = author.refused_strictly(&wished).await.unwrap_or_default();
            assert!(said.contains(&format!("unknown field \"spec.{field}\"")), "{field}: {said}");
        }
        let mut one = serde_json::to_value(task("one")).expect("JSON");
        one["metadata"]["labels"] =
            json!({"team": "theirs", "taskmanager.dev/task-uid": "x", "taskmanager.dev/pool": "p"});
        one["metadata"]["annotations"] = json!({"taskmanager.dev/holds": "{}", "sidecar.example.com/inject": "true"});
        one["spec"]["kbId"] = json!("$(HOME)");
        author.create(one).await.expect("a task is accepted");
        started(&node, "one", 1).await;
        let pod = ns.pods().get(&node.starts()[0].pod).await.expect("its pod");
        let uid = ns.task("one").await.metadata.uid;
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        assert_eq!(labels.get("taskmanager.dev/task-uid"), uid.as_ref());
        assert!(!labels.contains_key("team") && !labels.contains_key("taskmanager.dev/pool"), "{labels:?}");
        let annotations = pod.metadata.annotations.clone().unwrap_or_default();
        assert!(!annotations.contains_key("sidecar.example.com/inject"), "{annotations:?}");
        let spec = pod.spec.expect("a spec");
        assert!(spec.service_account_name.is_none_or(|account| account == "default"));
        let variables = spec.containers[0].env.clone().unwrap_or_default();
        let kb_id = variables.into_iter().find(|variable| variable.name == "TASK_KB_ID").and_then(|found| found.value);
        assert_eq!(kb_id.as_deref(), Some("$$(HOME)"), "it is not expanded");
    })
    .await;
}
