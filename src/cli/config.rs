//! `frontgate config`: the language's schema, a configuration merged with its defaults, and what the running gateway had in force before.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::check::Format;
use super::{Admin, exit, loaded, operate};
use crate::config;

/// What is shown.
#[derive(Subcommand)]
pub(super) enum What {
    /// The configuration with its defaults; secrets are named, never shown
    Show,
    /// The JSON Schema of the language, for editors
    Schema,
    /// The configurations that the running gateway accepted of late, the last one first; kept where there is `server.state_dir`
    History {
        #[command(flatten)]
        admin: Admin,
        /// For people, or as JSON for programs
        #[arg(long, value_enum, default_value = "human")]
        format: Format,
    },
    /// Put a configuration from the history in force; it stays until the files change or are reloaded
    Rollback {
        #[command(flatten)]
        admin: Admin,
        /// Its hash, or how that begins; by default the one before the one in force
        hash: Option<String>,
    },
}

/// Prints it.
pub(super) fn run(path: Option<&Path>, what: What) -> ExitCode {
    let text = match what {
        What::History { admin, format } => return operate::run(path, &admin, &operate::Ask::History(format)),
        What::Rollback { admin, hash } => return operate::run(path, &admin, &operate::Ask::Rollback(hash)),
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
