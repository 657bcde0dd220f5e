//! How we speak to the API server: watches without end, calls with deadlines, and the lease, which also shows that a
//! cluster was restored from a backup.

pub mod calls;
pub mod client;
pub mod create;
pub mod lease;
pub mod rights;
pub mod watch;

use kube::api::ObjectMeta;

/// An object's resourceVersion. They grow as time passes, and are compared as numbers.
pub fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// Which object, and in which version: all that is needed of its metadata to write it, or to tell that it is there.
pub fn identity(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectMeta::default()
    }
}
