//! `rate_limit`: how many requests somebody may make, and how many at once.
//!
//! ```yaml
//! per_client:
//!   rate_limit: {key: client_ip, rate: 100/s, burst: 200, concurrency: 50}
//! ```
//!
//! For every key and every span of time `t` at most `burst + rate · t` requests pass. What exceeds that is answered with 429 and a
//! `Retry-After`; answers tell the state of the key in `RateLimit` and `RateLimit-Policy`. The decision is [`law::Ledger`]'s: [`exact`] for keys
//! that are few, [`estimate`] for those that anybody can make more of.

pub mod config;
pub mod estimate;
pub mod exact;
pub mod in_flight;
mod key;
pub mod law;
mod permit;
mod refusal;
mod refused;
mod told;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderName, HeaderValue};

use crate::clock;
use crate::count::metrics::NONE;
use crate::count::stripe::{self, Counter};
use crate::filter::build::Build;
use crate::filter::inspect::Inspection;
use crate::filter::options::Options;
use crate::filter::{Filter, Request, Verdict};
use crate::reply::Reply;
use crate::words::selector::Selector;
use crate::words::spanned::{Place, Problem, Spanned};
pub use config::Config;
use estimate::Estimate;
use exact::Exact;
use in_flight::InFlight;
use key::{Key, Keys};
use law::{Law, Ledger, Ruling};
use permit::Permit;
use refusal::{missing_key, too_many, too_many_at_once};
use refused::Refused;

/// The tier's label where there are no tiers.
pub const NO_TIER: &str = NONE;

impl Options for Config {
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        with.kept_or(|| RateLimit::new(self, with, clock::now()))
    }

    fn selectors(&self) -> Vec<Spanned<&Selector>> {
        self.key.0.iter().chain(&self.tier).map(Spanned::as_ref).collect()
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn fill(&self, written: &mut serde_json::Map<String, serde_json::Value>) {
        self.complete(written);
    }

    fn state(&self) -> Vec<&'static str> {
        let tokens = (self.rate.is_some() || self.rates.is_some()).then_some("the tokens that its keys have spent");
        let in_flight = self.concurrency.map(|_| "the counts of its keys' requests in flight");
        tokens.into_iter().chain(in_flight).collect()
    }

    fn accounts(&self) -> Vec<(&Selector, Place, &'static str)> {
        let key = self.key.0.iter().map(|part| {
            // A key of one part that is written without brackets has no place of its own.
            let place = if part.place == Place::default() { self.key.place } else { part.place };
            (&part.value, place, "with another value for each request it meets no limit")
        });
        let tier = self.tier.iter().map(|tier| (&tier.value, tier.place, "it can name the tier that allows most"));
        key.chain(tier).collect()
    }

    fn device_classes(&self) -> Vec<Spanned<&str>> {
        let by_device = self.tier.as_ref().is_some_and(|tier| tier.value == Selector::Device);
        let rates = self.rates.iter().filter(|_| by_device).flat_map(|rates| rates.iter());
        // The tier of everybody else need not be a class.
        let named = rates.filter(|(name, _)| self.otherwise.as_ref().is_none_or(|otherwise| otherwise.value != **name));
        named.map(|(name, rate)| Spanned { value: name.as_str(), place: rate.place }).collect()
    }

    fn can_refuse(&self) -> bool {
        true
    }
}

/// The compiled filter.
pub struct RateLimit {
    keys: Keys,
    /// What names the tier, and where each is in [`Share::tiers`].
    choice: Option<Choice>,
    /// The same for each place of threads: those that count references in one place wait for each other.
    shares: Box<[Arc<Share>]>,
    /// None where only requests in flight are limited.
    ledger: Option<Box<dyn Ledger>>,
    refused: Refused,
    /// In words, for `explain`.
    how: &'static str,
}

/// What requests refer to, apart from others of its kind.
#[repr(align(128))]
pub(crate) struct Share {
    name: Arc<str>,
    tiers: Box<[Tier]>,
    in_flight: Option<Arc<InFlight>>,
}

struct Choice {
    selector: Selector,
    index: HashMap<Box<[u8]>, usize>,
    otherwise: usize,
}

/// What holds for the requests of one tier.
pub(crate) struct Tier {
    name: Arc<str>,
    law: Option<Law>,
    /// The limit's name as the headers have it.
    quoted: Box<str>,
    policy: HeaderValue,
    counts: Counts,
}

/// `rate_limit_decisions_total` of one tier.
#[derive(Clone)]
struct Counts {
    allowed: Counter,
    limited: Counter,
    crowded: Counter,
    concurrency: Counter,
    rejected: Counter,
    exempt: Counter,
}

impl RateLimit {
    /// Compiles options that were checked; its ledger begins empty at `now`.
    pub fn new(config: &Config, with: &Build<'_>, now: Instant) -> Result<Self, String> {
        let written = config.tiers();
        let laws = written.iter().filter_map(|(_, rate)| *rate).map(|rate| rate.law().ok_or("a burst takes too long to come back"));
        let laws = laws.collect::<Result<Box<[Law]>, _>>()?;
        let counts: Vec<Counts> = written.iter().map(|(name, _)| Counts::new(with, name.unwrap_or(NO_TIER))).collect();
        let in_flight = config.concurrency.map(|most| Arc::new(InFlight::new(most.get())));
        let share = |_| {
            let tier = |(index, (name, _)): (usize, &(Option<&str>, _))| {
                Tier::new(with.name, name.unwrap_or(NO_TIER), laws.get(index).copied(), counts[index].clone())
            };
            Arc::new(Share { name: with.name.into(), tiers: written.iter().enumerate().map(tier).collect(), in_flight: in_flight.clone() })
        };
        let shares: Box<[Arc<Share>]> = (0..stripe::STRIPES).map(share).collect();
        let exact = config.is_exact(&laws);
        let ledger: Option<Box<dyn Ledger>> = match (laws.is_empty(), exact) {
            (true, _) => None,
            (false, true) => {
                let evictions = with.metrics.counters("rate_limit_evictions_total", "Keys forgotten to make room for others.", &["filter"]);
                let evictions = evictions.with_label_values(&[with.name]);
                Some(Box::new(Exact::new(laws, Exact::BUCKETS, evictions, now)))
            }
            (false, false) => Some(Box::new(Estimate::new(&laws, now))),
        };
        let choice = config.tier.as_ref().map(|selector| {
            let names = written.iter().enumerate().map(|(index, (name, _))| (name.unwrap_or(NO_TIER).as_bytes().into(), index));
            let index: HashMap<Box<[u8]>, usize> = names.collect();
            let otherwise = config.otherwise.as_ref().and_then(|name| index.get(name.as_bytes()));
            Choice { selector: selector.value.clone(), otherwise: otherwise.copied().unwrap_or(0), index }
        });
        Ok(Self {
            keys: Keys::new(config.key.0.iter().map(|part| part.value.clone()).collect(), config.on_missing_key, written.len()),
            choice,
            shares,
            how: match (&ledger, exact) {
                (None, _) => "requests in flight only",
                (Some(_), true) => "exact",
                (Some(_), false) => "estimated",
            },
            ledger,
            refused: Refused::default(),
        })
    }

    fn tier(&self, request: &Request<'_>) -> usize {
        let Some(choice) = &self.choice else { return 0 };
        let named = choice.selector.find(request.head, request.facts);
        named.and_then(|name| choice.index.get(&*name)).copied().unwrap_or(choice.otherwise)
    }
}

impl Share {
    /// What is said to a request that came too early or with too many others.
    fn refuse<'a>(&self, request: &mut Request<'_>, tier: &Tier, ruling: Option<Ruling>, reply: Reply) -> Verdict<'a> {
        request.facts.limit = Some(self.name.clone());
        let Some(ruling) = ruling else { return Verdict::Reply(reply) };
        let reply = reply
            .with(HeaderName::from_static("ratelimit-policy"), tier.policy.clone())
            .with(HeaderName::from_static("ratelimit"), permit::member(tier, &ruling));
        Verdict::Reply(reply)
    }
}

impl Tier {
    fn new(limit: &str, name: &str, law: Option<Law>, counts: Counts) -> Self {
        let quoted: Box<str> = format!("\"{limit}\"").into();
        let policy = match &law {
            Some(law) => permit::policy(&quoted, law.burst, law.seconds_for(law.burst)),
            None => HeaderValue::from_static(""),
        };
        Self { name: name.into(), law, quoted, policy, counts }
    }
}

impl Counts {
    fn new(with: &Build<'_>, tier: &str) -> Self {
        let labels = &["filter", "tier", "decision"];
        let decisions = with.metrics.counters("rate_limit_decisions_total", "Decisions of rate limits.", labels);
        let count = |decision: &str| decisions.with_label_values(&[with.name, tier, decision]);
        Self {
            allowed: count("allowed"),
            limited: count("limited"),
            crowded: count("crowded"),
            concurrency: count("concurrency"),
            rejected: count("rejected"),
            exempt: count("exempt"),
        }
    }
}

impl Filter for RateLimit {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        let index = self.tier(request);
        let account = self.keys.of(request.head, request.facts, index);
        let key = match account {
            Key::Known(key) | Key::Address(key) => Some(key),
            Key::Exempt | Key::Missing => None,
        };
        let share = &self.shares[stripe::place()];
        let tier = &share.tiers[index];
        if self.choice.is_some() {
            request.facts.tier = Some(tier.name.clone());
        }
        if request.is_explained() {
            return self.explain(request, share, index, account);
        }
        let Some(key) = key else {
            if account == Key::Exempt {
                tier.counts.exempt.inc();
                return Verdict::Continue;
            }
            tier.counts.rejected.inc();
            return share.refuse(request, tier, None, missing_key());
        };
        // In flight before the rate: a request that finds no place spends nothing.
        let mut permit = Permit::new(share.clone(), index);
        if !permit.enter(key) {
            tier.counts.concurrency.inc();
            let ruling = self.ledger.as_ref().map(|ledger| ledger.peek(key, index, request.now));
            self.note(request, tier, account);
            return share.refuse(request, tier, ruling, too_many_at_once());
        }
        let ruling = self.ledger.as_ref().map(|ledger| ledger.take(key, index, request.now));
        match ruling.map_or(law::Verdict::Allowed, |ruling| ruling.verdict) {
            law::Verdict::Allowed => {
                tier.counts.allowed.inc();
                Verdict::ContinueWith(Box::new(permit.with(ruling)))
            }
            law::Verdict::Limited => {
                tier.counts.limited.inc();
                self.note(request, tier, account);
                share.refuse(request, tier, ruling, too_many(ruling))
            }
            law::Verdict::Crowded => {
                tier.counts.crowded.inc();
                self.note(request, tier, account);
                share.refuse(request, tier, ruling, too_many(ruling))
            }
        }
    }

    fn inspect(&self) -> Inspection {
        Inspection { refused: self.refused.most(), ..Inspection::default() }
    }
}

#[cfg(test)]
mod tests;
