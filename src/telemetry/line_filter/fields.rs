//! The fields of a line that a filter can ask for, and what can be asked of each.

use std::net::IpAddr;
use std::time::Duration;

use super::super::{Flag, Line};

/// Reads a text of a line.
#[derive(Clone, Copy)]
pub(super) struct TextOf {
    /// The field's name.
    pub name: &'static str,
    /// Reads it.
    pub get: for<'l> fn(&'l Line<'l>) -> Option<&'l [u8]>,
}

/// Reads a number of a line; times are in microseconds.
pub(super) type NumberOf = fn(&Line<'_>) -> Option<u64>;
/// Reads an address of a line.
pub(super) type AddressOf = fn(&Line<'_>) -> Option<IpAddr>;

/// What a field is, with what reads it.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A text, which may be one of these alone where any are known.
    Text(for<'l> fn(&'l Line<'l>) -> Option<&'l [u8]>, &'static [&'static str]),
    /// A number.
    Number(NumberOf),
    /// A number of bytes, which may have a unit.
    Size(NumberOf),
    /// A time with its unit.
    Time(NumberOf),
    /// A time in milliseconds, as the line has it.
    Millis(NumberOf),
    /// An address, which is compared with one or with a network.
    Address(AddressOf),
}

/// What stands in place of who somebody is.
pub(super) const IN_PLACE_OF_NAMES: [&str; 2] = ["sub", "limit_key"];

/// The letters of flags.
const FLAGS: &[&str] = &Flag::LETTERS;

/// Every field, in the order of a line. `duration` and `overhead` are what the line has in milliseconds.
pub(crate) const FIELDS: &[(&str, Kind)] = &[
    ("request_id", Kind::Text(|line| Some(line.request_id.as_bytes()), &[])),
    ("trace_id", Kind::Text(|line| line.trace_id.map(str::as_bytes), &[])),
    ("client_ip", Kind::Address(|line| line.client_ip)),
    ("proxy_ip", Kind::Address(|line| line.proxy_ip)),
    ("method", Kind::Text(|line| Some(line.method.as_bytes()), &[])),
    ("host", Kind::Text(|line| line.host, &[])),
    ("path", Kind::Text(|line| line.path.split(|byte| *byte == b'?').next(), &[])),
    ("route", Kind::Text(|line| Some(line.route.as_bytes()), &[])),
    ("status", Kind::Number(|line| line.status.map(u64::from))),
    ("reason", Kind::Text(|line| line.reason.map(str::as_bytes), &[])),
    ("bytes_in", Kind::Size(|line| Some(line.bytes_in))),
    ("bytes_out", Kind::Size(|line| Some(line.bytes_out))),
    ("duration", Kind::Time(|line| Some(micros(line.duration)))),
    ("duration_ms", Kind::Millis(|line| Some(micros(line.duration)))),
    ("overhead", Kind::Time(|line| Some(micros(line.overhead)))),
    ("overhead_ms", Kind::Millis(|line| Some(micros(line.overhead)))),
    ("upstream", Kind::Text(|line| line.upstream.map(str::as_bytes), &[])),
    ("upstream_status", Kind::Number(|line| line.upstream_status.map(u64::from))),
    ("endpoint", Kind::Text(|line| line.endpoint.map(str::as_bytes), &[])),
    ("attempts", Kind::Number(|line| line.attempts.map(u64::from))),
    ("device", Kind::Text(|line| line.device.map(str::as_bytes), &[])),
    ("version", Kind::Text(|line| line.version.map(str::as_bytes), &[])),
    ("sub", Kind::Text(|line| line.sub.map(str::as_bytes), &[])),
    ("limit", Kind::Text(|line| line.limit.map(str::as_bytes), &[])),
    ("limit_key", Kind::Text(|line| line.limit_key.map(str::as_bytes), &[])),
    ("tier", Kind::Text(|line| line.tier.map(str::as_bytes), &[])),
    ("circuit", Kind::Text(|line| line.circuit.map(str::as_bytes), &["closed", "half_open", "open"])),
    ("protocol", Kind::Text(|line| line.protocol.map(str::as_bytes), &["HTTP/1.0", "HTTP/1.1", "HTTP/2", "websocket"])),
    ("tls_version", Kind::Text(|line| line.tls_version.map(str::as_bytes), &["1.2", "1.3"])),
    ("sni", Kind::Text(|line| line.sni, &[])),
    ("client_cert", Kind::Text(|line| line.client_cert, &[])),
    ("grpc_status", Kind::Number(|line| line.grpc_status.map(u64::from))),
    ("calls", Kind::Number(|line| line.calls.map(u64::from))),
    ("missing", Kind::Text(|line| line.missing.map(str::as_bytes), &[])),
    ("operation", Kind::Text(|line| line.operation.map(str::as_bytes), &[])),
    ("saga", Kind::Text(|line| line.saga.map(str::as_bytes), &[])),
    ("user_agent", Kind::Text(|line| line.user_agent, &[])),
    ("flags", Kind::Text(|line| line.flag.map(|flag| flag.letters().as_bytes()), FLAGS)),
];

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Kind {
    /// What may be asked of it, for people.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> &'static str {
        match self {
            Self::Text(..) => "`=`, `!=` a text, `~` one with stars or its beginning",
            Self::Number(_) => "all comparisons, with a number",
            Self::Size(_) => "all comparisons, with a number of bytes or a size such as `64KiB`",
            Self::Time(_) => "all comparisons, with a time such as `200ms`",
            Self::Millis(_) => "all comparisons, with a number",
            Self::Address(_) => "`=`, `!=` an address or a network",
        }
    }
}
