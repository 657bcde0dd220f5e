//! Workers that speak the protocol themselves, some of them badly.

use e2e::gate::Gate;
use e2e::warm::{on_a_node_with_workers, pool_of_clients};
use e2e::world::World;
use kube::ResourceExt;
use serde_json::json;
use task_manager::api::{Reason, State, Task};

use super::{pool, task};

/// Words of a client in shell.
const CLIENT: &str = r#"
next() {
    timeout "${2:-60}" wget -q -O - --header "Authorization: Bearer $(cat "$TASK_TOKEN_FILE")" \
        --header 'Content-Type: application/json' --post-data "$1" "$TASK_API_URL/worker/v1/next"
}
is() { case $answer in *"\"$1\":\"$2"*) true ;; *) false ;; esac }
lease() { echo "$answer" | sed -n 's/.*"lease":"\([^"]*\)".*/\1/p'; }
hands_in() { lease=$(lease); said='{}'; [ -z "$lease" ] || said="{\"done\":{\"lease\":\"$lease\"$1}}"; }
stops() { case $answer in *'"stop":true'*) exit 0 ;; esac }
# Runs whatever it is given, and does it.
works() {
    said='{}'
    while :; do
        answer=$(next "$said") || { sleep 1; continue; }
        stops
        hands_in ''
    done
}
"#;

pub(super) fn client(script: &str) -> [String; 3] {
    ["sh".into(), "-c".into(), format!("{CLIENT}{script}")]
}

async fn all_complete(world: &World, names: impl IntoIterator<Item = String>) -> Vec<Task> {
    let mut tasks = vec![];
    for name in names {
        tasks.push(task(world, "work", &name).await);
    }
    for task in &tasks {
        world.completes(task).await;
    }
    tasks
}

pub(super) fn words(client: &[String; 3]) -> [&str; 3] {
    client.each_ref().map(String::as_str)
}

#[tokio::test]
async fn a_long_lived_python_worker_keeps_its_model_for_all_tasks() {
    on_a_node_with_workers("pool-python", async |world| {
        let warm = pool_of_clients(world, 1, 1, &["/usr/bin/python3", "/model.py"]).await;
        let workers = pool(world, &warm, &[("work", 0)]).await;
        let mut tasks = vec![];
        for name in ["one", "two", "three"] {
            let with_texts = world.task_with(name, |spec| {
                spec.payload = serde_json::from_value(json!({"texts": ["good", "a bad day"]})).ok();
            });
            tasks.push(with_texts.await);
        }
        let mut processes = vec![];
        for task in &tasks {
            let result = world.completes(task).await.result.expect("a result");
            assert_eq!(result["scores"], json!([1, -1]));
            processes.push(result["process"].clone());
        }
        assert!(processes.iter().all(|process| *process == processes[0]), "one process did all: {processes:?}");
        assert_eq!(workers.all().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_never_ends_its_task_is_ended_with_its_pod_and_the_task_has_timed_out() {
    on_a_node_with_workers("pool-endless", async |world| {
        let script = r#"
            said='{}'
            while :; do
                answer=$(next "$said") || { sleep 1; continue; }
                stops
                if is name endless; then while :; do sleep 1; done; fi
                hands_in ''
            done
        "#;
        let warm = pool_of_clients(world, 1, 1, &words(&client(script))).await;
        let workers = pool(world, &warm, &[("work", 0)]).await;
        let endless = world.task_with("endless", |spec| spec.timeout_seconds = Some(3)).await;
        let status = world.ends(&endless, State::Failed).await;
        assert_eq!((status.reason, status.failures, status.disruptions), (Reason::Timeout, 1, 0));
        let pod = status.attempts[0].pod.clone().expect("a pod");
        all_complete(world, ["after".to_owned()]).await;
        workers.one_comes_in_the_place_of(&pod).await;
        workers.until("has counted it", |status| status.restarts == 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_supervisor_that_begins_anew_with_one_task_fails_it_and_goes_on_with_others() {
    on_a_node_with_workers("pool-anew", async |world| {
        // It loses the task each time that its child ends, and asks again.
        let script = r#"
            said='{}'
            while :; do
                answer=$(next "$said") || { sleep 1; continue; }
                stops
                if is name poison; then said='{}'; else hands_in ''; fi
            done
        "#;
        let warm = pool_of_clients(world, 1, 1, &words(&client(script))).await;
        let workers = pool(world, &warm, &[("work", 0)]).await;
        let poison = task(world, "work", "poison").await;
        let others = all_complete(world, ["one", "two"].map(str::to_owned)).await;
        let status = world.ends(&poison, State::Failed).await;
        assert_eq!((status.reason, status.failures, status.disruptions), (Reason::WorkerRestarted, 1, 0));
        assert_eq!(others.len(), 2);
        assert_eq!((workers.all().len(), workers.status().await.restarts), (1, 0), "its pod is as good as before");
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_asks_and_hangs_up_loses_no_task() {
    on_a_node_with_workers("pool-hangs-up", async |world| {
        let script = r#"
            said='{}'
            while :; do
                answer=$(next "$said" 0.3) || continue
                stops
                hands_in ''
            done
        "#;
        let warm = pool_of_clients(world, 1, 1, &words(&client(script))).await;
        let workers = pool(world, &warm, &[("work", 3)]).await;
        for task in all_complete(world, (0..10).map(|number| format!("task-{number}"))).await {
            let status = world.status(&task).await;
            assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "{:?}", status.attempts);
        }
        assert_eq!(workers.all().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_does_not_ask_any_longer_is_replaced() {
    on_a_node_with_workers("pool-idle", async |world| {
        let gate = Gate::new(&world.namespace);
        let script = "mkdir /gate/first || works; next '{\"wait\": 0}'; while :; do sleep 1; done";
        let mut warm = pool_of_clients(world, 1, 1, &words(&client(script))).await;
        gate.on_template(&mut warm.spec.template);
        let workers = pool(world, &warm, &[("work", 0)]).await;
        workers.are_ready(1).await;
        let first = workers.all()[0].object.name_any();
        workers.one_comes_in_the_place_of(&first).await;
        workers.until("has counted it", |status| status.restarts == 1 && status.ready == 1).await;
        all_complete(world, ["after".to_owned()]).await;
        let log = world.operator.logged();
        assert!(log.contains("it was idle and did not ask for work for twice heartbeatSeconds and 5 s"));
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_fails_what_others_then_do_is_replaced() {
    on_a_node_with_workers("pool-fails-all", async |world| {
        let gate = Gate::new(&world.namespace);
        let script = r#"
            mkdir /gate/first || works
            said='{}'
            while :; do
                answer=$(next "$said") || { sleep 1; continue; }
                stops
                hands_in ',"error":{"type":"Broken"}'
            done
        "#;
        let mut warm = pool_of_clients(world, 2, 2, &words(&client(script))).await;
        gate.on_template(&mut warm.spec.template);
        let workers = pool(world, &warm, &[("work", 20)]).await;
        workers.are_ready(2).await;
        let tasks = all_complete(world, (0..6).map(|number| format!("task-{number}"))).await;
        workers.until("has counted it", |status| status.restarts == 1 && status.ready == 2).await;
        assert_eq!(workers.all().len(), 3, "one worker in the place of one");
        for task in tasks {
            let status = world.status(&task).await;
            let failed = status.attempts.len() as i32 - 1;
            assert_eq!(
                (status.failures, status.disruptions),
                (failed, 0),
                "each failure counts: {:?}",
                status.attempts
            );
        }
        let log = world.operator.logged();
        assert!(log.contains("three tasks failed on it that others then did"));
    })
    .await;
}
