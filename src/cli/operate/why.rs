//! `frontgate why`: the decisions of a recent request that was refused, failed or answered in part.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::reach::{Answered, Gateway};
use super::told::{shown, text};
use super::{encoded, indented, is_refusal, refusal};
use crate::cli::{Admin, exit, fail};

/// Which request.
#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    admin: Admin,
    /// Its identifier: `request_id` in the answer or in the log, the answer's X-Request-Id
    #[arg(value_name = "REQUEST_ID")]
    id: String,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Tells what became of it.
pub(in crate::cli) fn run(path: Option<&Path>, arguments: &Arguments) -> ExitCode {
    let gateway = Gateway::find(path, &arguments.admin);
    let Answered { code, body } = match gateway.ask("GET", &format!("/-/why?id={}", encoded(&arguments.id))) {
        Ok(answered) => answered,
        Err(why) => return fail(exit::UNAVAILABLE, &why),
    };
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    match json["found"].as_array() {
        Some(found) if code == 200 => {
            let all = || found.iter().map(told).collect::<Vec<_>>().join("\n");
            let text = if arguments.json { indented(&body) } else { all() };
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        _ if is_refusal(&body) => {
            let _ = std::io::stderr().write_all(refusal(&body).as_bytes());
            ExitCode::from(exit::RUNTIME)
        }
        _ => fail(exit::UNAVAILABLE, &gateway.is_another()),
    }
}

/// One request, for people.
fn told(record: &Value) -> String {
    let (line, refusal) = (&record["line"], &record["refusal"]);
    let mut out = String::new();
    // A string takes whatever is written to it.
    let mut say = |name: &str, text: &str| {
        let _ = writeln!(out, "{name:<9} {text}");
    };
    say("when", &format!("{}, {} ms", text(line, "ts"), text(line, "duration_ms")));
    say("asked", &format!("{} {}{} ({})", text(line, "method"), text(line, "host"), text(line, "path"), text(line, "protocol")));
    let sub = if line["sub"].is_null() { String::new() } else { format!(", subject {}", text(line, "sub")) };
    say("client", &format!("{}{sub}", text(line, "client_ip")));
    say("route", &text(line, "route"));
    for filter in record["filters"].as_array().into_iter().flatten() {
        let did = match filter["did"].as_str() {
            Some("answered") => "answered",
            Some("would_answer") => "would have answered, but only observes",
            _ => "let it pass",
        };
        say("filter", &format!("{} ({}): {did}", text(filter, "name"), text(filter, "kind")));
    }
    if !line["limit"].is_null() {
        let state = match (refusal["limit"].as_str(), refusal["policy"].as_str()) {
            (Some(limit), Some(policy)) => format!("; it was {} of {}", shown(limit), shown(policy)),
            _ => String::new(),
        };
        let tier = if line["tier"].is_null() { String::new() } else { format!(", tier {}", text(line, "tier")) };
        say("limit", &format!("{} for {}{tier}{state}", text(line, "limit"), text(line, "limit_key")));
    }
    if let Some(circuit) = record["circuit"].as_str() {
        say("circuit", circuit);
    }
    for attempt in record["attempts"].as_array().into_iter().flatten() {
        let status = attempt["status"].as_u64().map_or_else(String::new, |status| format!(" {status}"));
        let cause = if attempt["cause"].is_null() { String::new() } else { format!(" failed: {}", text(attempt, "cause")) };
        let (upstream, endpoint, took) = (text(attempt, "upstream"), text(attempt, "endpoint"), text(attempt, "took_ms"));
        say("attempt", &format!("{upstream} {endpoint}:{status}{cause}, after {took} ms"));
    }
    for call in record["calls"].as_array().into_iter().flatten() {
        let told = |name: &str, before: &str| if call[name].is_null() { String::new() } else { format!("{before}{}", text(call, name)) };
        let (asked, status) = (told("upstream", " at ") + &told("endpoint", " "), told("status", " "));
        let times =
            call["attempts"].as_u64().filter(|attempts| *attempts > 1).map_or_else(String::new, |times| format!(", {times} attempts"));
        let (name, result, took) = (text(call, "name"), text(call, "result"), text(call, "took_ms"));
        say("call", &format!("{name}{asked}:{status} {result}{}{times}, after {took} ms", told("cause", ", ")));
    }
    let because = match refusal["detail"].as_str() {
        Some(detail) => format!(" {}: {}", text(refusal, "code"), shown(detail)),
        None => String::new(),
    };
    let because = match refusal["call"].as_str() {
        Some(call) => format!("{because} It was the call {}.", shown(call)),
        None => because,
    };
    let again =
        refusal["retry_after"].as_str().map_or_else(String::new, |seconds| format!(" It may be asked again in {} s.", shown(seconds)));
    let status = if refusal.is_null() { text(line, "status") } else { text(refusal, "status") };
    say("answered", &format!("{status}{because}{again}"));
    for name in ["reason", "saga", "missing", "flags", "grpc_status"] {
        if !line[name].is_null() {
            let told = text(line, name);
            let told = if name == "saga" { format!("{told}: frontgate saga show {told}") } else { told };
            say(name, &told);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_with_what_became_of_each() {
        let record = r#"{"line":{"ts":"2026-02-03T04:05:06.789Z","method":"GET","path":"/home/7","route":"home","status":502,"duration_ms":3.1},
            "refusal":{"status":502,"code":"call_failed","detail":"A call failed.","call":"cart"},"filters":[],"attempts":[],
            "calls":[{"name":"user","result":"ok","upstream":"users","endpoint":"10.0.0.1:80","status":200,"attempts":1,"took_ms":1.5},
            {"name":"cart","result":"connect","upstream":"carts","endpoint":"10.0.0.2:80","cause":"it is refused","attempts":2,"took_ms":0.2},
            {"name":"ads","result":"circuit_open","attempts":0,"took_ms":0.0}]}"#;

        let told = told(&serde_json::from_str(record).expect("JSON"));

        let calls: Vec<&str> = told.lines().filter(|line| line.starts_with("call ") || line.starts_with("answered")).collect();
        assert_eq!(
            calls,
            [
                "call      user at users 10.0.0.1:80: 200 ok, after 1.5 ms",
                "call      cart at carts 10.0.0.2:80: connect, it is refused, 2 attempts, after 0.2 ms",
                "call      ads: circuit_open, after 0.0 ms",
                "answered  502 call_failed: A call failed. It was the call cart.",
            ]
        );
    }

    #[test]
    fn a_refusal_is_told_with_what_refused_it_and_why() {
        let record = r#"{"line":{"ts":"2026-02-03T04:05:06.789Z","request_id":"r1","client_ip":"192.0.2.1","method":"GET","host":"shop.example",
            "path":"/api/a","route":"products","status":429,"reason":"rate_limited","duration_ms":0.312,"limit":"per_key","limit_key":"2qBk","tier":"free",
            "protocol":"HTTP/1.1","saga":"0190aaaa","flags":"RL"},
            "refusal":{"status":429,"code":"rate_limited","detail":"Too many requests.","retry_after":"3","limit":"\"per_key\";r=0;t=3","policy":"\"per_key\";q=2;w=7"},
            "circuit":null,"filters":[{"name":"web","kind":"cors","did":"passed"},{"name":"per_key","kind":"rate_limit","did":"answered"}],
            "attempts":[{"upstream":"catalog","endpoint":"10.0.0.1:80","cause":"it is refused","took_ms":1.5}]}"#;

        let told = told(&serde_json::from_str(record).expect("JSON"));

        assert_eq!(
            told,
            "\
when      2026-02-03T04:05:06.789Z, 0.312 ms
asked     GET shop.example/api/a (HTTP/1.1)
client    192.0.2.1
route     products
filter    web (cors): let it pass
filter    per_key (rate_limit): answered
limit     per_key for 2qBk, tier free; it was \"per_key\";r=0;t=3 of \"per_key\";q=2;w=7
attempt   catalog 10.0.0.1:80: failed: it is refused, after 1.5 ms
answered  429 rate_limited: Too many requests. It may be asked again in 3 s.
reason    rate_limited
saga      0190aaaa: frontgate saga show 0190aaaa
flags     RL
"
        );
    }
}
