//! A pod that uses REST as a service in the cluster does: by the name of the operator's Service. The static wget of its image
//! crashes with a time limit of its own (`-T`), so `timeout` ends it.

use harness::{Namespace, eventually};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};
use task_manager::api::Task;

use crate::world::{A_CHANGE, A_TASK, is_running};

const NAME: &str = "client";

pub struct Client {
    namespace: Namespace,
    /// The URL of REST.
    rest: String,
}

impl Client {
    pub async fn start(namespace: &Namespace, rest: String) -> Self {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": NAME},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                {"name": "client", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["sleep", "3600"]},
            ]},
        }))
        .expect("a pod");
        namespace.create(&pod).await;
        eventually("the client runs", A_TASK, async || {
            is_running(&namespace.pods().get(NAME).await.ok()?).then_some(())
        })
        .await;
        Self { namespace: namespace.clone(), rest }
    }

    /// The answer to a GET of this path.
    pub async fn get(&self, path: &str) -> String {
        self.answer(&["timeout", "20", "wget", "-q", "-O", "-", &format!("{}{path}", self.rest)]).await
    }

    pub async fn get_json(&self, path: &str) -> Value {
        json_of(&self.get(path).await)
    }

    /// Submits a task under an idempotency key.
    pub async fn submit(&self, key: &str, submission: &Value) -> Task {
        let answer = self.submit_many(&[key.to_owned()], submission).await;
        let id = json_of(&answer)["task_id"].clone();
        let tasks = self.namespace.tasks().list(&ListParams::default()).await.expect("tasks").items;
        let made = tasks.into_iter().find(|task| task.uid().as_deref() == id.as_str());
        made.unwrap_or_else(|| panic!("a task of the id {id}"))
    }

    /// Submits one after another the same under each of these keys. The answers.
    pub async fn submit_many(&self, keys: &[String], submission: &Value) -> String {
        let script = r#"
            body=$1 url=$2
            shift 2
            for key; do
                timeout 20 wget -q -O - --header "Idempotency-Key: $key" --header 'Content-Type: application/json' \
                    --post-data "$body" "$url" || exit 1
            done
        "#;
        let (body, url) = (submission.to_string(), format!("{}/api/v1/tasks", self.rest));
        let words = ["sh", "-c", script, "sh", &body, &url];
        self.answer(&[&words[..], &keys.iter().map(String::as_str).collect::<Vec<_>>()].concat()).await
    }

    /// Asks again for a while where there is no answer or no success: a connection may be to a replica that goes just now.
    async fn answer(&self, words: &[&str]) -> String {
        eventually("REST answers the client", A_CHANGE, async || {
            let done = self.namespace.kubectl(&[&["exec", NAME, "--"], words].concat()).await;
            if !done.status.success() {
                eprintln!("the client was not answered: {}", String::from_utf8_lossy(&done.stderr));
            }
            done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
        })
        .await
    }
}

fn json_of(answer: &str) -> Value {
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}
