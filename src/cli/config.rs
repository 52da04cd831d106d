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
use crate::reload;

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
    /// What is not the same in two configurations, files or some of the running gateway's history, and what a gateway would lose by a reload
    /// from one to the other. Exits with 4 where something is not
    Diff {
        #[command(flatten)]
        admin: Admin,
        /// The configuration to begin with, a file or the hash of one in the history; with `--live` the one that the running gateway would change
        /// to, by default that of `--config`
        #[arg(value_name = "FILE|DIR|HASH", required_unless_present = "live")]
        from: Option<PathBuf>,
        /// The other one; after a hash by default the one in force
        #[arg(value_name = "FILE|DIR|HASH", conflicts_with = "live")]
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
        /// Read the history in this directory, which is what `server.state_dir` names, without a gateway that runs
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
        /// Write the files of the configuration of this hash, or of which the hash begins so, into a directory; no file that is there is replaced
        #[arg(long, num_args = 2, value_names = ["HASH", "INTO"], requires = "state_dir")]
        write: Option<Vec<String>>,
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
        What::History { state_dir: Some(state), write: Some(write), .. } => write_kept(&state, &write),
        What::History { state_dir: Some(state), format, .. } => print(&operate::history(&reload::kept_in(&state), format)),
        What::History { admin, format, .. } => operate::run(path, &admin, &operate::Ask::History(format)),
        What::Rollback { admin, hash } => operate::run(path, &admin, &operate::Ask::Rollback(hash)),
        What::Schema => print(&config::schema::json()),
        What::Show { format, no_origin } => show(path, format.unwrap_or_default(), no_origin),
        What::Diff { admin, from, to, live, format } => {
            let sides = match (live, from, to) {
                (true, from, _) => [Side::InForce, from.or_else(|| path.map(Path::to_owned)).map_or(Side::File(None), Side::of)],
                (false, Some(from), Some(to)) => [Side::of(from), Side::of(to)],
                (false, from, _) => match from.map(Side::of) {
                    Some(hash @ Side::Kept(_)) => [hash, Side::InForce],
                    _ => return fail(exit::USAGE, ONE_FILE),
                },
            };
            diff(path, &admin, &sides).map_or_else(|code| code, |[from, to]| tell(&from, &to, format.unwrap_or_default()))
        }
    }
}

/// What is said where there is one file to compare.
const ONE_FILE: &str = "two configurations are compared: name the other one, too, or compare with what the running gateway has in force by \
                        `frontgate config diff --live FILE`";

/// A configuration that is compared.
enum Side {
    /// In files; by default those of `--config`.
    File(Option<PathBuf>),
    /// From the history of the running gateway, by how its hash begins.
    Kept(String),
    /// The one that it has in force.
    InForce,
}

impl Side {
    /// What is meant by this: a hash where nothing of this name is there.
    fn of(named: PathBuf) -> Self {
        let is_hash = |text: &&str| (4..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match named.to_str().filter(is_hash) {
            Some(hash) if !named.exists() => Self::Kept(hash.to_owned()),
            _ => Self::File(Some(named)),
        }
    }

    fn portrait(&self, path: Option<&Path>, admin: &Admin, key: Option<&str>) -> Result<Portrait, ExitCode> {
        let asked = |hash| operate::portrait(path, admin, hash, key).map_err(|why| fail(exit::UNAVAILABLE, &why));
        match self {
            Self::File(file) => {
                let key = key.map_or_else(Key::fresh, |key| Key::of(key.to_owned()));
                loaded(file.as_deref()).map(|loaded| Portrait::of(&loaded, &key))
            }
            Self::Kept(hash) => asked(Some(hash)),
            Self::InForce => asked(None),
        }
    }
}

/// Both under one key, that of the first. A file that is no good is told of before anybody is asked.
fn diff(path: Option<&Path>, admin: &Admin, [from, to]: &[Side; 2]) -> Result<[Portrait; 2], ExitCode> {
    let whose = |side: &Side| match side {
        Side::File(Some(file)) => Some(file.clone()),
        _ => path.map(Path::to_owned),
    };
    // The admin address may stand in the file that is compared.
    let place = whose(to).or_else(|| whose(from));
    let place = place.as_deref();
    if let Side::File(_) = to {
        let key = Key::fresh().text().to_owned();
        let to = to.portrait(place, admin, Some(&key))?;
        return Ok([from.portrait(place, admin, Some(&key))?, to]);
    }
    let from = from.portrait(place, admin, None)?;
    let to = to.portrait(place, admin, Some(&from.key))?;
    Ok([from, to])
}

/// Writes a configuration that was kept into a directory: its hash and that.
fn write_kept(state: &Path, write: &[String]) -> ExitCode {
    let [hash, into] = write else { return fail(exit::USAGE, "a hash and a directory are wanted") };
    match reload::write_kept(state, hash, Path::new(into)) {
        Ok(written) => {
            let lines = written.iter().map(|(from, to)| format!("{} was {from}\n", to.display()));
            let text = lines.collect::<String>()
                + "Copy them over the files that they were (`cp`, which leaves those their owner and their mode), check them there and start: paths that they name are looked for from there.\n";
            print(&text)
        }
        Err(why) => fail(exit::RUNTIME, &why),
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
