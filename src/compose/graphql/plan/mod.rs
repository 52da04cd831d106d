//! What is to be done for an operation of a document: worked out once, for all requests that send it.
//!
//! - `document` reads a text, and `limits` says whether it would do too much before anything else is made of it.
//! - `compile` collects the fields of each object that the operation may meet, and finds the calls among them.
//! - `variables` and `arguments` are what fields get, `cost` is what all of it would cost, `cache` keeps plans.

mod arguments;
mod cache;
mod compile;
mod cost;
mod document;
mod limits;
mod variables;

use std::sync::Arc;

use apollo_compiler::Name;

pub(super) use self::arguments::{Argued, Arguing};
pub(super) use self::cache::Cache;
pub(super) use self::compile::compile;
pub(super) use self::document::{Prepared, Refusal, Which};
pub(super) use self::variables::{Variables, coerce};
use super::source::Steps;
use super::tables::{CallId, TypeId, TypeRef};

/// The number of a selection in its plan.
pub(super) type SelectionId = usize;
/// The number of a call's site in its plan.
pub(super) type SiteId = usize;
/// The number of a group of sites in its plan.
pub(super) type GroupId = usize;

/// What is wrong with a request before it is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    /// Where in the document, in bytes.
    pub(super) at: Option<usize>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) selections: Vec<Selection>,
    /// What the operation selects of its root.
    pub(super) root: SelectionId,
    pub(super) sites: Vec<Site>,
    pub(super) groups: Vec<Group>,
    /// How many roots there are that change something, one after the other; none where nothing does.
    pub(super) phases: usize,
    /// What one request costs, where no variable has a say in it.
    pub(super) cost: Option<u64>,
    /// What it takes of memory, about.
    pub(super) bytes: usize,
}

/// What is selected of an object of one type.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) object: TypeId,
    pub(super) fields: Box<[Field]>,
    /// Names of members that are looked for in its JSON.
    pub(super) members: Box<[Box<str>]>,
}

/// A field of the answer.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name in the answer.
    pub(super) key: Name,
    /// Its name in the schema.
    pub(super) name: Name,
    /// Its name in the answer as it stands before the field's value: in quotes, with its colon.
    pub(super) printed: Box<str>,
    /// Where it stands in the document.
    pub(super) at: u32,
    pub(super) of_type: TypeRef,
    pub(super) what: What,
    /// What is selected of the objects that it has.
    pub(super) below: Below,
    /// How often what is selected of it counts.
    pub(super) times: cost::Times,
}

/// Where a field of the answer comes from.
#[derive(Debug)]
pub(super) enum What {
    /// The name of the object's type.
    TypeName,
    /// It is null for who asks.
    Hidden,
    /// One of the members that are looked for, and the way on from there.
    Member(u16, Steps),
    /// What lies at a place that does not begin with a name.
    Place(Steps),
    Call(SiteId),
    /// The schema itself.
    Schema,
    /// The schema's text, for a federation router.
    Service,
    /// Objects by their keys.
    Entities(Box<Entities>),
}

/// What is selected of the objects that a field has.
#[derive(Clone, Debug)]
pub(super) enum Below {
    Leaf,
    Object(SelectionId),
    /// By the object's type, sorted.
    Abstract(Arc<[(TypeId, SelectionId)]>),
}

/// A field that is answered by a call.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) selection: SelectionId,
    /// The number of the field in its selection.
    pub(super) field: usize,
    pub(super) group: GroupId,
    pub(super) arguing: Arguing,
    /// Where the values that its call is made for lie in the objects: in which of the members that are looked for, and the way on from there.
    pub(super) each: Option<(u16, Steps)>,
    /// Whose objects are found by it, where they are asked for by their keys.
    pub(super) entity: Option<TypeId>,
}

/// Objects that are asked for by their keys.
#[derive(Debug)]
pub(super) struct Entities {
    pub(super) arguing: Arguing,
    /// Of each type the site that finds them, where there is one.
    pub(super) sites: Vec<(TypeId, Option<SiteId>)>,
}

/// Sites of one call, as many steps from the root: their calls are made together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) call: CallId,
    pub(super) sites: Vec<SiteId>,
    /// The groups of whose answers there are parents in this one.
    pub(super) needs: Vec<GroupId>,
    /// The groups that need this one.
    pub(super) needed_by: Vec<GroupId>,
    /// How many calls are before it.
    pub(super) level: usize,
    /// The number of the root that it belongs to, where roots follow each other.
    pub(super) phase: usize,
}
