//! `frontgate tap`: lines of the running gateway's access log as they come.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use frontgate_filters::words::units::Duration;
use serde_json::Value;

use super::reach::{Followed, Gateway};
use super::told::text;
use super::{encoded, refusal};
use crate::cli::{Admin, exit, fail};
use crate::telemetry::LineFilter;

/// What is watched, and how it is shown.
#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    admin: Admin,
    /// Which lines, such as 'route=products status>=500'; by default all. Words side by side are joined by `and`
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// How long, such as 60s; by default until it is ended by Ctrl-C
    #[arg(long = "for", value_name = "TIME")]
    time: Option<Duration>,
    /// How lines are shown; by default for people on a terminal, else as JSON
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// How lines are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// What matters most of each, for people
    Human,
    /// As the access log has them
    Json,
}

/// Shows them until the time is over.
pub(in crate::cli) fn run(path: Option<&Path>, arguments: &Arguments) -> ExitCode {
    let filter = arguments.filter.join(" ");
    if !filter.trim().is_empty()
        && let Err(why) = filter.parse::<LineFilter>()
    {
        // The shell has taken the quotes away, or there were none.
        let hint = "; a value with spaces stands in quotes within those of the shell, as in 'user_agent~\"My Phone*\"'";
        return fail(exit::USAGE, &format!("{why}{}", if filter.contains(' ') { hint } else { "" }));
    }
    let gateway = Gateway::find(path, &arguments.admin);
    let time = arguments.time.map(|time| format!("&for={time}")).unwrap_or_default();
    let usual = if std::io::stdout().is_terminal() { Format::Human } else { Format::Json };
    let format = arguments.format.unwrap_or(usual);
    let mut out = std::io::stdout();
    let mut written = Ok(());
    let followed = gateway.follow(&format!("/-/tap?filter={}{time}", encoded(&filter)), |line| {
        written = show(&mut out, line, format);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    match (followed, written) {
        // Whoever reads this has seen enough.
        (_, Err(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        (_, Err(error)) => fail(exit::RUNTIME, &format!("the lines cannot be written: {error}")),
        (Ok(Followed::Ended), Ok(())) => ExitCode::SUCCESS,
        (Ok(Followed::Refused(body)), Ok(())) => {
            let _ = std::io::stderr().write_all(refusal(&body).as_bytes());
            ExitCode::from(exit::RUNTIME)
        }
        (Ok(Followed::Another), Ok(())) => fail(exit::UNAVAILABLE, &gateway.is_another()),
        (Err(why), Ok(())) => fail(exit::UNAVAILABLE, &why),
    }
}

/// Shows a line of what comes: one of the log's, how many found no room, how many requests there were at the end, or nothing, which says that
/// the gateway is there.
fn show(out: &mut impl Write, line: &str, format: Format) -> std::io::Result<()> {
    if line.is_empty() {
        return Ok(());
    }
    let json: Value = serde_json::from_str(line).unwrap_or_default();
    if let Some(skipped) = json["skipped"].as_u64() {
        return writeln!(std::io::stderr(), "frontgate: {skipped} lines came too fast and are left out");
    }
    if let Some(requests) = json["end"]["requests"].as_u64() {
        return match json["end"]["matched"].as_u64() {
            Some(0) => writeln!(std::io::stderr(), "frontgate: {}", none_of(requests)),
            _ => Ok(()),
        };
    }
    match format {
        Format::Json => writeln!(out, "{line}")?,
        Format::Human => writeln!(out, "{}", readable(&json))?,
    }
    out.flush()
}

/// What there was where no line was shown.
fn none_of(requests: u64) -> String {
    match requests {
        0 => "no request ended in this time".to_owned(),
        1 => "the one request that ended in this time does not match".to_owned(),
        more => format!("none of the {more} requests that ended in this time match"),
    }
}

/// What is named beside what every line begins with.
const NAMED: [&str; 19] = [
    "upstream",
    "endpoint",
    "attempts",
    "reason",
    "flags",
    "limit",
    "limit_key",
    "tier",
    "circuit",
    "device",
    "version",
    "grpc_status",
    "calls",
    "missing",
    "saga",
    "client_ip",
    "sub",
    "trace_id",
    "request_id",
];

/// A line for people: when, what came of it, what was asked, how long it took, and what else is known by name.
fn readable(line: &Value) -> String {
    let text = |name: &str| text(line, name);
    let time = text("ts");
    let time = time.split('T').nth(1).map_or(&*time, |time| time.trim_end_matches('Z'));
    let host = if line["host"].is_null() { String::new() } else { text("host") };
    let mut out =
        format!("{time} {} {} {host}{} {} {}ms", text("status"), text("method"), text("path"), text("route"), text("duration_ms"));
    // One attempt is what every request has.
    let is_told = |name: &str| !line[name].is_null() && (name != "attempts" || line[name] != 1);
    for name in NAMED.into_iter().filter(|name| is_told(name)) {
        // A string takes whatever is written to it.
        let _ = write!(out, " {name}={}", text(name));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_says_what_matters_and_obeys_no_client() {
        let line = r#"{"ts":"2026-02-03T04:05:06.789Z","request_id":"r1","client_ip":"192.0.2.1","method":"GET","host":"shop.example",
            "path":"/a\u001b[2J","route":"products","status":503,"reason":"circuit_open","bytes_in":0,"bytes_out":9,"duration_ms":12.045,
            "overhead_ms":0.100,"upstream":"catalog","endpoint":"10.0.0.1:80","attempts":2,"flags":"UO","user_agent":"curl"}"#;

        let told = readable(&serde_json::from_str(line).expect("JSON"));

        assert_eq!(
            told,
            "04:05:06.789 503 GET shop.example/a\u{fffd}[2J products 12.045ms upstream=catalog endpoint=10.0.0.1:80 attempts=2 \
             reason=circuit_open flags=UO client_ip=192.0.2.1 request_id=r1"
        );
    }

    #[test]
    fn what_is_sent_to_show_that_somebody_is_there_is_not_shown() {
        let mut out = Vec::new();

        for line in ["", "{\"skipped\":3}", "{\"request_id\":\"a\"}", "{\"end\":{\"requests\":1,\"matched\":1}}"] {
            show(&mut out, line, Format::Json).expect("a Vec takes it");
        }

        assert_eq!(out, b"{\"request_id\":\"a\"}\n");
    }
}
