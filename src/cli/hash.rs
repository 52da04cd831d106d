//! `frontgate hash`: a value as the access log shows it, so that what one person saw can be found.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use frontgate_filters::filter::pseudonym::Pseudonyms;

use super::{Admin, operate};
use crate::config;

/// Prints it: by the configuration's own key where it has one that can be read, else as the running gateway says.
pub(super) fn run(path: Option<&Path>, admin: &Admin, value: &str) -> ExitCode {
    let loaded = config::load(path).ok();
    let key = loaded.as_ref().and_then(|loaded| loaded.secret(&loaded.config.telemetry.hash_key.as_ref()?.value).ok());
    match key.and_then(|key| Pseudonyms::keyed(key.as_bytes()).ok()) {
        Some(names) => {
            let _ = writeln!(std::io::stdout(), "{}", names.of(value));
            ExitCode::SUCCESS
        }
        None => operate::hash(path, admin, value),
    }
}
