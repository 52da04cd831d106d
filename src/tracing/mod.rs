//! Spans of requests for a collector of OpenTelemetry: of which requests they are made, what they say, and how they are sent.
//!
//! Whether a request's spans are recorded is decided by its trace's identifier, so that all nodes decide alike; a request that they are not
//! recorded of leaves no more than its place in the trace. One that failed or was slow may be told of all the same, once it has ended. Spans
//! are written in the form of the protocol at once and wait in a bounded queue; nothing that becomes of them touches a request.
//!
//! The protocol's messages are few and fixed (OTLP 1), and are written here by hand; they are sent over the connections that everything else
//! is sent over.

#[cfg(feature = "otel")]
mod environment;
#[cfg(feature = "otel")]
mod export;
#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod on;
#[cfg(feature = "otel")]
mod otlp;
#[cfg(feature = "otel")]
mod protobuf;
#[cfg(feature = "otel")]
mod queue;
#[cfg(feature = "otel")]
mod sampler;
#[cfg(feature = "otel")]
mod span;

use std::time::Instant;

use http::Version;

use crate::compose::call::told::Called;
use crate::telemetry::{Line, Traced};
use crate::upstream::attempts::Tried;

#[cfg(not(feature = "otel"))]
pub(crate) use off::Tracing;
#[cfg(feature = "otel")]
pub(crate) use on::Tracing;

/// A request that has ended, as its spans tell of it.
#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "nobody makes spans of it"))]
pub(crate) struct Ended<'e> {
    /// Where it stands in its trace.
    pub traced: &'e Traced,
    /// Why it is told of though its trace is not recorded.
    pub kept: Option<&'static str>,
    /// Whether its answer broke off by its upstream's fault.
    pub broke: bool,
    /// What the log says of it.
    pub line: &'e Line<'e>,
    /// What its client speaks.
    pub version: Version,
    /// The path of its route, as it is configured.
    pub route: Option<&'e str>,
    /// The path that upstreams were asked for, without the query.
    pub target: &'e str,
    /// Its attempts, or the last one.
    pub tried: &'e [Tried],
    /// The calls that its answer was put together from.
    pub calls: &'e [Called],
    /// When it ended.
    pub now: Instant,
}
