//! The page of the commands, their arguments and their exit codes.

use clap::{Arg, Command};

use super::markdown::{code, table};
use super::source::{body, documented};
use crate::cli;

const CLI: &str = include_str!("../cli/mod.rs");

/// The one argument that every command takes.
const CONFIG: &str = "config";

/// How an argument is written: `-c, --config <FILE|DIR>`, `<FILTER>`.
fn written(arg: &Arg) -> String {
    let mut names: Vec<String> = Vec::new();
    names.extend(arg.get_short().map(|short| format!("-{short}")));
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    let takes = arg.get_num_args().is_some_and(|number| number.takes_values());
    let values: Vec<String> = arg.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect();
    match (names.is_empty(), takes) {
        (true, _) => values.join(" "),
        (false, true) => format!("{} {}", names.join(", "), values.join(" ")),
        (false, false) => names.join(", "),
    }
}

/// What an argument is for, which values it takes, and which one it has by default.
fn about(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let takes = arg.get_num_args().is_some_and(|number| number.takes_values());
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| takes && !value.is_hide_set())
        .map(|value| value.get_help().map_or(code(value.get_name()), |help| format!("{} ({help})", code(value.get_name()))))
        .collect();
    if !values.is_empty() {
        text += &format!(": {}", values.join(", "));
    }
    let defaults: Vec<String> = arg.get_default_values().iter().filter(|_| takes).map(|value| code(&value.to_string_lossy())).collect();
    if !defaults.is_empty() {
        text += &format!("; by default {}", defaults.join(", "));
    }
    text
}

fn arguments(command: &Command, takes: &dyn Fn(&Arg) -> bool) -> String {
    let rows: Vec<Vec<String>> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str()) && takes(arg))
        .map(|arg| vec![code(&written(arg)), about(arg)])
        .collect();
    table(&["argument", "meaning"], &rows)
}

/// A section for each command, and for each command of a command.
fn sections(command: &mut Command, name: &str, page: &mut String) {
    for inner in command.get_subcommands_mut().filter(|inner| !inner.is_hide_set()) {
        let name = format!("{name} {}", inner.get_name());
        let usage = inner.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage:").trim();
        *page += &format!("\n## {name}\n\n{}.\n\n```\n{usage}\n```\n", inner.get_about().map(ToString::to_string).unwrap_or_default());
        let arguments = arguments(inner, &|arg| arg.get_id() != CONFIG);
        if !arguments.is_empty() {
            *page += &format!("\n{arguments}");
        }
        sections(inner, &name, page);
    }
}

fn exit_codes() -> String {
    let mut rows = vec![vec!["0".to_owned(), "It did what it was asked to.".to_owned()]];
    for (about, line) in documented(&body(CLI, "mod exit {")) {
        let number = line.split_once("= ").map(|(_, number)| number.trim_end_matches(';').to_owned());
        rows.extend(number.map(|number| vec![number, about]));
    }
    rows.sort_by_key(|row| row[0].parse::<u8>().unwrap_or(u8::MAX));
    table(&["exit code", "meaning"], &rows)
}

/// The page.
pub(super) fn page() -> String {
    let mut command = cli::command();
    command.build();
    let mut page = format!(
        "# Commands\n\n{}\n\n{}\n\n## For every command\n\n{}\n{}\n## frontgate\n\nWithout a command it is `run`, with `-t` it is `check`.\n\n{}",
        super::MADE,
        command.get_about().map(ToString::to_string).unwrap_or_default(),
        arguments(&command, &|arg| arg.get_id() == CONFIG),
        exit_codes(),
        arguments(&command, &|arg| arg.get_id() != CONFIG)
    );
    sections(&mut command, "frontgate", &mut page);
    page
}

#[test]
fn every_command_and_argument_has_its_words() {
    fn check(command: &Command) {
        assert!(command.get_about().is_some(), "`{}` has no words", command.get_name());
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            assert!(arg.get_help().is_some(), "`{}` of `{}` has no words", arg.get_id(), command.get_name());
        }
        command.get_subcommands().for_each(check);
    }

    let mut command = cli::command();
    command.build();

    check(&command);
}
