//! The answer as it is sent.

use std::io::Write;

use super::super::documents::Documents;
use super::super::plan::{Fault, Plan};
use super::super::tables::Tables;
use super::super::{Refused, place_in};
use super::failure::{Errors, FieldError};
use super::tree::{Slot, Step, Tree};

/// The longest message, in bytes.
const LONGEST: usize = 500;

/// What is printed from.
#[derive(Clone, Copy)]
pub(super) struct Printing<'p> {
    pub(super) tables: &'p Tables,
    pub(super) plan: &'p Plan,
    pub(super) documents: &'p Documents,
    pub(super) tree: &'p Tree,
    /// The document's text.
    pub(super) text: &'p str,
    /// The most bytes.
    pub(super) most: usize,
}

/// It would be longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Printing<'_> {
    /// The whole answer. `told` are errors that are JSON already.
    pub(super) fn whole(&self, errors: &Errors, told: &[String]) -> Result<Vec<u8>, TooLong> {
        let mut out = Vec::with_capacity(1_024.max(self.tree.slots.len() * 16).min(self.most));
        out.push(b'{');
        if !errors.first.is_empty() || !told.is_empty() {
            out.extend_from_slice(b"\"errors\":[");
            let mut is_first = true;
            for text in told {
                comma(&mut is_first, &mut out);
                out.extend_from_slice(text.as_bytes());
            }
            for error in &errors.first {
                comma(&mut is_first, &mut out);
                self.error(error, &mut out);
            }
            out.extend_from_slice(b"],");
        }
        out.extend_from_slice(b"\"data\":");
        self.slot(self.tree.slots[0], &mut out)?;
        out.push(b'}');
        Ok(out)
    }

    /// How deep it goes is bounded by the plan.
    fn slot(&self, slot: Slot, out: &mut Vec<u8>) -> Result<(), TooLong> {
        if out.len() > self.most {
            return Err(TooLong);
        }
        match slot {
            Slot::Null => out.extend_from_slice(b"null"),
            Slot::Raw(span) => out.extend_from_slice(self.documents.bytes(span)),
            Slot::Quoted(span) => {
                out.push(b'"');
                out.extend_from_slice(self.documents.bytes(span));
                out.push(b'"');
            }
            Slot::Text(text) => out.extend_from_slice(self.tree.texts[text as usize].as_bytes()),
            Slot::TypeName(id) => {
                out.push(b'"');
                out.extend_from_slice(self.tables.types[id as usize].name.as_bytes());
                out.push(b'"');
            }
            Slot::List { first, count } => {
                out.push(b'[');
                for index in 0..count {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.slot(self.tree.slots[(first + index) as usize], out)?;
                }
                out.push(b']');
            }
            Slot::Object { first, selection } => {
                out.push(b'{');
                for (index, field) in self.plan.selections[selection as usize].fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(field.printed.as_bytes());
                    self.slot(self.tree.slots[first as usize + index], out)?;
                }
                out.push(b'}');
            }
        }
        if out.len() > self.most { Err(TooLong) } else { Ok(()) }
    }

    fn error(&self, error: &FieldError, out: &mut Vec<u8>) {
        let (line, column) = place_in(self.text, error.at as usize);
        let _ =
            write!(out, "{{\"message\":\"{}\",\"locations\":[{{\"line\":{line},\"column\":{column}}}],\"path\":[", error.code.message());
        let mut is_first = true;
        for step in &error.path {
            match step {
                Step::Root => continue,
                Step::Field { selection, field } => {
                    comma(&mut is_first, out);
                    let _ = write!(out, "\"{}\"", self.plan.selections[*selection as usize].fields[*field as usize].key);
                }
                Step::Element(index) => {
                    comma(&mut is_first, out);
                    let _ = write!(out, "{index}");
                }
            }
        }
        let _ = write!(out, "],\"extensions\":{{\"code\":\"{}\"", error.code.word());
        if let Some(call) = error.call {
            let _ = write!(out, ",\"call\":\"{}\"", self.tables.calls[call].name);
        }
        if let Some(status) = error.status {
            let _ = write!(out, ",\"status\":{status}");
        }
        out.extend_from_slice(b"}}");
    }
}

fn comma(is_first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(is_first) {
        out.push(b',');
    }
}

/// The answer to a request of which nothing was executed.
pub(in super::super) fn refusal(text: &str, why: Refused, faults: &[Fault], most: usize) -> Vec<u8> {
    let code = match why {
        Refused::Parse => "GRAPHQL_PARSE_FAILED",
        Refused::Validation | Refused::Introspection => "GRAPHQL_VALIDATION_FAILED",
        Refused::Operation => "OPERATION_RESOLUTION_FAILURE",
        Refused::Variables => "BAD_USER_INPUT",
        Refused::Limit => "LIMIT_EXCEEDED",
        Refused::Mutation => "BAD_REQUEST",
    };
    let nothing = [Fault { message: "The request cannot be executed.".to_owned(), at: None }];
    let faults = if faults.is_empty() { &nothing } else { faults };
    let errors: Vec<String> = faults.iter().take(most.max(1)).map(|fault| told(text, &fault.message, fault.at, code)).collect();
    format!("{{\"errors\":[{}]}}", errors.join(",")).into_bytes()
}

/// An error as JSON. What is long of it is left out: it may have a name of the document in it.
pub(super) fn told(text: &str, message: &str, at: Option<usize>, code: &str) -> String {
    let message = &message[..message.floor_char_boundary(LONGEST)];
    let place = at
        .map(|at| place_in(text, at))
        .map_or_else(String::new, |(line, column)| format!(",\"locations\":[{{\"line\":{line},\"column\":{column}}}]"));
    format!("{{\"message\":{}{place},\"extensions\":{{\"code\":\"{code}\"}}}}", serde_json::Value::from(message))
}
