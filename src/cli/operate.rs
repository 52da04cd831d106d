//! `frontgate status`, `upstreams`, `reload`, `drain`, `circuit`: a running gateway asked through its admin address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::table::{Column, table};
use super::{exit, fail, refused};
use crate::config;
use crate::status::{CircuitStatus, Force, Status, UpstreamStatus};

/// What a running gateway is asked for.
pub(super) enum Ask {
    /// Everything it depends on, as JSON.
    Status,
    /// Its upstreams, endpoints and circuits.
    Upstreams,
    /// To read its configuration again.
    Reload,
    /// To end once the requests in flight have.
    Drain,
    /// To force a circuit open or closed, or to let it decide by itself again.
    Circuit {
        /// The filter.
        filter: String,
        /// The upstream.
        upstream: String,
        /// What it is forced to.
        force: Force,
    },
}

/// How long one waits for the admin address.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks, and prints the answer.
pub(super) fn run(path: Option<&Path>, admin: Option<SocketAddr>, ask: &Ask) -> ExitCode {
    let (address, token) = match reach(path, admin) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let (method, target) = match ask {
        Ask::Status | Ask::Upstreams => ("GET", "/healthz?full=1".to_owned()),
        Ask::Reload => ("POST", "/-/reload".to_owned()),
        Ask::Drain => ("POST", "/-/drain".to_owned()),
        Ask::Circuit { filter, upstream, force } => {
            let [filter, upstream] = [filter, upstream].map(|name| utf8_percent_encode(name, NON_ALPHANUMERIC));
            ("POST", format!("/-/circuit?filter={filter}&upstream={upstream}&force={}", force.label()))
        }
    };
    let (code, body) = match request(address, token.as_deref(), method, &target) {
        Ok(answer) => answer,
        Err(error) => return fail(exit::UNAVAILABLE, &format!("nothing answers on {address}: {error}")),
    };
    // A full status says 503 where a required upstream is down, and is an answer all the same.
    let status = match ask {
        Ask::Status | Ask::Upstreams => serde_json::from_slice::<Status>(&body).ok(),
        _ => None,
    };
    let text = match (ask, &status) {
        (Ask::Upstreams, Some(status)) => tables(status),
        _ => indented(&body),
    };
    let good = status.is_some() || (200..300).contains(&code);
    let _ = if good { std::io::stdout().write_all(text.as_bytes()) } else { std::io::stderr().write_all(text.as_bytes()) };
    match code {
        _ if good => ExitCode::SUCCESS,
        422 => ExitCode::from(exit::CONFIG),
        _ => ExitCode::from(exit::RUNTIME),
    }
}

/// JSON, indented for people; anything else as it came.
fn indented(body: &[u8]) -> String {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(json) => format!("{json:#}\n"),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

/// Where to ask and with which token: as typed, else as the configuration says.
fn reach(path: Option<&Path>, admin: Option<SocketAddr>) -> Result<(SocketAddr, Option<String>), ExitCode> {
    let loaded = match config::load(path) {
        Ok(loaded) => Some(loaded),
        // An address is enough where no token is needed.
        Err(_) if admin.is_some() => None,
        Err(problems) => return Err(refused(&problems)),
    };
    let written = loaded.as_ref().and_then(|loaded| loaded.config.server.admin.as_ref());
    let token =
        written.and_then(|written| written.token.as_ref()).zip(loaded.as_ref()).and_then(|(token, loaded)| loaded.secret(token).ok());
    match admin.or(written.map(|written| written.address)) {
        Some(address) => Ok((address, token)),
        None => Err(fail(exit::CONFIG, "the configuration has no `server.admin`: write one, or name it with `--admin`")),
    }
}

fn request(address: SocketAddr, token: Option<&str>, method: &str, target: &str) -> std::io::Result<(u16, Vec<u8>)> {
    // An address to listen on everywhere is reached through loopback.
    let address = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    };
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{authorization}Content-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let broken = || std::io::Error::new(std::io::ErrorKind::InvalidData, "it does not speak HTTP");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(broken)?;
    let status = std::str::from_utf8(&answer[..end]).ok().and_then(|head| head.split(' ').nth(1)?.parse().ok()).ok_or_else(broken)?;
    Ok((status, answer.split_off(end + 4)))
}

/// Upstreams and circuits, for people.
fn tables(status: &Status) -> String {
    let endpoints = status.upstreams.iter().flat_map(|(name, upstream)| upstream.endpoints.iter().map(move |endpoint| (name, endpoint)));
    let rows: Vec<_> = endpoints
        .map(|(name, endpoint)| {
            let left = endpoint.ejected_for_ms.map(|left| format!(", {} left", span(left))).unwrap_or_default();
            [
                name.clone(),
                endpoint.address.to_string(),
                format!("{}{left}", endpoint.state.label()),
                endpoint.weight.to_string(),
                endpoint.in_flight.to_string(),
                endpoint.version.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let columns = [
        Column::Left("UPSTREAM"),
        Column::Left("ENDPOINT"),
        Column::Left("STATE"),
        Column::Right("WEIGHT"),
        Column::Right("IN FLIGHT"),
        Column::Left("VERSION"),
    ];
    let circuits = circuits(&status.circuits);
    let adaptive: String = status.upstreams.iter().filter_map(|(name, upstream)| adaptive(name, upstream)).collect();
    [table(columns, &rows), circuits, adaptive].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn circuits(circuits: &[CircuitStatus]) -> String {
    let rows: Vec<_> = circuits
        .iter()
        .map(|circuit| {
            let left = circuit.open_for_ms.map(|left| format!(", {} left", span(left))).unwrap_or_default();
            [
                circuit.filter.clone(),
                circuit.upstream.clone(),
                format!("{}{left}", circuit.state.label()),
                circuit.requests.to_string(),
                circuit.failures.to_string(),
                circuit.slow.to_string(),
                circuit.forced.map_or("-", Force::label).to_owned(),
            ]
        })
        .collect();
    let columns = [
        Column::Left("CIRCUIT"),
        Column::Left("UPSTREAM"),
        Column::Left("STATE"),
        Column::Right("REQUESTS"),
        Column::Right("FAILURES"),
        Column::Right("SLOW"),
        Column::Left("FORCED"),
    ];
    table(columns, &rows)
}

fn adaptive(name: &str, upstream: &UpstreamStatus) -> Option<String> {
    upstream.adaptive.then(|| format!("The adaptive first_byte timeout of {name} is {} ms now.\n", upstream.first_byte_ms))
}

/// A time that is left, to the second; what is less is told in milliseconds.
fn span(millis: u64) -> String {
    if millis < 1000 { format!("{millis}ms") } else { format!("{}s", millis.div_ceil(1000)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{
        "status": "ok", "version": "0.1.0", "config": "abc", "requests_in_flight": 0, "log_lines_dropped": 0, "key_sets": {},
        "upstreams": {
            "catalog": {"alive": true, "required": true, "in_flight": 1234, "retrying": 0, "first_byte_ms": 340, "adaptive": true, "endpoints": [
                {"address": "10.0.0.1:80", "state": "healthy", "weight": 1, "in_flight": 1234, "ejected_for_ms": null, "version": "v2.4"},
                {"address": "10.0.0.200:8080", "state": "ejected", "weight": 10, "in_flight": 0, "ejected_for_ms": 11200, "version": null}]},
            "users": {"alive": true, "required": false, "in_flight": 0, "retrying": 0, "first_byte_ms": 15000, "adaptive": false, "endpoints": [
                {"address": "[::1]:80", "state": "unhealthy", "weight": 1, "in_flight": 0, "ejected_for_ms": null, "version": null}]}
        },
        "circuits": [
            {"filter": "guard", "upstream": "catalog", "state": "half_open", "requests": 20, "failures": 11, "slow": 2, "probes": 1, "open_for_ms": null, "forced": null},
            {"filter": "guard", "upstream": "users", "state": "open", "requests": 0, "failures": 0, "slow": 0, "probes": 0, "open_for_ms": 700, "forced": "open"}]
    }"#;

    #[test]
    fn upstreams_and_circuits_are_tables_with_aligned_columns() {
        let status: Status = serde_json::from_str(STATUS).expect("a status");

        assert_eq!(
            tables(&status),
            "\
UPSTREAM  ENDPOINT         STATE              WEIGHT  IN FLIGHT  VERSION
catalog   10.0.0.1:80      healthy                 1       1234  v2.4
catalog   10.0.0.200:8080  ejected, 12s left      10          0  -
users     [::1]:80         unhealthy               1          0  -

CIRCUIT  UPSTREAM  STATE             REQUESTS  FAILURES  SLOW  FORCED
guard    catalog   half_open               20        11     2  -
guard    users     open, 700ms left         0         0     0  open

The adaptive first_byte timeout of catalog is 340 ms now.
"
        );
    }

    #[test]
    fn what_is_not_json_is_shown_as_it_came() {
        assert_eq!(indented(b"ok\n"), "ok\n");
        assert_eq!(indented(b"{\"a\":1}"), "{\n  \"a\": 1\n}\n");
    }
}
