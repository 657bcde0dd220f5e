//! Tests against a real etcd and kube-apiserver. Job controller, kubelet and garbage collector are played.

mod admission;
mod archive;
mod bad_input;
mod cancelling;
mod costs;
mod executors;
mod faults;
mod forgery;
mod fuzz;
mod launches;
mod leader;
mod lifecycle;
mod order;
mod orphans;
mod policies;
mod process;
mod rest;
mod retries;
mod run_ids;
mod schema;
mod schema_changes;
mod stage;
mod statuses;
mod waiting;
mod worker;
mod writes;
