//! A refusal as the answer to a gRPC call: HTTP 200, and what came of it in `grpc-status` and `grpc-message`.
//!
//! To a client of gRPC the head says it and is the end of the answer; one of gRPC-Web finds it in the body, where a page may read it whatever
//! CORS says of headers.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora_http::ResponseHeader;

use super::{Reply, insert};
use crate::grpc::{Call, GRPC_MESSAGE, GRPC_RETRY_PUSHBACK_MS, GRPC_STATUS, Status, Wire, percent_encoded, web};

/// The head and the body of this refusal.
pub(super) fn render(reply: &Reply, detail: &str, call: &Call, request_id: &HeaderValue) -> (ResponseHeader, Bytes) {
    let mut head = ResponseHeader::build_no_case(StatusCode::OK, Some(reply.headers.len() + 6)).expect("200 is a status");
    let mut put = |name, value| {
        head.append_header(name, value).expect("a HeaderName is a valid name");
    };
    put(CONTENT_TYPE, call.content_type.clone());
    reply.headers.iter().filter(|(name, _)| *name != GRPC_STATUS).for_each(|(name, value)| put(name.clone(), value.clone()));
    let said = status(reply.grpc_status(), detail, reply.retry_after());
    let body = match call.wire {
        Wire::Plain => {
            said.iter().for_each(|(name, value)| put(name.clone(), value.clone()));
            Bytes::new()
        }
        Wire::Web | Wire::WebText => {
            let frame = web::trailers(&said);
            if call.wire == Wire::WebText { web::text(&frame) } else { frame }
        }
    };
    insert(&mut head, "X-Request-Id", request_id.clone());
    if !body.is_empty() {
        insert(&mut head, "Content-Length", HeaderValue::from(body.len()));
    }
    (head, body)
}

/// What ends an answer with this status of the gateway's own.
pub fn status(status: Status, detail: &str, retry_after: Option<u64>) -> HeaderMap {
    let mut said = HeaderMap::with_capacity(3);
    said.insert(GRPC_STATUS, status.value());
    said.insert(GRPC_MESSAGE, percent_encoded(detail));
    if let Some(seconds) = retry_after {
        said.insert(GRPC_RETRY_PUSHBACK_MS, HeaderValue::from(seconds.saturating_mul(1000)));
    }
    said
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use http::header::RETRY_AFTER;

    use super::*;
    use crate::reply::Form;

    fn call(wire: Wire, content_type: &'static str) -> Call {
        Call { wire, content_type: HeaderValue::from_static(content_type), deadline: None, status: None, told: None }
    }

    fn limited() -> Reply {
        Reply::problem(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many: 100%.").with(RETRY_AFTER, HeaderValue::from_static("2"))
    }

    #[test]
    fn a_call_gets_its_status_in_a_head_and_no_body() {
        let (head, body) = limited().render(Form::Grpc(&call(Wire::Plain, "application/grpc+proto")), &HeaderValue::from_static("abc-1"));

        let fields = &head.headers;
        assert_eq!((head.status.as_u16(), body.len()), (200, 0));
        assert_eq!(
            (&fields["content-type"], &fields["x-request-id"]),
            (&HeaderValue::from_static("application/grpc+proto"), &HeaderValue::from_static("abc-1"))
        );
        assert_eq!(
            (&fields["grpc-status"], &fields["grpc-message"]),
            (&HeaderValue::from_static("8"), &HeaderValue::from_static("Too many: 100%25."))
        );
        assert_eq!(
            (&fields["grpc-retry-pushback-ms"], &fields["retry-after"]),
            (&HeaderValue::from_static("2000"), &HeaderValue::from_static("2"))
        );
        assert!(!fields.contains_key("content-length"));
    }

    #[test]
    fn a_page_finds_its_status_in_the_body() {
        let id = HeaderValue::from_static("abc-1");
        let (head, body) = limited().render(Form::Grpc(&call(Wire::Web, "application/grpc-web+proto")), &id);
        let (text_head, text) = limited().render(Form::Grpc(&call(Wire::WebText, "application/grpc-web-text")), &id);

        let lines = "grpc-status: 8\r\ngrpc-message: Too many: 100%25.\r\ngrpc-retry-pushback-ms: 2000\r\n";
        let frame = [&[0x80, 0, 0, 0, lines.len() as u8][..], lines.as_bytes()].concat();
        assert_eq!((head.status.as_u16(), &body[..]), (200, &frame[..]));
        assert_eq!(head.headers["content-length"], frame.len().to_string());
        assert!(!head.headers.contains_key("grpc-status"));
        assert_eq!(text_head.headers["content-type"], "application/grpc-web-text");
        assert_eq!(STANDARD.decode(&text).expect("base64"), frame);
    }

    #[test]
    fn what_is_no_refusal_stays_what_it_is() {
        let reply = Reply { body: crate::reply::ReplyBody::Bytes(Bytes::from_static(b"hello")), ..limited() };

        let (head, body) = reply.render(Form::Grpc(&call(Wire::Plain, "application/grpc")), &HeaderValue::from_static("abc-1"));

        assert_eq!((head.status.as_u16(), &body[..]), (429, &b"hello"[..]));
        assert!(!reply.is_refusal() && limited().is_refusal());
    }
}
