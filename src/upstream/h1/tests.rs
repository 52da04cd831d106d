//! Answers cut at every byte, and those that leave open where they end.

use std::future::poll_fn;

use http::Method;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

/// What an answer was read as.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    trailers: usize,
    /// What is left behind it.
    rest: Vec<u8>,
    keep: bool,
}

/// Reads an answer that comes in these parts, and after them the end of the connection.
fn read(parts: &[&[u8]], to_head: bool) -> Result<Read, String> {
    let mut input = BytesMut::new();
    let mut parts = parts.iter();
    let mut fill = |input: &mut BytesMut| parts.next().map(|part| input.extend_from_slice(part));
    let told = |fault| match fault {
        Fault::Malformed(why) => why.to_owned(),
        other => format!("{other:?}"),
    };
    let head = loop {
        match head::read(&mut input, to_head).map_err(told)? {
            Some(head) if head.head.status.is_informational() && head.head.status != 101 => {}
            Some(head) => break head.whole().map_err(told)?,
            None => fill(&mut input).ok_or("closed before the head")?,
        }
    };
    let mut decoder = Decoder::new(head.framing);
    let (mut body, mut trailers, mut keep) = (Vec::new(), 0, head.keep);
    loop {
        match decoder.next(&mut input, false).map_err(told)? {
            Some(Piece::Data(data)) => body.extend_from_slice(&data),
            Some(Piece::Trailers(map)) => trailers += map.len(),
            Some(Piece::End) => break,
            None if fill(&mut input).is_some() => {}
            None if decoder.ends_with_the_connection() => {
                keep = false;
                break;
            }
            None => return Err("closed in the body".to_owned()),
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = head.head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
    Ok(Read { status: head.head.status.as_u16(), fields, body, trailers, rest: input.to_vec(), keep })
}

fn whole(raw: &str) -> Result<Read, String> {
    read(&[raw.as_bytes()], false)
}

#[test]
fn an_answer_is_the_same_wherever_it_is_cut() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0a\r\n0123456789\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n",
        "HTTP/1.0 404 Gone Fishing\r\nX: y\r\n\r\nto the end",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ];
    for answer in answers {
        let expected = whole(answer).expect("an answer");
        for first in 0..answer.len() {
            for second in [first, first + 1, first + 3] {
                let (first, second) = (first, second.min(answer.len()));
                let bytes = answer.as_bytes();
                let parts: Vec<&[u8]> =
                    [&bytes[..first], &bytes[first..second], &bytes[second..]].into_iter().filter(|part| !part.is_empty()).collect();
                assert_eq!(read(&parts, false).as_ref(), Ok(&expected), "{answer:?} cut at {first} and {second}");
            }
        }
    }
}

#[test]
fn what_has_a_body_and_how_long_it_is() {
    for (raw, to_head, body, keep) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, "abc", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, "", true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false, "", true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", false, "", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", false, "abc", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", false, "abc", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false, "abc", false),
        ("HTTP/1.1 200 OK\r\n\r\nabc", false, "abc", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, "abc", false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc", false, "abc", true),
        ("HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 3\r\n\r\nabc", false, "abc", false),
        ("HTTP/1.1 200 OK\r\nConnection: close, keep-alive\r\nContent-Length: 3\r\n\r\nabc", false, "abc", false),
    ] {
        let read = read(&[raw.as_bytes()], to_head).expect(raw);
        assert_eq!((String::from_utf8_lossy(&read.body).as_ref(), read.keep), (body, keep), "{raw:?}");
        assert!(read.rest.is_empty());
    }
}

#[test]
fn what_leaves_open_where_it_ends_is_refused() {
    for raw in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nbad trailer\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA B: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        assert!(whole(raw).is_err(), "{raw:?} {:?}", whole(raw));
    }
    let long = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(5000));
    assert_eq!(whole(&long).unwrap_err(), "a chunk's line is too long");
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(257));
    assert_eq!(whole(&many).unwrap_err(), "its head has too many fields");
    let large = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(1 << 20));
    assert_eq!(whole(&large).unwrap_err(), "its head is too large");
}

#[test]
fn many_fields_are_read_as_few_are() {
    let raw = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "A: b\r\n".repeat(200));

    assert_eq!(whole(&raw).expect("an answer").fields.len(), 201);
}

#[test]
fn what_belongs_to_one_hop_stays_there() {
    let raw = "HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\
               Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nX-End: 2\r\n\r\n0\r\n\r\n";

    assert_eq!(whole(raw).expect("an answer").fields, [("x-end".to_owned(), "2".to_owned())]);
}

#[test]
fn credentials_for_proxies_and_announcements_of_no_trailers_stay_there_too() {
    let fields = "Proxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\nTrailer: X-Sum\r\nX-End: 2\r\n";
    for framing in ["Content-Length: 0", "Transfer-Encoding: chunked", "X: to the end"] {
        let fields = whole(&format!("HTTP/1.1 200 OK\r\n{fields}{framing}\r\n\r\n0\r\n\r\n")).expect("an answer").fields;
        let announced = fields.iter().any(|(name, _)| name == "trailer");
        assert_eq!((fields.len(), announced), (2, framing.contains("chunked")), "{framing}: {fields:?}");
    }
}

#[test]
fn what_has_no_body_has_no_framing_whatever_is_said() {
    for status in ["103 Early Hints", "204 No Content"] {
        for framing in [
            "Content-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: x",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: x",
        ] {
            let mut input = BytesMut::from(&*format!("HTTP/1.1 {status}\r\n{framing}\r\nX-End: 2\r\n\r\n"));
            let head = head::read(&mut input, false).expect("a head").expect("a whole one");
            assert_eq!(is_final(head.head.status), status.starts_with("204"));
            let head = head.whole().expect("a map");
            let names: Vec<_> = head.head.headers.keys().map(http::HeaderName::as_str).collect();
            assert_eq!((names, head.framing), (vec!["x-end"], Framing::None), "{status} {framing}");
            assert_eq!(head.keep, framing.starts_with("Content-Length"), "who speaks of a coding may send something in it");
        }
    }
}

#[test]
fn a_change_of_protocol_is_agreed_on_where_all_that_is_named_was_asked_for() {
    let switch = |upgrade: &str| {
        let mut input = BytesMut::from(&*format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n{upgrade}\r\n"));
        head::read(&mut input, false).expect("a head").expect("a whole one").head.headers
    };
    for (asked, upgrade, agreed) in [
        (Some("websocket"), "Upgrade: WebSocket\r\n", true),
        (Some("tls/1.0, foo/2"), "Upgrade: FOO/2\r\n", true),
        (Some("a, b, c"), "Upgrade: a\r\nUpgrade: c\r\n", true),
        (Some("a, b"), "Upgrade: a, x\r\n", false),
        (Some("websocket"), "Upgrade: h2c\r\n", false),
        (Some("websocket"), "Upgrade: ,\r\n", false),
        (Some("websocket"), "", false),
        (None, "Upgrade: websocket\r\n", false),
    ] {
        let asked = asked.map(HeaderValue::from_static);
        assert_eq!(is_agreed(asked.as_ref(), &switch(upgrade)), agreed, "{asked:?} {upgrade:?}");
    }
}

#[test]
fn bytes_beyond_ascii_and_folded_lines_pass_as_one_line() {
    let mut raw = b"HTTP/1.1 200 OK\r\nX: caf\xe9\r\nY: a\r\n b\r\nContent-Length: 0\r\n\r\n".to_vec();
    let head = head::read(&mut BytesMut::from(&raw[..]), false).expect("a head").expect("a whole one").whole().expect("a map").head;
    assert_eq!(head.headers["x"].as_bytes(), b"caf\xe9");
    assert!(head.headers["y"].as_bytes().starts_with(b"a ") && head.headers["y"].as_bytes().ends_with(b" b"));

    raw.truncate(20);
    assert!(head::read(&mut BytesMut::from(&raw[..]), false).expect("so far").is_none());
}

#[test]
fn fields_say_the_same_where_they_lie_and_in_a_map() {
    let many = "X-Many: 1\r\n".repeat(40);
    for raw in [
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCACHE-CONTROL: max-age=1\r\ncache-control:private\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 404 Gone Fishing\r\nVary: a\r\nX:\r\nVary:   b, c  \r\nContent-Length: 007\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3, 3\r\nVary: d\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: vary, close\r\nVary: e\r\nTrailer: x\r\nTE: x\r\nX: f\r\n\r\n",
        "\r\nHTTP/1.0 200 OK\nX: g\nContent-Length: 1\n\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\n{many}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    ] {
        let read = || head::read(&mut BytesMut::from(raw), false).expect("a head").expect("a whole one").head;
        let (lines, whole) = (read().headers, read().into_whole().expect("a map"));

        for name in ["content-type", "cache-control", "content-length", "vary", "x", "x-many", "connection", "trailer", "te", "none"] {
            let name = http::HeaderName::from_static(name);
            let in_map: Vec<&[u8]> = whole.headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
            assert_eq!(lines.values(&name).to_vec(), in_map, "{name} of {raw:?}");
            assert_eq!(lines.get_all(&name).collect::<Vec<_>>(), in_map, "{name} of {raw:?}");
            assert_eq!(lines.get(&name).as_ref(), whole.headers.get(&name), "{name} of {raw:?}");
        }
    }
}

#[test]
fn every_byte_that_a_field_may_have_where_it_lies_may_be_in_a_map() {
    for byte in 0..=u8::MAX {
        for [before, after] in [["X: a", "b\r\n"], ["X", "X: a\r\n"]] {
            let raw = [b"HTTP/1.1 200 OK\r\n", before.as_bytes(), &[byte], after.as_bytes(), b"Content-Length: 0\r\n\r\n"].concat();
            if let Ok(Some(head)) = head::read(&mut BytesMut::from(&raw[..]), false) {
                assert!(head.whole().is_ok(), "{}", raw.escape_ascii());
            }
        }
    }
    let long = format!("HTTP/1.1 200 OK\r\n{}: a\r\n\r\n", "x".repeat(1 << 16));
    assert_eq!(whole(&long).unwrap_err(), "a field's name is no name");
}

#[test]
fn the_reason_is_kept() {
    let mut input = BytesMut::from("HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n");

    let head = head::read(&mut input, false).expect("a head").expect("a whole one").whole().expect("a map").head;

    assert_eq!(head.get_reason_phrase(), Some("Fine"));
}

#[test]
fn numbers_are_written_as_they_are() {
    for number in [0, 1, 9, 10, 255, 4096, 65_535, u64::MAX >> 1] {
        let mut out = BytesMut::new();
        write::put_number(&mut out, number);
        assert_eq!(out, number.to_string());
        let mut out = BytesMut::new();
        put_chunk_size(&mut out, number as usize);
        assert_eq!(out, format!("{number:x}\r\n"));
    }
}

/// A connection whose peer has sent this and then reset it.
async fn torn(sent: &'static [u8]) -> Connection {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("it listens");
    let (mut peer, _) = listener.accept().await.expect("a connection");
    peer.write_all(sent).await.expect("it is taken");
    client.readable().await.expect("it is there");
    peer.set_zero_linger().expect("a flag");
    drop(peer);
    Connection::new(Io::Tcp(client))
}

#[tokio::test]
async fn a_reset_that_a_write_has_met_is_no_end_of_a_body() {
    let mut connection = torn(b"HTTP/1.1 200 OK\r\n\r\nhalf").await;
    connection.begin(&Method::POST, b"/", Upload::Length(9), |_| {});

    // The socket tells the reset to whoever comes first: here that is the write.
    let written = poll_fn(|cx| connection.poll_flush(cx)).await;
    assert!(matches!(written, Err(Fault::Broken(..))), "{written:?}");

    let head = poll_fn(|cx| connection.poll_head(cx)).await.expect("it was there before the reset");
    assert_eq!(head.framing, Framing::Close);
    assert_eq!(poll_fn(|cx| connection.poll_piece(cx)).await.expect("so was this"), Piece::Data(Bytes::from_static(b"half")));
    let end = poll_fn(|cx| connection.poll_piece(cx)).await;
    assert!(end.is_err(), "{end:?}");
}

proptest! {
    /// Any bytes in any chunks, cut anywhere, are the same bytes.
    #[test]
    fn chunked_bodies_are_taken_out_of_their_framing(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20),
        cuts in prop::collection::vec(1..100_usize, 1..100),
        rest in "[a-z]{0,5}",
    ) {
        let mut raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            raw.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            raw.extend_from_slice(chunk);
            raw.extend_from_slice(b"\r\n");
        }
        raw.extend_from_slice(b"0\r\n\r\n");
        raw.extend_from_slice(rest.as_bytes());
        let mut parts = Vec::new();
        let mut left = &raw[..];
        for cut in cuts.iter().cycle() {
            if left.is_empty() { break }
            let (part, after) = left.split_at((*cut).min(left.len()));
            parts.push(part);
            left = after;
        }

        let read = read(&parts, false).expect("an answer");

        prop_assert_eq!(read.body, chunks.concat());
        prop_assert!(rest.as_bytes().starts_with(&read.rest));
    }

    /// Whatever comes is read or refused, without a panic and without an end that was not there.
    #[test]
    fn noise_is_read_or_refused(noise in prop::collection::vec(any::<u8>(), 0..200), framing in 0..3_usize) {
        let head = ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""][framing];
        let mut raw = head.as_bytes().to_vec();
        raw.extend_from_slice(&noise);
        let _ = read(&[&raw], false);
    }
}
