//! The API server does not answer for two minutes: at first it keeps its connections, then it is gone.

use std::time::Duration;

use e2e::gate::{Gate, HELD};
use e2e::parts::{freeze, stop};
use e2e::world::{A_CHANGE, World, never_again, retry};
use harness::{eventually, http_get, stays, task_queue};
use task_manager::api::{Reason, State, Task, TaskStatus, TaskTypeSpec};

use super::on_a_fragile_node;

const SLOTS: usize = 4;
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

        let frozen = freeze("kube-apiserver");
        for name in ["ends", "fails"] {
            gate.open(name);
            gate.shows(&format!("{name}-ended")).await;
        }
        lives_though_it_cannot_lead(world).await;
        let gone = stop("kube-apiserver");
        stays("it lives", A_MINUTE, async || answers(world, "/healthz").await).await;
        gone.mend();
        drop(frozen);
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
        assert_eq!(world.all_pods().len(), 7, "nothing ran twice");
        assert!(world.most_pods_at_once() <= SLOTS);
        world.assert_one_pod_at_a_time();
        eventually("it is ready again", A_CHANGE, async || answers(world, "/readyz").await.then_some(())).await;
    })
    .await;
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
