//! Wrong values are refused before anything is installed, in words.

use harness::*;

use super::{HELMS, template};

/// What helm says to the default values with these changes; empty where it takes them.
fn refusal(helm: &str, change: &str, more: &[&str]) -> String {
    let said = template(helm, "default.yaml", "task-manager", &[&["--set", change], more].concat());
    if said.status.success() { String::new() } else { String::from_utf8(said.stderr).expect("text") }
}

#[test]
fn a_wrong_value_is_refused_with_its_name_and_what_is_wanted() {
    for (change, place, wanted) in [
        ("replicas=two", "/replicas", "got string, want integer"),
        ("replicas=-1", "/replicas", "got -1, want 0"),
        ("watchNamespace=Team_A", "/watchNamespace", "the name of a namespace: lower-case letters, digits and hyphens"),
        ("rest.namespaces={a.b}", "/rest/namespaces/0", "the name of a namespace"),
        ("rest.port=99999", "/rest/port", "got 99,999, want 65,535"),
        ("bind=localhost", "/bind", "one of '0.0.0.0', '[::]'"),
        ("image.repository=a/b:1", "/image/repository", "a repository without tag and digest"),
        ("image.digest=abc", "/image/digest", "sha256: and 64 hexadecimal digits"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy", "one of 'Always', 'IfNotPresent', 'Never'"),
        ("archive.keepDays=0", "/archive/keepDays", "got 0, want 1"),
        ("archive.sqlite.size=5GB", "/archive/sqlite/size", "a quantity as Kubernetes has them, such as 512Mi or 5Gi"),
        ("archive.postgres.secretName=Mine", "/archive/postgres/secretName", "a name as Kubernetes has them"),
        ("queue.maxRunningTasks=0", "/queue/maxRunningTasks", "got 0, want 1"),
        ("pods.defaultMemoryLimit=lots", "/pods/defaultMemoryLimit", "a quantity as Kubernetes has them"),
        ("resources.limits.memory=lots", "/resources/limits/memory", "a quantity as Kubernetes has them"),
        ("log.format=xml", "/log/format", "one of 'json', 'text'"),
        ("rights.without={secrets}", "/rights/without/0", "one of 'batches', 'createPods'"),
        ("policies.jobController={it's}", "/policies/jobController/0", "a user name without quotes and backslashes"),
        ("priorityClasses.prefix=Ours-", "/priorityClasses/prefix", "the beginning of a name"),
        ("flowControl.shares=many", "/flowControl/shares", "got string, want integer"),
        ("colour=red", "''", "additional properties 'colour' not allowed"),
        ("archive.sqlite.path=/data", "/archive/sqlite", "additional properties 'path' not allowed"),
    ] {
        for helm in HELMS {
            let told = refusal(helm, change, &[]);
            assert!(
                told.contains(&format!("at '{}'", place.trim_matches('\''))) && told.contains(wanted),
                "{change}: {told}"
            );
        }
    }
}

#[test]
fn sqlite_with_several_replicas_is_refused_by_the_schema_and_by_the_template() {
    for helm in HELMS {
        let told = refusal(helm, "replicas=2", &[]);
        assert!(
            told.contains("at '/replicas'") && told.contains("names the Secret with the URL of a PostgreSQL"),
            "{told}"
        );
        let told = refusal(helm, "replicas=2", &["--skip-schema-validation"]);
        assert!(told.contains("several replicas need one archive that all reach"), "{told}");
        assert_eq!(refusal(helm, "replicas=2,archive.postgres.secretName=archive", &[]), "");
        assert_eq!(refusal(helm, "replicas=0", &[]), "", "switched off for a while");
    }
}

#[test]
fn rest_for_a_namespace_that_is_not_watched_is_refused_by_the_template() {
    for helm in HELMS {
        let told = refusal(helm, "watchNamespace=a,rest.namespaces={a,b}", &[]);
        assert!(told.contains("only the watched namespace a can be served"), "{told}");
        assert_eq!(refusal(helm, "watchNamespace=a,rest.namespaces={a}", &[]), "");
    }
}

#[tokio::test]
async fn sqlite_with_several_replicas_is_refused_by_the_operator_itself() {
    in_namespace("replicas", async |ns| {
        let told = refused(&ns, "2").await;
        assert!(told.contains("2 replicas cannot share") && told.contains("name a PostgreSQL"), "{told}");
        // As after `kubectl scale`, which tells the operator nothing: the second one finds the file locked.
        let first = Operator::start(&ns, ns.operators_kubeconfig(), &["--replicas", "1"]).await;
        let told = refused(&ns, "1").await;
        assert!(told.contains("another operator has") && told.contains("open"), "{told}");
        drop(first);
    })
    .await;
}

/// What an operator says that ends at once.
async fn refused(ns: &Namespace, replicas: &str) -> String {
    let mut command = Operator::command();
    command.env("KUBECONFIG", ns.operators_kubeconfig()).env("TASK_MANAGER_ARCHIVE", ns.archive());
    command.args(["run", "--watch-namespace", &ns.name, "--health-addr", "127.0.0.1:0", "--replicas", replicas]);
    let ended = tokio::time::timeout(SOON, command.kill_on_drop(true).output()).await;
    let ended = ended.expect("it ends by itself").expect("it runs");
    assert!(!ended.status.success());
    String::from_utf8(ended.stderr).expect("text")
}
