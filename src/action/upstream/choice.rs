//! What a route leaves to the request: which version answers, and which of two upstreams for reads and writes.
//!
//! The choice is made after the filters that find out who asks, and before those that depend on it, such as the circuit breaker of the upstream
//! that was chosen. What comes of it is one [`Chosen`] a request; a request of any other route has none.

use std::sync::Arc;
use std::time::Instant;

use frontgate_filters::filter::Facts;
use frontgate_filters::head::with_map;
use frontgate_filters::words::cache_control::says;
use frontgate_filters::words::fields;
use http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use http::{HeaderName, HeaderValue, Method};
use pingora_http::{RequestHeader, ResponseHeader};
use smallvec::SmallVec;

use super::With;
use super::canary::{Canary, Picked, STABLE, Said, Serves, X_BFF_VERSION};
use super::split::{Sent, Split, Written};
use crate::config::model;
use crate::telemetry::VariantMetrics;
use crate::upstream::Pool;
use crate::upstream::attempts::Aim;
use crate::upstream::pool::{Subset, Versions};

/// What a route leaves to the request.
pub(crate) struct Choice {
    own: Own,
    canary: Option<Canary>,
    /// The headers that choose a version.
    vary: Arc<[HeaderName]>,
}

/// The route's own upstream.
enum Own {
    One(Arc<Pool>),
    Apart(Split),
}

/// Endpoints that are asked.
type Asked = (Arc<Pool>, Option<Arc<Subset>>);

/// What was chosen for a request.
pub(crate) struct Chosen {
    asked: Asked,
    /// Who is asked in turn where nobody there can be reached.
    rest: SmallVec<[Asked; 1]>,
    version: Option<Version>,
    cookie: Option<HeaderValue>,
    written: Option<Written>,
    vary: Arc<[HeaderName]>,
    /// Whether another one is asked than was chosen at first, which could not be reached.
    spilled: bool,
}

/// The version that was chosen.
struct Version {
    /// None for `stable`.
    variant: Option<(HeaderValue, Arc<VariantMetrics>)>,
    stable: Arc<VariantMetrics>,
}

/// What the client said of itself before filters changed it.
pub(crate) struct Heard(Option<Said>);

impl Choice {
    /// Compiles what a checked route leaves to the request; none where that is nothing.
    pub(super) fn new(route: &model::Route, with: &With<'_>) -> Result<Option<Self>, String> {
        let own = match &route.target {
            model::Target::Upstream(name) if !route.canary.is_empty() => Own::One(with.pool(name)?),
            model::Target::Apart(split) => Own::Apart(Split::new(split, with)?),
            _ => return Ok(None),
        };
        let pools = match &own {
            Own::One(pool) => vec![pool],
            Own::Apart(split) => vec![&split.read, &split.write],
        };
        let canary = if route.canary.is_empty() { None } else { Some(Canary::new(route, &pools, with)?) };
        let vary = canary.iter().flat_map(Canary::headers).cloned().collect();
        Ok(Some(Self { own, canary, vary }))
    }

    /// Reads what the client says of itself, before any filter changes it. `wish` is the version that a client asks for who is no trusted proxy.
    pub(crate) fn hear(&self, head: &mut RequestHeader, facts: &Facts, wish: Option<HeaderValue>, trusted: bool) -> Heard {
        Heard(self.canary.as_ref().map(|canary| canary.hear(head, facts, wish, trusted)))
    }

    /// Chooses, and tells the filters that come. With `told` it is only explained, by a running gateway where that is `live`: nothing is
    /// counted then, and nobody noted as one who has written.
    pub(crate) fn choose(
        &self,
        head: &RequestHeader,
        facts: &mut Facts,
        heard: &Heard,
        now: Instant,
        told: &mut Option<&mut Vec<String>>,
        live: bool,
    ) -> Box<Chosen> {
        let (asked, rest, written) = self.own_for(head, facts, now, told);
        let mut chosen = Chosen { asked, rest, version: None, cookie: None, written, vary: self.vary.clone(), spilled: false };
        if let (Some(canary), Some(said)) = (&self.canary, &heard.0) {
            let picked = canary.pick(head, facts, said, told.is_some());
            if let Some(told) = told {
                let version = picked.variant.map_or(STABLE, |variant| variant.version.clone());
                told.push(format!("version `{}`: {}", fields::text(&version).unwrap_or_default(), picked.why));
            }
            chosen.take(canary, picked, facts);
        }
        // Who explains offline knows nothing of health, and of no names what their addresses are.
        while (told.is_none() || live) && !chosen.rest.is_empty() && !chosen.asked.0.has_usable(chosen.asked.1.as_deref()) {
            if let Some(told) = told {
                told.push(format!("nobody takes requests there: `{}` is asked instead", chosen.rest[0].0.name));
            }
            chosen.give_way(facts, told.is_none());
        }
        facts.upstream = Some(chosen.asked.0.name.clone());
        facts.instead = chosen.rest.first().map(|(pool, _)| pool.name.clone()).filter(|name| !Arc::ptr_eq(name, &chosen.asked.0.name));
        Box::new(chosen)
    }

    /// Who is asked of the route's own upstreams, who else where they cannot be reached, and the write that the request is.
    fn own_for(
        &self,
        head: &RequestHeader,
        facts: &Facts,
        now: Instant,
        told: &mut Option<&mut Vec<String>>,
    ) -> (Asked, SmallVec<[Asked; 1]>, Option<Written>) {
        let own = |pool: &Arc<Pool>| (pool.clone(), self.canary.as_ref().and_then(|canary| canary.own.of(pool)));
        let split = match &self.own {
            Own::One(pool) => return (own(pool), SmallVec::new(), None),
            Own::Apart(split) => split,
        };
        let sent = split.sends(head, facts, now, told.is_some());
        if let Some(told) = told {
            let (name, why) = match &sent {
                Sent::Read => (&split.read.name, "it is a read"),
                Sent::Pinned(why) => (&split.write.name, *why),
                Sent::Write(_) => (&split.write.name, "it is a write"),
            };
            told.push(format!("`{name}`: {why}"));
        }
        match sent {
            Sent::Read if split.spills => (own(&split.read), [own(&split.write)].into_iter().collect(), None),
            Sent::Read => (own(&split.read), SmallVec::new(), None),
            Sent::Pinned(_) => (own(&split.write), SmallVec::new(), None),
            Sent::Write(written) => (own(&split.write), SmallVec::new(), written),
        }
    }
}

impl Chosen {
    /// Takes the version that was picked.
    fn take(&mut self, canary: &Canary, picked: Picked<'_>, facts: &mut Facts) {
        self.cookie = picked.cookie;
        facts.variant = Some(picked.variant.map_or(STABLE, |variant| variant.version.clone()));
        facts.version = picked.variant.map(|variant| variant.version.clone());
        if let Some(variant) = picked.variant {
            let asked = match &variant.serves {
                Serves::Upstream(pool) => (pool.clone(), None),
                Serves::Endpoints(parts) => (self.asked.0.clone(), parts.of(&self.asked.0)),
            };
            let own = std::mem::replace(&mut self.asked, asked);
            // Who asks for a version by name wants to see whether it is there.
            if variant.spills && !picked.by_name {
                self.rest.insert(0, own);
            } else {
                self.rest.clear();
            }
        }
        let variant = picked.variant.map(|variant| (variant.version.clone(), variant.metrics.clone()));
        self.version = Some(Version { variant, stable: canary.stable.clone() });
    }

    /// Nobody can be reached where it was asked: who comes next is asked. A version that was chosen gives way to `stable` with that, which
    /// `counts` where it is not only explained.
    pub(crate) fn give_way(&mut self, facts: &mut Facts, counts: bool) {
        if self.rest.is_empty() {
            return;
        }
        self.asked = self.rest.remove(0);
        self.spilled = true;
        if let Some((_, metrics)) = self.version.as_mut().and_then(|version| version.variant.take()) {
            if counts {
                metrics.spilled();
            }
            facts.variant = Some(STABLE);
            facts.version = None;
        }
    }

    /// Whether a filter has let the upstream that was chosen give way to the one that comes next.
    pub(crate) fn gave_way(&self, facts: &Facts) -> bool {
        let is_asked = |pool: &Pool| facts.upstream.as_ref().is_some_and(|name| Arc::ptr_eq(name, &pool.name) || **name == *pool.name);
        !is_asked(&self.asked.0) && self.rest.first().is_some_and(|(pool, _)| is_asked(pool)) && facts.instead.is_none()
    }

    /// Whether another one is asked than was chosen at first.
    pub(crate) fn has_spilled(&self) -> bool {
        self.spilled
    }

    /// The upstream that is asked.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.asked.0
    }

    /// Which endpoints of this upstream are asked, where not all of them are.
    pub(crate) fn versions_of(&self, pool: &Arc<Pool>) -> Option<&Versions> {
        self.asked.1.as_ref().filter(|_| Arc::ptr_eq(pool, self.pool())).map(|subset| subset.versions())
    }

    /// Who is asked, and who then, each with what a consistent hash makes of the request.
    pub(crate) fn aims(&self, hash: impl Fn(&Pool) -> Option<u64>) -> impl Iterator<Item = Aim> {
        std::iter::once(&self.asked).chain(&self.rest).map(move |(pool, subset)| Aim {
            hash: hash(pool),
            pool: pool.clone(),
            subset: subset.clone(),
        })
    }

    /// The version that an answer of this upstream is of, where one was chosen that is not `stable`.
    pub(crate) fn version_of(&self, pool: &Arc<Pool>) -> Option<&HeaderValue> {
        let (version, _) = self.version.as_ref()?.variant.as_ref()?;
        Some(version).filter(|_| Arc::ptr_eq(pool, self.pool()))
    }

    /// What the upstream is told of the version; none for `stable`, of which filters may say what they like.
    pub(crate) fn names(&self) -> Option<&HeaderValue> {
        self.version.as_ref()?.variant.as_ref().map(|(version, _)| version)
    }

    /// Marks an answer to a request of this method, before the route's filters do.
    pub(crate) fn mark(&mut self, head: &mut ResponseHeader, facts: &Facts, method: &Method) {
        let is_kept = matches!(*method, Method::GET | Method::HEAD) && !says(&head.headers, "no-store") && !says(&head.headers, "private");
        let vary = if is_kept { &self.vary[..] } else { &[] };
        let cookies = [self.cookie.take(), self.written.as_ref().and_then(Written::answered)];
        let version = facts.version.as_ref().or(facts.variant.as_ref());
        if vary.is_empty() && version.is_none() && cookies.iter().all(Option::is_none) {
            return;
        }
        with_map(head, |headers| {
            if let Some(version) = version {
                headers.insert(X_BFF_VERSION, version.clone());
            }
            for name in vary {
                if !fields::lists(headers, &VARY, name.as_str()) && !fields::lists(headers, &VARY, "*") {
                    headers.append(VARY, HeaderValue::from(name.clone()));
                }
            }
            for cookie in cookies.into_iter().flatten() {
                headers.append(SET_COOKIE, cookie);
                if is_kept {
                    // It is one visitor's: who keeps the answer for others keeps it without.
                    headers.append(CACHE_CONTROL, HeaderValue::from_static("no-cache=\"Set-Cookie\""));
                }
            }
        });
    }

    /// Counts the request, of which the client was told this status.
    pub(crate) fn count(&self, status: u16) {
        if let Some(Version { variant, stable }) = &self.version {
            variant.as_ref().map_or(stable, |(_, metrics)| metrics).count(status);
        }
    }
}
