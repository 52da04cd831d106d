//! Headers that no configuration may set: they say how a message is framed, or the gateway itself writes them.

use http::HeaderName;

/// How a message is framed, and what is about one connection only (RFC 9110, section 7.6.1).
const FRAMING: &[&str] =
    &["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
/// What the gateway writes on every answer.
const ANSWER: &[&str] = &["date", "x-request-id"];
/// What the gateway writes on every request to an upstream, and `Expect`, which it answers itself.
const REQUEST: &[&str] =
    &["expect", "forwarded", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id"];
/// What a client says about itself and its body.
const CLIENT: &[&str] = &["authorization", "content-type", "cookie"];

/// Whether a header frames a message or belongs to one connection.
pub fn frames(name: &HeaderName) -> bool {
    FRAMING.contains(&name.as_str())
}

/// Whether configuration may not set a header on answers.
pub fn on_answers(name: &HeaderName) -> bool {
    frames(name) || ANSWER.contains(&name.as_str())
}

/// Whether configuration may not set a header on requests to an upstream.
pub fn on_requests(name: &HeaderName) -> bool {
    frames(name) || REQUEST.contains(&name.as_str())
}

/// Whether a header may not be filled with something that a token says.
pub fn for_claims(name: &HeaderName) -> bool {
    on_requests(name) || CLIENT.contains(&name.as_str())
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
    }
}
