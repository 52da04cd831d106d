//! The response half: the limit's members of the answer's headers, and the place in flight that the request gives back.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::ResponseHeader;

use super::law::Ruling;
use super::{Share, Tier};
use crate::filter::{ResponseFilter, Want};
use crate::head;

/// The headers' names as they go out (draft-ietf-httpapi-ratelimit-headers-11).
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The limit's constants.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// One request that was let through.
pub struct Permit {
    share: Arc<Share>,
    tier: usize,
    /// The state of its key, where a rate was asked.
    ruling: Option<Ruling>,
    /// The key whose place in flight it holds.
    holds: Option<u64>,
}

impl Permit {
    /// A permit that holds nothing yet.
    pub fn new(share: Arc<Share>, tier: usize) -> Self {
        Self { share, tier, ruling: None, holds: None }
    }

    /// Takes a place in flight, where those are limited; whether there was one. It is given back with the permit.
    pub fn enter(&mut self, key: u64) -> bool {
        let Some(in_flight) = &self.share.in_flight else { return true };
        let free = in_flight.enter(key);
        self.holds = free.then_some(key);
        free
    }

    /// The same, with the state of its key.
    pub fn with(mut self, ruling: Option<Ruling>) -> Self {
        self.ruling = ruling;
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let (Some(key), Some(in_flight)) = (self.holds, &self.share.in_flight) {
            in_flight.leave(key);
        }
    }
}

impl ResponseFilter for Permit {
    fn head(&mut self, head: &mut ResponseHeader) -> Want {
        if let Some(ruling) = &self.ruling {
            let tier = &self.share.tiers[self.tier];
            head::with_map(head, |headers| {
                append(headers, RATELIMIT_POLICY, tier.policy.clone());
                append(headers, RATELIMIT, member(tier, ruling));
            });
        }
        Want::Nothing
    }
}

/// Appends to what the upstream and other limits say. A head that comes a second time has the same member already.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(value);
        }
        Entry::Occupied(entry) if entry.iter().any(|there| *there == value) => {}
        Entry::Occupied(mut entry) => entry.append(value),
    }
}

/// `"per_client";r=150;t=2`: what is left, and in how many seconds that much comes back; at nothing left, the seconds until something is.
pub fn member(tier: &Tier, ruling: &Ruling) -> HeaderValue {
    let comes_back = match (ruling.remaining, &tier.law) {
        (0, _) | (_, None) => ruling.retry_after(),
        (remaining, Some(law)) => law.seconds_for(remaining),
    };
    let (mut left, mut seconds) = (itoa::Buffer::new(), itoa::Buffer::new());
    let parts = [&tier.quoted, ";r=", left.format(ruling.remaining), ";t=", seconds.format(comes_back)];
    // Exactly as long as it gets: bytes with room to spare would be put on the heap a second time.
    let text = parts.concat();
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("a name in quotes and numbers")
}

/// `"per_client";q=200;w=2`: the burst and the seconds that it takes to come back.
pub fn policy(quoted: &str, burst: u32, seconds: u64) -> HeaderValue {
    HeaderValue::try_from(format!("{quoted};q={burst};w={seconds}")).expect("a name in quotes and numbers")
}

/// A number of seconds as a value; the usual ones are ready.
pub fn seconds(seconds: u64) -> HeaderValue {
    // Texts that live for ever, so that no count of references is shared between threads.
    static READY: LazyLock<Box<[HeaderValue]>> =
        LazyLock::new(|| (0..=60).map(|n: u8| HeaderValue::from_static(n.to_string().leak())).collect());
    READY.get(seconds as usize).cloned().unwrap_or_else(|| HeaderValue::from(seconds))
}
