//! `task-manager follow` as scripts use it: exit codes, namespaces, and errors that are sentences.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use harness::*;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use task_manager::api::{Retry, State, Task};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::stage::{set, started};

/// The end of following, as a script sees it.
#[derive(Debug)]
struct Followed {
    code: Option<i32>,
    told: String,
    error: String,
}

fn command(flags: &[&str], kubeconfig: PathBuf) -> Command {
    let mut command = Operator::command();
    command.arg("follow").args(flags).env("KUBECONFIG", kubeconfig).env_remove("KUBERNETES_SERVICE_HOST");
    command.kill_on_drop(true);
    command
}

async fn follow_as(kubeconfig: PathBuf, flags: &[&str]) -> Followed {
    let ended = tokio::time::timeout(SOON, command(flags, kubeconfig).output()).await;
    let Output { status, stdout, stderr } = ended.expect("it ends").expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Followed { code: status.code(), told: text(&stdout), error: text(&stderr) }
}

async fn follow(ns: &Namespace, flags: &[&str]) -> Followed {
    follow_as(ns.cluster.kubeconfig(), &[&["-n", &ns.name], flags].concat()).await
}

/// The administrator's kubeconfig with a change.
fn kubeconfig(ns: &Namespace, what: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let text = std::fs::read_to_string(ns.cluster.kubeconfig()).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).expect("YAML");
    change(&mut kubeconfig);
    let folder = target().join("test-logs");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("{}-{what}", ns.name));
    std::fs::write(&file, kubeconfig.to_string()).expect("a file");
    file
}

fn labelled(task: Task, value: &str) -> Task {
    let mut task = task;
    task.metadata.labels = Some([("group".to_owned(), value.to_owned())].into());
    task
}

#[tokio::test]
async fn the_exit_code_tells_a_script_how_the_tasks_ended() {
    in_namespace("follow-codes", async |ns| {
        let (node, _operator) = set(&ns, &[]).await;
        node.script("bad", [Outcome::exit(3)]);
        node.script("held", [Outcome::Hold]);
        ns.create(&task("good")).await;
        ns.create(&task("bad").with(|spec| spec.retry = Some(Retry { limit: Some(0), ..Retry::default() }))).await;
        ns.create(&task("stopped").with(|spec| spec.cancel = true)).await;
        ns.create(&task("held")).await;
        started(&node, "held", 1).await;

        for (names, code, told) in [
            (&["good"][..], 0, "1 completed"),
            (&["good", "bad", "stopped"], 4, "1 failed"),
            (&["good", "stopped"], 5, "1 cancelled"),
            (&["--selector", "no=such"], 6, "There is no task to follow in namespace"),
            (&["held", "--timeout-seconds", "5"], 3, "The time is over"),
            (&["good", "never-made", "--timeout-seconds", "5"], 3, "Never appeared"),
        ] {
            let followed = follow(&ns, names).await;
            assert_eq!(followed.code, Some(code), "{names:?}: {followed:?}");
            assert!(followed.told.contains(told) && followed.error.is_empty(), "{names:?}: {followed:?}");
            assert!(!followed.told.contains('\u{1b}'), "no colours where there is no terminal: {followed:?}");
        }
        let failed = follow(&ns, &["bad"]).await.told;
        assert!(failed.contains("Failed (ExitCode), attempt 1: ") && failed.contains("exit code 3"), "{failed}");
    })
    .await;
}

#[tokio::test]
async fn a_task_that_is_deleted_before_its_end_is_no_success() {
    in_namespace("follow-deleted", async |ns| {
        ns.create(&task("goes").with(|spec| spec.suspend = true)).await;
        let mut child =
            command(&["-n", &ns.name], ns.cluster.kubeconfig()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let first = tokio::time::timeout(SOON, lines.next_line()).await.expect("it tells").expect("text");
        assert!(first.expect("a line").contains("goes"));
        ns.tasks().delete("goes", &DeleteParams::default()).await.expect("it is deleted");
        let mut told = String::new();
        while let Some(line) = tokio::time::timeout(SOON, lines.next_line()).await.expect("it ends").expect("text") {
            told += &line;
        }
        assert!(told.contains("Deleted before the end"), "{told}");
        assert_eq!(child.wait().await.expect("it ends").code(), Some(5));
    })
    .await;
}

#[tokio::test]
async fn it_follows_the_namespace_of_the_context_unless_told_otherwise() {
    in_namespace("follow-context", async |ns| {
        let (_node, _operator) = set(&ns, &[]).await;
        ns.create(&labelled(task("here"), &ns.name)).await;
        ns.task_in("here", State::Completed).await;
        let of_context = kubeconfig(&ns, "context", |kubeconfig| {
            kubeconfig["contexts"][0]["context"]["namespace"] = json!(ns.name);
        });
        let followed = follow_as(of_context, &[]).await;
        assert_eq!(followed.code, Some(0), "{followed:?}");
        assert!(followed.told.contains(&format!("1 task in namespace {}: 1 completed", ns.name)), "{followed:?}");

        let group = format!("group={}", ns.name);
        let followed = follow_as(ns.cluster.kubeconfig(), &["-A", "-l", &group]).await;
        assert_eq!(followed.code, Some(0), "{followed:?}");
        assert!(followed.told.contains(&format!("{}/here  Completed", ns.name)), "{followed:?}");
        assert!(followed.told.contains("1 task in all namespaces"), "{followed:?}");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_told_in_a_plain_sentence() {
    in_namespace("follow-errors", async |ns| {
        let followed = follow(&ns, &["--selector", "a in b"]).await;
        assert_eq!((followed.code, followed.told.as_str()), (Some(1), ""), "{followed:?}");
        let sentence = "task-manager: the API server refused to list the tasks of namespace";
        assert!(followed.error.starts_with(sentence) && followed.error.contains("unable to parse"), "{followed:?}");
        assert!(!followed.error.contains("Status {") && followed.error.lines().count() == 1, "{followed:?}");

        let followed = follow_as(ns.cluster.kubeconfig(), &["-n", "no-such-namespace"]).await;
        assert_eq!((followed.code, followed.told.as_str()), (Some(1), ""), "{followed:?}");
        assert_eq!(followed.error, "task-manager: there is no namespace no-such-namespace\n");

        let followed = follow(&ns, &["a,b"]).await;
        assert_eq!(followed.code, Some(2), "{followed:?}");

        let followed = follow_as(PathBuf::from("/nonexistent/kubeconfig"), &[]).await;
        assert_eq!(followed.code, Some(1), "{followed:?}");
        assert!(followed.error.contains("failed to find a cluster"), "{followed:?}");
        assert!(!followed.error.contains("InferConfig"), "{followed:?}");
    })
    .await;
}

#[tokio::test]
async fn who_may_not_read_namespaces_is_told_nothing_of_them() {
    in_namespace("follow-rights", async |ns| {
        let somebody = kubeconfig(&ns, "somebody", |kubeconfig| {
            kubeconfig["users"][0]["user"]["as"] = json!(ns.name);
        });
        let refused = follow_as(somebody.clone(), &["-n", &ns.name]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.error.contains("cannot list resource \"tasks\""), "{refused:?}");
        assert!(!refused.error.contains("Status {") && !refused.error.contains("no namespace"), "{refused:?}");

        let roles = Api::<ClusterRole>::all(ns.client.clone());
        let bindings = Api::<ClusterRoleBinding>::all(ns.client.clone());
        let role = json!({"metadata": {"name": ns.name}, "rules": [
            {"apiGroups": ["taskmanager.dev"], "resources": ["tasks"], "verbs": ["list", "watch"]},
        ]});
        let binding = json!({
            "metadata": {"name": ns.name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ns.name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": ns.name}],
        });
        let how = PostParams::default();
        roles.create(&how, &serde_json::from_value(role).expect("a role")).await.expect("accepted");
        bindings.create(&how, &serde_json::from_value(binding).expect("a binding")).await.expect("accepted");
        let followed = eventually("the right to list tasks is known", SOON, async || {
            let followed = follow_as(somebody.clone(), &["-n", "no-such-namespace"]).await;
            (followed.code != Some(1)).then_some(followed)
        })
        .await;
        let _ = roles.delete(&ns.name, &DeleteParams::default()).await;
        let _ = bindings.delete(&ns.name, &DeleteParams::default()).await;
        assert_eq!(followed.code, Some(6), "{followed:?}");
        assert_eq!(followed.told, "There is no task to follow in namespace no-such-namespace.\n");
    })
    .await;
}
