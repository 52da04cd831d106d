//! The response half: the limit's members of the answer's headers, and the place in flight that the request gives back.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::HeaderValue;
use pingora_http::ResponseHeader;

use super::Tier;
use super::in_flight::Slot;
use super::law::Ruling;
use crate::filter::{ResponseFilter, Want};

/// The headers' names as they go out (draft-ietf-httpapi-ratelimit-headers-11).
pub const RATELIMIT: &str = "RateLimit";
/// The limit's constants.
pub const RATELIMIT_POLICY: &str = "RateLimit-Policy";

/// One request that was let through.
pub struct Permit {
    standing: Option<Standing>,
    /// Given back with the permit.
    _slot: Option<Slot>,
}

/// What the headers say.
struct Standing {
    tier: Arc<Tier>,
    ruling: Ruling,
}

impl Permit {
    /// A permit that says how its key stands, where a rate was asked, and holds a place, where there is a limit in flight.
    pub fn new(standing: Option<(Arc<Tier>, Ruling)>, slot: Option<Slot>) -> Self {
        Self { standing: standing.map(|(tier, ruling)| Standing { tier, ruling }), _slot: slot }
    }
}

impl ResponseFilter for Permit {
    fn head(&mut self, head: &mut ResponseHeader) -> Want {
        if let Some(Standing { tier, ruling }) = &self.standing {
            append(head, RATELIMIT_POLICY, tier.policy.clone());
            append(head, RATELIMIT, member(tier, ruling));
        }
        Want::Nothing
    }
}

/// Appends to what the upstream and other limits say. A head that comes a second time has the same member already.
fn append(head: &mut ResponseHeader, name: &'static str, value: HeaderValue) {
    if !head.headers.get_all(name).iter().any(|there| *there == value) {
        head.append_header(name, value).expect("a known name and a checked value");
    }
}

/// `"per_client";r=150;t=2`: what is left, and in how many seconds so much comes back; at nothing left, the seconds until something is.
pub fn member(tier: &Tier, ruling: &Ruling) -> HeaderValue {
    let comes_back = match (ruling.remaining, &tier.law) {
        (0, _) | (_, None) => ruling.retry_after(),
        (remaining, Some(law)) => law.seconds_for(remaining),
    };
    // Exactly as long as it gets: bytes with room to spare would be put on the heap a second time.
    let digits = |number: u64| number.checked_ilog10().unwrap_or(0) as usize + 1;
    let length = tier.quoted.len() + ";r=;t=".len() + digits(ruling.remaining.into()) + digits(comes_back);
    let mut text = String::with_capacity(length);
    write!(text, "{};r={};t={comes_back}", tier.quoted, ruling.remaining).expect("a String takes everything");
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("a name in quotes and numbers")
}

/// `"per_client";q=200;w=2`: so many requests in so many seconds.
pub fn policy(quoted: &str, burst: u32, seconds: u64) -> HeaderValue {
    HeaderValue::try_from(format!("{quoted};q={burst};w={seconds}")).expect("a name in quotes and numbers")
}

/// So many seconds as a value; the usual ones are ready.
pub fn seconds(seconds: u64) -> HeaderValue {
    static READY: LazyLock<Box<[HeaderValue]>> = LazyLock::new(|| (0..=60_u64).map(HeaderValue::from).collect());
    READY.get(seconds as usize).cloned().unwrap_or_else(|| HeaderValue::from(seconds))
}
