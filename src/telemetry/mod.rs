//! What the gateway tells about itself: counters that are scraped, and one line in the access log for each request.
//!
//! Neither ever delays a request. Recording looks up no name and takes no lock, and a log that cannot be written fast enough
//! loses lines and counts them.

pub(crate) mod access_log;
pub(crate) mod metrics;
pub(crate) mod own_log;
pub(crate) mod trace;

pub(crate) mod line_filter;
mod recent;
mod sparing;
mod taps;

pub(crate) use access_log::{AccessLog, Flag, Line, Target, timestamp};
pub(crate) use line_filter::LineFilter;
#[cfg_attr(not(feature = "saga"), allow(unused_imports, reason = "there are no sagas"))]
pub(crate) use metrics::SagaMetrics;
pub(crate) use metrics::{
    Attempt, Board, CallMetrics, CallResult, Compared, ComposedMetrics, DiscoveryMetrics, DiscoveryResult, EndpointState, Gauge,
    HANDSHAKES, ListenerMetrics, Metrics, MirrorMetrics, NoHandshake, Outcomes, Place, RouteMetrics, Skipped, TurnedAway, UpstreamMetrics,
    VariantMetrics, VersionCounts,
};
#[cfg_attr(not(feature = "graphql"), allow(unused_imports, reason = "there are no graphs"))]
pub(crate) use metrics::{GraphqlMetrics, GraphqlOperation, GraphqlRefusal};
#[cfg_attr(not(feature = "otel"), allow(unused_imports, reason = "nobody makes spans"))]
pub(crate) use metrics::{SpanLoss, SpanMetrics};
pub(crate) use recent::{Came, Reach, Recent};
pub(crate) use sparing::Sparing;
pub(crate) use taps::{Tapped, Taps};
pub(crate) use trace::Traced;
