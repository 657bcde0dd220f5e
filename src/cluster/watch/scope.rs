//! The namespaces that something is about.

use std::sync::Arc;

use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    All,
    Only(Arc<str>),
}

impl Scope {
    /// One namespace; all, where none is named.
    pub fn of(namespace: Option<&str>) -> Self {
        namespace.map_or(Self::All, |only| Self::Only(only.into()))
    }

    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => **only == *namespace,
        }
    }

    pub fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::All => Api::all(client),
            Self::Only(only) => Api::namespaced(client, only),
        }
    }
}
