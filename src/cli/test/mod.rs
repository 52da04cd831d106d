//! `frontgate test`: cases in YAML, each a request or several with what is expected of them, played offline through the gateway itself.

mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::report::{Format, Report};
use super::{exit, fail, refused};
use crate::config;
use crate::suite::{self, Read};

/// What is tested.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Files of cases
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the results are shown; by default for people
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only the cases whose names hold this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
}

/// A file of cases with the configuration that it is about.
struct Chosen {
    read: Read,
    /// The cases that were chosen.
    cases: Vec<usize>,
    config: Option<PathBuf>,
}

/// Plays the cases. 0 where all is as expected, 1 where something is not, 78 where a file cannot be used.
pub(super) fn run(path: Option<&Path>, arguments: &Arguments) -> ExitCode {
    let mut chosen = Vec::new();
    for file in &arguments.files {
        let read = match suite::read(file) {
            Ok(read) => read,
            Err(problems) => return refused(&problems),
        };
        let config = path.map(Path::to_owned).or_else(|| read.config());
        let loaded = match config::load(config.as_deref()) {
            Ok(loaded) => loaded,
            Err(problems) => return refused(&problems),
        };
        if let Some(problems) = read.check(&loaded) {
            return refused(&problems);
        }
        let wanted = |name: &str| arguments.filter.as_ref().is_none_or(|part| name.contains(part.as_str()));
        let cases = read.names().enumerate().filter(|(_, name)| wanted(name)).map(|(index, _)| index).collect();
        chosen.push(Chosen { read, cases, config });
    }
    let count = chosen.iter().map(|chosen| chosen.cases.len()).sum();
    if count == 0 {
        let which = arguments.filter.as_ref().map(|part| format!(" whose name holds `{part}`")).unwrap_or_default();
        return fail(exit::RUNTIME, &format!("there is no case{which}"));
    }
    let mut report = Report::new(arguments.format.unwrap_or_default(), count);
    let mut failed = false;
    for (file, Chosen { read, cases, config }) in arguments.files.iter().zip(&chosen) {
        report.begin(file);
        for index in cases {
            // Read anew for each: a gateway takes its configuration with it.
            let loaded = match config::load(config.as_deref()) {
                Ok(loaded) => loaded,
                Err(problems) => return refused(&problems),
            };
            let began = std::time::Instant::now();
            match read.play(*index, loaded) {
                Ok(tested) => {
                    failed |= !tested.failures.is_empty();
                    report.add(&tested, began.elapsed());
                }
                Err(why) => return fail(exit::CONFIG, &why),
            }
        }
    }
    report.end();
    if failed { ExitCode::from(exit::RUNTIME) } else { ExitCode::SUCCESS }
}
