//! Facts: the few fields of a Job and of a pod that decisions depend on, read out of the whole objects. The caches keep
//! nothing else of them. Never judges how an attempt ended.

pub mod container;
mod containers;
pub mod events;
mod events_read;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod job;
pub mod kills;
pub mod observed;
pub mod pod;
mod pod_ages;
pub mod worker;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube_core::ResourceExt;

use crate::Reason;
use crate::launch::holds::Holds;

pub use events::{PodEvent, Stuck, counts_ended_ones, no_pod};
pub use events_read::EventsRead;
pub use job::{JobEnd, JobFacts, JobSeen};
pub use observed::{LogOf, Observed, Unanswered, belongs_to};
pub use pod::{BarePod, NodeState, Phase, PodAsked, PodFacts, Work};
pub use pod_ages::PodSeen;

/// A Job or pod that has been stuck for so long is looked into, and the status says so.
pub const TOLD_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// A slot without a pod to show for it is given back after so long.
pub const GIVEN_BACK_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// A reason, in one word and in a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    pub reason: Reason,
    pub message: String,
}

impl Why {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

fn controller(child: &impl ResourceExt) -> Option<&OwnerReference> {
    child.owner_references().iter().find(|owner| owner.controller == Some(true))
}

fn controller_uid(child: &impl ResourceExt) -> Option<String> {
    controller(child).map(|owner| owner.uid.clone())
}

fn created_at(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

fn holds(annotation: Option<&String>) -> Option<Holds> {
    serde_json::from_str(annotation?).ok()
}
