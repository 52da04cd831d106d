//! What RFC 9110 and 9112 say of a case, beside the changes that the gateway is documented to make.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::client::{Met, Saw};
use super::origin::Came;
use super::plan::{Asked, Case, Cut, Fields, Framing, Turn};
use super::wire::{Broken, trim};

/// The values of each field, in order.
type Values = BTreeMap<String, Vec<String>>;

/// How often at most a request that met pooled connections which were closed is sent.
const AGAIN: usize = 4;

/// What is wrong with a case; `came` is what the origin received, request by request.
pub fn check(case: &Case, saw: &Saw, came: &[Vec<Came>], origin: SocketAddr) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut open = true;
    for (index, turn) in case.turns.iter().enumerate() {
        let mut say = |what: String| wrong.push(format!("request {index}: {what}"));
        if !open {
            if !came[index].is_empty() {
                say("it was sent on although the connection had to close before it".to_owned());
            }
            continue;
        }
        let left = case.leaves.is_some() && index + 1 == case.turns.len();
        if left {
            gone(&came[index], &mut say);
            continue;
        }
        received(turn, "1.1", &came[index], origin, &mut say);
        match saw.met.get(index) {
            None => {
                say(format!("no answer: {:?}", saw.end));
                open = false;
            }
            Some(met) => {
                answered(turn, met, &mut say);
                open = met.keeps && met.broken.is_none();
            }
        }
        // Who sends more behind its own `close` may be told so by a reset.
        let is_end = saw.end == Some(Broken::Closed) || saw.end == Some(Broken::Reset) && !turn.asked.keeps();
        if !open && saw.met.get(index).is_some_and(|met| met.broken.is_none()) && (!is_end || saw.extra > 0) {
            say(format!("the connection's end is {:?} after {} more bytes", saw.end, saw.extra));
        }
    }
    if open && case.leaves.is_none() && saw.end.is_some() {
        wrong.push(format!("the connection should be open: {:?}", saw.end));
    }
    wrong
}

/// A request whose client left in its middle never looks whole.
pub fn gone(came: &[Came], say: &mut impl FnMut(String)) {
    if came.iter().any(|came| came.whole) {
        say("it looked whole, and its client had left in its middle".to_owned());
    }
}

fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
}

/// What the origin received is what was sent, apart from what the gateway adds and removes.
pub fn received(turn: &Turn, version: &str, came: &[Came], origin: SocketAddr, say: &mut impl FnMut(String)) {
    let asked = &turn.asked;
    let version = if asked.old { "1.0" } else { version };
    let again = is_idempotent(&asked.method) && turn.script.cut.is_some_and(|cut| cut.in_head);
    let most = if again { AGAIN } else { 1 };
    if came.is_empty() || came.len() > most {
        say(format!("the origin received it {} times", came.len()));
    }
    for came in came {
        if let Some(why) = &came.wrong {
            say(format!("the origin could not read it: {why}"));
        }
        let line = format!("{} {} HTTP/1.1", asked.method, asked.path);
        if came.head.line != line {
            say(format!("the origin saw {:?} instead of {line:?}", came.head.line));
        }
        differ("the origin saw", &values(&came.head.fields, &[Asked::NAME, "x-request-id"]), &sent_on(asked, version, origin), say);
        if came.head.all("x-request-id").len() != 1 || came.head.has("x-request-id", "mine") {
            say("the origin saw no identifier of the gateway's".to_owned());
        }
        let whole = came.whole && came.body == asked.body.bytes;
        if !whole && (turn.script.early.is_none() || came.whole || !asked.body.bytes.starts_with(&came.body)) {
            say(format!("the origin saw {} of {} bytes, whole: {}", came.body.len(), asked.body.bytes.len(), came.whole));
        }
    }
}

/// The fields that the origin is to see, without the identifier.
fn sent_on(asked: &Asked, version: &str, origin: SocketAddr) -> Values {
    let mut values = values(&asked.fields, &["via"]);
    // One list of all gateways that it came through, this one last.
    let before = asked.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("via")).map(|(_, value)| trim(value).to_vec());
    let via: Vec<Vec<u8>> = before.chain([format!("{version} frontgate").into_bytes()]).collect();
    values.extend(self::values(&vec![("via".to_owned(), via.join(&b", "[..]))], &[]));
    let mut put = |name: &str, value: &str| values.entry(name.to_owned()).or_default().push(value.to_owned());
    if let Some(host) = &asked.host {
        put("x-forwarded-host", host);
    }
    // HTTP/1.1 has a Host in every request.
    put("host", asked.host.as_deref().unwrap_or(&origin.to_string()));
    for (name, value) in [("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1"), ("x-forwarded-proto", "http")] {
        put(name, value);
    }
    match asked.body.framing {
        Framing::Length => put("content-length", &asked.body.bytes.len().to_string()),
        Framing::Chunked => put("transfer-encoding", "chunked"),
        Framing::None | Framing::Close => {}
    }
    values
}

/// The answer is the origin's, and never looks whole where the origin's was not.
fn answered(turn: &Turn, met: &Met, say: &mut impl FnMut(String)) {
    let (asked, script) = (&turn.asked, &turn.script);
    let early = script.early.is_some();
    if asked.old != met.informational.is_empty() && asked.old {
        say("a client of HTTP/1.0 got an interim answer".to_owned());
    }
    if !asked.old {
        let mut expected: Vec<(u16, Fields)> = script.informational.iter().map(|(status, fields)| (*status, lower(fields))).collect();
        let mut told = met.informational.clone();
        if asked.expects {
            // Who may go on is told so by the gateway, or by the origin where its body was there by then, and not over and over.
            let hundreds = |list: &[(u16, Fields)]| list.iter().filter(|(status, _)| *status == 100).count();
            if hundreds(&told) == 0 && (asked.waits || script.hundred) {
                say("the client was not told to go on".to_owned());
            }
            if hundreds(&told) > hundreds(&expected) + 1 {
                say(format!("the client was told to go on {} times", hundreds(&told)));
            }
            expected.retain(|(status, _)| *status != 100);
            told.retain(|(status, _)| *status != 100);
        }
        if told != expected {
            say(format!("the interim answers were {told:?} instead of {expected:?}"));
        }
    }
    if matches!(script.cut, Some(Cut { in_head: true, .. })) {
        if met.status != 502 || met.broken.is_some() || !met.head.has("content-type", "application/problem+json") {
            say(format!("without an answer of the origin's the client met {} ({:?})", met.status, met.broken));
        }
    } else {
        own(turn, met, say);
    }
    let must_close = !asked.keeps() || met.framing == Framing::Close || met.broken.is_some();
    if must_close && met.keeps && met.broken.is_none() {
        say("the answer keeps a connection that has to close".to_owned());
    }
    if !must_close && !early && !met.keeps {
        say("the answer closes a connection that could be kept".to_owned());
    }
}

/// An answer of the origin's.
fn own(turn: &Turn, met: &Met, say: &mut impl FnMut(String)) {
    let (asked, script) = (&turn.asked, &turn.script);
    if (met.status, &met.reason) != (script.status, &script.reason) {
        say(format!("{} {:?} instead of {} {:?}", met.status, met.reason, script.status, script.reason));
        return;
    }
    let framing = match script.body.framing {
        _ if !script.has_body(&asked.method) => Framing::None,
        Framing::Length => Framing::Length,
        _ if asked.old => Framing::Close,
        _ => Framing::Chunked,
    };
    if met.framing != framing {
        say(format!("framed as {:?} instead of {framing:?}", met.framing));
    }
    let mut expected = values(&script.fields, &[]);
    if script.body.framing == Framing::Length {
        expected.entry("content-length".to_owned()).or_default().push(script.body.bytes.len().to_string());
    }
    if asked.old {
        // None can follow.
        expected.remove("trailer");
    }
    let mut ignored = vec!["x-request-id", "connection", "transfer-encoding"];
    if !expected.contains_key("date") {
        ignored.push("date");
    }
    differ("the client saw", &values(&met.head.fields, &ignored), &expected, say);
    for name in ["x-request-id", "date"] {
        if met.head.all(name).len() != 1 || met.head.has(name, "theirs") {
            say(format!("the client saw {name} as {:?}", met.head.all(name)));
        }
    }
    if met.head.fields.iter().any(|(name, value)| name == "connection" && !matches!(&value[..], b"close" | b"keep-alive")) {
        say("the client saw connection options of another hop".to_owned());
    }
    let body = if framing == Framing::None { &[][..] } else { &script.body.bytes };
    match (&script.cut, &met.broken) {
        (None, None) if met.body == body => {}
        (None, _) => say(format!("{} of {} bytes of the body, then {:?}", met.body.len(), body.len(), met.broken)),
        (Some(_), None) => say(format!("a body that was cut looks whole with {} of {} bytes", met.body.len(), body.len())),
        (Some(_), Some(_)) if body.starts_with(&met.body) => {}
        (Some(_), Some(_)) => say("a body that was cut is another one".to_owned()),
    }
    if script.cut.is_none() && framing == Framing::Chunked && lower(&script.body.trailers) != met.trailers {
        say(format!("the trailers were {:?} instead of {:?}", met.trailers, script.body.trailers));
    }
}

fn lower(fields: &Fields) -> Fields {
    fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), trim(value).to_vec())).collect()
}

/// The values of all fields but these.
pub fn values(fields: &Fields, but: &[&str]) -> Values {
    let mut values = Values::new();
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        if !but.contains(&&*name) {
            values.entry(name).or_default().push(String::from_utf8_lossy(trim(value)).escape_debug().to_string());
        }
    }
    values
}

/// Says where two sets of fields differ.
pub fn differ(who: &str, are: &Values, should: &Values, say: &mut impl FnMut(String)) {
    for name in are.keys().chain(should.keys().filter(|name| !are.contains_key(*name))) {
        if are.get(name) != should.get(name) {
            say(format!("{who} {name} as {:?} instead of {:?}", are.get(name), should.get(name)));
        }
    }
}
