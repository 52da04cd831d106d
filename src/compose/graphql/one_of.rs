//! Input objects of which one member is given, `@oneOf`: the library does not know them, and what the specification says of them is said here.

use std::collections::HashMap;

use apollo_compiler::ast::{self, Argument, Definition, Directive, FieldDefinition, InputValueDefinition, Type, Value, VariableDefinition};
use apollo_compiler::executable::{self, ExecutableDocument, Selection, SelectionSet};
use apollo_compiler::response::JsonMap;
use apollo_compiler::response::serde_json_bytes::{ByteString, Value as Told};
use apollo_compiler::schema::{Component, ExtendedType, InputObjectType};
use apollo_compiler::validation::Valid;
use apollo_compiler::{Name, Node, Schema};

use super::plan::Fault;
use super::problem::{At, Problem};

const NAME: &str = "oneOf";
/// The field of `__Type` that tells of it.
const FIELD: &str = "isOneOf";
/// What the key of such a field begins with while the library answers it. No client can write it: no name has a colon.
const MARK: &str = "isOneOf:";

/// Whether exactly one member of an object of this type is given.
pub(super) fn is(object: &InputObjectType) -> bool {
    object.directives.has(NAME)
}

/// What a schema lacks that uses it: nothing for one that does not.
pub(super) fn lacking(document: &ast::Document) -> Option<String> {
    let is_used = document.definitions.iter().any(|definition| match definition {
        Definition::InputObjectTypeDefinition(of) => of.directives.has(NAME),
        Definition::InputObjectTypeExtension(of) => of.directives.has(NAME),
        _ => false,
    });
    let is_defined =
        document.definitions.iter().any(|definition| matches!(definition, Definition::DirectiveDefinition(of) if of.name == NAME));
    let directive = if is_defined { "" } else { "directive @oneOf on INPUT_OBJECT\n" };
    is_used.then(|| format!("{directive}extend type __Type {{ {FIELD}: Boolean }}\n"))
}

/// Whether a schema uses it.
fn is_used(schema: &Schema) -> bool {
    schema.get_object("__Type").is_some_and(|of| of.fields.contains_key(FIELD))
}

/// What is wrong with such types of a schema.
pub(super) fn problems(schema: &Schema) -> Vec<Problem> {
    let objects = schema.types.values().filter_map(|of| if let ExtendedType::InputObject(of) = of { Some(of) } else { None });
    let fields = objects.filter(|object| is(object)).flat_map(|object| object.fields.values().map(move |field| (object, field)));
    let told = fields.filter_map(|(object, field): (_, &Component<InputValueDefinition>)| {
        let what = match (field.ty.is_non_null(), &field.default_value) {
            (true, _) => "must be nullable",
            (false, Some(_)) => "cannot have a default",
            (false, None) => return None,
        };
        let at = field.location().map_or(At::Nowhere, |span| At::Sdl(span.offset()..span.end_offset()));
        let message = format!("`{}.{}` {what}: of a `@oneOf` type one member is given", object.name, field.name);
        Some(Problem { at, message, help: None, is_warning: false })
    });
    told.collect()
}

/// What is wrong with values of such types in a document.
pub(super) fn faults(schema: &Schema, document: &ExecutableDocument) -> Vec<Fault> {
    if !is_used(schema) {
        return Vec::new();
    }
    let mut check = Check { schema, variables: HashMap::new(), faults: Vec::new() };
    for operation in document.operations.iter() {
        check.variables = operation.variables.iter().map(|variable| (variable.name.as_str(), &**variable)).collect();
        for variable in &operation.variables {
            if let Some(default) = &variable.default_value {
                check.value(&variable.ty, default);
            }
        }
        check.directives(&operation.directives);
        check.set(&operation.selection_set);
        document.fragments.values().for_each(|fragment| check.set(&fragment.selection_set));
    }
    let mut faults = check.faults;
    // Those of fragments are found by each operation.
    faults.sort_by_key(|fault| fault.at);
    faults.dedup();
    faults
}

struct Check<'d> {
    schema: &'d Schema,
    variables: HashMap<&'d str, &'d VariableDefinition>,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn set(&mut self, set: &SelectionSet) {
        for selection in &set.selections {
            self.directives(selection.directives());
            match selection {
                Selection::Field(field) => {
                    self.arguments(&field.definition.arguments, &field.arguments);
                    self.set(&field.selection_set);
                }
                Selection::InlineFragment(fragment) => self.set(&fragment.selection_set),
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    fn directives(&mut self, directives: &[Node<Directive>]) {
        for directive in directives {
            if let Some(definition) = self.schema.directive_definitions.get(&directive.name) {
                self.arguments(&definition.arguments, &directive.arguments);
            }
        }
    }

    fn arguments(&mut self, defined: &[Node<InputValueDefinition>], written: &[Node<Argument>]) {
        for argument in written {
            if let Some(definition) = defined.iter().find(|definition| definition.name == argument.name) {
                self.value(&definition.ty, &argument.value);
            }
        }
    }

    /// How deep values nest is bounded by who read the document.
    fn value(&mut self, of_type: &Type, value: &Node<Value>) {
        match &**value {
            Value::List(all) => all.iter().for_each(|one| self.value(of_type.item_type(), one)),
            Value::Object(members) => {
                let Some(ExtendedType::InputObject(object)) = self.schema.types.get(of_type.inner_named_type()) else { return };
                if is(object) {
                    self.members(object, members, value);
                }
                for (name, member) in members {
                    if let Some(field) = object.fields.get(name) {
                        self.value(&field.ty, member);
                    }
                }
            }
            _ => {}
        }
    }

    fn members(&mut self, object: &InputObjectType, members: &[(Name, Node<Value>)], value: &Node<Value>) {
        let what = match members {
            [(name, member)] => match &**member {
                Value::Null => format!("`{name}` is null"),
                Value::Variable(variable) => match self.variables.get(variable.as_str()) {
                    Some(declared) if !declared.ty.is_non_null() => format!("`${variable}` may be null"),
                    _ => return,
                },
                _ => return,
            },
            _ => format!("here are {}", members.len()),
        };
        let message = format!("{} has exactly one member, which is not null: {what}.", object.name);
        self.faults.push(Fault { message, at: value.location().map(|span| span.offset()) });
    }
}

/// A document whose fields that tell of such types ask for a type's name instead, each under a key that is marked.
pub(super) fn marked(schema: &Schema, document: Valid<ExecutableDocument>) -> Valid<ExecutableDocument> {
    if !is_used(schema) {
        return document;
    }
    let Some(name) = schema.get_object("__Type").and_then(|of| of.fields.get("name")) else { return document };
    let mut document = document.into_inner();
    if let Some(operation) = &mut document.operations.anonymous {
        mark(&mut operation.make_mut().selection_set, name);
    }
    document.operations.named.values_mut().for_each(|operation| mark(&mut operation.make_mut().selection_set, name));
    document.fragments.values_mut().for_each(|fragment| mark(&mut fragment.make_mut().selection_set, name));
    Valid::assume_valid(document)
}

fn mark(set: &mut SelectionSet, name: &Component<FieldDefinition>) {
    let is_type = set.ty == "__Type";
    for selection in &mut set.selections {
        match selection {
            Selection::Field(field) if is_type && field.name == FIELD => {
                let field: &mut executable::Field = field.make_mut();
                field.alias = Some(Name::new_unchecked(&format!("{MARK}{}", field.response_key())));
                field.name = name.name.clone();
                field.definition = name.node.clone();
            }
            Selection::Field(field) if !field.selection_set.selections.is_empty() => mark(&mut field.make_mut().selection_set, name),
            Selection::InlineFragment(fragment) => mark(&mut fragment.make_mut().selection_set, name),
            Selection::Field(_) | Selection::FragmentSpread(_) => {}
        }
    }
}

/// What the library has said of the schema, with what is asked of such types. How deep it nests is bounded by who let it be asked.
pub(super) fn told(schema: &Schema, data: JsonMap) -> JsonMap {
    if !is_used(schema) {
        return data;
    }
    let member = |(key, value): (ByteString, Told)| match key.as_str().strip_prefix(MARK) {
        Some(own) => {
            let object = value.as_str().and_then(|name| schema.get_input_object(name));
            (ByteString::from(own.to_owned()), object.map_or(Told::Null, |object| Told::Bool(is(object))))
        }
        None => (key, within(schema, value)),
    };
    data.into_iter().map(member).collect()
}

fn within(schema: &Schema, value: Told) -> Told {
    match value {
        Told::Object(members) => Told::Object(told(schema, members)),
        Told::Array(all) => Told::Array(all.into_iter().map(|one| within(schema, one)).collect()),
        other => other,
    }
}
