//! An operator that lacks rights which it can do without, and one to which Roles of its namespace alone give its rights.

use std::time::Duration;

use futures::future::join_all;
use harness::*;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use task_manager::api::{Reason, State, TaskStatus};

use crate::stage::{refusal, started};
use crate::templates::{kind, ready};

/// A pod that should be gone is waited for so long before its node is asked for, and somewhat longer by a busy machine.
const LOST_WITHIN: Duration = Duration::from_secs(180);

/// How often this right was logged as missing.
fn told(operator: &Operator, name: &str) -> usize {
    let (log, name) = (operator.logged(), format!("name=\"{name}\""));
    log.lines().filter(|line| line.contains("a right is missing") && line.contains(&name)).count()
}

/// Waits until the pod of this start can be given up only by whether its node answers, and then until it is.
async fn is_lost(ns: &Namespace, node: &FakeNode) {
    node.linger("one");
    let pod = node.starts().last().expect("a start").pod.clone();
    ns.pods().delete(&pod, &DeleteParams::default()).await.expect("deleted");
    let lost = |status: &TaskStatus| status.attempts.last().is_some_and(|last| last.reason == Reason::NodeLost);
    ns.task_within(LOST_WITHIN, "one", "its node is lost", |_, status| lost(status)).await;
    node.let_go("one");
}

async fn no_report_is_taken(ns: &Namespace, node: &FakeNode, operator: &Operator) {
    let worker = Worker::of(ns, node, operator.worker(), "one", 2).await;
    for _ in 0..2 {
        let answer = worker.progress(&json!({"percent": 40})).await;
        assert!(answer.status >= 500 && answer.text.contains("lacks the right to create tokenreviews"), "{answer:?}");
    }
}

/// A task that fails once and then ends well, while the operator has all rights but that of this name.
async fn works_without(name: &str) {
    in_namespace(&format!("rights-{}", name.to_lowercase()), async |ns| {
        ns.account_for_pods().await;
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        let second = match name {
            "batches" | "createPods" | "podLogs" | "writeEvents" | "namespaces" | "priorityClasses" => {
                Outcome::succeed()
            }
            "readEvents" => Outcome::Waiting("ContainerCreating".into()),
            "nodes" | "tokenReviews" => Outcome::Hold,
            new => panic!("rights.yaml says that the operator can do without {new}, and nobody tries it"),
        };
        let nodes_are_read = name != "nodes";
        node.script("one", [Outcome::exit(1), second]);
        let operator = Operator::with_worker_as(&ns, ns.kubeconfig_without(&[name]).await, &[]).await;
        ns.create(&task("one")).await;
        started(&node, "one", 2).await;
        match name {
            "readEvents" => {
                ns.task_when("one", "waits without a cause", |_, status| status.reason == Reason::Starting).await;
                node.end("one", Outcome::succeed());
            }
            "tokenReviews" => {
                no_report_is_taken(&ns, &node, &operator).await;
                node.end("one", Outcome::succeed());
            }
            "nodes" => is_lost(&ns, &node).await,
            "batches" => {
                let batch = json!({"type": "work", "batch": {"count": 1}});
                ns.create_raw(crate::stage::manifest("Task", "many", batch)).await.expect("accepted");
                ns.task_when("many", "says why", |_, status| status.reason == Reason::LaunchRefused).await;
            }
            "createPods" => {
                let said = ready(&ns, "Unknown").await.message;
                assert!(said.contains("cannot create resource \"pods\""), "{said}");
            }
            _ => {}
        }
        let ended = ns.task_in("one", State::Completed).await.status.unwrap_or_default();
        assert_eq!((ended.failures, ended.disruptions), (1, i32::from(!nodes_are_read)), "{ended:?}");
        eventually(&format!("{name} is told"), SOON, async || (told(&operator, name) > 0).then_some(())).await;
        for other in Rights::of_the_chart().optional() {
            assert_eq!(told(&operator, other), usize::from(other == name), "{other}: {}", operator.logged());
        }
    })
    .await;
}

#[tokio::test]
async fn each_right_that_can_be_left_out_is_missed_in_words_and_tasks_run_on() {
    let names = Rights::of_the_chart().optional();
    assert!(names.len() >= 8, "{names:?}");
    join_all(names.into_iter().map(works_without)).await;
}

#[tokio::test]
async fn each_missing_right_is_logged_once_with_what_is_then_not_known() {
    in_namespace("rights", async |ns| {
        ns.apply(kind(json!({}), json!({}), json!({}))).await.expect("accepted");
        let node = ns.fake_node();
        node.otherwise(Outcome::Waiting("ContainerCreating".into()));
        let lacks = ["readEvents", "createPods", "priorityClasses", "namespaces"];
        let operator = ns.operator_without(&lacks, &[]).await;
        let said = ready(&ns, "Unknown").await;
        assert!(said.message.contains("cannot create resource \"pods\""), "{}", said.message);
        for name in ["one", "two"] {
            ns.create(&task(name)).await;
            started(&node, name, 1).await;
            ns.task_when(name, "is told though events may not be read", |_, status| status.reason == Reason::Starting)
                .await;
        }
        assert!(ns.task("one").await.status.and_then(|status| status.admitted).is_some());
        for name in lacks {
            assert_eq!(told(&operator, name), 1, "{name}: {}", operator.logged());
        }
    })
    .await;
}

/// It has no right about the cluster, and those in its namespace by a Role: a ClusterRole is needed for neither.
#[tokio::test]
async fn one_namespace_alone_is_run_by_roles_alone() {
    in_namespace("rights-roles", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        let about_the_cluster = Rights::of_the_chart().cluster.iter().filter_map(|right| right.name.as_deref());
        let lacks: Vec<&str> = about_the_cluster.collect();
        let operator = Operator::with_rest_as(&ns, ns.kubeconfig_without(&lacks).await, &[]).await;
        node.script("one", [Outcome::exit(1), Outcome::result("{\"pages\": 10}")]);
        ns.create(&task("one")).await;
        let status = ns.task_in("one", State::Completed).await.status.unwrap_or_default();
        assert_eq!((status.failures, status.result.is_some()), (1, true), "{status:?}");
        let submitted = json!({"task_type": "work", "name": "over-rest", "payload": {}});
        operator.rest().submit(&submitted).await;
        ns.task_in("over-rest", State::Completed).await;
        assert!(!operator.logged().contains("ERROR"), "{}", operator.logged());
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_should_be_gone_is_given_up_when_its_node_is_gone_too() {
    in_namespace("lost-node", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.script("one", [Outcome::Hold]);
        let operator = ns.operator(&[]).await;
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        is_lost(&ns, &node).await;
        ns.task_in("one", State::Completed).await;
        assert!(!operator.logged().contains("a right is missing"), "{}", operator.logged());
    })
    .await;
}

/// OpenShift has this on: who makes an object that keeps its owner from being deleted must be allowed to do so to the owner.
/// Operators under test have all their Jobs made under this rule.
#[tokio::test]
async fn the_api_server_of_the_tests_asks_for_the_right_on_finalizers_of_an_owner() {
    in_namespace("owners", async |ns| {
        let owner = ns.create(&task("one").with(|spec| spec.suspend = true)).await;
        let of_task = json!([{"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "name": "one",
            "uid": owner.uid(), "controller": true, "blockOwnerDeletion": true}]);
        let pod = json!({"restartPolicy": "Never", "containers": [{"name": "work", "image": "x"}]});
        let job = |owners: Value| {
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "ownerReferences": owners},
                "spec": {"template": {"spec": pod}}})
        };
        ns.role("makes-jobs", "eve", json!([{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}]))
            .await;
        let eve = ns.user("eve", &["view"]).await;
        let said = refusal(eve.create(job(of_task.clone())).await, "it blocks the deletion of a task");
        assert!(said.contains("cannot set blockOwnerDeletion"), "{said}");
        eve.create(job(json!([]))).await.expect("a Job that nobody owns is accepted");
    })
    .await;
}

/// Whether an operator of this namespace may do this in a namespace.
async fn may(ns: &Namespace, verb: &str, namespace: &str) -> bool {
    let mut asked = ns.cluster.kubectl();
    asked.env("KUBECONFIG", ns.operators_kubeconfig());
    let said = asked.args(["auth", "can-i", verb, "tasks.taskmanager.dev", "--namespace", namespace]).output().await;
    String::from_utf8_lossy(&said.expect("kubectl runs").stdout).trim() == "yes"
}

#[tokio::test]
async fn an_operator_for_all_namespaces_creates_tasks_only_where_rest_serves_them() {
    in_namespace("rights-rest", async |ns| {
        ns.rights_in_all_namespaces().await;
        eventually("the rights count", SOON, async || may(&ns, "list", "default").await.then_some(())).await;
        for verb in ["create", "patch"] {
            assert!(may(&ns, verb, &ns.name).await, "{verb} where REST serves");
            assert!(!may(&ns, verb, "default").await, "{verb} elsewhere");
        }
    })
    .await;
}
