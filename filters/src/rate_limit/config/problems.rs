//! What is wrong with the options that their types could not refuse.

use super::super::NO_TIER;
use super::super::estimate::Estimate;
use super::super::law::LONGEST;
use super::{Config, TierRate};
use crate::words::spanned::{Place, Problem};

impl Config {
    /// Everything that is wrong.
    pub(in crate::rate_limit) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_key(&mut problems);
        match (&self.rate, &self.rates) {
            (Some(rate), Some(_)) => {
                problems.push(Problem::at(rate.place, "`rate` and `rates` cannot both be set: every request has one of the tiers' rates"));
            }
            (None, None) if self.concurrency.is_none() => {
                problems.push(
                    Problem::lacking(self.key.place, "this `rate_limit` limits nothing").help("set `rate`, `rates` or `concurrency`"),
                );
            }
            _ => {}
        }
        if let Some(burst) = self.burst.filter(|_| self.rate.is_none()) {
            let help = "set a tier's burst in the tier, as in {rate: 10/s, burst: 20}";
            problems.push(Problem::lacking(burst.place, "`burst` is set without `rate`").help(help));
        }
        if let Some(exact) = self.exact.filter(|_| self.rate.is_none() && self.rates.is_none()) {
            problems.push(Problem::lacking(exact.place, "`exact` is set without `rate` or `rates`"));
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
            problems.push(
                Problem::lacking(self.key.place, "the key has no parts").help("for one limit that everybody shares, use the key `route`"),
            );
        }
        for (index, part) in parts.iter().enumerate() {
            if parts[..index].contains(part) {
                problems.push(Problem::at(part.place, format!("duplicate `{}` in this key", part.value)));
            }
        }
    }

    fn check_tiers(&self, problems: &mut Vec<Problem>) {
        let Some(rates) = &self.rates else {
            if let Some(tier) = &self.tier {
                problems
                    .push(Problem::lacking(tier.place, "`tier` is set without `rates`").help("write `rates: {free: 10/s, plus: 50/s}`"));
            }
            if let Some(otherwise) = &self.otherwise {
                problems.push(Problem::lacking(otherwise.place, "`otherwise` is set without `rates`"));
            }
            return;
        };
        if self.tier.is_none() {
            problems.push(
                Problem::lacking(rates.place, "`rates` is set without `tier`, which names the tier of a request")
                    .help("write `tier: claim.plan`"),
            );
        }
        let names = rates.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match &self.otherwise {
            _ if rates.is_empty() => problems.push(Problem::lacking(rates.place, "`rates` names no tier")),
            None => {
                let help = format!("write `otherwise:` with one of {names}");
                problems.push(
                    Problem::lacking(rates.place, "`rates` is set without `otherwise`, the tier of a request that names none").help(help),
                );
            }
            Some(tier) if !rates.contains_key(&tier.value) => {
                problems.push(Problem::lacking(tier.place, format!("there is no tier `{}`", tier.value)).help(format!("one of {names}")));
            }
            Some(_) => {}
        }
        for (name, rate) in rates.iter() {
            if name.is_empty() || name == NO_TIER {
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
                    problems.push(Problem::at(exact.place, message).help(help));
                }
            }
            Some(_) => {}
        }
    }
}
