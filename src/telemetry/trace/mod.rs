//! Which trace a request belongs to, and what the next hop is told of it: W3C Trace Context and Baggage.
//!
//! Headers are read here that trusted proxies alone may send. What is malformed counts as absent.

mod baggage;
mod parent;
mod state;

use http::{HeaderName, HeaderValue};

pub(crate) use baggage::baggage;
pub(crate) use parent::{Parent, parent, renewed};
pub(crate) use state::state;

/// Which trace a request belongs to, and who has called in it.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What systems of tracing tell each other beside that.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// What the services of a trace tell each other.
pub(crate) const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The flag of a trace whose spans are recorded.
const SAMPLED: u8 = 1;
/// The flag of a trace whose identifier is random. Whoever does not begin the trace passes it on.
const RANDOM: u8 = 2;

/// Where a request stands in its trace: it has a span of its own, and so has each of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traced {
    /// The trace.
    pub trace: u128,
    /// The span of who has called.
    pub parent: Option<u64>,
    /// The request's own span.
    pub span: u64,
    /// Whether its spans are recorded.
    pub sampled: bool,
    flags: u8,
}

impl Traced {
    /// A request of this trace; `number` is a random one.
    pub(crate) fn new(trace: u128, parent: Option<Parent>, number: u64, sampled: bool) -> Self {
        let flags = parent.map_or(0, |parent| parent.flags & RANDOM) | if sampled { SAMPLED } else { 0 };
        // Zero is no identifier.
        Self { trace, parent: parent.map(|parent| parent.span), span: number | 1, sampled, flags }
    }

    /// The span of its attempt of this number, from 1 on: another one for each, and nothing that had to be remembered.
    pub(crate) fn attempt(&self, number: u32) -> u64 {
        // An odd factor: no two numbers come to the same.
        let span = self.span.wrapping_add(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if span == 0 { u64::MAX } else { span }
    }

    /// What the upstream of the attempt of this number is told: the attempt is who calls.
    pub(crate) fn header(&self, number: u32) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        text[3..35].copy_from_slice(&id(self.trace));
        let attempt = self.attempt(number);
        text[36..44].copy_from_slice(&digits((attempt >> 32) as u32));
        text[44..52].copy_from_slice(&digits(attempt as u32));
        text[53..].copy_from_slice(&digits(self.flags.into())[6..]);
        text
    }

    /// The flags of its spans.
    #[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "spans alone tell them"))]
    pub(crate) fn flags(&self) -> u8 {
        self.flags
    }
}

/// A trace in hex.
pub(crate) fn id(trace: u128) -> [u8; 32] {
    let mut text = [0; 32];
    for (at, part) in [96, 64, 32, 0].into_iter().enumerate() {
        text[8 * at..8 * at + 8].copy_from_slice(&digits((trace >> part) as u32));
    }
    text
}

/// The trace that begins with a request of this identifier: the same number where that is a UUID, so that one finds the other. UUIDs of version
/// 7 are as random in their last 56 bits as a trace's identifier is to be.
pub(crate) fn begun_by(request_id: Option<&HeaderValue>, random: impl Fn() -> u64) -> u128 {
    let uuid = request_id.and_then(|id| uuid::Uuid::try_parse_ascii(id.as_bytes()).ok()).map(|id| id.as_u128());
    uuid.filter(|id| *id != 0).unwrap_or_else(|| u128::from(random() | 1) << 64 | u128::from(random()))
}

/// A number in hex, all digits at once: this is done for every request.
fn digits(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Four bits to a byte.
    let mut spread = u64::from(number);
    spread = (spread << 16 | spread) & 0x0000_ffff_0000_ffff;
    spread = (spread << 8 | spread) & 0x00ff_00ff_00ff_00ff;
    spread = (spread << 4 | spread) & 0x0f0f_0f0f_0f0f_0f0f;
    // From ten on six more carry into the byte's upper half.
    let letters = (spread + 6 * EACH) >> 4 & EACH;
    (spread + u64::from(b'0') * EACH + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("ASCII")
    }

    #[test]
    fn a_trace_begins_with_its_request_s_own_identifier() {
        let id = HeaderValue::from_static("01890a5d-ac96-774b-bcce-b302099a8057");

        assert_eq!(begun_by(Some(&id), || 1), 0x0189_0a5d_ac96_774b_bcce_b302_099a_8057);
        for other in ["-", "00000000-0000-0000-0000-000000000000", "abc"] {
            assert_eq!(begun_by(Some(&HeaderValue::from_static(other)), || 4), 5 << 64 | 4, "{other}");
        }
        assert_eq!(begun_by(None, || 4), 5 << 64 | 4);
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 9, 10, 15, 16, 0x9a9a_a9a9, 0x0123_4567, 0x89ab_cdef, u32::MAX] {
            assert_eq!(text(&digits(number)), format!("{number:08x}"));
        }
        assert_eq!(text(&id(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210)), "0123456789abcdeffedcba9876543210");
    }

    #[test]
    fn each_attempt_is_a_caller_of_its_own() {
        for number in [0, 1, u64::MAX, 0x61c8_8646_80b5_83eb] {
            let traced = Traced::new(7, None, number, true);

            let spans: HashSet<u64> = (1..1000).map(|number| traced.attempt(number)).collect();

            assert!(spans.len() == 999 && !spans.contains(&0) && !spans.contains(&traced.span), "{number}");
        }
    }

    #[test]
    fn the_next_hop_is_told_the_trace_the_attempt_and_whether_it_is_recorded() {
        let called = Parent { trace: 0xab, span: 0xcd, flags: 0x03 };
        for (parent, sampled, flags) in [(None, true, "01"), (None, false, "00"), (Some(called), true, "03"), (Some(called), false, "02")] {
            let traced = Traced::new(0xab, parent, 0xf0, sampled);

            let header = traced.header(2);

            assert_eq!(text(&header), format!("00-{:032x}-{:016x}-{flags}", 0xab, traced.attempt(2)));
            assert_eq!(text(&id(traced.trace)), format!("{:032x}", 0xab));
        }
    }
}
