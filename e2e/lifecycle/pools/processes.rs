//! Several processes of one pod that ask for work in one slot: two agents at once, and one that a supervisor starts again.

use e2e::gate::Gate;
use e2e::warm::{ONCE_AT_A_TIME, assert_once_at_a_time, images, on_a_node_with_workers, pool_of_clients};
use e2e::world::World;
use serde_json::json;
use task_manager::api::WorkerPool;

use super::{pool, task};

/// A pool of one worker whose container starts agents itself, as `$AGENT`, and shares the gate.
async fn starts_agents(world: &World, gate: &Gate, script: &str, work: &str) -> WorkerPool {
    let mut warm = pool_of_clients(world, 1, 1, &["sh", "-c", script]).await;
    gate.on_template(&mut warm.spec.template);
    let pod = &mut warm.spec.template["spec"];
    let mount = json!({"name": "agent", "mountPath": "/agent"});
    pod["volumes"].as_array_mut().expect("volumes").push(json!({"name": "agent", "emptyDir": {}}));
    let worker = &mut pod["containers"][0];
    worker["volumeMounts"].as_array_mut().expect("mounts").push(mount.clone());
    worker["env"] = json!([{"name": "WORK", "value": format!("{ONCE_AT_A_TIME} {work}").replace('$', "$$")}]);
    pod["initContainers"] = json!([{
        "name": "agent", "image": images(&world.namespace).await.agent, "imagePullPolicy": "Never",
        "command": ["/task-manager", "worker", "--install", "/agent"], "volumeMounts": [mount],
    }]);
    warm
}

#[tokio::test]
async fn two_agents_that_share_a_slot_run_no_task_twice() {
    on_a_node_with_workers("pool-shared", async |world| {
        let gate = Gate::new(&world.namespace);
        let agents = r#"
            agent() { exec /agent/task-manager worker -- sh -c "$WORK"; }
            agent & agent &
            wait
        "#;
        // One is longer than a heartbeat, and one than a worker may be silent for.
        let work = "sleep $(cat $TASK_PAYLOAD_FILE | sed 's/[^0-9]//g')";
        let warm = starts_agents(world, &gate, agents, work).await;
        let workers = pool(world, &warm, &[("work", 0)]).await;
        workers.are_ready(1).await;
        let mut tasks = vec![];
        for (number, seconds) in [0, 1, 7, 0, 17, 0, 1].into_iter().enumerate() {
            let name = format!("task-{number}");
            let named = world.task_with(&name, |spec| {
                spec.type_ = "work".into();
                spec.payload = serde_json::from_value(json!({"seconds": seconds})).ok();
            });
            tasks.push(named.await);
        }
        for task in &tasks {
            let status = world.completes(task).await;
            assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "{:?}", status.attempts);
        }
        assert_eq!(assert_once_at_a_time(&gate).len(), tasks.len());
        assert_eq!((workers.all().len(), workers.status().await.restarts), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_its_supervisor_starts_again_goes_on_with_its_task() {
    on_a_node_with_workers("pool-supervised", async |world| {
        let gate = Gate::new(&world.namespace);
        let script = r#"while :; do /agent/task-manager worker -- sh -c "$WORK"; sleep 0.5; done"#;
        // The first agent that runs it is killed at work.
        let work = r#"mkdir "/gate/killed" || exit 0; kill -9 $PPID; exit 1"#;
        let warm = starts_agents(world, &gate, script, work).await;
        let workers = pool(world, &warm, &[("work", 0)]).await;
        let killed = task(world, "work", "killed").await;
        let after = task(world, "work", "after").await;
        for task in [&killed, &after] {
            let status = world.completes(task).await;
            assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "{:?}", status.attempts);
        }
        assert_eq!(gate.lines("twice"), Vec::<String>::new());
        assert_eq!(gate.lines("began"), ["killed 1", "killed 1", "after 1"]);
        assert_eq!((workers.all().len(), workers.status().await.restarts), (1, 0), "its pod is as good as before");
    })
    .await;
}
