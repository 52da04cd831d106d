//! The host a request names, in the one form that routes compare with.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// Why an authority is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHost {
    /// Nothing in front of the port.
    Empty,
    /// More than the 253 bytes a DNS name can have.
    TooLong,
    /// `a..b` or `.a`.
    EmptyLabel,
    /// A byte that no host has: `@`, a space, a comma, a percent escape.
    Character,
    /// Brackets without an IPv6 address.
    Address,
    /// Not a number from 1 to 65535.
    Port,
}

impl BadHost {
    /// What is wrong, in words that fit behind "the request's host: ".
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Empty => "an empty host",
            Self::TooLong => "a host longer than 253 bytes",
            Self::EmptyLabel => "a host with an empty label",
            Self::Character => "a character that no host has",
            Self::Address => "brackets without an IPv6 address",
            Self::Port => "a port that is not a number from 1 to 65535",
        }
    }
}

impl fmt::Display for BadHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for BadHost {}

/// The host of an authority (`Host`, `:authority`) per RFC 3986 3.2.2, in lower case, without port and closing dot.
///
/// An IPv6 address keeps its brackets and takes the form of RFC 5952. Stricter than the RFC in what no name server knows
/// and origins read differently: percent escapes, commas and empty labels are refused. Borrows where nothing changes.
pub(crate) fn host_of(authority: &str) -> Result<Cow<'_, str>, BadHost> {
    if let Some(inner) = authority.strip_prefix('[') {
        let (address, after) = inner.split_once(']').ok_or(BadHost::Address)?;
        let parsed: Ipv6Addr = address.parse().map_err(|_| BadHost::Address)?;
        match after.strip_prefix(':') {
            Some(port) => check_port(port)?,
            None if after.is_empty() => {}
            None => return Err(BadHost::Address),
        }
        let written = &authority[..address.len() + 2];
        let normal = format!("[{parsed}]");
        return Ok(if normal == written { Cow::Borrowed(written) } else { Cow::Owned(normal) });
    }
    let name = match memchr::memchr(b':', authority.as_bytes()) {
        Some(colon) => {
            check_port(&authority[colon + 1..])?;
            &authority[..colon]
        }
        None => authority,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(BadHost::Empty);
    }
    if name.len() > 253 {
        return Err(BadHost::TooLong);
    }
    let (mut upper, mut before) = (false, b'.');
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {}
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=' => {}
            b'A'..=b'Z' => upper = true,
            b'.' if before != b'.' => {}
            b'.' => return Err(BadHost::EmptyLabel),
            _ => return Err(BadHost::Character),
        }
        before = byte;
    }
    if before == b'.' {
        return Err(BadHost::EmptyLabel);
    }
    Ok(if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

/// A port may be empty (RFC 3986, section 3.2.3): then it is the usual one. It may begin with zeros.
fn check_port(port: &str) -> Result<(), BadHost> {
    if port.is_empty() {
        return Ok(());
    }
    let port = port.trim_start_matches('0');
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.bytes().fold(0_u32, |number, byte| number.wrapping_mul(10).wrapping_add(u32::from(byte.wrapping_sub(b'0'))));
    if digits && (1..=u32::from(u16::MAX)).contains(&number) { Ok(()) } else { Err(BadHost::Port) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brings_hosts_into_one_form() {
        let cases = [
            ("shop.example", "shop.example"),
            ("Shop.EXAMPLE:8080", "shop.example"),
            ("shop.example.", "shop.example"),
            ("shop.example.:443", "shop.example"),
            ("a_b", "a_b"),
            ("10.0.0.1:65535", "10.0.0.1"),
            ("shop.example:", "shop.example"),
            ("Shop.Example.:", "shop.example"),
            ("[::1]:", "[::1]"),
            ("a:000080", "a"),
            ("[::1]:1", "[::1]"),
            ("[0:0:0::1]", "[::1]"),
            ("[2001:DB8::A]", "[2001:db8::a]"),
        ];
        for (authority, host) in cases {
            assert_eq!(host_of(authority).as_deref(), Ok(host), "{authority}");
        }
    }

    #[test]
    fn refuses_what_is_no_host() {
        let cases = [
            ("", BadHost::Empty),
            (".", BadHost::Empty),
            (":80", BadHost::Empty),
            ("user@shop.example", BadHost::Character),
            ("user:pw@shop.example", BadHost::Port),
            ("a b", BadHost::Character),
            ("a,b", BadHost::Character),
            ("a/b", BadHost::Character),
            ("a\\b", BadHost::Character),
            ("%61.example", BadHost::Character),
            ("é.example", BadHost::Character),
            ("a\0", BadHost::Character),
            ("a..b", BadHost::EmptyLabel),
            (".a", BadHost::EmptyLabel),
            ("a..", BadHost::EmptyLabel),
            (":", BadHost::Empty),
            ("a::", BadHost::Port),
            ("a:0", BadHost::Port),
            ("a:00", BadHost::Port),
            ("a:0065536", BadHost::Port),
            ("a:65536", BadHost::Port),
            ("a:+80", BadHost::Port),
            ("a:80:80", BadHost::Port),
            ("::1", BadHost::Port),
            ("[::1", BadHost::Address),
            ("[::1]x", BadHost::Address),
            ("[::1%25eth0]", BadHost::Address),
            ("[v1.a]", BadHost::Address),
            ("[]", BadHost::Address),
        ];
        for (authority, reason) in cases {
            assert_eq!(host_of(authority), Err(reason), "{authority}");
        }
        assert_eq!(host_of(&"a".repeat(254)), Err(BadHost::TooLong));
    }

    #[test]
    fn borrows_what_is_in_form_already() {
        assert!(matches!(host_of("shop.example:80"), Ok(Cow::Borrowed("shop.example"))));
        assert!(matches!(host_of("[::1]:80"), Ok(Cow::Borrowed("[::1]"))));
    }
}
