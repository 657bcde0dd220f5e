//! A pool of an installed chart with two replicas: its workers are in another namespace, and reach the worker port by the Service.

use e2e::gate::{Gate, HELD};
use e2e::installed::{CHART, Release, root};
use e2e::warm::{ONCE_AT_A_TIME, Workers, assert_once_at_a_time, pool_of_agents_in, warm_type};
use e2e::world::{A_CHANGE, A_TASK, pods_can_be_made};
use harness::{Cluster, Metrics, Namespace, Postgres, With, eventually, in_namespace_of};
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;
use task_manager::api::{State, Task};

const WORKERS: i32 = 4;
/// So many come at each of four moments.
const TASKS: usize = 10;

/// Metrics of pools on the dashboard, of which the replica that leads has series by then.
const SHOWN: [&str; 5] = [
    "task_manager_pool_workers",
    "task_manager_pool_tasks_waiting",
    "task_manager_pool_tasks_given_total",
    "task_manager_pool_dispatch_seconds_bucket",
    "task_manager_token_reviews_total",
];

/// One is at work from the first to the last.
fn script() -> String {
    format!(
        r#"{ONCE_AT_A_TIME}
        case $TASK_NAME in
        long) {HELD} ;;
        large) seq 1 20000 > "$TASK_RESULT_FILE"; exit 0 ;;
        *) sleep 1 ;;
        esac
        printf '"%s"' "$TASK_NAME" > "$TASK_RESULT_FILE""#
    )
}

async fn task(ns: &Namespace, name: &str) -> Task {
    ns.create(&harness::task(name).with(|spec| spec.type_ = "work".into())).await
}

/// Tasks come, and some of them have begun.
async fn are_at_work(ns: &Namespace, gate: &Gate, moment: usize) {
    for number in 0..TASKS {
        task(ns, &format!("task-{moment}-{number}")).await;
    }
    eventually("some have begun", A_TASK, async || (gate.lines("began").len() > moment * TASKS + 2).then_some(()))
        .await;
}

/// Ends the replica that leads without a word, and waits until another leads.
async fn kill_the_leader(ns: &Namespace, release: &Release) {
    let killed = release.leader().await.expect("one leads");
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    ns.pods().delete(&killed, &at_once).await.expect("it is deleted");
    eventually("another leads", A_CHANGE, async || release.leader().await.filter(|leader| *leader != killed)).await;
}

/// Each task ran once, in one attempt, and has its result.
async fn all_ran_once(ns: &Namespace, gate: &Gate) {
    let done = ns.all_archived(A_TASK).await;
    for task in &done {
        let (name, status) = (task.name_any(), task.status.clone().unwrap_or_default());
        let counted = (status.state, status.attempt, status.failures, status.disruptions);
        assert_eq!(counted, (State::Completed, 1, 0, 0), "{name}: {:?} {:?}", status.message, status.attempts);
        let result = (name != "large").then(|| json!(name));
        assert_eq!(status.result, result, "{name}");
    }
    assert_eq!((done.len(), assert_once_at_a_time(gate).len()), (4 * TASKS + 2, 4 * TASKS + 2));
}

#[tokio::test]
async fn busy_workers_outlast_a_chart_whose_leader_is_killed_upgraded_and_rolled_back() {
    in_namespace_of(Cluster::Node, "pool-chart", async |ns| {
        in_namespace_of(Cluster::Node, "pool-tasks", async |tasks| {
            pods_can_be_made(&ns).await;
            pods_can_be_made(&tasks).await;
            let server = Postgres::start_for_pods(&ns.cluster.host_address().expect("a node has one")).await;
            let database = server.database_for_pods().await;
            let release = Release::prepare_replicas(&ns, &database.for_pods).await;
            let release = release.watching(&tasks, "networkPolicies.enabled=true");
            release.install("helm").await;
            let gate = Gate::new(&tasks);
            let mut warm = pool_of_agents_in(&tasks, WORKERS, WORKERS, &script()).await;
            gate.on_template(&mut warm.spec.template);
            let workers = Workers::record(&tasks).await;
            tasks.create(&warm).await;
            tasks.create(&warm_type("work", 0)).await;

            task(&tasks, "long").await;
            task(&tasks, "large").await;
            are_at_work(&tasks, &gate, 0).await;
            kill_the_leader(&ns, &release).await;
            are_at_work(&tasks, &gate, 1).await;
            let other = ["--set", "crds.install=false,queue.defaultTasks=40,log.format=text"];
            release.put("helm", "upgrade", &root().join(CHART), &other).await;
            are_at_work(&tasks, &gate, 2).await;
            release.roll_back("helm").await;
            are_at_work(&tasks, &gate, 3).await;
            gate.open("long");

            all_ran_once(&tasks, &gate).await;
            let pods = (workers.all().len(), workers.all().iter().filter(|seen| seen.deleted).count());
            assert_eq!(pods, (WORKERS as usize, 0), "none was replaced: {:?}", e2e::warm::told(&workers));
            assert_eq!(workers.status().await.restarts, 0);
            for shown in SHOWN {
                let has = |metrics: &Metrics| metrics.value(shown, &[]).is_some();
                assert!(release.metrics().await.iter().any(has), "no replica tells {shown}");
            }
            release.uninstall("helm").await;
            release.clean_up().await;
        })
        .await;
    })
    .await;
}
