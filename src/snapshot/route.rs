//! A compiled route: its filters, and what becomes of its requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use frontgate_filters::chain::Chain;
use frontgate_filters::filter::Facts;
use frontgate_filters::reply::{Reply, ReplyBody};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::config::model;
use crate::router::{Entry, Pattern, Template};
use crate::telemetry::RouteMetrics;
use crate::upstream::Pool;

/// A compiled route.
pub struct Route {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// The server's filters and its own.
    pub chain: Chain,
    /// What becomes of its requests.
    pub action: Action,
    /// Its metrics.
    pub metrics: Arc<RouteMetrics>,
    /// The most bytes of a request body.
    pub body_limit: u64,
    /// All attempts together.
    pub timeout: Option<Duration>,
    /// What the pool is sent instead of the path.
    pub rewrite: Option<PathRewrite>,
}

/// What becomes of a route's requests.
pub enum Action {
    /// A pool answers.
    Pool(Arc<Pool>),
    /// The client is sent elsewhere.
    Redirect(Template, StatusCode),
    /// A fixed answer.
    Respond(Reply),
    /// No route took it.
    Nothing,
}

/// A compiled rewrite.
pub enum PathRewrite {
    /// So many bytes off the front.
    Strip(usize),
    /// Another path.
    Template(Template),
}

impl Route {
    /// Tells filters which route the request took.
    pub fn introduce(&self, index: usize, facts: &mut Facts) {
        facts.route = self.name.clone();
        facts.route_index = index;
        facts.upstream = match &self.action {
            Action::Pool(pool) => Some(pool.name.clone()),
            _ => None,
        };
    }
}

impl PathRewrite {
    /// The path that is sent for this normalised one.
    pub fn apply(&self, path: &str) -> String {
        match self {
            Self::Strip(length) => match path.get(*length..) {
                Some(rest) if rest.starts_with('/') => rest.to_owned(),
                Some(rest) => format!("/{rest}"),
                None => "/".to_owned(),
            },
            Self::Template(template) => template.expand(path),
        }
    }
}

pub(super) fn action(route: &model::Route, pattern: &Pattern, pools: &HashMap<String, Arc<Pool>>) -> Result<Action, String> {
    if let Some(name) = &route.upstream {
        return pools.get(&name.value).cloned().map(Action::Pool).ok_or_else(|| format!("the pool `{}` is lost", name.value));
    }
    if let Some(redirect) = &route.redirect {
        let status = StatusCode::from_u16(*redirect.status).map_err(|error| error.to_string())?;
        return Ok(Action::Redirect(Template::parse(&redirect.to, pattern)?, status));
    }
    let Some(respond) = &route.respond else { return Err(format!("the route `{}` leads nowhere", route.name.value)) };
    let (kind, body) = match (&respond.json, &respond.body) {
        (Some(json), _) => (Some("application/json"), json.value.to_string()),
        (None, Some(text)) => (Some("text/plain; charset=utf-8"), text.value.clone()),
        (None, None) => (None, String::new()),
    };
    let mut headers = Vec::new();
    for (name, value) in &respond.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        headers.push((name, HeaderValue::from_str(value).map_err(|error| error.to_string())?));
    }
    if let Some(kind) = kind
        && !headers.iter().any(|(name, _)| name == http::header::CONTENT_TYPE)
    {
        headers.push((http::header::CONTENT_TYPE, HeaderValue::from_static(kind)));
    }
    let status = StatusCode::from_u16(*respond.status).map_err(|error| error.to_string())?;
    Ok(Action::Respond(Reply { status, headers, body: ReplyBody::Bytes(body.into()) }))
}

pub(super) fn entry(route: &model::Route) -> Entry<'_> {
    let methods =
        route.methods.as_ref().map(|methods| methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok()).collect());
    Entry { host: route.host.as_ref().map(|host| host.as_str()), path: &route.path, methods }
}
