//! How a request is read: body, path, query and numbers.

pub mod extract;
pub mod field_names;
pub mod json;
pub mod numbers;
pub mod page;
