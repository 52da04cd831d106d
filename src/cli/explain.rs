//! `frontgate explain`: which route takes a request and why, what each filter decides, which pool and what it is sent. Offline.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::exit;
use crate::config;
use crate::explain::explain;

/// The request to explain.
#[derive(clap::Args)]
pub struct Arguments {
    /// The method
    method: String,
    /// An http URL, or a path
    url: String,
    /// A header, `Name: value`; may stand more than once
    #[arg(short = 'H', value_name = "K: V")]
    headers: Vec<String>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Explains it.
pub fn run(path: Option<&Path>, arguments: &Arguments) -> ExitCode {
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let _ = writeln!(std::io::stderr(), "{}", problems.render(false));
            return ExitCode::from(exit::CONFIG);
        }
    };
    match explain(loaded, &arguments.method, &arguments.url, &arguments.headers) {
        Ok(told) => {
            let text = if arguments.json { format!("{:#}\n", told.to_json()) } else { told.to_string() };
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "frontgate: {why}");
            ExitCode::from(exit::RUNTIME)
        }
    }
}
