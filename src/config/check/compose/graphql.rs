//! `graphql`: fields that are answered from calls which can be made.

use crate::config::check::Report;
use crate::config::model::Config;

/// Checks the graphs of all routes.
pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    for graphql in config.routes.iter().filter_map(|route| route.target.graphql()) {
        report.not_yet(
            report.tree.key_of(graphql.place),
            "graphql",
            "a route leads to an upstream, a redirect, a fixed answer or an aggregate",
        );
    }
}
