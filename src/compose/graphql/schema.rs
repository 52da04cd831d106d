//! The schema as it is written, read and found right by the library that knows the language.

use std::path::Path;

use apollo_compiler::Schema;
use apollo_compiler::ast::Document;
use apollo_compiler::parser::Parser;
use apollo_compiler::validation::{DiagnosticList, Valid};

use super::problem::{At, Problem};
use super::said::{NAME, said};
use super::{defaults, federation, one_of};
use crate::nearest::nearest;

/// The most tokens of a schema.
const MOST_TOKENS: usize = 1_000_000;
/// How deep what is written in a schema may nest.
const MOST_NESTED: usize = 64;

/// Scalars that every schema has.
const SCALARS: [&str; 5] = ["Int", "Float", "String", "Boolean", "ID"];

/// Reads a schema, which may be that of a subgraph of a federation. All that is wrong with it is told with its place in the text.
pub(crate) fn schema(sdl: &str, is_subgraph: bool) -> Result<Valid<Schema>, Vec<Problem>> {
    let mut parser = Parser::new().token_limit(MOST_TOKENS).recursion_limit(MOST_NESTED);
    let document = parser.parse_ast(sdl, NAME).map_err(|wrong| problems(&wrong.errors, None))?;
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
    let built = builder.build().map_err(|wrong| problems(&wrong.errors, Some(&document)))?;
    let schema = built.validate().map_err(|wrong| problems(&wrong.errors, Some(&document)))?;
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

fn problems(errors: &DiagnosticList, document: Option<&Document>) -> Vec<Problem> {
    let own = |file| errors.iter().next().is_some_and(|told| told.sources.get(&file).is_some_and(|file| file.path() == Path::new(NAME)));
    let told = said(errors).into_iter().map(|(message, location)| {
        let at = location.filter(|span| own(span.file_id())).map_or(At::Nowhere, |span| At::Sdl(span.offset()..span.end_offset()));
        let unknown = message.strip_prefix("cannot find type `").and_then(|rest| rest.split('`').next());
        let help = unknown.and_then(|unknown| {
            let types = document?.definitions.iter().filter_map(|definition| Some(definition.name()?.as_str()));
            Some(format!("did you mean `{}`?", nearest(unknown, types.chain(SCALARS))?))
        });
        Problem { at, message, help, is_warning: false }
    });
    told.collect()
}
