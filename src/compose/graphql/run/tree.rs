//! The answer while it grows: a slot for each value, and nodes for those whose fields are still to come.

use super::super::documents::Span;
use super::super::plan::SelectionId;
use super::super::tables::TypeId;
use crate::compose::Held;

/// The most values of an answer: many more than fit into the longest one would take memory for nothing.
const MOST: usize = 1 << 19;
/// The most values under which something may be still to come: what is noted of each takes more memory than most answers.
const MOST_NODES: usize = 1 << 16;
/// Memory is asked for by so many at once.
const AT_ONCE: usize = 4_096;

/// A value of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Null,
    /// As a service wrote it.
    Raw(Span),
    /// As a service wrote it, in quotes.
    Quoted(Span),
    /// This text of the tree.
    Text(u32),
    /// The name of a type.
    TypeName(u32),
    /// So many slots, from there on.
    List {
        first: u32,
        count: u32,
    },
    /// The slots of what is selected, from there on.
    Object {
        first: u32,
        selection: u32,
    },
}

/// A step on the way from the root to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Root,
    /// A field of a selection.
    Field {
        selection: u32,
        field: u32,
    },
    Element(u32),
}

/// The number of a node.
pub(super) type NodeId = u32;

/// A value under which something is still to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) slot: u32,
    pub(super) above: Option<NodeId>,
    pub(super) step: Step,
    pub(super) is_nullable: bool,
    /// It has become null: nothing under it is wanted any more.
    is_dead: bool,
}

/// There is no room for more values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The answer.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) slots: Vec<Slot>,
    nodes: Vec<Node>,
    pub(super) texts: Vec<Box<str>>,
    held: Held,
    room: usize,
}

impl Tree {
    /// Of nothing but a root that is null; what it takes of memory is asked of this.
    pub(super) fn new(held: Held) -> Self {
        Self { slots: vec![Slot::Null], nodes: Vec::new(), texts: Vec::new(), held, room: AT_ONCE }
    }

    /// So many slots, all null; the number of the first.
    pub(super) fn room(&mut self, count: usize) -> Result<u32, Full> {
        let first = self.slots.len();
        let end = first.saturating_add(count);
        while end > self.room {
            if self.room >= MOST || !self.held.grow(AT_ONCE * size_of::<Slot>()) {
                return Err(Full);
            }
            self.room += AT_ONCE;
        }
        self.slots.resize(end, Slot::Null);
        Ok(first as u32)
    }

    /// Fills a slot.
    pub(super) fn set(&mut self, slot: u32, value: Slot) {
        self.slots[slot as usize] = value;
    }

    /// Keeps a text that no service wrote.
    pub(super) fn text(&mut self, text: Box<str>) -> Slot {
        self.texts.push(text);
        Slot::Text(self.texts.len() as u32 - 1)
    }

    /// A node for a value.
    pub(super) fn node(&mut self, slot: u32, above: Option<NodeId>, step: Step, is_nullable: bool) -> Result<NodeId, Full> {
        if self.nodes.len() >= MOST_NODES {
            return Err(Full);
        }
        self.nodes.push(Node { slot, above, step, is_nullable, is_dead: false });
        Ok(self.nodes.len() as NodeId - 1)
    }

    /// Whether a value is still wanted.
    pub(super) fn is_wanted(&self, node: NodeId) -> bool {
        self.way(node).all(|(_, node)| !node.is_dead)
    }

    /// A value has become null, and nothing under it is wanted.
    pub(super) fn die(&mut self, node: NodeId) {
        self.nodes[node as usize].is_dead = true;
    }

    /// Something in this value may not be null and is: the nearest value that may be is.
    pub(super) fn nullify(&mut self, node: NodeId) {
        let nullable = self.way(node).find(|(_, node)| node.is_nullable).map(|(id, node)| (id, node.slot));
        if let Some((id, slot)) = nullable {
            self.set(slot, Slot::Null);
            self.die(id);
        }
    }

    /// The steps from the root to a value.
    pub(super) fn steps(&self, node: NodeId) -> Vec<Step> {
        let mut steps: Vec<Step> = self.way(node).map(|(_, node)| node.step).collect();
        steps.reverse();
        steps
    }

    /// A node and all above it.
    fn way(&self, node: NodeId) -> impl Iterator<Item = (NodeId, &Node)> {
        std::iter::successors(Some((node, &self.nodes[node as usize])), |(_, node)| {
            node.above.map(|above| (above, &self.nodes[above as usize]))
        })
    }
}

/// Of a selection and one of its fields.
pub(super) fn field(selection: SelectionId, field: usize) -> Step {
    Step::Field { selection: selection as u32, field: field as u32 }
}

/// The name of a type.
pub(super) fn type_name(id: TypeId) -> Slot {
    Slot::TypeName(id as u32)
}
