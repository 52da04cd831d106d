//! A route whose answer is made of several calls.

use std::sync::Arc;

use frontgate_filters::filter::Facts;
use frontgate_filters::reply::Reply;
use pingora_http::RequestHeader;

use super::{Act, Action, Upstreams, With};
use crate::compose::{Composition, aggregate};
use crate::config::model;
use crate::router::Pattern;

/// The calls, and what is made of their answers.
struct Composed(Arc<dyn Composition>);

/// Compiles a checked aggregate.
pub(super) fn compile(written: &model::Aggregate, path: &Pattern, with: &With<'_>) -> Result<Box<dyn Action>, String> {
    let aggregate = aggregate::compile(written, path, &|name| with.pool(name))?;
    Ok(Box::new(Composed(Arc::new(aggregate))))
}

impl Action for Composed {
    fn composition(&self) -> Option<&Arc<dyn Composition>> {
        Some(&self.0)
    }

    fn act<'a>(&'a self, _: &RequestHeader, _: &Facts, _: &'a Upstreams) -> Act<'a> {
        Act::Compose(&self.0)
    }

    fn why(&self, _: &Reply) -> String {
        "the answer is made of calls".to_owned()
    }
}
