//! JSON answers that are trimmed on their way: by device, tenant and the client's own list, and what HTTP says of them.

use std::io::{Read, Write};

use crate::harness::{Gateway, Origin, Process, Reply, client::read_reply, exchange, origin::response, raw, until, yaml};

const TV: &str = "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1";
const DESKTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

const BODY: &str =
    r#"{"code": 0, "items": [{"id": 1, "title": "Lamp", "images": {"hd": "h", "thumb": "t"}, "debug": {"sql": "x"}}], "secret": 7}"#;

const SLIM: &str = "
profiles:
  smart_tv: {drop: [items.images.hd, '**.debug']}
  mobile: {keep: [code, items.id, items.images.thumb]}
fields: query.fields";

/// One route whose answers are trimmed with these options.
fn text(origin: &Origin, options: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          slim:
            trim:
              $OPTIONS
        routes:
          - {name: all, path: /**, upstream: main, filters: [slim]}
        ",
        &[("$ORIGIN", &origin.address), ("$OPTIONS", &options)],
    )
}

fn over(origin: &Origin, options: &str) -> Gateway {
    Gateway::start(&text(origin, options))
}

/// An origin whose JSON has a strong tag.
fn tagged(body: &'static str) -> Origin {
    let answer = response("200 OK", "Content-Type: application/json; charset=utf-8\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\n", body);
    Origin::start(move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
}

fn ask(gateway: &Gateway, agent: &str, path: &str, headers: &str) -> Reply {
    let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n{headers}Connection: close\r\n\r\n");
    exchange(gateway.address, text.as_bytes()).unwrap()
}

#[test]
fn each_device_gets_what_its_profile_leaves() {
    let origin = tagged(BODY);
    let gateway = over(&origin, SLIM);

    let tv = ask(&gateway, TV, "/", "");
    let phone = ask(&gateway, PHONE, "/", "");
    let desktop = ask(&gateway, DESKTOP, "/", "");

    assert_eq!(tv.text(), r#"{"code": 0, "items": [{"id": 1, "title": "Lamp", "images": {"thumb": "t"}}], "secret": 7}"#);
    assert_eq!(phone.json(), serde_json::json!({"code": 0, "items": [{"id": 1, "images": {"thumb": "t"}}]}));
    assert_eq!(desktop.text(), BODY);
    for reply in [&tv, &phone] {
        assert!(reply.whole && reply.header("content-length").is_none() && reply.header("accept-ranges").is_none(), "{}", reply.head);
        assert!(reply.header("etag").unwrap().starts_with("W/\"v1-"), "{}", reply.head);
    }
    assert_ne!(tv.header("etag"), phone.header("etag"));
    assert_eq!((desktop.header("etag"), desktop.header("content-length")), (Some("\"v1\""), Some(BODY.len().to_string().as_str())));
    assert!([&tv, &phone, &desktop].iter().all(|reply| reply.header("vary").unwrap().contains("User-Agent")));
    until("trim input bytes total", || {
        gateway.metric("frontgate_trim_input_bytes_total{profile=\"mobile\",route=\"all\"}") >= BODY.len() as f64
    });
}

#[test]
fn a_tag_is_undone_for_the_upstream_and_only_its_own() {
    let origin = Origin::start(|request, stream| {
        let answer = match request.header("if-none-match").as_slice() {
            [tag] if tag.contains("\"v1\"") => "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".to_owned(),
            _ => response("200 OK", "Content-Type: application/json\r\nETag: \"v1\"\r\n", BODY),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = over(&origin, SLIM);
    let tag = ask(&gateway, TV, "/", "").header("etag").unwrap().to_owned();

    let again = ask(&gateway, TV, "/", &format!("If-None-Match: \"other\", {tag}\r\n"));
    assert_eq!((again.status, again.header("etag")), (304, Some(tag.as_str())));
    assert_eq!(origin.last().header("if-none-match"), ["W/\"v1\""]);

    // Another profile's tag, and the upstream's own, are news.
    assert_eq!(ask(&gateway, PHONE, "/", &format!("If-None-Match: {tag}\r\n")).status, 200);
    assert_eq!(ask(&gateway, TV, "/", "If-None-Match: \"v1\"\r\n").status, 200);
}

#[test]
fn a_date_does_not_stand_in_for_a_tag_that_is_withheld() {
    const DATE: &str = "Tue, 15 Nov 1994 08:12:31 GMT";
    let origin = Origin::start(|request, stream| {
        let tags = request.header("if-none-match");
        let same = if tags.is_empty() { request.header("if-modified-since") == [DATE] } else { tags[0].contains("\"v1\"") };
        let answer = match same {
            true => "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".to_owned(),
            false => response("200 OK", &format!("Content-Type: application/json\r\nETag: \"v1\"\r\nLast-Modified: {DATE}\r\n"), BODY),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = over(&origin, SLIM);
    let tag = ask(&gateway, TV, "/", "").header("etag").unwrap().to_owned();
    let again = |agent: &str, tags: &str| ask(&gateway, agent, "/", &format!("If-None-Match: {tags}\r\nIf-Modified-Since: {DATE}\r\n"));

    assert_eq!(again(TV, &tag).status, 304);
    let other = again(PHONE, &tag);
    assert_eq!(other.json(), serde_json::json!({"code": 0, "items": [{"id": 1, "images": {"thumb": "t"}}]}));
    assert_eq!(again(TV, "\"v1\"").status, 200);
    assert_eq!(again(TV, ",").status, 200);
    // What nobody takes for a tag of any policy is a condition like any other.
    assert_eq!(ask(&gateway, TV, "/", &format!("If-Modified-Since: {DATE}\r\n")).status, 304);
}

#[test]
fn tags_and_types_beyond_ascii_change_nothing() {
    let origin = Origin::start(|request, stream| {
        let kind: &[u8] = match request.line().split(' ').nth(1) {
            Some("/latin") => b"Content-Type: application/json; name=\"\xe9\"",
            Some("/twice") => b"Content-Type: application/json, application/json",
            Some("/lines") => b"Content-Type: text/html\r\nContent-Type: application/json",
            Some("/none") => b"X-Nothing: at all",
            Some("/odd") => b"Content-Type: application/js\xf6n",
            Some("/capitals") => b"Content-Type: application/json\r\nContent-Encoding: Identity, ,IDENTITY",
            _ => b"Content-Type: Text/JSON",
        };
        let length = format!("\r\nContent-Length: {}\r\n\r\n", BODY.len());
        stream.write_all(&[b"HTTP/1.1 200 OK\r\nETag: \"\xfc\"\r\n", kind, length.as_bytes(), BODY.as_bytes()].concat()).is_ok()
    });
    let gateway = over(&origin, SLIM);

    for path in ["/latin", "/twice", "/lines", "/none", "/odd", "/capitals", "/text"] {
        let reply = ask(&gateway, PHONE, path, "");

        assert_eq!((reply.status, reply.text().contains("secret")), (200, false), "{path}: {}", reply.text());
        assert!(reply.header("etag").is_some_and(|tag| tag.starts_with("W/\"\u{fffd}-")), "{path}: {}", reply.head);
    }
}

#[test]
fn what_may_hide_something_and_cannot_be_read_is_not_passed_on() {
    let origin = Origin::start(|request, stream| {
        let answer = match request.line().split(' ').nth(1) {
            Some("/part") => response("206 Partial Content", "Content-Type: application/json\r\nContent-Range: bytes 0-9/10\r\n", BODY),
            Some("/page") => response("200 OK", "Content-Type: \u{e9}\r\n", "<p>secret</p>"),
            Some("/packed") => response("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip, br\r\n", BODY),
            Some("/empty") => response("200 OK", "", ""),
            _ => response("200 OK", "Content-Type: text/plain\r\n", "no secret"),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = over(&origin, SLIM);

    for path in ["/part", "/page", "/packed"] {
        let reply = ask(&gateway, PHONE, path, "");
        assert_eq!(reply.is_problem(502).json()["code"], "upstream_unreadable", "{path}");
    }
    for (path, body) in [("/empty", ""), ("/plain", "no secret")] {
        let reply = ask(&gateway, PHONE, path, "");
        assert_eq!((reply.status, reply.text().as_str()), (200, body), "{path}");
    }
    assert_eq!(ask(&gateway, TV, "/part", "").status, 206);
}

#[test]
fn a_byte_order_mark_is_no_json_and_no_reason_to_refuse_it() {
    let body = "\u{feff}{\"code\": 0, \"secret\": 7}";
    let origin = Origin::start(move |request, stream| match request.line().split(' ').nth(1) {
        Some("/pieces") => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
            let sent = body.as_bytes().iter().all(|byte| stream.write_all(&[b"1\r\n", &[*byte][..], b"\r\n"].concat()).is_ok());
            sent && stream.write_all(b"0\r\n\r\n").is_ok()
        }
        _ => stream.write_all(response("200 OK", "Content-Type: application/json\r\n", body).as_bytes()).is_ok(),
    });
    let gateway = over(&origin, SLIM);

    for path in ["/whole", "/pieces"] {
        assert_eq!(ask(&gateway, PHONE, path, "").text(), "{\"code\": 0}", "{path}");
        assert_eq!(ask(&gateway, TV, path, "").text(), "{\"code\": 0, \"secret\": 7}", "{path}");
        assert_eq!(ask(&gateway, DESKTOP, path, "").text(), body, "{path}");
    }
}

#[test]
fn a_client_narrows_what_it_may_have() {
    let origin = tagged(BODY);
    let gateway = over(&origin, SLIM);

    assert_eq!(
        ask(&gateway, DESKTOP, "/?fields=items.title,secret", "").json(),
        serde_json::json!({"items": [{"title": "Lamp"}], "secret": 7})
    );
    assert_eq!(ask(&gateway, PHONE, "/?fields=items.id,secret", "").json(), serde_json::json!({"items": [{"id": 1}]}));
    assert_eq!(ask(&gateway, PHONE, "/?fields=,items.id,", "").json(), serde_json::json!({"items": [{"id": 1}]}));
    assert_eq!(ask(&gateway, PHONE, "/?fields=,", "").json(), ask(&gateway, PHONE, "/", "").json());
    assert_eq!(ask(&gateway, PHONE, "/?fields=%FC", "").json(), serde_json::json!({}));
    assert_eq!(ask(&gateway, PHONE, "/?fields=items..id", "").is_problem(400).json()["code"], "bad_fields");
}

#[test]
fn only_whole_json_is_trimmed_and_ranges_are_not_asked_for() {
    let origin = Origin::start(|request, stream| {
        let answer = match request.line().split(' ').nth(1) {
            Some("/html") => response("200 OK", "Content-Type: text/html\r\n", BODY),
            Some("/missing") => response("404 Not Found", "Content-Type: application/json\r\n", BODY),
            Some("/hal") => response("200 OK", "Content-Type: application/hal+json\r\n", BODY),
            _ => response("200 OK", "Content-Type: application/json\r\n", BODY),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = over(&origin, SLIM);

    assert_eq!(ask(&gateway, PHONE, "/html", "").text(), BODY);
    assert_eq!(ask(&gateway, PHONE, "/missing", "").text(), BODY);
    assert!(ask(&gateway, PHONE, "/hal", "Range: bytes=0-9\r\nAccept-Encoding: gzip\r\n").json().get("secret").is_none());
    assert!(origin.last().header("range").is_empty());
    assert_eq!(origin.last().header("accept-encoding"), ["identity"]);
    let head = exchange(gateway.address, format!("HEAD / HTTP/1.1\r\nHost: a\r\nUser-Agent: {PHONE}\r\n\r\n").as_bytes()).unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, None));
}

#[test]
fn what_is_packed_is_opened_trimmed_and_packed_for_the_client() {
    let body = format!(r#"{{"code": 0, "secret": 1, "items": [{}{{"id": 0}}]}}"#, r#"{"id": 1, "title": "Lamp No. 1"},"#.repeat(200));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(body.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let origin = Origin::start(move |_, stream| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            packed.len()
        );
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&packed).is_ok()
    });
    let gateway = over(&origin, SLIM);

    let plain = ask(&gateway, PHONE, "/", "");
    assert_eq!((plain.header("content-encoding"), plain.json()["items"].as_array().unwrap().len()), (None, 201));
    assert!(plain.json().get("secret").is_none() && plain.json()["items"][0].get("title").is_none());
    let gzip = ask(&gateway, PHONE, "/", "Accept-Encoding: gzip\r\n");
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    let mut opened = String::new();
    flate2::read::MultiGzDecoder::new(&gzip.body[..]).read_to_string(&mut opened).unwrap();
    assert_eq!(opened, plain.text());
    assert!(gzip.body.len() * 4 < opened.len());
}

#[test]
fn what_keep_hides_stays_hidden_in_a_malformed_answer() {
    for body in [r#"{"code": 0, "secret": "s3cret" "x": 1}"#, r#"["s3cret", {"code": 1, "x": s3cret]"#, r#"{"code": 0, "secret": "s3cret""#]
    {
        let origin = tagged(body);
        let gateway = over(&origin, SLIM);

        let phone =
            exchange(gateway.address, format!("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {PHONE}\r\nConnection: close\r\n\r\n").as_bytes());

        let phone = phone.unwrap();
        assert!(!phone.text().contains("s3cret"), "{body}: {}", phone.text());
        assert!(phone.status == 502 || !phone.whole, "{body}: {}\n{}", phone.head, phone.text());
        gateway.comes_to("frontgate_trim_skipped_total{reason=\"malformed\",route=\"all\"}", 1.0);
        // What only saves bytes lets it pass.
        assert!(ask(&gateway, TV, "/", "").text().contains("s3cret"));
    }
}

#[test]
fn a_coding_that_cannot_be_opened_is_refused_where_something_is_hidden() {
    let answer = response("200 OK", "Content-Type: application/json\r\nContent-Encoding: zstd\r\n", "{}");
    let origin = Origin::start(move |_, stream| stream.write_all(answer.as_bytes()).is_ok());
    let gateway = over(&origin, SLIM);

    ask(&gateway, PHONE, "/", "").is_problem(502);
    assert_eq!(ask(&gateway, TV, "/", "").header("content-encoding"), Some("zstd"));
}

#[test]
fn http_1_0_gets_a_trimmed_body_without_chunks() {
    let origin = tagged(BODY);
    let gateway = over(&origin, SLIM);

    let reply = exchange(gateway.address, format!("GET / HTTP/1.0\r\nHost: a\r\nUser-Agent: {PHONE}\r\n\r\n").as_bytes()).unwrap();

    assert_eq!(reply.header("transfer-encoding"), None);
    assert!(reply.json().get("secret").is_none());
}

#[test]
fn one_connection_carries_trimmed_answers_one_after_the_other() {
    let origin = tagged(BODY);
    let gateway = over(&origin, SLIM);
    let mut stream = raw(gateway.address);

    for agent in [PHONE, TV, DESKTOP, PHONE] {
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).unwrap().status, 200);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn large_bodies_are_trimmed_in_constant_memory() {
    let megabytes: usize = if std::env::var_os("FRONTGATE_LONG").is_some() { 1024 } else { 40 };
    let item = format!(r#"{{"id": 1, "title": "{}", "debug": "{}"}},"#, "t".repeat(400), "d".repeat(500));
    let part = item.repeat((1 << 20) / item.len());
    let origin = Origin::start(move |_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"items\": [";
        let sent = stream.write_all(head.as_bytes()).is_ok() && (0..megabytes).all(|_| stream.write_all(part.as_bytes()).is_ok());
        if sent {
            let _ = stream.write_all(b"{}]}");
        }
        false
    });
    let process = Process::start("trim", &text(&origin, SLIM));
    let before = process.memory();
    let mut stream = raw(process.address);
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {TV}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();

    let mut space = vec![0_u8; 1 << 16];
    let (mut count, mut found, mut end) = (0_usize, false, Vec::new());
    loop {
        let read = stream.read(&mut space).unwrap();
        if read == 0 {
            break;
        }
        found |= space[..read].windows(7).any(|window| window == b"\"debug\"");
        count += read;
        end.extend_from_slice(&space[..read]);
        end.drain(..end.len().saturating_sub(16));
    }

    let grown = process.peak().saturating_sub(before) >> 10;
    println!("{megabytes} MiB trimmed to {} MiB: resident {before} KiB before, {grown} MiB more at most", count >> 20);
    assert!(!found && end.ends_with(b"0\r\n\r\n"));
    assert!((megabytes << 20) / 3 < count && count < (megabytes << 20) * 2 / 3, "{count}");
    assert!(grown < 12, "{before} KiB before, {grown} MiB more at most");
}

#[test]
fn a_slow_stream_is_passed_on_part_by_part() {
    const PARTS: [&str; 4] = [r#"{"items":[{"id":1,"debug":7},"#, r#"{"debug":8,"id":2},"#, r#"{"id":3}]"#, r#","secret":1}"#];
    const PASSED: [&str; 3] = [r#"{"items":[{"id":1},"#, r#"{"id":2},"#, r#"{"id":3}]"#];
    let (go, may) = std::sync::mpsc::channel::<()>();
    let may = std::sync::Mutex::new(may);
    let origin = Origin::start(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        for part in PARTS {
            stream.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).unwrap();
            // The next part comes when the client has this one.
            may.lock().unwrap().recv().unwrap();
        }
        stream.write_all(b"0\r\n\r\n").is_ok()
    });
    let gateway = over(&origin, "profiles: {smart_tv: {drop: [secret, '**.debug']}}");
    let mut client = raw(gateway.address);
    client.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {TV}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();

    let mut held = Vec::new();
    for part in PASSED {
        // What a client cannot read before the separator that follows may wait for it.
        let sure = part.trim_end_matches(',');
        while !String::from_utf8_lossy(&held).contains(sure) {
            let mut space = [0; 4096];
            let count = client.read(&mut space).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&held)));
            assert!(count > 0, "{}", String::from_utf8_lossy(&held));
            held.extend_from_slice(&space[..count]);
        }
        go.send(()).unwrap();
    }
    go.send(()).unwrap();
    client.read_to_end(&mut held).unwrap();

    assert!(held.ends_with(b"\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&held));
}

#[test]
fn what_must_not_be_changed_is_not_but_what_is_hidden_stays_hidden() {
    let origin = Origin::start(|request, stream| {
        let fields = match request.header("if-none-match").as_slice() {
            [] => "Content-Type: application/json\r\nETag: \"v1\"\r\nCache-Control: max-age=5, No-Transform\r\nAccept-Ranges: bytes\r\n",
            _ => "",
        };
        stream.write_all(response("200 OK", fields, BODY).as_bytes()).is_ok()
    });
    let gateway = over(&origin, SLIM);

    let tv = ask(&gateway, TV, "/", "Accept-Encoding: gzip\r\n");
    let phone = ask(&gateway, PHONE, "/", "");

    assert_eq!(tv.text(), BODY);
    for (name, value) in [("etag", "\"v1\""), ("content-length", &*BODY.len().to_string()), ("accept-ranges", "bytes")] {
        assert_eq!(tv.header(name), Some(value), "{}", tv.head);
    }
    assert_eq!((tv.header("vary"), tv.header("content-encoding")), (None, None), "{}", tv.head);
    // `keep` hides from this client what it does not name.
    assert_eq!(phone.json(), serde_json::json!({"code": 0, "items": [{"id": 1, "images": {"thumb": "t"}}]}));
    // So does a client's own list: nobody else asked for the change.
    assert_eq!(ask(&gateway, TV, "/?fields=secret", "").json(), serde_json::json!({"secret": 7}));
    gateway.comes_to("frontgate_trim_skipped_total{reason=\"no_transform\",route=\"all\"}", 1.0);
}

#[test]
fn a_fallback_s_answer_that_must_not_be_changed_is_not() {
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_well = well.clone();
    let origin = Origin::start(move |request, stream| {
        // The other upstream has a Host of its own.
        let is_well = is_well.load(std::sync::atomic::Ordering::SeqCst) || request.header("host") == ["other.example"];
        let status = if is_well { "200 OK" } else { "503 Down" };
        let fields = "Content-Type: application/json\r\nCache-Control: no-transform\r\n";
        stream.write_all(response(status, fields, BODY).as_bytes()).is_ok()
    });
    let gateway = Gateway::start(&yaml(
        "
        upstreams:
          main: {endpoints: [$ORIGIN]}
          other: {endpoints: [$ORIGIN], host: other.example}
        filters:
          slim: {trim: {profiles: {smart_tv: {drop: [secret]}}}}
          guard: {circuit_breaker: {fallback: [{cached: {max_age: 1h}}, {upstream: other}]}}
        routes: [{name: all, path: /**, upstream: main, filters: [slim, guard]}]
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    assert_eq!(ask(&gateway, TV, "/kept", "").text(), BODY);
    well.store(false, std::sync::atomic::Ordering::SeqCst);

    let (kept, other) = (ask(&gateway, TV, "/kept", ""), ask(&gateway, TV, "/new", ""));

    assert_eq!(
        (kept.header("x-bff-fallback"), kept.header("cache-control"), kept.text()),
        (Some("cached"), Some("no-store, no-transform"), BODY.to_owned())
    );
    assert_eq!(
        (other.header("x-bff-fallback"), other.header("cache-control"), other.text()),
        (Some("upstream"), Some("no-store, no-transform"), BODY.to_owned())
    );
}
