//! Measures the control plane: CPU time from /proc, requests from the API server's metrics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{Cluster, Metrics, Namespace};
use tokio::time::sleep;

use crate::measurements::Measurements;

/// The kernel writes times to /proc in ticks of this length (USER_HZ), whatever its own ticks are.
const TICK_MS: f64 = 10.0;
const PARTS: [&str; 6] = ["kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kwok", "kueue"];
const MUTATING: [&str; 5] = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
/// The pause before a run, and the time after it in which its last work still counts.
pub const REST: Duration = Duration::from_secs(4);
pub const SETTLING: Duration = Duration::from_secs(2);

/// The counters before a run.
pub struct Before {
    namespace: Namespace,
    operator: Option<u32>,
    cpu: BTreeMap<String, f64>,
    requests: BTreeMap<String, f64>,
}

/// Waits for the machine to rest, and reads the counters.
pub async fn before(namespace: &Namespace, operator: Option<u32>) -> Before {
    sleep(REST).await;
    let requests = requests(&namespace.cluster_metrics().await);
    Before { namespace: namespace.clone(), operator, cpu: cpu(operator), requests }
}

impl Before {
    /// The use since then, divided by `count`.
    pub async fn used(self, count: usize) -> Measurements {
        sleep(SETTLING).await;
        let cpu = since(&self.cpu, &cpu(self.operator), count);
        let requests = since(&self.requests, &requests(&self.namespace.cluster_metrics().await), count);
        Measurements { cpu, requests, ..Measurements::default() }
    }
}

fn since(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, count: usize) -> BTreeMap<String, f64> {
    let used = after.iter().map(|(name, value)| (name.clone(), value - before.get(name).unwrap_or(&0.0)));
    used.map(|(name, value)| (name, value / count as f64)).filter(|(_, value)| *value > 0.0).collect()
}

fn cpu(operator: Option<u32>) -> BTreeMap<String, f64> {
    let folder = Cluster::ControlPlane.kubeconfig().with_file_name("run");
    let parts = PARTS.iter().filter_map(|part| Some(((*part).to_owned(), pid_of(&folder, part)?)));
    let ours = [("operator", operator), ("generator", Some(std::process::id()))];
    let ours = ours.into_iter().filter_map(|(name, pid)| Some((name.to_owned(), pid?)));
    parts.chain(ours).filter_map(|(name, pid)| Some((name, cpu_of(pid)?))).collect()
}

fn pid_of(folder: &Path, part: &str) -> Option<u32> {
    std::fs::read_to_string(folder.join(format!("{part}.pid"))).ok()?.trim().parse().ok()
}

/// Milliseconds of CPU time that a process has used.
pub fn cpu_of(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields after the command's name, which may contain anything: state is the first, utime and stime are 12 and 13
    // (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) * TICK_MS)
}

/// Memory that a process holds, in KiB.
pub fn memory_of(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/status"))).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Mutating requests but those about Leases, refused ones too.
fn requests(metrics: &Metrics) -> BTreeMap<String, f64> {
    let mut requests = BTreeMap::new();
    for (name, labels, value) in metrics.samples() {
        let label = |name: &str| {
            let labels = labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
            labels.map(|label| label.trim_end_matches('"')).unwrap_or_default()
        };
        if name == "apiserver_request_total" && MUTATING.contains(&label("verb")) && label("resource") != "leases" {
            let subresource = Some(label("subresource")).filter(|name| !name.is_empty());
            let resource =
                subresource.map_or(label("resource").to_owned(), |sub| format!("{}/{sub}", label("resource")));
            *requests.entry(format!("{} {resource}", label("verb"))).or_default() += value;
        }
    }
    requests
}
