//! Chooses a subcommand.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use task_manager::cli::{Cli, Command};
use task_manager::{api, follow, operator, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("task-manager: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Run(options) => {
            telemetry::start(options.log_format, &options.log)?;
            operator::run(options).await?;
        }
        Command::Crd(options) => print_crds(options.dir.as_deref())?,
        Command::Follow(options) => {
            let client = kube::Client::try_default().await.map_err(operator::Error::Config)?;
            return Ok(follow::follow(client, &options).await?.exit_code().into());
        }
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
