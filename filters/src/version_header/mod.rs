//! `version_header`: names the version that answered.
//!
//! ```yaml
//! stamp:
//!   version_header: {name: X-BFF-Version, value: "v2.4", to: [client, upstream]}
//! ```
//!
//! Towards the client the value is the answering endpoint's `version` where it has one, else `value`; a copy that the upstream sent is
//! replaced. It marks every answer of the routes that list it, refusals too. Towards the upstream it is always `value`.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use pingora_http::ResponseHeader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filter::build::Build;
use crate::filter::options::Options;
use crate::filter::{Facts, Filter, Request, Verdict};
use crate::head;
use crate::words::reserved;

/// The options of `version_header`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the header; by default `X-BFF-Version`.
    #[serde(default = "Name::usual")]
    pub name: Name,
    /// The value of the header: printable ASCII.
    pub value: Value,
    /// Who is sent the header; by default the client.
    #[serde(default = "Side::usual")]
    pub to: Vec<Side>,
}

/// Who is sent the version.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The client, on every answer.
    Client,
    /// The upstream, on every request.
    Upstream,
}

impl Side {
    fn usual() -> Vec<Self> {
        vec![Self::Client]
    }
}

/// A header name; it goes out in lower case.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline)]
pub struct Name(String);

impl Name {
    fn usual() -> Self {
        Self("X-BFF-Version".into())
    }
}

impl TryFrom<String> for Name {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is not a header name"))?;
        if reserved::on_answers(&name) || reserved::on_requests(&name) {
            return Err(format!("`{text}` is a header that the gateway itself sets"));
        }
        Ok(Self(text))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// A header value: not empty, printable ASCII.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline)]
pub struct Value(String);

impl TryFrom<String> for Value {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if text.is_empty() || !printable || text.trim() != text {
            return Err("a header value must be printable ASCII, not empty, without a space at either end".into());
        }
        Ok(Self(text))
    }
}

impl From<Value> for String {
    fn from(value: Value) -> Self {
        value.0
    }
}

impl Options for Config {
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        with.kept_or(|| Ok(VersionHeader::new(self)))
    }
}

/// The compiled filter.
pub struct VersionHeader {
    name: HeaderName,
    value: HeaderValue,
    client: bool,
    upstream: bool,
}

impl VersionHeader {
    /// Compiles the options.
    pub fn new(config: &Config) -> Self {
        Self {
            name: HeaderName::from_bytes(config.name.0.as_bytes()).expect("checked when it was read"),
            value: HeaderValue::from_str(&config.value.0).expect("checked when it was read"),
            client: config.to.contains(&Side::Client),
            upstream: config.to.contains(&Side::Upstream),
        }
    }
}

impl Filter for VersionHeader {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        if self.upstream {
            request.head.insert_header(self.name.clone(), self.value.clone()).expect("the name was checked when it was read");
        }
        request.because(|| match (self.client, self.upstream) {
            (true, true) => format!("marks the answer and the request to the upstream with {:?}", self.value),
            (true, false) => format!("marks the answer with {:?}, or the endpoint's own version", self.value),
            (false, true) => format!("marks the request to the upstream with {:?}", self.value),
            (false, false) => "marks nothing, since `to` is empty".to_owned(),
        });
        Verdict::Continue
    }

    fn answer(&self, head: &mut ResponseHeader, facts: &Facts) {
        if self.client {
            let value = facts.version.as_ref().unwrap_or(&self.value);
            head::set(head, self.name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests;
