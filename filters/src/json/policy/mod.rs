//! What of a document stays: paths compiled to an automaton over member names.
//!
//! A state ([`Node`]) says for each name where its value leads: it stays whole, it goes whole, or its members are looked at in another
//! state. Arrays are transparent: their elements are looked at in the state of the array itself. `drop`, `keep` and intersections
//! differ only in their tables, so that the engine has one kind of policy to follow.

mod compile;
mod key;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};

pub use compile::MAX_NODES;

use super::bits::Prefilter;
use super::path::Path;

/// An immutable, compiled policy. Meant to be shared as `Arc<Policy>`.
#[derive(Clone)]
pub struct Policy {
    pub(crate) nodes: Vec<Node>,
    /// The longest name that is looked for, in bytes.
    pub(crate) longest: usize,
    /// Something is named to stay, so that the rest is hidden: a defect in the input must not show it.
    hides: bool,
    noop: bool,
    /// Tells keys that may be names, where it is enough to look at these in the whole document.
    pub(crate) prefilter: Option<Prefilter>,
    fingerprint: u64,
}

/// Where a member's name leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Target(pub(crate) u32);

impl Target {
    /// The value stays whole.
    pub(crate) const KEEP: Self = Self(u32::MAX);
    /// The member goes.
    pub(crate) const DROP: Self = Self(u32::MAX - 1);

    /// The state for the value's members, unless its fate is known whole.
    #[inline(always)]
    pub(crate) fn node(self) -> Option<u32> {
        (self.0 < Self::DROP.0).then_some(self.0)
    }
}

/// One state of the automaton.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Names that lead elsewhere than `default`, by length, then by bytes.
    pub(crate) names: Vec<Name>,
    /// Bit `min(length, 63)` for each name: most keys are told apart by it.
    lengths: u64,
    pub(crate) default: Target,
    /// Whether a scalar in place of the containers that the paths expect stays: it does for `drop`, not for `keep`.
    pub(crate) scalars: bool,
}

/// A name and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// The first eight bytes, zeros after the end.
    head: u64,
    pub(crate) text: Box<[u8]>,
    pub(crate) target: Target,
}

impl Name {
    fn new(text: &str, target: Target) -> Self {
        Self { head: head(text.as_bytes()), text: text.as_bytes().into(), target }
    }
}

/// The first eight bytes of `key` as a number, zeros after its end.
#[inline(always)]
fn head(key: &[u8]) -> u64 {
    if let Some(eight) = key.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    // Two overlapping halves: no loop over single bytes.
    let n = key.len();
    if let (Some(low), Some(high)) = (key.first_chunk::<4>(), key.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << (8 * (n - 4));
    }
    match key {
        [] => 0,
        _ => u64::from(key[0]) | u64::from(key[n / 2]) << (8 * (n / 2)) | u64::from(key[n - 1]) << (8 * (n - 1)),
    }
}

impl Node {
    /// Names that lead where all others lead are not kept.
    pub(crate) fn new(names: impl IntoIterator<Item = (String, Target)>, default: Target, scalars: bool) -> Self {
        let mut names: Vec<_> =
            names.into_iter().filter(|(_, target)| *target != default).map(|(name, target)| Name::new(&name, target)).collect();
        names.sort_by(|a, b| (a.text.len(), &a.text).cmp(&(b.text.len(), &b.text)));
        let lengths = names.iter().fold(0, |mask, name| mask | 1 << name.text.len().min(63));
        Self { names, lengths, default, scalars }
    }

    /// Where a name, already decoded, leads.
    #[inline(always)]
    pub(crate) fn find(&self, key: &[u8]) -> Target {
        if self.lengths >> key.len().min(63) & 1 == 0 {
            return self.default;
        }
        let wanted = head(key);
        for name in &self.names {
            if name.head == wanted && name.text.len() == key.len() && (key.len() <= 8 || *name.text == *key) {
                return name.target;
            }
        }
        self.default
    }
}

/// A policy that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError(pub(crate) String);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// What the paths name goes, all else stays.
    pub fn drop(paths: &[Path]) -> Result<Self, PolicyError> {
        compile::paths(paths, false)
    }

    /// What the paths name stays, with the containers on the way to it; all else goes. A scalar in place of a container on the way goes too.
    pub fn keep(paths: &[Path]) -> Result<Self, PolicyError> {
        compile::paths(paths, true)
    }

    /// What both let stay.
    pub fn intersect(&self, other: &Self) -> Result<Self, PolicyError> {
        compile::intersection(self, other)
    }

    /// A number that says what the policy does, the same in every run and on every machine: it may stand in an ETag.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether what these names lead to goes, whatever it is; none of them is the whole document.
    pub fn drops<'p>(&self, path: impl IntoIterator<Item = &'p str>) -> bool {
        let mut target = if self.noop { Target::KEEP } else { Target(0) };
        for name in path {
            let Some(node) = target.node() else { break };
            target = self.nodes[node as usize].find(name.as_bytes());
        }
        target == Target::DROP
    }

    /// Whether nothing can ever be dropped.
    pub fn is_noop(&self) -> bool {
        self.noop
    }

    /// Whether something is hidden (`keep` took part), so that input which cannot be read must not be passed on.
    pub fn hides(&self) -> bool {
        self.hides
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.nodes == other.nodes && self.hides == other.hides
    }
}

impl Eq for Policy {}

impl Hash for Policy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint.hash(state);
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({:016x}, {} states)", self.fingerprint, self.nodes.len())
    }
}
