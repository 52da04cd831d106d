//! What requests need of the schema and of what is configured for it, by numbers.

mod calls;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use apollo_compiler::Schema;
use apollo_compiler::ast::{OperationType, Type as Written};
use apollo_compiler::schema::{ExtendedType, ObjectType};
use apollo_compiler::validation::Valid;
use frontgate_filters::json::path::Segment;
use frontgate_filters::json::place::Step;
use frontgate_filters::words::selector::Selector;
use smallvec::SmallVec;

pub(super) use self::calls::{Call, Each, Of};
use super::federation::{Entity, via};
use super::leaf::Leaf;
use super::problem::Problem;
use super::source::Steps;
use crate::config::model;
use crate::router::Pattern;
use crate::upstream::Pool;

/// The number of a type.
pub(super) type TypeId = usize;
/// The number of a call.
pub(super) type CallId = usize;

/// All types and calls.
pub(super) struct Tables {
    pub(super) types: Vec<Type>,
    pub(super) by_name: HashMap<Box<str>, TypeId>,
    pub(super) calls: Vec<Call>,
    /// The types of objects that a federation router may ask for; none where this is no subgraph.
    pub(super) entities: Vec<Entity>,
    pub(super) is_subgraph: bool,
    /// What is hidden from whom.
    pub(super) profiles: Vec<Profile>,
    /// Facts of requests that calls refer to.
    pub(super) selectors: Vec<Selector>,
}

/// Fields that are null for some clients, by their objects.
pub(super) struct Profile {
    pub(super) name: Box<str>,
    pub(super) hidden: HashSet<(TypeId, Box<str>)>,
}

/// What is written of fields, by object and field.
type Sources = HashMap<(Box<str>, Box<str>), From>;

/// A type that fields may have.
pub(super) struct Type {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
}

/// What a type is.
pub(super) enum Kind {
    Leaf(Leaf),
    /// Its fields by their names.
    Object(HashMap<Box<str>, From>),
    Abstract(Abstract),
    /// What only arguments have.
    Input,
}

/// An interface or a union.
pub(super) struct Abstract {
    /// The objects that it may be, sorted.
    pub(super) possible: Vec<TypeId>,
    /// Where its objects say which one they are.
    pub(super) by: Steps,
    /// The type by what they say.
    pub(super) values: HashMap<Box<[u8]>, TypeId>,
}

/// Where a field comes from.
#[derive(Clone, Debug)]
pub(super) enum From {
    /// What lies there in the JSON of its object.
    Member(Steps),
    Call(CallId),
}

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeRef {
    pub(super) base: TypeId,
    /// Whether it may be null, of each list from the outermost on and of what is in the innermost.
    pub(super) nullable: SmallVec<[bool; 4]>,
}

impl TypeRef {
    /// How many lists it is in.
    pub(super) fn lists(&self) -> usize {
        self.nullable.len() - 1
    }
}

impl Tables {
    /// Of a schema that was found right.
    pub(super) fn compile(
        schema: &Valid<Schema>,
        written: &model::Graphql,
        path: &Pattern,
        pool: &dyn Fn(&str) -> Result<Arc<Pool>, String>,
    ) -> Result<Self, Vec<Problem>> {
        let by_name: HashMap<Box<str>, TypeId> =
            schema.types.keys().enumerate().map(|(index, name)| (name.as_str().into(), index)).collect();
        let mut compiler = Compiler { schema, written, by_name: &by_name, problems: Vec::new(), selectors: Vec::new() };
        let (sources, calls) = compiler.sources(path, pool);
        let types =
            schema.types.iter().map(|(name, written)| Type { name: name.as_str().into(), kind: compiler.kind(name, written, &sources) });
        let types = types.collect();
        let entities = compiler.entities(&sources, &calls);
        let profiles = compiler.profiles();
        let Compiler { problems, selectors, .. } = compiler;
        match problems.is_empty() {
            true => Ok(Self { types, calls, entities, is_subgraph: written.subgraph, profiles, selectors, by_name }),
            false => Err(problems),
        }
    }

    /// The number of a type.
    pub(super) fn id(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// A field's type as a schema writes it.
    pub(super) fn written(&self, of: &TypeRef) -> String {
        let mark = |is_nullable: bool| if is_nullable { "" } else { "!" };
        let inner = of.nullable.last().map_or("", |is_nullable| mark(*is_nullable));
        let lists = of.nullable.iter().rev().skip(1);
        lists.fold(format!("{}{inner}", self.types[of.base].name), |inner, is_nullable| format!("[{inner}]{}", mark(*is_nullable)))
    }

    /// A field's type.
    pub(super) fn type_ref(&self, written: &Written) -> Option<TypeRef> {
        let (mut nullable, mut inner) = (SmallVec::new(), written);
        loop {
            nullable.push(!inner.is_non_null());
            match inner {
                Written::List(of) | Written::NonNullList(of) => inner = of,
                Written::Named(name) | Written::NonNullNamed(name) => return Some(TypeRef { base: self.id(name)?, nullable }),
            }
        }
    }

    /// The objects that a type may be.
    pub(super) fn possible<'t>(&'t self, id: &'t TypeId) -> &'t [TypeId] {
        match &self.types[*id].kind {
            Kind::Object(_) => std::slice::from_ref(id),
            Kind::Abstract(of) => &of.possible,
            Kind::Leaf(_) | Kind::Input => &[],
        }
    }

    /// Where a field of an object comes from.
    pub(super) fn from(&self, object: TypeId, field: &str) -> Option<&From> {
        match &self.types[object].kind {
            Kind::Object(fields) => fields.get(field),
            _ => None,
        }
    }
}

struct Compiler<'c> {
    schema: &'c Valid<Schema>,
    written: &'c model::Graphql,
    by_name: &'c HashMap<Box<str>, TypeId>,
    problems: Vec<Problem>,
    selectors: Vec<Selector>,
}

impl Compiler<'_> {
    /// The objects that a field of this type's name belongs to: itself, or what implements it.
    fn objects_of(&self, name: &str) -> Vec<Box<str>> {
        match self.schema.types.get(name) {
            Some(ExtendedType::Object(_)) => vec![name.into()],
            Some(ExtendedType::Interface(_)) => {
                let objects = self.schema.types.iter().filter_map(|(object, kind)| Some((object, kind.as_object()?)));
                let mine = objects.filter(|(_, object)| object.implements_interfaces.iter().any(|interface| interface.name == name));
                mine.map(|(object, _)| object.as_str().into()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What is written of fields, by object and field: what is written of an object's own field goes before what is written of an interface's.
    fn sources(&mut self, path: &Pattern, pool: &dyn Fn(&str) -> Result<Arc<Pool>, String>) -> (Sources, Vec<Call>) {
        let (mut sources, mut calls) = (HashMap::new(), Vec::new());
        let of_interface = |name: &str| name.split_once('.').is_some_and(|(kind, _)| self.schema.get_interface(kind).is_some());
        let (last, first): (Vec<_>, Vec<_>) = self.written.fields.iter().partition(|(name, _)| of_interface(name));
        for (name, field) in first.into_iter().chain(last) {
            let Some((kind, own)) = name.split_once('.') else {
                self.problems.push(Problem::of_field(name, "a field is written as `Type.field`"));
                continue;
            };
            let Ok(definition) = self.schema.type_field(kind, own) else {
                self.problems.push(Problem::of_field(name, "the schema has no such field"));
                continue;
            };
            let from = match (&field.value.call, &field.value.from) {
                (Some(call), None) => {
                    let roots = [OperationType::Query, OperationType::Mutation].map(|operation| self.schema.root_operation(operation));
                    let is_root = roots.into_iter().flatten().any(|root| root == kind);
                    match calls::compile(name, call, definition, is_root, path, pool, &mut self.selectors) {
                        Ok(call) => {
                            calls.push(call);
                            From::Call(calls.len() - 1)
                        }
                        Err(message) => {
                            self.problems.push(Problem::of_field(name, message));
                            continue;
                        }
                    }
                }
                (None, Some(place)) => From::Member(place.0.steps().into()),
                _ => {
                    self.problems.push(Problem::of_field(name, "a field is either a call or `from` another place"));
                    continue;
                }
            };
            for object in self.objects_of(kind) {
                sources.entry((object, own.into())).or_insert_with(|| from.clone());
            }
        }
        (sources, calls)
    }

    fn kind(&mut self, name: &str, written: &ExtendedType, sources: &Sources) -> Kind {
        match written {
            ExtendedType::Scalar(_) => Kind::Leaf(match name {
                "Int" => Leaf::Int,
                "Float" => Leaf::Float,
                "String" => Leaf::String,
                "Boolean" => Leaf::Boolean,
                "ID" => Leaf::Id,
                _ => Leaf::Custom,
            }),
            ExtendedType::Enum(names) => Kind::Leaf(Leaf::Enum(names.values.keys().map(|name| name.as_bytes().into()).collect())),
            ExtendedType::Object(object) => Kind::Object(
                object
                    .fields
                    .keys()
                    .map(|field| {
                        let from = sources.get(&(name.into(), field.as_str().into())).cloned();
                        (field.as_str().into(), from.unwrap_or_else(|| From::Member([named(field)].into())))
                    })
                    .collect(),
            ),
            ExtendedType::Interface(_) | ExtendedType::Union(_) => Kind::Abstract(self.abstract_of(name)),
            ExtendedType::InputObject(_) => Kind::Input,
        }
    }

    fn abstract_of(&mut self, name: &str) -> Abstract {
        let members: Vec<Box<str>> = match self.schema.get_union(name) {
            Some(of) => of.members.iter().map(|member| member.as_str().into()).collect(),
            None => self.objects_of(name),
        };
        let possible: BTreeSet<TypeId> = members.iter().filter_map(|member| self.by_name.get(member).copied()).collect();
        let told = self.written.types.get(name);
        let by = told.map_or_else(|| [named("__typename")].into(), |told| told.by.0.steps().into());
        let values: HashMap<Box<[u8]>, TypeId> = match told.filter(|told| !told.values.is_empty()) {
            Some(told) => {
                let value = |(value, object): (&String, &frontgate_filters::words::spanned::Spanned<String>)| {
                    let id = self.by_name.get(object.as_str()).copied().filter(|id| possible.contains(id));
                    id.map(|id| (value.as_bytes().into(), id)).ok_or_else(|| object.to_string())
                };
                let (right, wrong): (Vec<_>, Vec<_>) = told.values.iter().map(value).partition(Result::is_ok);
                for object in wrong.into_iter().filter_map(Result::err) {
                    self.problems.push(Problem::of_field(name, format!("`{object}` is none of its types")));
                }
                right.into_iter().filter_map(Result::ok).collect()
            }
            None => members.iter().filter_map(|member| Some((member.as_bytes().into(), *self.by_name.get(member)?))).collect(),
        };
        Abstract { possible: possible.into_iter().collect(), by, values }
    }

    fn entities(&self, sources: &Sources, calls: &[Call]) -> Vec<Entity> {
        if !self.written.subgraph {
            return Vec::new();
        }
        let query = self.schema.root_operation(OperationType::Query);
        let from = |field: &str| sources.get(&(query?.as_str().into(), field.into())).cloned();
        let objects = self.schema.types.values().filter_map(|kind| kind.as_object()).filter(|object| object.directives.has("key"));
        let entity = |object: &ObjectType| {
            Some(Entity { object: *self.by_name.get(object.name.as_str())?, via: via(self.schema, object, &from, calls) })
        };
        objects.filter_map(entity).collect()
    }

    fn profiles(&mut self) -> Vec<Profile> {
        let Some(hide) = &self.written.hide else { return Vec::new() };
        self.selectors.push(hide.by.value.clone());
        let mut profiles = Vec::new();
        for (profile, fields) in &hide.profiles {
            let mut hidden = HashSet::new();
            for field in fields.iter() {
                let known = field.split_once('.').and_then(|(kind, own)| Some((kind, own, self.schema.type_field(kind, own).ok()?)));
                match known {
                    None => self.problems.push(Problem::of_field(field, "the schema has no such field")),
                    Some((.., definition)) if definition.ty.is_non_null() => {
                        self.problems.push(Problem::of_field(field, "it is never null, so that it cannot be hidden"));
                    }
                    Some((kind, own, _)) => {
                        let objects = self.objects_of(kind);
                        // An object may promise more than its interface does.
                        let field_of = |object: &str| self.schema.type_field(object, own);
                        let sure = objects.iter().find(|object| field_of(object).is_ok_and(|field| field.ty.is_non_null()));
                        if let Some(object) = sure {
                            let message = format!("`{object}.{own}` is never null, so that it cannot be hidden");
                            self.problems.push(Problem::of_field(field, message));
                            continue;
                        }
                        hidden.extend(objects.iter().filter_map(|object| Some((*self.by_name.get(object)?, own.into()))));
                    }
                }
            }
            profiles.push(Profile { name: profile.as_str().into(), hidden });
        }
        profiles
    }
}

fn named(name: &str) -> Step {
    Step::Segment(Segment::Name(name.to_owned()))
}
