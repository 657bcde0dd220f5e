//! An API server accepts all that the chart and the manifests make, and has nothing to warn of.

use std::fs;
use std::process::Output;

use harness::*;
use serde_json::json;

use super::{HELMS, chart, helm, matrix, objects_of, root, template, text_of, values};

const PRIVILEGE: &str = "pod-security.kubernetes.io";

async fn kubectl(ns: &Namespace, arguments: &[&str]) -> Output {
    // Without a namespace, for some of the objects are for others.
    let said = ns.cluster.kubectl().args(arguments).output().await.expect("kubectl runs");
    assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
    said
}

/// The namespaces that the objects are for, and the definitions that no API server has by itself.
async fn prepare(ns: &Namespace) {
    let levels = ["enforce", "warn"].map(|mode| format!("{PRIVILEGE}/{mode}=restricted"));
    kubectl(ns, &["label", "namespace", &ns.name, &levels[0], &levels[1]]).await;
    for team in ["team-a", "team-b"] {
        let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team}}).to_string();
        let file = written(ns, &format!("{team}.json"), &space);
        kubectl(ns, &["apply", "--server-side", "--filename", &file]).await;
    }
    let crds = root().join("tests/chart/crds");
    kubectl(ns, &["apply", "--server-side", "--filename", crds.to_str().expect("text")]).await;
    kubectl(
        ns,
        &["wait", "--for=condition=Established", "--timeout=60s", "crd", "prometheusrules.monitoring.coreos.com"],
    )
    .await;
    kubectl(
        ns,
        &["wait", "--for=condition=Established", "--timeout=60s", "crd", "servicemonitors.monitoring.coreos.com"],
    )
    .await;
}

fn written(ns: &Namespace, name: &str, text: &str) -> String {
    let folder = target().join("test-logs/charts").join(&ns.name);
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(name);
    fs::write(&file, text).expect("written");
    file.to_str().expect("a path that is text").to_owned()
}

/// The API server takes every object as a dry run, all fields known to it, and warns of nothing.
async fn is_accepted(ns: &Namespace, name: &str, text: &str) {
    let file = written(ns, name, text);
    let dry_run =
        ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--filename", &file];
    let said = kubectl(ns, &dry_run).await;
    let (told, warned) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(told.lines().count(), objects_of(text).len(), "{name}: {told}");
    assert!(warned.is_empty(), "{name}: {warned}");
}

#[tokio::test]
async fn an_api_server_accepts_every_object_of_every_values_file() {
    in_namespace("chart", async |ns| {
        prepare(&ns).await;
        for file in matrix() {
            for helm in HELMS {
                let text = text_of(&template(helm, &file, &ns.name, &[]));
                is_accepted(&ns, &format!("{helm}-{file}"), &text).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_api_server_accepts_the_manifests_also_under_another_name() {
    in_namespace("manifests", async |ns| {
        let overlay = format!("namespace: {}\nnamePrefix: dev-\nresources: [base]\n", ns.name);
        let file = written(&ns, "kustomization.yaml", &overlay);
        let folder = file.trim_end_matches("/kustomization.yaml");
        // A copy, for kustomize follows no absolute path.
        fs::create_dir_all(format!("{folder}/base/kustomize")).expect("a folder");
        for file in ["install.yaml", "kustomization.yaml", "kustomize/namereference.yaml"] {
            fs::copy(root().join("manifests").join(file), format!("{folder}/base/{file}")).expect("copied");
        }
        let said = kubectl(&ns, &["kustomize", folder]).await;
        let text = String::from_utf8(said.stdout).expect("text");
        is_accepted(&ns, "overlay.yaml", &text).await;
        let objects = objects_of(&text);
        let pod = super::pod(&objects);
        let env = super::list(&pod["containers"][0]["env"]);
        let value = |name: &str| env.iter().find(|one| one["name"] == name).map(|one| one["value"].clone());
        assert_eq!(value("WORKER_SERVICE"), Some("dev-task-manager-worker".into()), "it is the name of the Service");
        let services = super::of_kind(&objects, "Service");
        assert!(services.iter().any(|service| super::name(service) == "dev-task-manager-worker"));
        for binding in super::of_kind(&objects, "ValidatingAdmissionPolicyBinding") {
            let policy = &binding["spec"]["policyName"];
            let policies = super::of_kind(&objects, "ValidatingAdmissionPolicy");
            assert!(policies.iter().any(|one| *policy == *super::name(one)), "{policy}");
        }
    })
    .await;
}

#[tokio::test]
async fn helm_finds_nothing_to_complain_of_in_the_chart() {
    let chart = chart();
    let chart = chart.to_str().expect("a path that is text");
    for file in matrix() {
        for name in HELMS {
            let said = helm(name, &["lint", "--strict", chart, "--values", &values(&file)]);
            assert!(said.status.success(), "{name} {file}: {}", String::from_utf8_lossy(&said.stdout));
        }
    }
}

#[tokio::test]
async fn helm_3_and_helm_4_make_the_same_objects() {
    for file in matrix() {
        let [three, four] = HELMS.map(|helm| objects_of(&text_of(&template(helm, &file, "task-manager", &[]))));
        assert_eq!(three, four, "{file}");
    }
}
