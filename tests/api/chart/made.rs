//! What stands once and is copied: definitions, policies, priorities, alerts, README and manifests are not stale.

use std::fs;
use std::path::Path;
use std::process::Command;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use serde_json::Value;
use task_manager::api::{Priority, crds};

use super::{chart, kind, list, matrix, name, objects_of, of_kind, program, rendered, root};

/// The files below a folder, by their paths in it, with their texts.
fn texts(folder: &Path) -> Vec<(String, String)> {
    let mut pending = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else {
            let place = path.strip_prefix(folder).expect("it is below").display().to_string();
            found.push((place, fs::read_to_string(path).expect("text")));
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_made_from_the_chart_and_for_it_is_not_stale() {
    let folder = super::target().join("test-logs/charts/generated");
    let _ = fs::remove_dir_all(&folder);
    let said = Command::new(root().join("charts/generate")).arg(&folder).env("HELM", program("helm")).output();
    let said = said.expect("it runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let stale = |what: &str| format!("{what} is stale: run `make generate`");
    let (made, here) = (texts(&folder.join("charts/task-manager")), texts(&chart()));
    let places = |files: &[(String, String)]| files.iter().map(|(place, _)| place.clone()).collect::<Vec<_>>();
    assert_eq!(places(&made), places(&here), "{}", stale("charts/task-manager"));
    for ((place, made), (_, here)) in made.iter().zip(&here) {
        assert!(made == here, "{}", stale(place));
    }
    let install = |root: &Path| fs::read_to_string(root.join("manifests/install.yaml")).expect("it is made");
    assert!(install(&folder) == install(&root()), "{}", stale("manifests/install.yaml"));
}

#[test]
fn the_chart_installs_the_definitions_as_they_are_and_keeps_them_when_told() {
    for file in matrix() {
        let objects = rendered(&file);
        let made = of_kind(&objects, "CustomResourceDefinition");
        if made.is_empty() {
            continue;
        }
        for definition in crds() {
            let found = made.iter().find(|one| name(one) == definition.name_any()).expect("it is installed");
            assert_eq!(found["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{file}");
            // As a definition, for which 1 and 1.0 are the same.
            let found: CustomResourceDefinition = serde_json::from_value((*found).clone()).expect("a definition");
            assert_eq!(found.spec, definition.spec, "{file}");
        }
        assert_eq!(made.len(), crds().len(), "{file}");
    }
    let objects = super::rendered_with("default.yaml", &["--set", "crds.keep=false"]);
    let made = of_kind(&objects, "CustomResourceDefinition");
    assert!(!made.is_empty() && made.iter().all(|one| one["metadata"].get("annotations").is_none()));
}

#[test]
fn pods_of_tasks_preempt_nobody_and_go_first_by_their_priority() {
    for (file, prefix) in [("default.yaml", "task-manager-"), ("everything.yaml", "tasks-")] {
        let objects = rendered(file);
        let classes = of_kind(&objects, "PriorityClass");
        assert!(classes.iter().all(|class| class["preemptionPolicy"] == "Never"), "{file}");
        let value = |priority: Priority| {
            let class = classes.iter().find(|class| name(class) == format!("{prefix}{priority}")).expect("its class");
            class["value"].as_i64().expect("a number")
        };
        let values = [Priority::Low, Priority::Normal, Priority::High, Priority::Critical].map(value);
        assert!(values.is_sorted() && values[0] > 0, "{file}: {values:?}");
        assert_eq!(classes.len(), Priority::COUNT, "{file}");
    }
}

#[test]
fn the_policies_are_those_of_the_manifests_with_the_clusters_job_controller() {
    let policies = |objects: &[Value]| -> Vec<Value> {
        let mut found: Vec<_> =
            objects.iter().filter(|one| kind(one).starts_with("ValidatingAdmissionPolicy")).cloned().collect();
        found.sort_by_key(|one| (kind(one).to_owned(), name(one).to_owned()));
        found
    };
    let shipped: Vec<_> =
        texts(&root().join("manifests/policies")).iter().flat_map(|(_, text)| objects_of(text)).collect();
    assert_eq!(policies(&rendered("default.yaml")), policies(&shipped));
    let changed = serde_json::to_string(&policies(&rendered("everything.yaml"))).expect("JSON");
    assert!(changed.contains("in ['system:serviceaccount:kube-system:job-controller', 'openshift:jobs']"));
    assert!(!changed.contains("system:kube-controller-manager"));
}

#[test]
fn the_alerts_and_the_dashboard_are_those_of_the_manifests() {
    let (objects, monitoring) = (rendered("everything.yaml"), root().join("manifests/monitoring"));
    let text = |name: &str| fs::read_to_string(monitoring.join(name)).expect("it is shipped");
    let alerts: Value = serde_saphyr::from_str(&text("alerts.yaml")).expect("YAML");
    assert_eq!(of_kind(&objects, "PrometheusRule")[0]["spec"], alerts);
    assert_eq!(of_kind(&objects, "ConfigMap")[0]["data"]["task-manager.json"], text("dashboard.json"));
    for of in ["PrometheusRule", "ConfigMap", "ServiceMonitor"] {
        assert_eq!(of_kind(&objects, of)[0]["metadata"]["labels"]["release"], "prometheus");
        assert_eq!(of_kind(&rendered("default.yaml"), of).len(), 0, "{of}");
    }
}

#[test]
fn every_value_has_a_row_in_the_readme_and_a_place_in_the_schema() {
    fn leaves(value: &Value, schema: &Value, path: &str, readme: &str) {
        let is_described = readme.contains(&format!("| `{path}` |"));
        match value {
            Value::Object(fields) if !is_described => {
                for (key, value) in fields {
                    let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    leaves(value, &schema["properties"][key], &below, readme);
                }
            }
            _ => assert!(is_described, "{path} has no comment in values.yaml"),
        }
        assert!(schema.is_object(), "{path} is not in values.schema.json");
        let known = schema["properties"].as_object().into_iter().flatten();
        for (key, _) in known.filter(|(key, _)| !is_described && *key != "global") {
            assert!(value.get(key).is_some(), "{path}.{key} is in values.schema.json alone");
        }
    }
    let text = |name: &str| fs::read_to_string(chart().join(name)).expect("it is there");
    let values: Value = serde_saphyr::from_str(&text("values.yaml")).expect("YAML");
    let schema: Value = serde_json::from_str(&text("values.schema.json")).expect("JSON");
    leaves(&values, &schema, "", &text("README.md"));
    assert!(list(&schema["required"]).is_empty());
}

/// The notes that helm prints after an installation with the default values and these. Helm 3 asks a cluster for them.
fn notes(more: &[&str]) -> String {
    let chart = chart();
    let chart = chart.to_str().expect("a path that is text");
    let said = super::helm("helm4", &[&["install", super::RELEASE, chart, "--dry-run=client"], more].concat());
    super::text_of(&said)
}

#[test]
fn the_notes_tell_what_an_uninstallation_leaves() {
    let said = |more: &[&str]| {
        let notes = notes(more);
        let line = notes.lines().find(|line| line.starts_with("`helm uninstall`")).unwrap_or_default().to_owned();
        line.split(':').next().unwrap_or_default().to_owned()
    };
    let postgres = "archive.postgres.secretName=archive";
    assert_eq!(
        said(&[]),
        "`helm uninstall` leaves the definitions with all Tasks, the archive's volume, Jobs that run and the workers of pools"
    );
    assert_eq!(
        said(&["--set", postgres]),
        "`helm uninstall` leaves the definitions with all Tasks, Jobs that run and the workers of pools"
    );
    assert_eq!(
        said(&["--set", "crds.keep=false"]),
        "`helm uninstall` takes the definitions away, and with them all Tasks and their Jobs. It leaves the archive's volume."
    );
    assert_eq!(
        said(&["--set", "crds.keep=false", "--set", postgres]),
        "`helm uninstall` takes the definitions away, and with them all Tasks and their Jobs."
    );
    assert!(said(&["--set", "crds.install=false,crds.keep=false"]).contains("leaves the definitions"));
}
