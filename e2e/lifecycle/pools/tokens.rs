//! Workers whose token is refused: it is for somebody else, or its service account is gone.

use e2e::gate::{Gate, HELD};
use e2e::warm::{ONCE_AT_A_TIME, assert_once_at_a_time, on_a_node_with_workers, pool_of_agents, pool_of_clients};
use e2e::world::A_TASK;
use harness::eventually;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;
use task_manager::api::{AttemptOutcome, Reason};

use super::odd_clients::{client, words};
use super::{pool, task};

#[tokio::test]
async fn a_worker_whose_token_is_for_others_is_given_nothing_and_is_replaced() {
    on_a_node_with_workers("pool-token", async |world| {
        let gate = Gate::new(&world.namespace);
        // The second one reads the right file.
        let script = r#"
            mkdir /gate/first || works
            TASK_TOKEN_FILE=/others/token
            while :; do next '{}' >> /gate/given 2>> /gate/refused; sleep 1; done
        "#;
        let mut warm = pool_of_clients(world, 1, 1, &words(&client(script))).await;
        warm.spec.start_deadline_seconds = Some(8);
        gate.on_template(&mut warm.spec.template);
        let pod = &mut warm.spec.template["spec"];
        let token = json!({"serviceAccountToken": {"audience": "others", "expirationSeconds": 600, "path": "token"}});
        let volume = json!({"name": "others", "projected": {"sources": [token]}});
        pod["volumes"].as_array_mut().expect("volumes").push(volume);
        let mount = json!({"name": "others", "mountPath": "/others"});
        pod["containers"][0]["volumeMounts"].as_array_mut().expect("mounts").push(mount);
        let workers = pool(world, &warm, &[("work", 0)]).await;
        let waits = task(world, "work", "task").await;
        gate.shows("refused").await;
        let first = workers.all()[0].object.name_any();
        workers.tells("False", "0 of at least 1 workers have asked for work").await;
        let status = world.completes(&waits).await;
        assert_eq!((status.attempt, status.failures, status.disruptions), (1, 0, 0), "{:?}", status.attempts);
        workers.one_comes_in_the_place_of(&first).await;
        workers.until("has counted it", |status| status.restarts == 1).await;
        let refused = gate.lines("refused");
        assert!(refused.iter().any(|line| line.contains("401")), "{refused:?}");
        assert_eq!(gate.lines("given"), Vec::<String>::new());
        assert!(world.operator.logged().contains("it did not ask for work within startDeadlineSeconds"));
    })
    .await;
}

#[tokio::test]
async fn workers_whose_account_is_deleted_are_replaced_and_their_task_goes_on_uncounted() {
    on_a_node_with_workers("pool-account", async |world| {
        let gate = Gate::new(&world.namespace);
        let mut warm =
            pool_of_agents(world, 2, 2, &format!("{ONCE_AT_A_TIME} [ $TASK_ATTEMPT -gt 1 ] || {HELD}")).await;
        gate.on_template(&mut warm.spec.template);
        warm.spec.template["spec"]["serviceAccountName"] = "workers".into();
        let account: ServiceAccount =
            serde_json::from_value(json!({"metadata": {"name": "workers"}})).expect("an account");
        world.namespace.create(&account).await;
        let workers = pool(world, &warm, &[("work", 0)]).await;
        workers.are_ready(2).await;
        let at_work = task(world, "work", "task").await;
        gate.shows("began").await;
        let before: Vec<String> = workers.all().iter().map(|seen| seen.object.name_any()).collect();
        let accounts = world.namespace.api::<ServiceAccount>();
        accounts.delete("workers", &DeleteParams::default()).await.expect("it is deleted");
        world.namespace.create(&account).await;

        let status = world.completes(&at_work).await;
        let ended = &status.attempts[0];
        assert_eq!((status.failures, status.disruptions), (0, 1), "{:?}", status.attempts);
        assert_eq!((ended.outcome, ended.reason), (AttemptOutcome::Disrupted, Reason::WorkerLost));
        eventually("both are replaced", A_TASK, async || {
            let all = workers.all();
            let gone = all.iter().filter(|seen| seen.deleted && before.contains(&seen.object.name_any()));
            (gone.count() == 2).then_some(())
        })
        .await;
        workers.until("has two others", |status| (status.ready, status.restarts) == (2, 2)).await;
        assert_eq!(assert_once_at_a_time(&gate), ["task 1", "task 2"]);
    })
    .await;
}
