//! Pools of services: what each answers is told request by request, what it was asked is kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use serde_json::{Map, Value, json};

use crate::harness::client::{raw, read_reply};
use crate::harness::origin::{Request, response};
use crate::harness::{Origin, Reply};

/// The parts of a request's target.
pub struct Target<'r> {
    pub whole: &'r str,
    pub path: &'r str,
    pub query: &'r str,
}

/// What a request asks for.
pub fn target(request: &Request) -> Target<'_> {
    let whole = request.line().split(' ').nth(1).unwrap_or_default();
    let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
    Target { whole, path, query }
}

/// A percent-encoded text as it is meant; `form` is that of a query, where a plus is a space.
pub fn decoded(text: &str, form: bool) -> String {
    let text = if form { text.replace('+', " ") } else { text.to_owned() };
    percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// A query as lists by name.
pub fn parameters(query: &str) -> Value {
    let mut found = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let list = found.entry(decoded(name, true)).or_insert_with(|| json!([]));
        list.as_array_mut().unwrap().push(decoded(value, true).into());
    }
    Value::Object(found)
}

/// What every gateway adds on the way, of whatever name: the rest of a request's headers is what a client said and what the configuration sends along.
const HOP: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-via",
    "forwarded",
    "x-real-ip",
    "x-request-id",
];

/// Whether a header is of the hop, or says something of the request itself.
pub fn is_of_the_hop(name: &str) -> bool {
    HOP.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The headers that came along, as lists by name.
pub fn headers(request: &Request) -> Value {
    let mut found = Map::new();
    for (name, value) in request.head.lines().skip(1).filter_map(|line| line.split_once(':')) {
        if !is_of_the_hop(name) {
            found.entry(name.to_ascii_lowercase()).or_insert_with(|| json!([])).as_array_mut().unwrap().push(value.trim().into());
        }
    }
    Value::Object(found)
}

/// The body as text, or nothing where there was none.
pub fn body(request: &Request) -> Option<String> {
    (!request.body.is_empty()).then(|| String::from_utf8_lossy(&request.body).into_owned())
}

/// Sends JSON with a status.
pub fn answer(stream: &mut TcpStream, status: u16, value: &Value) -> bool {
    send(stream, status, "application/json", "", value.to_string().as_bytes())
}

/// Sends anything, with its length; `more` are whole lines.
pub fn send(stream: &mut TcpStream, status: u16, kind: &str, more: &str, body: &[u8]) -> bool {
    let head = format!("HTTP/1.1 {status} Told\r\nContent-Type: {kind}\r\n{more}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).is_ok()
}

/// What nobody was told to answer.
pub fn unknown(stream: &mut TcpStream) -> bool {
    stream.write_all(response("404 Not Found", "Content-Type: text/plain; charset=utf-8\r\n", "404 page not found\n").as_bytes()).is_ok()
}

/// `upstreams:` of a configuration, each with one endpoint.
pub fn upstreams<'p>(pools: impl IntoIterator<Item = (&'p str, SocketAddr)>) -> String {
    let mut text = String::from("upstreams:\n");
    for (name, address) in pools {
        writeln!(text, "  {name}: {{endpoints: [\"{address}\"]}}").unwrap();
    }
    text
}

/// The same of pools that run.
pub fn running(pools: &BTreeMap<String, Origin>) -> String {
    upstreams(pools.iter().map(|(name, origin)| (name.as_str(), origin.address)))
}

/// One request on a connection of its own. The connection is left open: who asks may be in the middle of something else.
pub fn ask(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: Option<&str>) -> Reply {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test.example\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if let Some(body) = body {
        write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    let mut stream = raw(address);
    stream.write_all(format!("{head}\r\n{}", body.unwrap_or_default()).as_bytes()).unwrap();
    read_reply(&mut stream, method == "HEAD").unwrap_or_else(|| panic!("{method} {target}: no answer"))
}
