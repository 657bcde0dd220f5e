//! Shared parts of tests on a real node. The tests decide what is right.

pub mod gate;
pub mod parts;
pub mod world;
