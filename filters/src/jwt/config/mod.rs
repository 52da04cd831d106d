//! What can be written under `jwt`, and what its types alone cannot refuse.

mod expected;
mod problems;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::expected::Expected;
use crate::filter::build::Secret;
use crate::words::selector::Selector;
use crate::words::spanned::Spanned;
use crate::words::units::Duration;

/// The options of `jwt`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The accepted issuers: the claim `iss` must be one of these; or `any`.
    pub issuer: Expected,
    /// The accepted audiences: the claim `aud` must hold one of these; or `any`.
    pub audience: Expected,
    /// The algorithms that a token may be signed with: HS* with a secret only, all others with public keys only.
    pub algorithms: Spanned<Vec<Spanned<Algorithm>>>,
    /// Where the keys come from that verify tokens.
    pub keys: Spanned<KeySource>,
    /// Where to look for a token, in order: header.Authorization (the default, as `Bearer`), header.NAME, cookie.NAME.
    #[serde(default = "Config::usual_from")]
    pub from: Spanned<Vec<Spanned<Selector>>>,
    /// By how much clocks may differ; by default 30s, at most 10m.
    #[serde(default = "Config::usual_leeway")]
    pub leeway: Spanned<Duration>,
    /// The types that a token may have by its `typ`, as RFC 8725, section 3.11, has it; one without `typ` may always pass. By default
    /// `JWT` and `at+jwt`; or `any`.
    #[serde(default = "Config::usual_types")]
    pub typ: Expected,
    /// Headers that tell the upstream what a claim says. Headers of these names are removed from clients' requests on every route.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claim_headers: BTreeMap<String, Spanned<Selector>>,
    /// Whether the token is sent to the upstream; by default it is.
    #[serde(default = "Config::yes")]
    pub forward_token: bool,
    /// Whether a request without a token passes as anonymous; by default it is refused. A bad token always is.
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
    fn usual_types() -> Expected {
        Expected::OneOf(vec!["JWT".to_owned(), "at+jwt".to_owned()])
    }
    fn yes() -> bool {
        true
    }
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
    /// How often the URL is fetched; by default every 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Spanned<Duration>>,
    /// How long the last good set serves while the URL cannot be fetched; by default 24h.
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
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

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

    /// The one of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
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
