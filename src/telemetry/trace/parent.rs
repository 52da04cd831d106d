//! `traceparent`: which trace a request belongs to, and who has called in it (W3C Trace Context, section 3.2).

use http::{HeaderMap, HeaderValue};

use super::{LENGTH, TRACEPARENT};

/// Who has called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    /// The trace.
    pub trace: u128,
    /// The caller's span.
    pub span: u64,
    /// What the caller says of the trace.
    pub flags: u8,
}

impl Parent {
    /// Whether the caller records the trace.
    #[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "whoever records asks"))]
    pub(crate) fn is_sampled(self) -> bool {
        self.flags & super::SAMPLED != 0
    }
}

/// The one `traceparent`; nothing where there is none, more than one, or one that the standard calls invalid.
pub(crate) fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    read(value.as_bytes())
}

/// A `traceparent` of a trace of its own, with the flags of the one in these headers; none where that one is none. `random` gives its bits.
pub(crate) fn renewed(headers: &HeaderMap, random: impl Fn() -> u64) -> Option<HeaderValue> {
    let flags = parent(headers)?.flags;
    // Zeros alone would be no identifiers.
    let text = format!("00-{:016x}{:016x}-{:016x}-{flags:02x}", random() | 1, random(), random() | 1);
    HeaderValue::from_str(&text).ok()
}

fn read(text: &[u8]) -> Option<Parent> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    // Later versions may have more fields, behind a hyphen.
    let is_whole = match number(&known[..2])? {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let is_apart = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    let (upper, lower) = (number(&known[3..19])?, number(&known[19..35])?);
    let (span, flags) = (number(&known[36..52])?, number(&known[53..])? as u8);
    let trace = u128::from(upper) << 64 | u128::from(lower);
    (is_whole && is_apart && trace != 0 && span != 0).then_some(Parent { trace, span, flags })
}

/// What each byte is worth as a small hexadecimal digit; [`NONE`] where it is none.
const WORTH: [u8; 256] = {
    let mut worth = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        worth[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    worth
};
const NONE: u8 = 0xff;

/// A number of up to sixteen digits.
fn number(digits: &[u8]) -> Option<u64> {
    let (mut number, mut all) = (0, 0);
    for digit in digits {
        let worth = WORTH[usize::from(*digit)];
        all |= worth;
        number = number << 4 | u64::from(worth & 15);
    }
    // Whether all of them are digits is asked once.
    (all < 16).then_some(number)
}

#[cfg(test)]
mod tests {
    use frontgate_filters::words::fields;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn headers(values: &[String]) -> HeaderMap {
        values.iter().map(|value| (TRACEPARENT, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn finds_who_called_in_a_valid_parent() {
        for (flags, number) in [("00", 0), ("01", 1), ("ff", 255)] {
            let found = parent(&headers(&[format!("00-{TRACE}-{PARENT}-{flags}")])).expect("a parent");

            assert_eq!(found, Parent { trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, span: 0xb7ad_6b71_6920_3331, flags: number });
            assert_eq!(found.is_sampled(), number & 1 == 1);
        }
    }

    #[test]
    fn reads_what_it_knows_of_a_later_version() {
        for value in [format!("01-{TRACE}-{PARENT}-01"), format!("cc-{TRACE}-{PARENT}-01-more"), format!("fe-{TRACE}-{PARENT}-01-")] {
            assert!(parent(&headers(std::slice::from_ref(&value))).is_some(), "{value:?}");
        }
    }

    #[test]
    fn finds_none_in_an_invalid_parent() {
        let zeros = "0".repeat(32);
        let capitals = TRACE.to_uppercase();
        for value in [
            String::new(),
            TRACE.to_owned(),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("0x-{TRACE}-{PARENT}-01"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{capitals}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", &TRACE[1..]),
            format!("00-{TRACE}0-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("00-{TRACE}-{PARENT}-0G"),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("01-{TRACE}-{PARENT}-01more"),
            format!("00_{TRACE}_{PARENT}_01"),
            format!(" 00-{TRACE}-{PARENT}-01"),
        ] {
            assert_eq!(parent(&headers(std::slice::from_ref(&value))), None, "{value:?}");
        }
    }

    #[test]
    fn finds_none_where_two_are_told() {
        let value = format!("00-{TRACE}-{PARENT}-01");

        assert_eq!(parent(&headers(&[value.clone(), value])), None);
        assert_eq!(parent(&headers(&[])), None);
    }

    #[test]
    fn a_renewed_trace_is_another_one_that_is_sampled_alike() {
        for flags in ["00", "01", "03"] {
            let old = headers(&[format!("00-{TRACE}-{PARENT}-{flags}")]);

            let new = renewed(&old, || 0).expect("a trace");

            let found = parent(&HeaderMap::from_iter([(TRACEPARENT, new.clone())])).expect("a parent");
            assert!(found.trace != parent(&old).expect("a parent").trace, "{new:?}");
            let text = fields::text(&new).expect("ASCII");
            assert!(text.ends_with(&format!("-{flags}")) && !text.contains(PARENT), "{new:?}");
        }
        assert_eq!(renewed(&headers(&["00-x".to_owned()]), || 1), None);
    }
}
