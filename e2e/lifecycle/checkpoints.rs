//! Work that is ended at 60 % goes on from there in its next attempt: in the pod of a Job, with busybox alone, and on warm
//! workers, with a file.

use e2e::gate::Gate;
use e2e::warm::{Workers, on_a_node_with_workers, pool_of_agents, signal, warm_type};
use e2e::world::{A_TASK, World, on_with, shell};
use harness::{Cluster, Namespace, Operator, checkpoints_of, eventually};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use task_manager::api::{Reason, State, Task};

/// Ten pages. The first attempt stops after the sixth. wget cannot PUT, so that is written by hand; whoever closes their side
/// before the answer gets none.
const PAGES_OF_A_JOB: &str = r#"
at=${TASK_API_URL#http://}
bearer="Authorization: Bearer $(cat "$TASK_TOKEN_FILE")"
leave() {
    { printf 'PUT /worker/v1/checkpoint HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n' "$at" "$bearer"
        printf 'Task-Attempt: %s\r\nContent-Length: %s\r\n\r\n%s' "$TASK_ATTEMPT" "${#1}" "$1"
        sleep 3; } | nc "${at%:*}" "${at##*:}" | head -n 1 | grep -q ' 204 '
}
page=$(wget -q -O - --header "$bearer" "$TASK_API_URL/worker/v1/checkpoint" || echo 0)
while [ "$page" -lt 10 ]; do
    page=$((page + 1))
    echo "$TASK_ATTEMPT: $page" >> /gate/pages
    [ $((page % 3)) != 0 ] || until leave "$page"; do sleep 1; done
    [ "$TASK_ATTEMPT $page" != "1 6" ] || { touch /gate/at-60; sleep 600; }
done
"#;

/// Ten pages. The first attempt stops after the sixth, until it is killed, and the second after the eighth, until it is told to
/// end.
const PAGES_OF_A_WORKER: &str = r#"
leave() { echo "$1" > "$TASK_CHECKPOINT_FILE.new" && mv "$TASK_CHECKPOINT_FILE.new" "$TASK_CHECKPOINT_FILE"; }
page=0
[ ! -e "$TASK_CHECKPOINT_FILE" ] || page=$(cat "$TASK_CHECKPOINT_FILE")
trap 'leave "$page"; exit 1' TERM
while [ "$page" -lt 10 ]; do
    page=$((page + 1))
    echo "$TASK_ATTEMPT: $page" >> /gate/pages
    [ "$TASK_ATTEMPT $page" != "1 6" ] || { leave "$page"; sleep 600 & wait; }
    [ "$TASK_ATTEMPT $page" != "2 8" ] || { touch /gate/at-80; sleep 600 & wait; }
done
"#;

/// Each page was done once, by these attempts.
fn assert_done(gate: &Gate, attempts: &[(i32, std::ops::RangeInclusive<i32>)]) {
    let each = |(attempt, pages): &(i32, std::ops::RangeInclusive<i32>)| {
        let attempt = *attempt;
        pages.clone().map(move |page| format!("{attempt}: {page}")).collect::<Vec<_>>()
    };
    assert_eq!(gate.lines("pages"), attempts.iter().flat_map(each).collect::<Vec<_>>());
}

async fn kept(namespace: &Namespace, many: i64) {
    eventually(&format!("{many} checkpoints are kept"), A_TASK, async || {
        (checkpoints_of(namespace).await == many).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_pod_is_deleted_at_60_percent_goes_on_from_there() {
    let start = async |namespace: &Namespace| Operator::with_worker(namespace, &[]).await;
    on_with(Cluster::Node, "checkpoint-job", start, async |world| {
        let gate = Gate::new(&world.namespace);
        let mut kind = shell("work", PAGES_OF_A_JOB);
        gate.on(&mut kind.spec);
        world.namespace.create(&kind).await;
        let task = world.task("pages").await;
        gate.shows("at-60").await;
        let pod = world.runs(&task).await;
        let at_once = DeleteParams::default().grace_period(0);
        world.namespace.pods().delete(&pod.name_any(), &at_once).await.expect("it is deleted");
        let status = world.completes(&task).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (2, 0, 1), "{:?}", status.attempts);
        assert_done(&gate, &[(1, 1..=6), (2, 7..=10)]);
        kept(&world.namespace, 0).await;
    })
    .await;
}

async fn worker_of(workers: &Workers, task: &Task, world: &World, attempt: i32) -> Pod {
    let status = world.until(task, "is at work", |status| {
        status.attempt == attempt && status.state == State::Processing && status.admitted.is_some()
    });
    let admitted = status.await.admitted.and_then(|admitted| admitted.worker).expect("a worker");
    let pod = workers.all().into_iter().find(|seen| seen.object.uid().as_deref() == Some(&*admitted.uid));
    pod.expect("its pod was seen").object
}

#[tokio::test]
async fn a_task_whose_worker_is_killed_and_then_drained_goes_on_from_there_each_time() {
    on_a_node_with_workers("checkpoint-pool", async |world| {
        let gate = Gate::new(&world.namespace);
        let mut warm = pool_of_agents(world, 1, 1, PAGES_OF_A_WORKER).await;
        gate.on_template(&mut warm.spec.template);
        let workers = Workers::record(&world.namespace).await;
        world.namespace.create(&warm).await;
        world.namespace.create(&warm_type("work", 1)).await;
        let task = world.task("pages").await;
        // The agent has sent it a moment after it was there.
        kept(&world.namespace, 1).await;
        let first = worker_of(&workers, &task, world, 1).await;
        assert!(signal(&first, "-KILL", |_| true) > 1, "agent and work are killed");
        gate.shows("at-80").await;
        let second = worker_of(&workers, &task, world, 2).await;
        world.namespace.pods().delete(&second.name_any(), &DeleteParams::default()).await.expect("it is deleted");
        let status = world.completes(&task).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (3, 1, 1), "{:?}", status.attempts);
        assert_eq!(status.attempts[1].reason, Reason::WorkerLost);
        assert_done(&gate, &[(1, 1..=6), (2, 7..=8), (3, 9..=10)]);
        kept(&world.namespace, 0).await;
    })
    .await;
}
