//! Parts that break under a running operator (the node, the API server, etcd), and definitions that change under it.

mod api_server_away;
mod drained_node;
mod rest;
mod restored_etcd;
mod spare_node;
mod upgrades;
mod vanished_node;

use e2e::parts::stop;
use e2e::world::{A_TASK, World, on};
use harness::{Cluster, eventually};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};

/// Tells `story` on the node that may be broken, in a namespace of its own with an operator for it.
async fn on_a_fragile_node(slug: &str, story: impl AsyncFnOnce(&mut World)) {
    can_be_used_again().await;
    on(Cluster::FragileNode, slug, story).await;
}

async fn can_be_used_again() {
    let client = Cluster::FragileNode.client().await;
    // The test before may have left the node on its way back; and these two look at the cluster again only after
    // longer and longer pauses, once they have lost sight of it.
    for part in ["kube-scheduler", "kube-controller-manager"] {
        stop(part).mend();
    }
    eventually("the node can be used", A_TASK, async || can_be_used(&node(&client).await?).then_some(())).await;
}

/// The one node on which anything runs.
async fn node(client: &Client) -> Option<Node> {
    Api::<Node>::all(client.clone()).get_opt("local").await.ok()?
}

fn is_ready(node: &Node) -> bool {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|seen| seen.type_ == "Ready" && seen.status == "True")
}

fn can_be_used(node: &Node) -> bool {
    is_ready(node) && node.spec.as_ref().is_none_or(|spec| spec.taints.as_ref().is_none_or(Vec::is_empty))
}
