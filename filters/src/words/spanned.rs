//! A value with the place in the configuration it came from, so that a check made long after parsing can still point at it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

/// The newtype name by which [`Spanned`] asks the configuration's deserializer for a place.
pub const SPANNED: &str = "$frontgate::Spanned";

/// A place in the loaded configuration: an index into the table of its nodes, 0 where the value came from no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(pub u32);

/// A value and its place. Two of them are equal when their values are, wherever they are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spanned<T> {
    /// The value itself.
    pub value: T,
    /// Where it is written.
    pub place: Place,
}

/// A mistake in a configuration that the types could not refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// How much it weighs.
    pub weight: Weight,
}

/// How much a [`Problem`] weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// The configuration cannot be used.
    #[default]
    Wrong,
    /// Likewise, since something is not there. Where a value nearby could not be read, this is not told: it may be the one that is missed.
    Lacking,
    /// It can be used, but this is probably not meant.
    Doubtful,
}

impl Problem {
    /// A mistake here.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), help: None, weight: Weight::Wrong }
    }

    /// Something is not there; the place is the collection that lacks it, or a value beside it.
    pub fn lacking(place: Place, message: impl Into<String>) -> Self {
        Self { weight: Weight::Lacking, ..Self::at(place, message) }
    }

    /// Something that is probably not meant.
    pub fn doubtful(place: Place, message: impl Into<String>) -> Self {
        Self { weight: Weight::Doubtful, ..Self::at(place, message) }
    }

    /// The same, saying what would be right.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl<T> Spanned<T> {
    /// A value that no file holds.
    pub fn nowhere(value: T) -> Self {
        Self { value, place: Place::default() }
    }

    /// The value where it is, with its place.
    pub fn as_ref(&self) -> Spanned<&T> {
        Spanned { value: &self.value, place: self.place }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: Serialize> Serialize for Spanned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    /// The same, or a type that is used with and without places would be written down twice.
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
    fn inline_schema() -> bool {
        T::inline_schema()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pair<T> {
            type Value = Spanned<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            /// The configuration's deserializer answers with the pair (place, value).
            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Self::Value, A::Error> {
                let missing = || de::Error::custom("a spanned value is a pair of place and value");
                let place = pair.next_element::<u32>()?.ok_or_else(missing)?;
                let value = pair.next_element::<T>()?.ok_or_else(missing)?;
                Ok(Spanned { value, place: Place(place) })
            }
            /// Any other deserializer knows no places.
            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                T::deserialize(deserializer).map(Spanned::nowhere)
            }
        }
        deserializer.deserialize_newtype_struct(SPANNED, Pair(std::marker::PhantomData))
    }
}
