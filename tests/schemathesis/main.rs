//! schemathesis sends what the OpenAPI document allows, and what it does not, to an operator that serves REST.
//! `tests/schemathesis/install` puts it where it is looked for.

use std::path::{Path, PathBuf};

use harness::*;
use serde_json::json;
use task_manager::api::State;
use tokio::process::Command;

fn program() -> PathBuf {
    let cache = std::env::var_os("TASK_MANAGER_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache/task-manager")));
    let program = cache.expect("HOME is set").join("schemathesis/bin/schemathesis");
    assert!(program.exists(), "there is no {}: run tests/schemathesis/install", program.display());
    program
}

#[tokio::test]
async fn what_the_document_promises_is_kept() {
    in_namespace("schemathesis", async |ns| {
        ns.create(&task_type("work")).await;
        ns.create(&task_queue("default", 1)).await;
        ns.create(&task_queue("held", 0)).await;
        let _node = ns.fake_node();
        let operator = Operator::with_rest(&ns, &[]).await;
        let rest = operator.rest();
        let done = rest.submit(&json!({"task_type": "work", "payload": {}, "name": "done"})).await;
        ns.task_in("done", State::Completed).await;
        let waiting = rest.submit(&json!({"task_type": "work", "payload": {}, "queue": "held"})).await;

        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis");
        let report = target().join("test-logs/schemathesis.xml");
        let status = Command::new(program())
            .arg("--config-file")
            .arg(folder.join("schemathesis.toml"))
            .args(["run", &format!("http://{}/openapi.json", rest.address), "--checks", "all", "--no-color"])
            .args(["--output-sanitize", "false", "--report", "junit", "--report-junit-path"])
            .arg(&report)
            .env("TASK_WAITING", &waiting)
            .env("TASK_DONE", &done)
            .env("TASK_NAMESPACE", &ns.name)
            .current_dir(target())
            .kill_on_drop(true)
            .status()
            .await
            .expect("schemathesis runs");
        assert!(status.success(), "schemathesis found what the document does not promise, see above");
        assert!(!operator.logged().contains("panicked"), "{}", operator.logged());
        assert_eq!(rest.status(&done).await["status"], "completed", "final is final");
    })
    .await;
}
