//! The life of tasks on a real node.
