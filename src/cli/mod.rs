//! What people type: one file a command.

pub mod check;
mod config;
mod demo;
mod explain;
mod operate;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A BFF edge gateway: routes, filters and pools from one YAML file.
#[derive(Parser)]
#[command(name = "frontgate", version, disable_help_subcommand = true)]
struct Arguments {
    /// The same as the command `check`
    #[arg(short = 't')]
    test: bool,
    /// A file, or a directory of `*.yaml`; by default ./frontgate.yaml, then /etc/frontgate/
    #[arg(short, long, global = true, value_name = "FILE|DIR")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve in the foreground (the default)
    Run,
    /// Serve an embedded configuration with embedded upstreams, and print what to try
    Demo,
    /// Say every problem of a configuration
    Check {
        /// How problems are shown
        #[arg(long, value_enum, default_value_t)]
        format: check::Format,
    },
    /// Say which route takes a request and what every filter decides, offline
    Explain(explain::Arguments),
    /// Show the configuration's language
    Config {
        #[command(subcommand)]
        what: config::What,
    },
    /// Read the configuration of the running gateway again
    Reload(Admin),
    /// Everything the running gateway depends on, as JSON
    Status(Admin),
    /// Pools, endpoints and circuits of the running gateway
    Upstreams(Admin),
    /// End the running gateway once its requests have ended
    Drain(Admin),
    /// Hold a circuit of the running gateway open or closed, or let it go
    Circuit {
        #[command(flatten)]
        admin: Admin,
        /// The circuit breaker's name
        filter: String,
        /// The pool's name
        upstream: String,
        /// What becomes of it
        #[arg(value_parser = ["open", "closed", "auto"])]
        force: String,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where the running gateway is asked.
#[derive(clap::Args)]
struct Admin {
    /// Its admin address; by default the configuration's `server.admin`
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<std::net::SocketAddr>,
}

/// Exit codes beside 0, as sysexits.h has them.
pub mod exit {
    /// Something failed at run time.
    pub const RUNTIME: u8 = 1;
    /// Nothing answers.
    pub const UNAVAILABLE: u8 = 69;
    /// The configuration cannot be used.
    pub const CONFIG: u8 = 78;
}

/// Runs what was typed.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let path = arguments.config.as_deref();
    if arguments.test {
        if arguments.command.is_some() {
            let words = "`-t` is short for the command `check` and cannot be used with another command";
            Arguments::command().error(clap::error::ErrorKind::ArgumentConflict, words).exit();
        }
        return check::run(path, check::Format::Human);
    }
    match arguments.command {
        None | Some(Command::Run) => run::run(path),
        Some(Command::Demo) => demo::run(),
        Some(Command::Check { format }) => check::run(path, format),
        Some(Command::Explain(request)) => explain::run(path, &request),
        Some(Command::Config { what }) => config::run(path, what),
        Some(Command::Reload(at)) => operate::run(path, at.admin, &operate::Ask::Reload),
        Some(Command::Status(at)) => operate::run(path, at.admin, &operate::Ask::Status),
        Some(Command::Upstreams(at)) => operate::run(path, at.admin, &operate::Ask::Upstreams),
        Some(Command::Drain(at)) => operate::run(path, at.admin, &operate::Ask::Drain),
        Some(Command::Circuit { admin, filter, upstream, force }) => {
            operate::run(path, admin.admin, &operate::Ask::Circuit { filter, upstream, force })
        }
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Arguments::command(), "frontgate", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}
