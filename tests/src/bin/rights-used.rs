//! Reads an audit log on its standard input, and fails where an operator under test was refused something; with --all,
//! also where a right of charts/task-manager/files/rights.yaml was used by none.

use std::io::stdin;
use std::process::ExitCode;

use clap::Parser;
use harness::{Audit, Rights};
use jiff::Timestamp;

#[derive(Parser)]
struct Options {
    /// The time at which the tests began: requests before it are another run's.
    #[arg(long)]
    since: Timestamp,
    /// Ask that each right was used.
    #[arg(long)]
    all: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut audit = Audit::default();
    for (number, line) in stdin().lines().map_while(Result::ok).enumerate() {
        if let Err(error) = audit.read(&line, options.since) {
            eprintln!("line {} of the audit log cannot be read: {error}", number + 1);
            return ExitCode::FAILURE;
        }
    }
    let unused = if options.all { audit.unused(Rights::of_the_chart()) } else { vec![] };
    for (group, resource, verb) in &unused {
        println!(
            "unused: {verb} {resource} of the group \"{group}\" is in rights.yaml, and no test has an operator use it"
        );
    }
    for (sentence, times) in &audit.refused {
        println!("refused {times} times: {sentence}");
    }
    println!("{} requests of operators, {} kinds of them", audit.requests, audit.used.len());
    // A log without any says nothing.
    if audit.requests > 0 && unused.is_empty() && audit.refused.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
