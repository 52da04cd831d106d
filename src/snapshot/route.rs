//! A compiled route: its filters, and what becomes of its requests.

use std::sync::Arc;
use std::time::Duration;

use frontgate_filters::chain::Chain;
use frontgate_filters::filter::Facts;
use frontgate_filters::head::with_map;
use frontgate_filters::words::fields;
use frontgate_filters::words::matching::Matcher;
use http::header::VARY;
use http::{HeaderName, HeaderValue, Method};
use pingora_http::{RequestHeader, ResponseHeader};

use crate::action::Action;
use crate::compose::call::RouteCalls;
use crate::config::model::{self, Priority};
use crate::mirror::Mirror;
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
    /// Facts that its requests have to have.
    pub when: Option<Matcher>,
    /// The headers by which it, or another route of its host and path, was chosen: whoever keeps its answers has to know them.
    pub varies_by: Box<[HeaderName]>,
    /// What becomes of its requests.
    pub action: Box<dyn Action>,
    /// What the calls have in common that its requests are answered from, where they are.
    pub calls: Option<Arc<RouteCalls>>,
    /// Copies of its requests for another upstream.
    pub mirror: Option<Arc<Mirror>>,
    /// Its metrics.
    pub metrics: Arc<RouteMetrics>,
    /// The most bytes of a request body.
    pub body_limit: u64,
    /// Whether its upstream may be spoken to in HTTP/2. Elsewhere a gRPC call is a request like any other: what it says of itself lifts no limit.
    pub takes_calls: bool,
    /// How late its requests are refused under overload.
    pub priority: Priority,
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

    /// Whether the request has the facts that it asks for.
    pub(crate) fn holds(&self, head: &RequestHeader, facts: &Facts) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(head, facts))
    }

    /// Marks an answer on its way out: what its filters say on every answer, and what the choice of the route depended on.
    pub(crate) fn mark(&self, head: &mut ResponseHeader, facts: &Facts) {
        self.chain.mark(head, facts);
        if !self.varies_by.is_empty() && !head.status.is_informational() {
            with_map(head, |headers| {
                for name in &self.varies_by {
                    if !fields::lists(headers, &VARY, name.as_str()) && !fields::lists(headers, &VARY, "*") {
                        headers.append(VARY, HeaderValue::from(name.clone()));
                    }
                }
            });
        }
    }
}

/// What the router is told of a route.
pub(super) fn entry(route: &model::Route) -> Entry<'_> {
    let methods =
        route.methods.as_ref().map(|methods| methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok()).collect());
    Entry {
        host: route.host.as_ref().map(|host| host.as_str()),
        path: &route.path,
        methods,
        when: route.when.as_ref().map(|when| &when.value),
    }
}
