//! The environment of a container when it starts, and the results that it leaves.

use std::collections::BTreeMap;

use harness::{With, condition, task_queue};
use kube::ResourceExt;
use serde_json::{Value, json};
use task_manager::api::{Payload, Quantity, Reason, Resources, State};
use task_manager::core::digest::sha256_hex;

use e2e::world::{never_again, on_a_node, on_a_node_over_each_executor, shell};

const DIGEST_OF_PAYLOAD: &str = r#"sha256sum "$TASK_PAYLOAD_FILE" | cut -d " " -f 1 > "$TASK_RESULT_FILE""#;

fn payload(value: Value) -> Option<Payload> {
    Some(serde_json::from_value(value).expect("an object"))
}

/// A payload of exactly so many bytes as compact JSON, with all that is awkward in it.
fn payload_of(bytes: usize) -> Value {
    let awkward = "ünïcödé 漢字 🦀 \"quoted\" back\\slash $(TASK_NAME) $$ ${HOME} `id` \n\t <&> ";
    let sized = |text: &str, fill: usize| json!({ "fill": "x".repeat(fill), "text": text });
    let mut text = String::new();
    while sized(&format!("{text}{awkward}"), 0).to_string().len() <= bytes {
        text.push_str(awkward);
    }
    let missing = bytes - sized(&text, 0).to_string().len();
    sized(&text, missing)
}

fn digest(value: &Value) -> String {
    sha256_hex(value.to_string())
}

#[tokio::test]
async fn a_task_becomes_a_finished_container_that_was_told_who_it_is() {
    on_a_node_over_each_executor("finished", async |world| {
        world.work(r#"env | grep ^TASK_ | sort > "$TASK_RESULT_FILE""#).await;
        let kb_id = r#"kb "42" $(TASK_ID) $$HOME ü"#;
        let task = world.task_with("report-7", |spec| spec.kb_id = Some(kb_id.into())).await;
        let status = world.completes(&task).await;

        let result = status.result.expect("a result");
        let told: BTreeMap<&str, &str> =
            result.as_str().expect("text").lines().filter_map(|line| line.split_once('=')).collect();
        let uid = task.uid().expect("a uid");
        for (name, value) in [
            ("TASK_ID", uid.as_str()),
            ("TASK_NAME", "report-7"),
            ("TASK_TYPE", "work"),
            ("TASK_ATTEMPT", "1"),
            ("TASK_KB_ID", kb_id),
            ("TASK_PAYLOAD_FILE", "/task/payload.json"),
        ] {
            assert_eq!(told.get(name), Some(&value), "{name} in {told:?}");
        }
        assert!(told.contains_key("TASK_RESULT_FILE"), "{told:?}");

        assert_eq!((status.reason, status.attempt, status.failures, status.disruptions), (Reason::Succeeded, 1, 0, 0));
        assert_eq!(status.admitted, None, "its slot is given back");
        let attempt = &status.attempts[0];
        assert_eq!((attempt.exit_code, attempt.node.is_some(), &attempt.pod), (Some(0), true, &status.worker));
        let times =
            [&status.queued_at, &status.admitted_at, &status.finished_at].map(|time| time.as_ref().expect("a time").0);
        assert!(times.is_sorted(), "{times:?}");
        let task = world.namespace.task("report-7").await;
        let conditions =
            ["Complete", "Ready", "Failed", "Reconciling"].map(|type_| condition(&task, type_) == Some("True"));
        assert_eq!(conditions, [true, true, false, false]);
        assert_eq!(world.pods_of(&task).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_task_says_of_itself_cannot_read_a_secret_of_its_type() {
    on_a_node("secret", async |world| {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"token": "s3cr3t"},
        });
        world.namespace.apply(secret).await.expect("a Secret");
        let script = r#"[ "$SECRET" = s3cr3t ] && printf %s "$TASK_KB_ID" > "$TASK_RESULT_FILE""#;
        let token = json!({"secretKeyRef": {"name": "token", "key": "token"}});
        let kind = shell("work", script).with(|spec| {
            spec.template["spec"]["containers"][0]["env"] = json!([{"name": "SECRET", "valueFrom": token}]);
            never_again(spec);
        });
        world.namespace.create(&kind).await;
        let task = world.task_with("task", |spec| spec.kb_id = Some("$(SECRET) $SECRET ${SECRET}".into())).await;
        assert_eq!(world.completes(&task).await.result, Some(json!("$(SECRET) $SECRET ${SECRET}")));
    })
    .await;
}

#[tokio::test]
async fn names_as_long_as_the_api_server_allows_run_as_any_other() {
    on_a_node("long-names", async |world| {
        let longest = [63, 63, 63, 61].map(|letters| "n".repeat(letters)).join(".");
        assert_eq!(longest.len(), 253);
        // The name of its Job is cut off right behind the dot.
        let dotted = format!("{}.{}", "d".repeat(45), "e".repeat(63));
        world.namespace.create(&task_queue(&longest, 1)).await;
        world.namespace.create(&shell(&longest, r#"printf %s "$TASK_NAME $TASK_TYPE" > "$TASK_RESULT_FILE""#)).await;
        for name in [&longest, &dotted] {
            let task = world.task_with(name, |spec| {
                spec.type_ = longest.clone();
                spec.queue = longest.clone();
                spec.kb_id = Some("k".repeat(253));
            });
            let task = task.await;
            let status = world.completes(&task).await;
            assert_eq!(status.result, Some(json!(format!("{name} {longest}"))));
            let pod = world.pods_of(&task).remove(0).object;
            assert!(pod.labels()["batch.kubernetes.io/job-name"].len() <= 63, "{:?}", pod.labels());
        }
    })
    .await;
}

#[tokio::test]
async fn kubectl_can_wait_for_the_end() {
    on_a_node("kubectl-wait", async |world| {
        world.script("works", "sleep 1").await;
        world.script_with("fails", "exit 1", never_again).await;
        for wait in [["--for=condition=Complete", "task/works"], ["--for=condition=Failed", "task/fails"]] {
            let waited = world.namespace.kubectl(&["wait", "--timeout=300s", wait[0], wait[1]]).await;
            assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
        }
    })
    .await;
}

#[tokio::test]
async fn the_payload_arrives_byte_for_byte_up_to_its_limit() {
    on_a_node("payload", async |world| {
        world.work(DIGEST_OF_PAYLOAD).await;
        let small = json!({"": null, "list": [1, 2.5, true, {}], "text": "$(TASK_ID) $$ \"'\u{7f}\u{2028} 漢字 🦀"});
        let largest = payload_of(32_768);
        let wider = shell("wide", DIGEST_OF_PAYLOAD).with(|spec| spec.maximum.payload_bytes = Some(131_072));
        world.namespace.create(&wider).await;
        let widest = payload_of(131_072);
        let tasks = [
            (world.task_with("small", |spec| spec.payload = payload(small.clone())).await, &small),
            (world.task_with("largest", |spec| spec.payload = payload(largest.clone())).await, &largest),
            (
                world
                    .task_with("widest", |spec| (spec.type_, spec.payload) = ("wide".into(), payload(widest.clone())))
                    .await,
                &widest,
            ),
        ];
        let none = world.task_with("none", |spec| spec.payload = None).await;
        let larger = world.task_with("larger", |spec| spec.payload = payload(payload_of(32_769))).await;

        for (task, payload) in tasks {
            let status = world.completes(&task).await;
            assert_eq!(status.result, Some(json!(digest(payload))), "the payload of {}", task.name_any());
        }
        assert_eq!(world.completes(&none).await.result, Some(json!(digest(&json!({})))), "no payload is an empty one");
        let refused = world.ends(&larger, State::Failed).await;
        assert_eq!((refused.reason, refused.attempt), (Reason::PayloadTooLarge, 0));
        assert!(world.pods_of(&larger).is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_payload_file_can_be_read_and_not_changed() {
    on_a_node("files", async |world| {
        world
            .work(
                r#"
                set -e
                ! touch /task/other 2>/dev/null
                ! echo x 2>/dev/null >> "$TASK_PAYLOAD_FILE"
                cat "$TASK_PAYLOAD_FILE" > "$TASK_RESULT_FILE"
                "#,
            )
            .await;
        let task = world.task("task").await;
        assert_eq!(world.completes(&task).await.result, Some(json!({"name": "task"})));
    })
    .await;
}

#[tokio::test]
async fn a_result_is_kept_as_json_else_as_text_and_a_long_one_is_cut_off() {
    on_a_node("results", async |world| {
        let letters =
            |n: usize| format!(r#"l=$(head -c {n} /dev/zero | tr '\0' x); printf '"%s"' "$l" > "$TASK_RESULT_FILE""#);
        // With its quotes, JSON of 4096 bytes; and one byte more.
        let longest = world.script("longest", &letters(4094)).await;
        let cut = world.script("cut", &letters(4095)).await;
        let text = world.script("text", r#"echo not JSON > "$TASK_RESULT_FILE""#).await;
        let number = world.script("number", r#"echo 42 > "$TASK_RESULT_FILE""#).await;
        let nothing = world.script("nothing", "true").await;
        let noise = world.script("noise", r#"head -c 9000 /dev/urandom > "$TASK_RESULT_FILE""#).await;

        let status = world.completes(&longest).await;
        assert_eq!((status.result, status.result_truncated), (Some(json!("x".repeat(4094))), false));
        let status = world.completes(&cut).await;
        let kept = status.result.expect("a result");
        assert!(status.result_truncated && kept.as_str().expect("text").len() == 4096, "{kept}");
        let status = world.completes(&text).await;
        assert_eq!((status.result, status.result_truncated), (Some(json!("not JSON")), false));
        assert_eq!(world.completes(&number).await.result, Some(json!(42)));
        assert_eq!(world.completes(&nothing).await.result, None);
        let status = world.completes(&noise).await;
        assert!(
            status.result_truncated && status.result.is_some_and(|kept| kept.is_string()),
            "what is no text hurts nobody"
        );
    })
    .await;
}

#[tokio::test]
async fn the_tasks_resources_land_on_the_container() {
    on_a_node("resources", async |world| {
        // Version 1 of control groups, else version 2.
        let read = r#"
            cd /sys/fs/cgroup
            memory=$(cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max)
            printf '{"memory":%s}' "$memory" > "$TASK_RESULT_FILE"
        "#;
        world.work(read).await;
        let quantities = |cpu: &str, memory: &str| {
            [("cpu".to_owned(), Quantity(cpu.into())), ("memory".to_owned(), Quantity(memory.into()))].into()
        };
        let resources = Resources { requests: quantities("20m", "12Mi"), limits: quantities("300m", "24Mi") };
        let task = world.task_with("task", |spec| spec.resources = Some(resources)).await;
        let default = world.task("default").await;

        let status = world.completes(&task).await;
        assert_eq!(status.result, Some(json!({"memory": 24 << 20})));
        assert_eq!(world.completes(&default).await.result, Some(json!({"memory": 32 << 20})), "the type's default");

        let pod = world.pods_of(&task).remove(0).object;
        let spec = pod.spec.expect("a spec");
        let on_pod = spec.containers[0].resources.as_ref().expect("resources");
        let found = json!({"requests": on_pod.requests, "limits": on_pod.limits});
        let wanted = json!({"requests": {"cpu": "20m", "memory": "12Mi"}, "limits": {"cpu": "300m", "memory": "24Mi"}});
        assert_eq!(found, wanted);
    })
    .await;
}
