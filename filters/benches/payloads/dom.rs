//! What the trimmer replaces: parse to a tree, delete, print.

use bytes::Bytes;
use serde_json::Value;
use sonic_rs::{JsonContainerTrait, JsonType, JsonValueMutTrait, JsonValueTrait};

use crate::json::path::Segment;
use crate::payloads::Payload;

impl Payload {
    /// Parses, deletes, prints.
    pub fn by_serde_json(&self) -> Bytes {
        let mut value: Value = serde_json::from_slice(&self.text).expect("a document");
        self.prune(&mut value, &mut Vec::new());
        serde_json::to_vec(&value).expect("a value prints").into()
    }

    /// The same with the fastest DOM there is.
    pub fn by_sonic_rs(&self) -> Bytes {
        let mut value: sonic_rs::Value = sonic_rs::from_slice(&self.text).expect("a document");
        self.prune(&mut value, &mut Vec::new());
        sonic_rs::to_vec(&value).expect("a value prints").into()
    }

    fn prune<D: Dom>(&self, value: &mut D, at: &mut Vec<String>) {
        fn spelled(pattern: &[Segment], names: &[String], begin_is_enough: bool) -> bool {
            match pattern.split_first() {
                None => names.is_empty(),
                Some(_) if names.is_empty() => begin_is_enough,
                Some((Segment::Deep, rest)) => (0..=names.len()).any(|skip| spelled(rest, &names[skip..], begin_is_enough)),
                Some((Segment::Any, rest)) => spelled(rest, &names[1..], begin_is_enough),
                Some((Segment::Name(own), rest)) => names[0] == *own && spelled(rest, &names[1..], begin_is_enough),
            }
        }
        value.retain(at, &mut |value, at| {
            let whole = self.paths.iter().any(|path| spelled(path.segments(), at, false));
            if whole {
                return self.keep;
            }
            let some = self.paths.iter().any(|path| spelled(path.segments(), at, true));
            if some && value.is_container() {
                self.prune(value, at);
                return true;
            }
            !self.keep
        });
    }
}

/// What both DOMs can do.
trait Dom: Sized {
    fn is_container(&self) -> bool;
    fn retain(&mut self, at: &mut Vec<String>, stays: &mut dyn FnMut(&mut Self, &mut Vec<String>) -> bool);
}

impl Dom for Value {
    fn is_container(&self) -> bool {
        self.is_object() || self.is_array()
    }

    fn retain(&mut self, at: &mut Vec<String>, stays: &mut dyn FnMut(&mut Self, &mut Vec<String>) -> bool) {
        match self {
            Self::Array(elements) => elements.iter_mut().for_each(|element| element.retain(at, stays)),
            Self::Object(members) => members.retain(|name, member| {
                at.push(name.clone());
                let stay = stays(member, at);
                at.pop();
                stay
            }),
            _ => {}
        }
    }
}

impl Dom for sonic_rs::Value {
    fn is_container(&self) -> bool {
        matches!(self.get_type(), JsonType::Object | JsonType::Array)
    }

    fn retain(&mut self, at: &mut Vec<String>, stays: &mut dyn FnMut(&mut Self, &mut Vec<String>) -> bool) {
        if let Some(elements) = self.as_array_mut() {
            elements.iter_mut().for_each(|element| element.retain(at, stays));
        } else if self.is_object() {
            let mut gone = Vec::new();
            let names: Vec<String> =
                self.as_object().into_iter().flat_map(|members| members.iter().map(|(name, _)| name.to_owned())).collect();
            for name in names {
                at.push(name.clone());
                if self.get_mut(&name).is_some_and(|member| !stays(member, at)) {
                    gone.push(name);
                }
                at.pop();
            }
            if let Some(members) = self.as_object_mut() {
                gone.iter().for_each(|name| drop(members.remove(name)));
            }
        }
    }
}
