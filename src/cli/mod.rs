//! What people type: one file a command.

mod check;
mod config;
mod demo;
mod explain;
mod graphql;
mod hash;
mod man;
mod operate;
mod run;
mod table;
mod test;
mod upgrade;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Loaded;
use crate::config::diagnostics::Diagnostics;
use crate::nearest::nearest;
use crate::status::{Force, Level};

/// A BFF edge gateway: routes, filters and upstreams from one YAML file.
#[derive(Parser)]
#[command(name = "frontgate", version, disable_help_subcommand = true)]
struct Arguments {
    /// The same as the command `check`, whose options it takes, and whose file with or without `-c`
    #[arg(short = 't')]
    test: bool,
    #[command(flatten)]
    check: check::Options,
    /// A file, or a directory of `*.yaml`; by default ./frontgate.yaml, then /etc/frontgate/
    #[arg(short, long, global = true, value_name = "FILE|DIR")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve in the foreground (the default)
    Run(run::Options),
    /// Serve an embedded configuration with embedded upstreams, and print what to try
    Demo,
    /// Check a configuration, open what it names, and report every problem
    Check {
        #[command(flatten)]
        options: check::Options,
        /// The configuration, as `--config` names it
        #[arg(value_name = "FILE|DIR", conflicts_with = "config")]
        file: Option<PathBuf>,
    },
    /// Explain which route takes a request and what every filter decides: offline, or by the running gateway
    Explain(explain::Arguments),
    /// Try a configuration with cases in YAML: requests, and what is expected of them, through the same engine and without a socket
    Test(test::Arguments),
    /// Show the configuration, compare it with another one, show the schema of its language, or what was in force before, which it can put back
    Config {
        #[command(subcommand)]
        what: config::What,
    },
    /// Reload the configuration of the running gateway
    Reload(Admin),
    /// Show the state of the running gateway and of everything it depends on, as JSON
    Status(Admin),
    /// Upstreams, endpoints and circuits of the running gateway
    Upstreams {
        #[command(flatten)]
        admin: Admin,
        #[command(subcommand)]
        act: Option<OnUpstream>,
    },
    /// Who was refused by a limit of the running gateway, the most often first
    Limits {
        #[command(flatten)]
        admin: Admin,
        /// The rate limit's name; by default all
        filter: Option<String>,
    },
    /// Tell the decisions of a recent request that was refused, failed or answered in part
    Why(operate::why::Arguments),
    /// Show log lines of the running gateway as they come
    Tap(operate::tap::Arguments),
    /// Show a value as the access log shows it: what stands as `sub` or `limit_key` for it
    Hash {
        #[command(flatten)]
        admin: Admin,
        /// The value, such as a user's identifier or an API key
        value: String,
    },
    /// Shut the running gateway down once its requests in flight have ended
    Drain {
        #[command(flatten)]
        admin: Admin,
        /// Wait until it has ended
        #[arg(long)]
        wait: bool,
    },
    /// Force a circuit of the running gateway open or closed, or let it decide by itself again
    Circuit {
        #[command(flatten)]
        admin: Admin,
        /// The circuit breaker's name
        filter: String,
        /// The upstream's name
        upstream: String,
        /// What it is forced to
        #[arg(value_enum)]
        force: Force,
        /// How long, such as 10m; by default until further notice
        #[arg(long = "for", value_name = "TIME")]
        time: Option<frontgate_filters::words::units::Duration>,
    },
    /// Drills of the running gateway: how they stand, and all of them stopped or let go on, those of later configurations, too
    Fault {
        #[command(flatten)]
        admin: Admin,
        #[command(subcommand)]
        act: OnFault,
    },
    /// Graphs: the schema that a route serves, and which calls a query would make
    Graphql {
        #[command(subcommand)]
        what: graphql::OnGraphql,
    },
    /// Sagas of the running gateway: which there are, what became of one, and what an operator does about it
    Saga {
        #[command(subcommand)]
        what: operate::sagas::OnSaga,
    },
    /// Set for a time how much the log of the running gateway tells, but for the access log
    Log {
        #[command(flatten)]
        admin: Admin,
        /// From now on everything up to this level
        #[arg(value_enum)]
        level: Level,
        /// How long, such as 1h; a day at most
        #[arg(long = "for", value_name = "TIME", default_value = "10m")]
        time: frontgate_filters::words::units::Duration,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the gateway, or of one of its commands
    Man {
        /// The command, such as `upstreams drain`; by default the gateway itself
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
        /// Write the pages of all commands into this directory instead
        #[arg(long, value_name = "DIR", conflicts_with = "command")]
        into: Option<PathBuf>,
    },
}

/// What is done to an upstream by hand.
#[derive(Subcommand)]
enum OnUpstream {
    /// Believe what an upstream's sources say: endpoints that they no longer name, and that stay in doubt, leave at once
    Accept {
        /// The upstream's name
        upstream: String,
    },
    /// Take an endpoint out: it gets no new requests, those that run end, and its health checks go on
    Drain {
        #[command(flatten)]
        whom: Whom,
        /// How long, such as 1h; by default until it is put back
        #[arg(long = "for", value_name = "TIME")]
        time: Option<frontgate_filters::words::units::Duration>,
    },
    /// Put an endpoint back: nothing that was set for it by hand holds any more
    #[command(alias = "undrain")]
    Ready {
        #[command(flatten)]
        whom: Whom,
    },
    /// Give an endpoint another weight than the one that is written
    Weight {
        #[command(flatten)]
        whom: Whom,
        /// The weight; 0 takes no requests
        weight: u32,
        /// How long, such as 1h; by default until it is put back
        #[arg(long = "for", value_name = "TIME")]
        time: Option<frontgate_filters::words::units::Duration>,
    },
}

/// What is done about drills.
#[derive(Clone, Copy, Debug, Subcommand)]
enum OnFault {
    /// Show the drills and how they stand
    Status,
    /// Stop all drills at once, until they are started again
    Stop,
    /// Let drills go on
    Start,
}

/// An endpoint of the running gateway.
#[derive(clap::Args)]
struct Whom {
    /// The upstream's name
    upstream: String,
    /// The endpoint's address, or its name and port, which are all addresses of the name
    #[arg(value_name = "ADDRESS")]
    endpoint: String,
}

/// Where the running gateway is asked.
#[derive(clap::Args)]
struct Admin {
    /// Its admin address; by default FRONTGATE_ADMIN, else the configuration's `server.admin` where it can be read, else 127.0.0.1:9901. A
    /// token that it asks for is FRONTGATE_ADMIN_TOKEN or the configuration's
    #[arg(long, global = true, value_name = "ADDRESS", value_parser = operate::admin_address)]
    admin: Option<std::net::SocketAddr>,
}

impl Admin {
    /// Whether somebody has typed where that is.
    fn is_typed(&self) -> bool {
        self.admin.is_some()
    }
}

impl Arguments {
    /// Reads what was typed. `-t` is a command, so it cannot be used with another one.
    fn read(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let mut words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        // `help upstreams drain`, as everybody types it.
        if words.get(1).is_some_and(|word| word == "help") {
            words.remove(1);
            words.push("--help".into());
        }
        let arguments = Self::try_parse_from(&words).or_else(|error| {
            // `-t FILE`, as everybody types it: as if there were a `-c` before it.
            let again = with_config(&words, &error).and_then(|words| Self::try_parse_from(words).ok());
            again.filter(|arguments| arguments.test).ok_or_else(|| with_inner(error))
        })?;
        if arguments.test && arguments.command.is_some() {
            return Err(
                Self::command().error(ErrorKind::ArgumentConflict, "`-t` is the command `check`: it cannot be used with another one")
            );
        }
        if !arguments.test && arguments.check != check::Options::default() {
            return Err(
                Self::command().error(ErrorKind::ArgumentConflict, "`--format`, `--no-files` and `--strict` belong to `check`, or to `-t`")
            );
        }
        Ok(arguments)
    }
}

/// The error, with the commands of commands that are probably meant where it is about a command that does not exist: `config rollback` for
/// `rollback`.
fn with_inner(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    if error.get(ContextKind::SuggestedSubcommand).is_some() {
        return error;
    }
    let command = Arguments::command();
    let inner = command.get_subcommands().flat_map(|outer| outer.get_subcommands().map(move |inner| (outer.get_name(), inner.get_name())));
    let meant: Vec<String> = inner
        .filter(|(_, inner)| nearest(unknown, std::iter::once(*inner)).is_some())
        .map(|(outer, inner)| format!("{outer} {inner}"))
        .collect();
    if !meant.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(meant));
    }
    error
}

/// What was typed, with `-c` before the word that is no command.
fn with_config(words: &[OsString], error: &clap::Error) -> Option<Vec<OsString>> {
    let unknown = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg].into_iter().find_map(|kind| error.get(kind))?;
    let ContextValue::String(unknown) = unknown else { return None };
    let at = words.iter().skip(1).position(|word| word.to_str() == Some(unknown) && !unknown.starts_with('-'))? + 1;
    let mut words = words.to_vec();
    words.insert(at, "-c".into());
    Some(words)
}

/// Exit codes other than 0, as sysexits.h has them.
mod exit {
    /// Something failed at run time.
    pub(super) const RUNTIME: u8 = 1;
    /// What was typed is wrong.
    pub(super) const USAGE: u8 = 2;
    /// Two configurations are not the same.
    pub(super) const DIFFERS: u8 = 4;
    /// Nothing answers, or something that is no frontgate.
    pub(super) const UNAVAILABLE: u8 = 69;
    /// The configuration cannot be used.
    pub(super) const CONFIG: u8 = 78;
}

/// The configuration at `path`, or the exit code once its problems were shown.
fn loaded(path: Option<&Path>) -> Result<Loaded, ExitCode> {
    crate::config::load(path).map_err(|problems| refused(&problems))
}

/// The same, if everything that it names can be opened, too.
fn opened(path: Option<&Path>) -> Result<Loaded, ExitCode> {
    loaded(path).and_then(|loaded| crate::snapshot::opened(loaded).map_err(|problems| refused(&problems)))
}

/// Shows why a configuration cannot be used.
fn refused(problems: &Diagnostics) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{}", problems.render(std::io::stderr().is_terminal()));
    ExitCode::from(exit::CONFIG)
}

/// Says what failed.
fn fail(code: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "frontgate: {why}");
    ExitCode::from(code)
}

/// Everything that can be typed, for the page that lists it.
#[cfg(test)]
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}

/// Runs what was typed.
pub fn main() -> ExitCode {
    let arguments = Arguments::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let path = arguments.config.as_deref();
    match arguments.command {
        None if arguments.test => check::run(path, &arguments.check),
        None => run::run(path, run::Options::default()),
        Some(Command::Run(options)) => run::run(path, options),
        Some(Command::Demo) => demo::run(),
        Some(Command::Check { options, file }) => check::run(file.as_deref().or(path), &options),
        Some(Command::Explain(request)) => explain::run(path, &request),
        Some(Command::Test(arguments)) => test::run(path, &arguments),
        Some(Command::Config { what }) => config::run(path, what),
        Some(Command::Reload(at)) => operate::run(path, &at, &operate::Ask::Reload),
        Some(Command::Status(at)) => operate::run(path, &at, &operate::Ask::Status),
        Some(Command::Upstreams { admin, act: None }) => operate::run(path, &admin, &operate::Ask::Upstreams),
        Some(Command::Upstreams { admin, act: Some(act) }) => operate::run(path, &admin, &act.into()),
        Some(Command::Limits { admin, filter }) => operate::run(path, &admin, &operate::Ask::Limits(filter)),
        Some(Command::Why(arguments)) => operate::why::run(path, &arguments),
        Some(Command::Tap(arguments)) => operate::tap::run(path, &arguments),
        Some(Command::Hash { admin, value }) => hash::run(path, &admin, &value),
        Some(Command::Drain { admin, wait }) => operate::run(path, &admin, &operate::Ask::Drain { wait }),
        Some(Command::Circuit { admin, filter, upstream, force, time }) => {
            operate::run(path, &admin, &operate::Ask::Circuit { filter, upstream, force, time })
        }
        Some(Command::Fault { admin, act }) => operate::run(path, &admin, &operate::Ask::Fault(act)),
        Some(Command::Graphql { what }) => graphql::run(path, &what),
        Some(Command::Saga { what }) => operate::sagas::run(path, &what),
        Some(Command::Log { admin, level, time }) => operate::run(path, &admin, &operate::Ask::Log { level, time }),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Arguments::command(), "frontgate", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Some(Command::Man { command, into }) => man::run(Arguments::command(), &command, into.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_of_check_cannot_be_used_with_another_command() {
        let read = |words: &[&str]| Arguments::read([&["frontgate"], words].concat());

        for words in [&["-t", "-c", "x.yaml"][..], &["-t", "x.yaml"], &["x.yaml", "-t"], &["-t", "--strict", "x.yaml"], &["-tc", "x.yaml"]]
        {
            let file = Some(PathBuf::from("x.yaml"));
            assert!(
                read(words).is_ok_and(|arguments| arguments.test && arguments.config == file && arguments.command.is_none()),
                "{words:?}"
            );
        }
        for words in [
            &["x.yaml"][..],
            &["-t", "x.yaml", "y.yaml"],
            &["-t", "-c", "x.yaml", "y.yaml"],
            &["-t", "--strickt"],
            &["-t", "chek", "x.yaml"],
        ] {
            assert_eq!(read(words).err().map(|error| error.exit_code()), Some(2), "{words:?}");
        }
        assert!(read(&["run", "-c", "x.yaml"]).is_ok_and(|arguments| !arguments.test));
        assert!(read(&["-t", "--format", "json", "--no-files"]).is_ok_and(|arguments| arguments.check != check::Options::default()));
        assert!(read(&["check", "x.yaml", "--format", "json"]).is_ok());
        assert_eq!(read(&["check", "x.yaml", "-c", "y.yaml"]).err().map(|error| error.exit_code()), Some(2));
        assert_eq!(read(&["--format", "json", "run"]).err().map(|error| error.exit_code()), Some(2));
        assert_eq!(read(&["-t", "run"]).err().map(|error| error.exit_code()), Some(2));
    }

    #[test]
    fn help_is_a_command_and_a_command_of_a_command_is_found() {
        let said =
            |words: &[&str]| Arguments::read([&["frontgate"], words].concat()).err().map(|error| (error.exit_code(), error.to_string()));

        for (words, told) in [(&["help"][..], "Commands:"), (&["help", "upstreams", "drain"], "Take an endpoint out")] {
            assert!(said(words).is_some_and(|(code, text)| code == 0 && text.contains(told)), "{words:?}: {:?}", said(words));
        }
        for (word, told) in
            [("rollback", "'config rollback'"), ("histroy", "'config history'"), ("statsu", "'status'"), ("weight", "'upstreams weight'")]
        {
            assert!(said(&[word]).is_some_and(|(code, text)| code == 2 && text.contains(told)), "{word}: {:?}", said(&[word]));
        }
        assert!(said(&["nonsense"]).is_some_and(|(code, text)| code == 2 && !text.contains("tip")));
    }

    #[test]
    fn the_arguments_fit_each_other() {
        Arguments::command().debug_assert();
    }
}
