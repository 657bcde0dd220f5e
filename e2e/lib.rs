//! What tests on a real node share. Nothing here decides what is right: that is said by the tests.

pub mod gate;
pub mod parts;
pub mod world;
