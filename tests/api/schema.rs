//! Objects that the API server accepts, refuses and completes by itself: no operator runs here.

use std::process::Stdio;

use harness::*;
use serde_json::{Value, json};
use task_manager::api::NEVER;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::stage::{manifest, object_version, refusal};

/// Creates each manifest, and wants each refused with its words.
async fn all_refused(ns: &Namespace, kind: &str, cases: &[(Value, &str)]) {
    for (number, (spec, words)) in cases.iter().enumerate() {
        let answer = ns.create_raw(manifest(kind, &format!("wrong-{number}"), spec.clone())).await;
        let said = refusal(answer, &spec.to_string());
        assert!(said.contains(words), "{spec}\n  says   {said}\n  not    {words}");
    }
}

#[tokio::test]
async fn a_wrong_task_is_refused_with_words_that_say_what_to_write() {
    let quantity = "write a quantity that is not negative, such as 500m, 2 or 1Gi";
    in_namespace("wrong-task", async |ns| {
        let cases = [
            (json!({}), "spec.type: Required value"),
            (json!({"type": ""}), "spec.type in body should be at least 1 chars long"),
            (json!({"type": "w", "priority": "urgent"}), r#"supported values: "low", "normal", "high", "critical""#),
            (
                json!({"type": "w", "timeoutSeconds": -1}),
                "spec.timeoutSeconds in body should be greater than or equal to 1",
            ),
            (
                json!({"type": "w", "timeoutSeconds": 0}),
                "spec.timeoutSeconds in body should be greater than or equal to 1",
            ),
            (json!({"type": "w", "timeoutSeconds": 604_801}), "should be less than or equal to 604800"),
            (json!({"type": "w", "timeoutSeconds": "10m"}), "spec.timeoutSeconds in body must be of type integer"),
            (
                json!({"type": "w", "deadlineSeconds": 0}),
                "spec.deadlineSeconds in body should be greater than or equal to 1",
            ),
            (
                json!({"type": "w", "retry": {"limit": 101}}),
                "spec.retry.limit in body should be less than or equal to 100",
            ),
            (
                json!({"type": "w", "retry": {"limit": -1}}),
                "spec.retry.limit in body should be greater than or equal to 0",
            ),
            (
                json!({"type": "w", "retry": {"factor": 0.5}}),
                "spec.retry.factor in body should be greater than or equal to 1",
            ),
            (json!({"type": "w", "retry": {"oomMemoryFactor": 5}}), "should be less than or equal to 4"),
            (json!({"type": "w", "resources": {"requests": {"cpu": "lots"}}}), quantity),
            (json!({"type": "w", "resources": {"limits": {"memory": "-1Gi"}}}), quantity),
            (json!({"type": "w", "resources": {"limits": {"memory": -5}}}), quantity),
            (json!({"type": "w", "resources": {"limits": {"memory": "-5Mi"}}}), r#"in place of "-5Mi""#),
            (json!({"type": "w", "resources": {"limits": {"memory": -5}}}), r#"in place of "-5""#),
            (json!({"type": "w", "resources": {"limits": {"memory": ["1Gi"]}}}), "spec.resources.limits.memory"),
            (
                json!({"type": "w", "resources": {"limits": {"memory": {"most": "1Gi"}}}}),
                "spec.resources.limits.memory",
            ),
            (
                json!({"type": "w", "resources": {"limits": ["1Gi"]}}),
                "spec.resources.limits in body must be of type object",
            ),
            (json!({"type": "w", "resources": [{}, {}]}), "spec.resources in body must be of type object"),
            (json!({"type": "w", "retry": [3, 10, 2, 300, 20, 1]}), "spec.retry in body must be of type object"),
            (json!({"type": "w", "retry": {"limit": [3]}}), "spec.retry.limit in body must be of type integer"),
            // A number, as 1.34 says it, or a double, as later ones do.
            (json!({"type": "w", "retry": {"factor": {"by": 2}}}), "spec.retry.factor in body must be of type "),
            (json!({"type": "w", "startAfter": "tomorrow"}), "spec.startAfter in body must be of type date-time"),
            (json!({"type": "w", "payload": "text"}), "spec.payload in body must be of type object"),
            (json!({"type": "w", "payload": [1]}), "spec.payload in body must be of type object"),
            (json!({"type": "w", "runId": ""}), "spec.runId in body should be at least 1 chars long"),
            (json!({"type": "w", "ttlSecondsAfterFinished": -1}), "should be greater than or equal to 0"),
            (json!({"type": "w", "suspend": "yes"}), "spec.suspend in body must be of type boolean"),
            (json!({"type": "Not A Name"}), "write the name of a TaskType: lower case letters"),
            (json!({"type": "document_processing"}), "write the name of a TaskType: lower case letters"),
            (json!({"type": "w", "queue": "Nightly"}), "write the name of a TaskQueue: lower case letters"),
            (json!({"type": "w", "queue": "nightly-"}), "write the name of a TaskQueue: lower case letters"),
            (json!({"type": "w", "resources": {"limits": {"memory": "100m"}}}), "write 100Mi, not 100m"),
            (json!({"type": "w", "resources": {"requests": {"memory": 512}}}), "write 100Mi, not 100m"),
            (json!({"type": "w", "resources": {"requests": {"cpu": 2000}}}), "cpu is in cores"),
            (json!({"type": "w", "resources": {"limits": {"cpu": "1e4"}}}), "cpu is in cores"),
        ];
        all_refused(&ns, "Task", &cases).await;
    })
    .await;
}

#[tokio::test]
async fn usual_names_and_amounts_are_taken_however_they_are_written() {
    in_namespace("usual", async |ns| {
        for (number, spec) in [
            json!({"type": "a"}),
            json!({"type": "document-processing.v2", "queue": "1-at-a-time"}),
            json!({"type": "w", "resources": {"requests": {"cpu": "1000", "memory": "1Mi"}, "limits": {"memory": 1_048_576}}}),
            json!({"type": "w", "resources": {"requests": {"cpu": 0, "memory": "0"}, "limits": {"cpu": "1n", "memory": "1e30"}}}),
            json!({"type": "w", "resources": {"limits": {"example.com/millis": "1m", "example.com/many": 100_000}}}),
        ]
        .into_iter()
        .enumerate()
        {
            let written = manifest("Task", &format!("usual-{number}"), spec.clone());
            ns.create_raw(written).await.unwrap_or_else(|error| panic!("{spec}: {error}"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_type_is_refused_with_words_that_say_what_to_write() {
    let no_matcher = "a failure rule needs at least one of exitCodes, reasons and errorTypes";
    let with = |more: Value| {
        let mut spec = json!({"template": {"spec": {"containers": []}}});
        spec.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        spec
    };
    let one_of_the_two = "executor Job and Pod want a template, executor Pool a workerPool";
    in_namespace("wrong-type", async |ns| {
        let cases = [
            (json!({}), one_of_the_two),
            (json!({"executor": "Pool"}), one_of_the_two),
            (with(json!({"executor": "Pool", "workerPool": "warm"})), one_of_the_two),
            (with(json!({"workerPool": "warm"})), one_of_the_two),
            (json!({"template": "busybox"}), "spec.template in body must be of type object"),
            (with(json!({"executor": "Cron"})), r#"spec.executor: Unsupported value: "Cron""#),
            (with(json!({"failureRules": [{"action": "Fail"}]})), no_matcher),
            (
                with(json!({"failureRules": [{"exitCodes": [0], "action": "Fail"}]})),
                "should be greater than or equal to 1",
            ),
            (
                with(json!({"failureRules": [{"exitCodes": [256], "action": "Fail"}]})),
                "should be less than or equal to 255",
            ),
            (with(json!({"failureRules": [{"exitCodes": [], "action": "Fail"}]})), "should have at least 1 items"),
            (
                with(json!({"failureRules": [{"exitCodes": [1], "action": "Explode"}]})),
                r#"Unsupported value: "Explode""#,
            ),
            (
                with(json!({"failureRules": [{"reasons": ["BadLuck"], "action": "Fail"}]})),
                r#"Unsupported value: "BadLuck""#,
            ),
            // Words that are no failure of an attempt: a rule with them would never match.
            (
                with(json!({"failureRules": [{"reasons": ["NodeLost", "Queued"], "action": "Fail"}]})),
                r#"spec.failureRules[0].reasons[1]: Unsupported value: "Queued": supported values: "ExitCode", "Timeout""#,
            ),
            (
                with(json!({"failureRules": [{"reasons": ["Unschedulable"], "action": "Ignore"}]})),
                r#"Unsupported value: "Unschedulable""#,
            ),
            (with(json!({"failureRules": [{"reasons": [], "action": "Fail"}]})), "should have at least 1 items"),
            (with(json!({"failureRules": [{"exitCodes": [1]}]})), "action: Required value"),
            (with(json!({"maximum": {"payloadBytes": 131_073}})), "should be less than or equal to 131072"),
            (with(json!({"maximum": {"resources": {"cpu": "many"}}})), "write a quantity"),
            (with(json!({"maxConcurrent": 0})), "spec.maxConcurrent in body should be greater than or equal to 1"),
            (with(json!({"startDeadlineSeconds": 0})), "should be greater than or equal to 1"),
            (with(json!({"defaults": {"priority": "urgent"}})), r#"Unsupported value: "urgent""#),
        ];
        all_refused(&ns, "TaskType", &cases).await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_queue_is_refused_with_words_that_say_what_to_write() {
    in_namespace("wrong-queue", async |ns| {
        let cases = [
            (json!({"capacity": {"tasks": -1}}), "spec.capacity.tasks in body should be greater than or equal to 0"),
            (json!({"capacity": {"resources": {"cpu": "many"}}}), "write a quantity"),
            (json!({"ceilings": {"low": 0}}), "spec.ceilings.low in body should be greater than or equal to 1"),
            (json!({"ceilings": {"normal": 101}}), "spec.ceilings.normal in body should be less than or equal to 100"),
            (json!({"ceilings": {"low": 90, "normal": 50}}), "write low <= normal <= high <= critical"),
            (json!({"ceilings": {"low": 90, "critical": 50}}), "write low <= normal <= high <= critical"),
            (json!({"ceilings": {"high": 90, "critical": 50}}), "write low <= normal <= high <= critical"),
        ];
        all_refused(&ns, "TaskQueue", &cases).await;
        for fine in [
            json!({}),
            json!({"normal": 50}),
            json!({"low": 50, "critical": null}),
            json!({"low": 50, "normal": 50, "high": 80, "critical": 90}),
        ] {
            let queue = manifest("TaskQueue", "fine", json!({"ceilings": fine}));
            ns.apply(queue).await.expect("accepted");
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_pool_is_refused_with_words_that_say_what_to_write() {
    let with = |more: Value| {
        let mut spec = json!({"replicas": {"max": 1}, "template": {"spec": {"containers": []}}});
        spec.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        spec
    };
    in_namespace("wrong-pool", async |ns| {
        let cases = [
            (json!({"replicas": {"max": 1}}), "spec.template: Required value"),
            (with(json!({"replicas": {}})), "spec.replicas.max: Required value"),
            (with(json!({"replicas": {"min": 3, "max": 2}})), "write min <= max, or max: 0 to pause the pool"),
            (
                with(json!({"replicas": {"max": 1001}})),
                "spec.replicas.max in body should be less than or equal to 1000",
            ),
            (with(json!({"agent": {"as": "Sidecar"}})), r#"spec.agent.as: Unsupported value: "Sidecar""#),
            (with(json!({"slotsPerWorker": 0})), "spec.slotsPerWorker in body should be greater than or equal to 1"),
            (
                with(json!({"heartbeatSeconds": 4})),
                "spec.heartbeatSeconds in body should be greater than or equal to 5",
            ),
            (with(json!({"idleSeconds": "long"})), "spec.idleSeconds in body must be of type integer"),
        ];
        all_refused(&ns, "WorkerPool", &cases).await;
        for (number, fine) in [
            json!({}),
            json!({"replicas": {"min": 2, "max": 0}}),
            json!({"agent": {}, "slotsPerWorker": 64, "heartbeatSeconds": 60, "idleSeconds": 0}),
        ]
        .into_iter()
        .enumerate()
        {
            ns.apply(manifest("WorkerPool", &format!("fine-{number}"), with(fine))).await.expect("accepted");
        }
    })
    .await;
}

#[tokio::test]
async fn a_typing_error_in_a_field_name_is_refused_by_kubectl() {
    in_namespace("typo", async |ns| {
        let folder = target().join("test-logs");
        std::fs::create_dir_all(&folder).expect("a folder for the manifest");
        let file = folder.join(format!("{}.json", ns.name));
        let wrong = manifest("Task", "typo", json!({"type": "w", "prioritty": "high"}));
        std::fs::write(&file, wrong.to_string()).expect("a manifest");
        let said = ns.kubectl(&["apply", "-f", &file.to_string_lossy()]).await;
        assert!(!said.status.success());
        assert!(String::from_utf8_lossy(&said.stderr).contains(r#"unknown field "spec.prioritty""#), "{said:?}");
    })
    .await;
}

#[tokio::test]
async fn the_least_that_a_person_can_write_is_filled_in() {
    in_namespace("least", async |ns| {
        let task = ns.create_raw(manifest("Task", "least", json!({"type": "w"}))).await.expect("accepted");
        let defaults =
            json!({"type": "w", "queue": "default", "runId": "1", "suspend": false, "cancel": false, "once": false});
        assert_eq!(task.data["spec"], defaults);
        let queue = ns.create_raw(manifest("TaskQueue", "least", json!({}))).await.expect("accepted");
        assert_eq!(queue.data["spec"]["suspend"], json!(false));
        let template = json!({"template": {"spec": {"containers": []}}});
        let kind = ns.create_raw(manifest("TaskType", "least", template)).await.expect("accepted");
        assert_eq!(kind.data["spec"]["executor"], json!("Job"));
    })
    .await;
}

#[tokio::test]
async fn null_is_as_good_as_absent() {
    in_namespace("null", async |ns| {
        let spec = json!({"type": "w", "priority": null, "kbId": null, "payload": null, "timeoutSeconds": null,
            "retry": {"limit": null}, "resources": null, "queue": null, "suspend": null, "startAfter": null});
        let task = ns.create_raw(manifest("Task", "null", spec)).await.expect("accepted");
        assert_eq!((&task.data["spec"]["queue"], &task.data["spec"]["suspend"]), (&json!("default"), &json!(false)));
        let template = json!({"template": {"spec": {"containers": []}}, "executor": null,
            "defaults": {"priority": null}, "maximum": {"priority": null, "resources": null}});
        ns.create_raw(manifest("TaskType", "null", template)).await.expect("accepted");
    })
    .await;
}

#[tokio::test]
async fn a_list_where_a_time_should_stand_is_let_in_and_can_be_read() {
    in_namespace("list-for-time", async |ns| {
        let written = manifest("Task", "odd", json!({"type": "w", "startAfter": [[7, null]]}));
        ns.create_raw(written).await.expect("the API server looks at no list where a format is asked for");
        assert_eq!(ns.task("odd").await.spec.start_after.map(|time| time.0), Some(NEVER), "it is waited for");
    })
    .await;
}

#[tokio::test]
async fn a_new_task_says_queued_before_any_operator_has_seen_it() {
    in_namespace("first-status", async |ns| {
        let mut written = manifest("Task", "new", json!({"type": "w"}));
        written["status"] = json!({"state": "Completed", "observedGeneration": 1});
        let task = ns.create_raw(written).await.expect("accepted");
        assert_eq!(task.data["status"]["state"], json!("Queued"), "what a person writes there is not taken");
        assert_eq!(task.data["status"]["observedGeneration"], json!(-1), "kstatus: nobody has looked yet");
        let condition = &task.data["status"]["conditions"][0];
        assert_eq!((&condition["type"], &condition["status"]), (&json!("Reconciling"), &json!("True")));
        assert_eq!((&condition["reason"], &task.data["status"]["reason"]), (&json!("Queued"), &json!("Queued")));
    })
    .await;
}

#[tokio::test]
async fn applying_the_same_again_changes_nothing() {
    in_namespace("again", async |ns| {
        let task = manifest(
            "Task",
            "again",
            json!({"type": "w", "priority": "high", "payload": {"a": {"b": [1, null]}},
            "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}, "retry": {"factor": 1.5}}),
        );
        let kind = manifest(
            "TaskType",
            "again",
            json!({"template": {"spec": {"containers": [{"name": "w", "image": "i"}]}},
            "maximum": {"resources": {"cpu": 4}}}),
        );
        let queue =
            manifest("TaskQueue", "again", json!({"capacity": {"tasks": 3, "resources": {"nvidia.com/gpu": 4}}}));
        for written in [task, kind, queue] {
            // The API server itself stores the default status of a new object with the first update, whatever that says.
            let first = ns.apply(written.clone()).await.expect("accepted");
            let second = ns.apply(written.clone()).await.expect("accepted again");
            assert_eq!(first.metadata.generation, second.metadata.generation);
            assert_eq!(first.data, second.data);
            let first = ns.apply(written.clone()).await.expect("accepted");
            let second = ns.apply(written).await.expect("accepted again");
            assert_eq!(object_version(&first), object_version(&second), "{second:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_payload_and_a_template_are_replaced_whole_by_whoever_applies_next() {
    in_namespace("atomic", async |ns| {
        let task =
            |run: &str, payload: Value| manifest("Task", "one", json!({"type": "w", "runId": run, "payload": payload}));
        ns.apply(task("1", json!({"a": 1, "deep": {"x": 1}}))).await.expect("accepted");
        let second = ns.apply(task("2", json!({"deep": {"y": 2}}))).await.expect("accepted");
        assert_eq!(second.data["spec"]["payload"], json!({"deep": {"y": 2}}));
        let kind = |template: Value| manifest("TaskType", "w", json!({"template": template}));
        ns.apply(kind(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}})))
            .await
            .expect("accepted");
        let second = ns.apply(kind(json!({"spec": {"containers": [{"name": "w"}]}}))).await.expect("accepted");
        assert_eq!(second.data["spec"]["template"], json!({"spec": {"containers": [{"name": "w"}]}}));
    })
    .await;
}

#[tokio::test]
async fn numbers_are_kept_as_they_were_written() {
    in_namespace("numbers", async |ns| {
        let payload =
            json!({"n": 9_007_199_254_740_993_i64, "f": 0.1, "deep": {"null": null, "empty": {}, "list": []}});
        let task =
            ns.create_raw(manifest("Task", "n", json!({"type": "w", "payload": payload}))).await.expect("accepted");
        assert_eq!(task.data["spec"]["payload"], payload);
    })
    .await;
}

#[tokio::test]
async fn kubectl_explains_the_fields_in_sentences() {
    in_namespace("explain", async |ns| {
        for (field, words) in [
            ("task", "One piece of work"),
            ("task.spec.retry", "How failed attempts are retried"),
            ("task.spec.retry.limit", "Default: 3"),
            ("task.spec.timeoutSeconds", "Seconds that the work of one attempt may take"),
            ("task.status.state", "final for this run"),
            ("tasktype.spec.failureRules", "first rule that matches decides"),
            ("taskqueue.spec.ceilings", "percentage of the capacity"),
        ] {
            let said = ns.kubectl(&["explain", field]).await;
            let text = String::from_utf8_lossy(&said.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(words), "{field}: {text} {}", String::from_utf8_lossy(&said.stderr));
        }
    })
    .await;
}

#[tokio::test]
async fn the_printed_definitions_go_through_kubectl_apply() {
    in_namespace("crds", async |ns| {
        let printed = Command::new(Operator::binary()).arg("crd").output().await.expect("it runs");
        let yaml = String::from_utf8(printed.stdout).expect("text");
        for document in yaml.split("---\n").filter(|document| !document.trim().is_empty()) {
            assert!(document.len() < 256 * 1024, "{} bytes", document.len());
        }
        let mut kubectl = ns.cluster.kubectl();
        kubectl
            .args(["apply", "--dry-run=server", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = kubectl.spawn().expect("kubectl runs");
        child.stdin.take().expect("its input").write_all(yaml.as_bytes()).await.expect("kubectl reads");
        let said = child.wait_with_output().await.expect("kubectl ends");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        assert_eq!(String::from_utf8_lossy(&said.stdout).lines().count(), 4);
    })
    .await;
}
