//! What is asked of a graph, and what comes of it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::compose::Missing;

/// A request, once it is known which document is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The document's text.
    pub document: &'a str,
    /// Which of its operations.
    pub operation: Option<&'a str>,
    /// The values of variables, as they came: an object, or null.
    pub variables: Option<&'a [u8]>,
    /// Whether it may change something: not by GET.
    pub may_mutate: bool,
    /// Whether it may ask for the schema.
    pub introspection: bool,
    /// The profile of `hide`, where the client has one.
    pub profile: Option<&'a str>,
}

/// Why nothing was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The text is no document.
    Parse,
    /// The document does not fit the schema.
    Validation,
    /// None of its operations is meant, or more than one may be.
    Operation,
    /// A variable has no value that it can have.
    Variables,
    /// It would do more than is allowed.
    Limit,
    /// It would change something, and may not.
    Mutation,
    /// It asks for the schema, and may not.
    Introspection,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has data, be it null.
    Data,
    /// Nothing was executed.
    Refused(Refused),
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It reads.
    Query,
    /// It changes something.
    Mutation,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The answer, as JSON. Its part of the memory of all answers is held as long as it is.
    pub body: Bytes,
    /// What it is.
    pub kind: Kind,
    /// What the operation does, once that is known.
    pub operation: Option<Operation>,
    /// The operation's name.
    pub name: Option<Arc<str>>,
    /// How many errors are in it.
    pub errors: usize,
    /// The calls that are missing in it, and the first fields that are null since what came for them is nothing that they can have.
    pub missing: Vec<Missing>,
    /// What it says about being complete and being kept: `X-BFF-Complete`, `X-BFF-Missing`, `Cache-Control`, `Vary`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether its plan was there already.
    pub was_planned: bool,
}
