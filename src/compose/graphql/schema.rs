//! The schema as it is written, read and found right by the library that knows the language.

use std::path::Path;

use apollo_compiler::Schema;
use apollo_compiler::diagnostic::ToCliReport;
use apollo_compiler::parser::Parser;
use apollo_compiler::validation::{DiagnosticList, Valid};

use super::problem::{At, Problem};
use super::{defaults, federation, one_of};

/// The most tokens of a schema.
const MOST_TOKENS: usize = 1_000_000;
/// How deep what is written in a schema may nest.
const MOST_NESTED: usize = 64;

/// How its text is called, beside which there may be others.
const NAME: &str = "schema.graphql";

/// Reads a schema, which may be that of a subgraph of a federation. All that is wrong with it is told with its place in the text.
pub(crate) fn schema(sdl: &str, is_subgraph: bool) -> Result<Valid<Schema>, Vec<Problem>> {
    let mut parser = Parser::new().token_limit(MOST_TOKENS).recursion_limit(MOST_NESTED);
    let document = parser.parse_ast(sdl, NAME).map_err(|wrong| problems(&wrong.errors))?;
    let mut builder = Schema::builder();
    if is_subgraph {
        builder = builder.adopt_orphan_extensions();
    }
    builder = builder.add_ast(&document);
    if is_subgraph {
        builder = builder.parse(federation::lacking(&document), "federation.graphql");
    }
    if let Some(lacking) = one_of::lacking(&document) {
        builder = builder.parse(lacking, "one-of.graphql");
    }
    let built = builder.build().map_err(|wrong| problems(&wrong.errors))?;
    let schema = built.validate().map_err(|wrong| problems(&wrong.errors))?;
    let told: Vec<Problem> = one_of::problems(&schema).into_iter().chain(defaults::problems(&schema)).collect();
    if !told.is_empty() {
        return Err(told);
    }
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
    let told = errors.iter().map(|diagnostic| {
        let location = diagnostic.error.location();
        let own = location.filter(|span| diagnostic.sources.get(&span.file_id()).is_some_and(|file| file.path() == Path::new(NAME)));
        let at = own.map_or(At::Nowhere, |span| At::Sdl(span.offset()..span.end_offset()));
        Problem { at, message: diagnostic.error.to_string(), help: None, is_warning: false }
    });
    told.collect()
}
