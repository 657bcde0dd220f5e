//! Ports and answers: one accept loop for every port, with its bounds; how bodies are read, and how problems are told.

pub mod body;
mod connection;
mod connections;
pub mod health;
pub mod json;
pub mod limits;
pub mod linger;
pub mod listener;
pub mod manners;
pub mod per_peer;
pub mod problem;
pub mod problem_pages;
mod problem_types;
