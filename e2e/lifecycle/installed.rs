//! The chart on a node, from the image: tasks through the Services, with the rights of the chart and no others.

use harness::{Cluster, Namespace, SOON, eventually, in_namespace_of};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::Api;
use serde_json::{Value, json};
use task_manager::api::State;

use e2e::installed::Release;
use e2e::world::{A_TASK, pods_can_be_made, shell};

const SCRIPT: &str = r#"
wget -q -O - --header "Authorization: Bearer $(cat "$TASK_TOKEN_FILE")" --header 'Content-Type: application/json' \
    --post-data '{"percent": 70}' "$TASK_API_URL/worker/v1/progress" || exit 3
"#;

/// What a pod of the namespace gets from this request, made by the name of the Service.
async fn asked(ns: &Namespace, pod: &str, url: &str, body: Option<&Value>) -> Value {
    let post = body.map(|body| format!("--header 'Content-Type: application/json' --post-data '{body}'"));
    let script = format!("wget -q -O - {} '{url}'", post.unwrap_or_default());
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": pod},
        "spec": {"restartPolicy": "Never", "containers": [
            {"name": "client", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["sh", "-c", script]},
        ]},
    }))
    .expect("a pod");
    let name = ns.create(&pod).await.metadata.name.expect("a name");
    let phase = eventually("the client has ended", A_TASK, async || {
        let phase = ns.pods().get(&name).await.ok()?.status?.phase?;
        matches!(phase.as_str(), "Succeeded" | "Failed").then_some(phase)
    })
    .await;
    let log = ns.pods().logs(&name, &Default::default()).await.expect("its log");
    assert_eq!(phase, "Succeeded", "{log}");
    serde_json::from_str(&log).unwrap_or_else(|error| panic!("{error}: {log}"))
}

/// Submits a task over REST, and waits until it has succeeded. Its name.
async fn a_task_succeeds(ns: &Namespace, release: &Release, name: &str) {
    let body = json!({"task_type": "work", "name": name, "priority": "high", "payload": {}});
    asked(ns, &format!("submits-{name}"), &format!("{}/api/v1/tasks", release.rest()), Some(&body)).await;
    let done = ns.task_within(A_TASK, name, "is final", |_, status| status.state.is_final()).await;
    let status = done.status.expect("a status");
    assert_eq!(status.state, State::Completed, "{:?}", status.message);
    assert_eq!(status.progress.and_then(|progress| progress.percent), Some(70), "told over the worker Service");
}

async fn tasks_listed(ns: &Namespace, release: &Release, pod: &str) -> Vec<String> {
    let list = asked(ns, pod, &format!("{}/api/v1/tasks", release.rest()), None).await;
    let names = list["items"].as_array().into_iter().flatten().filter_map(|task| task["name"].as_str());
    names.map(str::to_owned).collect()
}

/// Everything of the release is gone but what is to stay.
async fn tasks_and_archive_remain(ns: &Namespace, task: &str) {
    eventually("its pods are gone", SOON, async || {
        ns.api::<Deployment>().list(&Default::default()).await.ok()?.items.is_empty().then_some(())
    })
    .await;
    assert!(ns.tasks().get_opt(task).await.expect("an answer").is_some(), "the tasks stay");
    let claims = ns.api::<PersistentVolumeClaim>().list(&Default::default()).await.expect("claims").items;
    assert_eq!(claims.len(), 1, "the archive's volume stays");
    let classes = Api::<PriorityClass>::all(ns.client.clone()).list(&Default::default()).await.expect("classes").items;
    let ours = classes.iter().filter_map(|class| class.metadata.name.as_deref());
    assert_eq!(ours.filter(|name| name.starts_with(&ns.name)).count(), 0);
}

#[tokio::test]
async fn the_chart_runs_tasks_on_a_node_and_leaves_them_when_it_is_uninstalled() {
    in_namespace_of(Cluster::Node, "installed", async |ns| {
        pods_can_be_made(&ns).await;
        let release = Release::prepare(&ns).await;
        ns.create(&shell("work", SCRIPT)).await;
        let told = release.install("helm").await;
        assert!(told.contains("`helm uninstall` leaves"), "{told}");
        release.test("helm").await;
        a_task_succeeds(&ns, &release, "one").await;
        let pods = ns.pods_now().await;
        let of_task = |pod: &&Pod| pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref()).is_some();
        let class = pods.iter().find(of_task).and_then(|pod| pod.spec.as_ref()?.priority_class_name.clone());
        assert_eq!(class, Some(format!("{}-high", ns.name)), "the chart's PriorityClass");

        let told = release.uninstall("helm4").await;
        assert!(told.contains("uninstalled"), "{told}");
        tasks_and_archive_remain(&ns, "one").await;

        release.install("helm4").await;
        release.test("helm4").await;
        a_task_succeeds(&ns, &release, "two").await;
        let mut listed = tasks_listed(&ns, &release, "lists").await;
        listed.sort();
        assert_eq!(listed, ["one", "two"], "the new one finds what the old one left");
        release.uninstall("helm").await;
        release.clean_up().await;
    })
    .await;
}
