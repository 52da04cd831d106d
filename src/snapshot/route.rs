//! A compiled route: its filters, and what becomes of its requests.

use std::sync::Arc;
use std::time::Duration;

use frontgate_filters::chain::Chain;
use frontgate_filters::filter::Facts;
use http::Method;

use crate::action::Action;
use crate::config::model;
use crate::router::Entry;
use crate::telemetry::RouteMetrics;

/// A compiled route.
pub(crate) struct Route {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// The server's filters and its own.
    pub chain: Chain,
    /// Before which of them it is decided what the route leaves to a request.
    pub chooses_at: usize,
    /// What becomes of its requests.
    pub action: Box<dyn Action>,
    /// Its metrics.
    pub metrics: Arc<RouteMetrics>,
    /// The most bytes of a request body.
    pub body_limit: u64,
    /// Whether its upstream may be spoken to in HTTP/2. Elsewhere a gRPC call is a request like any other: what it says of itself lifts no limit.
    pub takes_calls: bool,
    /// All attempts together.
    pub timeout: Option<Duration>,
}

impl Route {
    /// Tells filters which route the request took.
    pub(crate) fn introduce(&self, index: usize, facts: &mut Facts) {
        facts.route = self.name.clone();
        facts.route_index = index;
        facts.upstream = self.action.upstream().cloned();
    }
}

/// What the router is told of a route.
pub(super) fn entry(route: &model::Route) -> Entry<'_> {
    let methods =
        route.methods.as_ref().map(|methods| methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok()).collect());
    Entry { host: route.host.as_ref().map(|host| host.as_str()), path: &route.path, methods }
}
