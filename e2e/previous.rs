//! The state of the product before its newest definitions and its newest migrations, made out of the present one: the
//! definitions without the fields that came last, and a PostgreSQL as the version before left it. And the other way round, a
//! PostgreSQL as a later version would leave it.

use std::path::PathBuf;

use harness::{Cluster, Namespace, Postgres, target};
use kube::ResourceExt;
use serde_json::Value;
use tokio::process::Command;

use crate::installed::{CHART, root};

/// The fields of a status that came last, by the kind, the place in its schema, and the name.
const NEWEST_FIELDS: [(&str, &str, &str); 6] = [
    ("Task", "/properties/status/properties", "line"),
    ("Task", "/properties/status/properties", "givenBack"),
    ("Task", "/properties/status/properties", "lastGivenBack"),
    ("TaskType", "/properties/status/properties", "surplus"),
    ("TaskType", "/properties/status", "default"),
    ("TaskQueue", "/properties/status", "default"),
];

/// The newest migrations undone, 7 and 8, which came together: what is to be changed here when another one comes. Until they
/// are applied again, a program that has opened the archive writes its records as the version before did.
const WITHOUT_THE_NEWEST_MIGRATIONS: &str = "
    DO $$ BEGIN
        ASSERT (SELECT max(version) FROM archive_migrations) = 8, 'undo the newest migration here, not 7 and 8';
    END $$;
    DROP TRIGGER archive_checkpoints_end ON archive_records;
    DROP FUNCTION archive_checkpoints_end();
    DROP TABLE archive_checkpoints;
    DROP TABLE archive_chunks;
    DELETE FROM archive_migrations WHERE version > 6";

/// A migration of a later version, which as each one only adds.
const WITH_A_LATER_MIGRATION: &str = "
    ALTER TABLE archive_records ADD COLUMN later BIGINT NOT NULL DEFAULT 0;
    CREATE TABLE archive_later (uid TEXT PRIMARY KEY);
    INSERT INTO archive_migrations (version, digest) VALUES (99, 'later')";

pub async fn undo_the_newest_migrations(server: &Postgres, database: &str) {
    server.execute(database, WITHOUT_THE_NEWEST_MIGRATIONS).await;
}

pub async fn apply_a_later_migration(server: &Postgres, database: &str) {
    server.execute(database, WITH_A_LATER_MIGRATION).await;
}

/// The chart of the version before, in a folder of its own.
pub async fn chart(namespace: &Namespace) -> PathBuf {
    let folder = target().join("test-logs/charts").join(&namespace.name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let chart = folder.join("task-manager");
    let copied = Command::new("cp").arg("-r").arg(root().join(CHART)).arg(&chart).status().await;
    assert!(copied.is_ok_and(|status| status.success()), "the chart can be copied");
    let about = std::fs::read_to_string(chart.join("Chart.yaml")).expect("its version");
    let lines = about.lines().map(|line| match line.split_once(':') {
        Some((key @ ("version" | "appVersion"), _)) => format!("{key}: 0.0.9\n"),
        _ => format!("{line}\n"),
    });
    std::fs::write(chart.join("Chart.yaml"), lines.collect::<String>()).expect("written");
    for (file, definition) in definitions() {
        std::fs::write(chart.join("files/crds").join(file), definition.to_string()).expect("written");
    }
    chart
}

fn definitions() -> impl Iterator<Item = (String, Value)> {
    task_manager::api::crds().into_iter().map(|definition| {
        let file = format!("{}.yaml", definition.spec.names.plural);
        assert!(root().join("crds").join(&file).exists(), "{} is in a file of this name", definition.name_any());
        let kind = definition.spec.names.kind.clone();
        let mut definition = serde_json::to_value(definition).expect("JSON");
        for (_, place, field) in NEWEST_FIELDS.iter().filter(|(of, ..)| *of == kind) {
            let place = format!("/spec/versions/0/schema/openAPIV3Schema{place}");
            let fields = definition.pointer_mut(&place).and_then(Value::as_object_mut).expect("a place in the schema");
            assert!(fields.remove(*field).is_some(), "{kind} has no {field} at {place}");
        }
        (file, definition)
    })
}

/// Puts the definitions of this checkout in force again when it is dropped: other tests use them.
pub struct PresentDefinitions(pub Cluster);

impl Drop for PresentDefinitions {
    fn drop(&mut self) {
        let mut command = self.0.kubectl();
        let crds = root().join("crds");
        let command =
            command.as_std_mut().args(["apply", "--server-side", "--force-conflicts", "--filename"]).arg(crds);
        let done = command.args(["--field-manager", "task-manager-tests"]).output().expect("kubectl runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Whether this kind has the field in its status, by the definition that is in force.
pub async fn has_status_field(cluster: Cluster, definition: &str, field: &str) -> bool {
    let place = format!("jsonpath={{.spec.versions[0].schema.openAPIV3Schema.properties.status.properties.{field}}}");
    let asked = cluster.kubectl().args(["get", "crd", definition, "-o", &place]).output().await.expect("kubectl runs");
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    !asked.stdout.is_empty()
}
