//! The node that the next attempt had better not run on: the last attempt was lost or refused there.

use serde_json::json;

use super::json::{Object, list, object};
use task_manager_api::{Reason, TaskStatus};

/// The weight of the preference, the largest that there is.
const WEIGHT: i32 = 100;

/// The node of the last attempt, where the node may be to blame for its end.
pub fn node_to_avoid(status: &TaskStatus) -> Option<&str> {
    let last = status.attempts.last()?;
    let is_to_blame = matches!(last.reason, Reason::NodeLost | Reason::DiskLimit | Reason::RejectedByNode);
    last.node.as_deref().filter(|_| is_to_blame)
}

/// Prefers every other node, beside what the template says of nodes.
pub fn prefer_others(spec: &mut Object, node: &str) {
    let elsewhere = json!({"weight": WEIGHT, "preference":
        {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": [node]}]}});
    object(spec, "affinity", |affinity| {
        object(affinity, "nodeAffinity", |of_nodes| {
            list(of_nodes, "preferredDuringSchedulingIgnoredDuringExecution", |terms| terms.push(elsewhere));
        });
    });
}
