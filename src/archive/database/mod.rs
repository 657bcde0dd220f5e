//! Access to a database: its URL, connections, statements, migrations and errors. Knows nothing of records.

pub mod connections;
pub mod durability;
pub mod error;
mod file_system;
pub mod id;
pub mod location;
pub mod migrations;
pub mod statement;
