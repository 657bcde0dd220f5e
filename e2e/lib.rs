//! Shared parts of tests on a real node. The tests decide what is right.

pub mod cable;
pub mod client;
pub mod cluster_wide;
pub mod containers;
pub mod gate;
pub mod installed;
pub mod parts;
pub mod pods;
pub mod previous;
pub mod program;
pub mod registry;
pub mod told;
pub mod warm;
pub mod webhook;
pub mod world;
