//! The commands that documents name.

use std::fs;

use harness::*;
use task_manager::api::Reason;
use tokio::process::Command;

use crate::stage::{set, started};

/// The blocks of shell commands of a page, without what names objects and what asks a kubelet, which is not here.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let is_run = |line: &&str| !line.starts_with("TASK=") && !line.starts_with("kubectl logs");
    blocks.map(|block| block.lines().filter(is_run).collect::<Vec<_>>().join("\n")).collect()
}

/// A kubeconfig in which the test's namespace is the current one.
async fn kubeconfig_of(ns: &Namespace) -> std::path::PathBuf {
    let file = target().join("test-logs").join(format!("{}.kubeconfig", ns.name));
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::copy(ns.cluster.kubeconfig(), &file).expect("copied");
    let set = ["config", "set-context", "--current", "--namespace", &ns.name];
    let said = ns.cluster.kubectl().env("KUBECONFIG", &file).args(set).output().await.expect("kubectl runs");
    assert!(said.status.success(), "{said:?}");
    file
}

#[tokio::test]
async fn the_commands_for_troubleshooting_work() {
    in_namespace("troubleshooting", async |ns| {
        ns.create(&task_queue("default", 1).with(|spec| spec.suspend = true)).await;
        let (node, _operator) = set(&ns, &[]).await;
        node.otherwise(Outcome::Hold);
        ns.create(&task("one").with(|spec| spec.suspend = true)).await;
        let kubeconfig = kubeconfig_of(&ns).await;
        let kubectl = ns.cluster.kubectl();
        let folder = std::path::Path::new(kubectl.as_std().get_program()).parent().expect("a folder");
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        let page = fs::read_to_string(target().join("../docs/troubleshooting.md")).expect("a page");
        let blocks = commands(&page);
        assert!(blocks.len() > 25, "{} blocks", blocks.len());
        for block in blocks {
            let mut bash = Command::new("bash");
            bash.args(["-euo", "pipefail", "-c", &block]).env("PATH", &path).env("KUBECONFIG", &kubeconfig);
            let said =
                bash.envs([("TASK", "one"), ("TYPE", "work"), ("QUEUE", "default")]).output().await.expect("bash");
            assert!(said.status.success(), "{block}\n{}", String::from_utf8_lossy(&said.stderr));
            let silent = said.stdout.is_empty() && said.stderr.is_empty();
            assert!(block.is_empty() || !silent, "it shows nothing: {block}");
        }
        // Among them are those that let queue and task go on.
        started(&node, "one", 1).await;
        ns.task_when("one", "has started", |_, status| status.reason != Reason::Suspended).await;
    })
    .await;
}
