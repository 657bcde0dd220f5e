//! A second node, of which there is nothing but its heartbeat, and on which nothing runs. The cluster takes no pod
//! from a node that vanished while no other node is left.

use std::time::Duration;

use e2e::parts::{Broken, until_deleted};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinHandle;

const NAME: &str = "spare";
const BETWEEN_BEATS: Duration = Duration::from_secs(5);

pub struct SpareNode {
    heart: JoinHandle<()>,
    _there: Broken,
}

impl SpareNode {
    pub async fn new(client: &Client) -> Self {
        let nodes = Api::<Node>::all(client.clone());
        let taint = json!({"key": "e2e.taskmanager.dev/spare", "effect": "NoSchedule"});
        let node = json!({"metadata": {"name": NAME}, "spec": {"taints": [taint]}});
        let node = serde_json::from_value(node).expect("a node");
        nodes.create(&PostParams::default(), &node).await.expect("a node can be made");
        let there = until_deleted("node", NAME);
        let heart = tokio::spawn(beat(client.clone()));

        let now = Timestamp::now().to_string();
        let ready = json!({"type": "Ready", "status": "True", "reason": "Beats", "message": "", "lastHeartbeatTime": now, "lastTransitionTime": now});
        let ready = Patch::Strategic(json!({"status": {"conditions": [ready]}}));
        nodes.patch_status(NAME, &PatchParams::default(), &ready).await.expect("its status can be set");
        Self { heart, _there: there }
    }
}

impl Drop for SpareNode {
    fn drop(&mut self) {
        self.heart.abort();
    }
}

/// Says again and again that the node lives, as a kubelet does.
async fn beat(client: Client) {
    let leases = Api::<Lease>::namespaced(client, "kube-node-lease");
    loop {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME},
            "spec": {"holderIdentity": NAME, "leaseDurationSeconds": 40, "renewTime": MicroTime(Timestamp::now())},
        });
        // One that fails is followed by the next.
        let _ = leases.patch(NAME, &PatchParams::apply("e2e").force(), &Patch::Apply(&lease)).await;
        tokio::time::sleep(BETWEEN_BEATS).await;
    }
}
