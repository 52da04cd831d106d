//! Whether graphs go together with their schemas, which may lie in files: told in the schema's own lines, or where the configuration names it.

use std::ops::Range;

use apollo_compiler::ExecutableDocument;
use frontgate_filters::words::spanned::{Problem, Spanned, Weight};

use crate::action::graphql::{operations, sdl};
use crate::compose::graphql::{self, At};
use crate::config::Loaded;
use crate::config::check::graphs;
use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::model::{GraphSchema, Graphql};

/// What is wrong with the graphs of all routes.
pub(super) fn graphs(loaded: &Loaded) -> Diagnostics {
    let all = loaded.config.routes.iter().filter_map(|route| route.target.graphql());
    all.fold(Diagnostics::default(), |found, graphql| found.and(graph(loaded, graphql)))
}

fn graph(loaded: &Loaded, written: &Graphql) -> Diagnostics {
    let schema_place = match &written.schema.value {
        GraphSchema::Text(_) => written.schema.place,
        GraphSchema::File(path) => path.place,
    };
    let text = match sdl(loaded, &written.schema) {
        Ok(text) => text,
        Err(why) => return loaded.diagnose(vec![Problem::at(schema_place, why)]),
    };
    let schema = match graphql::schema(&text, written.subgraph) {
        Ok(schema) => schema,
        Err(problems) => {
            let none = Diagnostics::default();
            return problems.into_iter().fold(none, |found, problem| {
                let diagnostic = match problem.is_warning {
                    true => Diagnostic::warning(problem.message),
                    false => Diagnostic::error(problem.message),
                };
                found.and(in_schema(loaded, &written.schema, &text, diagnostic.help(problem.help), problem.at))
            });
        }
    };
    let (in_schema, told): (Vec<_>, Vec<_>) = graphs::check(written, &schema).into_iter().partition(|told| told.in_schema.is_some());
    let (keys, values): (Vec<_>, Vec<_>) = told.into_iter().partition(|told| told.at_key);
    let problems = |told: Vec<graphs::Told>| told.into_iter().map(|told| told.problem).collect::<Vec<_>>();
    let mut found = loaded.judged(problems(values), false).and(loaded.judged(problems(keys), true));
    for told in in_schema {
        let diagnostic = match told.problem.weight {
            Weight::Doubtful => Diagnostic::warning(told.problem.message),
            Weight::Wrong | Weight::Lacking => Diagnostic::error(told.problem.message),
        };
        let at = told.in_schema.map_or(At::Nowhere, At::Sdl);
        found = found.and(self::in_schema(loaded, &written.schema, &text, diagnostic.help(told.problem.help), at));
    }
    match operations(loaded, written) {
        Err(why) => {
            let place = written.persisted.as_ref().and_then(|persisted| persisted.file.as_ref()).map(|file| file.place).unwrap_or_default();
            found = found.and(loaded.diagnose(vec![Problem::at(place, why)]));
        }
        Ok(documents) => {
            let place = written.persisted.as_ref().and_then(|persisted| persisted.file.as_ref()).map(|file| file.place).unwrap_or_default();
            let unfit = documents.iter().filter_map(|(id, document)| {
                let wrong = ExecutableDocument::parse_and_validate(&schema, document, id.as_str()).err()?;
                let first = graphql::said(&wrong.errors).into_iter().next().map(|(message, _)| message).unwrap_or_default();
                Some(Problem::doubtful(place, format!("the operation `{id}` does not fit the schema, and is refused: {first}")))
            });
            found = found.and(loaded.judged(unfit.collect(), false));
        }
    }
    found
}

/// Something that is said of a part of a schema.
fn in_schema(loaded: &Loaded, schema: &Spanned<GraphSchema>, text: &str, diagnostic: Diagnostic, at: At) -> Diagnostics {
    let range = match at {
        At::Sdl(range) => range,
        At::Field(_) | At::Nowhere => 0..0,
    };
    match &schema.value {
        GraphSchema::File(path) => Diagnostics::of_text(&path.display().to_string(), text, diagnostic, range),
        GraphSchema::Text(_) => loaded.within_block(schema.place, text, line_and_column(text, range), diagnostic),
    }
}

/// The line of the first of these bytes, from 0, and where they are in it. What is missing at the end is missing behind the last word.
fn line_and_column(text: &str, range: Range<usize>) -> (usize, Range<usize>) {
    let start = range.start.min(text.trim_end().len());
    let before = text.get(..start).unwrap_or_default();
    let begins = before.rfind('\n').map_or(0, |newline| newline + 1);
    let ends = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| start + newline);
    (before.matches('\n').count(), start - begins..range.end.clamp(start, ends) - begins)
}
