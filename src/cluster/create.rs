//! Creates an object from a manifest as JSON, so that a field that this program does not know reaches the API server. The
//! API server refuses the fields that it does not know itself.

use kube::core::NamespaceResourceScope;
use kube::{Client, Error, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::calls::TimeLeft;

/// Whether the object is made, or only checked and answered as it would be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Unless the API server's time is over before.
    Real(TimeLeft),
    Dry,
}

/// Creates an object of the kind `K` in the namespace that `manifest` names.
pub async fn create<K, Answer>(client: &Client, manifest: &Value, run: Run) -> Result<Answer, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    Answer: DeserializeOwned,
{
    let namespace = manifest.pointer("/metadata/namespace").and_then(Value::as_str);
    let how = match run {
        Run::Real(left) => left.to_string(),
        Run::Dry => "dryRun=All".to_owned(),
    };
    let url = format!("{}?fieldValidation=Strict&{how}", K::url_path(&(), namespace));
    let body = serde_json::to_vec(manifest).map_err(Error::SerdeError)?;
    let request = hyper::Request::post(url).header(hyper::header::CONTENT_TYPE, "application/json").body(body);
    client.request(request.map_err(Error::HttpError)?).await
}
