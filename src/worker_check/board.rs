//! What the story and the connections of its server share: what was heard, and what is answered.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use hyper::body::Bytes;
use parking_lot::Mutex;

use crate::api::worker_protocol::{Cancel, ProgressRequest, WorkError};

/// What was heard of one lease beside `next`, and what is answered to it.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub beats: Vec<(Instant, ProgressRequest)>,
    /// Content type and content of its large result.
    pub result: Option<(String, Bytes)>,
    pub error: Option<WorkError>,
    /// Its checkpoints, the last one last, and when they came.
    pub checkpoints: Vec<(Instant, Bytes)>,
}

/// The answer to heartbeats of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pulse {
    #[default]
    GoOn,
    Cancel(Cancel),
    /// The lease is over.
    Over,
    /// Nobody leads just now.
    Away,
}

/// What the story and the connections share.
#[derive(Default)]
pub struct Board {
    /// The tokens that are accepted.
    pub tokens: Mutex<HashSet<String>>,
    pub heard: Mutex<HashMap<String, Heard>>,
    pub pulses: Mutex<HashMap<String, Pulse>>,
    /// What earlier attempts have left, by the lease of the one that asks. `None`: the store is away.
    pub left: Mutex<HashMap<String, Option<Bytes>>>,
    /// The worker did what the protocol does not know.
    pub faults: Mutex<Vec<String>>,
    /// Calls with a token that is not accepted.
    pub refused: Mutex<u32>,
    pub open: Mutex<HashMap<u32, Arc<()>>>,
}
