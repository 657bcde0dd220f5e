//! Creates a task of a request with an idempotency key, which may come any number of times: the key gives the task its
//! name, so that the API server decides which request was first, and the request's digest is kept with the task, which
//! tells whether the same was asked for.

use kube::ResourceExt;
use serde_json::Value;

use super::Submitter;
use super::manifest::{manifest, name_of_key};
use crate::api::FIRST_RUN;
use crate::core::launch::names::{ANNOTATION_BODY_DIGEST, ANNOTATION_REPLAY_OF};
use crate::rest::api_server::away;
use crate::serving::problem::{Problem, ProblemType};

/// A request under an idempotency key.
pub(super) struct KeyedRequest<'a> {
    pub namespace: &'a str,
    pub key: &'a str,
    /// Of what else the request said.
    pub digest: String,
    /// The uid of the task that is to be repeated.
    pub replay_of: Option<&'a str>,
}

impl Submitter {
    /// Makes the task, or finds the one that the key stands for; returns its uid. Only for a new one is `spec` asked for.
    pub(super) async fn create_once(
        &self,
        request: &KeyedRequest<'_>,
        spec: impl AsyncFnOnce() -> Result<Value, Problem>,
    ) -> Result<String, Problem> {
        let name = name_of_key(request.namespace, request.key);
        if let Some(known) = self.index.named(request.namespace, &name) {
            return request.is_same(known.digest.as_deref()).map(|()| known.uid.to_string());
        }
        if let Some(trouble) = &*self.archive.identity().trouble().borrow() {
            return Err(
                ProblemType::Archive.because(format!("it is not known whether this key was used before: {trouble}"))
            );
        }
        // One that was removed from the cluster has its record by then.
        let archived = self.archive.by_name(request.namespace, &name, FIRST_RUN).await;
        if let Ok(Some(record)) = &archived {
            return request.is_same(record.details.body_digest.as_deref()).map(|()| record.summary.uid.clone());
        }
        let mut spec = spec().await?;
        if let (Err(_), Some(fields)) = (archived, spec.as_object_mut()) {
            // Nobody knows whether this was done before. The task waits until the archive says so, and is not run twice.
            fields.insert("once".into(), true.into());
        }
        match self.api.create(request.namespace, &request.manifest(&name, spec)).await {
            Err(problem) if problem.is(ProblemType::Exists) => {
                let task = self.api.task(request.namespace, &name).await?.ok_or_else(away)?;
                request.is_same(task.annotations().get(ANNOTATION_BODY_DIGEST).map(String::as_str))?;
                self.taken(&task)
            }
            created => self.taken(&created?),
        }
    }
}

impl KeyedRequest<'_> {
    fn manifest(&self, name: &str, spec: Value) -> Value {
        let digest = [(ANNOTATION_BODY_DIGEST, self.digest.as_str())];
        let annotations = digest.into_iter().chain(self.replay_of.map(|uid| (ANNOTATION_REPLAY_OF, uid)));
        manifest(self.namespace, name, spec, annotations)
    }

    /// Whether a task that bears the key's name was made by the same request.
    fn is_same(&self, known: Option<&str>) -> Result<(), Problem> {
        match known {
            Some(known) if known == self.digest => Ok(()),
            Some(_) => Err(ProblemType::KeyReused
                .because("this key was sent before with another request; use a new key for a new task")
                .at("Idempotency-Key")),
            None => {
                Err(ProblemType::Exists.because("a task that was not made by this key bears its name; use another key"))
            }
        }
    }
}
