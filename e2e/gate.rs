//! A folder that the test shares with its containers, so that it can hold them and let them go also while nobody
//! answers: neither the API server nor the kubelet. For a node on this machine only.

use std::fs;
use std::path::PathBuf;

use harness::{Namespace, eventually, target};
use serde_json::{Value, json};
use task_manager::api::TaskTypeSpec;

use crate::world::A_TASK;

pub struct Gate {
    folder: PathBuf,
}

/// Waits until the gate of this task is open.
pub const HELD: &str = "until [ -e /gate/$TASK_NAME ]; do sleep 0.5; done";

impl Gate {
    pub fn new(namespace: &Namespace) -> Self {
        let folder = target().join("test-logs/gates").join(&namespace.name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        Self { folder }
    }

    /// Mounts the gate into the containers of this type.
    pub fn on(&self, kind: &mut TaskTypeSpec) {
        self.on_template(&mut kind.template);
    }

    /// Mounts it into the first container of a template.
    pub fn on_template(&self, template: &mut Value) {
        let pod = &mut template["spec"];
        pod["volumes"] = json!([{"name": "gate", "hostPath": {"path": self.folder, "type": "Directory"}}]);
        pod["containers"][0]["volumeMounts"] = json!([{"name": "gate", "mountPath": "/gate"}]);
    }

    /// Lets a task go on that is [`HELD`].
    pub fn open(&self, task: &str) {
        fs::write(self.folder.join(task), "").expect("a file can be made");
    }

    /// The lines of a file in the folder; none where nobody has made it.
    pub fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a container has made this file in the folder.
    pub async fn shows(&self, file: &str) {
        eventually(&format!("a container has made {file}"), A_TASK, async || {
            self.folder.join(file).exists().then_some(())
        })
        .await;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
