//! The agent in a container of an image that knows nothing of it: what the work sees, and how it ends.

use e2e::containers::GLUTTON;
use e2e::gate::{Gate, HELD};
use e2e::warm::{is_agent, on_a_node_with_workers, pool_of_agents, signal};
use e2e::world::{A_TASK, World};
use harness::eventually;
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::{Reason, State, Task, TaskStatus};

use super::{pool, task};

/// Each type of task does something else.
fn script() -> String {
    format!(
        r#"
case $TASK_TYPE in
echoes) cat "$TASK_PAYLOAD_FILE" > "$TASK_RESULT_FILE" ;;
sees) echo "[\"$TASK_ID\", \"$TASK_NAME\", \"$TASK_ATTEMPT\", \"$TASK_KB_ID\", \"$(ls "$TMPDIR" | wc -l)\"]" > "$TASK_RESULT_FILE"
    touch "$TMPDIR/left" ;;
exits) exit 7 ;;
gives-up) echo '{{"error": {{"type": "NoSuchPage", "message": "page 9", "retryable": false}}}}' > "$TASK_RESULT_FILE"; exit 1 ;;
tells) echo '{{"done": 1, "total": 4, "message": "page 1"}}' > "$TASK_PROGRESS_FILE"; {HELD} ;;
deaf) trap '' TERM; sh -c "trap '' TERM; while :; do sleep 1; done" still-there & while :; do sleep 1; done ;;
eats) {GLUTTON} ;;
esac
"#
    )
}

async fn ends(world: &World, task: &Task, state: State, reason: Reason, failures: i32) -> TaskStatus {
    let status = world.ends(task, state).await;
    assert_eq!((status.reason, status.failures, status.disruptions), (reason, failures, 0), "{:?}", status.message);
    status
}

/// Progress is seen over REST while the work goes on.
async fn is_told_as_it_goes(world: &World, gate: &Gate, task: &Task) {
    let (rest, id) = (world.operator.rest(), task.uid().expect("a uid"));
    eventually("REST tells the progress", A_TASK, async || {
        let status = rest.status(&id).await;
        let progress = &status["progress"];
        (progress["done"] == json!(1) && progress["total"] == json!(4) && progress["message"] == json!("page 1"))
            .then_some(())
    })
    .await;
    gate.open("tells");
    let status = world.completes(task).await;
    assert_eq!(status.progress.and_then(|progress| progress.message).as_deref(), Some("page 1"));
}

#[tokio::test]
async fn an_agent_in_any_image_runs_task_after_task_as_a_job_would() {
    on_a_node_with_workers("pool-agent", async |world| {
        let gate = Gate::new(&world.namespace);
        let mut warm = pool_of_agents(world, 1, 1, &script()).await;
        gate.on_template(&mut warm.spec.template);
        let types = ["echoes", "sees", "exits", "gives-up", "tells", "deaf", "eats"].map(|name| (name, 0));
        let workers = pool(world, &warm, &types).await;
        workers.are_ready(1).await;

        let payload = json!({"uri": "s3://in/7.pdf", "pages": [1, 2.50]});
        let echo = world.task_with("echo", |spec| {
            spec.type_ = "echoes".into();
            spec.payload = serde_json::from_value(payload.clone()).ok();
        });
        assert_eq!(world.completes(&echo.await).await.result, Some(payload));
        for name in ["first", "second"] {
            let sees =
                world.task_with(name, |spec| (spec.type_, spec.kb_id) = ("sees".into(), Some("kb-1".into()))).await;
            let seen = json!([sees.uid(), name, "1", "kb-1", "0"]);
            assert_eq!(world.completes(&sees).await.result, Some(seen), "what it sees is its own");
        }
        is_told_as_it_goes(world, &gate, &task(world, "tells", "tells").await).await;
        let failed = ends(world, &task(world, "exits", "exits").await, State::Failed, Reason::ExitCode, 1).await;
        assert_eq!(failed.attempts[0].exit_code, Some(7));
        let failed =
            ends(world, &task(world, "gives-up", "gives-up").await, State::Failed, Reason::ReportedError, 1).await;
        assert!(failed.message.is_some_and(|message| message.contains("NoSuchPage: page 9")));

        let slow = world.task_with("slow", |spec| (spec.type_, spec.timeout_seconds) = ("deaf".into(), Some(2))).await;
        ends(world, &slow, State::Failed, Reason::Timeout, 1).await;
        let only = &workers.all()[0].object;
        assert_eq!(
            signal(only, "-0", |line| !is_agent(line) && line.contains("still-there")),
            0,
            "its whole group was killed"
        );
        let pods: Vec<Value> = e2e::warm::told(&workers);
        assert_eq!((pods.len(), workers.status().await.restarts), (1, 0), "one worker ran them all: {pods:?}");

        // Where the kernel kills a whole container for its use of memory, the worker goes with it.
        let hungry = task(world, "eats", "eats").await;
        let failed = ends(world, &hungry, State::Failed, Reason::OOMKilled, 1).await;
        assert!(failed.message.is_some_and(|message| message.contains("memory")));
        assert_eq!(world.completes(&task(world, "echoes", "after").await).await.attempt, 1);
    })
    .await;
}
