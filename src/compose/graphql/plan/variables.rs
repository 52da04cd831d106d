//! What variables say becomes what the operation declares, as the specification has it.

use apollo_compiler::ast::Type;
use apollo_compiler::executable::Operation;
use apollo_compiler::schema::{ExtendedType, InputObjectType};
use apollo_compiler::{Node, Schema};

use super::Fault;
use super::arguments::known;
use crate::compose::graphql::input::{Input, Members};
use crate::compose::graphql::leaf::{Coerced, Leaf};
use crate::compose::graphql::one_of;

/// The values of an operation's variables, coerced.
pub(in super::super) type Variables = Members;

/// How much of a value is shown in an error.
const SHOWN: usize = 40;

/// Why a value does not fit, and where in it.
struct Wrong {
    message: String,
    /// The steps from the variable, the last one first.
    steps: Vec<String>,
}

impl Wrong {
    fn new(message: String) -> Self {
        Self { message, steps: Vec::new() }
    }

    fn within(mut self, step: String) -> Self {
        self.steps.push(step);
        self
    }
}

/// Coerces what is given for the variables of an operation. What none of them is called says nothing.
pub(in super::super) fn coerce(schema: &Schema, operation: &Operation, mut given: Members) -> Result<Variables, Fault> {
    let mut all = Variables::default();
    for declared in &operation.variables {
        let name = declared.name.as_str();
        let wrong = |wrong: Wrong| {
            let place: String = wrong.steps.iter().rev().map(|step| format!(".{step}")).collect();
            let at = declared.location().map(|span| span.offset());
            Fault { message: format!("Variable `${name}{place}`: {}.", wrong.message), at }
        };
        let value = match (given.swap_remove(name), &declared.default_value) {
            (Some(value), _) => value_of(schema, &declared.ty, value).map_err(wrong)?,
            (None, Some(default)) => known(schema, &declared.ty, default),
            (None, None) if declared.ty.is_non_null() => {
                return Err(wrong(Wrong::new(format!("a value of type {} is required", declared.ty))));
            }
            (None, None) => continue,
        };
        all.insert(name.into(), value);
    }
    Ok(all)
}

fn value_of(schema: &Schema, of_type: &Type, value: Input) -> Result<Input, Wrong> {
    match (of_type, value) {
        (of_type, Input::Null) if of_type.is_non_null() => Err(Wrong::new(format!("it is null, and {of_type} never is"))),
        (_, Input::Null) => Ok(Input::Null),
        (Type::List(inner) | Type::NonNullList(inner), Input::List(all)) => {
            let one = |(index, value)| value_of(schema, inner, value).map_err(|wrong| wrong.within(index_of(index)));
            all.into_iter().enumerate().map(one).collect::<Result<_, _>>().map(Input::List)
        }
        // A value in place of a list is a list of it.
        (Type::List(inner) | Type::NonNullList(inner), one) => Ok(Input::List(vec![value_of(schema, inner, one)?])),
        (Type::Named(name) | Type::NonNullNamed(name), value) => match schema.types.get(name) {
            Some(ExtendedType::InputObject(object)) => match value {
                Input::Object(members) => self::object(schema, object, members),
                other => Err(no(&other, name)),
            },
            Some(ExtendedType::Enum(of)) => match value.text().is_some_and(|text| of.values.contains_key(text)) {
                true => Ok(value),
                false => Err(no(&value, name)),
            },
            Some(ExtendedType::Scalar(_)) => scalar(name, value),
            _ => Err(no(&value, name)),
        },
    }
}

fn index_of(index: usize) -> String {
    index.to_string()
}

fn scalar(name: &str, value: Input) -> Result<Input, Wrong> {
    let number = |leaf: Leaf, value: Input| {
        let Input::Number(digits) = &value else { return Err(no(&value, name)) };
        match leaf.coerce(digits.as_bytes()) {
            Some(Coerced::Same | Coerced::Quoted) => Ok(value),
            Some(Coerced::Text(text)) => Ok(Input::Number(text)),
            None => Err(no(&value, name)),
        }
    };
    match (name, &value) {
        ("Int", _) => number(Leaf::Int, value),
        ("Float", _) => number(Leaf::Float, value),
        ("String" | "ID", Input::Text(_)) | ("Boolean", Input::Boolean(_)) => Ok(value),
        ("ID", Input::Number(digits)) if digits.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9')) => Ok(value),
        ("String" | "ID" | "Boolean", _) => Err(no(&value, name)),
        // What a scalar of somebody's own may be is for the service to say.
        _ => Ok(value),
    }
}

fn object(schema: &Schema, object: &Node<InputObjectType>, mut members: Members) -> Result<Input, Wrong> {
    if let Some(unknown) = members.keys().find(|key| !object.fields.contains_key(&***key)) {
        return Err(Wrong::new(format!("{} has no member `{}`", object.name, shown(unknown))));
    }
    if one_of::is(object) && (members.len() != 1 || members.values().any(|value| *value == Input::Null)) {
        return Err(Wrong::new(format!("{} has exactly one member, which is not null", object.name)));
    }
    let mut all = Members::default();
    for (name, field) in &object.fields {
        let value = match (members.swap_remove(name.as_str()), &field.default_value) {
            (Some(value), _) => value_of(schema, &field.ty, value).map_err(|wrong| wrong.within(name.to_string()))?,
            (None, Some(default)) => known(schema, &field.ty, default),
            (None, None) if field.ty.is_non_null() => {
                return Err(Wrong::new(format!("a value of type {} is required", field.ty)).within(name.to_string()));
            }
            (None, None) => continue,
        };
        all.insert(name.as_str().into(), value);
    }
    Ok(Input::Object(all))
}

/// A value is not what this type has.
fn no(value: &Input, of_type: &str) -> Wrong {
    let what = match value {
        Input::List(_) => "a list".to_owned(),
        Input::Object(_) => "an object".to_owned(),
        other => format!("`{}`", shown(&other.json())),
    };
    Wrong::new(format!("{what} is no value of type {of_type}"))
}

/// As much of a text as an error has room for.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
