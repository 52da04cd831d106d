//! The tree of path segments, laid out for the cache: small nodes in one array, their text in another, and one hash
//! table for all the literal children of all nodes.
//!
//! A node is reached from its parent alone, by one segment, so a search with backtracking visits it at most once:
//! the work is bounded by the number of nodes that were configured, whatever the path.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::ControlFlow;

use super::fold::{Folding, hash};
use super::{Pattern, Segment};

/// The index of a node or a leaf; an `Option` of it takes four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(NonZeroU32);

impl Id {
    pub(super) fn of(index: usize) -> Self {
        let next = u32::try_from(index + 1).expect("a configuration has fewer than four billion segments");
        Self(NonZeroU32::new(next).expect("one more than an index is not zero"))
    }

    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

pub(super) struct Trie {
    nodes: Box<[Node]>,
    /// The literals of all nodes, end to end.
    text: Box<[u8]>,
    /// Open addressing, a power of two, never more than half full.
    slots: Box<[Slot]>,
}

/// Half a cache line.
#[derive(Clone, Debug)]
struct Node {
    parent: Option<Id>,
    text: (u32, u32),
    literals: Literals,
    variable: Option<Id>,
    /// The leaf of a pattern that ends here.
    ends: Option<Id>,
    /// The leaf of a pattern that goes on with `**`.
    below: Option<Id>,
}

#[derive(Clone, Copy, Debug)]
enum Literals {
    None,
    /// Compared in place.
    One(Id),
    /// Looked up in the table.
    Many,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u32,
    child: Option<Id>,
}

impl Trie {
    /// Shows the leaves that match to `each`, best first, until it breaks. `rest` is the path behind the slash that
    /// follows `node`, or none where the path ends.
    pub(super) fn visit<B>(&self, id: Id, rest: Option<&[u8]>, each: &mut impl FnMut(Id) -> ControlFlow<B>) -> ControlFlow<B> {
        #[cfg(test)]
        super::tests::step();
        let node = &self.nodes[id.index()];
        if let Some(rest) = rest {
            let (segment, rest) = match memchr::memchr(b'/', rest) {
                Some(end) => (&rest[..end], Some(&rest[end + 1..])),
                None => (rest, None),
            };
            if let Some(child) = self.literal(id, node, segment) {
                self.visit(child, rest, each)?;
            }
            if let Some(child) = node.variable
                && !segment.is_empty()
            {
                self.visit(child, rest, each)?;
            }
        } else if let Some(leaf) = node.ends {
            each(leaf)?;
        }
        node.below.map_or(ControlFlow::Continue(()), each)
    }

    fn literal(&self, id: Id, node: &Node, segment: &[u8]) -> Option<Id> {
        match node.literals {
            Literals::None => None,
            Literals::One(child) => (self.text(child) == segment).then_some(child),
            Literals::Many => {
                let hash = child_hash(id, segment);
                let mask = self.slots.len() - 1;
                let mut at = hash as usize & mask;
                loop {
                    #[cfg(test)]
                    super::tests::step();
                    let slot = self.slots[at];
                    let child = slot.child?;
                    if slot.hash == (hash >> 32) as u32 && self.nodes[child.index()].parent == Some(id) && self.text(child) == segment {
                        return Some(child);
                    }
                    at = (at + 1) & mask;
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    fn text(&self, id: Id) -> &[u8] {
        let (start, length) = self.nodes[id.index()].text;
        &self.text[start as usize..][..length as usize]
    }
}

fn child_hash(parent: Id, segment: &[u8]) -> u64 {
    hash(u64::from(parent.0.get()), segment)
}

/// A tree that still grows.
#[derive(Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    text: Vec<u8>,
    children: HashMap<(Id, Box<str>), Id, Folding>,
}

impl Builder {
    /// A new, empty tree.
    pub(super) fn root(&mut self) -> Id {
        self.add(None, "")
    }

    /// Where the leaf of this pattern belongs.
    pub(super) fn place(&mut self, root: Id, pattern: &Pattern) -> &mut Option<Id> {
        let mut at = root;
        for segment in pattern.segments() {
            at = match segment {
                Segment::Literal(text) => self.child(at, text),
                Segment::Variable(_) => match self.nodes[at.index()].variable {
                    Some(child) => child,
                    None => {
                        let child = self.add(Some(at), "");
                        self.nodes[at.index()].variable = Some(child);
                        child
                    }
                },
                Segment::Rest => return &mut self.nodes[at.index()].below,
            };
        }
        &mut self.nodes[at.index()].ends
    }

    fn child(&mut self, parent: Id, text: &str) -> Id {
        if let Some(child) = self.children.get(&(parent, text.into())) {
            return *child;
        }
        let child = self.add(Some(parent), text);
        self.children.insert((parent, text.into()), child);
        let literals = &mut self.nodes[parent.index()].literals;
        *literals = match literals {
            Literals::None => Literals::One(child),
            Literals::One(_) | Literals::Many => Literals::Many,
        };
        child
    }

    fn add(&mut self, parent: Option<Id>, text: &str) -> Id {
        let at = |length: usize| u32::try_from(length).expect("patterns take less than 4 GiB");
        let text_at = (at(self.text.len()), at(text.len()));
        self.text.extend_from_slice(text.as_bytes());
        self.nodes.push(Node { parent, text: text_at, literals: Literals::None, variable: None, ends: None, below: None });
        Id::of(self.nodes.len() - 1)
    }

    pub(super) fn finish(self) -> Trie {
        let crowded: Vec<_> =
            (self.children.iter()).filter(|((parent, _), _)| matches!(self.nodes[parent.index()].literals, Literals::Many)).collect();
        let mut slots = vec![Slot::default(); (crowded.len() * 2).next_power_of_two().max(2)];
        let mask = slots.len() - 1;
        for ((parent, text), child) in crowded {
            let hash = child_hash(*parent, text.as_bytes());
            let mut at = hash as usize & mask;
            while slots[at].child.is_some() {
                at = (at + 1) & mask;
            }
            slots[at] = Slot { hash: (hash >> 32) as u32, child: Some(*child) };
        }
        Trie { nodes: self.nodes.into(), text: self.text.into(), slots: slots.into() }
    }
}
