//! The operator's pod: what it may do on its node, how it is looked at, replaced and spread.

use serde_json::{Value, json};

use super::{deployment, kind, list, matrix, of_kind, pod, rendered};

fn labels_of(object: &Value) -> &Value {
    &object["metadata"]["labels"]
}

/// Whether a selector by labels takes these.
fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object().expect("labels");
    !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[test]
fn every_pod_is_restricted_and_writes_nothing_outside_its_volumes() {
    for file in matrix() {
        let objects = rendered(&file);
        let specs = of_kind(&objects, "Pod").into_iter().map(|pod| &pod["spec"]).chain([pod(&objects)]);
        for spec in specs {
            let of_pod = &spec["securityContext"];
            assert_eq!(of_pod["runAsNonRoot"], true, "{file}");
            assert_eq!((&of_pod["runAsUser"], &of_pod["runAsGroup"]), (&json!(65532), &json!(65532)), "{file}");
            assert_eq!(of_pod["seccompProfile"], json!({"type": "RuntimeDefault"}), "{file}");
            for container in list(&spec["containers"]) {
                let own = json!({
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                });
                assert_eq!(container["securityContext"], own, "{file}");
            }
            let shared = ["hostNetwork", "hostPID", "hostIPC"].iter().any(|field| spec.get(field).is_some());
            let host_paths = list(&spec["volumes"]).iter().any(|volume| volume.get("hostPath").is_some());
            assert!(!shared && !host_paths, "{file}");
        }
    }
}

#[test]
fn a_file_of_sqlite_is_never_open_to_two_pods_at_once() {
    for file in matrix() {
        let objects = rendered(&file);
        let (spec, volumes) = (&deployment(&objects)["spec"], list(&pod(&objects)["volumes"]));
        let claim = volumes.iter().find_map(|volume| volume.get("persistentVolumeClaim"));
        let is_sqlite = claim.is_some();
        assert_eq!(spec["strategy"]["type"], if is_sqlite { "Recreate" } else { "RollingUpdate" }, "{file}");
        assert!(!is_sqlite || spec["replicas"] == 1, "{file}");
        let made = of_kind(&objects, "PersistentVolumeClaim");
        assert!(made.len() <= usize::from(is_sqlite), "{file}: a claim that nobody uses");
        for made in made {
            assert_eq!(claim.map(|claim| &claim["claimName"]), Some(&made["metadata"]["name"]), "{file}");
            assert_eq!(made["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{file}");
        }
    }
    assert_eq!(deployment(&rendered("postgres.yaml"))["spec"]["replicas"], 3);
}

#[test]
fn the_pod_knows_its_address_and_is_asked_whether_it_lives_and_is_ready() {
    for file in matrix() {
        let objects = rendered(&file);
        // It drains for 10 s, writes records for 15 and gives the lease up within 3.
        assert!(pod(&objects)["terminationGracePeriodSeconds"].as_u64() >= Some(28 + 10), "{file}");
        let container = &pod(&objects)["containers"][0];
        let address = json!({"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}});
        assert!(list(&container["env"]).contains(&address), "{file}");
        for (probe, path) in
            [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
        {
            assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "health"}), "{file}");
        }
        assert!(list(&container["ports"]).iter().any(|port| port["name"] == "health"), "{file}");
    }
}

#[test]
fn services_lead_to_ports_of_the_operators_pods_and_of_no_others() {
    for file in matrix() {
        let objects = rendered(&file);
        let ports = list(&pod(&objects)["containers"][0]["ports"]);
        let labels = labels_of(&deployment(&objects)["spec"]["template"]);
        assert!(selects(&deployment(&objects)["spec"]["selector"]["matchLabels"], labels), "{file}");
        for service in of_kind(&objects, "Service") {
            let selector = &service["spec"]["selector"];
            assert!(selects(selector, labels), "{file}");
            assert!(!of_kind(&objects, "Pod").iter().any(|test| selects(selector, labels_of(test))), "{file}");
            for port in list(&service["spec"]["ports"]) {
                assert!(ports.iter().any(|one| one["name"] == port["targetPort"]), "{file}: {port}");
            }
        }
        for monitor in of_kind(&objects, "ServiceMonitor") {
            let found = of_kind(&objects, "Service").into_iter().filter(|service| {
                selects(&monitor["spec"]["selector"]["matchLabels"], labels_of(service))
                    && list(&service["spec"]["ports"])
                        .iter()
                        .any(|port| port["name"] == monitor["spec"]["endpoints"][0]["port"])
            });
            assert_eq!(found.count(), 1, "{file}: each replica is scraped once");
        }
    }
}

#[test]
fn several_replicas_are_spread_and_one_is_kept_and_one_alone_holds_up_no_drain() {
    for (file, several) in [("default.yaml", false), ("postgres.yaml", true), ("everything.yaml", true)] {
        let objects = rendered(file);
        assert_eq!(!list(&pod(&objects)["topologySpreadConstraints"]).is_empty(), several, "{file}");
        let budgets = of_kind(&objects, "PodDisruptionBudget");
        assert_eq!(
            budgets.len(),
            usize::from(several),
            "{file}: a budget of the only replica would hold up every drain"
        );
        assert!(budgets.iter().all(|budget| budget["spec"]["minAvailable"] == 1), "{file}");
    }
}

#[test]
fn what_cannot_be_told_apart_by_its_name_is_not_made_twice() {
    for file in matrix() {
        let objects = rendered(&file);
        let name = |object: &'_ Value| {
            let metadata = &object["metadata"];
            (kind(object).to_owned(), metadata["namespace"].to_string(), metadata["name"].to_string())
        };
        let mut names: Vec<_> = objects.iter().map(name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before, "{file}");
    }
}
