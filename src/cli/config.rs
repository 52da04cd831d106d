//! `frontgate config`: the language's schema, and a configuration merged with its defaults.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::{exit, loaded};
use crate::config;

/// What is shown.
#[derive(Subcommand)]
pub(super) enum What {
    /// The configuration with its defaults; secrets are named, never shown
    Show,
    /// The JSON Schema of the language, for editors
    Schema,
}

/// Prints it.
pub(super) fn run(path: Option<&Path>, what: What) -> ExitCode {
    let text = match what {
        What::Schema => config::schema::json(),
        What::Show => match loaded(path) {
            Ok(loaded) => format!("{:#}\n", serde_json::to_value(&loaded.config).unwrap_or_default()),
            Err(code) => return code,
        },
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(exit::RUNTIME),
    }
}
