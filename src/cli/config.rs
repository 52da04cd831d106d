//! `frontgate config`: the language's schema, a configuration with its defaults, what is not the same in two of them, and what the running
//! gateway had in force before.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::check::Format;
use super::{Admin, exit, fail, loaded, operate};
use crate::changes::{Key, Portrait, difference};
use crate::config::{self, show};

/// What is shown.
#[derive(Subcommand)]
pub(super) enum What {
    /// All of the configuration in one, with its defaults, each line with where it comes from; secrets are named, never shown
    Show {
        /// The form; by default YAML
        #[arg(long, value_enum)]
        format: Option<ShowFormat>,
        /// Leave out where values come from
        #[arg(long)]
        no_origin: bool,
    },
    /// The JSON Schema of the language, for editors
    Schema,
    /// What is not the same in two configurations, and what a gateway would lose by a reload from one to the other. Exits with 4 where
    /// something is not
    Diff {
        #[command(flatten)]
        admin: Admin,
        /// The configuration to begin with; with `--live` the one that the running gateway would change to, by default that of `--config`
        #[arg(value_name = "FILE|DIR", required_unless_present = "live")]
        from: Option<PathBuf>,
        /// The other one
        #[arg(value_name = "FILE|DIR", required_unless_present = "live", conflicts_with = "live")]
        to: Option<PathBuf>,
        /// Begin with what the running gateway has in force, asked through its admin address
        #[arg(long)]
        live: bool,
        /// The form; by default for people
        #[arg(long, value_enum)]
        format: Option<DiffFormat>,
    },
    /// The configurations that the running gateway accepted of late, the last one first; kept where there is `server.state_dir`
    History {
        #[command(flatten)]
        admin: Admin,
        /// For people, or as JSON for programs
        #[arg(long, value_enum, default_value = "human")]
        format: Format,
    },
    /// Put a configuration from the history in force; it stays until the files change in meaning or are reloaded
    Rollback {
        #[command(flatten)]
        admin: Admin,
        /// Its hash, or how that begins; by default the one before the one in force
        hash: Option<String>,
    },
}

/// How a configuration is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ShowFormat {
    /// A configuration again.
    #[default]
    Yaml,
    /// `config`, and `origins` by path.
    Json,
}

/// How a difference is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum DiffFormat {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
}

/// Does it.
pub(super) fn run(path: Option<&Path>, what: What) -> ExitCode {
    match what {
        What::History { admin, format } => operate::run(path, &admin, &operate::Ask::History(format)),
        What::Rollback { admin, hash } => operate::run(path, &admin, &operate::Ask::Rollback(hash)),
        What::Schema => print(&config::schema::json()),
        What::Show { format, no_origin } => show(path, format.unwrap_or_default(), no_origin),
        What::Diff { admin, from, to, live: false, format } => {
            let _ = admin;
            let key = Key::fresh();
            let portrait = |path: Option<&Path>| loaded(path).map(|loaded| Portrait::of(&loaded, &key));
            match (portrait(from.as_deref()), portrait(to.as_deref())) {
                (Ok(from), Ok(to)) => tell(&from, &to, format.unwrap_or_default()),
                (Err(code), _) | (_, Err(code)) => code,
            }
        }
        What::Diff { admin, from, live: true, format, .. } => {
            let path = from.as_deref().or(path);
            let to = match loaded(path) {
                Ok(loaded) => loaded,
                Err(code) => return code,
            };
            match operate::in_force(path, &admin) {
                Ok(from) => {
                    let to = Portrait::of(&to, &Key::of(from.key.clone()));
                    tell(&from, &to, format.unwrap_or_default())
                }
                Err(why) => fail(exit::UNAVAILABLE, &why),
            }
        }
    }
}

fn show(path: Option<&Path>, format: ShowFormat, no_origin: bool) -> ExitCode {
    let loaded = match loaded(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let shown = show::shown(&loaded);
    match (format, no_origin) {
        (ShowFormat::Yaml, no_origin) => print(&shown.to_yaml(!no_origin)),
        (ShowFormat::Json, true) => print(&format!("{:#}\n", serde_json::json!({"config": shown.to_json()}))),
        (ShowFormat::Json, false) => print(&format!("{:#}\n", serde_json::json!({"config": shown.to_json(), "origins": shown.origins()}))),
    }
}

/// Tells what is not the same; the exit code says whether anything is.
fn tell(from: &Portrait, to: &Portrait, format: DiffFormat) -> ExitCode {
    let difference = difference(from, to);
    let text = match format {
        DiffFormat::Human => {
            let rolled_back = difference.rolled_back.as_ref().and_then(operate::rolled_back);
            format!("{difference}{}", rolled_back.map(|told| format!("\n{told}")).unwrap_or_default())
        }
        DiffFormat::Json => format!("{:#}\n", serde_json::to_value(&difference).unwrap_or_default()),
    };
    // A reader that has left wants no more of it; the exit code says the rest.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if difference.changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::DIFFERS) }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(exit::RUNTIME),
    }
}
