//! The kinds of object that tasks name, each with its part of the index.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Listing, Namespace};
use crate::api::{TaskQueue, TaskType};
use crate::core::queue::Key;
use crate::rest::index::Index;

/// A kind of object that tasks name.
pub(super) trait Named: kube::Resource<DynamicType = ()> + Sized {
    fn listing(namespace: &mut Namespace) -> &mut Listing;

    fn changed(index: &Index, key: Key, object: Option<&Self>);

    fn listed(index: &Index, namespace: &str, names: &HashSet<Arc<str>>);
}

impl Named for TaskType {
    fn listing(namespace: &mut Namespace) -> &mut Listing {
        &mut namespace.types
    }

    fn changed(index: &Index, key: Key, object: Option<&Self>) {
        index.type_changed(key, object);
    }

    fn listed(index: &Index, namespace: &str, names: &HashSet<Arc<str>>) {
        index.types_listed(namespace, names);
    }
}

impl Named for TaskQueue {
    fn listing(namespace: &mut Namespace) -> &mut Listing {
        &mut namespace.queues
    }

    fn changed(index: &Index, key: Key, object: Option<&Self>) {
        index.queue_changed(&key, object);
    }

    fn listed(index: &Index, namespace: &str, names: &HashSet<Arc<str>>) {
        index.queues_listed(namespace, names);
    }
}
