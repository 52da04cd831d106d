//! Defaults of input objects that need themselves: no value could ever be made of them.

use std::collections::HashSet;

use apollo_compiler::ast::Value;
use apollo_compiler::schema::{ExtendedType, InputObjectType};
use apollo_compiler::{Name, Node, Schema};

use super::problem::{At, Problem};

/// A field of an input object: its object's name and its own.
type Coordinate<'s> = (&'s str, &'s str);

/// Everything of a schema that is its own default, by way of others or not.
pub(super) fn problems(schema: &Schema) -> Vec<Problem> {
    let mut walk = Walk { schema, way: Vec::new(), done: HashSet::new(), problems: Vec::new() };
    for of in schema.types.values() {
        if let ExtendedType::InputObject(object) = of {
            walk.object(object, &[]);
        }
    }
    walk.problems
}

struct Walk<'s> {
    schema: &'s Schema,
    /// The fields whose defaults it is in.
    way: Vec<Coordinate<'s>>,
    done: HashSet<Coordinate<'s>>,
    problems: Vec<Problem>,
}

impl<'s> Walk<'s> {
    /// What an object is made of, where these members are given.
    fn object(&mut self, object: &'s InputObjectType, given: &'s [(Name, Node<Value>)]) {
        for (name, field) in &object.fields {
            let Some(ExtendedType::InputObject(inner)) = self.schema.types.get(field.ty.inner_named_type()) else { continue };
            if let Some((_, value)) = given.iter().find(|(own, _)| own == name) {
                self.value(inner, value);
                continue;
            }
            let Some(default) = &field.default_value else { continue };
            let coordinate = (object.name.as_str(), name.as_str());
            if self.way.contains(&coordinate) {
                let at = field.location().map_or(At::Nowhere, |span| At::Sdl(span.offset()..span.end_offset()));
                let message = format!("the default of `{}.{name}` needs itself: no value can be made of it", object.name);
                if !self.problems.iter().any(|problem| problem.message == message) {
                    self.problems.push(Problem { at, message, help: None, is_warning: false });
                }
                continue;
            }
            if self.done.contains(&coordinate) {
                continue;
            }
            self.way.push(coordinate);
            self.value(inner, default);
            self.way.pop();
            self.done.insert(coordinate);
        }
    }

    /// A value as it is written, or the objects of a list.
    fn value(&mut self, object: &'s InputObjectType, value: &'s Node<Value>) {
        match &**value {
            Value::Object(members) => self.object(object, members),
            Value::List(all) => all.iter().for_each(|one| self.value(object, one)),
            _ => {}
        }
    }
}
