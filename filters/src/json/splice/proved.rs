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

    /// A list of these, in their order.
    pub fn list<'p>(elements: impl IntoIterator<Item = &'p Self>) -> Self {
        let mut gather = Gather::new();
        gather.push(Bytes::from_static(b"["));
        for (index, element) in elements.into_iter().enumerate() {
            if index > 0 {
                gather.push(Bytes::from_static(b","));
            }
            gather.extend(&element.0);
        }
        gather.push(Bytes::from_static(b"]"));
        Self(gather)
    }

    /// `null`.
    pub fn null() -> Self {
        let mut gather = Gather::new();
        gather.push(Bytes::from_static(b"null"));
        Self(gather)
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.first() == b'n'
    }

    pub(in crate::json) fn gather(&self) -> &Gather {
        &self.0
    }

    /// What is between its first and its last byte, without white space at both ends: members or elements, where it is a container.
    pub(in crate::json) fn within(&self) -> Gather {
        let white = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let mut slices: Vec<Bytes> = self.0.slices().to_vec();
        if let Some(first) = slices.first_mut() {
            *first = first.slice(1..);
        }
        if let Some(last) = slices.last_mut() {
            last.truncate(last.len().saturating_sub(1));
        }
        let mut begin = 0;
        while let Some(slice) = slices.get_mut(begin) {
            let lead = slice.iter().take_while(|byte| white(byte)).count();
            *slice = slice.slice(lead..);
            if !slice.is_empty() {
                break;
            }
            begin += 1;
        }
        while let Some(slice) = slices.last_mut() {
            let trail = slice.iter().rev().take_while(|byte| white(byte)).count();
            slice.truncate(slice.len() - trail);
            if !slice.is_empty() || slices.len() <= begin {
                break;
            }
            slices.pop();
        }
        let mut gather = Gather::new();
        slices.drain(begin.min(slices.len())..).for_each(|slice| gather.push(slice));
        gather
    }

    /// In one piece, without giving itself away: a copy where it does not lie in one.
    pub fn to_bytes(&self) -> Bytes {
        match self.0.slices() {
            [one] => one.clone(),
            _ => self.0.clone().into_bytes(),
        }
    }

    /// The same in one piece, so that it costs little to put it into several places.
    pub fn compact(self) -> Self {
        let mut gather = Gather::new();
        gather.push(self.into_bytes());
        Self(gather)
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
