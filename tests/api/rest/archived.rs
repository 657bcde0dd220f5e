//! What is known of a task after the cluster has forgotten it, and how it is run again.

use harness::*;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use task_manager::api::TaskStatus;
use task_manager::archive::{Archive, Options, PruneLimits};

use super::{body, body_with, served, served_and_held, status_when};

const DEAD: &str = "/api/v1/tasks/dead-letters";
const NO_RETRY: &str = r#"{"retry": {"limit": 0}}"#;

fn failing(more: Value) -> Value {
    let mut body = body_with(serde_json::from_str(NO_RETRY).expect("JSON"));
    body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    body
}

async fn archived(ns: &Namespace, name: &str) {
    ns.task_when(name, "is archived", |_, status| status.is_archived()).await;
}

/// Deletes a finished task, and waits until REST has seen that.
async fn forgotten(ns: &Namespace, rest: &Rest, name: &str) {
    archived(ns, name).await;
    ns.tasks().delete(name, &DeleteParams::default()).await.expect("deleted");
    eventually("REST has seen that it is gone", SOON, async || {
        let page = rest.get("/api/v1/tasks?limit=1000").await.json();
        let items = page["items"].as_array().expect("items").clone();
        items.iter().all(|item| item["name"] != name).then_some(())
    })
    .await;
}

async fn three_answers(rest: &Rest, id: &str) -> Vec<Value> {
    let mut answers = vec![];
    for path in ["", "/status", "/result"] {
        let answer = rest.get(&format!("/api/v1/tasks/{id}{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answers.push(answer.json());
    }
    answers
}

async fn failed(ns: &Namespace, rest: &Rest, body: Value) -> String {
    let id = rest.submit(&body).await;
    let name = status_when(rest, &id, "failed").await["name"].as_str().expect("a name").to_owned();
    archived(ns, &name).await;
    id
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().expect("items").iter().filter_map(|item| item["task_id"].as_str()).collect()
}

#[tokio::test]
async fn the_answers_are_the_same_before_and_after_the_resource_is_gone() {
    in_namespace("rest-gone", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        node.script("good", [Outcome::result(r#"{"pages": 10}"#)]);
        node.script("bad", [Outcome::exit(3), Outcome::exit(4)]);
        for name in ["good", "bad"] {
            let more = json!({"name": name, "priority": "high", "retry": {"limit": 1, "initial_seconds": 0}});
            let id = rest.submit(&body_with(more)).await;
            archived(&ns, name).await;
            let before = three_answers(&rest, &id).await;
            forgotten(&ns, &rest, name).await;
            assert_eq!(three_answers(&rest, &id).await, before, "{name}");
            let many = rest.post("/api/v1/tasks/status", &json!({"task_ids": [id]})).await.json();
            assert_eq!(many["statuses"][0], before[1]);
            let cancelled = rest.post(&format!("/api/v1/tasks/{id}/cancel"), &json!({})).await;
            assert_eq!((cancelled.status, cancelled.json()), (200, before[1].clone()), "final is final");
            let mut events = rest.events(&id, None).await;
            let state = events.next_state().await.expect("the present state");
            assert_eq!(json!(state.0), before[1]["status"]);
            assert!(events.next().await.is_none_or(|told| told.event == "progress"), "and no more");
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_still_stands_for_its_task_when_that_is_gone() {
    in_namespace("rest-key-gone", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        let post = async |body: &Value| rest.post_with("/api/v1/tasks", &[("idempotency-key", "k")], body).await;
        let first = post(&body()).await;
        let name = rest.status(&first.task_id()).await["name"].as_str().expect("a name").to_owned();
        forgotten(&ns, &rest, &name).await;
        let again = post(&body()).await;
        assert_eq!((again.status, again.task_id()), (202, first.task_id()));
        let other = post(&body_with(json!({"payload": {"a": 2}}))).await;
        assert_eq!((other.status, other.problem().0.as_str()), (422, "key-reused"));
        assert_eq!(node.starts_of(&name), 1);
    })
    .await;
}

#[tokio::test]
async fn a_task_made_over_rest_leaves_the_cluster_after_an_hour_unless_told_otherwise() {
    in_namespace("rest-hour", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        rest.submit(&body_with(json!({"name": "usual"}))).await;
        assert_eq!(ns.task("usual").await.spec.ttl_seconds_after_finished, Some(3600));
        rest.submit(&body_with(json!({"name": "own", "ttl_seconds": 5}))).await;
        assert_eq!(ns.task("own").await.spec.ttl_seconds_after_finished, Some(5));
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_found_by_any_filter_and_tell_everything() {
    in_namespace("rest-dead", async |ns| {
        ns.create(&task_type("other-kind")).await;
        let (node, _operator, rest) = served(&ns).await;
        node.otherwise(Outcome::exit(3));
        node.script("fine", [Outcome::result("1")]);
        let a = failed(&ns, &rest, failing(json!({"kb_id": "a"}))).await;
        let b = failed(&ns, &rest, failing(json!({"kb_id": "b", "task_type": "other_kind", "name": "b"}))).await;
        rest.submit(&failing(json!({"name": "fine"}))).await;
        archived(&ns, "fine").await;
        forgotten(&ns, &rest, "b").await;

        for (query, wanted) in [
            ("", vec![&b, &a]),
            ("kb_id=a", vec![&a]),
            ("task_type=other_kind", vec![&b]),
            ("reason=ExitCode&replayed=false", vec![&b, &a]),
            ("reason=Timeout", vec![]),
            ("replayed=true", vec![]),
            ("failed_from=2020-01-01T00:00:00Z", vec![&b, &a]),
            ("failed_before=2020-01-01T00:00:00Z", vec![]),
            ("priority=high", vec![]),
        ] {
            let page = rest.get(&format!("{DEAD}?{query}")).await;
            assert_eq!(page.status, 200, "{query}: {}", page.text);
            assert_eq!(ids(&page.json()), wanted, "{query}");
        }
        let first = rest.get(&format!("{DEAD}?limit=1")).await.json();
        assert_eq!(ids(&first), [&b]);
        let cursor = first["next_cursor"].as_str().expect("there is more");
        let second = rest.get(&format!("{DEAD}?limit=1&cursor={cursor}")).await.json();
        assert_eq!((ids(&second), second.get("next_cursor")), (vec![a.as_str()], None));

        for (query, field) in [("limit=0", "limit"), ("cursor=x", "cursor")] {
            let answer = rest.get(&format!("{DEAD}?{query}")).await;
            assert_eq!(answer.status, 400, "{query}: {}", answer.text);
            assert_eq!((answer.status, answer.problem()), (400, ("query".into(), Some(field.into()))));
        }
        for query in ["reason=Nonsense", "status=failed", "failed_from=yesterday"] {
            let answer = rest.get(&format!("{DEAD}?{query}")).await;
            assert_eq!(answer.status, 400, "{query}: {}", answer.text);
            assert_eq!((answer.status, answer.problem().0.as_str()), (400, "query"), "{query}");
        }
        let elsewhere = rest.get(&format!("{DEAD}?namespace=kube-system")).await;
        assert_eq!((elsewhere.status, elsewhere.problem().0.as_str()), (404, "unknown-namespace"));
    })
    .await;
}

#[tokio::test]
async fn a_replay_is_a_new_task_and_each_links_to_the_other() {
    in_namespace("rest-replay", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        node.script("job", [Outcome::exit(3)]);
        let old = failed(&ns, &rest, failing(json!({"name": "job", "priority": "high"}))).await;
        let before = rest.status(&old).await;
        forgotten(&ns, &rest, "job").await;

        let answer = rest.post(&format!("/api/v1/tasks/{old}/replay"), &json!({})).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let new = answer.task_id();
        assert_eq!(answer.json(), json!({"task_id": new, "status": "submitted", "replay_of": old}));
        assert_eq!(answer.header("location"), Some(format!("/api/v1/tasks/{new}").as_str()));
        let status = status_when(&rest, &new, "completed").await;
        assert_eq!((&status["name"], &status["priority"]), (&json!("job-r1"), &json!("high")));
        let told = rest.get(&format!("/api/v1/tasks/{new}")).await.json();
        assert_eq!((&told["replay_of"], &told["payload"]), (&json!(old), &json!({"a": 1})));
        let told = rest.get(&format!("/api/v1/tasks/{old}")).await.json();
        assert_eq!(told["replayed_by"], json!(new));
        assert_eq!(rest.status(&old).await, before, "the old one stays as it is");
        let letter = rest.get(&format!("{DEAD}?replayed=true")).await.json();
        assert_eq!((ids(&letter), &letter["items"][0]["replayed_by"]), (vec![old.as_str()], &json!(new)));

        let second = rest.post(&format!("/api/v1/tasks/{old}/replay"), &json!({})).await.task_id();
        assert_eq!(rest.status(&second).await["name"], "job-r2", "it is always a new one");
        archived(&ns, "job-r1").await;
        let third = rest.post(&format!("/api/v1/tasks/{new}/replay"), &json!({})).await.task_id();
        assert_eq!(rest.status(&third).await["name"], "job-r3", "also of a replay");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_replayed_is_told_in_a_sentence() {
    in_namespace("rest-no-replay", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let waits = rest.submit(&body()).await;
        let answer = rest.post(&format!("/api/v1/tasks/{waits}/replay"), &json!({})).await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (409, "not-finished"));
        let nobody = "00000000-0000-0000-0000-000000000000";
        let answer = rest.post(&format!("/api/v1/tasks/{nobody}/replay"), &json!({})).await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (404, "unknown-task"));
        let answer = rest.post(&format!("{DEAD}/replay"), &json!({"all": true, "limit": 0})).await;
        assert_eq!((answer.status, answer.problem()), (422, ("invalid".into(), Some("limit".into()))));
        let answer = rest.post(&format!("{DEAD}/replay"), &json!({"typo": 1})).await;
        assert_eq!((answer.status, answer.problem()), (422, ("invalid".into(), Some("typo".into()))));
    })
    .await;
}

#[tokio::test]
async fn a_task_whose_record_is_forgotten_is_not_said_to_be_recorded_soon() {
    in_namespace("rest-forgotten", async |ns| {
        let (_node, _operator, rest) = served(&ns).await;
        let id = rest.submit(&body_with(json!({"name": "old"}))).await;
        archived(&ns, "old").await;
        let archive = Archive::at(&ns.archive(), &Options { deadline: SOON, ..Options::default() }).expect("a URL");
        let all = PruneLimits { older_than: Timestamp::MAX, keep_at_most: 0 };
        assert_eq!(archive.prune(&all).await.expect("an answer"), 1);
        let answer = rest.post(&format!("/api/v1/tasks/{id}/replay"), &json!({})).await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (410, "record-gone"), "{}", answer.text);
        assert_eq!(three_answers(&rest, &id).await[0]["payload"], json!({"a": 1}), "all else is told");
        assert!(ns.tasks().get_opt("old-r1").await.expect("an answer").is_none());
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_whose_task_was_run_again_is_not_to_be_replayed() {
    in_namespace("rest-rerun", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        node.script("one", [Outcome::exit(3), Outcome::succeed()]);
        failed(&ns, &rest, failing(json!({"name": "one"}))).await;
        let matched = async || {
            let answer = rest.post(&format!("{DEAD}/replay"), &json!({"all": true, "dry_run": true})).await;
            answer.json()["matched"].clone()
        };
        assert_eq!(matched().await, 1);
        ns.patch_task("one", json!({"runId": "2"})).await.expect("accepted");
        let is_over = |status: &TaskStatus| status.run_id.as_deref() == Some("2") && status.is_archived();
        ns.task_when("one", "has run again", |_, status| is_over(status)).await;
        assert_eq!(matched().await, 0);
        assert_eq!(rest.get(DEAD).await.json()["items"].as_array().map(Vec::len), Some(1), "it is still told");
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_replayed_by_a_filter_each_once() {
    in_namespace("rest-replays", async |ns| {
        let (node, mut operator, rest) = served(&ns).await;
        for (name, kb) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
            node.script(name, [Outcome::exit(3)]);
            failed(&ns, &rest, failing(json!({"name": name, "kb_id": kb}))).await;
        }
        let replay = async |rest: &Rest, body: Value| {
            let answer = rest.post(&format!("{DEAD}/replay"), &body).await;
            assert_eq!(answer.status, 200, "{body}: {}", answer.text);
            answer.json()
        };
        let [a1, a2] = [ns.task("a1").await, ns.task("a2").await].map(|task| json!({"task_id": task.uid()}));
        let told = replay(&rest, json!({"kb_id": "a", "dry_run": true})).await;
        assert_eq!(told, json!({"matched": 2, "replayed": 0, "dry_run": true, "results": [a1, a2]}));
        let told = replay(&rest, json!({"kb_id": "a", "dry_run": true, "limit": 1})).await;
        assert_eq!((&told["matched"], &told["results"]), (&json!(2), &json!([a2])), "how many, and so many of them");
        let cursor = told["next_cursor"].as_str().expect("there is more");
        let told = replay(&rest, json!({"kb_id": "a", "dry_run": true, "limit": 1, "cursor": cursor})).await;
        assert_eq!((&told["results"], told.get("next_cursor")), (&json!([a1]), None));
        assert!(ns.tasks().get_opt("a1-r1").await.expect("an answer").is_none(), "a dry run makes nothing");

        // As if the operator had ended between making a replay and linking it.
        let a1 = ns.task("a1").await;
        let mut begun = task("a1-r1");
        begun.annotations_mut().insert("taskmanager.dev/replay-of".into(), a1.uid().expect("a uid"));
        let begun = ns.create(&begun).await.uid();
        operator.crash().await;
        let rest = operator.rest();

        let told = replay(&rest, json!({"kb_id": "a"})).await;
        assert_eq!((&told["matched"], &told["replayed"]), (&json!(2), &json!(2)), "{told}");
        assert_eq!(told["results"][0]["replayed_by"], json!(begun), "oldest first, and the one that was begun");
        let told = replay(&rest, json!({"kb_id": "a"})).await;
        assert_eq!((&told["matched"], &told["replayed"]), (&json!(0), &json!(0)), "each once");
        let told = replay(&rest, json!({"all": true, "limit": 1})).await;
        assert_eq!((&told["matched"], &told["replayed"]), (&json!(1), &json!(1)), "without a filter, the rest");
        assert!(told.get("next_cursor").is_none(), "there are no more");
        for name in ["a1-r1", "a2-r1", "b1-r1"] {
            ns.task_in(name, task_manager::api::State::Completed).await;
        }
        assert!(ns.tasks().get_opt("a1-r2").await.expect("an answer").is_none());
    })
    .await;
}

#[tokio::test]
async fn while_the_archive_is_away_nothing_is_unknown_and_tasks_in_the_cluster_are_served() {
    in_namespace("rest-archive-down", async |ns| {
        ns.create(&task_type("work")).await;
        let _node = ns.fake_node();
        // There is no such folder, and none can be made.
        let operator = Operator::with_rest(&ns, &["--archive", "sqlite:/proc/none/archive.db"]).await;
        let rest = operator.rest();
        let id = rest.submit(&body()).await;
        status_when(&rest, &id, "completed").await;
        assert_eq!(three_answers(&rest, &id).await[2]["status"], "completed");
        let keyed = rest.post_with("/api/v1/tasks", &[("idempotency-key", "k")], &body()).await;
        let name = rest.status(&keyed.task_id()).await["name"].as_str().expect("a name").to_owned();
        assert!(ns.task(&name).await.spec.once, "whether it was done before is left to the archive");
        let other = "00000000-0000-0000-0000-000000000000";
        for path in [format!("/api/v1/tasks/{other}/status"), format!("/api/v1/tasks/{other}/events"), DEAD.to_owned()]
        {
            let answer = rest.get(&path).await;
            assert_eq!((answer.status, answer.problem().0.as_str()), (503, "archive"), "{path}");
            assert!(answer.header("retry-after").is_some());
        }
        let many = rest.post("/api/v1/tasks/status", &json!({"task_ids": [id, other]})).await;
        assert_eq!((many.status, many.problem().0.as_str()), (503, "archive"), "none is called unknown among many");
    })
    .await;
}

#[tokio::test]
async fn while_the_archive_is_away_a_stream_tells_what_is_known_and_no_unknown_end() {
    in_namespace("rest-events-away", async |ns| {
        ns.create(&task_type("work")).await;
        let _node = ns.fake_node();
        let folder = target().join("test-archives").join(&ns.name);
        let archive = format!("sqlite:{}/archive.db", folder.display());
        let operator = Operator::with_rest(&ns, &["--archive", &archive]).await;
        let rest = operator.rest();
        // Whether they were done before is left to the archive.
        let keyed = async |key| rest.post_with("/api/v1/tasks", &[("idempotency-key", key)], &body()).await.task_id();
        let (stays, goes) = (keyed("stays").await, keyed("goes").await);
        let (mut of_one, mut of_other) = (rest.events(&stays, None).await, rest.events(&goes, None).await);
        for id in [&stays, &goes] {
            eventually("it says what it waits for", SOON, async || {
                (rest.status(id).await["reason"] == "WaitingForArchive").then_some(())
            })
            .await;
        }
        let name = rest.status(&goes).await["name"].as_str().expect("a name").to_owned();
        ns.tasks().delete(&name, &DeleteParams::default()).await.expect("deleted");
        while let Some((status, ..)) = of_other.next_state().await {
            assert_eq!(status, "queued", "nobody knows how it ended");
        }
        let answer = rest.get(&format!("/api/v1/tasks/{goes}/events")).await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (503, "archive"));

        std::fs::create_dir_all(&folder).expect("a folder");
        let mut told = vec![];
        while let Some((status, ..)) = of_one.next_state().await {
            told.push(status);
        }
        assert_eq!(told.last().map(String::as_str), Some("completed"), "{told:?}");
        let rest = rest.patient();
        let end = eventually("its end is known", SOON, async || {
            let told = rest.get(&format!("/api/v1/tasks/{goes}/status")).await;
            (told.status == 200).then(|| told.json())
        })
        .await;
        assert_eq!((&end["status"], &end["reason"]), (&json!("cancelled"), &json!("Deleted")));
        let last = rest.events(&goes, None).await.next_state().await.map(|(status, ..)| status);
        assert_eq!(last.as_deref(), Some("cancelled"));
        std::fs::remove_dir_all(&folder).expect("it is removed");
    })
    .await;
}
