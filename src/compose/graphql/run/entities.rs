//! What a federation router asks: the schema, and objects by their keys.

use serde_json::json;

use super::Run;
use super::complete::{Completing, Datum, Pending};
use super::failure::{Code, FieldError};
use super::tree::{self, Full, Slot, Step};
use crate::compose::graphql::input::Input;
use crate::compose::graphql::plan::{Entities, What};
use crate::compose::graphql::source::Arguments;

impl Run<'_> {
    /// Puts the schema where it is asked for, and begins to look for the objects that are.
    pub(super) fn begin_entities(&mut self) -> Result<(), Full> {
        let (plan, graph) = (self.plan, self.graph);
        let Slot::Object { first, .. } = self.tree.slots[0] else { return Ok(()) };
        for (index, field) in plan.selections[plan.root].fields.iter().enumerate() {
            let slot = first + index as u32;
            match &field.what {
                What::Service => {
                    let span = self.documents.add(json!({"sdl": &*graph.sdl}).to_string().into());
                    let node = self.tree.node(0, None, Step::Root, true)?;
                    self.completed(Pending { node, parent: None, each: None, slot, element: None }, index, &Datum::One(span))?;
                }
                What::Entities(entities) => self.find_entities(entities, index, slot)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn find_entities(&mut self, entities: &Entities, index: usize, slot: u32) -> Result<(), Full> {
        let plan = self.plan;
        let asked = entities.arguing.with(self.variables).ok();
        let asked = match asked.as_ref().and_then(|asked| asked.get("representations")) {
            Some(Input::List(asked)) => &asked[..],
            _ => &[],
        };
        let first = self.tree.room(asked.len())?;
        self.tree.set(slot, Slot::List { first, count: asked.len() as u32 });
        let root = self.tree.node(0, None, Step::Root, true)?;
        let node = self.tree.node(slot, Some(root), tree::field(plan.root, index), false)?;
        for (element, known) in asked.iter().enumerate() {
            let object = known.member("__typename").and_then(Input::text).and_then(|name| self.graph.tables.id(name));
            let site = object.and_then(|object| entities.sites.iter().find(|(of, _)| *of == object));
            let Some(&(object, site)) = site else {
                let (tree, at) = (&self.tree, plan.selections[plan.root].fields[index].at);
                self.errors.push(|| {
                    let path = tree.steps(node).into_iter().chain([Step::Element(element as u32)]).collect();
                    FieldError { code: Code::BadInput, path, at, call: None, status: None, came: None }
                });
                continue;
            };
            let span = self.documents.add(known.json().into());
            let pending =
                Pending { node, parent: Some(span), each: None, slot: first + element as u32, element: Some((element as u32, object)) };
            match site {
                Some(site) => self.pending[site].push(pending),
                None => self.completed(pending, index, &Datum::One(span))?,
            }
        }
        Ok(())
    }

    fn completed(&mut self, pending: Pending, index: usize, datum: &Datum) -> Result<(), Full> {
        let tables = (&self.graph.tables, self.plan, &self.documents);
        let mut completing = Completing::new(tables, &mut self.tree, &mut self.errors, &mut self.pending);
        completing.answered(pending, self.plan.root, index, datum)
    }
}

/// The arguments of a call that finds an object by its key; nothing where the key is not whole.
pub(super) fn arguments(names: &[(Box<str>, Box<str>)], known: &[u8]) -> Option<Arguments> {
    let known = Input::read(known)?;
    let one = |(argument, member): &(Box<str>, Box<str>)| {
        let value = known.member(member).filter(|value| **value != Input::Null)?;
        Some((argument.clone(), value.clone()))
    };
    names.iter().map(one).collect()
}
