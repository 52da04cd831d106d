//! A configuration as it may be shown to whoever compares it with another: its values with their defaults, and marks in place of what came from
//! the environment or may be a secret.
//!
//! A mark is 32 bits of a keyed hash. Under one key equal values have equal marks, so that a change shows; and so few bits tell nobody what the
//! value is, not even who tries all the values that it may have.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Loaded;
use crate::config::show::{Content, Origin, Shown, shown};
use crate::snapshot::{KeptState, Marks, state_of};
use crate::status::{InForce, SagaNeeds};

/// A configuration as it may be shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Portrait {
    /// The configuration's hash.
    pub hash: String,
    /// The key of the marks.
    pub key: String,
    /// Its values.
    pub values: Node,
    /// What is learnt under it.
    pub state: KeptState,
    /// How it came to be in force, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<InForce>,
    /// What the open sagas of the gateway need of a configuration, where it is in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sagas: Vec<SagaNeeds>,
}

/// A value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    /// What it is.
    pub is: Is,
    /// Whether it is written nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
}

/// What a value is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Is {
    /// A value that is no collection.
    Value(Value),
    /// One that is not shown.
    Marked {
        /// What is shown for it.
        shown: String,
        /// Its mark.
        mark: String,
    },
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(Vec<(String, Node)>),
}

/// The key of marks.
pub(crate) struct Key {
    text: String,
    key: hmac::Key,
}

impl Key {
    /// One that nobody knows.
    pub(crate) fn fresh() -> Self {
        let mut bytes = [0_u8; 16];
        SystemRandom::new().fill(&mut bytes).expect("the system's source of randomness never fails once it is open");
        Self::of(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// As others are told it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The one that another portrait was made with.
    pub(crate) fn of(text: String) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()), text }
    }
}

impl Marks for Key {
    fn mark(&self, value: &impl Serialize) -> String {
        let text = serde_json::to_vec(value).unwrap_or_default();
        hmac::sign(&self.key, &text).as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Portrait {
    /// Of a configuration.
    pub(crate) fn of(loaded: &Loaded, key: &Key) -> Self {
        Self {
            hash: loaded.hash.clone(),
            key: key.text.clone(),
            values: Node::values(loaded, key),
            state: state_of(&loaded.config, key),
            in_force: None,
            sagas: Vec::new(),
        }
    }
}

impl Node {
    /// The values of a configuration.
    pub(super) fn values(loaded: &Loaded, key: &Key) -> Self {
        Self::of(shown(loaded), key)
    }

    fn of(shown: Shown, key: &Key) -> Self {
        let is = match shown.content {
            Content::Scalar(value) => Is::Value(value),
            Content::Masked { shown, is } => Is::Marked { shown, mark: key.mark(&is) },
            Content::List(items) => Is::List(items.into_iter().map(|item| Self::of(item, key)).collect()),
            Content::Map(entries) => Is::Map(entries.into_iter().map(|(name, value)| (name, Self::of(value, key))).collect()),
        };
        Self { is, default: shown.origin == Origin::Default }
    }

    /// The value of a map's key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The entries of a map, none of anything else.
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        if let Is::Map(entries) = &self.is { entries } else { &[] }
    }

    /// The entries of a list, none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        if let Is::List(items) = &self.is { items } else { &[] }
    }

    /// Whether both are the same, whether or not they are shown and wherever they come from.
    pub(crate) fn is_same(&self, other: &Self, key: &Key) -> bool {
        match (&self.is, &other.is) {
            (Is::Value(one), Is::Value(other)) => one == other,
            (Is::Marked { mark, .. }, Is::Marked { mark: other, .. }) => mark == other,
            (Is::Value(value), Is::Marked { mark, .. }) | (Is::Marked { mark, .. }, Is::Value(value)) => key.mark(value) == *mark,
            (Is::List(one), Is::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_same(other, key))
            }
            (Is::Map(one), Is::Map(other)) => {
                let holds = |(name, value): &(String, Self)| {
                    other.iter().find(|(known, _)| known == name).is_some_and(|(_, known)| value.is_same(known, key))
                };
                one.len() == other.len() && one.iter().all(holds)
            }
            _ => false,
        }
    }

    /// In a line, without what is written nowhere where something in it is written.
    pub(crate) fn line(&self) -> String {
        self.line_with(true)
    }

    /// The same, with the marks of what is not shown or without.
    pub(super) fn line_with(&self, marks: bool) -> String {
        match &self.is {
            Is::Value(Value::String(text)) => text.clone(),
            Is::Value(value) => value.to_string(),
            Is::Marked { shown, mark } if marks => format!("{shown} (hash {mark})"),
            Is::Marked { shown, .. } => shown.clone(),
            Is::List(items) => format!("[{}]", items.iter().map(|item| item.line_with(marks)).collect::<Vec<_>>().join(", ")),
            Is::Map(entries) => {
                let written = entries.iter().filter(|(_, value)| self.default || !value.default);
                let parts: Vec<String> = written.map(|(name, value)| format!("{name}: {}", value.line_with(marks))).collect();
                format!("{{{}}}", parts.join(", "))
            }
        }
    }
}
