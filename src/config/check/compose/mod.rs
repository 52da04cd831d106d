//! `aggregate`: calls that can be made, of which an answer can be put together.

use frontgate_filters::words::spanned::Spanned;

use super::Report;
use crate::config::model::{Aggregate, Route};
use crate::router::Pattern;

/// Checks the aggregate of a route; `path` is the route's, where that one is good.
pub(super) fn check(_route: &Route, aggregate: &Spanned<Aggregate>, _path: Option<&Pattern>, report: &mut Report<'_, '_>) {
    report.not_yet(report.tree.key_of(aggregate.place), "aggregate", "a route leads to one upstream, a redirect or a fixed answer");
}
