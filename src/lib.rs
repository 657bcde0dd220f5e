//! Task Manager: a Kubernetes operator that runs asynchronous tasks. ARCHITECTURE.md is the map.

pub use task_manager_api as api;
pub use task_manager_core as core;

pub mod agent;
pub mod archive;
pub mod bounded;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod controller;
pub mod errors;
pub mod follow;
pub mod live;
pub mod logs;
pub mod metrics;
pub mod operator;
pub mod rest;
pub mod serving;
pub mod telemetry;
pub mod worker_check;
pub mod workers;

#[cfg(test)]
mod structure {
    //! Keeps the direction of dependencies true. `core` and `api` are crates of their own, which the compiler keeps.

    use std::fs;
    use std::path::{Path, PathBuf};

    const ALL: [&str; 20] = [
        "agent",
        "api",
        "archive",
        "bounded",
        "cli",
        "cluster",
        "commands",
        "controller",
        "core",
        "errors",
        "follow",
        "live",
        "logs",
        "metrics",
        "operator",
        "rest",
        "serving",
        "telemetry",
        "worker_check",
        "workers",
    ];

    /// What each part may use beside itself.
    const MAY_USE: [(&str, &[&str]); 12] = [
        ("agent", &["api", "errors"]),
        ("archive", &["api", "core"]),
        ("cluster", &["api", "errors", "metrics"]),
        ("metrics", &["api", "core"]),
        ("controller", &["api", "archive", "bounded", "cluster", "core", "errors", "live", "metrics"]),
        ("follow", &["api", "core", "errors"]),
        ("live", &["api", "core"]),
        ("logs", &["api", "core", "errors"]),
        ("rest", &["api", "archive", "bounded", "cluster", "core", "live", "metrics", "serving"]),
        ("serving", &["metrics"]),
        ("worker_check", &["api"]),
        ("workers", &["api", "archive", "bounded", "cluster", "core", "live", "metrics", "serving"]),
    ];

    fn sources(part: &str) -> Vec<(PathBuf, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut pending = vec![root.join(part), root.join(format!("{part}.rs"))];
        let mut found = Vec::new();
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                pending.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path, text));
            }
        }
        assert!(!found.is_empty(), "there is no part {part}");
        found
    }

    /// The parts that a source names: in `crate::part`, and in `crate::{part, other::{this, that}}`.
    fn named_parts(text: &str) -> Vec<&str> {
        let paths = text.split("crate::").skip(1);
        paths.flat_map(|rest| rest.strip_prefix('{').map_or_else(|| vec![first_word(rest)], of_group)).collect()
    }

    fn first_word(text: &str) -> &str {
        let text = text.trim_start();
        let is_of_a_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        text.split(|c| !is_of_a_name(c)).next().unwrap_or_default()
    }

    /// The first word of each item of a group, of which the brace that opens it is gone.
    fn of_group(text: &str) -> Vec<&str> {
        let mut words = vec![first_word(text)];
        let mut depth = 1;
        for (at, character) in text.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => words.push(first_word(&text[at + 1..])),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        words
    }

    #[test]
    fn a_part_is_found_in_whatever_way_it_is_named() {
        let text = "use crate::rest;\nuse crate::{api, core::{self, controller}, metrics as m};\nlet x = crate::cluster::lease::Y;";
        assert_eq!(named_parts(text), ["rest", "api", "core", "metrics", "cluster"]);
        assert_eq!(named_parts("use crate::{\n    api::Task,\n    health,\n};\n"), ["api", "health", ""]);
    }

    /// The text of all sources, tests included.
    fn all_sources() -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut pending = ["src", "tests", "e2e"].map(|folder| root.join(folder)).to_vec();
        let mut text = String::new();
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                pending.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text += &fs::read_to_string(&path).expect("a source");
            }
        }
        text
    }

    #[test]
    fn the_tests_that_the_map_names_exist() {
        let map = include_str!("../ARCHITECTURE.md");
        let names = map.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() > 3);
        let named: Vec<_> = names.filter(|word| word.chars().all(|c| c == '_' || c.is_ascii_lowercase())).collect();
        let sources = all_sources();
        assert!(named.len() > 15, "the map names {} tests", named.len());
        for name in named {
            assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
        }
    }

    #[test]
    fn the_files_that_the_documents_name_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for document in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
            let text = fs::read_to_string(root.join(document)).expect("a document");
            let is_path = |word: &&str| {
                let is_of_a_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
                word.contains('/') && !word.starts_with('/') && word.chars().all(is_of_a_path)
            };
            let paths: Vec<_> = text.split('`').skip(1).step_by(2).filter(is_path).collect();
            assert!(paths.len() > 10, "{document} names {} files", paths.len());
            for path in paths.into_iter().filter(|path| !path.starts_with("target/")) {
                let places = [root.join(path), root.join("src").join(path)];
                assert!(places.iter().any(|place| place.exists()), "{document} names {path}, which is not there");
            }
        }
    }

    #[test]
    fn every_part_of_the_product_is_looked_at() {
        let this = include_str!("lib.rs");
        let declared = this.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        let missing: Vec<_> = declared.filter(|part| !ALL.contains(part)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "parts whose direction nobody checks");
    }

    #[test]
    fn dependencies_point_one_way() {
        for (part, allowed) in MAY_USE {
            for (path, text) in sources(part) {
                for other in named_parts(&text).into_iter().filter(|other| ALL.contains(other) && *other != part) {
                    assert!(allowed.contains(&other), "{} uses {other}, which {part} must not", path.display());
                }
            }
        }
    }
}
