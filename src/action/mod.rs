//! What a route leads to, a file each: its check, what it compiles to, what becomes of a request there, and how that is explained.
//!
//! What is written is matched once, where it is compiled; from there on each is an [`Action`]. Their checks are found by the configuration
//! through its own trait, so that nothing points back up.

mod aggregate;
#[cfg(feature = "graphql")]
pub(crate) mod graphql;
mod redirect;
mod respond;
#[cfg(feature = "saga")]
mod saga;
mod upstream;

use std::collections::HashMap;
use std::sync::Arc;

use frontgate_filters::filter::Facts;
use frontgate_filters::reply::Reply;
use http::HeaderName;
use pingora_http::RequestHeader;

use crate::compose::Composition;
use crate::config::{Loaded, model};
use crate::router::Pattern;
use crate::telemetry::Metrics;
use crate::upstream::Pool;

pub(crate) use self::upstream::{Ask, Choice, Chosen, Pins, Seal, X_BFF_VERSION};

/// The upstreams of a configuration, by name.
pub(crate) type Upstreams = HashMap<String, Arc<Pool>>;

/// Something that a route leads to, compiled.
pub(crate) trait Action: Send + Sync {
    /// The upstream that the route names, where it names one.
    fn upstream(&self) -> Option<&Arc<str>> {
        None
    }

    /// What is left to the request, where something is: it is decided before the filters that depend on it.
    fn choice(&self) -> Option<&Choice> {
        None
    }

    /// What answers its requests from calls, where something does.
    fn composition(&self) -> Option<&Arc<dyn Composition>> {
        None
    }

    /// The graph that its requests ask, where it is one.
    #[cfg(feature = "graphql")]
    fn graph(&self) -> Option<&Arc<graphql::Served>> {
        None
    }

    /// What becomes of a request that every filter let through.
    fn act<'a>(&'a self, head: &RequestHeader, facts: &Facts, upstreams: &'a Upstreams) -> Act<'a>;

    /// Why it gave this answer, for an explanation.
    fn why(&self, _answer: &Reply) -> String {
        "the route answers by itself".to_owned()
    }
}

/// What becomes of a request.
pub(crate) enum Act<'a> {
    /// An upstream is asked.
    Ask(Ask<'a>),
    /// This is the answer.
    Answer(Reply),
    /// The answer is put together from calls.
    Compose(&'a Arc<dyn Composition>),
}

/// What routes are compiled with.
pub(crate) struct With<'w> {
    /// The upstreams.
    pub upstreams: &'w Upstreams,
    /// What was loaded, for what lies outside of it.
    pub loaded: &'w Loaded,
    /// Where there are metrics.
    pub metrics: &'w Metrics,
    /// Request headers that only the gateway may send to an upstream.
    pub identity_headers: &'w [HeaderName],
    /// Who has written lately to each upstream that knows of it.
    pub pins: &'w HashMap<String, Arc<Pins>>,
    /// The graph of the route of this name as it was served before.
    #[cfg(feature = "graphql")]
    pub graph_before: &'w dyn Fn(&str) -> Option<Arc<graphql::Served>>,
    /// Where sagas are kept and run.
    #[cfg(feature = "saga")]
    pub sagas: &'w Arc<crate::compose::saga::Home>,
}

impl With<'_> {
    /// The upstream of this name.
    fn pool(&self, name: &str) -> Result<Arc<Pool>, String> {
        self.upstreams.get(name).cloned().ok_or_else(|| format!("there is no upstream `{name}`"))
    }

    /// Who has written lately to this upstream.
    fn pins(&self, upstream: &str) -> Arc<Pins> {
        self.pins.get(upstream).cloned().unwrap_or_default()
    }
}

/// Compiles what a checked route leads to; `path` is the route's.
pub(crate) fn compile(route: &model::Route, path: &Pattern, with: &With<'_>) -> Result<Box<dyn Action>, String> {
    match &route.target {
        model::Target::Upstream(name) => upstream::compile(name, route, path, with),
        model::Target::Apart(split) => upstream::compile(&split.write, route, path, with),
        model::Target::Redirect(written) => redirect::compile(written, path),
        model::Target::Respond(written) => respond::compile(written),
        model::Target::Aggregate(written) => aggregate::compile(written, route, path, with),
        #[cfg(feature = "graphql")]
        model::Target::Graphql(written) => graphql::compile(written, route, path, with),
        #[cfg(not(feature = "graphql"))]
        model::Target::Graphql(_) => Err(format!("the route `{}` is a graph, and this build has none", route.name.value)),
        #[cfg(feature = "saga")]
        model::Target::Saga(written) => saga::compile(written, route, path, with),
        #[cfg(not(feature = "saga"))]
        model::Target::Saga(_) => Err(format!("the route `{}` is a saga, and this build has none", route.name.value)),
        model::Target::Unclear(_) => Err(format!("the route `{}` does not lead to exactly one thing", route.name.value)),
    }
}

/// What requests get that no route takes.
pub(crate) fn nothing() -> Box<dyn Action> {
    Box::new(respond::Fixed::new(crate::refusals::no_route()))
}
