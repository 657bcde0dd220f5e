//! The chart on a node, from the image: tasks through the Services, with the rights of the chart and no others.

use harness::{Cluster, Namespace, SOON, eventually, in_namespace_of, target};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::{Api, ResourceExt};
use serde_json::json;
use task_manager::api::{State, Task};
use tokio::process::Command;

use e2e::client::Client;
use e2e::installed::Release;
use e2e::world::{A_TASK, pods_can_be_made, shell};

const UPGRADE: &str = include_str!("../../docs/upgrade.md");
const SCRIPT: &str = r#"
wget -q -O - --header "Authorization: Bearer $(cat "$TASK_TOKEN_FILE")" --header 'Content-Type: application/json' \
    --post-data '{"percent": 70}' "$TASK_API_URL/worker/v1/progress" || exit 3
"#;

async fn submitted(client: &Client, key: &str) -> Task {
    client.submit(key, &json!({"task_type": "work", "priority": "high", "payload": {}})).await
}

async fn succeeds(ns: &Namespace, task: &Task) {
    let done = ns.task_within(A_TASK, &task.name_any(), "is final", |_, status| status.state.is_final()).await;
    let status = done.status.expect("a status");
    assert_eq!(status.state, State::Completed, "{:?}", status.message);
    assert_eq!(status.progress.and_then(|progress| progress.percent), Some(70), "told over the worker Service");
}

/// The ids of all tasks, in order.
async fn tasks_listed(client: &Client) -> Vec<String> {
    let list = client.get_json("/api/v1/tasks").await;
    let ids = list["items"].as_array().into_iter().flatten().filter_map(|task| task["task_id"].as_str());
    let mut ids: Vec<String> = ids.map(str::to_owned).collect();
    ids.sort();
    ids
}

/// A line of docs/upgrade.md, run as it stands but for the namespace, in a folder of the test.
async fn run_as_told(ns: &Namespace, begin: &str) {
    let line = UPGRADE.lines().find(|line| line.starts_with(begin)).expect("the page has such a line");
    let folder = target().join("test-logs").join(&ns.name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let kubeconfig = ns.cluster.kubeconfig();
    let programs = kubeconfig.with_file_name("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-ec", &line.replace("-n task-manager", &format!("-n {}", ns.name))]).current_dir(folder);
    command.env("KUBECONFIG", &kubeconfig).env("PATH", format!("{}:{path}", programs.display()));
    let done = command.output().await.expect("a shell");
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The archive is backed up, lost and restored while no operator runs, by the commands of docs/upgrade.md.
async fn is_backed_up_and_restored(ns: &Namespace) {
    let pod = UPGRADE.split("<<'YAML'\n").nth(1).and_then(|rest| rest.split("\nYAML\n").next()).expect("a pod");
    let pod = pod.replace("docker.io/library/busybox:1.37", "localhost/busybox:1");
    let pod = pod.replace("claimName: task-manager", &format!("claimName: {}-task-manager", ns.name));
    ns.apply_yaml(&pod).await.expect("the pod is accepted");
    run_as_told(ns, "kubectl -n task-manager wait --for=condition=Ready pod/archive").await;
    run_as_told(ns, "kubectl -n task-manager exec archive -- tar").await;
    let lost = ns.kubectl(&["exec", "archive", "--", "rm", "/archive/archive.db"]).await;
    assert!(lost.status.success(), "{}", String::from_utf8_lossy(&lost.stderr));
    run_as_told(ns, "kubectl -n task-manager exec -i archive -- sh").await;
    run_as_told(ns, "kubectl -n task-manager delete pod archive").await;
}

/// Everything of the release is gone but what is to stay.
async fn tasks_and_archive_remain(ns: &Namespace, task: &Task) {
    eventually("its pods are gone", SOON, async || {
        ns.api::<Deployment>().list(&Default::default()).await.ok()?.items.is_empty().then_some(())
    })
    .await;
    assert!(ns.tasks().get_opt(&task.name_any()).await.expect("an answer").is_some(), "the tasks stay");
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
        let client = Client::start(&ns, release.rest()).await;
        let [one, two] = [submitted(&client, "one").await, submitted(&client, "two").await];
        succeeds(&ns, &one).await;
        succeeds(&ns, &two).await;
        let pods = ns.pods_now().await;
        let of_task = |pod: &&Pod| pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref()).is_some();
        let class = pods.iter().find(of_task).and_then(|pod| pod.spec.as_ref()?.priority_class_name.clone());
        assert_eq!(class, Some(format!("{}-high", ns.name)), "the chart's PriorityClass");

        let told = release.uninstall("helm4").await;
        assert!(told.contains("uninstalled"), "{told}");
        tasks_and_archive_remain(&ns, &one).await;
        // Deleted while no operator runs, it is in the archive alone.
        ns.tasks().delete(&two.name_any(), &Default::default()).await.expect("it is deleted");
        is_backed_up_and_restored(&ns).await;

        release.install("helm4").await;
        release.test("helm4").await;
        let three = submitted(&client, "three").await;
        succeeds(&ns, &three).await;
        let archived = client.get_json(&format!("/api/v1/tasks/{}/status", two.uid().expect("a uid"))).await;
        assert_eq!(archived["status"], "completed", "it is in the archive that was restored: {archived}");
        let mut both = [&one, &three].map(|task| task.uid().expect("a uid"));
        both.sort();
        assert_eq!(tasks_listed(&client).await, both, "the new one finds what the old one left");
        release.uninstall("helm").await;
        release.clean_up().await;
    })
    .await;
}
