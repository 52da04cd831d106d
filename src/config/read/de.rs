//! Reads a type out of the tree with serde, and every error knows which value it is about.
//!
//! Values in the skip set are passed over as if they were not written: `collect.rs` puts those there that it has reported.

use std::collections::HashSet;

use frontgate_filters::words::spanned::SPANNED;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::problem::{Kind, Problem, either};
use super::tree::{Entry, Node, Value};

/// Reads one value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'t> {
    /// The value.
    pub node: &'t Node,
    /// What to pass over.
    pub skip: &'t HashSet<u32>,
}

impl<'t> Reader<'t> {
    fn on(self, node: &'t Node) -> Self {
        Self { node, ..self }
    }

    fn visit<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text { .. } => visitor.visit_borrowed_str(&self.node.text),
            Value::Seq(items) => visitor.visit_seq(Items { reader: self, items: items.iter() }),
            Value::Map(entries) => visitor.visit_map(Entries { reader: self, entries: entries.iter(), value: None }),
        }
    }

    /// An error that names a key and does not know its place is about that key of this map, any other about this value.
    fn locate(self, problem: Problem) -> Problem {
        let key = match (&problem.kind, problem.at) {
            (Kind::UnknownField(name, _), None) => self.node.entries().iter().find(|entry| entry.key == *name).map(|entry| entry.key_id),
            _ => None,
        };
        problem.at(key.unwrap_or(self.node.id))
    }

    /// Text that came from `${NAME}` may be read as a number or a boolean.
    fn scalar<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Problem> {
        let text = self.node.text.as_str();
        let result = match self.node.value {
            Value::Text { expanded: true } => match (text.parse(), text.parse(), text.parse(), text.parse()) {
                (Ok(value), ..) => visitor.visit_u64(value),
                (_, Ok(value), ..) => visitor.visit_i64(value),
                (_, _, Ok(value), _) => visitor.visit_bool(value),
                (_, _, _, Ok(value)) if f64::is_finite(value) => visitor.visit_f64(value),
                _ => visitor.visit_borrowed_str(text),
            },
            _ => self.visit(visitor),
        };
        result.map_err(|problem| self.locate(problem))
    }

    fn text<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Problem> {
        let result = match self.node.value {
            Value::Null | Value::Seq(_) | Value::Map(_) => self.visit(visitor),
            _ => visitor.visit_borrowed_str(&self.node.text),
        };
        result.map_err(|problem| self.locate(problem))
    }
}

macro_rules! forward {
    ($($method:ident => $to:ident),* $(,)?) => {$(
        fn $method<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.$to(visitor)
        }
    )*};
}

impl<'t> Deserializer<'t> for Reader<'t> {
    type Error = Problem;

    forward! {
        deserialize_bool => scalar, deserialize_i8 => scalar, deserialize_i16 => scalar, deserialize_i32 => scalar,
        deserialize_i64 => scalar, deserialize_u8 => scalar, deserialize_u16 => scalar, deserialize_u32 => scalar,
        deserialize_u64 => scalar, deserialize_f32 => scalar, deserialize_f64 => scalar,
        deserialize_char => text, deserialize_str => text, deserialize_string => text, deserialize_identifier => text,
    }

    forward_to_deserialize_any! { <V: Visitor<'t>> bytes byte_buf unit unit_struct seq tuple tuple_struct map struct }

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.visit(visitor).map_err(|problem| self.locate(problem))
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(self, name: &'static str, visitor: V) -> Result<V::Value, Problem> {
        let result = if name == SPANNED { visitor.visit_seq(Pair { reader: self, given: 0 }) } else { visitor.visit_newtype_struct(self) };
        result.map_err(|problem| self.locate(problem))
    }

    fn deserialize_enum<V: Visitor<'t>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let scalar = !matches!(self.node.value, Value::Null | Value::Seq(_) | Value::Map(_));
        if let Some(message) = exposed(name, &self.node.text).filter(|_| scalar) {
            return Err(Problem::new(message.to_owned(), Kind::Exposed).at(self.node.id));
        }
        if scalar {
            let text = &self.node.text;
            return visitor.visit_enum(StrDeserializer::new(text)).map_err(|problem: Problem| match &problem.kind {
                Kind::Type(wanted) if wanted.ends_with(" variant") => {
                    Problem::new(format!("`{text}` needs a value: write {{{text}: …}}"), Kind::Other).at(self.node.id)
                }
                _ => self.locate(problem),
            });
        }
        let mut entries =
            self.node.entries().iter().filter(|entry| !self.skip.contains(&entry.key_id) && !self.skip.contains(&entry.node.id));
        match (entries.next(), entries.next()) {
            (Some(entry), None) => visitor.visit_enum(Variant { reader: self, entry }).map_err(|problem| self.locate(problem)),
            (Some(_), Some(second)) => {
                let message = format!("expected one key of {}, and `{}` is a second one", either(variants), second.key);
                Err(Problem::new(message, Kind::Other).at(second.key_id))
            }
            _ => Err(Problem::new(format!("expected a map of one key: {}", either(variants)), Kind::Other).at(self.node.id)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }
}

/// What to say of a text where an enum of this name belongs, if that text may be a secret.
fn exposed(name: &str, text: &str) -> Option<&'static str> {
    match name {
        "Secret" => Some("a secret cannot be written here: say where it is kept, {file: path} or {env: NAME}"),
        "KeySource" if !text.contains("://") => {
            Some("keys cannot be written here: say where they are, {jwks: {url: …}}, {public_key: {file: …}} or {secret: {file: …}}")
        }
        _ => None,
    }
}

struct Items<'t> {
    reader: Reader<'t>,
    items: std::slice::Iter<'t, Node>,
}

impl<'t> SeqAccess<'t> for Items<'t> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'t>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let skip = self.reader.skip;
        match self.items.find(|item| !skip.contains(&item.id)) {
            None => Ok(None),
            Some(item) => seed.deserialize(self.reader.on(item)).map(Some).map_err(|problem| problem.at(item.id)),
        }
    }
}

struct Entries<'t> {
    reader: Reader<'t>,
    entries: std::slice::Iter<'t, Entry>,
    value: Option<&'t Node>,
}

impl<'t> MapAccess<'t> for Entries<'t> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'t>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let skip = self.reader.skip;
        match self.entries.find(|entry| !skip.contains(&entry.key_id) && !skip.contains(&entry.node.id)) {
            None => Ok(None),
            Some(entry) => {
                self.value = Some(&entry.node);
                seed.deserialize(de::value::BorrowedStrDeserializer::new(&entry.key))
                    .map(Some)
                    .map_err(|problem: Problem| problem.at(entry.key_id))
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'t>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let node = self.value.take().ok_or_else(|| <Problem as de::Error>::custom("a value was asked for before its key"))?;
        seed.deserialize(self.reader.on(node)).map_err(|problem| problem.at(node.id))
    }
}

/// What `Spanned` asks for: the number of the value, then the value.
struct Pair<'t> {
    reader: Reader<'t>,
    given: u8,
}

impl<'t> SeqAccess<'t> for Pair<'t> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'t>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        self.given += 1;
        match self.given {
            1 => seed.deserialize(self.reader.node.id.into_deserializer()).map(Some),
            2 => seed.deserialize(self.reader).map(Some),
            _ => Ok(None),
        }
    }
}

/// A variant written as a map of one key.
struct Variant<'t> {
    reader: Reader<'t>,
    entry: &'t Entry,
}

impl<'t> EnumAccess<'t> for Variant<'t> {
    type Error = Problem;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'t>>(self, seed: V) -> Result<(V::Value, Self), Problem> {
        let key = StrDeserializer::<Problem>::new(&self.entry.key);
        let value = seed.deserialize(key).map_err(|problem| problem.at(self.entry.key_id))?;
        Ok((value, self))
    }
}

impl<'t> VariantAccess<'t> for Variant<'t> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        Err(Problem::new(format!("`{}` takes no value", self.entry.key), Kind::Other).at(self.entry.key_id))
    }
    fn newtype_variant_seed<T: DeserializeSeed<'t>>(self, seed: T) -> Result<T::Value, Problem> {
        let node = &self.entry.node;
        seed.deserialize(self.reader.on(node)).map_err(|problem| problem.at(node.id))
    }
    fn tuple_variant<V: Visitor<'t>>(self, _: usize, visitor: V) -> Result<V::Value, Problem> {
        self.reader.on(&self.entry.node).deserialize_seq(visitor)
    }
    fn struct_variant<V: Visitor<'t>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Problem> {
        self.reader.on(&self.entry.node).deserialize_map(visitor)
    }
}
