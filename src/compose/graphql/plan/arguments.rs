//! The arguments of fields: what is written is coerced when the plan is made, what variables say when a request is there.

use apollo_compiler::ast::{Argument, FieldDefinition, Type, Value};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Node, Schema};
use std::sync::Arc;

use super::Variables;
use crate::compose::graphql::input::Input;
use crate::compose::graphql::source::Arguments;

/// The arguments of a field, as far as they are known without a request.
#[derive(Clone, Debug)]
pub(in super::super) enum Arguing {
    /// All are.
    Constant(Arc<Arguments>),
    /// Some are variables, or have some in them.
    Open(Box<[Open]>),
}

/// An argument.
#[derive(Clone, Debug)]
pub(in super::super) struct Open {
    name: Name,
    is_nullable: bool,
    value: Argued,
}

/// What is known of the value of an argument.
#[derive(Clone, Debug)]
pub(in super::super) enum Argued {
    Known(Input),
    /// A variable, and what stands in where there is none.
    Variable(Name, Option<Input>),
    List(Vec<Argued>),
    Object(Vec<(Name, Argued)>),
}

/// A variable is null where nothing null may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct IsNull;

impl Arguing {
    /// Of a field with these arguments.
    pub(super) fn compile(schema: &Schema, definition: &FieldDefinition, written: &[Node<Argument>]) -> Self {
        let open = definition.arguments.iter().filter_map(|argument| {
            let default = argument.default_value.as_ref().map(|value| known(schema, &argument.ty, value));
            let value = match written.iter().find(|written| written.name == argument.name) {
                None => Argued::Known(default?),
                Some(written) => match &*written.value {
                    Value::Variable(name) => Argued::Variable(name.clone(), default),
                    _ => argued(schema, &argument.ty, &written.value),
                },
            };
            Some(Open { name: argument.name.clone(), is_nullable: !argument.ty.is_non_null(), value })
        });
        let open: Vec<Open> = open.collect();
        let all: Option<Arguments> = open
            .iter()
            .map(|open| match &open.value {
                Argued::Known(value) => Some((open.name.as_str().into(), value.clone())),
                _ => None,
            })
            .collect();
        match all {
            Some(all) => Self::Constant(Arc::new(all)),
            None => Self::Open(open.into()),
        }
    }

    /// The arguments, with these variables.
    pub(in super::super) fn with(&self, variables: &Variables) -> Result<Arc<Arguments>, IsNull> {
        let open = match self {
            Self::Constant(all) => return Ok(all.clone()),
            Self::Open(open) => open,
        };
        let mut all = Arguments::default();
        for argument in open {
            match argument.value.with(variables) {
                Some(Input::Null) if !argument.is_nullable => return Err(IsNull),
                Some(value) => {
                    all.insert(argument.name.as_str().into(), value);
                }
                None if !argument.is_nullable => return Err(IsNull),
                None => {}
            }
        }
        Ok(Arc::new(all))
    }

    /// An argument of this name.
    pub(super) fn of(&self, name: &str) -> Option<Argued> {
        match self {
            Self::Constant(all) => all.get(name).cloned().map(Argued::Known),
            Self::Open(open) => open.iter().find(|open| open.name == name).map(|open| open.value.clone()),
        }
    }

    /// All arguments that are lists.
    pub(super) fn lists<'a>(&'a self, definition: &'a FieldDefinition) -> impl Iterator<Item = Argued> + 'a {
        definition.arguments.iter().filter(|argument| argument.ty.is_list()).filter_map(|argument| self.of(&argument.name))
    }

    /// What it takes of memory, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Constant(all) => all.iter().map(|(name, value)| 64 + name.len() + value.bytes()).sum(),
            Self::Open(open) => open.iter().map(|open| 96 + open.value.bytes()).sum(),
        }
    }
}

impl Argued {
    /// The value, with these variables; none where a variable has none.
    pub(super) fn with(&self, variables: &Variables) -> Option<Input> {
        match self {
            Self::Known(value) => Some(value.clone()),
            Self::Variable(name, default) => match variables.get(name.as_str()) {
                Some(value) => Some(value.clone()),
                None => default.clone(),
            },
            Self::List(all) => Some(Input::List(all.iter().map(|one| one.with(variables).unwrap_or(Input::Null)).collect())),
            Self::Object(all) => {
                let members = all.iter().filter_map(|(name, value)| Some((name.as_str().into(), value.with(variables)?)));
                Some(Input::Object(members.collect()))
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Known(value) => value.bytes(),
            Self::Variable(_, default) => 32 + default.as_ref().map_or(0, Input::bytes),
            Self::List(all) => 32 + all.iter().map(Self::bytes).sum::<usize>(),
            Self::Object(all) => 32 + all.iter().map(|(_, value)| 32 + value.bytes()).sum::<usize>(),
        }
    }
}

/// A value as it is written, where it may have variables in it.
fn argued(schema: &Schema, of_type: &Type, value: &Value) -> Argued {
    if !has_variables(value) {
        return Argued::Known(known(schema, of_type, value));
    }
    match (value, of_type) {
        (Value::Variable(name), _) => Argued::Variable(name.clone(), None),
        (Value::List(all), Type::List(inner) | Type::NonNullList(inner)) => {
            Argued::List(all.iter().map(|one| argued(schema, inner, one)).collect())
        }
        (one, Type::List(inner) | Type::NonNullList(inner)) => Argued::List(vec![argued(schema, inner, one)]),
        // A scalar of somebody's own has whatever is written.
        (Value::List(all), _) => Argued::List(all.iter().map(|one| argued(schema, of_type, one)).collect()),
        (Value::Object(members), Type::Named(name) | Type::NonNullNamed(name)) => match schema.types.get(name) {
            Some(ExtendedType::InputObject(object)) => Argued::Object(
                object
                    .fields
                    .iter()
                    .filter_map(|(name, field)| {
                        let default = || field.default_value.as_ref().map(|value| known(schema, &field.ty, value));
                        let value = match members.iter().find(|(own, _)| own == name).map(|(_, value)| &**value) {
                            Some(Value::Variable(variable)) => Argued::Variable(variable.clone(), default()),
                            Some(value) => argued(schema, &field.ty, value),
                            None => Argued::Known(default()?),
                        };
                        Some((name.clone(), value))
                    })
                    .collect(),
            ),
            _ => Argued::Object(members.iter().map(|(name, value)| (name.clone(), argued(schema, of_type, value))).collect()),
        },
        _ => Argued::Known(Input::Null),
    }
}

fn has_variables(value: &Value) -> bool {
    match value {
        Value::Variable(_) => true,
        Value::List(all) => all.iter().any(|one| has_variables(one)),
        Value::Object(members) => members.iter().any(|(_, value)| has_variables(value)),
        _ => false,
    }
}

/// A value without variables, coerced: validation has found that it can be. How deep it nests is bounded by who read it.
pub(super) fn known(schema: &Schema, of_type: &Type, value: &Value) -> Input {
    match (value, of_type) {
        (Value::Null, _) => Input::Null,
        (Value::List(all), Type::List(inner) | Type::NonNullList(inner)) => {
            Input::List(all.iter().map(|one| known(schema, inner, one)).collect())
        }
        (one, Type::List(inner) | Type::NonNullList(inner)) => Input::List(vec![known(schema, inner, one)]),
        (Value::Object(members), Type::Named(name) | Type::NonNullNamed(name)) => match schema.types.get(name) {
            Some(ExtendedType::InputObject(object)) => {
                let fields = object.fields.iter().filter_map(|(name, field)| {
                    let written = members.iter().find(|(own, _)| own == name).map(|(_, value)| &**value);
                    let value = written.or(field.default_value.as_deref())?;
                    Some((name.as_str().into(), known(schema, &field.ty, value)))
                });
                Input::Object(fields.collect())
            }
            _ => Input::Object(members.iter().map(|(name, value)| (name.as_str().into(), known(schema, of_type, value))).collect()),
        },
        (Value::List(all), _) => Input::List(all.iter().map(|one| known(schema, of_type, one)).collect()),
        (Value::Enum(name), _) => Input::Text(name.as_str().into()),
        (Value::String(text), _) => Input::Text(text.as_str().into()),
        (Value::Boolean(value), _) => Input::Boolean(*value),
        (Value::Int(digits), _) => Input::Number(digits.as_str().into()),
        (Value::Float(digits), _) => Input::Number(digits.as_str().into()),
        _ => Input::Null,
    }
}
