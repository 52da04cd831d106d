//! Headers that no configuration may set: they say how a message is framed, or the gateway itself writes them. And those that no client may.

use http::HeaderName;

/// What asks for the decisions that are made about a request.
const EXPLAIN: &str = "x-frontgate-explain";
/// How a message is framed, and what is about one connection only (RFC 9110, section 7.6.1).
const FRAMING: &[&str] =
    &["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
/// What the gateway writes on every answer, and the decisions that it tells on some.
const ANSWER: &[&str] = &["date", EXPLAIN, "x-request-id"];
/// What the gateway writes on every request to an upstream, and `Expect`, which it answers itself.
const REQUEST: &[&str] =
    &["expect", "forwarded", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id"];
/// What a client says about itself and its body.
const CLIENT: &[&str] = &["authorization", "content-type", "cookie"];

/// What only trusted proxies may say: who asked, how and for what, which version answers, which trace it belongs to and what services tell
/// each other in it.
const PROXIES: &[&str] = &[
    "baggage",
    "client-cert",
    "client-cert-chain",
    "forwarded",
    "traceparent",
    "tracestate",
    "x-bff-version",
    "x-forwarded",
    EXPLAIN,
    "x-real-ip",
    "x-request-id",
];
/// The same, as families.
const FAMILIES: &[&str] = &["ssl-client-", "x-client-cert", "x-forwarded-", "x-ssl-"];

/// Whether a header frames a message or belongs to one connection.
pub fn frames(name: &HeaderName) -> bool {
    is_one_of(name, FRAMING)
}

/// Whether configuration may not set a header on answers.
pub fn on_answers(name: &HeaderName) -> bool {
    frames(name) || is_one_of(name, ANSWER)
}

/// Whether configuration may not set a header on requests to an upstream.
pub fn on_requests(name: &HeaderName) -> bool {
    frames(name) || is_one_of(name, REQUEST)
}

/// Whether a header may not be filled with something that a token says.
pub fn for_claims(name: &HeaderName) -> bool {
    on_requests(name) || is_one_of(name, CLIENT)
}

/// Whether only a trusted proxy may say this.
pub fn is_for_proxies(name: &HeaderName) -> bool {
    // Few names begin so, and this is asked of every header of every request.
    matches!(name.as_str().as_bytes().first(), Some(b'b' | b'c' | b'f' | b's' | b't' | b'x'))
        && (is_one_of(name, PROXIES) || FAMILIES.iter().any(|family| begins_like(name.as_str(), family)))
}

/// Whether this asks the gateway itself for something, so that nobody else is ever sent it.
pub fn is_for_the_gateway(name: &HeaderName) -> bool {
    are_alike(name.as_str(), EXPLAIN)
}

/// Whether two names in lower case are the same to servers that take underscores for hyphens.
pub fn are_alike(name: &str, other: &str) -> bool {
    name.len() == other.len() && begins_like(name, other)
}

fn begins_like(name: &str, start: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || matches!((a, b), (b'_' | b'-', b'_' | b'-'));
    name.len() >= start.len() && name.bytes().zip(start.bytes()).all(same)
}

fn is_one_of(name: &HeaderName, known: &[&str]) -> bool {
    known.iter().any(|known| are_alike(name.as_str(), known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frames_a_message_is_reserved_everywhere_and_the_rest_where_the_gateway_writes_it() {
        let check = |name: &'static str| {
            let name = HeaderName::from_static(name);
            [frames(&name), on_answers(&name), on_requests(&name), for_claims(&name)]
        };

        assert_eq!(check("transfer-encoding"), [true, true, true, true]);
        assert_eq!(check("date"), [false, true, false, false]);
        assert_eq!(check("x-request-id"), [false, true, true, true]);
        assert_eq!(check("x-forwarded-for"), [false, false, true, true]);
        assert_eq!(check("authorization"), [false, false, false, true]);
        assert_eq!(check("x-user-id"), [false, false, false, false]);
        assert_eq!(check("transfer_encoding"), [true, true, true, true]);
        assert_eq!(check("x_forwarded-for"), [false, false, true, true]);
    }

    #[test]
    fn what_only_proxies_may_say_is_families_in_every_spelling() {
        for name in [
            "x-forwarded-for",
            "x_forwarded_port",
            "x-forwarded_prefix",
            "x-forwarded-anything-at-all",
            "x_forwarded",
            "x-real-ip",
            "x_real_ip",
            "x-request-id",
            "x_bff_version",
            "forwarded",
            "x-client-cert",
            "x_client_certificate",
            "x-client-cert-subject-dn",
            "x-ssl-client-verify",
            "x_ssl_cipher",
            "ssl-client-s-dn",
            "ssl_client_cert",
            "client-cert",
            "client_cert_chain",
            "traceparent",
            "x_frontgate-explain",
            "baggage",
        ] {
            assert!(is_for_proxies(&HeaderName::from_static(name)), "{name}");
        }
        for name in [
            "x-forward",
            "bag",
            "x-forwardedfor",
            "x-real-ips",
            "x-client-id",
            "x-sslx",
            "user-agent",
            "x-api-key",
            "cookie",
            "x-user-id",
            "via",
        ] {
            assert!(!is_for_proxies(&HeaderName::from_static(name)), "{name}");
        }
    }
}
