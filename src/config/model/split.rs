//! `upstream` of a route that sends reads and writes to different upstreams.

use frontgate_filters::filter::build::Secret;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::forms::{Short, deserialize_short_or_long, schemas, short_or};

/// Where requests are sent: the name of an upstream, or one for reads and one for writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// All of them.
    To(String),
    /// Reads and writes apart.
    Apart(Box<Split>),
}

/// Upstreams for reads and for writes.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The upstream that reads are sent to, such as replicas.
    pub read: Spanned<String>,
    /// The upstream that everything else is sent to: the primary.
    pub write: Spanned<String>,
    /// The methods that are reads; by default GET, HEAD and OPTIONS. A request that asks for another protocol, such as a WebSocket, is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_methods: Option<Spanned<Vec<Spanned<String>>>>,
    /// Whether the primary answers reads while no endpoint of `read` takes any; otherwise they fail. By default it does.
    #[serde(default = "Split::default_spill")]
    pub spill: bool,
    /// Who has written reads from the primary for a while, so that he finds what he wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_write: Option<Spanned<AfterWrite>>,
}

impl Split {
    /// The methods that are reads where nothing else is written.
    pub const READS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

    fn default_spill() -> bool {
        true
    }
}

/// For how long reads follow a write to the primary, and whose.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AfterWrite {
    /// How long, from the end of the write: longer than replicas lag behind.
    #[serde(rename = "for")]
    pub length: Spanned<Duration>,
    /// Whose reads: of the same user, session or address. Where a request has none of it, of the same client_ip.
    pub by: Spanned<Selector>,
    /// What a cookie is signed with, at least 16 bytes, that tells other nodes of the write: the same on every node. Without it a node knows
    /// of its own writes alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Spanned<Secret>>,
}

impl From<Split> for Sent {
    fn from(split: Split) -> Self {
        Self::Apart(Box::new(split))
    }
}

impl Short for Sent {
    type Long = Split;
    const EXPECTED: &'static str = "the name of an upstream, or a map of `read` and `write`";
    fn short(text: &str) -> Result<Self, String> {
        Ok(Self::To(text.to_owned()))
    }
}

impl Serialize for Sent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::To(name) => serializer.serialize_str(name),
            Self::Apart(split) => split.serialize(serializer),
        }
    }
}

deserialize_short_or_long!(Sent);

schemas! {
    Sent: "Sent" = |generator| short_or(generator.subschema_for::<Split>(), "The name of an upstream, or one for reads and one for writes.");
}
