//! `frontgate status`, `upstreams`, `reload`, `drain`, `circuit`: a running gateway asked through its admin address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::exit;
use crate::config;

/// What a running gateway is asked for.
pub enum Ask {
    /// Everything it depends on, as JSON.
    Status,
    /// Its pools, endpoints and circuits.
    Upstreams,
    /// To read its configuration again.
    Reload,
    /// To end once the requests in flight have.
    Drain,
    /// To hold a circuit open or closed, or to let it go.
    Circuit {
        /// The filter.
        filter: String,
        /// The pool.
        upstream: String,
        /// `open`, `closed` or `auto`.
        force: String,
    },
}

/// How long one waits for the admin address.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks, and prints the answer.
pub fn run(path: Option<&Path>, admin: Option<SocketAddr>, ask: &Ask) -> ExitCode {
    let (address, token) = match reach(path, admin) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let (method, target) = match ask {
        Ask::Status | Ask::Upstreams => ("GET", "/healthz?full=1".to_owned()),
        Ask::Reload => ("POST", "/-/reload".to_owned()),
        Ask::Drain => ("POST", "/-/drain".to_owned()),
        Ask::Circuit { filter, upstream, force } => ("POST", format!("/-/circuit?filter={filter}&upstream={upstream}&force={force}")),
    };
    let (status, body) = match request(address, token.as_deref(), method, &target) {
        Ok(answer) => answer,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "frontgate: nothing answers on {address}: {error}");
            return ExitCode::from(exit::UNAVAILABLE);
        }
    };
    let json = serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);
    let text = match ask {
        Ask::Upstreams if json.is_object() => upstreams(&json),
        _ if json.is_null() => String::from_utf8_lossy(&body).into_owned(),
        _ => format!("{json:#}\n"),
    };
    // A full status says 503 where a required pool is down, and is an answer all the same.
    let good = (200..300).contains(&status) || matches!(ask, Ask::Status | Ask::Upstreams) && json.get("upstreams").is_some();
    let _ = if good { std::io::stdout().write_all(text.as_bytes()) } else { std::io::stderr().write_all(text.as_bytes()) };
    match status {
        _ if good => ExitCode::SUCCESS,
        422 => ExitCode::from(exit::CONFIG),
        _ => ExitCode::from(exit::RUNTIME),
    }
}

/// Where to ask and with which token: as typed, else as the configuration says.
fn reach(path: Option<&Path>, admin: Option<SocketAddr>) -> Result<(SocketAddr, Option<String>), ExitCode> {
    let loaded = match config::load(path) {
        Ok(loaded) => Some(loaded),
        // An address is enough where no token is needed.
        Err(_) if admin.is_some() => None,
        Err(problems) => {
            let _ = writeln!(std::io::stderr(), "{}", problems.render(false));
            return Err(ExitCode::from(exit::CONFIG));
        }
    };
    let written = loaded.as_ref().and_then(|loaded| loaded.config.server.admin.as_ref());
    let token =
        written.and_then(|written| written.token.as_ref()).zip(loaded.as_ref()).and_then(|(token, loaded)| loaded.secret(token).ok());
    match admin.or(written.map(|written| written.address)) {
        Some(address) => Ok((address, token)),
        None => {
            let _ = writeln!(std::io::stderr(), "frontgate: the configuration has no `server.admin`: write one, or name it with `--admin`");
            Err(ExitCode::from(exit::CONFIG))
        }
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

/// A table for people.
fn upstreams(json: &Value) -> String {
    let mut text = format!("{:<20} {:<24} {:<10} {:>6} {:>9}  {}\n", "UPSTREAM", "ENDPOINT", "STATE", "WEIGHT", "IN FLIGHT", "VERSION");
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for (name, pool) in json["upstreams"].as_object().into_iter().flatten() {
        for endpoint in pool["endpoints"].as_array().into_iter().flatten() {
            let version = endpoint["version"].as_str().unwrap_or("-");
            let (address, state) = (word(&endpoint["address"]), word(&endpoint["state"]));
            text.push_str(&format!(
                "{name:<20} {address:<24} {state:<10} {:>6} {:>9}  {version}\n",
                endpoint["weight"], endpoint["in_flight"]
            ));
        }
    }
    let circuits = json["circuits"].as_array();
    if let Some(circuits) = circuits.filter(|circuits| !circuits.is_empty()) {
        text.push_str(&format!(
            "\n{:<20} {:<20} {:<10} {:>9} {:>9}  {}\n",
            "CIRCUIT", "UPSTREAM", "STATE", "REQUESTS", "FAILURES", "FORCED"
        ));
        for circuit in circuits {
            let forced = circuit["forced"].as_str().unwrap_or("-");
            text.push_str(&format!(
                "{:<20} {:<20} {:<10} {:>9} {:>9}  {forced}\n",
                word(&circuit["filter"]),
                word(&circuit["upstream"]),
                word(&circuit["state"]),
                circuit["requests"],
                circuit["failures"]
            ));
        }
    }
    for (name, pool) in json["upstreams"].as_object().into_iter().flatten().filter(|(_, pool)| pool["adaptive"] == true) {
        text.push_str(&format!("\n{name}: first_byte is {} ms just now\n", pool["first_byte_ms"]));
    }
    text
}
