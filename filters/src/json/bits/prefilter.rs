//! Which keys may be names that are looked for, told from their last two bytes.

/// Tells from a key's last two bytes whether it can be one of a policy's names, 64 at a time: others need not be looked at.
///
/// Only the lower halves of the bytes count, and only of ASCII. What passes has a class in common in both tables; for a key of one byte the
/// quote goes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefilter {
    /// Classes by the lower half of the byte before the last.
    pub(crate) before: [u8; 16],
    /// Classes by the lower half of the last byte.
    pub(crate) last: [u8; 16],
}

impl Prefilter {
    /// Whether a key that ends with these bytes passes.
    #[inline(always)]
    pub(crate) fn passes(&self, before: u8, last: u8) -> bool {
        before.is_ascii() && last.is_ascii() && self.before[usize::from(before & 15)] & self.last[usize::from(last & 15)] != 0
    }
}
