//! From an operation to a plan: fields are collected for each type of object that they may be selected of, as the specification says, and those
//! that calls answer become sites.

mod collect;
mod entities;

use std::collections::HashMap;

use apollo_compiler::executable::{self, SelectionSet};
use apollo_compiler::validation::Valid;
use apollo_compiler::{Name, Schema};
use frontgate_filters::json::path::Segment;
use frontgate_filters::json::place::Step;

use super::cost::Times;
use super::document::{Prepared, Refusal, Which};
use super::{Arguing, Below, Entities, Fault, Field, Group, GroupId, Plan, Selection, SelectionId, Site, What};
use crate::compose::graphql::tables::{CallId, From, Kind, Of, Tables, TypeId};
use crate::compose::graphql::{Operation, Refused};
use crate::config::model::GraphLimits;

/// The most fields of a plan: those of an interface count for each type that it may be.
const MOST_FIELDS: usize = 20_000;

/// Makes the plan.
pub(in super::super) fn compile(
    schema: &Valid<Schema>,
    tables: &Tables,
    limits: &GraphLimits,
    prepared: &Prepared,
    which: Which,
) -> Result<Plan, Refusal> {
    let mut compiler = Compiler {
        schema,
        tables,
        prepared,
        which,
        most_aliases: limits.aliases.value as usize,
        plan: Plan::default(),
        fields: 0,
        selections: HashMap::new(),
        groups: HashMap::new(),
    };
    let operation = &prepared.operation;
    let unknown = || (Refused::Validation, Vec::new());
    let root = tables.id(operation.object_type()).ok_or_else(unknown)?;
    let one = [&operation.selection_set];
    compiler.plan.root = match prepared.kind {
        Operation::Query => compiler.selection(&one, root, ROOT)?,
        Operation::Mutation => compiler.roots(&one, root)?,
    };
    compiler.finish()
}

/// Where in the order of calls something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    /// The group whose answers the object is in.
    group: Option<GroupId>,
    level: usize,
    phase: usize,
}

/// Where nothing was called yet.
const ROOT: Place = Place { group: None, level: 0, phase: 0 };

/// What tells selections apart: the sets that they are collected from, by their addresses, the object and the place.
type Key = (Vec<usize>, TypeId, Place);

struct Compiler<'c> {
    schema: &'c Valid<Schema>,
    tables: &'c Tables,
    prepared: &'c Prepared,
    which: Which,
    most_aliases: usize,
    plan: Plan,
    fields: usize,
    selections: HashMap<Key, SelectionId>,
    /// By phase, level and call.
    groups: HashMap<(usize, usize, CallId), GroupId>,
}

fn refused(message: String, at: Option<usize>) -> Refusal {
    (Refused::Limit, vec![Fault { message, at }])
}

impl<'c> Compiler<'c> {
    /// What is selected of an object of this type.
    fn selection(&mut self, sets: &[&'c SelectionSet], object: TypeId, place: Place) -> Result<SelectionId, Refusal> {
        let key = (sets.iter().map(|set| std::ptr::from_ref(*set).addr()).collect(), object, place);
        if let Some(&known) = self.selections.get(&key) {
            return Ok(known);
        }
        let collected = self.collected(sets, object)?;
        let id = self.begin(object);
        self.selections.insert(key, id);
        let (mut fields, mut members) = (Vec::with_capacity(collected.len()), Vec::new());
        for (index, (key, same)) in collected.into_iter().enumerate() {
            fields.push(self.field((key, &same), (id, index), object, place, &mut members)?);
        }
        self.end(id, fields, members);
        Ok(id)
    }

    /// What is selected of the root of what changes something: each of its fields begins when the one before has ended.
    fn roots(&mut self, sets: &[&'c SelectionSet], object: TypeId) -> Result<SelectionId, Refusal> {
        let collected = self.collected(sets, object)?;
        let id = self.begin(object);
        let (mut fields, mut members) = (Vec::with_capacity(collected.len()), Vec::new());
        self.plan.phases = collected.len();
        for (index, (key, same)) in collected.into_iter().enumerate() {
            let place = Place { group: None, level: 0, phase: index };
            fields.push(self.field((key, &same), (id, index), object, place, &mut members)?);
        }
        self.end(id, fields, members);
        Ok(id)
    }

    fn begin(&mut self, object: TypeId) -> SelectionId {
        self.plan.selections.push(Selection { object, fields: Box::default(), members: Box::default() });
        self.plan.selections.len() - 1
    }

    fn end(&mut self, id: SelectionId, fields: Vec<Field>, members: Vec<Box<str>>) {
        self.plan.selections[id].fields = fields.into();
        self.plan.selections[id].members = members.into();
    }

    /// A field of the answer: the one of this index in a selection.
    fn field(
        &mut self,
        (key, same): (&'c Name, &[&'c executable::Field]),
        (selection, index): (SelectionId, usize),
        object: TypeId,
        place: Place,
        members: &mut Vec<Box<str>>,
    ) -> Result<Field, Refusal> {
        let first = same[0];
        self.fields += 1;
        if self.fields > MOST_FIELDS {
            return Err(refused(format!("The operation has more than {MOST_FIELDS} fields, those of all types counted."), None));
        }
        let unknown = || (Refused::Validation, Vec::new());
        let mut of_type = self.tables.type_ref(&first.definition.ty).ok_or_else(unknown)?;
        let mut within = place;
        let mut times = Times::Known(1);
        let what = match first.name.as_str() {
            "__typename" => What::TypeName,
            "__schema" | "__type" => What::Schema,
            "_service" if self.is_router_asked(object, place) => What::Service,
            "_entities" if self.is_router_asked(object, place) => {
                let arguing = Arguing::compile(self.schema, &first.definition, &first.arguments);
                times = Times::of(&first.definition, &arguing);
                let sites = self.entities(selection, index, place);
                What::Entities(Box::new(Entities { arguing, sites }))
            }
            name if self.is_hidden(object, name) => What::Hidden,
            name => {
                // What is asked of the type itself, not of an interface of it: its own arguments and defaults hold.
                let own = self.schema.type_field(&self.tables.types[object].name, name).map_err(|_| unknown())?;
                of_type = self.tables.type_ref(&own.ty).ok_or_else(unknown)?;
                match self.tables.from(object, name).ok_or_else(unknown)? {
                    From::Member(steps) => {
                        if own.ty.is_list() {
                            times = Times::of(own, &Arguing::compile(self.schema, own, &first.arguments));
                        }
                        member(steps, members)
                    }
                    From::Call(call) => {
                        let arguing = Arguing::compile(self.schema, own, &first.arguments);
                        times = Times::of(own, &arguing);
                        let group = self.group(*call, place);
                        let site = self.plan.sites.len();
                        let each = match self.tables.calls[*call].each.as_ref().map(|each| &each.of) {
                            Some(Of::Parent(steps)) => match member(steps, members) {
                                What::Member(index, rest) => Some((index, rest)),
                                _ => None,
                            },
                            _ => None,
                        };
                        self.plan.sites.push(Site { selection, field: index, group, arguing, each, entity: None });
                        self.plan.groups[group].sites.push(site);
                        within = Place { group: Some(group), level: place.level + 1, ..place };
                        What::Call(site)
                    }
                }
            }
        };
        let below = match what {
            What::TypeName | What::Schema | What::Hidden => Below::Leaf,
            _ => {
                let sets: Vec<&SelectionSet> =
                    same.iter().map(|field| &field.selection_set).filter(|set| !set.selections.is_empty()).collect();
                match &self.tables.types[of_type.base].kind {
                    Kind::Leaf(_) | Kind::Input => Below::Leaf,
                    Kind::Object(_) => Below::Object(self.selection(&sets, of_type.base, within)?),
                    Kind::Abstract(of) => {
                        let ways = of
                            .possible
                            .iter()
                            .map(|&object| Ok((object, self.selection(&sets, object, self.behind(&what, object, within))?)));
                        Below::Abstract(ways.collect::<Result<Vec<_>, Refusal>>()?.into())
                    }
                }
            }
        };
        let at = first.name.location().map_or(0, |span| span.offset() as u32);
        let printed = format!("\"{key}\":").into();
        Ok(Field { key: key.clone(), name: first.name.clone(), printed, at, of_type, what, below, times })
    }

    fn is_hidden(&self, object: TypeId, name: &str) -> bool {
        let hidden = self.which.profile.and_then(|profile| self.tables.profiles.get(profile));
        hidden.is_some_and(|profile| profile.hidden.iter().any(|(of, field)| *of == object && **field == *name))
    }

    /// The group that a site of this call belongs to.
    fn group(&mut self, call: CallId, place: Place) -> GroupId {
        let next = self.plan.groups.len();
        let group = *self.groups.entry((place.phase, place.level, call)).or_insert(next);
        if group == next {
            let (level, phase) = (place.level, place.phase);
            self.plan.groups.push(Group { call, sites: Vec::new(), needs: Vec::new(), needed_by: Vec::new(), level, phase });
        }
        if let Some(before) = place.group
            && !self.plan.groups[group].needs.contains(&before)
        {
            self.plan.groups[group].needs.push(before);
            self.plan.groups[before].needed_by.push(group);
        }
        group
    }

    fn finish(self) -> Result<Plan, Refusal> {
        let mut plan = self.plan;
        plan.cost = plan.cost(None);
        let fields = plan.selections.iter().map(|one| {
            let fields: usize = one.fields.iter().map(|field| size_of::<Field>() + 64 + field.key.len() * 2).sum();
            64 + fields + one.members.iter().map(|name| 16 + name.len()).sum::<usize>()
        });
        let sites = plan.sites.iter().map(|site| size_of::<Site>() + site.arguing.bytes());
        plan.bytes = size_of::<Plan>() + fields.sum::<usize>() + sites.sum::<usize>() + plan.groups.len() * size_of::<Group>() * 2;
        Ok(plan)
    }
}

/// What is looked for in the JSON of an object, each name once.
fn member(steps: &[Step], members: &mut Vec<Box<str>>) -> What {
    let Some((Step::Segment(Segment::Name(name)), rest)) = steps.split_first() else { return What::Place(steps.into()) };
    let index = members.iter().position(|known| **known == **name).unwrap_or_else(|| {
        members.push(name.as_str().into());
        members.len() - 1
    });
    match u16::try_from(index) {
        Ok(index) => What::Member(index, rest.into()),
        Err(_) => What::Place(steps.into()),
    }
}
