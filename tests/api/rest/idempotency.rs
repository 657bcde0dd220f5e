//! Sending the same request twice makes one task.

use std::collections::BTreeSet;

use futures::future::join_all;
use harness::*;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use super::{body, body_with, served, served_and_held, status_when};

const TASKS: &str = "/api/v1/tasks";

async fn post(rest: &Rest, key: &str, body: &Value) -> Answer {
    rest.post_with(TASKS, &[("idempotency-key", key)], body).await
}

#[tokio::test]
async fn the_same_key_and_body_are_answered_with_the_same_task() {
    in_namespace("rest-key", async |ns| {
        let (_node, mut operator, rest) = served(&ns).await;
        let first = post(&rest, "8e03-1", &body()).await;
        assert_eq!(first.status, 202);
        let written_otherwise = json!({"payload": {"a": 1.0}, "kb_id": "kb-1", "task_type": "work", "queue": null});
        for (key, body) in [("8e03-1", &body()), ("\"8e03-1\"", &body()), ("8e03-1", &written_otherwise)] {
            let again = post(&rest, key, body).await;
            assert_eq!((again.status, again.text.as_str()), (202, first.text.as_str()), "{key} {body}");
            assert_eq!(again.header("location"), first.header("location"));
        }
        status_when(&rest, &first.task_id(), "completed").await;
        assert_eq!(post(&rest, "8e03-1", &body()).await.text, first.text, "also when it is finished");
        operator.crash().await;
        assert_eq!(post(&operator.rest(), "8e03-1", &body()).await.text, first.text, "also after a restart");
        // Also when its type is no more.
        ns.types().delete("work", &DeleteParams::default()).await.expect("deleted");
        eventually("without the key it is another request, of an unknown type", SOON, async || {
            (rest.post(TASKS, &body()).await.status == 422).then_some(())
        })
        .await;
        assert_eq!(post(&rest, "8e03-1", &body()).await.text, first.text);
    })
    .await;
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    in_namespace("rest-key-reused", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        post(&rest, "k", &body()).await.task_id();
        for other in [body_with(json!({"priority": "high"})), body_with(json!({"payload": {"a": 2}}))] {
            let answer = post(&rest, "k", &other).await;
            assert_eq!((answer.status, answer.problem().0.as_str()), (422, "key-reused"));
        }
        let named = post(&rest, "k2", &body_with(json!({"name": "n"}))).await;
        assert_eq!((named.status, named.problem()), (422, ("invalid".into(), Some("name".into()))));
    })
    .await;
}

#[tokio::test]
async fn another_body_under_a_key_that_nobody_could_look_up_gets_no_result_of_the_first() {
    in_namespace("rest-key-away", async |ns| {
        ns.create(&task_type("work")).await;
        let node = ns.fake_node();
        node.otherwise(Outcome::result("7"));
        let [folder, away] = ["there", "away"].map(|name| target().join("test-archives").join(&ns.name).join(name));
        std::fs::create_dir_all(&folder).expect("a folder");
        let operator = Operator::with_rest(&ns, &["--archive", &format!("sqlite:{}/a.db", folder.display())]).await;
        let rest = operator.rest();
        let first = post(&rest, "k", &body()).await.task_id();
        let name = status_when(&rest, &first, "completed").await["name"].as_str().expect("a name").to_owned();
        let forget = async || {
            ns.task_when(&name, "is archived", |_, status| status.is_archived()).await;
            ns.tasks().delete(&name, &DeleteParams::default()).await.expect("deleted");
            eventually("REST has seen that it is gone", SOON, async || {
                let items = rest.get("/api/v1/tasks").await.json()["items"].as_array().map_or(1, Vec::len);
                (items == 0).then_some(())
            })
            .await;
        };
        forget().await;
        std::fs::rename(&folder, &away).expect("it is moved away");
        let other = body_with(json!({"payload": {"a": 2}}));
        let second = post(&rest, "k", &other).await.task_id();
        std::fs::rename(&away, &folder).expect("it is moved back");
        let told = status_when(&rest, &second, "failed").await;
        assert_eq!(told["reason"], "KeyReused");
        let result = rest.get(&format!("{TASKS}/{second}/result")).await.json();
        assert_eq!(result.get("result").filter(|result| !result.is_null()), None, "{result}");
        forget().await;
        assert_eq!(post(&rest, "k", &body()).await.task_id(), first, "the key goes on standing for the first");
        assert_eq!(post(&rest, "k", &other).await.status, 422);
        assert_eq!(node.starts_of(&name), 1);
    })
    .await;
}

#[tokio::test]
async fn a_replay_that_is_asked_for_again_under_its_key_is_made_once() {
    in_namespace("rest-key-replay", async |ns| {
        let (node, mut operator, rest) = served(&ns).await;
        for name in ["one", "two"] {
            rest.submit(&body_with(json!({"name": name}))).await;
            ns.task_when(name, "is archived", |_, status| status.is_archived()).await;
        }
        let [one, two] = [ns.task("one").await, ns.task("two").await].map(|task| task.metadata.uid.expect("a uid"));
        let replay = async |rest: &Rest, id: &str, key: &str| {
            rest.post_with(&format!("{TASKS}/{id}/replay"), &[("idempotency-key", key)], &json!({})).await
        };
        let answers = join_all((0..10).map(|_| replay(&rest, &one, "k"))).await;
        let first = &answers[0];
        assert!(answers.iter().all(|answer| (answer.status, &answer.text) == (202, &first.text)), "{answers:?}");
        assert_eq!(first.json()["replay_of"], json!(one));
        let told = rest.get(&format!("{TASKS}/{one}")).await.json();
        assert_eq!(told["replayed_by"], json!(first.task_id()));
        for answer in [replay(&rest, &two, "k").await, post(&rest, "k", &body()).await] {
            assert_eq!((answer.status, answer.problem().0.as_str()), (422, "key-reused"));
        }

        let name = status_when(&rest, &first.task_id(), "completed").await["name"].as_str().expect("a name").to_owned();
        ns.task_when(&name, "is archived", |_, status| status.is_archived()).await;
        ns.tasks().delete(&name, &DeleteParams::default()).await.expect("deleted");
        operator.crash().await;
        let rest = operator.rest();
        assert_eq!(replay(&rest, &one, "k").await.text, first.text, "also when it is gone");
        assert_eq!(node.starts_of(&name), 1);
        assert_ne!(replay(&rest, &one, "k2").await.task_id(), first.task_id(), "another key is another request");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_replayed_uses_up_no_key() {
    in_namespace("rest-key-no-replay", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = rest.submit(&body()).await;
        let headers = [("idempotency-key", "k")];
        let answer = rest.post_with(&format!("{TASKS}/{id}/replay"), &headers, &json!({})).await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (409, "not-finished"));
        post(&rest, "k", &body()).await.task_id();
    })
    .await;
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    in_namespace("rest-key-wrong", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        for key in ["", "a b", "a\tb", "ä", &"x".repeat(256)] {
            let answer = post(&rest, key, &body()).await;
            assert_eq!((answer.status, answer.problem().0.as_str()), (400, "header"), "{key:?}");
        }
        let two = rest.post_with(TASKS, &[("idempotency-key", "a"), ("idempotency-key", "b")], &body()).await;
        assert_eq!((two.status, two.problem().0.as_str()), (400, "header"));
        assert_eq!(ns.tasks().list(&ListParams::default()).await.expect("tasks").items.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn twenty_at_once_over_two_replicas_make_one_task() {
    in_namespace("rest-key-race", async |ns| {
        let (first, rest) = served_and_held(&ns).await;
        let second = Operator::with_rest(&ns, &["--identity", "second"]).await;
        for round in 0..5 {
            let key = format!("race-{round}");
            let other = second.rest();
            let body = body();
            let posts = (0..20).map(|number| post(if number % 2 == 0 { &rest } else { &other }, &key, &body));
            let answers = join_all(posts).await;
            let ids: BTreeSet<String> = answers.iter().map(Answer::task_id).collect();
            assert_eq!(ids.len(), 1, "{answers:?}");
            assert!(answers.iter().all(|answer| answer.status == 202));
        }
        assert_eq!(ns.tasks().list(&ListParams::default()).await.expect("tasks").items.len(), 5);
        drop(first);
    })
    .await;
}

#[tokio::test]
async fn of_two_bodies_with_one_key_at_once_one_is_taken() {
    in_namespace("rest-key-two", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let (one, two) = (body(), body_with(json!({"kb_id": "other"})));
        let answers = join_all((0..10).map(|number| post(&rest, "k", if number % 2 == 0 { &one } else { &two }))).await;
        let taken = answers.iter().filter(|answer| answer.status == 202).count();
        let refused = answers.iter().filter(|answer| answer.status == 422).count();
        assert_eq!((taken, refused), (5, 5), "{answers:?}");
    })
    .await;
}
