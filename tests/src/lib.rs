//! What tests against a real API server share.
//!
//! A test tells its story inside [`in_namespace`]: it creates objects, starts an [`Operator`] for its own
//! namespace, and awaits what should follow with [`eventually`], or shows with [`stays`] that something does
//! not happen. Where there is no node, a [`FakeNode`] plays the Job controller, the kubelet and the garbage
//! collector by a script that the test gives. A [`Recorder`] keeps every version of some objects, for what
//! must hold at every moment. An operator with an [`Account`] of its own is not the administrator, and the API
//! server counts its requests. A [`Postgres`] is a database server that a test may stop and freeze. A [`Worker`] speaks for a pod.
//!
//! Nothing here decides what is right: that is said by the tests.

mod account;
pub mod arbitrary;
mod archive;
mod cluster;
mod fake_node;
pub mod faults;
mod manifests;
mod metrics;
mod namespace;
mod operator;
mod patience;
mod postgres;
mod recorder;
pub mod records;
mod report;
mod rest;
mod tokens;
mod worker;

pub use account::{Account, Requests};
pub use archive::Held;
pub use cluster::{Cluster, target};
pub use fake_node::{FakeNode, Outcome, Start};
pub use manifests::{With, condition, task, task_queue, task_type};
pub use metrics::Metrics;
pub use namespace::{Namespace, in_namespace, in_namespace_of};
pub use operator::{Ended, Operator, http_get};
pub use patience::{A_MOMENT, SOON, eventually, stays};
pub use postgres::Postgres;
pub use recorder::{Recorder, Seen, most_at_once};
pub use rest::{Answer, Events, Rest, Told};
pub use worker::Worker;
