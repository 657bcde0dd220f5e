//! Questions to the API server that must be answered before anything is decided.

use super::{Child, TimeLimits};

/// The next question. It is asked, the answer goes into the input, and the core is asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// The pods of the Job of this name.
    PodsOf(String),
    /// The Job, or bare pod, of this name, as which the attempt was launched.
    Launched {
        kind: Child,
        name: String,
    },
    /// The pod of this name and uid. The watch no longer shows it, and nobody was seen to delete it: it may have lost our label.
    Pod {
        name: String,
        uid: String,
    },
    /// The worker's pod of this name and uid.
    Worker {
        name: String,
        uid: String,
    },
    /// The events of the object of this uid.
    EventsOf(String),
    /// The events of the pod of this uid, whose work has ended: they may tell for what. It is judged without them where they
    /// do not come.
    EventsOfEnd(String),
    /// The node of this name: does it answer?
    Node(String),
}

impl Needs {
    /// How many questions are asked for one decision at most: none is asked twice.
    pub const MOST: usize = 4 + NODES;
}

/// How many nodes are asked for before one decision. A task has pods on several where one node after another went silent;
/// of the others it is then not known whether they answer.
pub const NODES: usize = 16;

/// Which questions have been answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    pub pods: bool,
    pub launched: bool,
    pub worker: bool,
    pub events: bool,
    pub pod: bool,
    /// That pod is there, and the watch does not show it.
    pub is_unwatched: bool,
    /// How many nodes were asked for.
    pub nodes: usize,
}

/// The plans of the task's life for the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// It is to be ended.
    pub ends: bool,
    pub limits: TimeLimits,
}
