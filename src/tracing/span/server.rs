//! The request's own span.

use std::borrow::Cow;
use std::time::UNIX_EPOCH;

use frontgate_filters::grpc::Status;
use http::Version;

use super::{Identity, SERVER, SPANS, begin, bounded, call, count, fail, is_error, message, method, named, text};
use crate::telemetry::Flag;
use crate::tracing::Ended;

/// Writes it.
pub(super) fn write(out: &mut Vec<u8>, ended: &Ended<'_>) {
    let (line, traced) = (ended.line, ended.traced);
    let end = line.ts.duration_since(UNIX_EPOCH).unwrap_or_default();
    let known = method(line.method);
    let name = match ended.route {
        Some(route) => format!("{} {route}", known.unwrap_or("HTTP")),
        None => known.unwrap_or("HTTP").to_owned(),
    };
    let identity = Identity {
        span: traced.span,
        parent: traced.parent,
        remote: true,
        name: &name,
        kind: SERVER,
        start: end.saturating_sub(line.duration),
        end,
    };
    message(out, SPANS, |out| {
        begin(out, ended, &identity);
        text(out, "http.request.method", known.unwrap_or("_OTHER"));
        if known.is_none() {
            text(out, "http.request.method_original", &bounded(line.method.as_bytes()));
        }
        if let Some(route) = ended.route {
            text(out, "http.route", route);
        }
        let path = line.path.split(|byte| *byte == b'?').next().unwrap_or_default();
        text(out, "url.path", &bounded(path));
        text(out, "url.scheme", if line.tls_version.is_some() { "https" } else { "http" });
        if let Some(asked) = line.host {
            let (name, port) = host(asked);
            text(out, "server.address", &name);
            if let Some(port) = port {
                count(out, "server.port", port.into());
            }
        }
        if let Some(ip) = line.client_ip {
            text(out, "client.address", &ip.to_string());
        }
        if let Some(agent) = line.user_agent {
            text(out, "user_agent.original", &bounded(agent));
        }
        let version = match ended.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        };
        text(out, "network.protocol.version", version);
        if let Some(status) = line.status {
            count(out, "http.response.status_code", status.into());
        }
        let came = line.grpc_status.and_then(Status::named);
        call(out, ended, &bounded(path), came);
        own(out, ended);
        match (line.status, came) {
            (Some(status), _) if status >= 500 => fail(out, &status.to_string(), ""),
            (_, Some(came)) if is_error(came) => fail(out, &named(came), ""),
            _ if ended.broke => fail(out, line.reason.unwrap_or("broken_off"), ""),
            _ => {}
        }
    });
}

/// What no convention has a name for.
fn own(out: &mut Vec<u8>, ended: &Ended<'_>) {
    let line = ended.line;
    let attempts = line.attempts.unwrap_or(0);
    let texts = [
        ("frontgate.route", Some(line.route)),
        ("frontgate.request_id", Some(line.request_id)),
        ("frontgate.upstream", line.upstream),
        ("frontgate.reason", line.reason),
        ("frontgate.flags", line.flag.map(Flag::letters)),
        ("frontgate.version", line.version),
        ("frontgate.device", line.device),
        ("frontgate.tier", line.tier),
        ("frontgate.limit", line.limit),
        ("frontgate.circuit", line.circuit),
        ("frontgate.missing", line.missing),
        ("frontgate.saga", line.saga),
        ("frontgate.kept", ended.kept),
    ];
    for (name, value) in texts {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text(out, name, value);
        }
    }
    if let Some(calls) = line.calls {
        count(out, "frontgate.calls", calls.into());
    }
    if attempts > 1 {
        count(out, "frontgate.attempts", attempts.into());
    }
}

/// A host as it is asked for, and its port where it says one.
fn host(asked: &[u8]) -> (Cow<'_, str>, Option<u16>) {
    let Cow::Borrowed(whole) = bounded(asked) else { return (bounded(asked), None) };
    match whole.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name.trim_matches(['[', ']']).into(), Some(port)),
            Err(_) => (whole.into(), None),
        },
        _ => (whole.trim_matches(['[', ']']).into(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_its_port_are_told_apart() {
        for (asked, name, port) in [
            ("shop.example", "shop.example", None),
            ("shop.example:8080", "shop.example", Some(8080)),
            ("[2001:db8::1]:80", "2001:db8::1", Some(80)),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("shop.example:", "shop.example:", None),
            ("", "", None),
        ] {
            assert_eq!(host(asked.as_bytes()), (name.into(), port), "{asked}");
        }
        assert_eq!(host(b"sh\xf6p:80").1, None);
    }
}
