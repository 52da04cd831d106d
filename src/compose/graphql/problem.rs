//! What is wrong with a schema or with what its fields are said to be.

use std::ops::Range;

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// In these bytes of the schema's text.
    Sdl(Range<usize>),
    /// At this field, as it is written: `Type.field`.
    Field(String),
    /// Nowhere in particular.
    Nowhere,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where.
    pub at: At,
    /// One sentence.
    pub message: String,
    /// What could be done.
    pub help: Option<String>,
    /// Whether it works all the same.
    pub is_warning: bool,
}

impl Problem {
    /// At a field of the configuration.
    pub(super) fn of_field(name: &str, message: impl Into<String>) -> Self {
        Self { at: At::Field(name.to_owned()), message: message.into(), help: None, is_warning: false }
    }
}
