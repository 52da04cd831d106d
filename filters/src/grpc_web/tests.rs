use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::ACCEPT;
use pingora_http::RequestHeader;

use super::*;
use crate::filter::Facts;
use crate::grpc::Call;

/// What becomes of a request of this media type: the head that is sent on, and the half that waits for the answer.
fn ask(content_type: &str) -> (RequestHeader, Option<Box<dyn ResponseFilter>>) {
    let mut head = RequestHeader::build("POST", b"/a.B/C", None).expect("a head");
    for (name, value) in [(CONTENT_TYPE, content_type), (CONTENT_LENGTH, "8"), (ACCEPT, "*/*")] {
        head.insert_header(name, value).expect("a header");
    }
    let mut facts = Facts::new([127, 0, 0, 1].into(), HeaderValue::from_static("r-1"));
    facts.grpc = Call::of(&head);
    let half = match GrpcWeb.request(&mut Request::new(&mut head, &mut facts, Instant::now())) {
        Verdict::ContinueWith(half) => Some(half),
        Verdict::Continue => None,
        _ => panic!("it answers"),
    };
    (head, half)
}

fn answer(fields: &[(&'static str, &'static str)]) -> ResponseHeader {
    let mut head = ResponseHeader::build(200, None).expect("a head");
    for (name, value) in fields {
        head.append_header(*name, *value).expect("a header");
    }
    head
}

fn of(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    answer(fields).headers.clone()
}

/// A message in its frame.
fn message(text: &str) -> Vec<u8> {
    [&[0, 0, 0, 0, text.len() as u8], text.as_bytes()].concat()
}

fn status_frame() -> Vec<u8> {
    let lines = b"grpc-status: 0\r\n";
    [&[0x80, 0, 0, 0, lines.len() as u8], &lines[..]].concat()
}

#[test]
fn a_call_of_a_page_becomes_one_of_grpc() {
    for (asked, sent, length) in [
        ("application/grpc-web", "application/grpc", true),
        ("application/grpc-web+proto", "application/grpc+proto", true),
        ("application/grpc-web-text+proto", "application/grpc+proto", false),
    ] {
        let (head, half) = ask(asked);

        assert_eq!(head.headers[CONTENT_TYPE], sent, "{asked}");
        assert_eq!(head.headers.contains_key(CONTENT_LENGTH), length, "{asked}: base64 is longer than what it says");
        assert_eq!(half.expect("a half").rewrites_upload(), !length, "{asked}");
    }
    for untouched in ["application/grpc+proto", "application/json"] {
        let (head, half) = ask(untouched);
        assert_eq!((&head.headers[CONTENT_TYPE], half.is_none()), (&HeaderValue::from_str(untouched).expect("a value"), true));
    }
}

#[test]
fn an_answer_ends_with_its_trailers_in_a_frame() {
    let (_, half) = ask("application/grpc-web+proto");
    let mut half = half.expect("a half");
    let mut head = answer(&[("content-type", "application/grpc"), ("content-length", "6")]);
    assert_eq!(half.head(&mut head), Want::Chunks);
    assert_eq!(
        (&head.headers[CONTENT_TYPE], head.headers.contains_key(CONTENT_LENGTH)),
        (&HeaderValue::from_static("application/grpc-web"), false)
    );

    let mut first = Some(Bytes::from(message("a")));
    let mut trailers = Some(of(&[("grpc-status", "0")]));
    let mut end = None;
    assert!(matches!(half.body(&mut first, false), Flow::Go));
    half.trailers(&mut trailers);
    assert!(matches!(half.body(&mut end, true), Flow::Go));

    assert_eq!(first.expect("a message"), message("a"));
    assert_eq!((trailers, end.expect("a frame")), (None, Bytes::from(status_frame())));
}

#[test]
fn text_is_padded_where_a_message_ends_and_nowhere_else() {
    let (_, half) = ask("application/grpc-web-text");
    let mut half = half.expect("a half");
    let _ = half.head(&mut answer(&[("content-type", "application/grpc+proto")]));
    let both = [message("a"), message("bcd")].concat();

    let mut sent = Vec::new();
    let mut part = |half: &mut Box<dyn ResponseFilter>, bytes: &[u8], last: bool| {
        let mut body = Some(Bytes::copy_from_slice(bytes));
        let _ = half.body(&mut body, last);
        let body = body.expect("a part");
        sent.push(String::from_utf8(body.to_vec()).expect("text"));
    };
    part(&mut half, &both[..6], false);
    part(&mut half, &both[6..10], false);
    part(&mut half, &both[10..], false);
    half.trailers(&mut Some(of(&[("grpc-status", "0")])));
    part(&mut half, &[], true);

    assert_eq!(sent[0], STANDARD.encode(message("a")), "a whole message waits for nothing");
    assert_eq!(sent[1].len(), 4, "three bytes of four: the fourth waits for the rest of its message");
    assert_eq!(sent[1].clone() + &sent[2], STANDARD.encode(message("bcd")));
    assert_eq!(sent[3], STANDARD.encode(status_frame()));
}

#[test]
fn a_head_that_is_all_of_the_answer_says_its_status_in_the_body() {
    let (_, half) = ask("application/grpc-web");
    let mut half = half.expect("a half");
    let mut head = answer(&[("content-type", "application/grpc"), ("grpc-status", "0"), ("x-other", "1")]);

    let _ = half.head(&mut head);
    let mut end = None;
    let _ = half.body(&mut end, true);

    assert!(!head.headers.contains_key("grpc-status") && head.headers.contains_key("x-other"));
    assert_eq!(end.expect("a frame"), status_frame());
}

#[test]
fn an_answer_that_is_no_grpc_is_left_alone() {
    let (_, half) = ask("application/grpc-web");
    let mut half = half.expect("a half");
    let mut head = answer(&[("content-type", "text/html"), ("content-length", "5")]);

    assert_eq!(half.head(&mut head), Want::Nothing);
    assert_eq!(head.headers["content-length"], "5");
}

#[test]
fn a_call_in_base64_is_read_in_parts_and_refused_where_it_is_none() {
    let text = STANDARD.encode(message("hello"));
    let (_, half) = ask("application/grpc-web-text");
    let mut half = half.expect("a half");
    let mut read = Vec::new();
    for part in text.as_bytes().chunks(3) {
        let mut body = Some(Bytes::copy_from_slice(part));
        assert!(matches!(half.upload(&mut body, false), Flow::Go));
        read.extend_from_slice(&body.expect("a part"));
    }
    assert!(matches!(half.upload(&mut None, true), Flow::Go));
    assert_eq!(read, message("hello"));

    for bad in ["AA!A", "AAA"] {
        let (_, half) = ask("application/grpc-web-text");
        let mut half = half.expect("a half");
        let first = half.upload(&mut Some(Bytes::from_static(bad.as_bytes())), false);
        let refused =
            [first, half.upload(&mut None, true)].into_iter().any(|flow| matches!(flow, Flow::Abort(reply) if reply.status == 400));
        assert!(refused, "{bad}");
    }
}
