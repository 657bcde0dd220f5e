//! The API server does not answer for two minutes: at first it keeps its connections, then it is gone.

use std::time::Duration;

use e2e::gate::{Gate, HELD};
use e2e::parts::{freeze, stop};
use e2e::world::{A_CHANGE, World, never_again, retry};
use harness::{Answer, Rest, eventually, http_get, stays, task_queue};
use kube::ResourceExt;
use serde_json::json;
use task_manager::api::{Reason, State, Task, TaskStatus, TaskTypeSpec};

use super::on_a_fragile_node;
use super::rest::{beside, is_put_off, submission, tells_all_of, tells_the_truth};

const SLOTS: usize = 4;
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";
/// Six times as long as the lease of whoever leads.
const A_MINUTE: Duration = Duration::from_secs(60);

fn counted(status: &TaskStatus) -> (i32, i32, i32) {
    (status.attempt, status.failures, status.disruptions)
}

#[tokio::test]
async fn tasks_that_run_fail_and_wait_while_the_api_server_is_away_are_all_judged_rightly() {
    on_a_fragile_node("api-away", async |world| {
        world.namespace.create(&task_queue("default", SLOTS as i32)).await;
        let gate = Gate::new(&world.namespace);
        let held = async |name: &str, then: &str, change: fn(&mut TaskTypeSpec)| -> Task {
            let script = format!("{HELD}; touch /gate/$TASK_NAME-ended; {then}");
            world
                .script_with(name, &script, |kind| {
                    gate.on(kind);
                    change(kind);
                })
                .await
        };
        let goes_on = held("goes-on", "echo patience > $TASK_RESULT_FILE", never_again).await;
        let ends = held("ends", "echo meanwhile > $TASK_RESULT_FILE", never_again).await;
        let fails = held("fails", "[ $TASK_ATTEMPT -gt 1 ]", |kind| retry(kind).limit = Some(1)).await;
        let too_slow = held("too-slow", "", |kind| {
            never_again(kind);
            kind.defaults.timeout_seconds = Some(A_MINUTE.as_secs() as i32);
        })
        .await;
        for task in [&goes_on, &ends, &fails] {
            world.runs(task).await;
        }
        world.work("true").await;
        let waits = [world.task("waits-1").await, world.task("waits-2").await];
        let (_replica, rest) = beside(world).await;
        tells_the_truth(world, &rest).await;
        let id = goes_on.uid().expect("a uid");
        let mut followed = rest.events(&id, None).await;
        assert_eq!(followed.next_state().await.map(|told| told.0).as_deref(), Some("processing"));

        let frozen = freeze("kube-apiserver");
        reads_go_on_and_all_else_is_put_off(&rest, &id).await;
        for name in ["ends", "fails"] {
            gate.open(name);
            gate.shows(&format!("{name}-ended")).await;
        }
        lives_though_it_cannot_lead(world).await;
        let gone = stop("kube-apiserver");
        stays("it lives", A_MINUTE, async || answers(world, "/healthz").await).await;
        reads_go_on_and_all_else_is_put_off(&rest, &id).await;
        is_put_off(&rest.get(&format!("/api/v1/tasks/{NOBODY}/status")).await, "not-ready");
        gone.mend();
        drop(frozen);
        let sent_again = all_is_well_again(&rest).await;
        gate.open("goes-on");

        let status = world.ends(&too_slow, State::Failed).await;
        assert_eq!((status.reason, counted(&status)), (Reason::Timeout, (1, 1, 0)), "its kubelet ended it meanwhile");
        for (task, left) in [(&goes_on, "patience"), (&ends, "meanwhile")] {
            let status = world.completes(task).await;
            assert_eq!((counted(&status), status.result), ((1, 0, 0), Some(left.into())));
        }
        let status = world.completes(&fails).await;
        assert_eq!((counted(&status), status.attempts[0].reason), ((2, 1, 0), Reason::ExitCode));
        for task in &waits {
            assert_eq!(counted(&world.completes(task).await), (1, 0, 0));
        }
        let sent_again = world.namespace.task(&sent_again).await;
        assert_eq!(counted(&world.completes(&sent_again).await), (1, 0, 0));
        let mut told = vec![];
        while let Some((status, attempt, _)) = followed.next_state().await {
            told.push((status, attempt));
        }
        assert_eq!(told, [("completed".to_owned(), 1)], "nothing twice, and nothing but its end");
        tells_the_truth(world, &rest).await;
        tells_all_of(world, &rest, &[goes_on, sent_again]).await;
        assert_eq!(world.all_pods().len(), 8, "nothing ran twice");
        assert!(world.most_pods_at_once() <= SLOTS);
        world.assert_one_pod_at_a_time();
        eventually("it is ready again", A_CHANGE, async || answers(world, "/readyz").await.then_some(())).await;
    })
    .await;
}

/// REST answers from memory. A request for which it needs the API server is refused, to be sent again.
async fn reads_go_on_and_all_else_is_put_off(rest: &Rest, id: &str) {
    assert_eq!(rest.status(id).await["status"], "processing");
    let listed = rest.get("/api/v1/tasks").await;
    assert_eq!((listed.status, listed.json()["items"].as_array().map(Vec::len)), (200, Some(6)), "{}", listed.text);
    is_put_off(&rest.get(&format!("/api/v1/tasks/{id}")).await, "api-server");
    is_put_off(&submit(rest).await, "api-server");
    is_put_off(&rest.post("/api/v1/tasks", &submission("refused")).await, "api-server");
    is_put_off(&rest.post(&format!("/api/v1/tasks/{id}/cancel"), &json!({})).await, "api-server");
}

/// Each time the same request, with its key.
async fn submit(rest: &Rest) -> Answer {
    let body = json!({"task_type": "work", "payload": {}});
    rest.post_with("/api/v1/tasks", &[("idempotency-key", "while-it-is-away")], &body).await
}

/// The request that was put off is taken, once; returns the name of its task.
async fn all_is_well_again(rest: &Rest) -> String {
    let taken = eventually("a request that is sent again is taken", A_CHANGE, async || {
        Some(submit(rest).await).filter(|answer| answer.status == 202)
    })
    .await;
    assert_eq!(submit(rest).await.task_id(), taken.task_id());
    rest.status(&taken.task_id()).await["name"].as_str().expect("a name").to_owned()
}

async fn answers(world: &World, path: &str) -> bool {
    http_get(world.operator.health, path).await.is_some_and(|(status, _)| status == 200)
}

/// Its lease runs out, so its term ends; and it neither falls over nor says that it is ready.
async fn lives_though_it_cannot_lead(world: &World) {
    eventually("its term is over", A_CHANGE, async || {
        world.operator.logged().contains("the lease ran out").then_some(())
    })
    .await;
    eventually("it is not ready", A_CHANGE, async || (!answers(world, "/readyz").await).then_some(())).await;
    stays("it lives, and is not ready", A_MINUTE, async || {
        answers(world, "/healthz").await && !answers(world, "/readyz").await
    })
    .await;
}
