//! A value with holes.

use bytes::Bytes;
use serde_json::Value;

use super::gather::Gather;
use super::proved::{MemberName, Proved};

/// A JSON value in which some places are to be filled with others. Made once, filled for each answer.
#[derive(Clone, Debug)]
pub struct Template(Piece);

/// What a [`Template`] is made of.
#[derive(Clone, Debug)]
pub struct Piece(Kind);

/// A member of an object of a [`Template`].
#[derive(Clone, Debug)]
pub enum Member {
    /// A member of this name. Where its value is a hole that stays empty, it is left out.
    Named(MemberName, Piece),
    /// The members of the object that fills the hole of this number; none where it is filled with no object. Names are not compared.
    Spread(usize),
}

/// An element of an array of a [`Template`].
#[derive(Clone, Debug)]
pub enum Item {
    /// One element.
    One(Piece),
    /// The elements of the array that fills the hole of this number; none where it is filled with no array.
    Spread(usize),
}

#[derive(Clone, Debug)]
enum Kind {
    /// A whole value.
    Text(Bytes),
    Hole(usize),
    Object(Box<[Member]>),
    Array(Box<[Item]>),
}

impl Template {
    /// Of this value. Its strings are given to `hole`, which says the number of the hole that is there, if one is.
    pub fn new(value: &Value, hole: &dyn Fn(&str) -> Option<usize>) -> Self {
        Self(Piece::new(value, hole))
    }

    /// The value with its holes filled, by their numbers. Where there is nothing to fill in, a member is left out; an element, or the whole,
    /// becomes null.
    pub fn fill(&self, fillings: &[Option<Proved>]) -> Proved {
        let mut gather = Gather::new();
        self.0.fill(fillings, &mut gather);
        Proved::new(gather)
    }
}

impl From<Piece> for Template {
    fn from(piece: Piece) -> Self {
        Self(piece)
    }
}

impl Piece {
    /// What is always the same.
    pub fn constant(value: &Value) -> Self {
        Self(Kind::Text(value.to_string().into()))
    }

    /// A place to be filled with a value.
    pub fn hole(number: usize) -> Self {
        Self(Kind::Hole(number))
    }

    /// An object with these members in their order.
    pub fn object(members: Vec<Member>) -> Self {
        Self(Kind::Object(members.into()))
    }

    /// An array with these elements.
    pub fn array(items: Vec<Item>) -> Self {
        Self(Kind::Array(items.into()))
    }

    fn new(value: &Value, hole: &dyn Fn(&str) -> Option<usize>) -> Self {
        let piece = match value {
            Value::String(text) => hole(text).map(Self::hole),
            Value::Array(elements) => Some(Self::array(elements.iter().map(|element| Item::One(Self::new(element, hole))).collect())),
            Value::Object(members) => Some(Self::object(
                members.iter().map(|(name, member)| Member::Named(MemberName::new(name), Self::new(member, hole))).collect(),
            )),
            _ => None,
        };
        match piece {
            Some(piece) if !piece.is_constant() => piece,
            _ => Self::constant(value),
        }
    }

    /// Whether it is the same whatever is filled in.
    pub fn is_constant(&self) -> bool {
        match &self.0 {
            Kind::Text(_) => true,
            Kind::Hole(_) => false,
            Kind::Object(members) => members.iter().all(|member| matches!(member, Member::Named(_, piece) if piece.is_constant())),
            Kind::Array(items) => items.iter().all(|item| matches!(item, Item::One(piece) if piece.is_constant())),
        }
    }

    fn fill(&self, fillings: &[Option<Proved>], gather: &mut Gather) {
        match &self.0 {
            Kind::Text(text) => gather.push(text.clone()),
            Kind::Hole(number) => match fillings.get(*number) {
                Some(Some(value)) => gather.extend(value.gather()),
                _ => gather.push(Bytes::from_static(b"null")),
            },
            Kind::Object(members) => {
                gather.push(Bytes::from_static(b"{"));
                let begin = gather.len();
                for member in members {
                    let inner = match member {
                        Member::Named(_, Self(Kind::Hole(number))) if !matches!(fillings.get(*number), Some(Some(_))) => continue,
                        Member::Named(..) => None,
                        Member::Spread(number) => match inner(fillings, *number, b'{') {
                            Some(inner) => Some(inner),
                            None => continue,
                        },
                    };
                    if gather.len() > begin {
                        gather.push(Bytes::from_static(b","));
                    }
                    match (member, inner) {
                        (_, Some(inner)) => gather.append(inner),
                        (Member::Named(name, piece), None) => {
                            gather.push(name.bytes());
                            piece.fill(fillings, gather);
                        }
                        (Member::Spread(_), None) => {}
                    }
                }
                gather.push(Bytes::from_static(b"}"));
            }
            Kind::Array(items) => {
                gather.push(Bytes::from_static(b"["));
                let begin = gather.len();
                for item in items {
                    let inner = match item {
                        Item::One(_) => None,
                        Item::Spread(number) => match inner(fillings, *number, b'[') {
                            Some(inner) => Some(inner),
                            None => continue,
                        },
                    };
                    if gather.len() > begin {
                        gather.push(Bytes::from_static(b","));
                    }
                    match (item, inner) {
                        (_, Some(inner)) => gather.append(inner),
                        (Item::One(piece), None) => piece.fill(fillings, gather),
                        (Item::Spread(_), None) => {}
                    }
                }
                gather.push(Bytes::from_static(b"]"));
            }
        }
    }
}

/// What is within the container that fills this hole, if it is filled with one that begins so and has something in it.
fn inner(fillings: &[Option<Proved>], number: usize, opening: u8) -> Option<Gather> {
    let value = fillings.get(number)?.as_ref()?;
    if value.first() != opening {
        return None;
    }
    let inner = value.within();
    (!inner.is_empty()).then_some(inner)
}
