//! Tasks by filters, page by page.

use std::collections::BTreeSet;

use harness::*;
use serde_json::{Value, json};

use super::{body_with, served_and_held};

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["task_id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn pages_show_each_task_once_newest_first() {
    in_namespace("rest-pages", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let mut made = BTreeSet::new();
        for _ in 0..7 {
            made.insert(rest.submit(&body_with(json!({}))).await);
        }
        let mut seen = vec![];
        let mut path = "/api/v1/tasks?limit=3".to_owned();
        let mut pages = 0;
        loop {
            let page = rest.get(&path).await.json();
            seen.extend(ids(&page));
            pages += 1;
            // What comes later is on none of the pages that follow.
            rest.submit(&body_with(json!({}))).await;
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/api/v1/tasks?limit=3&cursor={cursor}");
            assert!(pages < 10, "it does not end");
        }
        assert!(pages >= 3);
        let distinct: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(distinct.len(), seen.len(), "each once");
        assert!(made.is_subset(&distinct), "and all that were there");
        let all = rest.get("/api/v1/tasks").await.json();
        let times: Vec<&str> =
            all["items"].as_array().expect("items").iter().filter_map(|item| item["created_at"].as_str()).collect();
        assert!(times.windows(2).all(|pair| pair[0] >= pair[1]), "{times:?}");
        assert!(all.get("next_cursor").is_none());
    })
    .await;
}

#[tokio::test]
async fn filters_are_anded() {
    in_namespace("rest-filters", async |ns| {
        ns.create(&task_type("other-kind")).await;
        let (_operator, rest) = served_and_held(&ns).await;
        let a = rest.submit(&body_with(json!({"kb_id": "a", "priority": "high"}))).await;
        ns.create(&task_queue("none", 0)).await;
        let b = rest.submit(&body_with(json!({"kb_id": "b", "priority": "high", "queue": "none"}))).await;
        let c = rest.submit(&body_with(json!({"kb_id": "a", "task_type": "other_kind"}))).await;
        for (query, wanted) in [
            ("kb_id=a", vec![&a, &c]),
            ("priority=high", vec![&a, &b]),
            ("priority=high&kb_id=a", vec![&a]),
            ("task_type=other_kind", vec![&c]),
            ("task_type=other-kind", vec![&c]),
            ("queue=none", vec![&b]),
            ("status=queued", vec![&a, &b, &c]),
            ("status=completed", vec![]),
            ("kb_id=nothing", vec![]),
            (&format!("namespace={}", ns.name), vec![&a, &b, &c]),
        ] {
            let page = rest.get(&format!("/api/v1/tasks?{query}")).await.json();
            let found: BTreeSet<String> = ids(&page).into_iter().collect();
            assert_eq!(found, wanted.into_iter().cloned().collect(), "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_made_by_manifest_is_listed_and_what_is_deleted_is_known_as_cancelled() {
    in_namespace("rest-manifest", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let id = ns.create(&task("by-hand")).await.metadata.uid.expect("a uid");
        assert_eq!(rest.status(&id).await["name"], "by-hand");
        ns.tasks().delete("by-hand", &kube::api::DeleteParams::default()).await.expect("deleted");
        let told = eventually("it is known to be gone", SOON, async || {
            let answer = rest.get(&format!("/api/v1/tasks/{id}/status")).await;
            // For a moment it is in the cluster no more, and in the archive not yet.
            (answer.status == 200).then(|| answer.json()).filter(|told| told["status"] != "queued")
        })
        .await;
        assert_eq!((&told["status"], &told["reason"]), (&json!("cancelled"), &json!("Deleted")));
        assert_eq!(ids(&rest.get("/api/v1/tasks").await.json()), Vec::<String>::new());
    })
    .await;
}
