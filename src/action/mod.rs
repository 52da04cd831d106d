//! What a route leads to, a file each: its check, what it compiles to, what becomes of a request there, and how that is explained.
//!
//! What is written is matched once, where it is compiled; from there on each is an [`Action`]. Their checks are found by the configuration
//! through its own trait, so that nothing points back up.

mod redirect;
mod respond;
mod upstream;

use std::collections::HashMap;
use std::sync::Arc;

use frontgate_filters::filter::Facts;
use frontgate_filters::reply::Reply;
use pingora_http::RequestHeader;

use crate::config::model;
use crate::router::Pattern;
use crate::upstream::Pool;

pub(crate) use self::upstream::Ask;

/// The upstreams of a configuration, by name.
pub(crate) type Upstreams = HashMap<String, Arc<Pool>>;

/// Something that a route leads to, compiled.
pub(crate) trait Action: Send + Sync {
    /// The upstream that the route names, where it names one.
    fn upstream(&self) -> Option<&Arc<str>> {
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
}

/// Compiles what a checked route leads to; `path` is the route's.
pub(crate) fn compile(route: &model::Route, path: &Pattern, upstreams: &Upstreams) -> Result<Box<dyn Action>, String> {
    match &route.target {
        model::Target::Upstream(name) => upstream::compile(name, route.rewrite.as_deref(), path, upstreams),
        model::Target::Redirect(written) => redirect::compile(written, path),
        model::Target::Respond(written) => respond::compile(written),
        model::Target::Unclear(_) => Err(format!("the route `{}` does not lead to exactly one thing", route.name.value)),
    }
}

/// What requests get that no route takes.
pub(crate) fn nothing() -> Box<dyn Action> {
    Box::new(respond::Fixed::new(crate::refusals::no_route()))
}
