//! What can be written under `jwt`, and what its types alone cannot refuse.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::filter::build::{Problem, Secret};
use crate::words::selector::Selector;
use crate::words::spanned::Spanned;
use crate::words::units::Duration;

/// The options of `jwt`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose tokens are taken: the claim `iss` is one of these, or `any`.
    pub issuer: Expected,
    /// For whom they are made: the claim `aud` holds one of these, or `any`.
    pub audience: Expected,
    /// The algorithms that a token may be signed with. A secret takes only HS*, public keys and key sets never do.
    pub algorithms: Spanned<Vec<Spanned<Algorithm>>>,
    /// Where the keys that verify come from.
    pub keys: Spanned<KeySource>,
    /// Where a token is looked for, in order: header.Authorization (the default, as `Bearer`), header.NAME, cookie.NAME.
    #[serde(default = "Config::usual_from")]
    pub from: Spanned<Vec<Spanned<Selector>>>,
    /// By how much clocks may differ.
    #[serde(default = "Config::usual_leeway")]
    pub leeway: Spanned<Duration>,
    /// Claims that the upstream is sent as headers. What a client sends under these names is removed on every route.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claim_headers: BTreeMap<String, Spanned<Selector>>,
    /// Whether the upstream is sent the token, too.
    #[serde(default = "Config::yes")]
    pub forward_token: bool,
    /// Whether a request without a token passes as anonymous. A bad token is refused all the same.
    #[serde(default)]
    pub optional: bool,
}

impl Config {
    fn usual_from() -> Spanned<Vec<Spanned<Selector>>> {
        Spanned::nowhere(vec![Spanned::nowhere(Selector::Header(http::header::AUTHORIZATION))])
    }
    fn usual_leeway() -> Spanned<Duration> {
        Spanned::nowhere(Duration(std::time::Duration::from_secs(30)))
    }
    fn yes() -> bool {
        true
    }
}

/// A name that must be met: one, any of several, or any at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// `any`: it is not looked at.
    Any,
    /// One of these, to the letter.
    OneOf(Vec<String>),
}

/// What signs tokens. `none` does not exist.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[allow(missing_docs, clippy::upper_case_acronyms, reason = "the names of RFC 7518, section 3.1, and RFC 8037, section 3.1")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// Where keys come from: one of these.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// A JSON Web Key Set (RFC 7517), from a URL or a file.
    Jwks(Jwks),
    /// Public keys in PEM.
    PublicKey(Secret),
    /// A secret that the issuer shares, for HS*.
    Secret(Secret),
}

/// A key set: `{url: …}` or `{file: …}`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Jwks {
    /// An http or https URL, fetched in the background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Spanned<String>>,
    /// A file, relative to the one that names it; read again on reload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Spanned<PathBuf>>,
    /// How often the URL is asked; by default every 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Spanned<Duration>>,
    /// For how long the last good set serves while the URL cannot be had; by default 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_for: Option<Spanned<Duration>>,
}

impl Jwks {
    /// `refresh` or its default.
    pub fn refresh(&self) -> std::time::Duration {
        self.refresh.map_or(std::time::Duration::from_secs(600), |refresh| refresh.0)
    }
    /// `stale_for` or its default.
    pub fn stale_for(&self) -> std::time::Duration {
        self.stale_for.map_or(std::time::Duration::from_secs(24 * 3600), |stale| stale.0)
    }
}

impl Algorithm {
    /// Its name in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The bytes that a secret must have at least (RFC 7518, section 3.2); 0 for what takes no secret.
    pub fn secret_length(self) -> usize {
        match self {
            Self::HS256 => 32,
            Self::HS384 => 48,
            Self::HS512 => 64,
            _ => 0,
        }
    }
}

impl Expected {
    /// Whether this name will do.
    pub fn takes(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(names) => names.iter().any(|known| known == name),
        }
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Expected;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, a list of names, or `any`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expected, E> {
                match text {
                    "" => Err(E::custom("an empty name is met by no token: write a name, a list of names, or `any`")),
                    "any" => Ok(Expected::Any),
                    text => Ok(Expected::OneOf(vec![text.to_owned()])),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Expected, A::Error> {
                let mut names: Vec<String> = Vec::new();
                while let Some(name) = list.next_element::<String>()? {
                    if name.is_empty() || name == "any" {
                        return Err(de::Error::custom(format!("`{name}` cannot stand in a list of names")));
                    }
                    names.push(name);
                }
                if names.is_empty() {
                    return Err(de::Error::custom("an empty list is met by no token: write names, or `any`"));
                }
                Ok(Expected::OneOf(names))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl Serialize for Expected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::OneOf(names) if names.len() == 1 => serializer.serialize_str(&names[0]),
            Self::OneOf(names) => names.serialize(serializer),
        }
    }
}

impl JsonSchema for Expected {
    fn schema_name() -> Cow<'static, str> {
        "Expected".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = json_schema!({"type": "string", "minLength": 1});
        json_schema!({
            "description": "A name, a list of names of which one is met, or `any`.",
            "anyOf": [name, {"type": "array", "items": name, "minItems": 1}],
        })
    }
}

/// Headers that say how a message is framed, routed or traced: a claim there would break the request or forge what the gateway says.
const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// What is wrong with these options.
pub fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    algorithms(config, &mut problems);
    if let KeySource::Jwks(jwks) = &config.keys.value {
        self::jwks(jwks, config.keys.place, &mut problems);
    }
    if config.from.is_empty() {
        problems.push(Problem::at(config.from.place, "`from` is empty: no request could bring a token"));
    }
    for source in &config.from.value {
        if !matches!(source.value, Selector::Header(_) | Selector::Cookie(_)) {
            let message = format!("a token is not looked for in `{}`: write header.NAME or cookie.NAME", source.value);
            problems.push(Problem::at(source.place, message));
        }
    }
    if config.leeway.0 > std::time::Duration::from_secs(600) {
        let message = format!("a leeway of {} takes tokens long after their end: 10m is the most", config.leeway.value);
        problems.push(Problem::at(config.leeway.place, message));
    }
    for (name, claim) in &config.claim_headers {
        let wrong = match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => Some(format!("`{name}` is not a header name")),
            Ok(header) if RESERVED.contains(&header.as_str()) => Some(format!("`{name}` is a header that no claim may fill")),
            Ok(_) if !claim.reads_claims() => Some(format!("`{}` is not a claim: write claim.NAME", claim.value)),
            Ok(header) => {
                let alike =
                    |other: &&String| *other != name && other.to_ascii_lowercase().replace('_', "-") == header.as_str().replace('_', "-");
                config
                    .claim_headers
                    .keys()
                    .find(alike)
                    .filter(|other| *other < name)
                    .map(|other| format!("`{name}` and `{other}` are one header"))
            }
        };
        problems.extend(wrong.map(|message| Problem::at(claim.place, message)));
    }
    problems
}

fn algorithms(config: &Config, problems: &mut Vec<Problem>) {
    if config.algorithms.is_empty() {
        problems.push(Problem::at(config.algorithms.place, "`algorithms` is empty: no token could be verified"));
    }
    let symmetric = matches!(config.keys.value, KeySource::Secret(_));
    for algorithm in &config.algorithms.value {
        let name = algorithm.name();
        match (algorithm.secret_length() > 0, symmetric) {
            (true, false) => problems.push(Problem {
                place: algorithm.place,
                message: format!("{name} is signed with a secret, and these keys are public: anybody could sign"),
                help: Some("leave it out, or give `keys: {secret: …}` to a filter of its own".to_owned()),
            }),
            (false, true) => {
                problems.push(Problem::at(algorithm.place, format!("{name} is verified with a public key, not with a secret")))
            }
            _ => {}
        }
    }
}

fn jwks(jwks: &Jwks, place: crate::words::spanned::Place, problems: &mut Vec<Problem>) {
    match (&jwks.url, &jwks.file) {
        (Some(_), Some(_)) => problems.push(Problem::at(place, "`jwks` has a `url` or a `file`, not both")),
        (None, None) => problems.push(Problem::at(place, "`jwks` needs a `url` or a `file`")),
        (Some(url), None) => {
            if let Err(why) = super::url::Url::parse(url) {
                problems.push(Problem::at(url.place, format!("`{}` cannot be fetched: {why}", url.value)));
            }
            for (key, value, least) in [("refresh", &jwks.refresh, 1), ("stale_for", &jwks.stale_for, 0)] {
                if let Some(value) = value.filter(|value| value.0 < std::time::Duration::from_secs(least)) {
                    problems.push(Problem::at(value.place, format!("`{key}` is at least {least}s")));
                }
            }
        }
        (None, Some(_)) => {
            for (key, value) in [("refresh", &jwks.refresh), ("stale_for", &jwks.stale_for)] {
                if let Some(value) = value {
                    problems.push(Problem::at(value.place, format!("`{key}` belongs to a `url`: a file is read on reload")));
                }
            }
        }
    }
}
