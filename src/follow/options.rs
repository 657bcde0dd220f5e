//! The flags of `task-manager follow`, and what they say about the tasks to follow.

use std::fmt;

/// The tasks to follow, and for how long.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(after_help = AFTER_HELP)]
pub struct FollowOptions {
    /// Tasks to follow; missing ones are waited for [default: all].
    #[arg(value_name = "NAME", value_parser = name)]
    pub names: Vec<String>,

    /// Their namespace [default: the context's].
    #[arg(short, long, value_parser = namespace)]
    pub namespace: Option<String>,

    /// Tasks of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,

    /// Only with these labels: team=search,stage!=test.
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,

    /// Go on when all are final, until Ctrl-C.
    #[arg(short, long)]
    pub watch: bool,

    /// Give up after N seconds [default: never].
    #[arg(long, value_name = "N")]
    pub timeout_seconds: Option<u64>,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  all Completed     1  an error             2  wrong usage     3  time over
  4  some Failed       6  nothing to follow    130  Ctrl-C        141  no reader
  5  none Failed, but some were Cancelled, or deleted before they were final

Examples:
  task-manager follow nightly-7 && echo done
  task-manager follow -n docs -l team=search --timeout-seconds 600
  task-manager follow -A -w";

/// The namespaces that are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    One(String),
    All,
}

impl FollowOptions {
    /// Not all tasks of the namespaces that are looked at.
    pub fn follows_some(&self) -> bool {
        !self.names.is_empty() || self.selector.is_some()
    }

    /// `default` is the namespace of the kubeconfig's context.
    pub fn scope(&self, default: &str) -> Scope {
        if self.all_namespaces {
            return Scope::All;
        }
        Scope::One(self.namespace.clone().unwrap_or_else(|| default.to_owned()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(namespace) => write!(f, "namespace {namespace}"),
            Self::All => write!(f, "all namespaces"),
        }
    }
}

/// A label of DNS, as every namespace is called. The API server would answer that the whole path is not there.
fn namespace(text: &str) -> Result<String, String> {
    let is_label = is_part(text) && text.len() <= 63;
    is_label.then(|| text.to_owned()).ok_or_else(|| "a namespace has small letters, digits and \"-\" only".into())
}

fn name(text: &str) -> Result<String, String> {
    let is_name = text.split('.').all(is_part) && text.len() <= 253;
    is_name
        .then(|| text.to_owned())
        .ok_or_else(|| "a task's name has small letters, digits, \"-\" and \".\" only".into())
}

fn is_part(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(is_fine) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn parsed(flags: &[&str]) -> Result<FollowOptions, clap::Error> {
        let command = FollowOptions::augment_args(clap::Command::new("follow"));
        FollowOptions::from_arg_matches(&command.try_get_matches_from([&["follow"], flags].concat())?)
    }

    #[test]
    fn the_namespace_is_the_flag_s_else_the_context_s() {
        let scope = |flags: &[&str]| parsed(flags).expect("flags").scope("docs").to_string();
        assert_eq!(scope(&[]), "namespace docs");
        assert_eq!(scope(&["-n", "search"]), "namespace search");
        assert_eq!(scope(&["-A"]), "all namespaces");
        assert!(parsed(&["-A", "-n", "docs"]).is_err());
    }

    #[test]
    fn what_can_be_no_name_is_wrong_usage() {
        for wrong in [&["-n", "a/b"][..], &["-n", "Docs"], &["-n", ""], &["a,b"], &["a=b"], &["A"], &["-n", "a.b"]] {
            let error = parsed(wrong).expect_err("it is refused");
            assert_eq!(error.exit_code(), 2, "{wrong:?}");
            assert!(error.to_string().contains("small letters"), "{error}");
        }
        assert_eq!(parsed(&["a-1", "b.c"]).expect("names").names, ["a-1", "b.c"]);
    }
}
