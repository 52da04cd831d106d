//! Header fields read as what they are: bytes (RFC 9110, section 5.5). One that holds bytes beyond ASCII decides like any other.
//!
//! Everybody who takes a list, a cookie, a tag, a media type, a number or an address out of a field does it with these.

use std::net::{IpAddr, SocketAddr};

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The members of a list, without the empty ones (RFC 9110, section 5.6.1). A comma always ends one: for lists of tokens.
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// The members of a list whose members may hold quoted strings: a comma within one ends nothing.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let ends = move |byte: &u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    };
    value.split(ends).map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// The members of a list of tokens over all of its lines.
pub fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    headers.get_all(name).into_iter().flat_map(|value| members(value.as_bytes()))
}

/// Whether a list of tokens has this one, in any case.
pub fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    list(headers, name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
}

/// A field has several lines where one may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Several;

/// The value of a field that has one line at most: which of two would be meant nobody knows.
pub fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Several> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Several),
    }
}

/// What follows the scheme of an `Authorization`, where that is Bearer; schemes ignore case (RFC 9110, section 11.1).
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let ends = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    (scheme.eq_ignore_ascii_case(b"Bearer") && ends).then(|| rest.trim_ascii())
}

/// Whether a `Content-Type` is of this media type, whatever its parameters.
pub fn is_media_type(content_type: &[u8], wanted: &str) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
}

/// A value as text, for what is shown and for what has a grammar of its own; none where it is not UTF-8.
pub fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// A number in digits, said once or several times alike; none where there is none or several differ.
pub fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    same_number(list(headers, name))
}

/// The number that all members of a list are, in digits; none where there is none or several differ.
pub fn same_number<'m>(members: impl Iterator<Item = &'m [u8]>) -> Option<u64> {
    let mut number = None;
    for digits in members {
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let read = std::str::from_utf8(digits).ok()?.parse().ok()?;
        if number.replace(read).is_some_and(|known| known != read) {
            return None;
        }
    }
    number
}

/// The cookies of a request as they stand between semicolons, whether or not each has a name (RFC 6265, section 4.2.1).
pub fn crumbs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    lines.map(<[u8]>::trim_ascii).filter(|crumb| !crumb.is_empty())
}

/// The name and the value of a cookie; quotes around the value do not belong to it. None where it has no name.
pub fn cookie(crumb: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = at(crumb, b'=')?;
    let value = crumb[equals + 1..].trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(value);
    Some((crumb[..equals].trim_ascii_end(), value))
}

/// The entity tags of a list, or its star (RFC 9110, section 8.8.3); a tag may hold commas. What is none is given as it stands.
pub fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let weak = if rest.starts_with(b"W/\"") { 2 } else { 0 };
        let end = match rest.get(weak)? {
            b'"' => at(&rest[weak + 1..], b'"').map(|close| weak + close + 2),
            _ => at(rest, b','),
        };
        let (tag, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(tag.trim_ascii_end())
    })
}

/// What stands between the quotes of an entity tag, weak or not.
pub fn opaque(tag: &[u8]) -> Option<&[u8]> {
    tag.strip_prefix(b"W/").unwrap_or(tag).strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The type and the subtype of a media type, without its parameters; none where it is not one.
pub fn media_type(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let named = value.split(|byte| *byte == b';').next()?.trim_ascii();
    let slash = at(named, b'/')?;
    let (kind, name) = (&named[..slash], &named[slash + 1..]);
    (is_token(kind) && is_token(name)).then_some((kind, name))
}

/// An address, with or without a port, IPv6 in brackets or not.
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?;
    let ip = text.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    let ip = ip.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    ip.map(|ip| ip.to_canonical())
}

fn at(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

/// RFC 9110, section 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use http::header::{AGE, CONNECTION};

    use super::*;

    fn headers(name: HeaderName, values: &[&[u8]]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value).expect("a value"))).collect()
    }

    fn all<'v>(parts: impl Iterator<Item = &'v [u8]>) -> Vec<String> {
        parts.map(|part| part.escape_ascii().to_string()).collect()
    }

    #[test]
    fn lists_have_no_empty_members_and_any_bytes() {
        assert_eq!(all(members(b", a,\t,b ,, \xfc,")), ["a", "b", r"\xfc"]);
        assert_eq!(all(members(b"")), [""; 0]);
        assert_eq!(all(elements(br#"a; x="1, \", 2" ,,b; y="\xfc", c"#)), [r#"a; x=\"1, \\\", 2\""#, r#"b; y=\"\\xfc\""#, "c"]);

        let connection = headers(CONNECTION, &[b"\xfc, close", b",X-Hop"]);

        assert!(lists(&connection, &CONNECTION, "CLOSE") && lists(&connection, &CONNECTION, "x-hop"));
        assert!(!lists(&connection, &CONNECTION, "clos") && !lists(&connection, &AGE, "close"));
    }

    #[test]
    fn a_media_type_is_one_whatever_its_case_and_parameters() {
        for (content_type, is) in [
            ("text/event-stream", true),
            (" Text/Event-Stream ; charset=utf-8", true),
            ("text/event-streams", false),
            ("text/plain; a=text/event-stream", false),
            ("", false),
        ] {
            assert_eq!(is_media_type(content_type.as_bytes(), "text/event-stream"), is, "{content_type}");
        }
    }

    #[test]
    fn a_number_is_digits_that_all_say_the_same() {
        for (values, expected) in [
            (&[&b"12"[..]][..], Some(12)),
            (&[b" 12", b"12, ,12"], Some(12)),
            (&[b"12", b"13"], None),
            (&[b"12\xfc"], None),
            (&[b"+12"], None),
            (&[b"99999999999999999999"], None),
            (&[b""], None),
            (&[], None),
        ] {
            assert_eq!(number(&headers(AGE, values), &AGE), expected, "{values:?}");
        }
    }

    #[test]
    fn cookies_are_pairs_of_bytes_over_all_lines() {
        let cookies = headers(COOKIE, &[b"name=J\xfcrgen; sid=\"2\";; flag", b"a = b=c"]);

        let pairs: Vec<_> = crumbs(&cookies).map(cookie).collect();

        assert_eq!(pairs, [Some((&b"name"[..], &b"J\xfcrgen"[..])), Some((b"sid", b"2")), None, Some((b"a", b"b=c"))]);
    }

    #[test]
    fn tags_end_at_their_quote_and_not_at_a_comma() {
        let list = b",W/\"a,b\" ,\"\xfc\", *,x, \"open, \"";
        assert_eq!(all(tags(list)), [r#"W/\"a,b\""#, r#"\"\xfc\""#, "*", "x", r#"\"open, \""#]);
        assert_eq!(all(tags(b"\"never closed, \\")), [r#"\"never closed, \\"#]);
        assert_eq!(all(tags(b" , ")), [""; 0]);
        assert_eq!(all(tags(b"W/, \"a\"")), ["W/", r#"\"a\""#]);

        assert_eq!(
            (opaque(b"W/\"a\xfc\""), opaque(b"\"\""), opaque(b"a"), opaque(b"\"")),
            (Some(&b"a\xfc"[..]), Some(&b""[..]), None, None)
        );
    }

    #[test]
    fn media_types_are_two_tokens() {
        assert_eq!(media_type(b"Application/JSON ; name=\"\xe9\""), Some((&b"Application"[..], &b"JSON"[..])));
        for none in [&b""[..], b"json", b"/json", b"a/", b"a/b c", b"a/b\xe9", b"; a/b"] {
            assert_eq!(media_type(none), None, "{}", none.escape_ascii());
        }
    }

    #[test]
    fn addresses_come_in_several_spellings() {
        for text in ["192.0.2.1", "192.0.2.1:80", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80", "[::ffff:c000:201]"] {
            assert_eq!(address(text.as_bytes()), Some(IpAddr::from([192, 0, 2, 1])), "{text}");
        }
        for none in [&b"unknown"[..], b"", b"192.0.2.1\xfc", b"192.0.2", b"[192.0.2.1", b"_a"] {
            assert_eq!(address(none), None, "{}", none.escape_ascii());
        }
    }
}
