//! The operator goes and comes back while workers are at work: they go on, and hand in to the next one.

use std::time::Duration;

use e2e::gate::Gate;
use e2e::warm::{ONCE_AT_A_TIME, assert_once_at_a_time, on_a_node_with_workers, pool_of_agents};
use e2e::world::A_TASK;
use harness::eventually;
use kube::ResourceExt;
use task_manager::api::{Reason, State, Task};

use super::{pool, task};

const TASKS: usize = 60;
const KILLS: usize = 6;
/// Some end while nobody leads.
const AWAY: Duration = Duration::from_secs(2);

const SCRIPT: &str = r#"
case $TASK_TYPE in
fails) exit 1 ;;
slow) trap '' TERM; sleep 30 ;;
esac
sleep "0.$((TASK_ATTEMPT + ${#TASK_NAME}))"
printf '"%s"' "$TASK_NAME" > "$TASK_RESULT_FILE"
"#;

#[tokio::test]
async fn workers_hand_in_to_the_next_operator_and_nothing_runs_twice_or_is_lost() {
    on_a_node_with_workers("pool-taken-over", async |world| {
        let gate = Gate::new(&world.namespace);
        let mut warm = pool_of_agents(world, 3, 3, &format!("{ONCE_AT_A_TIME}{SCRIPT}")).await;
        gate.on_template(&mut warm.spec.template);
        let workers = pool(world, &warm, &[("work", 0), ("fails", 2), ("slow", 0)]).await;
        let mut tasks: Vec<Task> = vec![];
        for number in 0..TASKS {
            tasks.push(task(world, if number % 10 == 5 { "fails" } else { "work" }, &format!("task-{number}")).await);
        }
        for kill in 1..=KILLS {
            let some = kill * TASKS / (KILLS + 2);
            eventually("more have begun", A_TASK, async || (gate.lines("began").len() >= some).then_some(())).await;
            if kill % 3 == 0 {
                world.operator.stop().await;
                tokio::time::sleep(AWAY).await;
                world.operator.start_again().await;
            } else {
                world.operator.crash().await;
            }
        }
        let late = world.task_with("late", |spec| (spec.type_, spec.timeout_seconds) = ("slow".into(), Some(3))).await;
        for (number, task) in tasks.iter().enumerate() {
            let fails = number % 10 == 5;
            let status = world.ends(task, if fails { State::Failed } else { State::Completed }).await;
            let counted = (status.attempt, status.failures, status.disruptions);
            assert_eq!(
                counted,
                if fails { (3, 3, 0) } else { (1, 0, 0) },
                "{}: {:?}",
                task.name_any(),
                status.attempts
            );
        }
        // The next one ends what the one before began too long ago.
        eventually("the slow one has begun", A_TASK, async || {
            gate.lines("began").contains(&"late 1".to_owned()).then_some(())
        })
        .await;
        world.operator.crash().await;
        let status = world.ends(&late, State::Failed).await;
        assert_eq!((status.reason, status.failures, status.disruptions), (Reason::Timeout, 1, 0));
        assert_eq!(assert_once_at_a_time(&gate).len(), TASKS + 2 * TASKS / 10 + 1);
        assert_eq!((workers.all().len(), workers.status().await.restarts), (3, 0), "all are as good as before");
    })
    .await;
}
