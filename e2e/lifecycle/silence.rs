//! The network between an operator and the API server goes silent: packets are dropped both ways, and no connection is
//! reset.

use std::time::{Duration, Instant};

use e2e::cable::Cable;
use e2e::world::{A_CHANGE, WAITS, World, on_a_node, shell};
use harness::{Operator, eventually, http_get, stays, task_queue};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::ListParams;
use task_manager::api::{Priority, State, Task};

/// As docs/operating.md says: a watch that is silent is broken off after 20 s.
const NOTICED: Duration = Duration::from_secs(30);
/// The lease runs out after 10 s without a renewal, and its holder stops a second before.
const TERM_OVER: Duration = Duration::from_secs(15);
/// Another takes over within 15 s; a busy machine may need longer to begin.
const TAKEN_OVER: Duration = Duration::from_secs(25);
const SILENT_FOR: Duration = Duration::from_secs(40);

/// The operator of this world, in a network of its own from here on.
async fn behind_a_cable(world: &mut World, flags: &[&str]) -> Cable {
    world.operator.stop().await;
    let cable = Cable::to(world.namespace.cluster);
    world.operator = Operator::start_in(&cable.place(), &world.namespace, flags).await;
    cable
}

async fn within<T>(what: &str, began: Instant, time: Duration, asked: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = eventually(what, A_CHANGE, asked).await;
    let took = began.elapsed();
    eprintln!("after {:.1} s of silence: {what}", took.as_secs_f64());
    assert!(took <= time, "{what}: only after {took:?}");
    seen
}

/// Whether the operator is ready, and all that it says about itself.
async fn readyz(operator: &Operator) -> (bool, String) {
    let (code, told) = http_get(operator.health, "/readyz?verbose").await.unwrap_or_default();
    (code == 200, told)
}

async fn is_alive(operator: &Operator) -> bool {
    http_get(operator.health, "/healthz").await.is_some_and(|(code, _)| code == 200)
}

async fn ran_once(world: &World, tasks: &[&Task]) {
    for task in tasks {
        let status = world.completes(task).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "{}", task.name_any());
        assert_eq!(world.pods_of(task).len(), 1, "{}", task.name_any());
    }
    world.assert_one_pod_at_a_time();
}

#[tokio::test]
async fn a_silent_network_is_noticed_within_half_a_minute_and_nothing_runs_twice() {
    on_a_node("silence", async |world| {
        // For REST it watches whether it leads or not.
        let cable = behind_a_cable(world, &["--http-addr", "127.0.0.1:8090"]).await;
        let runs = world.script("runs", &format!("{WAITS}; echo patience > $TASK_RESULT_FILE")).await;
        let pod = world.runs(&runs).await;
        world.work("true").await;

        cable.silence();
        let began = Instant::now();
        let waits = world.task("waits").await;
        world.let_go(&pod).await;
        let operator = &world.operator;
        within("its term is over", began, TERM_OVER, async || {
            operator.logged().contains("the lease ran out").then_some(())
        })
        .await;
        within("it says that it sees nothing", began, NOTICED, async || {
            let (is_ready, told) = readyz(operator).await;
            (!is_ready && told.contains("[-]watches failed")).then_some(())
        })
        .await;
        let rest = SILENT_FOR.saturating_sub(began.elapsed());
        stays("it lives, is not ready, and nothing changes", rest, async || {
            is_alive(operator).await && !readyz(operator).await.0
        })
        .await;
        assert_eq!(
            (world.status(&waits).await.state, world.status(&runs).await.state),
            (State::Queued, State::Processing)
        );
        let dropped = cable.dropped();
        assert!(dropped.iter().all(|packets| *packets > 0), "{dropped:?}");
        cable.mend();
        let mended = Instant::now();

        ran_once(world, &[&runs, &waits]).await;
        assert_eq!(world.status(&runs).await.result, Some("patience".into()), "its end was not missed");
        eventually("all its watches see again", A_CHANGE, async || {
            let (is_ready, told) = readyz(&world.operator).await;
            (is_ready && told.contains("[+]watches ok")).then_some(())
        })
        .await;
        eprintln!("{dropped:?} packets dropped; all was well {:.1} s after", mended.elapsed().as_secs_f64());
    })
    .await;
}

#[tokio::test]
async fn another_replica_takes_over_from_a_leader_whose_network_is_silent() {
    on_a_node("silence-replicas", async |world| {
        let cable = behind_a_cable(world, &["--identity", "cut-off"]).await;
        let file = world.namespace.cluster.kubeconfig();
        let mut beside = Operator::start(&world.namespace, file, &["--identity", "beside"]).await;
        let runs = world.script("runs", WAITS).await;
        let pod = world.runs(&runs).await;
        world.work("true").await;
        assert!(!beside.logged().contains("leads"));

        cable.silence();
        let began = Instant::now();
        let waits = world.task("waits").await;
        within("another leads", began, TAKEN_OVER, async || beside.logged().contains("leads").then_some(())).await;
        eventually("the former leader's term is over", A_CHANGE, async || {
            world.operator.logged().contains("the lease ran out").then_some(())
        })
        .await;
        world.let_go(&pod).await;
        ran_once(world, &[&runs, &waits]).await;
        tokio::time::sleep(SILENT_FOR.saturating_sub(began.elapsed())).await;
        cable.mend();

        eventually("the former leader is ready to take over", A_CHANGE, async || {
            readyz(&world.operator).await.0.then_some(())
        })
        .await;
        assert_eq!(world.operator.logged().matches("leads").count(), 1, "it waits for the lease like any other");
        beside.stop().await;
        let after = world.task("after").await;
        ran_once(world, &[&runs, &waits, &after]).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_former_leader_sent_into_silence_admits_nothing_when_the_network_is_back() {
    on_a_node("silence-late", async |world| {
        world.namespace.create(&task_queue("narrow", 1)).await;
        world.work(WAITS).await;
        world.namespace.create(&shell("quick", "true")).await;
        let cable = behind_a_cable(world, &["--identity", "cut-off"]).await;
        let file = world.namespace.cluster.kubeconfig();
        let beside = Operator::start(&world.namespace, file, &["--identity", "beside"]).await;
        // Then several connections are open, and one of them is free when a request is to be sent.
        for number in 0..8 {
            world.task_with(&format!("quick-{number}"), |spec| spec.type_ = "quick".into()).await;
        }
        eventually("they are done", A_CHANGE, async || {
            let tasks = world.namespace.tasks().list(&ListParams::default()).await.ok()?.items;
            let is_done = |task: &Task| task.status.as_ref().is_some_and(|status| status.state == State::Completed);
            tasks.iter().all(is_done).then_some(())
        })
        .await;
        // Its turn comes when its admission can no longer arrive.
        let due = Timestamp::now() + SignedDuration::from_secs(4);
        let first =
            world.task_with("first", |spec| (spec.queue, spec.start_after) = ("narrow".into(), Some(Time(due)))).await;
        tokio::time::sleep(Duration::from_secs(3)).await;

        cable.silence();
        let began = Instant::now();
        let second = world
            .task_with("second", |spec| (spec.queue, spec.priority) = ("narrow".into(), Some(Priority::High)))
            .await;
        within("another leads", began, TAKEN_OVER, async || beside.logged().contains("leads").then_some(())).await;
        world.until(&second, "has the one slot", |status| status.state == State::Processing).await;
        eventually("the former leader's term is over", A_CHANGE, async || {
            world.operator.logged().contains("the lease ran out").then_some(())
        })
        .await;
        assert_eq!(cable.lingering(), "", "nothing that was given up is delivered later");
        cable.mend();
        // Longer than a kernel goes on sending what was not taken.
        stays("the other task waits", Duration::from_secs(20), async || {
            world.status(&first).await.state == State::Queued
        })
        .await;
        for task in [&second, &first] {
            let pod = world.runs(task).await;
            world.let_go(&pod).await;
            ran_once(world, &[task]).await;
        }
        assert!(world.status(&first).await.admitted_at > world.status(&second).await.finished_at);
    })
    .await;
}
