//! Texts for people: conditions, events, and shortening. Never decides what happens.

pub mod conditions;
pub mod runtime_words;
pub mod text;
pub mod wait;
pub mod warning;
