//! REST as its clients see it while the cluster breaks, and after.

use std::collections::BTreeMap;

use e2e::world::{A_CHANGE, World};
use harness::{Answer, Operator, Rest, eventually};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};
use task_manager::api::Task;

/// A replica that serves REST, beside the operator that leads.
pub async fn beside(world: &World) -> (Operator, Rest) {
    let replica = Operator::with_rest(&world.namespace, &["--identity", "beside"]).await;
    let rest = replica.rest();
    (replica, rest)
}

pub fn submission(name: &str) -> Value {
    json!({"task_type": "work", "name": name, "payload": {}})
}

/// It is to be sent again, as it is.
#[track_caller]
pub fn is_put_off(answer: &Answer, kind: &str) {
    assert_eq!((answer.status, answer.problem().0.as_str()), (503, kind), "{}", answer.text);
    assert_eq!(answer.header("retry-after"), Some("1"));
}

/// State and attempt of each task, by its id.
type Standing = BTreeMap<String, (String, i64)>;

fn standing(task: &Task) -> (String, (String, i64)) {
    let status = task.status.clone().unwrap_or_default();
    (task.uid().expect("a uid"), (status.state.to_string().to_lowercase(), status.attempt.into()))
}

fn told(status: &Value) -> Option<(String, (String, i64))> {
    let text = |field: &str| status[field].as_str().map(str::to_owned);
    Some((text("task_id")?, (text("status")?, status["attempt"].as_i64()?)))
}

/// Waits until REST tells of the same tasks as the API server, and of each how it stands.
pub async fn tells_the_truth(world: &World, rest: &Rest) {
    eventually("REST tells of all tasks how they stand", A_CHANGE, async || {
        let there = world.namespace.tasks().list(&ListParams::default()).await.ok()?.items;
        let there: Standing = there.iter().map(standing).collect();
        let listed = rest.get("/api/v1/tasks").await.json();
        let listed: Standing = listed["items"].as_array()?.iter().filter_map(told).collect();
        let ids: Vec<&String> = there.keys().collect();
        let asked = rest.post("/api/v1/tasks/status", &json!({"task_ids": ids})).await.json();
        let asked: Standing = asked["statuses"].as_array()?.iter().filter_map(told).collect();
        (listed == there && asked == there).then_some(())
    })
    .await;
}

/// The whole of each of these tasks, which have completed, is told as the API server has it.
pub async fn tells_all_of(world: &World, rest: &Rest, tasks: &[Task]) {
    for task in tasks {
        let id = task.uid().expect("a uid");
        let whole = rest.get(&format!("/api/v1/tasks/{id}")).await;
        let result = rest.get(&format!("/api/v1/tasks/{id}/result")).await;
        let status = world.status(task).await;
        assert_eq!((whole.status, result.status), (200, 200), "{} {}", whole.text, result.text);
        assert_eq!(told(&whole.json()), Some((id, ("completed".into(), status.attempt.into()))), "{}", whole.text);
        assert_eq!(result.json()["result"], status.result.unwrap_or_default());
    }
}
