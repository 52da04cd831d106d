//! What the gateway tells about itself: counters that are scraped, and one line in the access log for each request.
//!
//! Neither ever delays a request. Recording looks up no name and takes no lock, and a log that cannot be written fast enough
//! loses lines and counts them.

pub(crate) mod access_log;
pub(crate) mod metrics;

pub(crate) mod line_filter;
mod recent;
mod sparing;
mod taps;
mod trace_context;

pub(crate) use access_log::{AccessLog, Flag, Line, Target, rfc3339};
pub(crate) use line_filter::LineFilter;
pub(crate) use metrics::{
    Attempt, Compared, DiscoveryMetrics, DiscoveryResult, EndpointState, Gauge, HANDSHAKES, ListenerMetrics, Metrics, MirrorMetrics,
    NoHandshake, Place, RouteMetrics, Skipped, TurnedAway, UpstreamMetrics, VariantMetrics,
};
pub(crate) use recent::{Came, Reach, Recent};
pub(crate) use sparing::Sparing;
pub(crate) use taps::{Tapped, Taps};
pub(crate) use trace_context::{renewed, trace_id};
