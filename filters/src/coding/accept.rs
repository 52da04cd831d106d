//! What a client accepts (RFC 9110, section 12.5.3): its own preference first, and between codings that it likes alike ours.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use super::Coding;
use crate::words::fields;

/// What a client is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The coding; none where the answer is to be sent as it is.
    pub coding: Option<Coding>,
    /// Whether the client refuses an answer as it is.
    pub refuses_plain: bool,
}

impl Choice {
    /// The choice among these, of which the first is liked best. A client that says nothing is sent the answer as it is.
    pub fn of(headers: &HeaderMap, offered: &[Coding]) -> Self {
        let mut wanted = Wanted::default();
        for entry in fields::list(headers, &ACCEPT_ENCODING) {
            wanted.hear(entry);
        }
        let mut best: Option<(u16, Coding)> = None;
        for coding in offered {
            let quality = wanted.of(*coding);
            // Strictly more: the earlier one wins between equals.
            if quality > best.map_or(0, |(held, _)| held) {
                best = Some((quality, *coding));
            }
        }
        // Said to be worth more than any coding, the answer as it is wins; where nothing is said of it, it is the last resort.
        let coding = best.filter(|(quality, _)| wanted.plain.is_none_or(|plain| *quality >= plain)).map(|(_, coding)| coding);
        Self { coding, refuses_plain: wanted.plain.or(wanted.others) == Some(0) }
    }
}

/// What `Accept-Encoding` says, in thousandths; none of what it does not name.
#[derive(Default)]
struct Wanted {
    codings: [Option<u16>; Coding::ALL.len()],
    plain: Option<u16>,
    others: Option<u16>,
}

impl Wanted {
    fn hear(&mut self, entry: &[u8]) {
        let mut parts = entry.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let quality = match parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="))) {
            Some(quality) => thousandths(quality).unwrap_or(0),
            None => 1000,
        };
        let slot = if name == b"*" {
            &mut self.others
        } else if name.eq_ignore_ascii_case(b"identity") {
            &mut self.plain
        } else {
            let Some(coding) = Coding::of(name) else { return };
            &mut self.codings[coding as usize]
        };
        *slot = Some(quality.max(slot.unwrap_or(0)));
    }

    fn of(&self, coding: Coding) -> u16 {
        self.codings[coding as usize].or(self.others).unwrap_or(0)
    }
}

/// A quality from 0 to 1 with up to three digits; more of them than that change nothing.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &b""[..]),
    };
    let whole = match whole {
        b"0" => 0,
        b"1" => 1000,
        _ => return None,
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let part = (0..3).fold(0, |sum, at| sum * 10 + fraction.get(at).map_or(0, |digit| u16::from(digit - b'0')));
    Some(whole + part).filter(|quality| *quality <= 1000)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn choice(lines: &[&[u8]], offered: &[Coding]) -> Choice {
        let lines = lines.iter().map(|line| (ACCEPT_ENCODING, HeaderValue::from_bytes(line).expect("a value")));
        Choice::of(&lines.collect(), offered)
    }

    fn chosen(value: &str) -> Option<Coding> {
        choice(&[value.as_bytes()], &Coding::ALL).coding
    }

    #[test]
    fn the_clients_taste_decides_and_between_equals_ours() {
        assert_eq!(chosen("gzip, deflate, br"), Some(Coding::Brotli));
        assert_eq!(chosen("gzip;q=1.0, br;q=0.5"), Some(Coding::Gzip));
        assert_eq!(chosen("gzip, zstd"), Some(Coding::Zstd));
        assert_eq!(chosen("x-gzip"), Some(Coding::Gzip));
        assert_eq!(chosen(", br;x=1;q=0.2 ,, GZIP ; Q=0.3,"), Some(Coding::Gzip));
        assert_eq!(chosen("br;q=0.999, gzip;q=0.9989"), Some(Coding::Brotli));

        let ours = [Coding::Gzip, Coding::Zstd];
        assert_eq!(choice(&[b"zstd, br, gzip"], &ours).coding, Some(Coding::Gzip));
        assert_eq!(choice(&[b"br;q=1, zstd;q=0.5", b"gzip;q=0.4"], &ours).coding, Some(Coding::Zstd));
    }

    #[test]
    fn nothing_is_packed_for_who_did_not_ask() {
        for value in ["", "identity", "gzip;q=0", "deflate, compress", "*;q=0", "gzip;q=0.0, *;q=0.000"] {
            assert_eq!(chosen(value), None, "{value}");
        }
        assert_eq!(choice(&[], &Coding::ALL), Choice::default());
        assert_eq!(choice(&[b"gzip"], &[]), Choice::default());
    }

    #[test]
    fn a_star_is_every_coding_that_is_not_named() {
        assert_eq!(chosen("*"), Some(Coding::Zstd));
        assert_eq!(chosen("zstd;q=0, *;q=0.1"), Some(Coding::Brotli));
        assert_eq!(chosen("gzip;q=0.5, *;q=0"), Some(Coding::Gzip));
        assert_eq!(chosen("gzip;q=0.5, *;q=0.4"), Some(Coding::Gzip));
    }

    #[test]
    fn the_answer_as_it_is_may_be_preferred_or_refused() {
        let plain = |value: &str| {
            let choice = choice(&[value.as_bytes()], &Coding::ALL);
            (choice.coding, choice.refuses_plain)
        };

        assert_eq!(plain("identity, gzip;q=0.5"), (None, false));
        assert_eq!(plain("identity;q=0.5, gzip;q=0.5"), (Some(Coding::Gzip), false));
        assert_eq!(plain("identity;q=0, gzip"), (Some(Coding::Gzip), true));
        assert_eq!(plain("gzip, *;q=0"), (Some(Coding::Gzip), true));
        assert_eq!(plain("identity;q=0.1, *;q=0"), (None, false));
        assert_eq!(plain("identity;q=0"), (None, true));
    }

    #[test]
    fn what_is_no_quality_is_none_at_all() {
        for quality in ["", ".", "0.", "2", "1.001", "-1", "+1", "0x1", "1e0", "NaN", "0.5 5", "00", "01"] {
            let accepted = quality == "0.";
            assert_eq!(thousandths(quality.as_bytes()).is_some(), accepted, "{quality}");
        }
        assert_eq!(thousandths(b"0.25"), Some(250));
        assert_eq!(thousandths(b"0.123456789123456789"), Some(123));
        assert_eq!(thousandths(b"1.000"), Some(1000));
        assert_eq!(chosen("gzip;q=high, br;q=0.1"), Some(Coding::Brotli));
    }

    #[test]
    fn a_coding_that_nobody_knows_hides_no_other() {
        assert_eq!(choice(&[b"\xfc;q=1, br, gzip;q=\xfc"], &Coding::ALL).coding, Some(Coding::Brotli));
    }
}
