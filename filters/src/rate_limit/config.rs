//! The options of `rate_limit` as they are written, and what their types cannot refuse.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use super::estimate::Estimate;
use super::law::{LONGEST, Law};
use crate::filter::build::Problem;
use crate::words::selector::Selector;
use crate::words::spanned::{Place, Spanned};
use crate::words::units::Rate;

/// The options of `rate_limit`.
#[derive(Clone, Debug, serde::Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What requests are told apart by: one selector, or a list that counts together.
    pub key: Spanned<KeyParts>,
    /// How many requests a key may make, as in 100/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Spanned<Rate>>,
    /// How many of them may come at once; by default the number in `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Spanned<NonZeroU32>>,
    /// How many requests of a key may be on their way at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// The claim, or another fact, that names the tier in `rates`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Spanned<Selector>>,
    /// A rate for each tier, in place of `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Spanned<BTreeMap<String, Spanned<TierRate>>>>,
    /// The tier of a request that names none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Spanned<String>>,
    /// What becomes of a request that lacks a part of the key; by default its address is the key.
    #[serde(default)]
    pub on_missing_key: OnMissingKey,
    /// Whether each key is counted by itself or all are estimated together; by default estimated where `client_ip` is part of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<Spanned<bool>>,
}

/// What becomes of a request that lacks a part of the key.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum OnMissingKey {
    /// Its address is the key.
    #[default]
    ClientIp,
    /// It is refused.
    Reject,
    /// It passes uncounted.
    Allow,
}

/// The parts of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyParts(pub Vec<Spanned<Selector>>);

/// A tier's rate and burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TierRate {
    /// How many requests a key may make.
    pub rate: Rate,
    /// How many of them may come at once; by default the number in `rate`.
    pub burst: Option<NonZeroU32>,
}

impl TierRate {
    /// The law of it, unless it lasts too long.
    pub fn law(&self) -> Option<Law> {
        Law::new(self.rate, self.burst.map_or(Law::usual_burst(self.rate), NonZeroU32::get))
    }
}

impl Config {
    /// The one rate, where there are no tiers.
    pub fn single(&self) -> Option<TierRate> {
        self.rate.map(|rate| TierRate { rate: rate.value, burst: self.burst.map(|burst| burst.value) })
    }

    /// The tiers with their rates; one without a name where there are none.
    pub fn tiers(&self) -> Vec<(Option<&str>, Option<TierRate>)> {
        match &self.rates {
            Some(rates) => rates.iter().map(|(name, rate)| (Some(name.as_str()), Some(rate.value))).collect(),
            None => vec![(None, self.single())],
        }
    }

    /// Whether every key is counted by itself under these laws. A sketch is for keys that anybody can make more of, and for laws it suits.
    pub fn is_exact(&self, laws: &[Law]) -> bool {
        let addresses = self.key.0.iter().any(|part| part.value == Selector::ClientIp);
        self.exact.map_or(!addresses || !laws.iter().all(Estimate::suits), |exact| exact.value)
    }

    /// The facts of a request that it reads.
    pub fn selectors(&self) -> Vec<&Spanned<Selector>> {
        self.key.0.iter().chain(&self.tier).collect()
    }

    /// What is wrong that the types could not refuse.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_key(&mut problems);
        match (&self.rate, &self.rates) {
            (Some(rate), Some(_)) => {
                problems
                    .push(Problem::at(rate.place, "`rate` and `rates` stand together: the tiers' rates leave no request for the other"));
            }
            (None, None) if self.concurrency.is_none() => {
                problems.push(helped(self.key.place, "this limit limits nothing", "give it `rate`, `rates` or `concurrency`"));
            }
            _ => {}
        }
        if let Some(burst) = self.burst.filter(|_| self.rate.is_none()) {
            let help = "a tier's burst stands in the tier, as in {rate: 10/s, burst: 20}";
            problems.push(helped(burst.place, "`burst` stands here without `rate`", help));
        }
        if let Some(exact) = self.exact.filter(|_| self.rate.is_none() && self.rates.is_none()) {
            problems.push(Problem::at(exact.place, "`exact` is about rates, and there is none here"));
        }
        self.check_tiers(&mut problems);
        if let Some(rate) = &self.rate {
            self.check_rate(rate.place, self.single(), &mut problems);
        }
        for rate in self.rates.iter().flat_map(|rates| rates.values()) {
            self.check_rate(rate.place, Some(rate.value), &mut problems);
        }
        problems
    }

    fn check_key(&self, problems: &mut Vec<Problem>) {
        let parts = &self.key.0;
        if parts.is_empty() {
            problems.push(helped(self.key.place, "the key has no parts", "one limit for everybody together has the key `route`"));
        }
        for (index, part) in parts.iter().enumerate() {
            if parts[..index].contains(part) {
                problems.push(Problem::at(part.place, format!("`{}` stands twice in this key", part.value)));
            }
        }
    }

    fn check_tiers(&self, problems: &mut Vec<Problem>) {
        let Some(rates) = &self.rates else {
            if let Some(tier) = &self.tier {
                problems.push(helped(
                    tier.place,
                    "`tier` chooses among `rates`, and there are none",
                    "write `rates: {free: 10/s, plus: 50/s}`",
                ));
            }
            if let Some(otherwise) = &self.otherwise {
                problems.push(Problem::at(otherwise.place, "`otherwise` names one of `rates`, and there are none"));
            }
            return;
        };
        if self.tier.is_none() {
            problems.push(helped(rates.place, "nothing says which of `rates` a request has", "write `tier: claim.plan`"));
        }
        let names = rates.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match &self.otherwise {
            _ if rates.is_empty() => problems.push(Problem::at(rates.place, "`rates` names no tier")),
            None => {
                let help = format!("write `otherwise:` with one of {names}");
                problems.push(helped(rates.place, "a request that names no tier would have none", &help));
            }
            Some(tier) if !rates.contains_key(&tier.value) => {
                problems.push(helped(tier.place, &format!("there is no tier `{}`", tier.value), &format!("one of {names}")));
            }
            Some(_) => {}
        }
        for (name, rate) in rates.iter() {
            if name.is_empty() || name == super::NO_TIER {
                problems.push(Problem::at(rate.place, format!("`{name}` is not a name for a tier")));
            }
        }
    }

    fn check_rate(&self, place: Place, rate: Option<TierRate>, problems: &mut Vec<Problem>) {
        let Some(rate) = rate else { return };
        match rate.law() {
            None => problems.push(Problem::at(
                place,
                format!("at {} this burst takes longer than {} days to come back", rate.rate, LONGEST.as_secs() / 86_400),
            )),
            Some(law) if !Estimate::suits(&law) => {
                if let Some(exact) = self.exact.filter(|exact| !exact.value) {
                    let message = format!("a rate of {} with a burst of {} cannot be estimated", law.rate, law.burst);
                    let help = "an estimate needs a rate of at least 1/s and a burst of at least a second's worth; `exact: true` has no such bounds";
                    problems.push(helped(exact.place, &message, help));
                }
            }
            Some(_) => {}
        }
    }
}

fn helped(place: Place, message: &str, help: &str) -> Problem {
    Problem { help: Some(help.to_owned()), ..Problem::at(place, message) }
}

impl<'de> Deserialize<'de> for KeyParts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = KeyParts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a selector such as client_ip, or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<KeyParts, E> {
                text.parse().map(|part| KeyParts(vec![Spanned::nowhere(part)])).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<KeyParts, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = list.next_element()? {
                    parts.push(part);
                }
                Ok(KeyParts(parts))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl Serialize for KeyParts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            parts => parts.serialize(serializer),
        }
    }
}

impl JsonSchema for KeyParts {
    fn schema_name() -> Cow<'static, str> {
        "KeyParts".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let selector = generator.subschema_for::<Selector>();
        json_schema!({"description": "A selector, or a list of them.", "anyOf": [selector, {"type": "array", "items": selector, "minItems": 1}]})
    }
}

#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TierRateMap {
    /// How many requests a key may make, as in 10/s.
    rate: Rate,
    /// How many of them may come at once; by default the number in `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst: Option<NonZeroU32>,
}

impl<'de> Deserialize<'de> for TierRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RateOrMap;
        impl<'de> Visitor<'de> for RateOrMap {
            type Value = TierRate;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate such as 50/s, or a map of `rate` and `burst`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TierRate, E> {
                text.parse().map(|rate| TierRate { rate, burst: None }).map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TierRate, A::Error> {
                let TierRateMap { rate, burst } = TierRateMap::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TierRate { rate, burst })
            }
        }
        deserializer.deserialize_any(RateOrMap)
    }
}

impl Serialize for TierRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.burst {
            None => self.rate.serialize(serializer),
            burst => TierRateMap { rate: self.rate, burst }.serialize(serializer),
        }
    }
}

impl JsonSchema for TierRate {
    fn schema_name() -> Cow<'static, str> {
        "TierRate".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = generator.subschema_for::<Rate>();
        let map = generator.subschema_for::<TierRateMap>();
        json_schema!({"description": "A rate, or a map of `rate` and `burst`.", "anyOf": [rate, map]})
    }
}
