//! What a federation router asks of a graph under it: its schema (`_service`), and objects by their keys (`_entities`).
//!
//! A type with `@key` is an entity. Who finds it by its key is told by the schema: a field of the query root that has this type (or a list of it) and takes
//! the key as its arguments. Where there is none, what the router knows of the object is all that is known of it, and its fields may be calls.

use apollo_compiler::Schema;
use apollo_compiler::ast::{Definition, Document, Type};
use apollo_compiler::schema::ObjectType;
use frontgate_filters::json::path::Segment;
use frontgate_filters::json::place::Step;

use super::source::Steps;
use super::tables::{Call, CallId, From, Of, TypeId};

/// The directives of federation, by their names: those that a schema does not define itself are defined for it.
const DIRECTIVES: [(&str, &str); 15] = [
    ("link", "directive @link(url: String!, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA"),
    ("key", "directive @key(fields: FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE"),
    ("external", "directive @external(reason: String) on OBJECT | FIELD_DEFINITION"),
    ("requires", "directive @requires(fields: FieldSet!) on FIELD_DEFINITION"),
    ("provides", "directive @provides(fields: FieldSet!) on FIELD_DEFINITION"),
    ("shareable", "directive @shareable repeatable on OBJECT | FIELD_DEFINITION"),
    ("extends", "directive @extends on OBJECT | INTERFACE"),
    ("override", "directive @override(from: String!, label: String) on FIELD_DEFINITION"),
    ("interfaceObject", "directive @interfaceObject on OBJECT"),
    ("composeDirective", "directive @composeDirective(name: String!) repeatable on SCHEMA"),
    ("authenticated", "directive @authenticated on ENUM | FIELD_DEFINITION | INTERFACE | OBJECT | SCALAR"),
    ("requiresScopes", "directive @requiresScopes(scopes: [[String!]!]!) on ENUM | FIELD_DEFINITION | INTERFACE | OBJECT | SCALAR"),
    ("policy", "directive @policy(policies: [[String!]!]!) on ENUM | FIELD_DEFINITION | INTERFACE | OBJECT | SCALAR"),
    (
        "inaccessible",
        "directive @inaccessible on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT | INPUT_FIELD_DEFINITION",
    ),
    (
        "tag",
        "directive @tag(name: String!) repeatable on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT | INPUT_FIELD_DEFINITION",
    ),
];

/// Types that these directives need.
const TYPES: [(&str, &str); 3] = [
    ("FieldSet", "scalar FieldSet"),
    ("link__Import", "scalar link__Import"),
    ("link__Purpose", "enum link__Purpose { SECURITY EXECUTION }"),
];

/// What a schema lacks to be that of a subgraph.
pub(super) fn lacking(document: &Document) -> String {
    let (mut directives, mut types, mut entities, mut query) = (Vec::new(), Vec::new(), Vec::new(), None);
    let mut entity = |name: &str, is_one: bool| {
        if is_one && !entities.iter().any(|known| known == name) {
            entities.push(name.to_owned());
        }
    };
    for definition in &document.definitions {
        match definition {
            Definition::DirectiveDefinition(of) => directives.push(of.name.as_str()),
            Definition::ScalarTypeDefinition(of) => types.push(of.name.as_str()),
            Definition::EnumTypeDefinition(of) => types.push(of.name.as_str()),
            Definition::ObjectTypeDefinition(of) => entity(&of.name, of.directives.has("key")),
            Definition::ObjectTypeExtension(of) => entity(&of.name, of.directives.has("key")),
            Definition::SchemaDefinition(of) => {
                let root = of.root_operations.iter().find(|operation| operation.0 == apollo_compiler::ast::OperationType::Query);
                query = root.map(|operation| operation.1.to_string());
            }
            _ => {}
        }
    }
    let mut text = String::new();
    let missing =
        DIRECTIVES.iter().filter(|(name, _)| !directives.contains(name)).chain(TYPES.iter().filter(|(name, _)| !types.contains(name)));
    for (_, definition) in missing {
        text.push_str(definition);
        text.push('\n');
    }
    let entities_field = if entities.is_empty() { "" } else { "_entities(representations: [_Any!]!): [_Entity]! " };
    text.push_str("scalar _Any\ntype _Service { sdl: String }\n");
    if !entities.is_empty() {
        text.push_str(&format!("union _Entity = {}\n", entities.join(" | ")));
    }
    text.push_str(&format!("extend type {} {{ {entities_field}_service: _Service! }}\n", query.as_deref().unwrap_or("Query")));
    text
}

/// A type of objects that are asked for by their keys.
pub(super) struct Entity {
    pub(super) object: TypeId,
    pub(super) via: Option<Via>,
}

/// How an object is found by its key.
#[derive(Clone, Debug)]
pub(super) enum Via {
    /// By a call with these arguments, each from a member of the key.
    Arguments(CallId, Box<[(Box<str>, Box<str>)]>),
    /// By a call for many keys.
    Each(CallId, Of),
}

impl Via {
    pub(super) fn call(&self) -> CallId {
        match self {
            Self::Arguments(call, _) | Self::Each(call, _) => *call,
        }
    }
}

/// How objects of a type are found by its keys: for many at once, where that can be.
pub(super) fn via(schema: &Schema, object: &ObjectType, from: &dyn Fn(&str) -> Option<From>, calls: &[Call]) -> Option<Via> {
    let query = schema.get_object(schema.schema_definition.query.as_ref()?)?;
    let keys: Vec<Vec<String>> =
        object.directives.get_all("key").filter_map(|key| flat(key.specified_argument_by_name("fields")?.as_str()?)).collect();
    let roots: Vec<_> = query
        .fields
        .iter()
        .filter(|(_, field)| *field.ty.inner_named_type() == object.name)
        .filter_map(|(name, field)| match from(name)? {
            From::Call(call) => Some((field, call)),
            From::Member(_) => None,
        })
        .collect();
    let many = keys.iter().filter(|key| key.len() == 1).find_map(|key| {
        roots.iter().find_map(|(field, call)| {
            let each = calls[*call].each.as_ref()?;
            let Of::Arguments(steps) = &each.of else { return None };
            let [Step::Segment(Segment::Name(argument))] = &**steps else { return None };
            let is_alone = field.arguments.iter().all(|other| other.name == **argument || !other.is_required());
            let is_list = matches!(&field.ty, Type::List(_) | Type::NonNullList(_));
            let member: Steps = [Step::Segment(Segment::Name(key[0].clone()))].into();
            (is_alone && is_list && !each.many).then_some(Via::Each(*call, Of::Parent(member)))
        })
    });
    many.or_else(|| {
        keys.iter().find_map(|key| {
            roots.iter().find_map(|(field, call)| {
                if field.ty.is_list() || calls[*call].each.is_some() {
                    return None;
                }
                let required: Vec<&str> =
                    field.arguments.iter().filter(|argument| argument.is_required()).map(|argument| argument.name.as_str()).collect();
                let is_argument = |name: &String| field.arguments.iter().any(|argument| argument.name == **name);
                let named = key.iter().all(is_argument) && required.iter().all(|name| key.iter().any(|own| own == name));
                let names = match (named, &required[..], &key[..]) {
                    (true, ..) => key.iter().map(|name| (name.as_str().into(), name.as_str().into())).collect(),
                    (false, [argument], [member]) => [((*argument).into(), member.as_str().into())].into(),
                    _ => return None,
                };
                Some(Via::Arguments(*call, names))
            })
        })
    })
}

/// The names of a key that has no objects in it.
fn flat(fields: &str) -> Option<Vec<String>> {
    let is_flat = !fields.contains(['{', '}', '(', ':']);
    let names: Vec<String> = fields.split([' ', ',', '\n', '\t', '\r']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    (is_flat && !names.is_empty()).then_some(names)
}
