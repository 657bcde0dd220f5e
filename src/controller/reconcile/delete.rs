//! The one way to delete: exactly the object that was decided on, and what it owns with it.

use std::fmt::Debug;

use kube::Resource;
use kube::api::{DeleteParams, Preconditions};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;

use crate::cluster::calls::{CallError, Calls};

/// The object of this uid and no other of its name.
pub fn only(uid: &str) -> Preconditions {
    Preconditions { uid: Some(uid.into()), resource_version: None }
}

/// The outcome of asking for a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It goes, or is gone: the watch shows it.
    Asked,
    /// There is no such object.
    NotThere,
    /// There is another one of that name, or it changed meanwhile, or the API server says so: look again.
    Refused,
}

pub async fn remove<K>(
    namespace: &str,
    name: &str,
    only_this: Preconditions,
    calls: &Calls,
) -> Result<Removal, CallError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let objects = calls.namespaced::<K>(namespace);
    let how = DeleteParams::background().preconditions(only_this);
    match calls.write("delete", objects.delete(name, &how)).await {
        Ok(_) => Ok(Removal::Asked),
        Err(CallError::Conflict) => Ok(Removal::Refused),
        Err(CallError::NotFound) => Ok(Removal::NotThere),
        Err(error) => Err(error),
    }
}
