//! `jwt`: who the caller is, as a signed token says.
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
mod claim_header;
mod config;
pub mod issuer;
mod keys;
mod reason;
mod sources;
mod supply;
mod token;
mod warm;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderName;
use pingora_http::RequestHeader;

pub use config::{Algorithm, Config, Expected, Jwks, KeySource};
pub use keys::{Key, Keys};
pub use reason::Reason;
pub use token::{LONGEST, payload};

use crate::count::metrics::Families;
use crate::count::stripe::Counter;
use crate::filter::build::{Build, Outside};
use crate::filter::inspect::Inspection;
use crate::filter::options::{Options, Placement};
use crate::filter::{Filter, Identity, Request, Verdict};
use crate::words::selector::Selector;
use crate::words::spanned::{Problem, Spanned};
use crate::words::units::Duration;
use cache::Cache;
use claim_header::{ClaimHeaders, Values};
use sources::Sources;
use supply::Supply;
use token::{ProcessKeys, Rules};

impl Options for Config {
    /// Always anew: keys in files may be others by now.
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        Ok(Arc::new(Jwt::build(self, with)?))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn fill(&self, written: &mut serde_json::Map<String, serde_json::Value>) {
        let KeySource::Jwks(jwks) = &self.keys.value else { return };
        let written = written.get_mut("keys").and_then(|keys| keys.get_mut("jwks")).and_then(serde_json::Value::as_object_mut);
        if let Some(map) = written.filter(|_| jwks.url.is_some()) {
            let said = |duration| serde_json::to_value(Duration(duration)).unwrap_or_default();
            map.entry("refresh").or_insert_with(|| said(jwks.refresh()));
            map.entry("stale_for").or_insert_with(|| said(jwks.stale_for()));
        }
    }

    fn state(&self) -> Vec<&'static str> {
        vec!["the cache of verified tokens"]
    }

    fn missing(&self, outside: &dyn Outside) -> Vec<Problem> {
        Supply::missing(self, outside).into_iter().collect()
    }

    fn can_refuse(&self) -> bool {
        true
    }

    fn credentials(&self) -> Vec<HeaderName> {
        let header = |selector: &Spanned<Selector>| match &selector.value {
            Selector::Header(name) => Some(name.clone()),
            _ => None,
        };
        self.from.iter().filter_map(header).collect()
    }

    fn identifies(&self) -> bool {
        true
    }

    fn identity_headers(&self) -> Vec<HeaderName> {
        self.claim_headers.keys().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect()
    }

    fn warm_up(&self) {
        warm::up(self.algorithms.iter().map(|algorithm| algorithm.value));
    }

    fn placement(&self) -> Vec<Placement> {
        vec![Placement::Once]
    }
}

/// The compiled filter.
pub struct Jwt {
    rules: Rules,
    algorithms: Box<[Algorithm]>,
    types: Expected,
    keys: Supply,
    sources: Sources,
    headers: ClaimHeaders,
    forward_token: bool,
    optional: bool,
    verified: Arc<Cache>,
    counts: Counts,
    clock: fn() -> SystemTime,
}

/// A token that was found good.
pub(crate) struct Verified {
    identity: Arc<Identity>,
    /// When it ends, leeway included, in seconds since 1970.
    until: f64,
    /// The generation of the keys that verified it.
    generation: u64,
    /// The values of `claim_headers`, in their order.
    headers: Values,
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
    fn new(name: &str, metrics: &Families) -> Self {
        let decisions = metrics.auth_decisions();
        let handle = |decision: &str, reason: &str| decisions.with_label_values(&[name, decision, reason]);
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
        let keys = Supply::build(config, with, earlier.map(|earlier| &earlier.keys))?;
        let keeps = earlier.filter(|earlier| keys.follows(&earlier.keys));
        Ok(Self {
            rules: Rules { issuer: config.issuer.clone(), audience: config.audience.clone(), leeway: config.leeway.0.as_secs_f64() },
            algorithms: config.algorithms.iter().map(|algorithm| algorithm.value).collect(),
            types: config.typ.clone(),
            keys,
            sources: Sources::new(config.from.iter().map(|source| &source.value)),
            headers: ClaimHeaders::new(config),
            forward_token: config.forward_token,
            optional: config.optional,
            verified: keeps.map_or_else(|| Arc::new(Cache::new()), |earlier| earlier.verified.clone()),
            counts: Counts::new(with.name, with.metrics),
            clock: SystemTime::now,
        })
    }

    /// Looks at the request and changes nothing.
    fn look(&self, head: &RequestHeader) -> Found {
        self.look_with(self.keys.keys().as_ref(), head)
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
        let payload = payload(token, keys, &self.algorithms, &self.types)?;
        let claims = self.rules.check(&payload, now)?;
        let headers = self.headers.values(&claims.all)?;
        // What was read takes several times its text.
        let weight = 512 + 6 * token.len() as u64;
        let identity = Arc::new(Identity::new(claims.all));
        Ok(Verified { identity, until: claims.until, generation: keys.generation(), headers, weight })
    }

    fn act<'a>(&self, request: &mut Request<'_>, found: Found) -> Verdict<'a> {
        match found {
            Found::Anonymous => {
                self.count(request, &self.counts.anonymous);
                request.because(|| "no token, and `optional` is true: anonymous");
            }
            Found::Good(verified) => {
                self.count(request, &self.counts.valid);
                request.because(|| "the token is valid");
                self.headers.tell(request, &verified.identity, &verified.headers);
            }
            Found::Bad(reason) => {
                self.count(request, &self.counts.denied[reason as usize]);
                request.facts.reason = reason.word();
                request.because(|| format!("the token is refused: {}", reason.word()));
                return Verdict::Reply(reason.reply());
            }
        }
        if !self.forward_token {
            self.sources.remove(request.head);
            request.because(|| "the upstream is not sent the token");
        }
        Verdict::Continue
    }

    fn count(&self, request: &Request<'_>, counter: &Counter) {
        if !request.is_explained() {
            counter.inc();
        }
    }

    /// Claims that were given take the place of a token, and keys that are elsewhere are those that are here, which offline are none.
    fn explain<'a>(&self, request: &mut Request<'_>) -> Verdict<'a> {
        let live = request.is_live();
        if let Some(age) = self.keys.age().filter(|_| live) {
            request.because(|| format!("its keys were fetched {} s ago", age.as_secs()));
        }
        if let Some(identity) = request.facts.assumed.clone() {
            request.because(|| "the given claims are used in place of a token, unchecked");
            match self.headers.values(&identity.claims) {
                Ok(values) => self.headers.tell(request, &identity, &values),
                Err(reason) => return self.act(request, Found::Bad(reason)),
            }
            return Verdict::Continue;
        }
        let found = self.look(request.head);
        if let (Found::Bad(Reason::NoKeys), Supply::Remote(remote)) = (&found, &self.keys) {
            let from = &remote.url.authority;
            request.because(|| match live {
                true => format!("the keys are at {from}, and could not be had: pass claims instead"),
                false => format!("the keys are at {from}, which is not fetched offline: pass claims instead"),
            });
        }
        self.act(request, found)
    }
}

impl Filter for Jwt {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        // Claims are assumed of a request that comes from nowhere.
        if request.is_explained() || request.facts.assumed.is_some() {
            return self.explain(request);
        }
        let keys = self.keys.keys();
        let found = self.look_with(keys.as_ref(), request.head);
        let (Found::Bad(reason), Supply::Remote(remote)) = (&found, &self.keys) else { return self.act(request, found) };
        if !reason.may_pass() {
            return self.act(request, found);
        }
        let (document, mut found) = (remote.document.clone(), found);
        let mut seen = keys.map_or(0, |keys| keys.generation());
        Verdict::Wait(Box::pin(async move {
            // The first fetch may have begun before the issuer changed its keys; the second has not.
            for _ in 0..2 {
                document.refresh(seen).await;
                let keys = self.keys.keys();
                found = self.look_with(keys.as_ref(), request.head);
                if !matches!(found, Found::Bad(reason) if reason.may_pass()) {
                    break;
                }
                seen = keys.map_or(0, |keys| keys.generation());
            }
            self.act(request, found)
        }))
    }

    fn inspect(&self) -> Inspection {
        Inspection { key_age: self.keys.age(), lacks_keys: self.keys.is_lacking(), ..Inspection::default() }
    }
}

#[cfg(test)]
mod tests;
