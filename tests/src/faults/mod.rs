//! Faults between operator and API server, for tests of what follows from them.
//!
//! A [`Wire`] is built into the real client's HTTP stack. It numbers what passes, requests and lines of watches,
//! and at the [`Point`] that its [`Plan`] names it does what a network, an API server or a crash can do. A
//! [`WiredOperator`] is the whole operator on such a wire, which begins anew whenever the wire ends it.

mod behind;
mod events;
mod layer;
mod operator;
mod point;
mod unreadable;
mod wire;

pub use operator::WiredOperator;
pub use point::{Kind, Point};
pub use wire::{EventFault, Fault, Passed, Plan, Wire};
