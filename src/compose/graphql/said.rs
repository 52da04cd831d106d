//! What the library that knows the language says of a text, in words for people who write one.

use std::path::Path;

use apollo_compiler::Schema;
use apollo_compiler::diagnostic::ToCliReport;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::validation::DiagnosticList;

/// How the text of a schema is called, beside which there may be others.
pub(super) const NAME: &str = "schema.graphql";

/// What is said of a field whose type has fields, where none of them is selected.
const NO_SELECTION: &str = "interface, union and object types must have a subselection set";
/// Part of what is said of a field that there is not.
const NO_FIELD: &str = "does not have a field";

/// The library's names of what it expects, and how that is written.
const TOKENS: [(&str, &str); 12] = [
    ("R_CURLY", "`}`"),
    ("L_CURLY", "`{`"),
    ("R_PAREN", "`)`"),
    ("L_PAREN", "`(`"),
    ("R_BRACK", "`]`"),
    ("L_BRACK", "`[`"),
    ("COLON", "`:`"),
    ("EQ", "`=`"),
    ("DOLLAR", "`$`"),
    ("AT", "`@`"),
    ("SPREAD", "`...`"),
    ("on_KW", "`on`"),
];

/// Everything that is wrong with a text, each once, with its place.
pub(crate) fn said(errors: &DiagnosticList) -> Vec<(String, Option<SourceSpan>)> {
    let mut all: Vec<_> = errors.iter().map(|told| (plain(told.error.to_string()), told.error.location())).collect();
    all.dedup();
    // A field that there is not is left out of what is selected, so that nothing seems to be.
    if all.iter().any(|(message, _)| message.contains(NO_FIELD)) {
        all.retain(|(message, _)| message != NO_SELECTION);
    }
    all
}

/// The same without the library's names for signs.
fn plain(message: String) -> String {
    let Some((kind, found)) = message.strip_prefix("syntax error: expected ").and_then(|rest| rest.split_once(", got ")) else {
        return message;
    };
    let kind = TOKENS.iter().find(|(name, _)| *name == kind).map_or(kind, |(_, written)| written);
    match found {
        "EOF" => format!("syntax error: expected {kind}, found the end"),
        found => format!("syntax error: expected {kind}, found `{found}`"),
    }
}

/// Whether this is in the schema as it is written, and not in what is added to it.
pub(crate) fn is_own(schema: &Schema, at: SourceSpan) -> bool {
    schema.sources.get(&at.file_id()).is_some_and(|file| file.path() == Path::new(NAME))
}
