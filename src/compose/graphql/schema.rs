//! The schema as it is written, read and found right by the library that knows the language.

use apollo_compiler::Schema;
use apollo_compiler::diagnostic::ToCliReport;
use apollo_compiler::parser::Parser;
use apollo_compiler::validation::{DiagnosticList, Valid};

use super::problem::{At, Problem};

/// The most tokens of a schema.
const MOST_TOKENS: usize = 1_000_000;
/// How deep what is written in a schema may nest.
const MOST_NESTED: usize = 64;

/// Reads a schema. All that is wrong with it is told with its place in the text.
pub(crate) fn schema(sdl: &str) -> Result<Valid<Schema>, Vec<Problem>> {
    let mut parser = Parser::new().token_limit(MOST_TOKENS).recursion_limit(MOST_NESTED);
    let parsed = parser.parse_schema(sdl, "schema.graphql").map_err(|wrong| problems(&wrong.errors))?;
    let schema = parsed.validate().map_err(|wrong| problems(&wrong.errors))?;
    match &schema.schema_definition.subscription {
        Some(subscription) => {
            let at = subscription.location().map_or(At::Nowhere, |span| At::Sdl(span.offset()..span.end_offset()));
            let message = "subscriptions are not served: a call has one answer".to_owned();
            Err(vec![Problem { at, message, help: Some("remove the type, and let clients ask again".to_owned()), is_warning: false }])
        }
        None => Ok(schema),
    }
}

fn problems(errors: &DiagnosticList) -> Vec<Problem> {
    let problem = |(location, message): (Option<std::ops::Range<usize>>, String)| Problem {
        at: location.map_or(At::Nowhere, At::Sdl),
        message,
        help: None,
        is_warning: false,
    };
    let told = errors.iter().map(|diagnostic| {
        let span = diagnostic.error.location();
        (span.map(|span| span.offset()..span.end_offset()), diagnostic.error.to_string())
    });
    told.map(problem).collect()
}
