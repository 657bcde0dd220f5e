//! An object as a watch brings it: read, or why it cannot be. Never judges what is readable. kube's own
//! `DeserializeGuard` does the same, but makes two copies of every object in general form first, which took half of this
//! program's time.

use std::borrow::Cow;
use std::sync::Arc;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[derive(Clone, Debug)]
pub struct Readable<K>(pub Result<K, Unreadable>);

#[derive(Clone, Debug)]
pub struct Unreadable {
    pub error: String,
    pub metadata: ObjectMeta,
}

/// An object as it is handed on. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Seen<K> {
    Whole(Arc<K>),
    /// It is there and cannot be read: this is its metadata.
    InPart(Arc<ObjectMeta>),
}

impl<K: Resource<DynamicType = ()>> Seen<K> {
    /// One that cannot be read is logged.
    fn of(object: Readable<K>) -> Self {
        match object.0 {
            Ok(object) => Self::Whole(Arc::new(object)),
            Err(Unreadable { error, metadata }) => {
                let name = metadata.name.as_deref().unwrap_or_default();
                tracing::error!(kind = %K::kind(&()), namespace = metadata.namespace, name, error, "cannot be read; passed over");
                Self::InPart(Arc::new(metadata))
            }
        }
    }

    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Whole(object) => object.meta(),
            Self::InPart(metadata) => metadata,
        }
    }
}

/// An event with its object as it is handed on. `prepare` changes each that is there; the last version of one that is
/// gone stays as it was.
pub fn seen<K: Resource<DynamicType = ()>>(event: Event<Readable<K>>, prepare: fn(&mut K)) -> Event<Seen<K>> {
    let prepared = |mut object: Readable<K>| {
        object.0.iter_mut().for_each(prepare);
        Seen::of(object)
    };
    match event {
        Event::Apply(object) => Event::Apply(prepared(object)),
        Event::InitApply(object) => Event::InitApply(prepared(object)),
        Event::Delete(object) => Event::Delete(Seen::of(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

impl<'de, K: Resource + DeserializeOwned> Deserialize<'de> for Readable<K> {
    /// Fails only when not even the object's metadata can be read.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let read = match serde_json::from_str(text.get()) {
            Ok(object) => Ok(object),
            Err(error) => {
                let part: PartialObjectMeta<K> = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
                Err(Unreadable { error: error.to_string(), metadata: part.metadata })
            }
        };
        Ok(Self(read))
    }
}

impl<K: Resource> Resource for Readable<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &K::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &K::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &K::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &K::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|error| &error.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|error| &mut error.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use kube::ResourceExt;
    use kube::api::WatchEvent;

    fn seen(line: &str) -> Readable<Pod> {
        match serde_json::from_str(line) {
            Ok(WatchEvent::Modified(pod)) => pod,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_object_is_read_as_the_watch_brings_it() {
        let pod = seen(r#"{"type":"MODIFIED","object":{"metadata":{"name":"p"},"status":{"phase":"Running"}}}"#);
        let phase = pod.0.expect("it can be read").status.and_then(|status| status.phase);
        assert_eq!(phase.as_deref(), Some("Running"));
    }

    #[test]
    fn one_that_cannot_be_read_still_has_its_name_and_says_why() {
        let pod = seen(r#"{"type":"MODIFIED","object":{"metadata":{"name":"p"},"status":{"phase":7}}}"#);
        assert_eq!(pod.name_any(), "p");
        assert!(pod.0.expect_err("a phase is text").error.contains("invalid type"));
    }

    #[test]
    fn without_readable_metadata_nothing_is_left() {
        let line = r#"{"type":"MODIFIED","object":{"metadata":7}}"#;
        assert!(serde_json::from_str::<WatchEvent<Readable<Pod>>>(line).is_err());
    }
}
