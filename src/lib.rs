//! Task Manager: a Kubernetes operator that runs asynchronous tasks. ARCHITECTURE.md is the map.

pub mod api;
pub mod cli;
pub mod controller;
pub mod core;
pub mod follow;
pub mod health;
pub mod metrics;
pub mod operator;
pub mod telemetry;
