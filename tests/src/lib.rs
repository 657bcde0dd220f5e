//! Shared parts of tests against a real API server.

mod account;
pub mod arbitrary;
mod archive;
mod cluster;
mod fake_logs;
mod fake_node;
pub mod faults;
mod manifests;
mod metrics;
mod namespace;
mod operator;
mod patience;
mod pgbouncer;
mod postgres;
mod recorder;
pub mod records;
mod report;
mod rest;
mod tokens;
mod worker;

pub use account::{Account, Requests};
pub use archive::{Held, open_archive};
pub use cluster::{Cluster, target};
pub use fake_logs::{FakeLog, FakeLogs};
pub use fake_node::{FakeNode, Outcome, Start};
pub use manifests::{With, condition, task, task_queue, task_type};
pub use metrics::Metrics;
pub use namespace::{Namespace, in_namespace, in_namespace_of};
pub use operator::{Ended, Operator, http_get};
pub use patience::{A_MOMENT, SOON, eventually, stays};
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use recorder::{Recorder, Seen, most_at_once};
pub use rest::{Answer, Events, Following, Rest, Told};
pub use worker::Worker;
