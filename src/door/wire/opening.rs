//! What a connection begins with: whoever speaks something else than its listener expects is told so, instead of being called malformed.

use super::{Refusal, is_token};

/// What a handshake of TLS begins with: the type of its record (RFC 8446, section 5.1).
pub(crate) const HANDSHAKE: u8 = 0x16;
/// What a PROXY header of version 2 begins with.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the first bytes of a connection look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A request of HTTP/1.
    Request,
    /// The preface of HTTP/2.
    Http2,
    /// A PROXY header.
    Proxy,
    /// A handshake of TLS.
    Tls,
    /// Nothing that is known, or too little of it.
    Unknown,
}

impl Opening {
    /// How many bytes are enough to tell.
    pub(crate) const ENOUGH: usize = 16;

    /// What a connection that begins with these bytes speaks.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if bytes.first() == Some(&HANDSHAKE) {
            Self::Tls
        } else if bytes.starts_with(b"PRI * HTTP/2") {
            Self::Http2
        } else if bytes.starts_with(b"PROXY ") || bytes.starts_with(PROXY_V2) {
            Self::Proxy
        } else {
            let method = bytes.iter().position(|byte| !is_token(*byte)).unwrap_or(0);
            if method > 0 && bytes[method] == b' ' { Self::Request } else { Self::Unknown }
        }
    }
}

impl Refusal {
    /// What begins with these bytes is refused as what it is, where that is known.
    pub(crate) fn of_opening(self, bytes: &[u8]) -> Self {
        match Opening::of(bytes) {
            _ if self.code != Self::UNREADABLE.code => self,
            Opening::Tls => Self::TLS,
            Opening::Http2 => Self::HTTP2,
            Opening::Proxy => Self::PROXY_HEADER,
            Opening::Request | Opening::Unknown => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_told_by_its_first_bytes() {
        for (bytes, opening) in [
            (&b"GET / HTTP/1.1\r\n"[..], Opening::Request),
            (b"PROPFIND / HTTP/", Opening::Request),
            (b"PRI * HTTP/2.0\r\n", Opening::Http2),
            (b"PROXY TCP4 192.0", Opening::Proxy),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Opening::Proxy),
            (b"\x16\x03\x01\x02\0\x01", Opening::Tls),
            (b"\x16", Opening::Tls),
            (b"SSH-2.0-OpenSSH_", Opening::Unknown),
            (b"\x80\x2e\x01", Opening::Unknown),
            (b" / HTTP/1.1", Opening::Unknown),
            (b"GE", Opening::Unknown),
            (b"\r\n\r\n", Opening::Unknown),
            (b"", Opening::Unknown),
        ] {
            assert_eq!(Opening::of(bytes), opening, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn only_what_cannot_be_read_is_refused_as_what_it_is() {
        assert_eq!(Refusal::UNREADABLE.of_opening(b"PROXY TCP4 1.2.3.4"), Refusal::PROXY_HEADER);
        assert_eq!(Refusal::UNREADABLE.of_opening(b"GET /"), Refusal::UNREADABLE);
        assert_eq!(Refusal::LARGE_HEAD.of_opening(b"PROXY TCP4 1.2.3.4"), Refusal::LARGE_HEAD);
    }
}
