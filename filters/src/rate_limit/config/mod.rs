//! The options of `rate_limit` as they are written.

mod forms;
mod problems;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::estimate::Estimate;
use super::law::Law;
use crate::words::selector::Selector;
use crate::words::spanned::Spanned;
use crate::words::units::Rate;

/// The options of `rate_limit`.
#[derive(Clone, Debug, serde::Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What identifies a caller: one selector, or a list of them that is one key together.
    pub key: Spanned<KeyParts>,
    /// How many requests a key may make, such as 100/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Spanned<Rate>>,
    /// How many of them may come at once; by default as many as `rate` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Spanned<NonZeroU32>>,
    /// The maximum of requests in flight for a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// The claim, or another selector, that names the tier in `rates`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Spanned<Selector>>,
    /// A rate for each tier, instead of `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Spanned<BTreeMap<String, Spanned<TierRate>>>>,
    /// The tier of a request that names none of `rates`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Spanned<String>>,
    /// What to do with a request that lacks a part of the key; by default it counts by its address.
    #[serde(default)]
    pub on_missing_key: OnMissingKey,
    /// Whether each key has a counter of its own, or all keys share a sketch that estimates them. A sketch takes the same room for any number of keys and never counts too little, but with many keys at their limit now and then too much: one client in 4,000 is refused with others while 2,000 keys are at their limit, one in 200 while 10,000 are; and a burst may take twice its time until all of it is back. By default a sketch where `client_ip` is part of the key and every rate is at least 1/s with a burst of at least one second's worth: others cannot be estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<Spanned<bool>>,
}

/// What to do with a request that lacks a part of the key.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum OnMissingKey {
    /// Count it by its address.
    #[default]
    ClientIp,
    /// Refuse it with 403.
    Reject,
    /// Let it pass uncounted.
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
    /// How many of them may come at once; by default as many as `rate` says.
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

    /// Puts in the bursts that follow from the rates, and whether keys have counters of their own.
    pub(super) fn complete(&self, written: &mut Map<String, Value>) {
        let laws: Vec<Law> = self.tiers().into_iter().filter_map(|(_, rate)| rate?.law()).collect();
        if let (Some(law), true) = (laws.first(), self.rates.is_none() && self.burst.is_none()) {
            // Where it stands when it is written.
            let rate = written.keys().position(|key| key == "rate").unwrap_or(0);
            written.shift_insert(rate + 1, "burst".to_owned(), law.burst.into());
        }
        for (name, rate) in self.rates.iter().flat_map(|rates| rates.iter()) {
            if let (None, Some(tier)) = (rate.burst, written.get_mut("rates").and_then(|rates| rates.get_mut(name))) {
                *tier = json!({"rate": rate.rate, "burst": Law::usual_burst(rate.rate)});
            }
        }
        if !laws.is_empty() {
            let exact = self.is_exact(&laws);
            written.entry("exact").or_insert_with(|| exact.into());
        }
    }

    /// Whether every key is counted by itself under these laws. A sketch is for keys that anybody can make more of, and for laws it suits.
    pub fn is_exact(&self, laws: &[Law]) -> bool {
        let addresses = self.key.0.iter().any(|part| part.value == Selector::ClientIp);
        self.exact.map_or(!addresses || !laws.iter().all(Estimate::suits), |exact| exact.value)
    }
}
