//! A value with holes.

use bytes::Bytes;
use serde_json::Value;

use super::gather::Gather;
use super::proved::{MemberName, Proved};

/// A JSON value in which some places are to be filled with others. Made once, filled for each answer.
#[derive(Clone, Debug)]
pub struct Template(Piece);

#[derive(Clone, Debug)]
enum Piece {
    /// A whole value.
    Text(Bytes),
    Hole(usize),
    Object(Vec<(MemberName, Piece)>),
    Array(Vec<Piece>),
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

impl Piece {
    fn new(value: &Value, hole: &dyn Fn(&str) -> Option<usize>) -> Self {
        let piece = match value {
            Value::String(text) => hole(text).map(Self::Hole),
            Value::Array(elements) => Some(Self::Array(elements.iter().map(|element| Self::new(element, hole)).collect())),
            Value::Object(members) => {
                Some(Self::Object(members.iter().map(|(name, member)| (MemberName::new(name), Self::new(member, hole))).collect()))
            }
            _ => None,
        };
        match piece {
            Some(piece) if !piece.is_constant() => piece,
            _ => Self::Text(value.to_string().into()),
        }
    }

    fn is_constant(&self) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Hole(_) => false,
            Self::Object(members) => members.iter().all(|(_, member)| member.is_constant()),
            Self::Array(elements) => elements.iter().all(Self::is_constant),
        }
    }

    fn fill(&self, fillings: &[Option<Proved>], gather: &mut Gather) {
        match self {
            Self::Text(text) => gather.push(text.clone()),
            Self::Hole(number) => match fillings.get(*number) {
                Some(Some(value)) => gather.append(value.clone().into_gather()),
                _ => gather.push(Bytes::from_static(b"null")),
            },
            Self::Object(members) => {
                let stays = |piece: &Self| match piece {
                    Self::Hole(number) => matches!(fillings.get(*number), Some(Some(_))),
                    _ => true,
                };
                gather.push(Bytes::from_static(b"{"));
                for (index, (name, member)) in members.iter().filter(|(_, member)| stays(member)).enumerate() {
                    if index > 0 {
                        gather.push(Bytes::from_static(b","));
                    }
                    gather.push(name.bytes());
                    member.fill(fillings, gather);
                }
                gather.push(Bytes::from_static(b"}"));
            }
            Self::Array(elements) => {
                gather.push(Bytes::from_static(b"["));
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        gather.push(Bytes::from_static(b","));
                    }
                    element.fill(fillings, gather);
                }
                gather.push(Bytes::from_static(b"]"));
            }
        }
    }
}
