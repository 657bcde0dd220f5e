//! The work in a pod, as it speaks to the operator over HTTP.

use hyper::Method;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::fake_node::FakeNode;
use crate::namespace::Namespace;
use crate::patience::{SOON, eventually};
use crate::rest::{Answer, Rest};

/// Audience of a pod's token.
const AUDIENCE: &str = "task-manager";
const ACCOUNT: &str = "default";

/// One pod with its token.
#[derive(Clone)]
pub struct Worker {
    pub pod: String,
    pub token: String,
    /// The attempt that it names in each call, if any.
    attempt: Option<String>,
    way: Rest,
}

impl Worker {
    /// The pod of this task's attempt of this number, once it has been started.
    pub async fn of(namespace: &Namespace, node: &FakeNode, way: Rest, task: &str, attempt: usize) -> Self {
        let what = format!("the pod of {task} is started for the {attempt}. time");
        let pod = eventually(&what, SOON, async || {
            node.starts().into_iter().filter(|start| start.task == task).nth(attempt - 1).map(|start| start.pod)
        })
        .await;
        let token = namespace.token_of(Some(&pod), AUDIENCE).await;
        Self { pod, token, attempt: None, way }
    }

    /// The same with another token.
    pub fn with(&self, token: &str) -> Self {
        Self { token: token.into(), ..self.clone() }
    }

    /// The same, which says that it reports for this attempt.
    pub fn for_attempt(&self, attempt: &str) -> Self {
        Self { attempt: Some(attempt.into()), ..self.clone() }
    }

    /// The same on its way to another replica.
    pub fn through(&self, way: Rest) -> Self {
        Self { way, ..self.clone() }
    }

    pub async fn progress(&self, said: &Value) -> Answer {
        self.say(Method::POST, "progress", "application/json", said.to_string()).await
    }

    pub async fn error(&self, said: &Value) -> Answer {
        self.say(Method::POST, "error", "application/json", said.to_string()).await
    }

    pub async fn result(&self, content_type: &str, content: String) -> Answer {
        self.say(Method::PUT, "result", content_type, content).await
    }

    /// Leaves a checkpoint.
    pub async fn leave(&self, content_type: &str, content: String) -> Answer {
        self.say(Method::PUT, "checkpoint", content_type, content).await
    }

    /// The last checkpoint of the run.
    pub async fn left(&self) -> Answer {
        self.say(Method::GET, "checkpoint", "text/plain", String::new()).await
    }

    async fn say(&self, method: Method, path: &str, content_type: &str, body: String) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", content_type)];
        headers.extend(self.attempt.as_deref().map(|attempt| ("task-attempt", attempt)));
        self.way.send(method, &format!("/worker/v1/{path}"), &headers, Some(body)).await
    }
}

impl Namespace {
    /// The service account of pods. On a whole cluster it exists already.
    pub async fn account_for_pods(&self) {
        let account: ServiceAccount =
            serde_json::from_value(json!({"metadata": {"name": ACCOUNT}})).expect("an account");
        self.create(&account).await;
    }

    /// A token for this audience, bound to a pod as the kubelet asks for one, or to none.
    pub async fn token_of(&self, pod: Option<&str>, audience: &str) -> String {
        let mut spec = json!({"audiences": [audience], "expirationSeconds": 600});
        if let Some(pod) = pod {
            let uid = self.pods().get(pod).await.expect("the pod").uid();
            spec["boundObjectRef"] = json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid});
        }
        let request: TokenRequest = serde_json::from_value(json!({"metadata": {}, "spec": spec})).expect("a request");
        let accounts = self.api::<ServiceAccount>();
        let token = accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await.expect("a token");
        token.status.expect("a token").token
    }
}
