//! `frontgate check`: reads the configuration and reports everything that is wrong with it.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use super::exit;
use crate::config;

/// How problems are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people, with the lines in question, to standard error.
    #[default]
    Human,
    /// For editors, an array on standard output.
    Json,
}

/// Checks the configuration. 0 where it has no errors, warnings or not, else 78.
pub(super) fn run(path: Option<&Path>, format: Format) -> ExitCode {
    let (found, code) = match config::load(path) {
        Ok(loaded) if loaded.warnings.refuse() => (loaded.warnings, ExitCode::from(exit::CONFIG)),
        Ok(loaded) => (loaded.warnings, ExitCode::SUCCESS),
        Err(problems) => (problems, ExitCode::from(exit::CONFIG)),
    };
    // A reader that has left wants no more of the report; the exit code says the rest.
    let _ = match format {
        Format::Json => writeln!(std::io::stdout(), "{:#}", found.to_json()),
        Format::Human if found.is_empty() => writeln!(std::io::stdout(), "the configuration is valid"),
        Format::Human => writeln!(std::io::stderr(), "{}", found.render(std::io::stderr().is_terminal())),
    };
    code
}
