//! Sockets: one accept loop for every port, with its bounds.

pub mod health;
pub mod linger;
pub mod listener;
pub mod stall;
