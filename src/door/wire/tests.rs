use http::HeaderValue;
use pingora_http::RequestHeader;

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 1024, lines: 8, target: 64 };

fn read(head: &str) -> Result<Framing, u16> {
    let bytes = head.as_bytes();
    match HeadScan::default().find(bytes, LIMITS) {
        Ok(Some((start, end))) => check_head(&bytes[start..end], LIMITS).map_err(|refusal| refusal.status),
        Ok(None) => Err(0),
        Err(refusal) => Err(refusal.status),
    }
}

#[test]
fn finds_the_end_of_a_head_however_it_is_cut() {
    let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    for cut in 0..head.len() {
        let mut scan = HeadScan::default();
        let first = scan.find(&head[..cut], LIMITS).expect("a good head");
        let found = first.or_else(|| scan.find(head, LIMITS).expect("a good head"));
        assert_eq!(found, Some((2, head.len() - 4)), "cut at {cut}");
    }
}

#[test]
fn says_how_the_body_is_framed() {
    assert_eq!(read("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(Framing::None));
    assert_eq!(read("GET / HTTP/1.0\r\n\r\n"), Ok(Framing::None));
    assert_eq!(read("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n"), Ok(Framing::Length(12)));
    assert_eq!(read("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), Ok(Framing::Length(0)));
    assert_eq!(read("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:  Chunked\t\r\n\r\n"), Ok(Framing::Chunked));
    assert_eq!(read("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(Framing::None));
    assert_eq!(read("GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(Framing::None));
}

#[test]
fn refuses_what_can_be_read_in_two_ways() {
    for head in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: y Transfer-Encoding: chunked\r\n\r\n",
        "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(read(head), Err(400), "{head:?}");
    }
}

#[test]
fn a_head_of_bytes_and_a_header_map_are_held_to_the_same() {
    for (target, fields, fits) in [
        ("/x", &[][..], true),
        ("/x?y=/../z", &[("content-length", "12")], true),
        ("/x", &[("x", "\u{fc}"), ("cookie", "a=\u{e4}"), ("content-encoding", "gzip")], true),
        ("x", &[], false),
        ("?x", &[], false),
        ("*", &[], false),
        ("/\u{fc}", &[], false),
        ("/x?\u{fc}", &[], false),
        ("/x", &[("content_length", "12")], false),
        ("/x", &[("content-length", "12"), ("content-length", "12")], false),
        ("/x", &[("content-length", "+12")], false),
        ("/x", &[("content-length", "")], false),
        ("/x", &[("content-length", "9999999999999999999")], false),
        ("/x", &[("transfer_encoding", "chunked")], false),
        ("/x", &[("transfer-encoding", "gzip")], false),
        ("/x", &[("content-encoding", "CHUNKED")], false),
        ("/x", &[("content_encoding", "chunked")], false),
        ("/x", &[("x", "y Transfer-Encoding: chunked")], false),
        ("/x", &[("host", "a"), ("host", "a")], false),
        ("/x", &[("host", "")], false),
    ] {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let host = if fields.iter().any(|(name, _)| *name == "host") { "" } else { "Host: a\r\n" };
        let mut map = RequestHeader::build("POST", b"/", None).expect("a head");
        for (name, value) in fields {
            map.append_header(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value")).expect("a header");
        }
        let is_set = map.set_raw_path(target.as_bytes()).is_ok();

        let bytes = read(&format!("POST {target} HTTP/1.1\r\n{host}{lines}\r\n"));
        let map = check_map(&map, LIMITS);

        assert_eq!((bytes.is_ok(), map.is_ok() && is_set), (fits, fits), "{target} {fields:?}: {bytes:?} {map:?}");
    }
}

#[test]
fn a_cookie_in_crumbs_is_one_field() {
    let mut map = RequestHeader::build("GET", b"/", None).expect("a head");
    for _ in 0..20 {
        map.append_header("cookie", "a=b").expect("a header");
    }
    assert_eq!(check_map(&map, LIMITS), Ok(()));

    for _ in 0..8 {
        map.append_header("x", "y").expect("a header");
    }
    assert_eq!(check_map(&map, LIMITS), Err(Refusal::MANY_HEADERS));
}

#[test]
fn each_limit_has_its_own_status() {
    let long = "a".repeat(65);
    assert_eq!(read(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")), Err(414));
    assert_eq!(read(&format!("GET /{}", "a".repeat(2000))), Err(414));
    assert_eq!(read(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(1024))), Err(431));
    assert_eq!(read(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(8))), Err(431));
    assert_eq!(read("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), Err(405));
}

/// Takes `body` in pieces of `step` bytes and says how much of it belonged to the message.
fn chunked(body: &[u8], step: usize) -> Result<(usize, bool), Refusal> {
    let mut scan = BodyScan::new(Framing::Chunked);
    let mut taken = 0;
    for piece in body.chunks(step) {
        let part = scan.take(piece)?;
        taken += part;
        if part < piece.len() {
            break;
        }
    }
    Ok((taken, scan.is_done()))
}

#[test]
fn a_chunked_body_ends_where_it_ends_however_it_is_cut() {
    let body = b"5\r\nhello\r\n0A;a=b;c=\"d\\\"e\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET /next";
    for step in 1..body.len() {
        assert_eq!(chunked(body, step), Ok((body.len() - 9, true)), "pieces of {step}");
    }
}

#[test]
fn a_malformed_chunked_body_is_refused_however_it_is_cut() {
    for body in [
        "5\rhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "1_0\r\nhello world!!!!!\r\n0\r\n\r\n",
        "5\r\nhello!!\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;a\rX\r\nhello\r\n0\r\n\r\n",
        "5;bad[=x\r\nhello\r\n0\r\n\r\n",
        "5;a=\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n",
        "\r\n",
        "0\r\nNoColon\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nA: b\n\r\n",
    ] {
        for step in 1..=body.len() {
            assert!(chunked(body.as_bytes(), step).is_err(), "{body:?} in pieces of {step}");
        }
    }
}

#[test]
fn no_extension_and_no_trailer_is_endless() {
    let mut extension = b"5;a=".to_vec();
    extension.extend(std::iter::repeat_n(b'x', 5000));
    let mut trailer = b"0\r\nA: ".to_vec();
    trailer.extend(std::iter::repeat_n(b'x', 5000));

    assert!(chunked(&extension, 100).is_err());
    assert!(chunked(&trailer, 100).is_err());
}

#[test]
fn a_counted_body_leaves_what_comes_after() {
    let mut scan = BodyScan::new(Framing::Length(5));

    assert_eq!(scan.take(b"hel"), Ok(3));
    assert_eq!(scan.take(b"loGET"), Ok(2));
    assert!(scan.is_done());
    assert!(BodyScan::new(Framing::Length(0)).is_done());
}
