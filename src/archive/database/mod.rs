//! How records reach a database: its URL, connections, statements, migrations and errors.

pub mod connections;
pub mod error;
pub mod migrations;
pub mod place;
pub mod statement;
