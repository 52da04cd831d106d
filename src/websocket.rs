//! WebSockets as far as a gateway has to know them: what asks for one, over HTTP/2 too (RFC 8441), the key that HTTP/1 wants for it, and where
//! its frames end.

mod frames;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frontgate_filters::words::fields::members;
use h2::ext::Protocol;
use http::header::UPGRADE;
use http::{HeaderName, HeaderValue, Method};
use pingora_http::RequestHeader;

pub(crate) use frames::{Frames, going_away};

/// The protocol's name in `Upgrade` and in `:protocol`.
pub(crate) static WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// What a client over HTTP/1 proves with that it is answered as a WebSocket (RFC 6455, section 4.1).
pub(crate) const SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
/// The answer to it.
pub(crate) const SEC_WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// Whether all that an `Upgrade` names is a WebSocket.
pub(crate) fn is_one(upgrade: &HeaderValue) -> bool {
    let mut protocols = members(upgrade.as_bytes()).peekable();
    protocols.peek().is_some() && protocols.all(|protocol| protocol.eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
}

/// What a CONNECT over HTTP/2 wants to speak on its stream, where it says so (RFC 8441, section 4).
pub(crate) fn protocol(head: &RequestHeader) -> Option<&Protocol> {
    head.extensions.get()
}

/// Whether a request of HTTP/2 is one for a WebSocket, be it still a CONNECT or what [`take`] made of it.
pub(crate) fn is_asked_for(head: &RequestHeader) -> bool {
    protocol(head).is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// Marks a request of HTTP/1 that asks for another protocol: its `Upgrade` is about the connection, and is not among its fields by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsksForAnother;

/// Whether a request asks for another protocol than it came in, over HTTP/1 or HTTP/2.
pub(crate) fn asks_for_another(head: &RequestHeader) -> bool {
    head.extensions.get::<AsksForAnother>().is_some() || protocol(head).is_some() || head.headers.contains_key(UPGRADE)
}

/// Makes an extended CONNECT for a WebSocket the request that it is over HTTP/1, with a key of the gateway's own: from here on nothing tells
/// the two apart but their clients. Everything else stays as it came.
pub(crate) fn take(head: &mut RequestHeader) {
    if head.method == Method::CONNECT && is_asked_for(head) {
        head.set_method(Method::GET);
        head.insert_header(SEC_WEBSOCKET_KEY, new_key()).expect("a known name");
    }
}

/// A fresh key.
fn new_key() -> HeaderValue {
    let mut key = [0; 16];
    // Without randomness the key is as good: it shows who has read the request, and guards nothing.
    let _ = aws_lc_rs::rand::fill(&mut key);
    HeaderValue::try_from(STANDARD.encode(key)).expect("letters, digits and signs")
}

/// Whether this is the answer to that key.
pub(crate) fn accepts(key: &HeaderValue, accept: &HeaderValue) -> bool {
    answer_to(key.as_bytes()).as_bytes() == accept.as_bytes()
}

/// The answer to a key (RFC 6455, section 4.2.2).
pub(crate) fn answer_to(key: &[u8]) -> String {
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_answer() {
        // RFC 6455, section 1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");

        assert!(accepts(&key, &HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
        assert!(!accepts(&new_key(), &HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
        assert!(new_key() != new_key() && new_key().len() == 24);
    }

    #[test]
    fn an_upgrade_is_one_where_it_names_nothing_else() {
        for (upgrade, is) in [("websocket", true), ("WebSocket, websocket", true), ("websocket, h2c", false), ("", false), (",", false)] {
            assert_eq!(is_one(&HeaderValue::from_static(upgrade)), is, "{upgrade:?}");
        }
    }

    #[test]
    fn an_extended_connect_becomes_a_get_with_a_key_and_a_plain_one_stays() {
        let request = |protocol: Option<&'static str>| {
            let mut request = http::Request::connect("http://a.example/socket").header("sec-websocket-key", "theirs").body(()).unwrap();
            if let Some(protocol) = protocol {
                request.extensions_mut().insert(Protocol::from_static(protocol));
            }
            let mut head = RequestHeader::from(request.into_parts().0);
            take(&mut head);
            head
        };

        let head = request(Some("websocket"));
        assert_eq!((&head.method, head.uri.path()), (&Method::GET, "/socket"));
        assert!(is_asked_for(&head) && head.headers[&SEC_WEBSOCKET_KEY] != "theirs");
        for other in [None, Some("connect-udp"), Some("WebSocket")] {
            let head = request(other);
            assert!(head.method == Method::CONNECT && !is_asked_for(&head), "{other:?}");
        }
    }
}
