//! Hands over to the library, so that what is compiled there is not compiled again here.

use std::process::ExitCode;

use clap::Parser;
use task_manager::cli::Cli;
use task_manager::commands;

fn main() -> ExitCode {
    commands::run(Cli::parse().command)
}
