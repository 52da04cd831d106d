//! Values become what the schema says they are (CompleteValue of the specification), each in its slot; calls that are found on the way are noted.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::documents::{Data, Documents, Span};
use super::super::leaf::{Coerced, Leaf};
use super::super::plan::{Below, Field, Plan, SelectionId, What};
use super::super::raw;
use super::super::tables::{Kind, Tables, TypeId};
use super::failure::{Code, Errors, Failure, FieldError};
use super::tree::{self, Full, NodeId, Slot, Step, Tree};

/// What there is for a field.
#[derive(Clone, Debug)]
pub(super) enum Datum {
    Nothing,
    One(Span),
    Many(Vec<Span>),
    List(Vec<Datum>),
    Failed(Arc<Failure>),
    /// A service says that there is none: null, where that may be.
    Gone(Arc<Failure>),
}

impl From<Data> for Datum {
    fn from(data: Data) -> Self {
        match data {
            Data::Nothing => Self::Nothing,
            Data::One(span) => Self::One(span),
            Data::Many(spans) => Self::Many(spans),
        }
    }
}

/// An object of which a field is answered by a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// The object's node.
    pub(super) node: NodeId,
    /// Its JSON; the root has none.
    pub(super) parent: Option<Span>,
    /// Where the values lie that the field's call is made for, if the plan says in which of its members.
    pub(super) each: Option<Span>,
    /// The field's slot.
    pub(super) slot: u32,
    /// Where it is one of the objects that are asked for by their keys: which one, and its type.
    pub(super) element: Option<(u32, TypeId)>,
}

/// A value cannot be, and its place may not be null; or there is no room for it.
pub(super) enum Stop {
    Null,
    Full,
}

impl From<Full> for Stop {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

/// A value that is being completed.
struct Frame {
    slot: u32,
    step: Step,
    is_nullable: bool,
    node: Option<NodeId>,
}

/// What values become.
pub(super) struct Completing<'c> {
    pub(super) tables: &'c Tables,
    pub(super) plan: &'c Plan,
    pub(super) documents: &'c Documents,
    pub(super) tree: &'c mut Tree,
    pub(super) errors: &'c mut Errors,
    /// By their sites.
    pub(super) pending: &'c mut [Vec<Pending>],
    /// How many pending ones were noted.
    pub(super) noted: usize,
    base: Option<NodeId>,
    frames: SmallVec<[Frame; 8]>,
    /// The type of the object that is completed next, where it is known already.
    known: Option<TypeId>,
}

impl<'c> Completing<'c> {
    pub(super) fn new(
        (tables, plan, documents): (&'c Tables, &'c Plan, &'c Documents),
        tree: &'c mut Tree,
        errors: &'c mut Errors,
        pending: &'c mut [Vec<Pending>],
    ) -> Self {
        Self { tables, plan, documents, tree, errors, pending, noted: 0, base: None, frames: SmallVec::new(), known: None }
    }

    /// The root: its fields have no JSON to be found in.
    pub(super) fn root(&mut self) -> Result<(), Full> {
        self.frames.push(Frame { slot: 0, step: Step::Root, is_nullable: true, node: None });
        let result = self.object(None, self.plan.root, 0);
        let root = self.frames.pop();
        match result {
            Ok(()) => Ok(()),
            Err(Stop::Full) => Err(Full),
            Err(Stop::Null) => {
                self.tree.set(0, Slot::Null);
                root.and_then(|root| root.node).into_iter().for_each(|node| self.tree.die(node));
                Ok(())
            }
        }
    }

    /// A field that a call has answered.
    pub(super) fn answered(&mut self, pending: Pending, selection: SelectionId, index: usize, datum: &Datum) -> Result<(), Full> {
        let plan = self.plan;
        let field = &plan.selections[selection].fields[index];
        self.base = Some(pending.node);
        let (step, level) = match pending.element {
            Some((element, _)) => (Step::Element(element), 1),
            None => (tree::field(selection, index), 0),
        };
        self.known = pending.element.map(|(_, object)| object);
        match self.place(step, pending.slot, datum, field, level) {
            Ok(()) => Ok(()),
            Err(Stop::Full) => Err(Full),
            Err(Stop::Null) => {
                self.tree.nullify(pending.node);
                Ok(())
            }
        }
    }

    /// Completes the value of one place, which is null where it cannot be and may be null.
    fn place(&mut self, step: Step, slot: u32, datum: &Datum, field: &Field, level: usize) -> Result<(), Stop> {
        let is_nullable = field.of_type.nullable[level];
        self.frames.push(Frame { slot, step, is_nullable, node: None });
        let result = self.fill(slot, datum, field, level);
        let frame = self.frames.pop();
        match result {
            Err(Stop::Null) if is_nullable => {
                self.tree.set(slot, Slot::Null);
                frame.and_then(|frame| frame.node).into_iter().for_each(|node| self.tree.die(node));
                Ok(())
            }
            other => other,
        }
    }

    fn fill(&mut self, slot: u32, datum: &Datum, field: &Field, level: usize) -> Result<(), Stop> {
        let is_nullable = field.of_type.nullable[level];
        match datum {
            Datum::Failed(failure) => return self.failed(field, failure),
            Datum::Gone(failure) if !is_nullable => return self.failed(field, failure),
            Datum::Nothing | Datum::Gone(_) => return self.nothing(slot, field, is_nullable),
            Datum::One(span) if self.documents.is_null(*span) => return self.nothing(slot, field, is_nullable),
            _ => {}
        }
        if level < field.of_type.lists() {
            return self.list(slot, datum, field, level);
        }
        let Datum::One(span) = *datum else { return self.bad(field, datum) };
        match (&field.below, &self.tables.types[field.of_type.base].kind) {
            (Below::Object(selection), _) => self.object(Some(span), *selection, slot),
            (Below::Abstract(ways), Kind::Abstract(of)) => {
                let way = self.known.take().or_else(|| match self.documents.find(span, &of.by) {
                    Data::One(said) => of.values.get(&*self.documents.scalar(said)?).copied(),
                    _ => None,
                });
                let way = way.and_then(|id| ways.binary_search_by_key(&id, |(id, _)| *id).ok());
                match way {
                    Some(way) => self.object(Some(span), ways[way].1, slot),
                    None if self.documents.first(span) == b'{' => self.wrong(field, Code::BadValue, "an object of a type that is not told"),
                    None => self.bad(field, datum),
                }
            }
            (Below::Leaf, Kind::Leaf(leaf)) => self.leaf(slot, span, field, leaf),
            _ => self.bad(field, datum),
        }
    }

    fn nothing(&mut self, slot: u32, field: &Field, is_nullable: bool) -> Result<(), Stop> {
        if !is_nullable {
            return self.wrong(field, Code::Null, "nothing");
        }
        self.tree.set(slot, Slot::Null);
        Ok(())
    }

    fn leaf(&mut self, slot: u32, span: Span, field: &Field, leaf: &Leaf) -> Result<(), Stop> {
        let value = match leaf.coerce(self.documents.bytes(span)) {
            Some(Coerced::Same) => Slot::Raw(span),
            Some(Coerced::Quoted) => Slot::Quoted(span),
            Some(Coerced::Text(text)) => self.tree.text(text),
            None => return self.bad(field, &Datum::One(span)),
        };
        self.tree.set(slot, value);
        Ok(())
    }

    /// Fills the slot of a leaf that is there and is what it has to be; most fields are. Whether it did.
    fn plain(&mut self, slot: u32, span: Span, field: &Field) -> bool {
        let (Below::Leaf, 0, Kind::Leaf(leaf)) = (&field.below, field.of_type.lists(), &self.tables.types[field.of_type.base].kind) else {
            return false;
        };
        let bytes = self.documents.bytes(span);
        let value = match leaf.coerce(bytes) {
            _ if bytes.first() == Some(&b'n') => return false,
            Some(Coerced::Same) => Slot::Raw(span),
            Some(Coerced::Quoted) => Slot::Quoted(span),
            Some(Coerced::Text(_)) | None => return false,
        };
        self.tree.set(slot, value);
        true
    }

    fn list(&mut self, slot: u32, datum: &Datum, field: &Field, level: usize) -> Result<(), Stop> {
        let documents = self.documents;
        let begin = |completing: &mut Self, count: usize| {
            let first = completing.tree.room(count)?;
            completing.tree.set(slot, Slot::List { first, count: count as u32 });
            Ok::<u32, Full>(first)
        };
        match datum {
            Datum::One(span) if documents.first(*span) == b'[' => {
                let elements: SmallVec<[Span; 16]> = documents.elements(*span).collect();
                let first = begin(self, elements.len())?;
                for (index, element) in elements.into_iter().enumerate() {
                    self.place(Step::Element(index as u32), first + index as u32, &Datum::One(element), field, level + 1)?;
                }
            }
            Datum::Many(spans) => {
                let first = begin(self, spans.len())?;
                for (index, span) in spans.iter().enumerate() {
                    self.place(Step::Element(index as u32), first + index as u32, &Datum::One(*span), field, level + 1)?;
                }
            }
            Datum::List(all) => {
                let first = begin(self, all.len())?;
                for (index, one) in all.iter().enumerate() {
                    self.place(Step::Element(index as u32), first + index as u32, one, field, level + 1)?;
                }
            }
            _ => return self.bad(field, datum),
        }
        Ok(())
    }

    /// An object's fields; what is no object has no members.
    fn object(&mut self, span: Option<Span>, selection: SelectionId, slot: u32) -> Result<(), Stop> {
        let (plan, documents) = (self.plan, self.documents);
        let selected = &plan.selections[selection];
        let first = self.tree.room(selected.fields.len())?;
        self.tree.set(slot, Slot::Object { first, selection: selection as u32 });
        let mut found: SmallVec<[Option<Span>; 16]> = SmallVec::from_elem(None, selected.members.len());
        if let Some(span) = span.filter(|_| !selected.members.is_empty()) {
            for (name, range) in raw::members(documents.text(span), span.range) {
                if let Some(index) = raw::among(name, &selected.members) {
                    found[index] = Some(Span { document: span.document, range });
                }
            }
        }
        for (index, field) in selected.fields.iter().enumerate() {
            let slot = first + index as u32;
            let step = tree::field(selection, index);
            match &field.what {
                What::TypeName => self.tree.set(slot, tree::type_name(selected.object)),
                What::Hidden | What::Schema | What::Service | What::Entities(_) => {}
                What::Member(member, rest) => {
                    if let (Some(span), true) = (found[*member as usize], rest.is_empty())
                        && self.plain(slot, span, field)
                    {
                        continue;
                    }
                    let datum = match found[*member as usize] {
                        None => Datum::Nothing,
                        Some(span) if rest.is_empty() => Datum::One(span),
                        Some(span) => documents.find(span, rest).into(),
                    };
                    self.place(step, slot, &datum, field, 0)?;
                }
                What::Place(steps) => {
                    let datum = span.map_or(Datum::Nothing, |span| documents.find(span, steps).into());
                    self.place(step, slot, &datum, field, 0)?;
                }
                What::Call(site) => {
                    let node = self.node()?;
                    let each = plan.sites[*site].each.as_ref().and_then(|(member, _)| found[*member as usize]);
                    self.pending[*site].push(Pending { node, parent: span, each, slot, element: None });
                    self.noted += 1;
                }
            }
        }
        Ok(())
    }

    /// The node of the object whose fields are being completed.
    fn node(&mut self) -> Result<NodeId, Full> {
        let mut above = self.base;
        for frame in &mut self.frames {
            let node = match frame.node {
                Some(node) => node,
                None => *frame.node.insert(self.tree.node(frame.slot, above, frame.step, frame.is_nullable)?),
            };
            above = Some(node);
        }
        Ok(above.unwrap_or_default())
    }

    /// What came is nothing that the field can have.
    fn bad(&mut self, field: &Field, datum: &Datum) -> Result<(), Stop> {
        let came = match datum {
            Datum::One(span) => raw::kind(self.documents.first(*span)),
            Datum::Many(_) | Datum::List(_) => "a list",
            Datum::Nothing | Datum::Failed(_) | Datum::Gone(_) => "nothing",
        };
        self.wrong(field, Code::BadValue, came)
    }

    fn wrong(&mut self, field: &Field, code: Code, came: &'static str) -> Result<(), Stop> {
        self.error(field, code, None, Some(came));
        Err(Stop::Null)
    }

    fn failed(&mut self, field: &Field, failure: &Failure) -> Result<(), Stop> {
        self.error(field, failure.code, Some(failure), None);
        Err(Stop::Null)
    }

    fn error(&mut self, field: &Field, code: Code, failure: Option<&Failure>, came: Option<&'static str>) {
        let (tree, base, frames) = (&*self.tree, self.base, &self.frames);
        self.errors.push(|| {
            let mut path = base.map_or_else(Vec::new, |base| tree.steps(base));
            path.extend(frames.iter().map(|frame| frame.step));
            FieldError {
                code,
                path,
                at: field.at,
                call: failure.map(|failure| failure.call),
                status: failure.and_then(|failure| failure.status),
                came,
            }
        });
    }
}
