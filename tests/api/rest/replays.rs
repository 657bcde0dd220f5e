//! Finished tasks are run again with changes.

use harness::*;
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::State;

use super::{body_with, served, status_when};

const MANY: &str = "/api/v1/tasks/dead-letters/replay";

async fn failed(ns: &Namespace, rest: &Rest, more: Value) -> String {
    let id = rest.submit(&body_with(more)).await;
    let name = status_when(rest, &id, "failed").await["name"].as_str().expect("a name").to_owned();
    ns.task_when(&name, "is archived", |_, status| status.is_archived()).await;
    id
}

fn narrow() -> task_manager::api::TaskType {
    task_type("narrow").with(|spec| {
        spec.maximum = serde_json::from_value(json!({"priority": "high", "timeoutSeconds": 600, "payloadBytes": 64,
            "resources": {"memory": "1Gi"}}))
        .expect("a maximum");
    })
}

#[tokio::test]
async fn a_replay_with_changes_says_first_what_it_would_make() {
    in_namespace("rest-replay-changes", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        node.script("job", [Outcome::exit(3)]);
        let more = json!({"name": "job", "retry": {"limit": 0, "max_seconds": 5}, "timeout_seconds": 60,
            "resources": {"limits": {"memory": "64Mi", "cpu": "1"}}});
        let old = failed(&ns, &rest, more).await;
        let path = format!("/api/v1/tasks/{old}/replay");
        ns.create(&task_queue("other", 5)).await;
        let mut changes = json!({"priority": "high", "queue": "other", "payload": {"b": 2}, "timeout_seconds": null,
            "retry": {"limit": 2}, "resources": {"limits": {"memory": "128Mi"}}, "deadline_seconds": 900});
        changes["dry_run"] = true.into();
        let plan = rest.post(&path, &changes).await;
        let expected = json!({"task_type": "work", "kb_id": "kb-1", "name": "job-r1", "namespace": ns.name,
            "priority": "high", "queue": "other", "payload": {"b": 2}, "retry": {"limit": 2, "max_seconds": 5},
            "resources": {"limits": {"memory": "128Mi", "cpu": "1"}}, "deadline_seconds": 900, "ttl_seconds": 3600});
        let told = json!({"dry_run": true, "replay_of": old, "submission": expected});
        assert_eq!((plan.status, plan.json()), (200, told));
        assert!(ns.tasks().get_opt("job-r1").await.expect("an answer").is_none(), "a dry run makes nothing");

        changes["dry_run"] = false.into();
        let answer = rest.post(&path, &changes).await;
        assert_eq!((answer.status, &answer.json()["replay_of"]), (202, &json!(old)), "{}", answer.text);
        let new = ns.task_in("job-r1", State::Completed).await;
        assert_eq!(new.uid().as_deref(), Some(answer.task_id().as_str()));
        let spec = serde_json::to_value(&new.spec).expect("JSON");
        assert_eq!((&spec["payload"], &spec["retry"]), (&json!({"b": 2}), &json!({"limit": 2, "maxSeconds": 5})));
        assert_eq!(
            (&spec["queue"], &spec["priority"], spec.get("timeoutSeconds")),
            (&json!("other"), &json!("high"), None)
        );
        let links = [
            rest.get(&format!("/api/v1/tasks/{old}")).await,
            rest.get(&format!("/api/v1/tasks/{}", answer.task_id())).await,
        ];
        assert_eq!(
            (&links[0].json()["replayed_by"], &links[1].json()["replay_of"]),
            (&json!(answer.task_id()), &json!(old))
        );

        let plain = rest.send(hyper::Method::POST, &path, &[], None).await;
        assert_eq!(plain.status, 202, "a body need not be there: {}", plain.text);
        assert_eq!(rest.status(&plain.task_id()).await["name"], "job-r2");
        assert_eq!(ns.task("job-r2").await.spec.payload, ns.task("job").await.spec.payload);
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_refuses_what_the_replay_would_refuse() {
    in_namespace("rest-replay-wrong", async |ns| {
        ns.create(&narrow()).await;
        let (node, _operator, rest) = served(&ns).await;
        node.script("job", [Outcome::exit(3)]);
        let old = failed(&ns, &rest, json!({"name": "job", "task_type": "narrow", "retry": {"limit": 0}})).await;
        for (change, status, kind, field) in [
            (json!({"priority": "critical"}), 422, "above-maximum", "priority"),
            (json!({"timeout_seconds": 601}), 422, "above-maximum", "timeout_seconds"),
            (json!({"resources": {"limits": {"memory": "2Gi"}}}), 422, "above-maximum", "resources.limits.memory"),
            (json!({"payload": {"a": "x".repeat(64)}}), 413, "payload-too-large", "payload"),
            (json!({"payload": [1]}), 422, "invalid", "payload"),
            (json!({"timeout_seconds": 0}), 422, "invalid", "timeout_seconds"),
            (json!({"queue": ""}), 422, "invalid", "queue"),
            (json!({"retry": {"most": 1}}), 422, "invalid", "retry.most"),
            (json!({"task_type": "work"}), 422, "invalid", "task_type"),
        ] {
            for dry_run in [true, false] {
                let mut body = change.clone();
                body["dry_run"] = dry_run.into();
                let answer = rest.post(&format!("/api/v1/tasks/{old}/replay"), &body).await;
                let told = answer.problem();
                assert_eq!(
                    (answer.status, told),
                    (status, (kind.into(), Some(field.into()))),
                    "{body}: {}",
                    answer.text
                );
            }
        }
        let text = [("content-type", "text/plain")];
        let path = format!("/api/v1/tasks/{old}/replay");
        let answer = rest.send(hyper::Method::POST, &path, &text, Some("priority".into())).await;
        assert_eq!((answer.status, answer.problem().0.as_str()), (415, "media-type"));
        assert!(ns.tasks().get_opt("job-r1").await.expect("an answer").is_none());
    })
    .await;
}

#[tokio::test]
async fn a_key_stands_for_a_replay_and_its_changes() {
    in_namespace("rest-replay-key", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        node.script("job", [Outcome::exit(3)]);
        let old = failed(&ns, &rest, json!({"name": "job", "retry": {"limit": 0}})).await;
        let path = format!("/api/v1/tasks/{old}/replay");
        let key = [("idempotency-key", "k")];
        let first = rest.post_with(&path, &key, &json!({"payload": {"b": 1, "c": 2}})).await;
        let again = rest.post_with(&path, &key, &json!({"payload": {"c": 2.0, "b": 1}})).await;
        assert_eq!((first.status, again.status, first.task_id()), (202, 202, again.task_id()));
        for other in [json!({}), json!({"payload": {"b": 2}}), json!({"payload": {"b": 1, "c": 2}, "priority": "low"})]
        {
            let answer = rest.post_with(&path, &key, &other).await;
            assert_eq!((answer.status, answer.problem().0.as_str()), (422, "key-reused"), "{other}");
        }
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_replayed_with_changes_and_all_of_them_only_where_that_is_said() {
    in_namespace("rest-replays-changed", async |ns| {
        ns.create(&narrow()).await;
        let (node, _operator, rest) = served(&ns).await;
        for (name, kind) in [("a1", "work"), ("b1", "narrow")] {
            node.script(name, [Outcome::exit(3)]);
            failed(&ns, &rest, json!({"name": name, "task_type": kind, "retry": {"limit": 0}})).await;
        }
        for body in [json!({}), json!({"dry_run": true}), json!({"limit": 1}), json!({"changes": {"priority": "low"}})]
        {
            let answer = rest.post(MANY, &body).await;
            assert_eq!((answer.status, answer.problem()), (422, ("invalid".into(), Some("all".into()))), "{body}");
        }
        let wrong = rest.post(MANY, &json!({"all": true, "changes": {"colour": "red"}})).await;
        assert_eq!((wrong.status, wrong.problem()), (422, ("invalid".into(), Some("changes.colour".into()))));
        let wrong = rest.post(MANY, &json!({"kb_id": "nobody", "changes": {"timeout_seconds": 0}})).await;
        assert_eq!((wrong.status, wrong.problem()), (422, ("invalid".into(), Some("changes.timeout_seconds".into()))));
        let mut body = json!({"all": true, "changes": {"timeout_seconds": 700}, "dry_run": true});
        let plan = rest.post(MANY, &body).await.json();
        assert_eq!((&plan["matched"], &plan["replayed"]), (&json!(2), &json!(0)));
        assert!(plan["results"][0].get("problem").is_none(), "oldest first: {plan}");
        assert_eq!(plan["results"][1]["problem"]["type"], "/problems/above-maximum", "{plan}");
        body["dry_run"] = false.into();
        let told = rest.post(MANY, &body).await.json();
        assert_eq!((&told["matched"], &told["replayed"]), (&json!(2), &json!(1)), "{told}");
        assert_eq!(told["results"][1]["problem"]["type"], "/problems/above-maximum", "{told}");
        assert_eq!(ns.task("a1-r1").await.spec.timeout_seconds, Some(700));
    })
    .await;
}
