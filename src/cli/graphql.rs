//! `frontgate graphql`: the schema that a route serves, and the calls that a query would make. Offline: nobody is asked for anything.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

/// What is told of a graph.
#[derive(Subcommand)]
#[cfg_attr(not(feature = "graphql"), allow(dead_code, reason = "there are no graphs"))]
pub(super) enum OnGraphql {
    /// The schema as it is served, in GraphQL's own language
    Schema {
        /// The route; may be left out where there is one graph
        #[arg(long, value_name = "ROUTE")]
        route: Option<String>,
    },
    /// The calls that a query would make, in the order in which they can be made; none is made
    Plan {
        /// The query, such as `{user(id: 1) {name}}`
        query: String,
        /// The route; may be left out where there is one graph
        #[arg(long, value_name = "ROUTE")]
        route: Option<String>,
        /// Which of its operations, where it has several
        #[arg(long, value_name = "NAME")]
        operation: Option<String>,
        /// The values of its variables, a JSON object
        #[arg(long, value_name = "JSON")]
        variables: Option<String>,
        /// As for clients of this profile of `hide`, such as smart_tv
        #[arg(long, value_name = "PROFILE")]
        profile: Option<String>,
    },
}

/// Tells it.
#[cfg(not(feature = "graphql"))]
pub(super) fn run(_: Option<&Path>, _: &OnGraphql) -> ExitCode {
    super::fail(super::exit::USAGE, "this build has no graphs: build it with `--features graphql`")
}

/// Tells it.
#[cfg(feature = "graphql")]
pub(super) fn run(path: Option<&Path>, what: &OnGraphql) -> ExitCode {
    served::run(path, what)
}

#[cfg(feature = "graphql")]
mod served {
    use std::io::Write;
    use std::path::Path;
    use std::process::ExitCode;
    use std::sync::Arc;

    use super::OnGraphql;
    use crate::action::graphql::Served;
    use crate::cli::{exit, fail, opened};
    use crate::explain::graph::lines;
    use crate::snapshot::Snapshot;
    use crate::telemetry::Metrics;

    pub(super) fn run(path: Option<&Path>, what: &OnGraphql) -> ExitCode {
        let mut loaded = match opened(path) {
            Ok(loaded) => loaded,
            Err(code) => return code,
        };
        // No access log, and nobody whom it would name: what is told leaves no trace.
        loaded.config.telemetry.access_log = crate::config::model::AccessLog::Off;
        loaded.config.telemetry.hash_key = None;
        let snapshot = match Snapshot::compile(loaded, None, &Metrics::new(), None) {
            Ok(snapshot) => snapshot,
            Err(why) => return fail(exit::RUNTIME, &why),
        };
        let (OnGraphql::Schema { route } | OnGraphql::Plan { route, .. }) = what;
        let graph = match find(&snapshot, route.as_deref()) {
            Ok(graph) => graph.graph(),
            Err(why) => return fail(exit::USAGE, &why),
        };
        let text = match what {
            OnGraphql::Schema { .. } => format!("{}\n", graph.sdl().trim_end()),
            OnGraphql::Plan { query, operation, variables, profile, .. } => {
                match graph.plan(query, operation.as_deref(), variables.as_deref().map(str::as_bytes), profile.as_deref()) {
                    Ok(planned) => {
                        let (what, calls) = lines(&planned);
                        calls.iter().fold(format!("{what}\n"), |text, call| text + "  " + call + "\n")
                    }
                    Err(why) => return fail(exit::RUNTIME, &format!("the query is refused: {}", why.join("; "))),
                }
            }
        };
        let _ = std::io::stdout().write_all(text.as_bytes());
        ExitCode::SUCCESS
    }

    /// The graph of this route, or the only one.
    fn find<'s>(snapshot: &'s Snapshot, route: Option<&str>) -> Result<&'s Arc<Served>, String> {
        let graphs: Vec<(&str, &Arc<Served>)> =
            snapshot.routes.iter().filter_map(|known| Some((&*known.name, known.action.graph()?))).collect();
        let names = || graphs.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match (route, &graphs[..]) {
            (_, []) => Err("no route of the configuration leads to a graph".to_owned()),
            (None, [(_, graph)]) => Ok(graph),
            (None, _) => Err(format!("there are several graphs: say which by `--route`, {}", names())),
            (Some(route), all) => all
                .iter()
                .find(|(name, _)| *name == route)
                .map(|(_, graph)| *graph)
                .ok_or_else(|| format!("the route `{route}` is no graph; these are {}", names())),
        }
    }
}
