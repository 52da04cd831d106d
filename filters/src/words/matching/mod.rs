//! Which requests something is for: facts that must all hold, written as `{header.X-Api-Version: "2", device: [mobile, tablet]}`.
//!
//! A fact holds where it has this value, one of these, or, with `"*"`, any. Of a fact that is a list (names of a certificate, a claim that is
//! an array) one member is enough. What was written is a [`Match`]; what requests meet is a [`Matcher`].

mod written;

use std::net::IpAddr;

use http::{HeaderName, Method};
use ipnet::IpNet;
use pingora_http::RequestHeader;

use super::claims::Claim;
use super::selector::Selector;
use super::spanned::{Place, Problem, Spanned};
use crate::filter::Facts;

/// Facts that must all hold, as they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// The facts, in their order.
    pub facts: Vec<Fact>,
}

/// One fact and what is wanted of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The fact.
    pub selector: Selector,
    /// What is wanted of it, with the place of that.
    pub wanted: Spanned<Wanted>,
}

/// What is wanted of a fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// `"*"`: that there is one.
    Any,
    /// One of these values.
    OneOf(Vec<Spanned<String>>),
}

/// More combinations of values than this are not looked through one by one.
const COMBINATIONS: usize = 1024;

impl Match {
    /// What is wrong with it, whatever it is for: facts that stand twice, values that no request has.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, fact) in self.facts.iter().enumerate() {
            if self.facts[..index].iter().any(|other| other.selector == fact.selector) {
                problems.push(Problem::at(fact.wanted.place, format!("`{}` stands twice: write its values as a list", fact.selector)));
            }
            let Wanted::OneOf(values) = &fact.wanted.value else { continue };
            if values.is_empty() {
                problems.push(Problem::lacking(fact.wanted.place, format!("`{}` has no value: nothing would match", fact.selector)));
            }
            for (index, value) in values.iter().enumerate() {
                let place = fact.place(value);
                if value.value == "*" {
                    problems.push(Problem::at(place, "`*` stands for any value: write it alone, without a list"));
                } else if values[..index].iter().any(|other| other.value == value.value) {
                    problems.push(Problem::at(place, format!("`{}` is listed twice", value.value)));
                } else if let Some(why) = never(&fact.selector, value) {
                    problems.push(Problem::at(place, why));
                }
            }
        }
        problems
    }

    /// The classes of devices that it names, each with its place.
    pub fn device_classes(&self) -> Vec<Spanned<&str>> {
        let mut classes = Vec::new();
        for fact in self.facts.iter().filter(|fact| fact.selector == Selector::Device) {
            if let Wanted::OneOf(values) = &fact.wanted.value {
                classes.extend(values.iter().map(|value| Spanned { value: value.as_str(), place: fact.place(value) }));
            }
        }
        classes
    }

    /// Whether every request that this one matches is matched by the other, too.
    pub fn implies(&self, other: &Self) -> bool {
        other.facts.iter().all(|wanted| {
            let ours = self.facts.iter().find(|fact| fact.selector == wanted.selector);
            ours.is_some_and(|ours| match (&ours.wanted.value, &wanted.wanted.value) {
                (_, Wanted::Any) => true,
                (Wanted::Any, Wanted::OneOf(_)) => false,
                (Wanted::OneOf(ours), Wanted::OneOf(theirs)) => {
                    ours.iter().all(|value| theirs.iter().any(|other| lies_in(&wanted.selector, value, other)))
                }
            })
        })
    }

    /// Whether both match the same requests.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.implies(other) && other.implies(self)
    }

    /// Whether no request is matched by both, by the facts that these selectors name.
    pub fn excludes(&self, other: &Self, named: impl Fn(&Selector) -> bool) -> bool {
        self.facts.iter().filter(|fact| named(&fact.selector)).any(|ours| {
            let theirs = other.facts.iter().find(|fact| fact.selector == ours.selector);
            theirs.is_some_and(|theirs| match (&ours.wanted.value, &theirs.wanted.value) {
                (Wanted::OneOf(some), Wanted::OneOf(others)) => {
                    let meet = |one: &str, other: &str| lies_in(&ours.selector, one, other) || lies_in(&ours.selector, other, one);
                    !some.iter().any(|one| others.iter().any(|other| meet(one, other)))
                }
                _ => false,
            })
        })
    }

    /// Whether every request that this one matches is matched by one of the others: by a single one, or each of its values by another.
    pub fn is_covered_by(&self, others: &[&Self]) -> bool {
        if others.iter().any(|other| self.implies(other)) {
            return true;
        }
        let values = |fact: &Fact| match &fact.wanted.value {
            Wanted::Any => 1,
            Wanted::OneOf(values) => values.len(),
        };
        let combinations = self.facts.iter().fold(1_usize, |all, fact| all.saturating_mul(values(fact)));
        if !(2..=COMBINATIONS).contains(&combinations) {
            return false;
        }
        (0..combinations).all(|number| {
            let mut rest = number;
            let one = |fact: &Fact| {
                let (at, count) = (rest % values(fact), values(fact));
                rest /= count;
                let wanted = match &fact.wanted.value {
                    Wanted::Any => Wanted::Any,
                    Wanted::OneOf(values) => Wanted::OneOf(vec![values[at].clone()]),
                };
                Fact { selector: fact.selector.clone(), wanted: Spanned { value: wanted, place: fact.wanted.place } }
            };
            let one = Self { facts: self.facts.iter().map(one).collect() };
            others.iter().any(|other| one.implies(other))
        })
    }

    /// Compiles one that was checked.
    pub fn compile(&self) -> Matcher {
        let test = |fact: &Fact| Test { selector: fact.selector.clone(), values: Values::new(fact) };
        Matcher { tests: self.facts.iter().map(test).collect() }
    }
}

impl Fact {
    /// Where one of its values is written: one that is not in a list has no place of its own.
    pub fn place(&self, value: &Spanned<String>) -> Place {
        if value.place == Place::default() { self.wanted.place } else { value.place }
    }
}

/// Why no request has this value of a fact, where that is so.
fn never(selector: &Selector, value: &str) -> Option<String> {
    let among = |known: &[&str], what: &str| {
        (!known.contains(&value))
            .then(|| format!("`{value}` is not {what}: {}", known.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(" or ")))
    };
    match selector {
        Selector::ClientIp if network(value).is_none() => {
            Some(format!("`{value}` is neither a network such as 10.0.0.0/8 nor an IP address"))
        }
        Selector::Scheme => among(&["http", "https"], "a scheme"),
        Selector::TlsVersion => among(&["1.2", "1.3"], "a version of TLS"),
        Selector::Method if Method::from_bytes(value.as_bytes()).is_err() || value.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            Some(format!("`{value}` is not a method"))
        }
        Selector::Host | Selector::TlsSni if value.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Some(format!("`{value}` matches nothing: names are compared in lower case"))
        }
        Selector::Path if !value.starts_with('/') => Some(format!("`{value}` is not a path: it does not begin with a slash")),
        Selector::Header(_) | Selector::Cookie(_) if value.trim_ascii() != value => {
            Some(format!("`{value}` matches nothing: spaces around a value do not belong to it"))
        }
        _ => None,
    }
}

/// Whether what this value stands for is part of what the other one stands for.
fn lies_in(selector: &Selector, value: &str, other: &str) -> bool {
    match (selector, network(value), network(other)) {
        (Selector::ClientIp, Some(inner), Some(outer)) => outer.contains(&inner),
        _ => value == other,
    }
}

/// A network, or one address.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// What a request lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Which of the [`Match`]'s facts.
    pub fact: usize,
    /// Whether the request has it at all, though none of the values that are wanted.
    pub is_there: bool,
}

/// Facts that must all hold, ready for requests.
#[derive(Clone, Debug)]
pub struct Matcher {
    tests: Box<[Test]>,
}

#[derive(Clone, Debug)]
struct Test {
    selector: Selector,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    Any,
    Bytes(Box<[Box<[u8]>]>),
    Networks(Box<[IpNet]>),
}

impl Values {
    fn new(fact: &Fact) -> Self {
        match (&fact.wanted.value, &fact.selector) {
            (Wanted::Any, _) => Self::Any,
            (Wanted::OneOf(values), Selector::ClientIp) => Self::Networks(values.iter().filter_map(|value| network(value)).collect()),
            (Wanted::OneOf(values), _) => Self::Bytes(values.iter().map(|value| value.as_bytes().into()).collect()),
        }
    }
}

impl Matcher {
    /// Whether all facts hold. Allocates nothing but where a fact of the request has to be decoded.
    pub fn holds(&self, head: &RequestHeader, facts: &Facts) -> bool {
        self.tests.iter().all(|test| test.holds(head, facts))
    }

    /// Whether all facts hold that these selectors name; what is wanted of the others is not asked.
    pub fn holds_of(&self, named: impl Fn(&Selector) -> bool, head: &RequestHeader, facts: &Facts) -> bool {
        self.tests.iter().filter(|test| named(&test.selector)).all(|test| test.holds(head, facts))
    }

    /// The first fact that does not hold; none where all do.
    pub fn lacks(&self, head: &RequestHeader, facts: &Facts) -> Option<Lack> {
        let (fact, failing) = self.tests.iter().enumerate().find(|(_, test)| !test.holds(head, facts))?;
        Some(Lack { fact, is_there: failing.selector.is_any(head, facts, &mut |_| true) })
    }

    /// The facts.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.tests.iter().map(|test| &test.selector)
    }

    /// The request headers that answers depend on, for `Vary`.
    pub fn headers(&self) -> Vec<HeaderName> {
        let mut all = Vec::new();
        for selector in self.selectors() {
            let named = selector.varies_by().split(", ").filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
            let own = match selector {
                Selector::Header(name) => Some(name.clone()),
                _ => None,
            };
            for name in named.chain(own) {
                if !all.contains(&name) {
                    all.push(name);
                }
            }
        }
        all
    }
}

impl Test {
    fn holds(&self, head: &RequestHeader, facts: &Facts) -> bool {
        match &self.values {
            Values::Any => self.selector.is_any(head, facts, &mut |_| true),
            Values::Bytes(values) => self.selector.is_any(head, facts, &mut |found| values.iter().any(|value| **value == *found)),
            Values::Networks(networks) => {
                let client = facts.client_ip.to_canonical();
                networks.iter().any(|network| network.contains(&client))
            }
        }
    }
}

impl Selector {
    /// Whether a value of this fact passes the test: of one that is a list a single member is enough, and each is asked by itself.
    pub fn is_any(&self, head: &RequestHeader, facts: &Facts, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        match self {
            Self::Claim(path) => {
                let claim = facts.identity.as_ref().and_then(|identity| path.find(&identity.claims));
                match claim {
                    Some(Claim::List(members)) => members.iter().filter_map(Claim::word).any(|word| test(word.as_bytes())),
                    Some(one) => one.word().is_some_and(|word| test(word.as_bytes())),
                    None => false,
                }
            }
            Self::ClientCertCn | Self::ClientCertSan => {
                let Some(certificate) = facts.tls.as_ref().and_then(|tls| tls.client.as_ref()) else { return false };
                let names = if *self == Self::ClientCertCn { &certificate.cn } else { &certificate.san };
                names.iter().any(|name| test(name.as_bytes()))
            }
            _ => self.find(head, facts).is_some_and(|found| test(&found)),
        }
    }
}

#[cfg(test)]
mod tests;
