//! Work that its kubelet ends for a probe or a hook: the pod tells an exit code, and its events the cause.

use serde_json::{Value, json};
use task_manager::api::{Reason, State, Task};

use e2e::world::{World, never_again, on_a_node};

/// A task whose work has these fields beside its script.
async fn task(world: &World, name: &str, script: &str, field: &str, value: Value) -> Task {
    world
        .script_with(name, script, |kind| {
            never_again(kind);
            kind.template["spec"]["terminationGracePeriodSeconds"] = 2.into();
            kind.template["spec"]["containers"][0][field] = value;
        })
        .await
}

/// A probe that fails, saying this.
fn fails(said: &str) -> Value {
    let command = ["sh", "-c", &format!("echo {said}; exit 1")].map(str::to_owned);
    json!({"exec": {"command": command}, "periodSeconds": 1, "failureThreshold": 2})
}

#[tokio::test]
async fn the_probe_or_the_hook_that_ended_the_work_is_named_whatever_its_exit_code() {
    on_a_node("probes", async |world| {
        let obeys = "trap 'exit 0' TERM; sleep 300 & wait";
        let well = task(world, "well", obeys, "livenessProbe", fails("no heartbeat")).await;
        let deaf = task(world, "deaf", "sleep 300", "livenessProbe", fails("no heartbeat")).await;
        let slow = task(world, "slow", "sleep 300", "startupProbe", fails("not up")).await;
        let hook = json!({"postStart": {"exec": {"command": ["false"]}}});
        let hooked = task(world, "hooked", "sleep 300", "lifecycle", hook).await;

        let status = world.completes(&well).await;
        let told = "the work ended with 0 after its liveness probe failed: no heartbeat";
        assert_eq!((status.message.as_deref(), status.attempts[0].exit_code), (Some(told), Some(0)));
        for (task, cause) in [
            (&deaf, "its liveness probe failed: no heartbeat"),
            (&slow, "its startup probe failed: not up"),
            (&hooked, "its postStart hook failed"),
        ] {
            let status = world.ends(task, State::Failed).await;
            assert_eq!((status.reason, status.failures), (Reason::ExitCode, 1), "{:?}", status.message);
            let message = status.attempts[0].message.as_deref();
            assert_eq!(message, Some(format!("the work ended with exit code 137 after {cause}").as_str()));
        }
    })
    .await;
}
