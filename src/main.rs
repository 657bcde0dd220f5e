//! Calls the library, so that nothing is compiled twice.

use std::process::ExitCode;

use clap::Parser;
use task_manager::cli::Cli;
use task_manager::commands;

fn main() -> ExitCode {
    commands::run(Cli::parse().command)
}
