//! The roles that the chart makes are those of files/rights.yaml, and hold nothing beside them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::{chart, kind, list, matrix, name, of_kind, rendered, rendered_with};

fn words(value: &Value) -> Vec<String> {
    let mut words: Vec<_> = list(value).iter().map(|word| word.as_str().expect("a word").to_owned()).collect();
    words.sort();
    words
}

/// Each single right of these rules, as "group/resource verb".
fn single<'a>(rules: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rule in rules {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                found.extend(words(&rule["verbs"]).iter().map(|verb| format!("{group}/{resource} {verb}")));
            }
        }
    }
    found
}

fn written() -> Value {
    let text = fs::read_to_string(chart().join("files/rights.yaml")).expect("the list of rights");
    serde_saphyr::from_str(&text).expect("YAML")
}

/// The rules of these lists, without those of these names.
fn expected(lists: &[&str], without: &[&str]) -> BTreeSet<String> {
    let written = written();
    let rules = lists.iter().flat_map(|of| list(&written[*of]));
    single(rules.filter(|rule| !rule["name"].as_str().is_some_and(|name| without.contains(&name))))
}

/// All rights that the roles of the operator give it; not those of users.
fn of_the_operator(objects: &[Value]) -> BTreeSet<String> {
    let bound: Vec<_> = objects
        .iter()
        .filter(|object| kind(object).ends_with("RoleBinding"))
        .map(|binding| (&binding["roleRef"]["kind"], &binding["roleRef"]["name"], &binding["metadata"]["namespace"]))
        .collect();
    let is_bound = |object: &&Value| {
        bound.contains(&(&object["kind"], &object["metadata"]["name"], &object["metadata"]["namespace"]))
    };
    let roles: Vec<_> = objects.iter().filter(is_bound).collect();
    assert_eq!(roles.len(), bound.len(), "each binding has its role");
    single(roles.into_iter().flat_map(|role| list(&role["rules"])))
}

#[test]
fn the_operator_gets_the_rights_of_the_list_and_no_others() {
    let all = ["operator", "rest", "lease", "cluster"];
    assert_eq!(of_the_operator(&rendered("default.yaml")), expected(&all, &[]));
    assert_eq!(of_the_operator(&rendered("no-cluster-rights.yaml")), expected(&all[..3], &[]));
    assert_eq!(of_the_operator(&rendered("nothing.yaml")), BTreeSet::new());
    let without_rest = rendered_with("default.yaml", &["--set", "rest.enabled=false"]);
    assert_eq!(of_the_operator(&without_rest), expected(&["operator", "lease", "cluster"], &[]));
}

#[test]
fn each_right_that_has_a_name_can_be_left_out() {
    let (all, written) = (["operator", "rest", "lease", "cluster"], written());
    let named = all.iter().flat_map(|of| list(&written[*of])).filter_map(|rule| rule["name"].as_str());
    let named: Vec<_> = named.collect();
    assert!(named.len() > 5, "{named:?}");
    for left_out in &named {
        let objects = rendered_with("default.yaml", &["--set", &format!("rights.without={{{left_out}}}")]);
        assert_eq!(of_the_operator(&objects), expected(&all, &[left_out]), "{left_out}");
    }
    assert_eq!(of_the_operator(&rendered("least-rights.yaml")), expected(&all, &named));
}

/// The namespaces in which the operator may create tasks; `*` for all.
fn where_it_creates_tasks(objects: &[Value]) -> Vec<String> {
    let creates = |role: &&Value| single(list(&role["rules"])).contains("taskmanager.dev/tasks create");
    let namespace = |object: &Value| object["metadata"]["namespace"].as_str().unwrap_or("*").to_owned();
    let bindings = objects.iter().filter(|object| kind(object).ends_with("RoleBinding"));
    let bindings = bindings.filter(|binding| {
        let is_its =
            |role: &&Value| role["kind"] == binding["roleRef"]["kind"] && *name(role) == binding["roleRef"]["name"];
        objects.iter().filter(is_its).any(|role| creates(&role) && namespace(role) == namespace(binding))
    });
    bindings.map(namespace).collect()
}

#[test]
fn without_batches_tasks_are_created_only_in_the_namespaces_that_rest_serves() {
    for (file, namespaces) in [
        ("default.yaml", vec!["task-manager"]),
        ("everything.yaml", vec!["team-a", "team-b"]),
        ("namespaced.yaml", vec!["team-a"]),
        ("nothing.yaml", vec![]),
    ] {
        let without_batches = rendered_with(file, &["--set", "rights.without={batches}"]);
        assert_eq!(where_it_creates_tasks(&without_batches), namespaces, "{file}");
    }
    let without = ["--set", "rest.enabled=false", "--set", "rights.without={batches}"];
    let without_rest = rendered_with("default.yaml", &without);
    assert!(where_it_creates_tasks(&without_rest).is_empty());
}

#[test]
fn no_role_reads_secrets_or_has_a_right_to_everything() {
    for file in matrix() {
        let objects = rendered(&file);
        let roles = objects.iter().filter(|object| matches!(kind(object), "Role" | "ClusterRole"));
        for right in single(roles.flat_map(|role| list(&role["rules"]))) {
            let forbidden = ["*", "secrets", "impersonate", "escalate", "bind", "pods/exec", "roles", "webhook"];
            assert!(!forbidden.iter().any(|word| right.contains(word)), "{file}: {right}");
        }
    }
}

#[test]
fn one_namespace_alone_needs_nothing_about_the_cluster() {
    let objects = rendered("namespaced.yaml");
    let namespaced = ["Deployment", "PersistentVolumeClaim", "Pod", "Role", "RoleBinding", "Service", "ServiceAccount"];
    let kinds: BTreeSet<_> = objects.iter().map(kind).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), namespaced);
    let roles = of_kind(&objects, "Role");
    let mut places: Vec<_> = roles.iter().map(|role| (name(role), role["metadata"]["namespace"].as_str())).collect();
    places.sort_unstable();
    let expected_places = [
        ("task-manager", Some("team-a")),
        ("task-manager-lease", Some("task-manager")),
        ("task-manager-rest", Some("team-a")),
    ];
    assert_eq!(places, expected_places);
    assert_eq!(of_the_operator(&objects), expected(&["operator", "rest", "lease"], &[]));
}

#[test]
fn the_roles_of_users_are_added_to_those_that_every_cluster_has() {
    let (objects, written) = (rendered("default.yaml"), written());
    for role in ["view", "edit", "admin", "task-admin"] {
        let found = of_kind(&objects, "ClusterRole");
        let found = found.into_iter().find(|one| name(one) == format!("task-manager-{role}")).expect("it is made");
        assert_eq!(single(list(&found["rules"])), single(list(&written["users"][role])), "{role}");
        let labels = found["metadata"]["labels"].as_object().expect("labels");
        let added_to: Vec<_> = labels.keys().filter_map(|key| key.split("/aggregate-to-").nth(1)).collect();
        let expected: Vec<_> = if role == "task-admin" { vec![] } else { vec![role] };
        assert_eq!(added_to, expected, "{role}");
    }
}
