//! Defaults in a schema, which have to be values of their types: nothing else looks at them before they are sent to a service.

use apollo_compiler::ast::{InputValueDefinition, Type, Value};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Node, Schema};

/// What is wrong with the default of an argument or of a member of an input, with the node at which it is.
pub(super) fn wrong<'n>(schema: &Schema, definition: &'n InputValueDefinition) -> Option<(&'n Node<Value>, String)> {
    let default = definition.default_value.as_ref()?;
    let message = || format!("the default of `{}` is no `{}`", definition.name, definition.ty);
    (!fits(schema, default, &definition.ty)).then(|| (default, message()))
}

/// Whether a value is one of this type, as the specification coerces them. What a scalar of one's own takes is not known.
fn fits(schema: &Schema, value: &Value, of: &Type) -> bool {
    if matches!(value, Value::Null) {
        return !of.is_non_null();
    }
    match of {
        Type::List(inner) | Type::NonNullList(inner) => match value {
            Value::List(values) => values.iter().all(|value| fits(schema, value, inner)),
            value => fits(schema, value, inner),
        },
        Type::Named(name) | Type::NonNullNamed(name) => match (schema.types.get(name), value) {
            (Some(ExtendedType::Scalar(_)), value) => match (name.as_str(), value) {
                ("Int", Value::Int(number)) => number.try_to_i32().is_ok(),
                ("Float", Value::Int(_) | Value::Float(_))
                | ("String", Value::String(_))
                | ("Boolean", Value::Boolean(_))
                | ("ID", Value::String(_) | Value::Int(_)) => true,
                (known, _) => !matches!(known, "Int" | "Float" | "String" | "Boolean" | "ID"),
            },
            (Some(ExtendedType::Enum(names)), Value::Enum(name)) => names.values.contains_key(name),
            (Some(ExtendedType::InputObject(input)), Value::Object(members)) => {
                let is_given = |name: &str| members.iter().any(|(given, _)| given == name);
                members.iter().all(|(name, value)| input.fields.get(name).is_some_and(|field| fits(schema, value, &field.ty)))
                    && input.fields.values().all(|field| !field.is_required() || is_given(&field.name))
            }
            _ => false,
        },
    }
}
