//! How far the work is.

use harness::*;
use serde_json::{Value, json};
use task_manager::api::{State, Task};

use super::{at_work, listening, taken};

#[tokio::test]
async fn progress_is_told_at_once_on_the_stream_and_in_the_status() {
    in_namespaces("worker-progress", async |ns| {
        let (node, operator, rest) = listening(&ns).await;
        let (id, worker) = at_work(&ns, &node, &operator).await;
        let mut events = rest.events(&id, None).await;
        for (said, told) in [
            (
                json!({"percent": 40, "done": 4, "total": 10, "message": "page 4"}),
                json!({"percent": 40, "done": 4, "total": 10, "message": "page 4"}),
            ),
            (json!({"percent": 250.5, "message": "two\nlines"}), json!({"percent": 100, "message": "two lines"})),
            (json!({"done": 125.0, "percent": null}), json!({"done": 125})),
        ] {
            taken(&worker.progress(&said).await);
            assert_eq!(rest.status(&id).await["progress"], told, "{said}");
            assert_eq!(next_progress(&mut events).await, told, "{said}");
        }
    })
    .await;
}

async fn next_progress(events: &mut Events) -> Value {
    loop {
        let mut told = events.next().await.expect("the stream goes on");
        if told.event == "progress" {
            told.data.as_object_mut().expect("an object").remove("task_id").expect("the task's id");
            return told.data;
        }
    }
}

#[tokio::test]
async fn the_resource_follows_every_ten_seconds_at_most_and_the_end_carries_the_last_word() {
    in_namespace("worker-coarse", async |ns| {
        let (node, operator, _) = listening(&ns).await;
        let seen = ns.record::<Task>().await;
        let (_, worker) = at_work(&ns, &node, &operator).await;
        for percent in 1..=24 {
            taken(&worker.progress(&json!({"percent": percent})).await);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        taken(&worker.progress(&json!({"percent": 99})).await);
        node.end("one", Outcome::succeed());
        let ended = ns.task_in("one", State::Completed).await;
        let percent = |task: &Task| task.status.as_ref()?.progress.as_ref()?.percent;
        assert_eq!(percent(&ended), Some(99));
        let mut told: Vec<i32> = seen.seen().iter().filter_map(|seen| percent(&seen.object)).collect();
        told.dedup();
        assert!((2..=4).contains(&told.len()), "{told:?}");
    })
    .await;
}
