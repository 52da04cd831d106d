//! One reading of HTTP/1: where a request's head ends, what its framing is, and where its body ends.
//!
//! What two parsers could read differently is refused (RFC 9112, sections 2.2, 3, 5, 6, 7.1 and 11.2). What passes has one head of CRLF lines,
//! one length, and no tricks in it. Heads that HTTP/2 brings as header maps are held to the same ([`check_map`]).

mod body;
mod fields;
mod head;
mod opening;
#[cfg(test)]
mod tests;

pub(crate) use body::BodyScan;
pub(crate) use fields::check_map;
pub(crate) use head::{HeadScan, Lines, check_head, split_header};
pub(crate) use opening::{HANDSHAKE, Opening};

/// Why a request is refused: a status, a word for programs, and a sentence for people. All fixed texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status.
    pub status: u16,
    /// The `code` of the problem details.
    pub code: &'static str,
    /// The `detail` of the problem details.
    pub detail: &'static str,
}

impl Refusal {
    const fn bad(detail: &'static str) -> Self {
        Self { status: 400, code: "bad_request", detail }
    }
    /// The head came too slowly.
    pub(crate) const SLOW_HEAD: Self = Self { status: 408, code: "request_timeout", detail: "The request head did not arrive in time." };
    /// The body came too slowly.
    pub(crate) const SLOW_BODY: Self = Self { status: 408, code: "request_timeout", detail: "The request body did not arrive in time." };
    /// The head is too large.
    pub(crate) const LARGE_HEAD: Self = Self { status: 431, code: "headers_too_large", detail: "The request head is larger than allowed." };
    /// The head has too many lines.
    pub(crate) const MANY_HEADERS: Self =
        Self { status: 431, code: "headers_too_large", detail: "The request has more header lines than allowed." };
    /// The target is too long.
    pub(crate) const LONG_URI: Self = Self { status: 414, code: "uri_too_long", detail: "The request target is longer than allowed." };
    /// A method that asks for a tunnel.
    pub(crate) const CONNECT: Self = Self { status: 405, code: "method_not_allowed", detail: "The method CONNECT is not supported." };
    /// What Pingora's parser refused although this one did not.
    pub(crate) const UNREADABLE: Self = Self::bad("The request could not be read.");
    /// A request in clear text on a port for TLS.
    pub(crate) const PLAIN_HTTP: Self =
        Self { status: 400, code: "plain_http", detail: "This port speaks HTTPS, and the request came in clear text: use https://." };
    /// TLS on a port for clear text.
    pub(crate) const TLS: Self =
        Self { status: 400, code: "tls", detail: "This port speaks HTTP in clear text, and a TLS handshake came: use http://." };
    /// HTTP/2 on a port for HTTP/1.
    pub(crate) const HTTP2: Self =
        Self { status: 400, code: "http2_preface", detail: "This port speaks HTTP/1.1, and the preface of HTTP/2 came." };
    /// A PROXY header on a port for clients themselves.
    pub(crate) const PROXY_HEADER: Self =
        Self { status: 400, code: "proxy_header", detail: "A PROXY header came on a port where none is expected." };
}

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    /// Bytes of the whole head.
    pub bytes: usize,
    /// Header lines.
    pub lines: usize,
    /// Bytes of the request target.
    pub target: usize,
}

/// How the body that follows a head is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body.
    None,
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            let c = byte as u8;
            table[byte] = c.is_ascii_alphanumeric()
                || matches!(c, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
            byte += 1;
        }
        table
    };
    TOKEN[usize::from(byte)]
}
