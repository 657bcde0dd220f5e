//! The REST shim under load, by vegeta: what submitting costs beside creating the same Task at the API server
//! itself, how fast a status is answered at rest and while tasks run, and what holding 10,000 of them costs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use harness::{Answer, Cluster, Namespace, Operator, Rest, SOON, eventually, target, task_queue};
use kube::config::Kubeconfig;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::measurements::Measurements;
use crate::plane::{REST, memory_of};
use crate::queue;

/// Concurrent requests where as many are sent as can be answered.
const CLIENTS: u32 = 16;
const ATTACK: Duration = Duration::from_secs(10);
/// Status requests a second: a busy gateway sends as many, and far more can be answered.
const STATUS_RATE: u32 = 500;
const BULK: usize = 1000;
/// Tasks that run during the measurement; 1,000 take half a minute.
const ALL_DONE: Duration = Duration::from_secs(300);
const TASKS: &str = "/api/v1/tasks";

/// The report of vegeta. Latencies are in nanoseconds.
#[derive(Deserialize)]
struct Report {
    latencies: Latencies,
    throughput: f64,
    success: f64,
}

#[derive(Deserialize)]
struct Latencies {
    #[serde(rename = "50th")]
    p50: f64,
    #[serde(rename = "99th")]
    p99: f64,
}

/// Targets that vegeta requests in turn, with its options for them.
struct Attack {
    targets: Vec<Value>,
    /// 0: as fast as they are answered.
    rate: u32,
    flags: Vec<String>,
}

pub async fn run(held: usize) -> Measurements {
    let mut found = Measurements::default();
    let namespace = Namespace::make(Cluster::ControlPlane, "http").await;
    namespace.create(&task_queue("held", 0)).await;
    let (_leader, _) = queue::operator(&namespace, 50).await;
    // This replica is not the leader, so it holds REST's memory and nothing else.
    let replica = Operator::with_rest(&namespace, &["--identity", "replica"]).await;
    let pid = replica.pid().expect("it runs");
    let rest = replica.rest();

    submitting(&namespace, &rest, &mut found).await;
    let memory = memory_of(pid).unwrap_or_default();
    let ids = hold(&rest, held, &mut found).await;
    let bytes = (memory_of(pid).unwrap_or_default() - memory) * 1024.0 / held as f64;
    found.figures.insert("bytes a status".into(), bytes);
    asking(&replica, &ids, &mut found).await;
    found
}

/// Single submissions, and in alternation the same Tasks created at the API server.
async fn submitting(namespace: &Namespace, rest: &Rest, found: &mut Measurements) {
    let body = json!({"task_type": "work", "queue": "held", "payload": {"uri": "s3://in/7.pdf"}});
    let over_rest = Attack { targets: vec![post(&url(rest, TASKS), &body)], rate: 0, flags: vec![] };
    let manifest = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": {"generateName": "direct-"},
        "spec": {"type": "work", "queue": "held", "payload": {"uri": "s3://in/7.pdf"}}});
    let (server, flags) = api_server();
    let path = format!("{server}/apis/taskmanager.dev/v1alpha1/namespaces/{}/tasks", namespace.name);
    let direct = Attack { targets: vec![post(&path, &manifest)], rate: 0, flags };
    for (name, attack) in [("submit", over_rest), ("create", direct)] {
        tokio::time::sleep(REST).await;
        tell(found, name, &attack.run().await);
    }
}

/// Submits `count` tasks in bulk, to a queue that starts none; returns the ids that REST knows then.
async fn hold(rest: &Rest, count: usize, found: &mut Measurements) -> Vec<String> {
    let item = json!({"task_type": "work", "queue": "held", "payload": {"uri": "s3://in/7.pdf"}});
    let mut ids = vec![];
    let mut took = vec![];
    while ids.len() < count {
        let began = Instant::now();
        ids.extend(submitted(&bulk(rest, &item).await));
        took.push(began.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    found.figures.insert("bulk s".into(), took[took.len() / 2]);
    found.figures.insert("bulk s, least".into(), took[0]);
    for id in ids.iter().step_by(97) {
        assert_eq!(rest.status(id).await["status"], "queued");
    }
    ids
}

async fn bulk(rest: &Rest, item: &Value) -> Answer {
    rest.post(&format!("{TASKS}/bulk"), &json!({"tasks": vec![item; BULK]})).await
}

fn submitted(answer: &Answer) -> Vec<String> {
    let results = answer.json()["results"].as_array().cloned().unwrap_or_default();
    let ids: Vec<String> = results.iter().filter_map(|item| item["task_id"].as_str().map(str::to_owned)).collect();
    assert_eq!(ids.len(), BULK, "all are taken: {}", answer.text.chars().take(500).collect::<String>());
    ids
}

/// Statuses at a steady rate, at rest and while 1,000 tasks go through their lives; and the same for an answer that
/// costs nothing (`/healthz`, of the same process): what that takes longer under load is the machine's.
async fn asking(replica: &Operator, ids: &[String], found: &mut Measurements) {
    let rest = replica.rest();
    let status = |id: &String| json!({"method": "GET", "url": url(&rest, &format!("{TASKS}/{id}/status"))});
    let plain = json!({"method": "GET", "url": format!("http://{}/healthz", replica.health)});
    for (name, targets) in [("status", ids.iter().map(status).collect()), ("healthz", vec![plain])] {
        let attack = Attack { targets, rate: STATUS_RATE, flags: vec![] };
        tokio::time::sleep(REST).await;
        tell(found, &format!("{name} at rest"), &attack.run().await);
        let running = submitted(&bulk(&rest, &json!({"task_type": "work", "payload": {"uri": "s3://in/7.pdf"}})).await);
        let is_begun = async || (rest.status(&running[0]).await["status"] != "queued").then_some(());
        eventually("the first runs", SOON, is_begun).await;
        tell(found, &format!("{name} under load"), &attack.run().await);
        assert!(completed(&rest, &running).await < BULK, "there was load to the end");
        let are_done = async || (completed(&rest, &running).await == BULK).then_some(());
        eventually("all are done", ALL_DONE, are_done).await;
    }
}

async fn completed(rest: &Rest, ids: &[String]) -> usize {
    let statuses = rest.post(&format!("{TASKS}/status"), &json!({"task_ids": ids})).await.json();
    let all = statuses["statuses"].as_array().cloned().unwrap_or_default();
    all.iter().filter(|status| status["status"] == "completed").count()
}

fn tell(found: &mut Measurements, name: &str, report: &Report) {
    assert!(report.success > 0.999, "{name}: only {:.3} were answered well", report.success);
    let mut put = |what: &str, value: f64| found.figures.insert(format!("{name} {what}"), value);
    put("rate", report.throughput);
    put("p50 ms", report.latencies.p50 / 1e6);
    put("p99 ms", report.latencies.p99 / 1e6);
}

fn url(rest: &Rest, path: &str) -> String {
    format!("http://{}{path}", rest.address)
}

fn post(url: &str, body: &Value) -> Value {
    json!({"method": "POST", "url": url, "header": {"Content-Type": ["application/json"]}, "body": base64(&body.to_string())})
}

fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).expect("a string")
}

impl Attack {
    async fn run(&self) -> Report {
        let targets = scratch().join("targets.json");
        let lines: String = self.targets.iter().map(|target| format!("{target}\n")).collect();
        std::fs::write(&targets, lines).expect("a file of targets");
        let results = scratch().join("results.bin");
        let attacked = vegeta()
            .args(["attack", "-format=json", "-timeout=30s"])
            .arg(format!("-targets={}", targets.display()))
            .arg(format!("-output={}", results.display()))
            .args([format!("-rate={}", self.rate), format!("-duration={}s", ATTACK.as_secs())])
            .args([format!("-workers={CLIENTS}"), format!("-max-workers={CLIENTS}")])
            .args(&self.flags)
            .status()
            .await
            .expect("vegeta runs");
        assert!(attacked.success(), "vegeta: {attacked}");
        let report = vegeta().args(["report", "-type=json"]).arg(&results).output().await.expect("vegeta reports");
        serde_json::from_slice(&report.stdout).expect("a report")
    }
}

fn vegeta() -> Command {
    let program = std::env::var_os("VEGETA").expect("VEGETA says where vegeta is: use make bench-http");
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    command
}

fn scratch() -> PathBuf {
    let folder = target().join("bench-http");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The API server's address, and the files by which vegeta authenticates.
fn api_server() -> (String, Vec<String>) {
    let kubeconfig = Kubeconfig::read_from(Cluster::ControlPlane.kubeconfig()).expect("a kubeconfig");
    let cluster = kubeconfig.clusters[0].cluster.clone().expect("a cluster");
    let user = serde_json::to_value(&kubeconfig.auth_infos[0].auth_info).expect("JSON");
    let authority = cluster.certificate_authority_data.expect("its certificate");
    let text = |name: &str| user[name].as_str().expect("it is inline").to_owned();
    let files =
        [("root-certs", authority), ("cert", text("client-certificate-data")), ("key", text("client-key-data"))];
    let flags = files.map(|(flag, data)| format!("-{flag}={}", pem(flag, &data).display()));
    (cluster.server.expect("its address"), flags.to_vec())
}

fn pem(name: &str, data: &str) -> PathBuf {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(data.into()).expect("base64");
    let file = Path::new(&scratch()).join(name).with_extension("pem");
    std::fs::write(&file, bytes.0).expect("a file");
    file
}
