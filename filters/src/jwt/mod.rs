//! `jwt`: who is asking, as a signed token says.
//!
//! ```yaml
//! login:
//!   jwt:
//!     issuer: https://id.shop.example/
//!     audience: shop-bff
//!     algorithms: [ES256]
//!     keys: {jwks: {url: "https://id.shop.example/jwks.json"}}
//! ```
//!
//! A token is verified once and then remembered under a keyed hash of all its bytes, until it expires or the keys change. What it says
//! goes into `Facts::identity`; why it was refused goes into the log and the metrics, never into the answer's body.

mod cache;
mod config;
pub mod issuer;
mod keys;
mod reason;
mod sources;
mod strict;
mod token;
mod url;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;
use pingora_http::RequestHeader;
use serde_json::{Map, Value};

pub use config::{Algorithm, Config, Expected, Jwks, KeySource, problems};
pub use keys::{Key, KeyStore, Keys, NoKeys};
pub use reason::Reason;
pub use token::{LONGEST, payload};
pub use url::Url;

use crate::count::metrics::FilterMetrics;
use crate::count::stripe::Counter;
use crate::filter::build::Build;
use crate::filter::{Filter, Identity, Request, Verdict};
use crate::words::selector::{ClaimPath, Selector};
use cache::Cache;
use sources::Sources;
use token::{ProcessKeys, Rules};

/// The compiled filter.
pub struct Jwt {
    rules: Rules,
    algorithms: Box<[Algorithm]>,
    keys: Source,
    sources: Sources,
    headers: Box<[ClaimHeader]>,
    forward_token: bool,
    optional: bool,
    verified: Arc<Cache>,
    counts: Counts,
    clock: fn() -> SystemTime,
}

/// Where the keys in force are asked for.
enum Source {
    Held(Arc<Keys>),
    Remote(Arc<dyn KeyStore>, Url),
}

/// A header that the upstream is sent.
struct ClaimHeader {
    /// Shared bytes: a name outside of the well-known ones would be copied for every request.
    name: Bytes,
    claim: ClaimPath,
}

/// A token that was found good.
pub(crate) struct Verified {
    identity: Arc<Identity>,
    /// When it ends, leeway included, in seconds since 1970.
    until: f64,
    /// The generation of the keys that verified it.
    generation: u64,
    /// The values of `claim_headers`, in their order.
    headers: Box<[Option<HeaderValue>]>,
    /// What it takes in the cache.
    weight: u64,
}

/// What a look at a request finds.
enum Found {
    Anonymous,
    Good(Arc<Verified>),
    Bad(Reason),
}

/// The handles of `auth_decisions_total`.
struct Counts {
    valid: Counter,
    anonymous: Counter,
    denied: Box<[Counter]>,
}

impl Counts {
    fn new(name: &str, metrics: &FilterMetrics) -> Self {
        let handle = |decision: &str, reason: &str| metrics.auth_decisions.with_label_values(&[name, decision, reason]);
        Self {
            valid: handle("allow", "valid"),
            anonymous: handle("allow", "anonymous"),
            denied: Reason::ALL.iter().map(|reason| handle("deny", reason.word())).collect(),
        }
    }
}

impl Jwt {
    /// Compiles the options and reads the keys. What was verified before is kept where the keys are still the same.
    pub fn build(config: &Config, with: &Build<'_>) -> Result<Self, String> {
        let earlier = with.earlier::<Self>();
        let keys = match &config.keys.value {
            KeySource::Jwks(Jwks { url: Some(url), .. }) => {
                let KeySource::Jwks(jwks) = &config.keys.value else { return Err("a key set is none".to_owned()) };
                let url = Url::parse(url)?;
                Source::Remote(with.outside.key_store(&url, jwks.refresh(), jwks.stale_for()), url)
            }
            held => Source::Held(hold(read(held, config, with)?, earlier)),
        };
        let keeps = earlier.filter(|earlier| match (&keys, &earlier.keys) {
            (Source::Held(now), Source::Held(before)) => Arc::ptr_eq(now, before),
            // Every token remembers the generation of its keys.
            (Source::Remote(..), Source::Remote(..)) => true,
            _ => false,
        });
        let headers = config.claim_headers.iter().filter_map(|(name, claim)| match &claim.value {
            Selector::Claim(path) => Some(ClaimHeader { name: Bytes::from(name.clone()), claim: path.clone() }),
            _ => None,
        });
        Ok(Self {
            rules: Rules { issuer: config.issuer.clone(), audience: config.audience.clone(), leeway: config.leeway.0.as_secs_f64() },
            algorithms: config.algorithms.iter().map(|algorithm| algorithm.value).collect(),
            keys,
            sources: Sources::new(config.from.iter().map(|source| &source.value)),
            headers: headers.collect(),
            forward_token: config.forward_token,
            optional: config.optional,
            verified: keeps.map_or_else(|| Arc::new(Cache::new()), |earlier| earlier.verified.clone()),
            counts: Counts::new(with.name, with.metrics),
            clock: SystemTime::now,
        })
    }

    /// How long ago its keys were last known to be the issuer's, where they come from elsewhere and were had.
    pub fn key_age(&self) -> Option<std::time::Duration> {
        match &self.keys {
            Source::Held(_) => None,
            Source::Remote(store, _) => store.age(),
        }
    }

    /// Looks at the request and changes nothing.
    fn look(&self, head: &RequestHeader) -> Found {
        self.look_with(self.current().as_ref(), head)
    }

    fn current(&self) -> Option<Arc<Keys>> {
        match &self.keys {
            Source::Held(keys) => Some(keys.clone()),
            Source::Remote(store, _) => store.keys(),
        }
    }

    fn look_with(&self, keys: Option<&Arc<Keys>>, head: &RequestHeader) -> Found {
        let token = match self.sources.token(head) {
            Ok(Some(token)) => token,
            Ok(None) if self.optional => return Found::Anonymous,
            Ok(None) => return Found::Bad(Reason::NoToken),
            Err(reason) => return Found::Bad(reason),
        };
        let Some(keys) = keys else { return Found::Bad(Reason::NoKeys) };
        let now = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let name = ProcessKeys::get().token(token);
        if let Some(known) = self.verified.get(name).filter(|known| known.generation == keys.generation()) {
            return if now < known.until { Found::Good(known) } else { Found::Bad(Reason::Expired) };
        }
        match self.verify(token, keys, now) {
            Ok(verified) => {
                let verified = Arc::new(verified);
                self.verified.put(name, verified.clone());
                Found::Good(verified)
            }
            Err(reason) => Found::Bad(reason),
        }
    }

    fn verify(&self, token: &str, keys: &Keys, now: f64) -> Result<Verified, Reason> {
        let payload = payload(token, keys, &self.algorithms)?;
        let claims = self.rules.check(&payload, now)?;
        let headers = self.values(&claims.all)?;
        // Parsed JSON takes several times its text.
        let weight = 512 + 6 * token.len() as u64;
        let identity = Arc::new(Identity::shown_as(claims.all, |subject| ProcessKeys::get().subject(subject)));
        Ok(Verified { identity, until: claims.until, generation: keys.generation(), headers, weight })
    }

    /// What the upstream is told of these claims.
    fn values(&self, claims: &Map<String, Value>) -> Result<Box<[Option<HeaderValue>]>, Reason> {
        self.headers.iter().map(|header| header.claim.find(claims).map_or(Ok(None), header_value)).collect()
    }

    fn act<'a>(&self, request: &mut Request<'_>, found: Found) -> Verdict<'a> {
        match found {
            Found::Anonymous => {
                self.counts.anonymous.inc();
                request.because(|| "there is no token, and none is needed: anonymous");
            }
            Found::Good(verified) => {
                self.counts.valid.inc();
                request.because(|| "the token is good");
                self.tell(request, &verified.identity, &verified.headers);
            }
            Found::Bad(reason) => {
                self.counts.denied[reason as usize].inc();
                request.facts.reason = reason.word();
                request.because(|| format!("the token is not taken: {}", reason.word()));
                return Verdict::Reply(reason.reply());
            }
        }
        if !self.forward_token {
            self.sources.remove(request.head);
            request.because(|| "the upstream is not sent the token");
        }
        Verdict::Continue
    }

    fn tell(&self, request: &mut Request<'_>, identity: &Arc<Identity>, values: &[Option<HeaderValue>]) {
        for (header, value) in self.headers.iter().zip(values) {
            if let Some(value) = value {
                request.head.insert_header(header.name.clone(), value.clone()).expect("the name was checked with the configuration");
                request.because(|| format!("the upstream is sent {} from {}", String::from_utf8_lossy(&header.name), header.claim));
            }
        }
        request.facts.identity = Some(identity.clone());
    }

    /// Offline: claims that were given stand for a token, and keys that are elsewhere are not there.
    fn explain<'a>(&self, request: &mut Request<'_>) -> Verdict<'a> {
        if let Some(identity) = request.facts.assumed.clone() {
            request.because(|| "the claims that were given are taken in place of a token; nothing of them is checked");
            match self.values(&identity.claims) {
                Ok(values) => self.tell(request, &identity, &values),
                Err(reason) => return self.act(request, Found::Bad(reason)),
            }
            return Verdict::Continue;
        }
        let found = self.look(request.head);
        if let (Found::Bad(Reason::NoKeys), Source::Remote(_, url)) = (&found, &self.keys) {
            request.because(|| format!("the keys are at {}, which is not asked offline: give the claims instead", url.authority));
        }
        self.act(request, found)
    }
}

impl Filter for Jwt {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        if request.is_explained() {
            return self.explain(request);
        }
        let keys = self.current();
        let found = self.look_with(keys.as_ref(), request.head);
        let (Found::Bad(reason), Source::Remote(store, _)) = (&found, &self.keys) else { return self.act(request, found) };
        if !reason.may_pass() {
            return self.act(request, found);
        }
        let (store, mut found) = (store.clone(), found);
        let mut seen = keys.map_or(0, |keys| keys.generation());
        Verdict::Wait(Box::pin(async move {
            // The first fetch may have begun before the issuer changed its keys; the second has not.
            for _ in 0..2 {
                store.refresh(seen).await;
                let keys = self.current();
                found = self.look_with(keys.as_ref(), request.head);
                if !matches!(found, Found::Bad(reason) if reason.may_pass()) {
                    break;
                }
                seen = keys.map_or(0, |keys| keys.generation());
            }
            self.act(request, found)
        }))
    }
}

/// Reads keys that are kept here.
fn read(source: &KeySource, config: &Config, with: &Build<'_>) -> Result<Keys, String> {
    match source {
        KeySource::Jwks(Jwks { file: Some(file), .. }) => {
            let text = with.outside.read(file.place, file)?;
            Keys::from_jwks(&text).map_err(|why| format!("the key set `{}`: {why}", file.display()))
        }
        KeySource::Jwks(_) => Err("`jwks` needs a `url` or a `file`".to_owned()),
        KeySource::PublicKey(text) => {
            Keys::from_pem(&with.outside.secret(text)?).map_err(|why| format!("the public key cannot be used: {why}"))
        }
        KeySource::Secret(secret) => {
            let secret = with.outside.secret(secret)?;
            let least = config.algorithms.iter().map(|algorithm| algorithm.secret_length()).max().unwrap_or_default();
            if secret.len() < least {
                return Err(format!("the secret has {} bytes, and its algorithms ask for {least} (RFC 7518, section 3.2)", secret.len()));
            }
            Ok(Keys::from_secret(secret.as_bytes()))
        }
    }
}

/// The keys as they were, where they are the same: their generation goes on.
fn hold(keys: Keys, earlier: Option<&Jwt>) -> Arc<Keys> {
    match earlier.map(|earlier| &earlier.keys) {
        Some(Source::Held(before)) if before.same_as(&keys) => before.clone(),
        _ => Arc::new(keys),
    }
}

/// A claim as a header's value: printable ASCII, a list joined by commas. What would be read as something else there is refused: a
/// member of a list that holds a comma, an object, a line break.
fn header_value(claim: &Value) -> Result<Option<HeaderValue>, Reason> {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let text = match claim {
        Value::Null => return Ok(None),
        Value::Array(list) => {
            let parts = list.iter().map(|item| plain(item).filter(|part| !part.contains(',') && !part.trim().is_empty()));
            parts.collect::<Option<Vec<_>>>().map(|parts| parts.join(","))
        }
        claim => plain(claim),
    };
    let text = text.filter(|text| text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && text.trim() == text);
    let value = text.and_then(|text| HeaderValue::from_maybe_shared(Bytes::from(text)).ok());
    value.map(Some).ok_or(Reason::ClaimHeader)
}

#[cfg(test)]
mod tests;
