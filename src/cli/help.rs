//! The ends of the help texts: examples, environment variables, exit codes.

pub const AFTER_HELP: &str = "\
Examples:
  task-manager crd | kubectl apply --server-side -f -    install the resources
  task-manager run --http-addr 0.0.0.0:8080              operator, with REST
  task-manager follow -A                                 see all tasks, live
  task-manager follow nightly-7 && echo done             wait, in a script
  task-manager logs nightly-7 --attempt 1                what its work wrote

Environment variables:
  KUBECONFIG       the kubeconfig [default: ~/.kube/config, else in-cluster]
  TASK_MANAGER_*   for each flag of run: see \"task-manager run --help\"
  NO_COLOR         if set, no colours

Exit codes:
  0  done    1  an error    2  wrong usage    more: \"task-manager follow --help\"";

pub const AFTER_RUN: &str = "\
Examples:
  task-manager run --archive postgres://me:secret@db/tasks --http-addr [::]:8080
  TASK_MANAGER_WATCH_NAMESPACE=docs task-manager run

Environment variables:
  One for each flag, named above; the flag goes first. KUBECONFIG names the
  kubeconfig [default: ~/.kube/config, else the pod's service account].

Exit codes:
  0  ended by SIGTERM or Ctrl-C    1  an error    2  wrong usage";

pub const AFTER_CRD: &str = "\
Examples:
  task-manager crd | kubectl apply --server-side -f -
  task-manager crd --dir crds

Exit codes:
  0  done        1  a file could not be written        2  wrong usage";

pub const AFTER_LOGS: &str = "\
Examples:
  task-manager logs nightly-7 -f                      the present attempt, live
  task-manager logs nightly-7 -n docs --attempt 1     one that failed before
  task-manager logs nightly-7 --attempt 1 --server http://task-manager:8080

Exit codes:
  0  done        1  there is no such log, or an error        2  wrong usage";

pub const AFTER_WORKER: &str = "\
Examples:
  task-manager worker -- python3 page.py              in the pod of a WorkerPool
  task-manager worker --slots 4 -- ./convert          four tasks at once
  task-manager worker --once -- python3 page.py       in a Job, for its progress
  task-manager worker --install /agent                in an init container

The command finds what it finds in a Job: TASK_PAYLOAD_FILE, TASK_RESULT_FILE,
TASK_ID and the others, and TASK_PROGRESS_FILE: a percentage, or a line such as
{\"done\": 4, \"total\": 10, \"message\": \"page 4\"}; the last line counts.

Exit codes:
  0  ended by SIGTERM, or told to stop    1  an error    2  wrong usage
  127  there is no such command    with --once: that of the command";

pub const AFTER_WORKER_CHECK: &str = "\
Examples:
  task-manager worker-check -- python3 worker.py
  task-manager worker-check --addr 127.0.0.1:9000     and start it by hand

In payloads the worker finds what its work is to do: sleep for .seconds, fail
where there is .fail, with that message, else return .answer.

Exit codes:
  0  it keeps its promises    1  it breaks one, or an error    2  wrong usage";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn help_of(subcommand: &[&str]) -> String {
        let told =
            Cli::command().term_width(80).try_get_matches_from([&["task-manager"], subcommand, &["--help"]].concat());
        told.expect_err("help ends the program").to_string()
    }

    #[test]
    fn the_help_of_follow_fits_a_screen() {
        let help = help_of(&["follow"]);
        assert!(help.lines().count() <= 24, "{} lines:\n{help}", help.lines().count());
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }

    #[test]
    fn each_help_has_examples_and_exit_codes() {
        for subcommand in [&[][..], &["run"], &["crd"], &["follow"], &["logs"], &["worker"], &["worker-check"]] {
            let help = help_of(subcommand);
            assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
        }
        for text in [AFTER_HELP, AFTER_RUN, AFTER_CRD, AFTER_LOGS, AFTER_WORKER, AFTER_WORKER_CHECK] {
            assert!(text.lines().all(|line| line.chars().count() <= 80), "80 columns hold each line: {text}");
        }
        assert!(help_of(&[]).contains("KUBECONFIG") && help_of(&[]).contains("NO_COLOR"));
    }
}
