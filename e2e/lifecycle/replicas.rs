//! Two replicas of the chart with a PostgreSQL that they share, one of which is killed while tasks run and wait.

use harness::{Cluster, Database, Namespace, Postgres, With, eventually, in_namespace_of, open_archive, task_queue};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use task_manager::api::{State, Task};
use task_manager::archive::{Filter, Options};

use e2e::client::Client;
use e2e::installed::Release;
use e2e::pods::Pods;
use e2e::world::{A_CHANGE, A_TASK, pods_can_be_made, shell};

const SLOTS: i32 = 4;
/// More than run until the leader is killed.
const TASKS: usize = 16;
/// Those that are submitted after that.
const LATER: usize = 3;

/// Takes its time, and says its progress until somebody has taken it: a replica that goes answers nobody.
const WORK: &str = r#"
say() {
    timeout 5 wget -q -O - --header "Authorization: Bearer $(cat "$TASK_TOKEN_FILE")" \
        --header 'Content-Type: application/json' --post-data "$2" "$TASK_API_URL/worker/v1/$1"
}
sleep 3
until say progress '{"percent": 70}'; do sleep 1; done
printf %s "$TASK_NAME" > "$TASK_RESULT_FILE"
"#;
/// Reports to the address that its payload names; wget cannot PUT.
const LARGE: &str = r#"
at=$(sed 's/.*"at":"\([^"]*\)".*/\1/' "$TASK_PAYLOAD_FILE")
timeout 5 wget -q -O - --header "Authorization: Bearer $(cat "$TASK_TOKEN_FILE")" \
    --header 'Content-Type: application/json' --post-data '{"percent": 40}' "http://$at/worker/v1/progress" || exit 3
seq 1 20000 > /tmp/result
put() {
    printf 'PUT /worker/v1/result HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n' "$at"
    printf 'Authorization: Bearer %s\r\nContent-Type: text/plain\r\n' "$(cat "$TASK_TOKEN_FILE")"
    printf 'Content-Length: %s\r\n\r\n' "$(wc -c < /tmp/result)"
    cat /tmp/result
    sleep 5
}
put | nc "${at%:*}" "${at##*:}" | head -n 1 | grep ' 204 '
"#;

/// The worker port of a replica that does not lead, by its pod's address.
async fn a_follower(release: &Release) -> String {
    eventually("one replica leads and the other does not", A_CHANGE, async || {
        let leader = release.leader().await?;
        let replicas = release.replicas().await;
        let follower = replicas.into_iter().find(|pod| pod.name_any() != leader)?;
        Some(format!("{}:8082", follower.status?.pod_ip?))
    })
    .await
}

/// Submits a task whose work reports to this address.
async fn reports_to(client: &Client, key: &str, address: &str) -> Task {
    let submission = json!({"task_type": "large", "priority": "high", "payload": {"at": address}});
    client.submit(key, &submission).await
}

/// Its progress and its result, which is too large for a status, are told as its work said them.
async fn was_heard(ns: &Namespace, client: &Client, task: &Task) {
    let done = ns.task_within(A_TASK, &task.name_any(), "is final", |_, status| status.state.is_final()).await;
    let status = done.status.expect("a status");
    assert_eq!((status.state, status.attempt), (State::Completed, 1), "{}: {:?}", task.name_any(), status.message);
    assert_eq!(status.progress.and_then(|progress| progress.percent), Some(40));
    let told = client.get(&format!("/api/v1/tasks/{}/result", task.uid().expect("a uid"))).await;
    let whole: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert!(told == whole, "another result of {} bytes", told.len());
}

async fn count(ns: &Namespace, is_so: impl Fn(State) -> bool) -> usize {
    let tasks = ns.tasks().list(&ListParams::default()).await.expect("tasks").items;
    tasks.iter().filter(|task| is_so(task.status.as_ref().map_or(State::Queued, |status| status.state))).count()
}

/// Ends the replica that leads without a word, and waits until another leads. The pod of the one that was killed.
async fn kill_the_leader(ns: &Namespace, release: &Release) -> String {
    let killed = release.leader().await.expect("one leads");
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    ns.pods().delete(&killed, &at_once).await.expect("it is deleted");
    eventually("another leads", A_CHANGE, async || release.leader().await.filter(|leader| *leader != killed)).await;
    killed
}

/// The archive has the record of each of these tasks, and no other.
async fn all_are_recorded(database: &Database, tasks: &[Task]) {
    let archive = open_archive(&database.url, &Options::default()).await.expect("the archive opens");
    for task in tasks {
        let record = archive.find(&task.uid().expect("a uid")).await.expect("an answer").expect("a record");
        let status = task.status.clone().unwrap_or_default();
        let (summary, details) = (record.summary, record.details);
        assert_eq!((summary.state, summary.attempt), (status.state, status.attempt), "{}", task.name_any());
        assert_eq!((details.result, details.attempts.len()), (status.result, status.attempts.len()));
    }
    let many = archive.count(&Filter::default()).await.expect("a count").many;
    assert_eq!(many, tasks.len() as u64);
}

fn progress(task: &Task) -> Option<i32> {
    task.status.as_ref()?.progress.as_ref()?.percent
}

#[tokio::test]
async fn the_other_replica_goes_on_when_the_leader_is_killed_and_nothing_runs_twice() {
    in_namespace_of(Cluster::Node, "replicas", async |ns| {
        pods_can_be_made(&ns).await;
        let server = Postgres::start_for_pods(&ns.cluster.host_address().expect("a node has one")).await;
        let database = server.database_for_pods().await;
        let release = Release::prepare_replicas(&ns, &database.for_pods).await;
        let pods = Pods::record(&ns).await;
        ns.create(&task_queue("default", SLOTS)).await;
        ns.create(&shell("work", WORK)).await;
        ns.create(&shell("large", LARGE).with(e2e::world::never_again)).await;
        release.install("helm4").await;
        release.test("helm4").await;
        let client = Client::start(&ns, release.rest()).await;

        let service = format!("{0}-task-manager-worker.{0}:8082", ns.name);
        let by_service = reports_to(&client, "by-service", &service).await;
        let by_follower = reports_to(&client, "by-follower", &a_follower(&release).await).await;
        was_heard(&ns, &client, &by_service).await;
        was_heard(&ns, &client, &by_follower).await;

        let work: Value = json!({"task_type": "work", "payload": {}});
        let keys: Vec<String> = (0..TASKS).map(|number| format!("task-{number}")).collect();
        client.submit_many(&keys, &work).await;
        eventually("some are done, some run and some wait", A_TASK, async || {
            let ended = count(&ns, State::is_final).await;
            let run = count(&ns, |state| state == State::Processing).await;
            (ended > 3 && run == SLOTS as usize).then_some(())
        })
        .await;
        let waiting = count(&ns, |state| state == State::Queued).await;
        assert!(waiting > 0, "none waits any longer: submit more of them");
        let killed = kill_the_leader(&ns, &release).await;
        let mut later = vec![];
        for number in 0..LATER {
            later.push(client.submit(&format!("later-{number}"), &work).await.name_any());
        }
        let again = client.submit("task-0", &work).await;

        let done = ns.all_archived(A_TASK).await;
        assert_eq!(done.len(), 2 + TASKS + LATER, "a request that is sent again, {}, makes no task", again.name_any());
        for task in &done {
            let (name, status) = (task.name_any(), task.status.clone().expect("a status"));
            let counted = (status.state, status.attempt, status.failures, status.disruptions);
            assert_eq!(counted, (State::Completed, 1, 0, 0), "{name}: {:?}", status.message);
            let is_large = task.spec.type_ == "large";
            assert_eq!(status.result, (!is_large).then(|| name.clone().into()), "{name}");
            assert!(!later.contains(&name) || progress(task) == Some(70), "{name}: {:?}", status.progress);
        }
        pods.assert_one_for_each_attempt(&done);
        assert!(pods.most_at_once() <= SLOTS as usize, "{} pods at once", pods.most_at_once());
        all_are_recorded(&database, &done).await;
        let replicas = release.replicas().await;
        assert!(replicas.iter().all(|pod| pod.name_any() != killed), "the one that was killed came back");

        let told = release.uninstall("helm").await;
        assert!(told.contains("uninstalled"), "{told}");
        release.clean_up().await;
    })
    .await;
}
