//! A route whose answer is made of several calls.

use std::sync::Arc;

use frontgate_filters::filter::Facts;
use frontgate_filters::reply::Reply;
use http::{Method, StatusCode};
use pingora_http::RequestHeader;

use super::{Act, Action, Upstreams, With};
use crate::compose::{Composition, aggregate};
use crate::config::model;
use crate::refusals;
use crate::router::Pattern;

/// The calls, and what is made of their answers.
struct Composed {
    composition: Arc<dyn Composition>,
    /// Whether the route names methods: then it takes all of these.
    names_methods: bool,
}

/// Those of a route that names none: what calls are made with, and no other asks for an answer.
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Compiles a checked aggregate.
pub(super) fn compile(
    written: &model::Aggregate,
    route: &model::Route,
    path: &Pattern,
    with: &With<'_>,
) -> Result<Box<dyn Action>, String> {
    let aggregate = aggregate::compile(written, path, &|name| with.pool(name))?;
    Ok(Box::new(Composed { composition: Arc::new(aggregate), names_methods: route.methods.is_some() }))
}

impl Action for Composed {
    fn composition(&self) -> Option<&Arc<dyn Composition>> {
        Some(&self.composition)
    }

    fn act<'a>(&'a self, head: &RequestHeader, _: &Facts, _: &'a Upstreams) -> Act<'a> {
        if self.names_methods || METHODS.contains(&head.method) {
            Act::Compose(&self.composition)
        } else {
            Act::Answer(refusals::wrong_method("GET, HEAD, POST, PUT, PATCH, DELETE"))
        }
    }

    fn why(&self, answer: &Reply) -> String {
        let is_other = answer.status == StatusCode::METHOD_NOT_ALLOWED;
        if is_other { "an aggregate takes no such method" } else { "the answer is made of calls" }.to_owned()
    }
}
