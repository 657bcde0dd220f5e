//! Network policies, as data: who reaches which port of the operator.

use serde_json::{Value, json};

use super::{list, of_kind, rendered, rendered_with};

/// Who reaches this port, by the only policy.
fn who_reaches(objects: &[Value], port: &str) -> Vec<Value> {
    let policies = of_kind(objects, "NetworkPolicy");
    assert_eq!(policies.len(), 1);
    let spec = &policies[0]["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress"]));
    let rules = list(&spec["ingress"]).iter();
    let open = rules.filter(|rule| list(&rule["ports"]).is_empty() || list(&rule["from"]).is_empty());
    assert_eq!(open.count(), 0, "a rule without ports or senders lets everybody in");
    let rules = list(&spec["ingress"]).iter();
    let of_port = rules.filter(|rule| list(&rule["ports"]).iter().any(|open| open["port"] == port));
    of_port.flat_map(|rule| list(&rule["from"]).to_vec()).collect()
}

fn pods(name: &str) -> Value {
    json!({"podSelector": {"matchLabels": {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "task-manager"}}})
}

fn namespace(name: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}})
}

#[test]
fn the_gateway_alone_reaches_rest_and_monitoring_alone_the_metrics() {
    let objects = rendered("everything.yaml");
    let test = pods("task-manager-test");
    assert_eq!(who_reaches(&objects, "rest"), [namespace("gateway"), test.clone()]);
    assert_eq!(who_reaches(&objects, "health"), [test, namespace("monitoring")]);
    let work = json!({"namespaceSelector": {"matchLabels": {"tasks": "yes"}}});
    assert_eq!(who_reaches(&objects, "worker"), [work, pods("task-manager")], "pods of tasks, and the other replicas");
}

#[test]
fn where_nobody_is_named_nobody_reaches_rest_and_all_pods_the_worker_port() {
    let objects = rendered("network.yaml");
    let test = pods("task-manager-test");
    assert_eq!(who_reaches(&objects, "rest"), std::slice::from_ref(&test));
    assert_eq!(who_reaches(&objects, "health"), [test]);
    assert_eq!(who_reaches(&objects, "worker"), [json!({"namespaceSelector": {}}), pods("task-manager")]);
}

#[test]
fn a_port_that_is_not_served_is_open_to_nobody() {
    let objects = rendered_with("network.yaml", &["--set", "rest.enabled=false,worker.enabled=false"]);
    assert_eq!(who_reaches(&objects, "rest"), Vec::<Value>::new());
    assert_eq!(who_reaches(&objects, "worker"), Vec::<Value>::new());
    assert_eq!(of_kind(&rendered("default.yaml"), "NetworkPolicy").len(), 0, "only where they are asked for");
}
