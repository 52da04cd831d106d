//! `Via`: which gateways a request has come through (RFC 9110, section 7.6.3), and whether it goes in circles.
//!
//! All gateways of this kind stand there under one name, so that a circle through several of them has an end, too.

use frontgate_filters::words::fields;
use http::header::VIA;
use http::{HeaderMap, Version};

/// The name.
const PSEUDONYM: &[u8] = b"frontgate";
/// A request that has come through so many gateways of that name does not go through another.
const MOST: usize = 10;

/// What this gateway adds to a request that it received in this version.
pub(crate) fn member(received: Version) -> &'static [u8] {
    match received {
        Version::HTTP_10 => b"1.0 frontgate",
        Version::HTTP_2 => b"2.0 frontgate",
        _ => b"1.1 frontgate",
    }
}

/// Whether a request has come through too many gateways of this kind.
pub(crate) fn is_loop(headers: &HeaderMap) -> bool {
    fields::list(headers, &VIA).filter(|member| is_ours(member)).count() >= MOST
}

/// Whether a member, which is a version, a name and perhaps a comment, has our name.
fn is_ours(member: &[u8]) -> bool {
    let mut words = member.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.nth(1).is_some_and(|name| name.eq_ignore_ascii_case(PSEUDONYM))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn via(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (VIA, HeaderValue::from_str(value).expect("a value"))).collect()
    }

    #[test]
    fn what_came_through_ten_gateways_of_the_name_goes_in_circles_however_it_is_told() {
        let ours = std::str::from_utf8(member(Version::HTTP_11)).expect("ASCII");
        let nine = [ours; 9].join(", ");

        assert!(!is_loop(&HeaderMap::new()));
        assert!(!is_loop(&via(&[&nine])));
        for tenth in ["1.1 frontgate", "HTTP/2.0\tFrontgate (edge)", "1.0  frontgate"] {
            assert!(is_loop(&via(&[&nine, tenth])), "{tenth}");
            assert!(is_loop(&via(&[&format!("{tenth}, 1.1 other,, {nine}")])), "{tenth}");
        }
        for other in ["1.1 frontgate2", "frontgate", "1.1 other (frontgate)", "frontgate 1.1", ""] {
            assert!(!is_loop(&via(&[&nine, other])), "{other}");
        }
    }
}
