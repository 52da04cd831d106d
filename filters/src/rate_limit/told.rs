//! What a limit says of its decisions: whom it refused, for the log and for operators, and why it would decide so, for `explain`.

use super::key::Key;
use super::law::{Ruling, Verdict as Said};
use super::refusal::{missing_key, too_many, too_many_at_once};
use super::{RateLimit, Share, Tier};
use crate::filter::{Request, Verdict};

impl RateLimit {
    /// Notes who is refused, for the log and for operators.
    #[cold]
    pub(super) fn note(&self, request: &mut Request<'_>, tier: &Tier, account: Key) {
        if let Key::Known(key) | Key::Address(key) = account {
            let tier = || self.choice.as_ref().map(|_| tier.name.clone());
            let parts = self.refused.note(key, request.now, tier, || self.keys.parts(request.head, request.facts, account));
            request.facts.limit_key = Some(parts);
        }
    }

    /// What a request would be told. Nothing is taken, counted or noted.
    #[cold]
    pub(super) fn explain<'a>(&self, request: &mut Request<'_>, share: &Share, index: usize, account: Key) -> Verdict<'a> {
        let tier = &share.tiers[index];
        let (Key::Known(key) | Key::Address(key)) = account else {
            if account == Key::Exempt {
                self.because(request, tier, account, "not counted", None);
                return Verdict::Continue;
            }
            self.because(request, tier, account, "refused", None);
            return share.refuse(request, tier, None, missing_key());
        };
        let ruling = self.ledger.as_ref().map(|ledger| ledger.peek(key, index, request.now));
        if let Some(in_flight) = share.in_flight.as_ref().filter(|_| request.is_live()) {
            request.because(|| format!("{} requests of this key are on their way", in_flight.count(key)));
        }
        if share.in_flight.as_ref().is_some_and(|in_flight| !in_flight.has_room(key)) {
            self.because(request, tier, account, "too many in flight", ruling);
            return share.refuse(request, tier, ruling, too_many_at_once());
        }
        match ruling.map_or(Said::Allowed, |ruling| ruling.verdict) {
            Said::Allowed => {
                self.because(request, tier, account, "allowed", ruling);
                Verdict::Continue
            }
            Said::Limited | Said::Crowded => {
                self.because(request, tier, account, "over the limit", ruling);
                share.refuse(request, tier, ruling, too_many(ruling))
            }
        }
    }

    fn because(&self, request: &mut Request<'_>, tier: &Tier, key: Key, decision: &str, ruling: Option<Ruling>) {
        let rate = tier.law.map_or(self.how.to_owned(), |law| format!("{} with a burst of {}, {}", law.rate, law.burst, self.how));
        let mut account = self.keys.describe(request.head, request.facts);
        match key {
            Key::Known(_) => {}
            Key::Address(_) => account = format!("{account}, so client_ip={}", request.facts.client_ip),
            Key::Exempt => account.push_str(", and `on_missing_key: allow` lets it pass"),
            Key::Missing => account.push_str(", and `on_missing_key: reject` refuses it"),
        }
        let tiered = if self.choice.is_some() { format!("tier {}: ", tier.name) } else { String::new() };
        let left = ruling.zip(tier.law).filter(|_| request.is_live()).map_or_else(String::new, |(ruling, law)| {
            let next = if ruling.remaining == 0 { format!(", the next one in {} s", ruling.retry_after()) } else { String::new() };
            format!("; {} of {} are left{next}", ruling.remaining, law.burst)
        });
        request.because(|| format!("{decision}: {tiered}{rate}, by {account}{left}"));
    }
}
