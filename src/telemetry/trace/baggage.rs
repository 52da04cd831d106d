//! `baggage`: what the services of a trace tell each other, member by member (W3C Baggage, section 3).

use frontgate_filters::words::fields;
use http::HeaderMap;

use super::BAGGAGE;

/// The most members, and the most bytes of all of them with their commas, that go on.
const MOST: (usize, usize) = (64, 8192);

/// The members that go on: those that are well-formed, from the first one on, as far as there is room for them.
pub(crate) fn baggage(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let mut room = MOST.1 + 1;
    let fits = move |member: &&[u8]| match room.checked_sub(member.len() + 1) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    fields::list(headers, &BAGGAGE).filter(|member| is_member(member)).take(MOST.0).take_while(fits)
}

/// A key with its value, and properties behind semicolons.
fn is_member(member: &[u8]) -> bool {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_pair = |part: &[u8]| match part.iter().position(|byte| *byte == b'=') {
        Some(at) => is_token(part[..at].trim_ascii_end()) && part[at + 1..].trim_ascii_start().iter().all(is_octet),
        None => false,
    };
    parts.next().is_some_and(is_pair) && parts.all(|property| is_pair(property) || is_token(property))
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_sign)
}

/// What a value is made of: printable signs but for space, quote, comma, semicolon and backslash.
fn is_octet(byte: &u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn told(values: &[&str]) -> Vec<String> {
        let headers: HeaderMap = values.iter().map(|value| (BAGGAGE, HeaderValue::from_str(value).unwrap())).collect();
        baggage(&headers).map(|member| String::from_utf8(member.to_vec()).unwrap()).collect()
    }

    #[test]
    fn well_formed_members_go_on_and_the_rest_is_left_behind() {
        let members = told(&[
            "userId=Am%C3%A9lie, bad member, serverNode = DF28 ;p=1; flag, =x, ",
            "k=\"quoted\",empty=,a=b\\c,k(=1,isProduction=false,a=b=c",
        ]);

        assert_eq!(members, ["userId=Am%C3%A9lie", "serverNode = DF28 ;p=1; flag", "empty=", "isProduction=false", "a=b=c"]);
        assert!(told(&[]).is_empty());
    }

    #[test]
    fn no_more_go_on_than_every_receiver_has_to_take() {
        let small: Vec<String> = (0..70).map(|number| format!("k{number}=v")).collect();
        let large: Vec<String> = (0..9).map(|number| format!("k{number}={}", "v".repeat(1000))).collect();

        assert_eq!(told(&[&small.join(",")]), small[..64]);
        assert_eq!(told(&[&large.join(",")]), large[..8]);
        assert_eq!(told(&[&format!("k={}", "v".repeat(8190))]).len(), 1);
        assert!(told(&[&format!("k={}", "v".repeat(8191))]).is_empty());
    }
}
