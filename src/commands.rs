//! Chooses a subcommand.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::Command;
use crate::errors::chain;
use crate::{agent, api, follow, logs, operator, telemetry, worker_check};

/// Runs a subcommand to its end. Prints an error as a sentence.
pub fn run(command: Command) -> ExitCode {
    choose(command).unwrap_or_else(|error| {
        eprintln!("task-manager: {}", chain(error.as_ref()));
        ExitCode::FAILURE
    })
}

#[tokio::main]
async fn choose(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Run(options) => {
            telemetry::start(options.log_format, &options.log)?;
            operator::run(options).await?;
        }
        Command::Crd(options) => print_crds(options.dir.as_deref())?,
        Command::Reasons => print!("{}", api::reasons_as_markdown()),
        Command::Follow(options) => {
            let client = kube::Client::try_default().await.map_err(operator::Error::Config)?;
            return Ok(follow::follow(client, &options).await?.exit_code().into());
        }
        Command::Logs(options) => {
            let client = kube::Client::try_default().await.map_err(operator::Error::Config)?;
            logs::logs(client, &options).await?;
        }
        Command::Worker(options) => return Ok(agent::run(options).await?),
        Command::WorkerCheck(options) => return Ok(worker_check::run(options).await?),
    }
    Ok(ExitCode::SUCCESS)
}

fn print_crds(dir: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    for (name, yaml) in api::crd_files()? {
        match dir {
            Some(dir) => std::fs::write(dir.join(name), yaml)?,
            None => print!("{yaml}"),
        }
    }
    Ok(())
}
