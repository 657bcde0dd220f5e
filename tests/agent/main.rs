//! Tests of warm workers without a cluster: the agent, and the clients of docs/worker-clients, against an operator that plays
//! stories.

mod checkpoints;
mod clients;
mod ends;
mod life;
mod losses;
mod once;
mod stage;
mod words;
