//! `frontgate check`: reads the configuration, opens what `run` would open, and reports everything that is wrong.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use super::exit;
use crate::{config, snapshot};

/// How a configuration is checked.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// How problems are shown; by default for people
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Do not open secrets, keys and logs: for machines that do not have them
    #[arg(long)]
    no_files: bool,
    /// Warnings are errors, too
    #[arg(long)]
    strict: bool,
}

/// How problems are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people, with the lines in question, to standard error.
    #[default]
    Human,
    /// For editors, an array on standard output.
    Json,
}

/// Checks the configuration. 0 where it can be used, else 78.
pub(super) fn run(path: Option<&Path>, options: &Options) -> ExitCode {
    let checked = config::load(path).and_then(|loaded| if options.no_files { Ok(loaded) } else { snapshot::opened(loaded) });
    let (found, is_valid) = match checked {
        Ok(loaded) => {
            let is_valid = !loaded.warnings.refuse();
            (loaded.warnings, is_valid)
        }
        Err(problems) => (problems, false),
    };
    let too_strict = is_valid && options.strict && !found.is_empty();
    let is_valid = is_valid && !too_strict;
    // A reader that has left wants no more of the report; the exit code says the rest.
    let _ = match options.format.unwrap_or_default() {
        Format::Json => writeln!(std::io::stdout(), "{:#}", found.to_json()),
        Format::Human => tell(&found, is_valid, too_strict),
    };
    if is_valid { ExitCode::SUCCESS } else { ExitCode::from(exit::CONFIG) }
}

fn tell(found: &config::diagnostics::Diagnostics, is_valid: bool, too_strict: bool) -> std::io::Result<()> {
    if !found.is_empty() {
        writeln!(std::io::stderr(), "{}", found.render(std::io::stderr().is_terminal()))?;
    }
    if too_strict {
        writeln!(std::io::stderr(), "the configuration could be used: its warnings fail with `--strict`")?;
    }
    if is_valid { writeln!(std::io::stdout(), "the configuration is valid") } else { Ok(()) }
}
