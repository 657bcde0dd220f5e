//! How a request is read: its id, key, query, numbers and times. Bodies of JSON are read in `serving`, as on every port.

pub mod field_names;
pub mod id;
pub mod key;
pub mod numbers;
pub mod page;
pub mod query;
pub mod time;
