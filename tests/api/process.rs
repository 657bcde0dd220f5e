//! The operator as a process: how it starts, what it tells, how it ends.

use std::net::TcpListener;
use std::time::Duration;

use harness::*;
use serde_json::{Value, json};
use task_manager::api::{Reason, State, TaskType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::stage::{set, started, status};

#[tokio::test]
async fn sigterm_ends_it_soon_and_leaves_nothing_half_done() {
    in_namespace("sigterm", async |ns| {
        let (node, mut operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::after(Duration::from_millis(200), Outcome::succeed()));
        for number in 0..30 {
            ns.create(&task(&format!("t-{number}"))).await;
        }
        let ended = operator.stop().await;
        assert!(ended.status.success(), "{:?}: {}", ended.status, operator.logged());
        assert!(ended.took < Duration::from_secs(5), "it took {:?}", ended.took);
        assert!(operator.logged().contains("task-manager has stopped"));
        operator.start_again().await;
        for task in ns.all_final(SOON).await {
            let name = task.metadata.name.clone().unwrap_or_default();
            let told = (status(&task).state, status(&task).attempt, status(&task).failures, node.starts_of(&name));
            assert_eq!(told, (State::Completed, 1, 0, 1), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn work_goes_on_and_its_end_is_seen_though_the_operator_was_away() {
    in_namespace("away", async |ns| {
        let (node, mut operator) = set(&ns, &[]).await;
        for name in ["good", "bad", "cancelled"] {
            node.script(name, [Outcome::Hold]);
            ns.create(&task(name)).await;
            started(&node, name, 1).await;
        }
        operator.stop().await;
        node.end("good", Outcome::result("done meanwhile"));
        node.end("bad", Outcome::exit(3));
        ns.patch_task("cancelled", json!({"cancel": true})).await.expect("accepted");
        eventually("two pods have ended", SOON, async || {
            let pods = ns.pods_now().await;
            let ended = pods
                .iter()
                .filter(|pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() != Some("Running")));
            (ended.count() == 2).then_some(())
        })
        .await;
        operator.start_again().await;
        let good = status(&ns.task_in("good", State::Completed).await);
        assert_eq!(good.result, Some(Value::from("done meanwhile")));
        let bad = status(&ns.task_in("bad", State::Completed).await);
        assert_eq!((bad.attempt, bad.failures, bad.attempts[0].exit_code), (2, 1, Some(3)));
        ns.task_in("cancelled", State::Cancelled).await;
    })
    .await;
}

#[tokio::test]
async fn health_and_metrics_tell_what_happened() {
    in_namespace("metrics", async |ns| {
        ns.create(&task_queue("full", 0)).await;
        let (node, operator) = set(&ns, &[]).await;
        node.script("bad", [Outcome::exit(1), Outcome::exit(1)]);
        node.script("runs", [Outcome::Hold]);
        let once = serde_json::from_value(json!({"limit": 1})).expect("retry");
        ns.create(&task("bad").with(|spec| spec.retry = Some(once))).await;
        ns.create(&task("good")).await;
        ns.create(&task("runs")).await;
        ns.create(&task("waits").with(|spec| spec.queue = "full".into())).await;
        ns.task_in("bad", State::Failed).await;
        ns.task_in("good", State::Completed).await;
        started(&node, "runs", 1).await;
        for path in ["/healthz", "/readyz"] {
            assert_eq!(http_get(operator.health, path).await, Some((200, "ok".into())), "{path}");
        }
        assert_eq!(http_get(operator.health, "/nothing").await.map(|(status, _)| status), Some(404));
        let metrics = operator.metrics().await;
        for (name, labels, value) in [
            ("task_manager_tasks_finished_total", vec![("state", "Completed"), ("reason", "Succeeded")], 1),
            ("task_manager_tasks_finished_total", vec![("state", "Failed"), ("reason", "ExitCode")], 1),
            ("task_manager_attempts_ended_total", vec![("outcome", "Failed"), ("reason", "ExitCode")], 2),
            ("task_manager_attempts_ended_total", vec![("outcome", "Succeeded"), ("reason", "Succeeded")], 1),
            ("task_manager_tasks_running", vec![], 1),
            ("task_manager_tasks_queued", vec![("priority", "normal")], 1),
            ("task_manager_queue_wait_seconds_count", vec![], 3),
            ("task_manager_attempt_run_seconds_count", vec![], 3),
        ] {
            assert_eq!(metrics.value(name, &labels), Some(f64::from(value)), "{name} {labels:?}\n{}", metrics.text);
        }
        assert!(metrics.text.ends_with("# EOF\n"), "OpenMetrics ends so");
        for (name, labels, _) in metrics.samples() {
            assert!(name.starts_with("task_manager_"), "{name}");
            assert!(!labels.contains("good"), "no names of tasks in labels: {labels}");
        }
    })
    .await;
}

#[tokio::test]
async fn metrics_tell_how_full_each_queue_is_and_which_type_is_not_ready() {
    in_namespace("load", async |ns| {
        ns.create(&task_queue("full", 1)).await;
        let broken = json!({"executor": "Job", "template": {"spec": {"containers": [{"name": "work", "image": ""}]}}});
        ns.create(&TaskType::new("broken", serde_json::from_value(broken).expect("a type"))).await;
        let (node, operator) = set(&ns, &[]).await;
        node.script("runs", [Outcome::Hold]);
        let in_it = |name: &str| task(name).with(|spec| spec.queue = "full".into());
        ns.create(&in_it("runs")).await;
        started(&node, "runs", 1).await;
        for name in ["waits", "held"] {
            ns.create(&in_it(name).with(|spec| spec.suspend = name == "held")).await;
        }
        let full = [("namespace", ns.name.as_str()), ("queue", "full"), ("type", "work")];
        let is_told = async || {
            let metrics = operator.metrics().await;
            let value = |name: &str, labels: &[(&str, &str)]| metrics.value(&format!("task_manager_{name}"), labels);
            let unready = value("type_not_ready", &[("namespace", &ns.name), ("type", "broken")]);
            (value("queue_tasks_waiting", &full) == Some(2.0)
                && value("queue_tasks_running", &full) == Some(1.0)
                && value("queue_oldest_wait_seconds", &full[..2]).is_some_and(|age| age > 0.0)
                && value("queue_capacity", &[full[0], full[1], ("resource", "tasks")]) == Some(1.0)
                && value("queue_used", &[full[0], full[1], ("resource", "tasks")]) == Some(1.0)
                && value("leading", &[]) == Some(1.0)
                && unready == Some(1.0))
            .then_some(())
        };
        eventually("the metrics tell it", SOON, is_told).await;
    })
    .await;
}

#[tokio::test]
async fn each_line_of_the_json_log_is_an_object_that_names_its_task_and_reason() {
    in_namespace("json-log", async |ns| {
        let (node, operator) = set(&ns, &["--log-format", "json"]).await;
        node.script("one", [Outcome::exit(1), Outcome::succeed()]);
        let created = ns.create(&task("one")).await;
        ns.task_in("one", State::Completed).await;
        // The log follows the write.
        let logged = eventually("the end is in the log", SOON, async || {
            Some(operator.logged()).filter(|logged| logged.contains("Completed"))
        })
        .await;
        let lines: Vec<Value> = logged
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .collect();
        let about: Vec<&Value> =
            lines.iter().filter(|line| line["uid"] == Value::from(created.metadata.uid.clone())).collect();
        let told: Vec<_> = about
            .iter()
            .map(|line| {
                (
                    line["state"].as_str().unwrap_or_default(),
                    line["reason"].as_str().unwrap_or_default(),
                    line["attempt"].as_i64(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("Processing", Reason::Admitted.as_str(), Some(1)),
                ("Queued", "WaitingForRetry", Some(1)),
                ("Processing", "Admitted", Some(2)),
                ("Completed", "Succeeded", Some(2)),
            ]
        );
        for line in &about {
            assert_eq!((line["task"].as_str(), line["namespace"].as_str()), (Some("one"), Some(ns.name.as_str())));
            assert!(line["timestamp"].is_string() && line["level"].is_string());
        }
        let payload = lines.iter().any(|line| line.to_string().contains("payload"));
        assert!(!payload, "payloads are not logged");
    })
    .await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_in_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let ended = run(&["--health-addr", &address], Cluster::ControlPlane.kubeconfig().to_string_lossy().as_ref()).await;
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains(&format!("failed to listen on {address}")) && said.contains("--health-addr"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn no_kubeconfig_is_told_in_a_sentence() {
    let ended = run(&["--health-addr", "127.0.0.1:0"], "/nonexistent/kubeconfig").await;
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("failed to find a cluster") && said.contains("set KUBECONFIG"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn a_namespace_for_rest_in_which_nothing_would_run_is_refused() {
    let flags = ["--health-addr", "127.0.0.1:0", "--watch-namespace", "a", "--rest-namespaces", "a,b"];
    let ended = run(&flags, Cluster::ControlPlane.kubeconfig().to_string_lossy().as_ref()).await;
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("--rest-namespaces names \"b\"") && said.contains("would never run"), "{said}");
}

#[tokio::test]
async fn a_wrong_flag_is_told_in_a_sentence() {
    let ended = run(&["--default-memory-limit", "lots"], "").await;
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("write one such as 500m, 2 or 1Gi"));
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_told_and_waited_for() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let file = target().join("test-logs").join("unreachable-kubeconfig");
    std::fs::create_dir_all(target().join("test-logs")).expect("a folder");
    let kubeconfig = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: 'http://{nobody}'}}}}], \
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}], users: [{{name: u, user: {{}}}}]}}"
    );
    std::fs::write(&file, kubeconfig).expect("a file");
    let health = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let child = Operator::command()
        .args(["run", "--health-addr", &health.to_string()])
        .env("KUBECONFIG", &file)
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    eventually("it says that it is not ready", SOON, async || {
        http_get(health, "/readyz").await.filter(|(status, _)| *status == 503).map(drop)
    })
    .await;
    assert_eq!(http_get(health, "/healthz").await.map(|(status, _)| status), Some(200), "a restart would not help");
    let pid = child.id().expect("it runs").to_string();
    Command::new("kill").args(["-TERM", &pid]).status().await.expect("a signal");
    let ended = tokio::time::timeout(SOON, child.wait_with_output()).await.expect("it ends").expect("its output");
    assert!(ended.status.success(), "{ended:?}");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("looks again") && said.contains("Connection refused"), "{said}");
}

/// Connections that say nothing or break off in the middle of a head.
const STUCK: usize = 300;
/// A head that has not arrived by then is not waited for.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn three_hundred_stuck_connections_do_not_keep_healthz_from_answering() {
    in_namespace("health-stuck", async |ns| {
        let (_node, operator) = set(&ns, &[]).await;
        let mut stuck = vec![];
        for number in 0..STUCK {
            let mut stream = TcpStream::connect(operator.health).await.expect("connected");
            if number % 2 == 0 {
                stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.expect("sent");
            }
            stuck.push(stream);
        }
        for path in ["/healthz", "/readyz", "/metrics"] {
            let status = http_get(operator.health, path).await.map(|(status, _)| status);
            assert_eq!(status, Some(200), "{path}");
        }
        // Those that have not begun a request are kept like idle ones, until connections run out.
        let cut_off = stuck.into_iter().step_by(2).map(async |mut stream| {
            let mut nothing = vec![];
            // It may be told that it was too slow.
            let read = tokio::time::timeout(CUT_OFF_WITHIN, stream.read_to_end(&mut nothing)).await;
            assert!(read.is_ok(), "a connection that says nothing more is cut off");
        });
        futures::future::join_all(cut_off).await;
        assert_eq!(http_get(operator.health, "/healthz").await.map(|(status, _)| status), Some(200));
    })
    .await;
}

/// Runs an operator that is expected to end by itself.
async fn run(flags: &[&str], kubeconfig: &str) -> std::process::Output {
    let mut command = Operator::command();
    command
        .arg("run")
        .args(flags)
        .env("KUBECONFIG", kubeconfig)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .kill_on_drop(true);
    tokio::time::timeout(SOON, command.output()).await.expect("it ends by itself").expect("its output")
}
