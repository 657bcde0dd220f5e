//! What people are told: conditions, events, and texts cut to size.

pub mod conditions;
pub mod text;
pub mod warning;
