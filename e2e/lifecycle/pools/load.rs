//! Many tasks, of which every tenth fails in one way or another, over a pool that grows from nothing, whose template changes on
//! the way, and that shrinks to nothing.

use e2e::gate::Gate;
use e2e::warm::{ONCE_AT_A_TIME, POOL, assert_once_at_a_time, on_a_node_with_workers, pool_of_agents};
use e2e::world::A_TASK;
use harness::eventually;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use task_manager::api::{Reason, State, Task, WorkerPool};

use super::pool;

/// How many tasks there are, where WARM_TASKS does not say it.
const TASKS: usize = 100;
const WORKERS: i32 = 4;

/// Of the types with two attempts the first one fails.
const SCRIPT: &str = r#"
again() { [ "$TASK_ATTEMPT" -gt 1 ]; }
sleep 0.1
case $TASK_TYPE in
exits) exit 3 ;;
gives-up) echo '{"error": {"type": "NoSuchPage", "retryable": false}}' > "$TASK_RESULT_FILE"; exit 1 ;;
reports) again || { echo '{"error": {"type": "RateLimited", "retryable": true}}' > "$TASK_RESULT_FILE"; exit 1; } ;;
hangs) again || sleep 300 ;;
eats) again || exec awk 'BEGIN { x = "x"; while (1) x = x x }' ;;
kills) again || { kill -9 $PPID; sleep 300; } ;;
esac
printf '"%s"' "$TASK_NAME" > "$TASK_RESULT_FILE"
"#;

/// How the tasks of a type end: state, reason, and the reason of the first attempt that failed, of how many.
const FATES: [(&str, State, Option<Reason>, i32, i32); 7] = [
    ("succeeds", State::Completed, None, 1, 0),
    ("exits", State::Failed, Some(Reason::ExitCode), 2, 2),
    ("gives-up", State::Failed, Some(Reason::ReportedError), 1, 1),
    ("reports", State::Completed, Some(Reason::ReportedError), 2, 1),
    ("hangs", State::Completed, Some(Reason::Timeout), 2, 1),
    ("eats", State::Completed, Some(Reason::OOMKilled), 2, 1),
    ("kills", State::Completed, Some(Reason::ExitCode), 2, 1),
];

/// Every tenth fails, each kind in its turn.
fn fate(number: usize) -> (&'static str, State, Option<Reason>, i32, i32) {
    let kind = if number % 10 == 3 { 1 + number / 10 % (FATES.len() - 1) } else { 0 };
    FATES[kind]
}

fn tasks() -> usize {
    std::env::var("WARM_TASKS").ok().and_then(|number| number.parse().ok()).unwrap_or(TASKS)
}

fn is_right(task: &Task) -> Result<(), String> {
    let name = task.name_any();
    let number: usize = name.trim_start_matches("task-").parse().expect("a number");
    let (_, state, first, attempts, failures) = fate(number);
    let status = task.status.clone().unwrap_or_default();
    let result = (state == State::Completed).then(|| name.clone().into());
    let found = (status.state, status.attempts.len() as i32, status.attempt, status.failures, status.disruptions);
    let why = status.attempts[0].reason;
    let is_so = found == (state, attempts, attempts, failures, 0)
        && status.result == result
        && first.is_none_or(|first| first == why);
    if is_so { Ok(()) } else { Err(format!("{name}: {found:?}, {:?}, {:#?}", status.result, status.attempts)) }
}

#[tokio::test]
async fn tasks_that_fail_in_every_way_are_counted_exactly_while_their_pool_grows_changes_and_shrinks() {
    on_a_node_with_workers("pool-load", async |world| {
        let gate = Gate::new(&world.namespace);
        let mut warm = pool_of_agents(world, 0, WORKERS, &format!("{ONCE_AT_A_TIME}{SCRIPT}")).await;
        gate.on_template(&mut warm.spec.template);
        warm.spec.idle_seconds = Some(3);
        warm.spec.template["spec"]["shareProcessNamespace"] = true.into();
        let workers = pool(world, &warm, &FATES.map(|(name, ..)| (name, 1))).await;
        for number in 0..tasks() {
            let type_ = fate(number).0;
            let timeout = if type_ == "hangs" { 2 } else { 60 };
            world
                .task_with(&format!("task-{number}"), |spec| {
                    (spec.type_, spec.timeout_seconds) = (type_.into(), Some(timeout));
                })
                .await;
        }
        eventually("a third is done", A_TASK, async || {
            let all = world.namespace.tasks().list(&ListParams::default()).await.ok()?.items;
            let done = all.iter().filter(|task| task.status.as_ref().is_some_and(|status| status.state.is_final()));
            (done.count() > tasks() / 3).then_some(())
        })
        .await;
        let changed =
            Patch::Merge(json!({"spec": {"template": {"metadata": {"annotations": {"example.com/made": "anew"}}}}}));
        let pools = world.namespace.api::<WorkerPool>();
        pools.patch(POOL, &PatchParams::default(), &changed).await.expect("its template is changed");

        let done = world.namespace.all_archived(A_TASK * 2).await;
        let wrong: Vec<String> = done.iter().filter_map(|task| is_right(task).err()).collect();
        assert!(wrong.is_empty(), "{} of {} are wrong: {wrong:#?}", wrong.len(), done.len());
        let attempts: usize = (0..tasks()).map(|number| fate(number).3 as usize).sum();
        assert_eq!(assert_once_at_a_time(&gate).len(), attempts);
        assert_eq!(workers.most_at_once(), WORKERS as usize, "it grew to its most, and no further");
        let many = |type_: &str| (0..tasks()).filter(|number| fate(*number).0 == type_).count() as i64;
        // Where the kernel kills a whole container for its use of memory, its worker goes too. One that was to end after its task, for
        // its template had changed, counts for no fault though that task killed it.
        let most = many("kills") + many("eats");
        let least = many("kills") - i64::from(WORKERS);
        let counted = async || {
            let faults = [("reason", "EndedByItself")];
            world.operator.metrics().await.count("task_manager_pool_workers_replaced_total", &faults) as i64
        };
        workers.until("is empty again", |status| status.ready == 0).await;
        let faults = counted().await;
        assert!((least..=most).contains(&faults), "{faults} workers ended by themselves, of {least} to {most}");
        workers.until("counts each worker that ended by itself", |status| status.restarts == faults).await;
        eventually("no worker is left", A_TASK, async || workers.all().iter().all(|seen| seen.deleted).then_some(()))
            .await;
    })
    .await;
}
