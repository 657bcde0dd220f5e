//! Texts for people: conditions, events, and shortening. Never decides what happens.

pub mod conditions;
pub mod text;
pub mod warning;
