//! Tokens that the API server would not issue, signed with its key: only their claims are wrong.

use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cluster::Cluster;

impl Cluster {
    /// The same token with some of its claims changed, and signed anew.
    pub async fn signed_anew(self, token: &str, change: &Value) -> String {
        let parts: Vec<&str> = token.split('.').collect();
        let claims = BASE64.decode(parts[1]).expect("base64");
        let mut claims: Value = serde_json::from_slice(&claims).expect("claims");
        merge(&mut claims, change);
        let signed = format!("{}.{}", parts[0], BASE64.encode(claims.to_string()));
        let signature = self.signature(&signed).await;
        format!("{signed}.{}", BASE64.encode(signature))
    }

    /// Signs with the key of the cluster's service accounts.
    async fn signature(self, text: &str) -> Vec<u8> {
        let key = self.kubeconfig().with_file_name("pki").join("service-accounts.key");
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl runs");
        let mut stdin = openssl.stdin.take().expect("it reads");
        stdin.write_all(text.as_bytes()).await.expect("it reads all");
        drop(stdin);
        let done = openssl.wait_with_output().await.expect("it ends");
        assert!(done.status.success(), "openssl cannot sign");
        done.stdout
    }
}

fn merge(value: &mut Value, change: &Value) {
    match (value, change) {
        (Value::Object(value), Value::Object(change)) => {
            for (name, change) in change {
                merge(value.entry(name).or_insert(Value::Null), change);
            }
        }
        (value, change) => value.clone_from(change),
    }
}
