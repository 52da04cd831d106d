//! The span of an attempt.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use frontgate_filters::grpc::Status;

use super::{CLIENT, Identity, SPANS, begin, bounded, call, count, fail, message, named, text};
use crate::config::model::UpstreamProtocol;
use crate::telemetry::Attempt;
use crate::tracing::Ended;
use crate::upstream::attempts::Tried;

/// An attempt, and what it was one of.
pub(super) struct Asked<'a> {
    /// The attempt.
    pub tried: &'a Tried,
    /// Its number among all attempts of the request.
    pub number: u32,
    /// The method that was sent, where it is one that the conventions know.
    pub method: Option<&'a str>,
    /// The path that was asked for, without the query.
    pub target: &'a str,
    /// The name of the call that it was made for.
    pub call: Option<&'a str>,
    /// Whether no other one followed.
    pub is_last: bool,
}

/// Writes it.
pub(super) fn write(out: &mut Vec<u8>, ended: &Ended<'_>, asked: &Asked<'_>) {
    let Asked { tried, number, method: known, target, call: name, is_last } = *asked;
    let line = ended.line;
    let now = line.ts.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = |instant| now.saturating_sub(ended.now.saturating_duration_since(instant));
    let identity = Identity {
        span: ended.traced.attempt(number),
        parent: Some(ended.traced.span),
        remote: false,
        name: known.unwrap_or("HTTP"),
        kind: CLIENT,
        start: at(tried.began),
        end: at(tried.ended),
    };
    message(out, SPANS, |out| {
        begin(out, ended, &identity);
        text(out, "http.request.method", known.unwrap_or("_OTHER"));
        let endpoint = &tried.endpoint;
        let address = |ip: IpAddr| ip.to_canonical().to_string();
        match &endpoint.name {
            Some(name) => text(out, "server.address", &name.host),
            None => text(out, "server.address", &address(endpoint.address.ip())),
        }
        count(out, "server.port", endpoint.address.port().into());
        text(out, "network.peer.address", &address(endpoint.address.ip()));
        count(out, "network.peer.port", endpoint.address.port().into());
        let scheme = if endpoint.tls().is_some() { "https" } else { "http" };
        text(out, "url.full", &format!("{scheme}://{}{}", endpoint.authority, bounded(target.as_bytes())));
        match endpoint.protocol {
            UpstreamProtocol::Http1 => text(out, "network.protocol.version", "1.1"),
            UpstreamProtocol::H2 => text(out, "network.protocol.version", "2"),
            UpstreamProtocol::Auto => {}
        }
        if tried.number > 1 {
            count(out, "http.request.resend_count", u64::from(tried.number) - 1);
        }
        text(out, "frontgate.upstream", &tried.upstream);
        if let Some(name) = name {
            text(out, "frontgate.call", name);
        }
        if let Some(status) = tried.status {
            count(out, "http.response.status_code", status.into());
        }
        let came = line.grpc_status.and_then(Status::named).filter(|_| is_last && name.is_none() && tried.status.is_some());
        if name.is_none() {
            call(out, ended, target, came);
        }
        let why = tried.why.map(|cause| cause.to_string()).unwrap_or_default();
        match (tried.result, tried.status, came) {
            (Some(Attempt::Ok), Some(status), _) if status >= 400 => fail(out, &status.to_string(), ""),
            (Some(Attempt::Ok), _, Some(came)) if came != Status::OK => fail(out, &named(came), ""),
            (Some(Attempt::Ok), ..) => {}
            (Some(failed), ..) => fail(out, failed.label(), &why),
            // A connection that its other side had closed, or a client that has left.
            (None, Some(_), _) => {}
            (None, None, _) if is_last => text(out, "error.type", "cancelled"),
            (None, None, _) => fail(out, "reset", ""),
        }
    });
}
