//! Several versions of what a route leads to, and which of them a request gets.
//!
//! In this order: what the client, or a trusted proxy for it, asks for by name; what is known of the request otherwise; and chance, which is
//! none at all, since the same user draws the same lot everywhere.

mod draw;
mod visitor;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frontgate_filters::filter::Facts;
use frontgate_filters::words::fields;
use frontgate_filters::words::matching::{Fact, Match, Matcher, Wanted};
use frontgate_filters::words::selector::Selector;
use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;

use self::visitor::{Visitor, Visitors};
use super::With;
use super::seal::Seal;
use crate::config::model;
use crate::telemetry::VariantMetrics;
use crate::upstream::Pool;
use crate::upstream::balance::random;
use crate::upstream::pool::{Subset, Versions};

pub(super) use self::visitor::set_cookie;

/// The header that names a version, in both directions.
pub(crate) const X_BFF_VERSION: HeaderName = HeaderName::from_static("x-bff-version");
/// What is said of the route's own upstream where a version would be named.
pub(super) const STABLE: HeaderValue = Facts::STABLE;

/// The versions of a route.
pub(super) struct Canary {
    variants: Box<[Variant]>,
    /// The facts that clients say of themselves and that a `match` asks for: where one is `stable`, so is the choice.
    said: Box<[Selector]>,
    /// Whether they may.
    clients_choose: bool,
    visitors: Option<Visitors>,
    /// The endpoints that no variant has of the route's own upstream.
    pub(super) own: Parts,
    /// Where answers of the route's own upstream are counted.
    pub(super) stable: Arc<VariantMetrics>,
}

/// One of them.
pub(super) struct Variant {
    /// Its name.
    pub(super) version: HeaderValue,
    /// Who answers.
    pub(super) serves: Serves,
    /// Whether the route's own upstream answers where nobody else does.
    pub(super) spills: bool,
    /// Where its answers are counted.
    pub(super) metrics: Arc<VariantMetrics>,
    salt: u64,
    bound: f64,
    by: Box<[Selector]>,
    /// What its `match` asks for of what clients say of themselves, of what the visitor's cookie says, and of all else.
    said: Option<Matcher>,
    signed: Option<Wanted>,
    known: Option<Matcher>,
}

/// Who answers for a version.
pub(super) enum Serves {
    /// Another upstream.
    Upstream(Arc<Pool>),
    /// Some endpoints of the route's own.
    Endpoints(Parts),
}

/// Parts of upstreams.
#[derive(Default)]
pub(super) struct Parts(Box<[(Arc<Pool>, Arc<Subset>)]>);

impl Parts {
    fn new(pools: &[&Arc<Pool>], versions: &Versions) -> Self {
        Self(pools.iter().map(|pool| ((*pool).clone(), pool.subset(versions.clone()))).collect())
    }

    /// The part of this upstream; none where all of it is meant.
    pub(super) fn of(&self, pool: &Arc<Pool>) -> Option<Arc<Subset>> {
        self.0.iter().find(|(own, _)| Arc::ptr_eq(own, pool)).map(|(_, part)| part.clone())
    }
}

/// What a client says of itself, as it came: filters may change it.
#[derive(Default)]
pub(super) struct Said {
    /// The variants of which all holds that clients can say, a bit each.
    holds: u32,
    stable: bool,
}

/// A choice.
pub(super) struct Picked<'c> {
    /// The variant; none for the route's own upstream.
    pub(super) variant: Option<&'c Variant>,
    /// Whether it was asked for by name.
    pub(super) by_name: bool,
    /// The cookie that the visitor is to have.
    pub(super) cookie: Option<HeaderValue>,
    /// Why, in words.
    pub(super) why: Cow<'static, str>,
}

impl Canary {
    /// Compiles what was checked; `own` are the route's own upstreams.
    pub(super) fn new(route: &model::Route, own: &[&Arc<Pool>], with: &With<'_>) -> Result<Self, String> {
        let options = route.canary_options.as_ref().map(|options| options.value.clone()).unwrap_or_default();
        let sticky = options.sticky.as_ref().map(|sticky| &sticky.value);
        let cookie = sticky.map(|sticky| sticky.cookie.as_str());
        let said = |selector: &Selector| match selector {
            Selector::Header(name) => !with.identity_headers.contains(name),
            Selector::Cookie(name) => cookie != Some(name),
            Selector::Query(_) => true,
            _ => false,
        };
        let signed = |selector: &Selector| matches!(selector, Selector::Cookie(name) if cookie == Some(name));
        let bounds = draw::bounds(route.canary.iter().map(|variant| variant.share.as_ref().map_or(0.0, |share| share.0)));
        let variant = |(written, bound): (&model::Variant, f64)| {
            let version = value(&written.version)?;
            let serves = match (&written.upstream, &written.endpoints) {
                (Some(name), None) => Serves::Upstream(with.pool(name)?),
                (None, Some(version)) => Serves::Endpoints(Parts::new(own, &Versions::Of([version.value.clone()].into()))),
                _ => return Err(format!("the version `{}` is not exactly one upstream or some endpoints", written.version.value)),
            };
            let facts = written.matches.as_ref().map_or(&[][..], |matches| &matches.facts);
            let part = |is: &dyn Fn(&Selector) -> bool| {
                let facts: Vec<Fact> = facts.iter().filter(|fact| is(&fact.selector)).cloned().collect();
                (!facts.is_empty()).then(|| Match { facts }.compile())
            };
            Ok::<_, String>(Variant {
                metrics: with.metrics.variant(&route.name, &written.version),
                serves,
                spills: written.otherwise == model::Otherwise::Stable,
                salt: draw::salt(&options.seed, &written.version),
                bound,
                by: written.drawn_by().map(|by| by.value.clone()).collect(),
                said: part(&said),
                signed: facts.iter().find(|fact| signed(&fact.selector)).map(|fact| fact.wanted.value.clone()),
                known: part(&|selector| !said(selector) && !signed(selector)),
                version,
            })
        };
        let variants = route.canary.iter().map(|variant| &variant.value).zip(bounds).map(variant).collect::<Result<Box<[_]>, _>>()?;
        let visitors = match sticky {
            Some(sticky) => {
                let seal = Seal::new(with.loaded.secret(&sticky.key)?.as_bytes())?;
                let tells_version = variants.iter().any(|variant| variant.signed.is_some());
                Some(Visitors::new(&sticky.cookie, seal, sticky.ttl.0, tells_version))
            }
            None => None,
        };
        let taken: BTreeSet<String> =
            route.canary.iter().filter_map(|variant| variant.endpoints.as_ref()).map(|version| version.value.clone()).collect();
        let mut all_said: Vec<Selector> = Vec::new();
        for selector in variants.iter().flat_map(|variant| &variant.said).flat_map(Matcher::selectors) {
            if !all_said.contains(selector) {
                all_said.push(selector.clone());
            }
        }
        Ok(Self {
            variants,
            said: all_said.into(),
            clients_choose: options.client_may_choose,
            visitors,
            own: if taken.is_empty() { Parts::default() } else { Parts::new(own, &Versions::Without(taken)) },
            stable: with.metrics.variant(&route.name, "stable"),
        })
    }

    /// The headers that choose, for `Vary`.
    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.said.iter().filter_map(|selector| match selector {
            Selector::Header(name) => Some(name),
            _ => None,
        })
    }

    /// Reads what the client says of itself, before any filter changes it, and takes out the version that it asks for: what the upstream is
    /// told is chosen here. `wish` is the version of a client that is no trusted proxy.
    pub(super) fn hear(&self, head: &mut RequestHeader, facts: &Facts, wish: Option<HeaderValue>, trusted: bool) -> Said {
        let mut heard = Said::default();
        if let Some(wish) = wish.filter(|_| self.clients_choose) {
            head.insert_header(X_BFF_VERSION, wish).expect("a known name");
        }
        // Proxies pass on what clients send apart from headers that they set themselves.
        let counts = |selector: &Selector| self.clients_choose || trusted && matches!(selector, Selector::Header(_));
        let is_stable = |selector: &Selector| counts(selector) && selector.find(head, facts).is_some_and(|found| *found == *b"stable");
        heard.stable = self.said.iter().any(is_stable);
        for (index, variant) in self.variants.iter().enumerate() {
            let Some(said) = &variant.said else { continue };
            if said.selectors().all(counts) && said.holds(head, facts) {
                heard.holds |= 1 << index;
            }
        }
        head.remove_header(&X_BFF_VERSION);
        heard
    }

    /// Chooses.
    pub(super) fn pick(&self, head: &RequestHeader, facts: &Facts, said: &Said, explained: bool) -> Picked<'_> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let mut draw = Draw { canary: self, head, facts, now, visitor: None, is_new: false };
        let (variant, by_name, why) = self.way(&mut draw, said, explained);
        let is_asked = draw.visitor.is_some() || self.visitors.as_ref().is_some_and(|visitors| visitors.tells_version);
        let cookie = self.visitors.as_ref().filter(|_| is_asked).and_then(|visitors| {
            let version = variant.map_or(STABLE, |variant| variant.version.clone());
            visitors.cookie(draw.visitor(), fields::text(&version).unwrap_or_default(), now, is_secure(head, facts))
        });
        Picked { variant, by_name, cookie, why }
    }

    fn way<'c>(&'c self, draw: &mut Draw<'c, '_>, said: &Said, explained: bool) -> (Option<&'c Variant>, bool, Cow<'static, str>) {
        let words = |words: &dyn Fn() -> String| if explained { Cow::Owned(words()) } else { Cow::Borrowed("") };
        let all = || self.variants.iter().enumerate();
        if said.stable {
            return (None, true, words(&|| "`stable` is asked for by name".to_owned()));
        }
        let by_name = all().find(|(index, variant)| {
            variant.said.is_some() && said.holds & 1 << index != 0 && variant.signed_holds(draw) && variant.known_holds(draw)
        });
        if let Some((_, variant)) = by_name {
            let names = || variant.said.iter().flat_map(Matcher::selectors).map(|one| format!("`{one}`")).collect::<Vec<_>>().join(" and ");
            return (Some(variant), true, words(&|| format!("{} asks for it", names())));
        }
        let matched = all().find(|(_, variant)| {
            variant.said.is_none()
                && (variant.signed.is_some() || variant.known.is_some())
                && variant.signed_holds(draw)
                && variant.known_holds(draw)
        });
        if let Some((_, variant)) = matched {
            return (Some(variant), false, words(&|| "its `match` holds".to_owned()));
        }
        for (_, variant) in all().filter(|(_, variant)| variant.bound > 0.0) {
            let (point, by) = draw.point(variant);
            if point < variant.bound {
                return (Some(variant), false, words(&|| format!("its share draws it by {by}")));
            }
        }
        (None, false, words(&|| "no version matches the request or draws it".to_owned()))
    }
}

/// Whether the client's connection is encrypted, by itself or up to a trusted proxy. What others say of that was removed.
pub(super) fn is_secure(head: &RequestHeader, facts: &Facts) -> bool {
    facts.tls.is_some() || head.headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
}

fn value(version: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(version).map_err(|_| format!("`{version}` is not a version"))
}

impl Variant {
    fn known_holds(&self, draw: &Draw<'_, '_>) -> bool {
        self.known.as_ref().is_none_or(|known| known.holds(draw.head, draw.facts))
    }

    fn signed_holds(&self, draw: &mut Draw<'_, '_>) -> bool {
        let Some(wanted) = &self.signed else { return true };
        let given = draw.known_visitor().and_then(|visitor| visitor.version.as_deref());
        match wanted {
            Wanted::Any => given.is_some(),
            Wanted::OneOf(values) => given.is_some_and(|given| values.iter().any(|value| value.value == given)),
        }
    }
}

/// A request that is drawn for.
struct Draw<'c, 'r> {
    canary: &'c Canary,
    head: &'r RequestHeader,
    facts: &'r Facts,
    now: u64,
    /// Who the visitor is, once that was asked.
    visitor: Option<Visitor>,
    is_new: bool,
}

impl<'c> Draw<'c, '_> {
    /// The visitor, a new one where nobody knows him.
    fn visitor(&mut self) -> &Visitor {
        let (canary, head, now, is_new) = (self.canary, self.head, self.now, &mut self.is_new);
        self.visitor.get_or_insert_with(|| {
            let found = canary.visitors.as_ref().and_then(|visitors| visitors.find(head, now));
            *is_new = found.is_none();
            found.unwrap_or_else(Visitors::new_one)
        })
    }

    fn known_visitor(&mut self) -> Option<&Visitor> {
        self.canary.visitors.as_ref()?;
        self.visitor();
        self.visitor.as_ref().filter(|_| !self.is_new)
    }

    /// The point of whoever asks, and what he is known by.
    fn point(&mut self, variant: &'c Variant) -> (f64, Lot<'c>) {
        for by in &variant.by {
            if let Some(found) = by.find(self.head, self.facts) {
                return (draw::point(variant.salt, &found), Lot::By(by));
            }
        }
        if self.canary.visitors.is_some() {
            return (draw::point(variant.salt, self.visitor().name.as_bytes()), Lot::Cookie);
        }
        if self.facts.client_ip.is_unspecified() {
            return (draw::point(variant.salt, &random().to_le_bytes()), Lot::Chance);
        }
        (draw::point(variant.salt, self.facts.client_ip.to_string().as_bytes()), Lot::By(&Selector::ClientIp))
    }
}

/// What somebody is drawn by.
enum Lot<'c> {
    By(&'c Selector),
    Cookie,
    Chance,
}

impl fmt::Display for Lot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(by) => write!(f, "`{by}`"),
            Self::Cookie => f.write_str("the visitor's cookie"),
            Self::Chance => f.write_str("chance"),
        }
    }
}
