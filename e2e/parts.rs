//! Takes parts of the fragile cluster away and brings them back, by its own commands (`e2e/cluster/cluster`) and
//! by those that an administrator uses.

use std::path::Path;
use std::process::Command;

use harness::Cluster;

/// Something that is broken, and mended again at the latest when this is dropped: a test that fails must not take
/// the next ones with it.
pub struct Broken(Vec<String>);

/// Ends a part (such as kubelet) at once, and keeps it ended.
pub fn stop(part: &str) -> Broken {
    cluster(&["stop", part]);
    Broken::until(&["start", part])
}

/// Freezes a part: it keeps its connections and answers nobody.
pub fn freeze(part: &str) -> Broken {
    cluster(&["freeze", part]);
    Broken::until(&["start", part])
}

/// Empties a node for maintenance.
pub fn drain(node: &str) -> Broken {
    let broken = Broken::until(&["uncordon", node]);
    kubectl(&["drain", node, "--delete-emptydir-data", "--timeout=300s"]);
    broken
}

/// The object to delete when this is dropped.
pub fn until_deleted(kind: &str, name: &str) -> Broken {
    Broken::until(&["delete", kind, name])
}

/// Keeps what etcd holds now.
pub fn snapshot() {
    cluster(&["snapshot"]);
}

/// Brings etcd back to the last snapshot.
pub fn restore() {
    cluster(&["restore"]);
}

impl Broken {
    fn until(mend: &[&str]) -> Self {
        Self(mend.iter().map(ToString::to_string).collect())
    }

    pub fn mend(self) {
        drop(self);
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        let mend: Vec<&str> = self.0.iter().map(String::as_str).collect();
        if mend[0] == "start" { cluster(&mend) } else { kubectl(&mend) }
    }
}

fn cluster(arguments: &[&str]) {
    let file = Cluster::FragileNode.kubeconfig();
    let name = file.parent().and_then(Path::file_name).expect("it is in a folder that has the cluster's name");
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/cluster"));
    run(command.args(arguments).arg("--name").arg(name));
}

fn kubectl(arguments: &[&str]) {
    run(Cluster::FragileNode.kubectl().as_std_mut().args(arguments));
}

fn run(command: &mut Command) {
    let done = command.output().expect("the command runs");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
