//! Slices after each other, with their exact length.

use bytes::{Bytes, BytesMut};

/// Slices after each other.
#[derive(Clone, Debug, Default)]
pub struct Gather {
    slices: Vec<Bytes>,
    length: usize,
}

impl Gather {
    /// Nothing yet. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a slice.
    pub fn push(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.length += slice.len();
            self.slices.push(slice);
        }
    }

    /// Adds what was gathered elsewhere.
    pub fn append(&mut self, other: Self) {
        self.length += other.length;
        if self.slices.is_empty() {
            self.slices = other.slices;
        } else {
            self.slices.extend(other.slices);
        }
    }

    /// Adds what is in another, too.
    pub fn extend(&mut self, other: &Self) {
        self.length += other.length;
        self.slices.extend_from_slice(&other.slices);
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The slices, none of which is empty.
    pub fn slices(&self) -> &[Bytes] {
        &self.slices
    }

    /// All in one piece: the only slice itself, or else a copy of exactly the length.
    pub fn into_bytes(mut self) -> Bytes {
        if self.slices.len() <= 1 {
            return self.slices.pop().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(self.length);
        for slice in &self.slices {
            whole.extend_from_slice(slice);
        }
        whole.freeze()
    }
}
