//! What a limit says of its decisions: whom it refused, for the log and for operators, and why it decided so, for `explain`.

use super::key::Key;
use super::{RateLimit, Tier};
use crate::filter::Request;

impl RateLimit {
    /// Notes who is refused, for the log and for operators.
    #[cold]
    pub(super) fn note(&self, request: &mut Request<'_>, tier: &Tier, account: Key) {
        if let Key::Known(key) | Key::Address(key) = account
            && !request.is_explained()
        {
            let tier = || self.choice.as_ref().map(|_| tier.name.clone());
            let parts = self.refused.note(key, request.now, tier, || self.keys.parts(request.head, request.facts, account));
            request.facts.limit_key = Some(parts);
        }
    }

    #[inline]
    pub(super) fn because(&self, request: &mut Request<'_>, tier: &Tier, key: Key, decision: &str) {
        if request.is_explained() {
            self.explain(request, tier, key, decision);
        }
    }

    #[cold]
    fn explain(&self, request: &mut Request<'_>, tier: &Tier, key: Key, decision: &str) {
        let rate = tier.law.map_or(self.how.to_owned(), |law| format!("{} with a burst of {}, {}", law.rate, law.burst, self.how));
        let mut account = self.keys.describe(request.head, request.facts);
        match key {
            Key::Known(_) => {}
            Key::Address(_) => account = format!("{account}, so client_ip={}", request.facts.client_ip),
            Key::Exempt => account.push_str(", and `on_missing_key: allow` lets it pass"),
            Key::Missing => account.push_str(", and `on_missing_key: reject` refuses it"),
        }
        let tiered = if self.choice.is_some() { format!("tier {}: ", tier.name) } else { String::new() };
        request.because(|| format!("{decision}: {tiered}{rate}, by {account}"));
    }
}
