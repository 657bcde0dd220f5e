//! Ports and answers: one accept loop for every port, with its bounds; how bodies are read, and how problems are told.

pub mod body;
pub mod health;
pub mod json;
pub mod limits;
pub mod linger;
pub mod listener;
pub mod problem;
