//! Values that may be put into others.

use bytes::Bytes;
use serde_json::Value;

use super::gather::Gather;

/// Exactly one JSON value. It comes from a document that was found right, or was printed here.
#[derive(Clone, Debug)]
pub struct Proved(Gather);

impl Proved {
    pub(in crate::json) fn new(gather: Gather) -> Self {
        Self(gather)
    }

    /// How many bytes it has.
    #[allow(clippy::len_without_is_empty, reason = "no value is empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The byte that tells its type: a brace, a bracket, a quote, a letter, a digit or a minus sign.
    pub fn first(&self) -> u8 {
        self.0.slices().first().and_then(|slice| slice.first()).copied().unwrap_or_default()
    }

    /// Its slices.
    pub fn into_gather(self) -> Gather {
        self.0
    }

    /// In one piece: itself where it lies in one, else a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }
}

impl From<&Value> for Proved {
    fn from(value: &Value) -> Self {
        let mut gather = Gather::new();
        gather.push(value.to_string().into());
        Self(gather)
    }
}

/// The name of a member that is put in, with its quotes and colon.
#[derive(Clone, Debug)]
pub struct MemberName(Bytes);

impl MemberName {
    /// Of this text.
    pub fn new(name: &str) -> Self {
        Self(format!("{}:", Value::from(name)).into())
    }

    pub(in crate::json) fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}
