//! The measurements of one run, which the process of that run prints as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The figures of a run, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Measurements {
    pub figures: BTreeMap<String, f64>,
    /// CPU milliseconds, of a task or Job, by process.
    pub cpu: BTreeMap<String, f64>,
    /// Mutating requests, of a task or Job, by verb and resource.
    pub requests: BTreeMap<String, f64>,
}
