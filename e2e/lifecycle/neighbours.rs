//! Others in the cluster: policies that want labels or owners, controllers that keep a deleted task, people who
//! change labels; and tasks whose names leave no room for a suffix.

use harness::{eventually, task_queue};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use task_manager::api::{Reason, State, Task, TaskStatus};
use task_manager::archive::{Archive, Options};

use e2e::cluster_wide::ClusterWide;
use e2e::containers::ended;
use e2e::told::{is_ready, stands_in_the_way};
use e2e::world::{A_CHANGE, WAITS, World, is_live, never_again, on_a_node};

/// In the namespace of this test nobody makes one of these that is not so.
async fn policy(world: &World, group: &str, resource: &str, expression: &str) -> [ClusterWide; 2] {
    let (cluster, client, name) = (world.namespace.cluster, &world.namespace.client, &world.namespace.name);
    let policy = json!({"metadata": {"name": name}, "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
            "resourceRules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]}],
        },
        "validations": [{"expression": expression, "message": "not as the policy wants it"}],
    }});
    let binding = json!({"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}});
    [
        ClusterWide::create::<ValidatingAdmissionPolicy>(cluster, client, policy).await,
        ClusterWide::create::<ValidatingAdmissionPolicyBinding>(cluster, client, binding).await,
    ]
}

fn bare_pod() -> serde_json::Value {
    json!({"restartPolicy": "Never", "containers": [{"name": "work", "image": "localhost/busybox:1"}]})
}

async fn refuses(what: &str, mut refused: impl AsyncFnMut() -> bool) {
    eventually(what, A_CHANGE, async || refused().await.then_some(())).await;
}

#[tokio::test]
async fn where_a_policy_wants_a_label_on_jobs_the_template_gives_it() {
    on_a_node("labels-on-jobs", async |world| {
        let wants = "has(object.metadata.labels) && 'cost-center' in object.metadata.labels";
        let _policy = policy(world, "batch", "jobs", wants).await;
        let bare: Job =
            serde_json::from_value(json!({"metadata": {"name": "bare"}, "spec": {"template": {"spec": bare_pod()}}}))
                .expect("a Job");
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        refuses("a Job without the label is refused", async || {
            world
                .namespace
                .jobs()
                .create(&dry_run, &bare)
                .await
                .is_err_and(|error| error.to_string().contains("policy wants"))
        })
        .await;

        let unlabelled = world.script("unlabelled", "true").await;
        let said = stands_in_the_way(world, "unlabelled").await;
        assert!(said.contains("not as the policy wants it"), "whose word it is, is told: {said}");
        let labelled = world.script_with("labelled", "true", |kind| {
            kind.template["metadata"] = json!({"labels": {"cost-center": "4711"}});
        });
        world.completes(&labelled.await).await;
        assert_ne!(world.status(&unlabelled).await.state, State::Completed);
    })
    .await;
}

#[tokio::test]
async fn a_policy_against_pods_without_an_owner_lets_tasks_run() {
    on_a_node("no-bare-pods", async |world| {
        let _policy = policy(world, "", "pods", "has(object.metadata.ownerReferences)").await;
        let bare: Pod =
            serde_json::from_value(json!({"metadata": {"name": "bare"}, "spec": bare_pod()})).expect("a pod");
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        refuses("a bare pod is refused", async || {
            world
                .namespace
                .pods()
                .create(&dry_run, &bare)
                .await
                .is_err_and(|error| error.to_string().contains("policy wants"))
        })
        .await;
        let task = world.script("task", "true").await;
        is_ready(world, "task").await;
        assert_eq!(world.completes(&task).await.attempt, 1);
    })
    .await;
}

#[tokio::test]
async fn a_task_with_the_longest_of_names_has_its_events() {
    on_a_node("long-name", async |world| {
        let long = "n".repeat(253);
        let mut tasks = vec![];
        for name in ["short", &long[..241], &long] {
            tasks.push(world.task_with(name, |spec| spec.type_ = "there-is-no-such-type".into()).await);
        }
        for task in &tasks {
            world.until(task, "says what is missing", |status| status.reason == Reason::TypeMissing).await;
            eventually(&format!("task {} has an event", task.name_any()), A_CHANGE, async || {
                let events = world.namespace.api::<Event>().list(&ListParams::default()).await.ok()?.items;
                let mut regarding = events.iter().filter_map(|event| event.regarding.as_ref());
                regarding.any(|about| about.name == task.metadata.name && about.uid == task.uid()).then_some(())
            })
            .await;
        }
    })
    .await;
}

const HOLD: &str = "e2e.example.com/hold";

async fn holds(world: &World, task: &Task, finalizers: &[&str]) {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    world.namespace.tasks().patch(&task.name_any(), &PatchParams::default(), &patch).await.expect("it is accepted");
}

#[tokio::test]
async fn the_work_of_a_deleted_task_ends_at_once_whoever_keeps_the_task() {
    on_a_node("kept-by-others", async |world| {
        world.namespace.create(&task_queue("default", 1)).await;
        world.work("trap 'exit 143' TERM; echo up; sleep 300 & wait").await;
        let running = world.task("running").await;
        world.is_up(&running).await;
        let queued = world.task("queued").await;
        for task in [&running, &queued] {
            holds(world, task, &[HOLD]).await;
        }
        // The one that waits first: it must not begin when the slot becomes free.
        for task in [&queued, &running] {
            world.namespace.tasks().delete(&task.name_any(), &DeleteParams::default()).await.expect("it is deleted");
        }
        eventually("its pod has ended", A_CHANGE, async || {
            let last = world.pods_of(&running).pop()?;
            (last.deleted || !is_live(&last.object)).then_some(())
        })
        .await;
        let next = world.script("next", "true").await;
        world.completes(&next).await;
        assert!(world.pods_of(&queued).is_empty(), "a deleted task is never launched");
        for task in [&running, &queued] {
            let status = world.ends(task, State::Cancelled).await;
            assert_eq!((status.reason, status.archived), (Reason::Deleted, Some(true)));
            let kept = world.namespace.task(&task.name_any()).await;
            assert!(kept.metadata.deletion_timestamp.is_some());
            holds(world, task, &[]).await;
        }
        let archive = Archive::at(&world.namespace.archive(), &Options::default()).expect("a URL");
        for (task, attempts, log) in [(&running, vec![Some(143)], Some("up")), (&queued, vec![], None)] {
            let record = archive.find(&task.uid().expect("a uid")).await.expect("an answer").expect("a record");
            let ended: Vec<_> = record.details.attempts.iter().map(|attempt| attempt.exit_code).collect();
            assert_eq!((ended, record.details.log.as_deref()), (attempts, log));
        }
        world.assert_one_pod_at_a_time();
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_loses_its_label_is_known_all_the_same_or_keeps_it() {
    on_a_node("lost-label", async |world| {
        world.namespace.create(&task_queue("default", 1)).await;
        let task = world.script_with("task", WAITS, never_again).await;
        let pod = world.runs(&task).await;
        let name = pod.name_any();
        let done = world.namespace.kubectl(&["label", "pod", &name, "taskmanager.dev/task-uid-"]).await;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() || said.contains("taskmanager.dev"), "refused, and not for a reason: {said}");
        let next = world.script("next", "true").await;
        world.nothing_changes(&[&task]).await;
        assert_eq!(world.status(&next).await.state, State::Queued, "the slot is held");
        assert_eq!(world.namespace.pods_now().await.len(), 1);

        world.let_go(&pod).await;
        let over = |status: &TaskStatus| status.attempt > 1 || status.state.is_final();
        let status = world.until(&task, "is final, or begun anew", over).await;
        assert_eq!(
            (status.state, status.attempt, status.failures, status.disruptions),
            (State::Completed, 1, 0, 0),
            "{:?}",
            status.attempts
        );
        let pods: Api<Pod> = world.namespace.api();
        let pod = pods.get(&name).await.expect("the pod of the last attempt is kept");
        assert_eq!(ended(&pod, "work").map(|end| end.exit_code), Some(0));
        world.completes(&next).await;
    })
    .await;
}
