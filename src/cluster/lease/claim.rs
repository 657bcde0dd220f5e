//! The Lease as a candidate writes it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;

use super::agreed_archive::ASKED_BY;
use super::{DURATION, Election};

/// Annotations that begin so are what leaders say of themselves.
const PREFIX: &str = "taskmanager.dev/";

pub(super) fn annotations_of_leader(mut annotations: BTreeMap<String, String>) -> BTreeMap<String, String> {
    annotations.retain(|key, _| key.starts_with(PREFIX) && key != ASKED_BY);
    annotations
}

impl Election {
    /// The Lease as it is to be, on top of what it was: with its resourceVersion, so that only one can take it.
    pub(super) fn claim(&self, before: Option<Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let (mut metadata, spec) = match before {
            Some(lease) => (lease.metadata, lease.spec.unwrap_or_default()),
            None => (ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() }, LeaseSpec::default()),
        };
        let archive = self.archive.as_ref().map(|archive| archive.to_say(metadata.annotations.as_ref()));
        // Nothing that another leader said of itself stays.
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.retain(|key, _| !key.starts_with(PREFIX));
        annotations.extend(self.says.clone());
        annotations.extend(archive.unwrap_or_default());
        let same = spec.holder_identity.as_deref() == Some(&self.identity);
        let transitions = spec.lease_transitions.unwrap_or_default().saturating_add(i32::from(!same));
        let claim = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(DURATION.as_secs() as i32),
            acquire_time: if same { spec.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..spec
        };
        Lease { metadata, spec: Some(claim) }
    }
}
