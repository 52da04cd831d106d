use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderValue;
use pingora_http::{RequestHeader, ResponseHeader};
use prometheus::Registry;

use super::*;
use crate::filter::{Facts, Flow, ResponseFilter, Want};
use crate::words::fields;

fn config(options: &str) -> Config {
    serde_json::from_str(options).expect("valid options")
}

fn filter(options: &str) -> Compress {
    Compress::new(&config(options), "small", &Families::new(&Registry::new()))
}

/// The response half of a request with these headers, and the request as the next filter sees it.
fn asked(filter: &Compress, headers: &[(&'static str, &str)]) -> (Box<dyn ResponseFilter>, RequestHeader, bool) {
    let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
    for (name, value) in headers {
        head.append_header(*name, *value).expect("a header");
    }
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
    let Verdict::ContinueWith(half) = filter.request(&mut Request::new(&mut head, &mut facts, Instant::now())) else {
        panic!("every answer is looked at")
    };
    (half, head, facts.packed)
}

fn answer(status: u16, headers: &[(&'static str, &str)]) -> ResponseHeader {
    let mut head = ResponseHeader::build(status, None).expect("a head");
    for (name, value) in headers {
        head.append_header(*name, *value).expect("a header");
    }
    head
}

/// What becomes of an answer for a client that accepts gzip.
fn after(filter: &Compress, mut head: ResponseHeader) -> (Want, ResponseHeader) {
    let (mut half, ..) = asked(filter, &[("accept-encoding", "gzip")]);
    let want = half.head(&mut head);
    (want, head)
}

fn all(head: &ResponseHeader, name: &str) -> Vec<String> {
    head.headers.get_all(name).iter().map(|value| fields::text(value).expect("text").to_owned()).collect()
}

const JSON: (&str, &str) = ("content-type", "application/json");
const LONG: (&str, &str) = ("content-length", "5000");

#[test]
fn a_packed_answer_says_so_and_nothing_that_is_no_longer_true() {
    let filter = filter("{}");
    let more = [
        ("etag", r#""v1""#),
        ("accept-ranges", "bytes"),
        ("digest", "x"),
        ("content-digest", "y"),
        ("repr-digest", "z"),
        ("content-md5", "w"),
    ];

    let (want, head) =
        after(&filter, answer(200, &[&[JSON, LONG, ("vary", "Origin"), ("cache-control", "max-age=60")][..], &more].concat()));

    assert_eq!(want, Want::Chunks);
    assert_eq!(
        (all(&head, "content-encoding"), all(&head, "vary")),
        (vec!["gzip".to_owned()], vec!["Origin".to_owned(), "Accept-Encoding".to_owned()])
    );
    assert_eq!((all(&head, "etag"), all(&head, "cache-control")), (vec![r#"W/"v1""#.to_owned()], vec!["max-age=60".to_owned()]));
    for name in ["content-length", "accept-ranges", "digest", "content-digest", "repr-digest", "content-md5"] {
        assert!(all(&head, name).is_empty(), "{name}");
    }
}

#[test]
fn what_must_not_be_packed_passes_untouched() {
    let filter = filter("{}");
    for (status, headers) in [
        (200, vec![JSON, ("content-length", "1023")]),
        (200, vec![JSON, ("content-length", "0")]),
        (200, vec![("content-type", "image/png"), LONG]),
        (200, vec![LONG]),
        (200, vec![JSON, LONG, ("content-encoding", "br")]),
        (200, vec![JSON, LONG, ("content-encoding", "identity"), ("content-encoding", "deflate")]),
        (200, vec![JSON, LONG, ("cache-control", "public, no-transform")]),
        (200, vec![("content-type", "text/event-stream")]),
        (200, vec![("content-type", "application/grpc+json")]),
        (200, vec![JSON, LONG, ("content-range", "bytes 0-4999/9000")]),
        (206, vec![JSON, LONG, ("content-range", "bytes 0-4999/9000")]),
        (204, vec![JSON]),
        (205, vec![JSON]),
        (101, vec![("upgrade", "websocket"), JSON]),
    ] {
        let head = answer(status, &[&headers[..], &[("etag", r#""v1""#)]].concat());

        let (want, same) = after(&filter, head.clone());

        assert_eq!((want, &same.headers), (Want::Nothing, &head.headers), "{status} {headers:?}");
    }
}

#[test]
fn errors_and_answers_of_no_known_length_are_packed() {
    let filter = filter("{}");

    for head in [
        answer(404, &[JSON, LONG]),
        answer(500, &[("content-type", "text/html")]),
        answer(200, &[JSON, LONG, ("content-encoding", "identity")]),
    ] {
        let (want, head) = after(&filter, head);

        assert_eq!((want, all(&head, "content-encoding")), (Want::Chunks, vec!["gzip".to_owned()]));
    }
}

#[test]
fn who_accepts_nothing_is_told_that_others_get_it_otherwise() {
    let filter = filter("{}");
    for headers in [&[][..], &[("accept-encoding", "identity")], &[("accept-encoding", "gzip"), ("cache-control", "no-transform")]] {
        let (mut half, _, packed) = asked(&filter, headers);
        let mut head = answer(200, &[JSON, LONG, ("etag", r#""v1""#)]);

        assert_eq!((half.head(&mut head), packed), (Want::Nothing, false));

        assert_eq!((all(&head, "vary"), all(&head, "content-length")), (vec!["Accept-Encoding".to_owned()], vec!["5000".to_owned()]));
        assert_eq!((all(&head, "etag"), all(&head, "content-encoding")), (vec![r#""v1""#.to_owned()], vec![]));
    }
}

#[test]
fn who_refuses_plain_answers_gets_short_ones_packed_too() {
    let filter = filter("{}");
    let (mut half, ..) = asked(&filter, &[("accept-encoding", "gzip, identity;q=0")]);
    let mut head = answer(200, &[JSON, ("content-length", "10")]);

    assert_eq!(half.head(&mut head), Want::Chunks);
}

#[test]
fn vary_is_said_once() {
    let filter = filter("{}");
    for vary in ["accept-encoding", "Origin, ACCEPT-ENCODING", "*"] {
        let (_, head) = after(&filter, answer(200, &[JSON, LONG, ("vary", vary)]));

        assert_eq!(all(&head, "vary"), [vary]);
    }
}

#[test]
fn weak_tags_are_asked_for_as_the_upstream_may_know_them() {
    let filter = filter("{}");
    let (_, head, _) = asked(
        &filter,
        &[("if-none-match", r#"W/"a,b", "c""#), ("if-none-match", r#"W/"c", W/"d""#), ("if-match", r#"W/"e""#), ("if-range", r#"W/"f""#)],
    );

    let list = |name: &str| head.headers.get_all(name).iter().map(|value| fields::text(value).expect("text")).collect::<Vec<_>>();
    assert_eq!(list("if-none-match"), [r#"W/"a,b", "a,b", "c", W/"c", W/"d", "d""#]);
    assert_eq!(list("if-match"), [r#"W/"e", "e""#]);
    assert_eq!(list("if-range"), [r#"W/"f""#]);

    let (_, head, _) = asked(&filter, &[("if-none-match", r#"*"#), ("if-match", r#""x", nonsense, W/"open"#)]);
    assert_eq!(
        (&head.headers["if-none-match"], &head.headers["if-match"]),
        (&HeaderValue::from_static("*"), &HeaderValue::from_static(r#""x", nonsense, W/"open"#))
    );
}

#[test]
fn a_confirmation_has_the_tag_that_the_client_has() {
    let filter = filter("{}");
    for (asked_for, confirmed, told) in [
        (r#"W/"v1""#, r#""v1""#, r#"W/"v1""#),
        (r#""v1""#, r#""v1""#, r#""v1""#),
        (r#"W/"v1", "v1""#, r#""v1""#, r#""v1""#),
        (r#"W/"v1""#, r#"W/"v1""#, r#"W/"v1""#),
        (r#"W/"v0""#, r#""v1""#, r#""v1""#),
    ] {
        let (mut half, ..) = asked(&filter, &[("accept-encoding", "gzip"), ("if-none-match", asked_for)]);
        let mut head = answer(304, &[("etag", confirmed)]);

        assert_eq!(half.head(&mut head), Want::Nothing);

        assert_eq!((all(&head, "etag"), all(&head, "vary")), (vec![told.to_owned()], vec!["Accept-Encoding".to_owned()]), "{asked_for}");
    }
}

#[test]
fn a_tag_that_is_none_is_left_out() {
    let filter = filter("{}");

    for (tag, left) in [("v1", vec![]), (r#""open"#, vec![]), (r#"W/"w""#, vec![r#"W/"w""#.to_owned()])] {
        let (_, head) = after(&filter, answer(200, &[JSON, LONG, ("etag", tag)]));

        assert_eq!(all(&head, "etag"), left, "{tag}");
    }
}

#[test]
fn a_body_is_packed_and_counted() {
    let filter = filter(r#"{"codings": ["gzip", "zstd"]}"#);
    let (mut half, _, packed) = asked(&filter, &[("accept-encoding", "zstd, gzip")]);
    let mut head = answer(200, &[JSON]);
    let text = r#"{"id":1},"#.repeat(500);

    assert_eq!((half.head(&mut head), packed, all(&head, "content-encoding")), (Want::Chunks, true, vec!["gzip".to_owned()]));
    let mut sent = Vec::new();
    for (index, piece) in text.as_bytes().chunks(100).enumerate() {
        let mut body = Some(Bytes::copy_from_slice(piece));
        assert!(matches!(half.body(&mut body, false), Flow::Go));
        sent.extend(body.unwrap_or_default());
        if index % 10 == 9 {
            let mut held = None;
            assert!(matches!(half.pause(&mut held), Flow::Go) && held.is_some());
            sent.extend(held.unwrap_or_default());
        }
    }
    let mut body = None;
    assert!(matches!(half.body(&mut body, true), Flow::Go));
    sent.extend(body.unwrap_or_default());
    let length = sent.len() as u64;
    half.done(&crate::filter::Outcome { status: 200, complete: true, upstream_broke: false, grpc: None });

    let mut opened = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&sent[..]), &mut opened).expect("gzip");
    assert_eq!(opened, text);
    let (before, after) = &filter.rules.counts.moved[Coding::Gzip as usize];
    assert_eq!((before.get(), after.get()), (text.len() as u64, length));
}

#[test]
fn a_second_attempt_begins_anew() {
    let filter = filter("{}");
    let (mut half, ..) = asked(&filter, &[("accept-encoding", "gzip")]);

    assert_eq!(half.head(&mut answer(503, &[JSON, LONG])), Want::Chunks);
    assert_eq!(half.head(&mut answer(200, &[("content-type", "image/png")])), Want::Nothing);

    let mut body = Some(Bytes::from_static(b"as it is"));
    assert!(matches!(half.body(&mut body, true), Flow::Go));
    assert_eq!(body.as_deref(), Some(&b"as it is"[..]));
}

#[test]
fn options_that_do_nothing_or_say_something_twice_are_mistakes() {
    let problems = |options: &str| config(options).problems().into_iter().map(|problem| problem.message).collect::<Vec<_>>();

    assert!(problems("{}").is_empty());
    assert!(problems(r#"{"min": "0B", "types": ["application/*"], "codings": ["br"]}"#).is_empty());
    assert_eq!(problems(r#"{"types": [], "codings": []}"#).len(), 2);
    assert_eq!(problems(r#"{"codings": ["br", "gzip", "br"]}"#), ["`br` is listed twice"]);
    assert_eq!(problems(r#"{"types": ["text/event-stream", "application/grpc"]}"#).len(), 2);
    assert!(serde_json::from_str::<Config>(r#"{"codings": ["deflate"]}"#).is_err());
    assert!(serde_json::from_str::<Config>(r#"{"level": 9}"#).is_err());
}

#[test]
fn it_says_what_a_client_will_be_sent() {
    let filter = filter("{}");
    let told = |headers: &[(&'static str, &'static str)]| {
        let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
        for (name, value) in headers {
            head.append_header(*name, *value).expect("a header");
        }
        let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
        let mut reasons = Vec::new();
        let _ = filter.request(&mut Request::new(&mut head, &mut facts, Instant::now()).explained(&mut reasons));
        reasons.join("; ")
    };

    assert_eq!(told(&[("accept-encoding", "br, gzip")]), "the client is sent br, where the answer is of a listed type and 1KiB or longer");
    assert_eq!(told(&[]), "the client accepts none of zstd, br, gzip, or asks for the answer as it is");
}
