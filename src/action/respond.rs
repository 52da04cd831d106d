//! A route that answers by itself, always the same.

use frontgate_filters::filter::Facts;
use frontgate_filters::reply::Reply;
use frontgate_filters::reply::respond::Respond;
use pingora_http::RequestHeader;

use super::{Act, Action, Upstreams};
use crate::config::check::{Check, Report};
use crate::router::Pattern;

/// The answer.
pub(super) struct Fixed(Reply);

impl Fixed {
    /// This answer.
    pub(super) fn new(reply: Reply) -> Self {
        Self(reply)
    }
}

impl Check for Respond {
    fn check(&self, _: Option<&Pattern>, report: &mut Report<'_, '_>) {
        report.problems(self.problems(&[]));
    }
}

/// Compiles a checked answer.
pub(super) fn compile(written: &Respond) -> Result<Box<dyn Action>, String> {
    Ok(Box::new(Fixed(written.reply()?)))
}

impl Action for Fixed {
    fn act<'a>(&'a self, _: &RequestHeader, _: &Facts, _: &'a Upstreams) -> Act<'a> {
        Act::Answer(self.0.clone())
    }
}
