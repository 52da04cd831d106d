//! Bodies that come piece by piece, are large, break off, or lose their client on the way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{ask, opened, over, text};
use crate::harness::http2_origin::Http2Origin;
use crate::harness::{Gate, Gateway, Origin, Process, raw, until, yaml};

#[test]
fn a_slow_stream_arrives_piece_by_piece() {
    let gates: Vec<Gate> = (0..4).map(|_| Gate::default()).collect();
    let waits = gates.clone();
    let origin = Origin::start(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (number, gate) in waits.iter().enumerate() {
            let _ = stream.write_all(format!("8\r\npiece {number};\r\n").as_bytes());
            gate.pass();
        }
        stream.write_all(b"0\r\n\r\n").is_ok()
    });
    let gateway = over(&origin, "{}");
    let mut stream = raw(gateway.address);
    stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    let mut body = flate2::read::GzDecoder::new(after_head(stream));

    for (number, gate) in gates.iter().enumerate() {
        let mut piece = [0_u8; 8];
        body.read_exact(&mut piece).unwrap();

        assert_eq!(String::from_utf8_lossy(&piece), format!("piece {number};"));
        gate.open();
    }
    let mut rest = Vec::new();
    body.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn a_slow_stream_of_an_upstream_with_http2_arrives_piece_by_piece() {
    let pieces = Arc::new(Semaphore::new(1));
    let sent = pieces.clone();
    let origin = Http2Origin::start(move |mut asked| {
        let pieces = pieces.clone();
        async move {
            let mut stream = asked.head(200, &[("content-type", "text/plain")], false);
            for number in 0..4 {
                pieces.acquire().await.unwrap().forget();
                let _ = stream.send_data(format!("piece {number};").into(), false);
            }
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sum", http::HeaderValue::from_static("1"));
            let _ = stream.send_trailers(trailers);
        }
    });
    let gateway = Gateway::start(&yaml(
        "
        upstreams:
          main: {endpoints: [$ORIGIN], protocol: h2}
        routes:
          - {name: all, path: /**, upstream: main, filters: [compress: {}]}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let mut stream = raw(gateway.address);
    stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    let mut body = flate2::read::GzDecoder::new(after_head(stream));

    for number in 0..4 {
        let mut piece = [0_u8; 8];
        body.read_exact(&mut piece).unwrap();

        assert_eq!(String::from_utf8_lossy(&piece), format!("piece {number};"));
        sent.add_permits(1);
    }
    let mut rest = Vec::new();
    body.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

/// What follows the head of an answer to a client of HTTP/1.0: all of it is the body.
fn after_head(mut stream: TcpStream) -> TcpStream {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(String::from_utf8_lossy(&head).to_ascii_lowercase().contains("content-encoding: gzip"), "{}", String::from_utf8_lossy(&head));
    stream
}

#[test]
fn pieces_that_come_together_are_packed_together() {
    let (item, count) = (r#"{"id":1,"title":"Lamp No. 1","price":{"amount":1990,"currency":"EUR"},"stock":3},"#, 400);
    let chunks = format!("{:x}\r\n{item}\r\n", item.len()).repeat(count);
    let origin = Origin::start(move |_, stream| {
        stream
            .write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").as_bytes(),
            )
            .is_ok()
    });
    let gateway = over(&origin, "{}");

    for accepts in ["gzip", "br", "zstd"] {
        let reply = ask(&gateway, "GET", "/", &format!("Accept-Encoding: {accepts}\r\n"));

        assert_eq!(opened(&reply), item.repeat(count));
        // A block for each piece would be 16 bytes of each at least.
        assert!(reply.body.len() < count * 8, "{accepts}: {} bytes", reply.body.len());
    }
}

#[test]
fn a_body_that_breaks_off_does_not_look_whole() {
    let origin = Origin::start(|request, stream| {
        let framing = if request.line().contains("chunked") { "Transfer-Encoding: chunked" } else { "Content-Length: 100000" };
        let start =
            if request.line().contains("chunked") { format!("{:x}\r\n{}\r\n", 20_000, "x".repeat(20_000)) } else { "x".repeat(20_000) };
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{framing}\r\n\r\n{start}").as_bytes());
        false
    });
    let gateway = over(&origin, "{}");

    for path in ["/chunked", "/length"] {
        for accepts in ["gzip", "br", "zstd"] {
            let reply = ask(&gateway, "GET", path, &format!("Accept-Encoding: {accepts}\r\n"));

            assert_eq!((reply.status, reply.header("content-encoding"), reply.whole), (200, Some(accepts), false), "{path}");
            let mut text = Vec::new();
            let end = match accepts {
                "gzip" => flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut text),
                "br" => brotli::Decompressor::new(&reply.body[..], 4096).read_to_end(&mut text),
                _ => zstd::stream::read::Decoder::new(&reply.body[..]).unwrap().read_to_end(&mut text),
            };
            assert!(end.is_err(), "{path} {accepts}: {} bytes look whole", text.len());
        }
    }
}

#[test]
fn large_bodies_are_compressed_in_constant_memory() {
    let megabytes: usize = if std::env::var_os("FRONTGATE_LONG").is_some() { 1024 } else { 24 };
    let mut state = 1_u64;
    let mut number = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 40
    };
    let part: String = (0..1 << 15).map(|_| format!("{{\"id\":{:8},\"title\":\"a lamp\"}},", number() % 100_000_000)).collect();
    let length = part.len();
    let origin = Origin::start(move |_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).is_ok() && (0..megabytes).all(|_| stream.write_all(part.as_bytes()).is_ok());
        false
    });
    let process = Process::start("compress", &text(&origin, "{}"));

    for accepts in ["zstd", "gzip"] {
        let before = process.memory();
        let mut stream = raw(process.address);
        stream
            .write_all(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accepts}\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut space = vec![0_u8; 1 << 16];
        let (mut count, mut end) = (0_usize, Vec::new());
        loop {
            let read = stream.read(&mut space).unwrap();
            if read == 0 {
                break;
            }
            count += read;
            end.extend_from_slice(&space[..read]);
            end.drain(..end.len().saturating_sub(16));
        }

        let grown = process.peak().saturating_sub(before) >> 10;
        println!(
            "{} MiB to {} MiB in {accepts}: resident {before} KiB before, {grown} MiB more at most",
            (megabytes * length) >> 20,
            count >> 20
        );
        assert!(end.ends_with(b"0\r\n\r\n") && count < megabytes * length / 2, "{count}");
        assert!(grown < 12, "{before} KiB before, {grown} MiB more at most");
    }
}

#[test]
fn a_client_that_leaves_takes_its_encoder_with_it() {
    let gate = Gate::default();
    let wait = gate.clone();
    let origin = Origin::start(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9000\r\n\r\nbeginning");
        wait.pass();
        false
    });
    let gateway = over(&origin, "{}");
    for _ in 0..3 {
        let mut stream = raw(gateway.address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
        assert!(stream.read(&mut [0; 100]).unwrap() > 0);
    }

    until("what was sent to be counted", || {
        gateway.metric(r#"frontgate_compress_input_bytes_total{coding="gzip",filter="small"}"#) == 27.0
    });
    gate.open();
}

#[test]
fn events_are_never_held_back() {
    let gate = Gate::default();
    let wait = gate.clone();
    let origin = Origin::start(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n");
        wait.pass();
        false
    });
    let gateway = over(&origin, "{min: 0B, types: [text/*]}");
    let mut stream = raw(gateway.address);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();

    let mut seen = Vec::new();
    let mut space = [0; 4096];
    while !seen.windows(9).any(|part| part == b"data: 1\n\n") {
        let count = stream.read(&mut space).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&space[..count]);
    }
    assert!(!String::from_utf8_lossy(&seen).to_ascii_lowercase().contains("content-encoding"));
    gate.open();
}
