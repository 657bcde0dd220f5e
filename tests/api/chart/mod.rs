//! The chart, rendered by Helm 3 and Helm 4 over every values file of tests/chart: what it makes, and what it refuses.

mod accepted;
mod flags;
mod made;
mod network;
mod pods;
mod refused;
mod rights;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use harness::*;
use serde_json::Value;

const HELMS: [&str; 2] = ["helm", "helm4"];
const RELEASE: &str = "task-manager";

fn root() -> PathBuf {
    target().join("..").canonicalize().expect("the checkout")
}

fn chart() -> PathBuf {
    root().join("charts/task-manager")
}

/// A program that was built with the cluster's.
fn program(name: &str) -> PathBuf {
    let program = Cluster::ControlPlane.kubeconfig().with_file_name("bin").join(name);
    assert!(program.exists(), "there is no {}: start the cluster anew, which builds it", program.display());
    program
}

/// Helm, which keeps nothing in anybody's home and asks no cluster.
fn helm(name: &str, arguments: &[&str]) -> Output {
    let home = target().join("helm");
    let mut command = Command::new(program(name));
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, &home);
    }
    command.args(arguments).env("KUBECONFIG", "/dev/null").output().expect("helm runs")
}

/// The values files of the matrix.
fn matrix() -> Vec<String> {
    let files = fs::read_dir(root().join("tests/chart")).expect("the matrix");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a name"));
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".yaml")).collect();
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    names
}

fn values(file: &str) -> String {
    root().join("tests/chart").join(file).to_str().expect("a path that is text").to_owned()
}

/// What `helm template` says to these values.
fn template(name: &str, file: &str, namespace: &str, more: &[&str]) -> Output {
    let (chart, file) = (chart(), values(file));
    let chart = chart.to_str().expect("a path that is text");
    helm(name, &[&["template", RELEASE, chart, "--namespace", namespace, "--values", &file], more].concat())
}

fn text_of(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn objects_of(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// The objects that Helm 3 makes of these values.
fn rendered_with(file: &str, more: &[&str]) -> Vec<Value> {
    objects_of(&text_of(&template("helm", file, RELEASE, more)))
}

fn rendered(file: &str) -> Vec<Value> {
    rendered_with(file, &[])
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().expect("a kind")
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("a name")
}

fn of_kind<'a>(objects: &'a [Value], wanted: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| kind(object) == wanted).collect()
}

fn deployment(objects: &[Value]) -> &Value {
    let found = of_kind(objects, "Deployment");
    assert_eq!(found.len(), 1);
    found[0]
}

fn pod(objects: &[Value]) -> &Value {
    &deployment(objects)["spec"]["template"]["spec"]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
