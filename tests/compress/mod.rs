//! Answers that are compressed on their way: by what clients accept, piece by piece, together with the other filters.

mod streams;

use std::io::{Read, Write};
use std::process::Command;

use frontgate_test_support::tool;

use crate::harness::http2::over_http2;
use crate::harness::{Gate, Gateway, Origin, Process, Reply, client::read_reply, exchange, get, origin::response, raw, until, yaml};

/// One route whose answers are compressed with these options.
fn text(origin: &Origin, options: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          admin: 127.0.0.1:0
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          small: {compress: $OPTIONS}
        routes:
          - {name: all, path: /**, upstream: main, filters: [small]}
          - {name: fixed, path: /fixed, filters: [small], respond: {status: 200, body: '$FIXED', headers: {Content-Type: text/plain}}}
        ",
        &[("$ORIGIN", &origin.address), ("$OPTIONS", &options), ("$FIXED", &"fixed,".repeat(400))],
    )
}

fn over(origin: &Origin, options: &str) -> Gateway {
    Gateway::start(&text(origin, options))
}

/// Some 18 KB of JSON.
fn catalogue() -> String {
    let item = |id| {
        format!(
            r#"{{"id":{id},"title":"Lamp No. {id} with a shade of linen","price":{{"amount":{},"currency":"EUR"}},"debug":"x"}}"#,
            1990 + id
        )
    };
    format!(r#"{{"items":[{}]}}"#, (1..200).map(item).collect::<Vec<_>>().join(","))
}

/// An origin whose JSON has a strong tag, and that knows it again letter by letter.
fn tagged() -> Origin {
    Origin::start(|request, stream| {
        let known = request.header("if-none-match").iter().any(|list| list.split(", ").any(|tag| tag == "\"v1\""));
        let answer = match known {
            true => "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".to_owned(),
            false => response("200 OK", "Content-Type: application/json\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\n", &catalogue()),
        };
        let answer = if request.line().starts_with("HEAD") { answer[..answer.find("\r\n\r\n").unwrap() + 4].to_owned() } else { answer };
        stream.write_all(answer.as_bytes()).is_ok()
    })
}

fn ask(gateway: &Gateway, method: &str, path: &str, headers: &str) -> Reply {
    let text = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{headers}Connection: close\r\n\r\n");
    exchange(gateway.address, text.as_bytes()).unwrap()
}

/// What a body says, by its coding.
fn opened(reply: &Reply) -> String {
    let mut text = String::new();
    match reply.header("content-encoding") {
        None => text = reply.text(),
        Some("gzip") => drop(flate2::read::GzDecoder::new(&reply.body[..]).read_to_string(&mut text).unwrap()),
        Some("br") => drop(brotli::Decompressor::new(&reply.body[..], 4096).read_to_string(&mut text).unwrap()),
        Some("zstd") => text = String::from_utf8(zstd::decode_all(&reply.body[..]).unwrap()).unwrap(),
        Some(other) => panic!("{other}"),
    }
    text
}

#[test]
fn each_client_gets_what_it_accepts() {
    let origin = tagged();
    let gateway = over(&origin, "{}");

    for (accepts, coding) in [
        ("zstd, br, gzip", Some("zstd")),
        ("gzip, deflate, br", Some("br")),
        ("gzip;q=1, br;q=0.9", Some("gzip")),
        ("*;q=0.1", Some("zstd")),
        ("identity", None),
        ("gzip;q=0", None),
    ] {
        let reply = ask(&gateway, "GET", "/", &format!("Accept-Encoding: {accepts}\r\n"));

        assert_eq!((reply.status, reply.header("content-encoding")), (200, coding), "{accepts}");
        assert_eq!((opened(&reply), reply.header("vary")), (catalogue(), Some("Accept-Encoding")), "{accepts}");
        let packed = coding.is_some();
        assert_eq!(reply.header("etag"), Some(if packed { "W/\"v1\"" } else { "\"v1\"" }), "{accepts}");
        assert_eq!((reply.header("content-length").is_none(), reply.header("accept-ranges").is_none()), (packed, packed), "{accepts}");
        assert!(!packed || reply.whole && reply.body.len() * 4 < catalogue().len(), "{} bytes", reply.body.len());
    }
    until("compress input bytes total", || {
        gateway.metric(r#"frontgate_compress_input_bytes_total{coding="br",filter="small"}"#) >= catalogue().len() as f64
    });
    gateway.comes_to(r#"frontgate_compress_skipped_total{filter="small",reason="not_accepted"}"#, 2.0);
}

#[test]
fn an_answer_to_head_has_the_headers_that_one_to_get_would_have() {
    let origin = tagged();
    let gateway = over(&origin, "{}");
    let headers = |reply: &Reply| {
        let mut lines: Vec<String> = reply.head.lines().skip(1).map(str::to_ascii_lowercase).collect();
        lines.retain(|line| !line.starts_with("date") && !line.starts_with("x-request-id"));
        lines.sort();
        lines
    };

    for path in ["/", "/fixed"] {
        for accepts in ["gzip", "identity"] {
            let accepts = format!("Accept-Encoding: {accepts}\r\n");
            let (of_get, of_head) = (ask(&gateway, "GET", path, &accepts), ask(&gateway, "HEAD", path, &accepts));

            let (mut of_get, of_head) = (headers(&of_get), headers(&of_head));
            // What nobody knows beforehand need not be said (RFC 9110, section 9.3.2).
            of_get.retain(|line| of_head.contains(line) || !line.starts_with("content-length") && !line.starts_with("transfer-encoding"));
            assert_eq!(of_head, of_get, "{path} {accepts}");
        }
    }
}

#[test]
fn what_a_client_has_packed_is_confirmed_to_it() {
    let origin = tagged();
    let gateway = over(&origin, "{}");
    let tag = ask(&gateway, "GET", "/", "Accept-Encoding: gzip\r\n").header("etag").unwrap().to_owned();

    let again = ask(&gateway, "GET", "/", &format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n"));
    let plain = ask(&gateway, "GET", "/", "If-None-Match: \"v1\"\r\n");

    assert_eq!((again.status, again.header("etag"), again.header("vary")), (304, Some(&*tag), Some("Accept-Encoding")));
    assert_eq!((plain.status, plain.header("etag")), (304, Some("\"v1\"")));
}

#[test]
fn what_is_not_to_be_touched_is_not() {
    let origin = Origin::start(|request, stream| {
        let headers = request.header("x-answer").first().map(|line| format!("{line}\r\n")).unwrap_or_default();
        stream.write_all(response("200 OK", &headers, &"x".repeat(3_000)).as_bytes()).is_ok()
    });
    let gateway = over(&origin, "{min: 4KiB}");
    let observed = over(&origin, "{mode: observe}");

    for (gateway, answer) in
        [(&gateway, "Content-Type: text/plain"), (&observed, "Content-Type: text/plain"), (&observed, "Content-Type: image/png")]
    {
        let reply = ask(gateway, "GET", "/", &format!("Accept-Encoding: gzip\r\nX-Answer: {answer}\r\n"));

        assert_eq!((reply.text(), reply.header("content-length")), ("x".repeat(3_000), Some("3000")), "{answer}");
        assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None), "{answer}");
    }
}

#[test]
fn the_gateways_own_answers_are_compressed_like_others() {
    let origin = tagged();
    let gateway = over(&origin, "{}");

    let reply = ask(&gateway, "GET", "/fixed", "Accept-Encoding: gzip\r\n");

    assert_eq!((reply.status, reply.header("content-encoding"), opened(&reply)), (200, Some("gzip"), "fixed,".repeat(400)));
    assert_eq!(reply.header("content-length"), Some(&*reply.body.len().to_string()));
}

#[test]
fn clients_of_http2_get_the_same() {
    let origin = tagged();
    let gateway = over(&origin, "{}");

    let (coding, body) = over_http2(gateway.address, async |mut client| {
        let request = http::Request::get("http://a/").header("accept-encoding", "gzip").body(()).unwrap();
        let answer = client.send_request(request, true).unwrap().0.await.unwrap();
        let coding = answer.headers()["content-encoding"].clone();
        let (mut body, mut stream) = (Vec::new(), answer.into_body());
        while let Some(data) = stream.data().await {
            let data = data.unwrap();
            stream.flow_control().release_capacity(data.len()).unwrap();
            body.extend_from_slice(&data);
        }
        (coding, body)
    });

    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    assert_eq!((coding.as_bytes(), text), (&b"gzip"[..], catalogue()));
}

#[test]
fn what_was_trimmed_and_what_was_kept_is_compressed_after_that() {
    let open = Gate::default();
    let gate = open.clone();
    let origin = Origin::start(move |request, stream| {
        if request.line().contains("down") {
            gate.pass();
            return false;
        }
        assert!(request.header("accept-encoding") != ["gzip"], "`trim` asks for plain text");
        stream.write_all(response("200 OK", "Content-Type: application/json\r\nETag: \"v1\"\r\n", &catalogue()).as_bytes()).is_ok()
    });
    let gateway = Gateway::start(&yaml(
        "
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - name: all
            path: /**
            upstream: main
            filters:
              - compress: {codings: [gzip]}
              - trim: {profiles: {}, otherwise: {drop: [items.debug]}}
              - circuit_breaker: {min_requests: 1, consecutive: 1, open_for: 60s, fallback: [{cached: {max_age: 10m}}]}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let trimmed = catalogue().replace(",\"debug\":\"x\"", "");

    let fresh = ask(&gateway, "GET", "/", "Accept-Encoding: gzip, zstd\r\n");
    let tag = fresh.header("etag").unwrap().to_owned();

    assert_eq!((fresh.header("content-encoding"), opened(&fresh)), (Some("gzip"), trimmed.clone()));
    assert_eq!(fresh.head.to_ascii_lowercase().matches("accept-encoding").count(), 1, "{}", fresh.head);
    assert!(tag.starts_with("W/\"v1-"), "{tag}");

    // From here on the upstream fails, and what was kept of it serves everybody alike.
    open.open();
    assert_eq!(ask(&gateway, "GET", "/down", "").status, 502);
    for (accepts, coding) in [("gzip", Some("gzip")), ("identity", None)] {
        let kept = ask(&gateway, "GET", "/", &format!("Accept-Encoding: {accepts}\r\n"));
        assert_eq!(
            (kept.header("x-bff-fallback"), kept.header("content-encoding"), opened(&kept)),
            (Some("cached"), coding, trimmed.clone())
        );
    }
}

#[test]
fn real_clients_read_what_they_asked_for() {
    let origin = tagged();
    let process = Process::start("compress-clients", &text(&origin, "{}"));
    let url = format!("http://{}/", process.address);

    if let Some(curl) = tool("curl") {
        for options in [&["--compressed"][..], &["--compressed", "--http1.0"], &["--compressed", "--http2-prior-knowledge"]] {
            let output =
                Command::new(&curl).args(["-sS", "--max-time", "20", "-w", "%{size_download}"]).args(options).arg(&url).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let said = String::from_utf8(output.stdout).unwrap();
            let size = said.strip_prefix(&*catalogue()).unwrap_or_else(|| panic!("{said}"));
            assert!(size.parse::<usize>().unwrap() * 4 < catalogue().len(), "{size}");
        }
    }
    if let Some(python) = tool("python3") {
        let program = "import sys, urllib.request, zlib\n\
            answer = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={'Accept-Encoding': 'gzip'}), timeout=20)\n\
            assert answer.headers['Content-Encoding'] == 'gzip', answer.headers\n\
            reader = zlib.decompressobj(31)\n\
            sys.stdout.write((reader.decompress(answer.read()) + reader.flush()).decode())\n\
            assert reader.eof\n";
        let output = Command::new(python).args(["-c", program, &url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), catalogue());
    }
}

#[test]
fn one_connection_carries_packed_and_plain_answers_one_after_the_other() {
    let origin = tagged();
    let gateway = over(&origin, "{}");
    let mut stream = raw(gateway.address);

    for accepts in ["gzip", "identity", "br", "zstd", "gzip"] {
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accepts}\r\n\r\n").as_bytes()).unwrap();
        let reply = read_reply(&mut stream, false).unwrap();
        assert!(reply.whole && opened(&reply) == catalogue(), "{accepts}: {}", reply.head);
    }
    assert_eq!((origin.connections(), get(gateway.address, "/").text()), (1, catalogue()));
}
