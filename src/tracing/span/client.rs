//! The span of an attempt.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use frontgate_filters::grpc::Status;

use super::{CLIENT, Identity, SPANS, begin, bounded, call, count, fail, message, method, named, text};
use crate::config::model::UpstreamProtocol;
use crate::telemetry::Attempt;
use crate::tracing::Ended;
use crate::upstream::attempts::Tried;

/// Writes it.
pub(super) fn write(out: &mut Vec<u8>, ended: &Ended<'_>, tried: &Tried) {
    let line = ended.line;
    let now = line.ts.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = |instant| now.saturating_sub(ended.now.saturating_duration_since(instant));
    let known = method(line.method);
    let identity = Identity {
        span: ended.traced.attempt(tried.number),
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
        text(out, "url.full", &format!("{scheme}://{}{}", endpoint.authority, bounded(ended.target.as_bytes())));
        match endpoint.protocol {
            UpstreamProtocol::Http1 => text(out, "network.protocol.version", "1.1"),
            UpstreamProtocol::H2 => text(out, "network.protocol.version", "2"),
            UpstreamProtocol::Auto => {}
        }
        if tried.number > 1 {
            count(out, "http.request.resend_count", u64::from(tried.number) - 1);
        }
        text(out, "frontgate.upstream", &tried.upstream);
        if let Some(status) = tried.status {
            count(out, "http.response.status_code", status.into());
        }
        let is_last = ended.tried.last().is_some_and(|last| last.number == tried.number);
        let came = line.grpc_status.and_then(Status::named).filter(|_| is_last && tried.status.is_some());
        call(out, ended, ended.target, came);
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
