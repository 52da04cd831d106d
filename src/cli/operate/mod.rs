//! `frontgate status`, `upstreams`, `limits`, `reload`, `config history|rollback`, `log`, `drain`, `circuit`, `fault`, `hash`, `tap`, `why`, `saga`: a running gateway asked through its admin address. None of
//! them needs a configuration that is a good one.

mod reach;
pub(super) mod sagas;
mod tables;
pub(super) mod tap;
mod told;
pub(super) mod why;

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

pub(super) use self::reach::admin_address;
use self::reach::{Answered, Gateway};
pub(super) use self::tables::rolled_back;
use super::{Admin, OnFault, OnUpstream, Whom, exit, fail};
use crate::changes::Portrait;
use crate::cli::check::Format;
use crate::explain::{Explanation, Posted};
use crate::status::{DrillsStatus, Force, Health, HistoryStatus, Level, LimitsStatus, Status};

/// What a running gateway is asked for.
pub(super) enum Ask {
    /// Everything it depends on, as JSON.
    Status,
    /// Its upstreams, endpoints and circuits.
    Upstreams,
    /// To believe what the sources of this upstream say.
    Accept(String),
    /// To take an endpoint out, put it back or give it another weight.
    ByHand {
        /// Which of these: `drain`, `ready`, `weight`.
        what: &'static str,
        /// The upstream.
        upstream: String,
        /// The endpoint's address or name.
        endpoint: String,
        /// The weight, where it is about that.
        weight: Option<u32>,
        /// How long.
        time: Option<frontgate_filters::words::units::Duration>,
    },
    /// Whom its limits refused, of this filter or of all.
    Limits(Option<String>),
    /// To read its configuration again.
    Reload,
    /// Which configurations it accepted of late, and in which form that is shown.
    History(Format),
    /// To put the configuration of this hash in force again, or the one before.
    Rollback(Option<String>),
    /// How much its log is to tell, and how long.
    Log {
        /// The level.
        level: Level,
        /// How long.
        time: frontgate_filters::words::units::Duration,
    },
    /// To end once the requests in flight have, and perhaps to be waited for.
    Drain {
        /// Whether one waits until it has ended.
        wait: bool,
    },
    /// How its drills stand, or to stop them or let them go on.
    Fault(OnFault),
    /// To force a circuit open or closed, or to let it decide by itself again.
    Circuit {
        /// The filter.
        filter: String,
        /// The upstream.
        upstream: String,
        /// What it is forced to.
        force: Force,
        /// How long.
        time: Option<frontgate_filters::words::units::Duration>,
    },
}

impl From<OnUpstream> for Ask {
    fn from(act: OnUpstream) -> Self {
        let by_hand = |what, Whom { upstream, endpoint }, weight, time| Self::ByHand { what, upstream, endpoint, weight, time };
        match act {
            OnUpstream::Accept { upstream } => Self::Accept(upstream),
            OnUpstream::Drain { whom, time } => by_hand("drain", whom, None, time),
            OnUpstream::Ready { whom } => by_hand("ready", whom, None, None),
            OnUpstream::Weight { whom, weight, time } => by_hand("weight", whom, Some(weight), time),
        }
    }
}

const STATUS: &str = "/healthz?full=1";
/// How often one looks whether a gateway has ended.
const PACE: Duration = Duration::from_millis(100);

/// Asks, and prints the answer.
pub(super) fn run(path: Option<&Path>, admin: &Admin, ask: &Ask) -> ExitCode {
    let gateway = Gateway::find(path, admin);
    let answered = match ask {
        Ask::Status | Ask::Upstreams => gateway.ask("GET", STATUS),
        Ask::Limits(None) => gateway.ask("GET", "/-/limits"),
        Ask::Limits(Some(filter)) => gateway.ask("GET", &format!("/-/limits?filter={}", encoded(filter))),
        Ask::Accept(upstream) => gateway.ask("POST", &format!("/-/upstreams/accept?upstream={}", encoded(upstream))),
        Ask::ByHand { what, upstream, endpoint, weight, time } => {
            let [upstream, endpoint] = [upstream, endpoint].map(|name| encoded(name));
            let weight = weight.map(|weight| format!("&weight={weight}")).unwrap_or_default();
            let time = time.map(|time| format!("&for={time}")).unwrap_or_default();
            gateway.ask("POST", &format!("/-/upstreams/{what}?upstream={upstream}&endpoint={endpoint}{weight}{time}"))
        }
        Ask::Fault(OnFault::Status) => gateway.ask("GET", "/-/fault"),
        Ask::Fault(OnFault::Stop) => gateway.ask("POST", "/-/fault/stop"),
        Ask::Fault(OnFault::Start) => gateway.ask("POST", "/-/fault/start"),
        Ask::Reload => gateway.ask("POST", "/-/reload"),
        Ask::History(_) => gateway.ask("GET", "/-/history"),
        Ask::Rollback(None) => gateway.ask("POST", "/-/rollback"),
        Ask::Rollback(Some(hash)) => gateway.ask("POST", &format!("/-/rollback?hash={}", encoded(hash))),
        Ask::Log { level, time } => gateway.ask("POST", &format!("/-/log?level={}&for={time}", level.label())),
        Ask::Drain { .. } => gateway.ask("POST", "/-/drain"),
        Ask::Circuit { filter, upstream, force, time } => {
            let [filter, upstream] = [filter, upstream].map(|name| encoded(name));
            let time = time.map(|time| format!("&for={time}")).unwrap_or_default();
            gateway.ask("POST", &format!("/-/circuit?filter={filter}&upstream={upstream}&force={}{time}", force.label()))
        }
    };
    let Answered { code, body } = match answered {
        Ok(answered) => answered,
        Err(why) => return fail(exit::UNAVAILABLE, &why),
    };
    // A full status says 503 where a required upstream is down, and is an answer all the same.
    let status = match ask {
        Ask::Status | Ask::Upstreams => serde_json::from_slice::<Status>(&body).ok(),
        _ => None,
    };
    if !is_ours(ask, code, &body) {
        return fail(exit::UNAVAILABLE, &gateway.is_another());
    }
    if status.is_none() && !(200..300).contains(&code) {
        let _ = std::io::stderr().write_all(refusal(&body).as_bytes());
        if matches!((ask, code), (Ask::Circuit { .. }, 404)) {
            let _ = std::io::stderr().write_all(known_circuits(&gateway).as_bytes());
        }
        if matches!((ask, code), (Ask::ByHand { .. }, 404)) {
            let _ = std::io::stderr().write_all(known_endpoints(&gateway).as_bytes());
        }
        return ExitCode::from(if code == 422 { exit::CONFIG } else { exit::RUNTIME });
    }
    let text = match (ask, &status) {
        (Ask::Upstreams, Some(status)) => tables::upstreams(status),
        (Ask::History(format), _) => match serde_json::from_slice::<HistoryStatus>(&body) {
            Ok(told) => history(&told, *format),
            Err(_) => indented(&body),
        },
        (Ask::Limits(_), _) => match serde_json::from_slice::<LimitsStatus>(&body) {
            Ok(limits) => tables::limits(&limits),
            Err(_) => indented(&body),
        },
        (Ask::Fault(_), _) => match serde_json::from_slice::<DrillsStatus>(&body) {
            Ok(drills) => tables::drills(&drills),
            Err(_) => indented(&body),
        },
        _ => indented(&body),
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    if matches!(ask, Ask::Drain { wait: true }) {
        wait_for_end(&gateway);
    }
    ExitCode::SUCCESS
}

/// The configuration that the running gateway has in force, or the one of this hash that it keeps, compared under this key. The error is a
/// sentence.
pub(super) fn portrait(path: Option<&Path>, admin: &Admin, hash: Option<&str>, key: Option<&str>) -> Result<Portrait, String> {
    let gateway = Gateway::find(path, admin);
    let asked = [("hash", hash), ("key", key)].into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value?))));
    let query = asked.collect::<Vec<_>>().join("&");
    let target = if query.is_empty() { "/-/config".to_owned() } else { format!("/-/config?{query}") };
    match gateway.ask("GET", &target)? {
        Answered { code: 200, body } => serde_json::from_slice(&body).map_err(|_| gateway.is_another()),
        Answered { body, .. } => {
            let json = serde_json::from_slice::<Value>(&body).unwrap_or_default();
            Err(json["detail"].as_str().map_or_else(|| gateway.is_another(), str::to_owned))
        }
    }
}

/// What the running gateway says becomes of a request; else the exit code, once it was said why.
pub(super) fn explain(path: Option<&Path>, admin: &Admin, posted: &Posted) -> Result<Explanation, ExitCode> {
    let gateway = Gateway::find(path, admin);
    let body = serde_json::to_vec(posted).unwrap_or_default();
    let Answered { code, body } = gateway.ask_with("POST", "/-/explain", &body).map_err(|why| fail(exit::UNAVAILABLE, &why))?;
    match serde_json::from_slice::<Explanation>(&body) {
        Ok(told) if code == 200 => Ok(told),
        _ if is_refusal(&body) => {
            let _ = std::io::stderr().write_all(refusal(&body).as_bytes());
            Err(ExitCode::from(exit::RUNTIME))
        }
        _ => Err(fail(exit::UNAVAILABLE, &gateway.is_another())),
    }
}

/// The configurations that were accepted of late, in this form.
pub(super) fn history(history: &HistoryStatus, format: Format) -> String {
    match format {
        Format::Human if history.configurations.is_empty() && history.problems.is_empty() => "No configuration is kept.\n".to_owned(),
        Format::Human => tables::history(history),
        Format::Json => format!("{:#}\n", serde_json::to_value(history).unwrap_or_default()),
    }
}

/// Whether a body is a refusal of an admin address.
fn is_refusal(body: &[u8]) -> bool {
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return false };
    // There are no routes on an admin address.
    ["title", "detail", "code"].iter().all(|key| json.get(key).is_some()) && json["code"] != "no_route"
}

/// Prints a value as the logs of the running gateway show it.
pub(super) fn hash(path: Option<&Path>, admin: &Admin, value: &str) -> ExitCode {
    let gateway = Gateway::find(path, admin);
    let answered = gateway.ask("POST", &format!("/-/hash?value={}", encoded(value)));
    // As many letters as a hash has, and a line end.
    let is_hash = |body: &[u8]| body.trim_ascii().len() == 16 && !body.trim_ascii().contains(&b' ');
    match answered {
        Ok(Answered { code: 200, body }) if !is_hash(&body) => fail(exit::UNAVAILABLE, &gateway.is_another()),
        Ok(Answered { code: 200, body }) => {
            let _ = std::io::stdout().write_all(&body);
            ExitCode::SUCCESS
        }
        Ok(Answered { body, .. }) => {
            let _ = std::io::stderr().write_all(refusal(&body).as_bytes());
            ExitCode::from(exit::RUNTIME)
        }
        Err(why) => fail(exit::UNAVAILABLE, &format!("{why}; without `telemetry.hash_key` only the running gateway knows its hashes")),
    }
}

/// Whether an answer is one that a frontgate gives on its admin address: another server may be there, or another address of one.
fn is_ours(ask: &Ask, code: u16, body: &[u8]) -> bool {
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return false };
    let tells = |keys: &[&str]| keys.iter().all(|key| json.get(key).is_some());
    if !(200..300).contains(&code) && (tells(&["problems"]) || tells(&["title", "detail", "code"])) {
        // There are no routes on an admin address.
        return json["code"] != "no_route";
    }
    match ask {
        Ask::Status | Ask::Upstreams => serde_json::from_slice::<Status>(body).is_ok(),
        Ask::Limits(_) => serde_json::from_slice::<LimitsStatus>(body).is_ok(),
        Ask::Fault(_) => serde_json::from_slice::<DrillsStatus>(body).is_ok(),
        Ask::Accept(_) => tells(&["upstream", "left"]),
        Ask::ByHand { .. } => tells(&["upstream", "endpoint", "endpoints"]),
        Ask::History(_) => serde_json::from_slice::<HistoryStatus>(body).is_ok(),
        Ask::Rollback(_) => tells(&["hash", "on_disk"]),
        Ask::Log { .. } => tells(&["level"]),
        Ask::Reload => tells(&["hash"]),
        Ask::Drain { .. } => tells(&["requests_in_flight"]),
        Ask::Circuit { .. } => tells(&["filter", "upstream", "force"]),
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// JSON, indented for people; anything else as it came.
fn indented(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(json) => format!("{json:#}\n"),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

/// A refusal: the problems of a configuration a line each, the detail of any other.
fn refusal(body: &[u8]) -> String {
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return indented(body) };
    let Some(problems) = json["problems"].as_array() else {
        return match json["detail"].as_str() {
            Some(detail) => format!("frontgate: {detail}\n"),
            None => indented(body),
        };
    };
    let mut out = String::new();
    for problem in problems {
        // A string takes whatever is written to it.
        let _ = match (problem["file"].as_str(), &problem["line"], &problem["column"]) {
            (Some(file), line, column) => write!(out, "{file}:{line}:{column}: "),
            (None, ..) => Ok(()),
        };
        let words = |name: &str| problem[name].as_str().unwrap_or_default();
        let _ = write!(out, "{}: {}", words("severity"), words("message"));
        let _ = match words("help") {
            "" => writeln!(out),
            help => writeln!(out, " ({help})"),
        };
    }
    out
}

/// The circuits that were asked so far, and how they stand.
fn known_circuits(gateway: &Gateway) -> String {
    let status = gateway.ask("GET", STATUS).ok().and_then(|answered| serde_json::from_slice::<Status>(&answered.body).ok());
    status.map(|status| tables::circuits(&status.circuits)).unwrap_or_default()
}

/// The endpoints that there are.
fn known_endpoints(gateway: &Gateway) -> String {
    let status = gateway.ask("GET", STATUS).ok().and_then(|answered| serde_json::from_slice::<Status>(&answered.body).ok());
    status.map(|status| tables::endpoints(&status)).unwrap_or_default()
}

/// Returns when the gateway that was asked to end has: nothing answers, or another one does.
fn wait_for_end(gateway: &Gateway) {
    while let Ok(answered) = gateway.ask("GET", STATUS) {
        let status = serde_json::from_slice::<Status>(&answered.body);
        if status.is_ok_and(|status| status.status != Health::Draining) {
            return;
        }
        std::thread::sleep(PACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_json_is_shown_as_it_came() {
        assert_eq!(indented(b"ok\n"), "ok\n");
        assert_eq!(indented(b"{\"a\":1}"), "{\n  \"a\": 1\n}\n");
    }

    #[test]
    fn what_another_server_says_is_no_answer() {
        let problem =
            br#"{"type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "A token is needed.", "code": "unauthorized"}"#;
        let foreign = br#"{"status": "UP", "version": 1}"#;
        let client =
            br#"{"title": "Not Found", "status": 404, "detail": "Nothing is served under this host and path.", "code": "no_route"}"#;

        for ask in [Ask::Status, Ask::Upstreams, Ask::Limits(None), Ask::Reload, Ask::Drain { wait: false }] {
            assert!(is_ours(&ask, 401, problem));
            assert!(is_ours(&ask, 422, br#"{"problems": []}"#));
            for (code, body) in [(200, &foreign[..]), (404, client), (404, b"<html>no</html>"), (503, foreign), (200, b"ok\n"), (200, b"")]
            {
                assert!(!is_ours(&ask, code, body), "{code} {}", String::from_utf8_lossy(body));
            }
        }
        assert!(is_ours(&Ask::Reload, 200, br#"{"hash": "abc", "changed": []}"#));
        assert!(is_ours(&Ask::Drain { wait: false }, 200, br#"{"requests_in_flight": 0}"#));
    }

    #[test]
    fn a_refusal_is_told_in_lines() {
        let problems = br#"{"problems": [
            {"severity": "error", "message": "no key `x` here", "file": "a.yaml", "line": 3, "column": 5, "help": "did you mean `y`?"},
            {"severity": "error", "message": "threads cannot be changed"}]}"#;

        assert_eq!(refusal(problems), "a.yaml:3:5: error: no key `x` here (did you mean `y`?)\nerror: threads cannot be changed\n");
        assert_eq!(refusal(br#"{"title": "Not Found", "detail": "There is no circuit."}"#), "frontgate: There is no circuit.\n");
        assert_eq!(refusal(b"what"), "what");
    }
}
