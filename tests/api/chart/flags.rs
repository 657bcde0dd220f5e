//! The operator's container is started with flags that the program knows, and with values that it takes.

use std::collections::BTreeMap;

use clap::{ArgAction, CommandFactory, Parser};
use serde_json::Value;
use task_manager::cli::Cli;

use super::{list, matrix, pod, rendered};

/// The variables of the operator's container with their values; one that comes from elsewhere has an example.
fn variables(objects: &[Value]) -> BTreeMap<String, String> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for variable in list(&pod(objects)["containers"][0]["env"]) {
        let name = variable["name"].as_str().expect("a name").to_owned();
        let mut value = match (&variable["value"], &variable["valueFrom"]) {
            (Value::String(value), Value::Null) => value.clone(),
            (Value::Null, from) if from["fieldRef"]["fieldPath"] == "status.podIP" => "10.0.0.7".into(),
            (Value::Null, from) if from.get("fieldRef").is_some() => "a-name".into(),
            (Value::Null, from) if from.get("secretKeyRef").is_some() => "postgres://me@db/tasks".into(),
            other => panic!("{name}: {other:?}"),
        };
        // The kubelet puts in those that stand before it.
        for (name, before) in &known {
            value = value.replace(&format!("$({name})"), before);
        }
        assert!(!value.contains("$("), "{name}: {value} names what does not stand before it");
        known.insert(name, value);
    }
    known
}

/// Flag and action of each variable that `task-manager run` reads.
fn flags() -> BTreeMap<String, (String, bool)> {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("there is run");
    let of = |argument: &clap::Arg| {
        let variable = argument.get_env()?.to_str()?.to_owned();
        let takes_nothing = matches!(argument.get_action(), ArgAction::SetTrue);
        Some((variable, (format!("--{}", argument.get_long()?), takes_nothing)))
    };
    run.get_arguments().filter_map(of).collect()
}

#[test]
fn each_variable_of_the_operator_is_a_flag_that_takes_its_value() {
    let flags = flags();
    for file in matrix() {
        let objects = rendered(&file);
        let mut words = vec!["task-manager".to_owned()];
        words
            .extend(list(&pod(&objects)["containers"][0]["args"]).iter().map(|word| word.as_str().unwrap().to_owned()));
        for (name, value) in variables(&objects).iter().filter(|(name, _)| name.starts_with("TASK_MANAGER_")) {
            let (flag, takes_nothing) = flags.get(name).unwrap_or_else(|| panic!("{file}: nobody reads {name}"));
            words.push(if *takes_nothing { flag.clone() } else { format!("{flag}={value}") });
        }
        if let Err(error) = Cli::try_parse_from(&words) {
            panic!("{file}: {error}");
        }
    }
}

#[test]
fn each_flag_of_the_operator_can_be_set_by_a_value_of_the_chart() {
    let set = variables(&rendered("everything.yaml"));
    let namespaced = variables(&rendered("namespaced.yaml"));
    let missing: Vec<_> =
        flags().into_keys().filter(|name| !set.contains_key(name) && !namespaced.contains_key(name)).collect();
    // Made of POD_IP.
    assert_eq!(missing, ["TASK_MANAGER_ADVERTISE_URL"]);
}

#[test]
fn the_chart_leaves_the_flags_as_they_are_where_nothing_is_said() {
    let set = variables(&rendered("default.yaml"));
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("there is run");
    for argument in run.get_arguments() {
        let (Some(variable), [default]) = (argument.get_env(), argument.get_default_values()) else { continue };
        let Some(value) = variable.to_str().and_then(|variable| set.get(variable)) else { continue };
        let chosen = ["TASK_MANAGER_ARCHIVE", "TASK_MANAGER_LOG_FORMAT"].map(Some).contains(&variable.to_str());
        assert!(chosen || *value == *default.to_string_lossy(), "{variable:?}: {value}, and the flag {default:?}");
    }
}
