//! The life of tasks on a real node: real containers, a real kubelet, and the operator as a process.
//!
//! Each test has a [`World`](e2e::world::World) of its own, so all may run at once; most of their time they wait
//! for the node. Run them with several threads (`RUST_TEST_THREADS=8`): two cores do.

mod before_the_work;
mod checkpoints;
mod clocks;
mod disk;
mod disturbances;
mod failures;
mod installed;
mod limit_ranges;
mod logs;
mod memory;
mod neighbours;
mod operator_restarts;
mod order;
mod policies;
mod pools;
mod probes;
mod pulls;
mod quotas;
mod refused_by_node;
mod replicas;
mod reruns;
mod samples;
mod silence;
mod starts;
mod stopping;
mod suspended_jobs;
mod template_kept;
mod users;
mod what_the_work_says;
mod what_the_work_sees;
mod work_and_helpers;
