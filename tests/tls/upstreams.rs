//! Upstreams that speak TLS: who is verified and how, what they are shown, sessions and files that change, and connections that are cut.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};

use super::authority::{Authority, Directory, Issued};
use super::put;
use super::secure::{Secure, Stream};
use crate::harness::client::read_reply;
use crate::harness::origin::response;
use crate::harness::{Gateway, Log, Process, Reply, exchange, get, load, operate, raw, until, yaml};

/// A server of both versions that shows this certificate.
fn showing(own: &Issued) -> ServerConfig {
    Authority::server(own, None, &[&TLS13, &TLS12])
}

/// A gateway before this endpoint: `tls` are keys of its `tls`, with `@` for the directory, `more` other keys of the upstream.
fn text(directory: &Directory, endpoint: SocketAddr, tls: &str, more: &str) -> String {
    let tls = tls.replace('@', &format!("{}/", directory.display()));
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
          threads: 2
        upstreams:
          main:
            endpoints: [$ENDPOINT]
            tls: {$TLS}
            $MORE
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ENDPOINT", &endpoint), ("$TLS", &tls), ("$MORE", &more)],
    )
}

const NAMED: &str = "server_name: shop.internal, ca: \"@ca.pem\"";

/// An authority, with its certificate as `ca.pem`, and a certificate that it has issued for `shop.internal`.
fn shop() -> (Authority, Directory, Issued) {
    let (authority, directory) = (Authority::new(), Directory::new());
    directory.put("ca.pem", &authority.pem());
    let own = authority.issue(&["shop.internal"]);
    (authority, directory, own)
}

/// What operators are told of the endpoint's last failure.
fn last_error(gateway: &Gateway) -> String {
    let status = operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json();
    status["upstreams"]["main"]["endpoints"][0]["last_error"].as_str().unwrap_or_default().to_owned()
}

/// A request that asks for its connection to be kept.
fn keep(gateway: &Gateway) -> Reply {
    exchange(gateway.address, b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap()
}

#[test]
fn a_verified_upstream_gets_requests_as_any_other_does() {
    let (_, directory, own) = shop();
    let origin = Secure::plain(showing(&own));
    let gateway = Gateway::start(&text(&directory, origin.address, NAMED, ""));
    let mut client = raw(gateway.address);

    for _ in 0..3 {
        client.write_all(b"GET /a?b=c HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        let reply = read_reply(&mut client, false).unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
    }

    let met = origin.met();
    assert_eq!(met.len(), 1, "one connection serves one request after the other");
    assert_eq!((met[0].sni.as_deref(), met[0].alpn.as_deref(), met[0].shown), (Some("shop.internal"), Some("http/1.1"), false));
    assert_eq!(met[0].group, "X25519MLKEM768");
    let head = &origin.received()[0];
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n") && head.contains("host: a.example\r\n"), "{head}");
    assert!(head.contains("x-forwarded-proto: http\r\n"), "what the client spoke: {head}");
}

#[test]
fn calls_of_an_answer_that_is_made_of_several_go_to_verified_upstreams_and_to_no_other() {
    let (_, directory, own) = shop();
    let json = |head: &str, stream: &mut Stream| {
        let body = format!("{{\"asked\":\"{}\"}}", head.split(' ').nth(1).unwrap_or_default());
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).is_ok()
    };
    let (good, other) = (Secure::start(showing(&own), json), Secure::start(showing(&Authority::new().issue(&["shop.internal"])), json));
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0, threads: 1}
        upstreams:
          good: {endpoints: [$GOOD], tls: {server_name: shop.internal, ca: $CA}}
          other: {endpoints: [$OTHER], tls: {server_name: shop.internal, ca: $CA}}
        routes:
          - name: page
            path: /page
            aggregate:
              calls:
                first: {upstream: good, get: /first}
                second: {upstream: good, get: \"/second?of={first.asked}\"}
                third: {upstream: other, get: /third, optional: true}
          - {name: all, path: /all, aggregate: {calls: {third: {upstream: other, get: /third}}}}
        ",
        &[("$GOOD", &good.address), ("$OTHER", &other.address), ("$CA", &format!("{}/ca.pem", directory.display()))],
    ));

    for _ in 0..2 {
        let page = get(gateway.address, "/page");

        assert_eq!(page.text(), r#"{"first":{"asked":"/first"},"second":{"asked":"/second?of=%2Ffirst"}}"#, "{}", page.status);
        assert_eq!((page.status, page.header("x-bff-missing")), (200, Some("third")));
    }
    let refused = get(gateway.address, "/all");
    assert_eq!(refused.is_problem(502).json()["code"], "call_failed");
    assert!(!refused.text().to_lowercase().contains("certificate"), "{}", refused.text());

    assert_eq!(good.met().len(), 1, "one connection makes one call after the other");
    assert_eq!(good.met()[0].sni.as_deref(), Some("shop.internal"));
    assert_eq!(good.received().len(), 4);
    assert!(other.received().is_empty(), "who cannot be verified is asked for nothing");
}

#[test]
fn an_upstream_that_cannot_be_verified_gets_no_request_and_operators_are_told_why() {
    let (authority, directory, own) = shop();
    let stranger = Authority::new().issue(&["shop.internal"]);
    for (shown, tls, why) in [
        (&stranger, NAMED, "its certificate is not from a trusted authority"),
        (&authority.issue(&["other.internal"]), NAMED, "its certificate is for another name"),
        (&authority.issue_expired(&["shop.internal"]), NAMED, "its certificate has expired or does not hold yet"),
        (&own, "ca: \"@ca.pem\"", "its certificate is for another name"),
        (&own, "server_name: shop.internal", "its certificate is not from a trusted authority"),
    ] {
        let (origin, log) = (Secure::plain(showing(shown)), Log::new("unverified"));
        let gateway = Gateway::start(&log.of(&text(&directory, origin.address, tls, "")));

        let reply = get(gateway.address, "/");

        reply.is_problem(502);
        assert!(!format!("{}{}", reply.head, reply.text()).to_lowercase().contains("certificate"), "{}", reply.text());
        assert_eq!(last_error(&gateway), why);
        assert_eq!(log.wait_for(1)[0]["flags"], "UF");
        assert!(origin.received().is_empty());
        gateway.comes_to("frontgate_upstream_attempts_total{upstream=\"main\",result=\"connect_failure\"}", 1.0);
    }
}

#[test]
fn a_name_is_server_name_else_the_host_else_the_address() {
    let (authority, directory, own) = shop();
    let by_address = authority.issue(&["127.0.0.1"]);
    let ca = "ca: \"@ca.pem\"";
    for (shown, tls, more, status, sni) in [
        (&own, ca, "host: shop.internal", 200, Some("shop.internal")),
        (&own, ca, "host: SHOP.internal:8443", 200, Some("shop.internal")),
        (&own, NAMED, "host: other.internal", 200, Some("shop.internal")),
        (&by_address, ca, "", 200, None),
        (&by_address, "server_name: 127.0.0.1, ca: \"@ca.pem\"", "host: shop.internal", 200, None),
        (&by_address, NAMED, "", 502, None),
        (&by_address, ca, "host: shop.internal", 502, None),
    ] {
        let origin = Secure::plain(showing(shown));
        let gateway = Gateway::start(&text(&directory, origin.address, tls, more));

        assert_eq!(get(gateway.address, "/").status, status, "{tls}, {more}");
        assert_eq!(origin.met().first().and_then(|met| met.sni.clone()).as_deref(), sni, "{tls}, {more}");
    }
}

#[test]
fn an_upstream_that_wants_a_certificate_is_shown_one_and_says_what_it_lacks_otherwise() {
    let (authority, directory, own) = shop();
    let clients = Authority::new();
    put(&directory, "own", &clients.issue_client("gateway", "spiffe://shop/gateway"));
    put(&directory, "foreign", &authority.issue_client("other", "spiffe://shop/other"));
    let with = |name: &str| format!("{NAMED}, cert: \"@{name}.pem\", key: \"@{name}.key\"");
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let origin = Secure::plain(Authority::server(&own, Some(&clients), versions));

        let gateway = Gateway::start(&text(&directory, origin.address, &with("own"), ""));
        assert_eq!((keep(&gateway).status, keep(&gateway).status), (200, 200));
        assert!(origin.met().iter().all(|met| met.shown));
        let file = format!("{}/own.pem", directory.display());
        until("tls cert not after seconds", || {
            gateway.metric(&format!("frontgate_tls_cert_not_after_seconds{{certificate=\"{file}\"}}")) > 1e9
        });

        for tls in [NAMED, &with("foreign")] {
            let log = Log::new("unwelcome");
            let gateway = Gateway::start(&log.of(&text(&directory, origin.address, tls, "")));
            get(gateway.address, "/").is_problem(502);
            assert_eq!(last_error(&gateway), "it wants a client certificate, or another one", "{tls}, {versions:?}");
            assert_eq!(log.wait_for(1)[0]["flags"], "UF");
        }
        assert_eq!(origin.received().len(), 2);
    }
}

#[test]
fn sessions_are_resumed_by_all_workers_and_across_reloads() {
    let (_, directory, own) = shop();
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let origin = Secure::start(Authority::server(&own, None, versions), |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
            stream.conn.send_close_notify();
            let _ = stream.flush();
            false
        });
        let gateway = Gateway::start(&text(&directory, origin.address, NAMED, ""));

        (0..20).for_each(|_| assert_eq!(get(gateway.address, "/").status, 200));
        gateway.running.reload(load(&text(&directory, origin.address, NAMED, "timeouts: {idle: 7s}"))).unwrap();
        (0..5).for_each(|_| assert_eq!(get(gateway.address, "/").status, 200));

        let resumed: Vec<bool> = origin.met().iter().map(|met| met.resumed).collect();
        assert_eq!((resumed.len(), resumed[0]), (25, false));
        assert!(resumed[1..].iter().all(|resumed| *resumed), "{versions:?}: {resumed:?}");
    }
}

#[test]
fn no_connection_from_before_outlives_another_authority_name_or_certificate() {
    let (authority, directory, own) = shop();
    let other = Authority::new();
    directory.put("other.pem", &other.pem());
    put(&directory, "client", &authority.issue_client("gateway", "spiffe://shop/gateway"));
    let origin = Secure::plain(showing(&own));
    let gateway = Gateway::start(&text(&directory, origin.address, NAMED, "").replace("threads: 2", "threads: 1"));
    let reload = |tls: &str| {
        gateway.running.reload(load(&text(&directory, origin.address, tls, "").replace("threads: 2", "threads: 1"))).unwrap();
        (keep(&gateway).status, origin.met().len())
    };

    assert_eq!((keep(&gateway).status, keep(&gateway).status, origin.met().len()), (200, 200, 1));
    assert_eq!(reload(NAMED), (200, 1), "nothing has changed");
    assert_eq!(reload(&format!("{NAMED}, cert: \"@client.pem\", key: \"@client.key\"")), (200, 2));
    assert_eq!(reload("server_name: other.internal, ca: \"@ca.pem\"").0, 502);
    assert_eq!(reload("server_name: shop.internal, ca: \"@other.pem\"").0, 502);
    origin.becomes(showing(&other.issue(&["shop.internal"])));
    assert_eq!(reload("server_name: shop.internal, ca: \"@other.pem\"").0, 200);
    assert_eq!(reload(NAMED).0, 502);
}

#[test]
fn files_that_change_are_in_use_within_seconds_and_bad_ones_change_nothing() {
    let (_, directory, own) = shop();
    let clients = [Authority::new(), Authority::new()];
    let issued = clients.each_ref().map(|authority| authority.issue_client("gateway", "spiffe://shop/gateway"));
    put(&directory, "own", &issued[0]);
    let origin = Secure::plain(Authority::server(&own, Some(&clients[0]), &[&TLS13]));
    let gateway = Gateway::start(&text(&directory, origin.address, &format!("{NAMED}, cert: \"@own.pem\", key: \"@own.key\""), ""));
    assert_eq!(keep(&gateway).status, 200);

    // Half of a new pair, then an authority that is none: what was read before stays.
    directory.put("own.pem", &issued[1].cert);
    std::thread::sleep(Duration::from_secs(3));
    directory.put("ca.pem", "nothing of use");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(keep(&gateway).status, 200);

    let next = Authority::new();
    origin.becomes(Authority::server(&next.issue(&["shop.internal"]), Some(&clients[1]), &[&TLS13]));
    directory.put("ca.pem", &next.pem());
    directory.put("own.key", &issued[1].key);
    let before = origin.met().len();
    until("the new files are in use", || keep(&gateway).status == 200 && origin.met().len() > before);
}

#[test]
fn check_says_at_the_line_what_does_not_fit() {
    let (authority, directory, _) = shop();
    put(&directory, "own", &authority.issue_client("gateway", "spiffe://shop/gateway"));
    put(&directory, "other", &authority.issue_client("other", "spiffe://shop/other"));
    put(&directory, "old", &authority.issue_expired(&["gateway.internal"]));
    let checked = |tls: &str| {
        directory.put("frontgate.yaml", &text(&directory, "127.0.0.1:9".parse().unwrap(), tls, ""));
        let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let done = check.arg("check").arg("-c").arg(directory.join("frontgate.yaml")).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };

    let good = checked(&format!("{NAMED}, cert: \"@own.pem\", key: \"@own.key\""));
    assert!(good.0 == Some(0) && !good.1.contains("warning"), "{}", good.1);
    for (code, tls, says) in [
        (78, "server_name: \"shop.internal:443\"", "`shop.internal:443` is not a valid server name"),
        (78, "ca: \"@none.pem\"", "none.pem` cannot be read: it does not exist"),
        (78, "ca: \"@own.key\"", "there is no certificate in"),
        (78, "cert: \"@own.pem\"", "`cert` and `key` belong together"),
        (78, "key: \"@own.key\"", "`cert` and `key` belong together"),
        (78, "cert: \"@own.pem\", key: \"@other.key\"", "does not belong to the certificate"),
        (78, "verify: false", "there is no key `verify` here"),
        (0, "server_name: shop.internal, cert: \"@old.pem\", key: \"@old.key\"", "has expired"),
        (0, "ca: \"@ca.pem\"", "they have to be for its addresses"),
    ] {
        let (found, told) = checked(tls);
        assert_eq!(found, Some(code), "{tls}: {told}");
        assert!(told.contains(says) && told.contains("frontgate.yaml:"), "{tls}: {told}");
    }
}

#[test]
fn a_body_that_ends_without_an_end_of_tls_was_cut() {
    let (_, directory, own) = shop();
    let origin = Secure::start(showing(&own), |head, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhalf of it");
        if head.contains("/whole") {
            stream.conn.send_close_notify();
        }
        let _ = stream.flush();
        false
    });
    let gateway = Gateway::start(&text(&directory, origin.address, NAMED, ""));

    let (whole, cut) = (get(gateway.address, "/whole"), get(gateway.address, "/cut"));

    assert_eq!((whole.status, whole.whole, whole.text().as_str()), (200, true, "half of it"));
    assert!(!cut.whole, "{}", cut.head);
}

#[test]
fn an_upstream_may_close_what_it_was_to_keep_with_and_without_a_word() {
    let (_, directory, own) = shop();
    for says_so in [true, false] {
        let origin = Secure::start(showing(&own), move |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            if says_so {
                stream.conn.send_close_notify();
            }
            let _ = stream.flush();
            false
        });
        let gateway = Gateway::start(&text(&directory, origin.address, NAMED, ""));
        let mut client = raw(gateway.address);

        for _ in 0..20 {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
            assert_eq!(read_reply(&mut client, false).unwrap().status, 200);
        }

        assert_eq!(origin.received().len(), 20);
        gateway.comes_to("frontgate_upstream_attempts_total{upstream=\"main\",result=\"ok\"}", 20.0);
    }
}

#[test]
fn an_upstream_that_is_silent_in_its_handshake_has_the_time_of_a_connection() {
    let (_, directory, _) = shop();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let gateway = Gateway::start(&text(&directory, address, NAMED, "timeouts: {connect: 300ms}"));
    let began = Instant::now();

    let reply = get(gateway.address, "/");

    let took = began.elapsed();
    reply.is_problem(504);
    assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(last_error(&gateway), "no answer in time");
    drop(silent);
}

#[test]
fn an_upstream_that_speaks_no_tls_is_not_spoken_to_without() {
    let (_, directory, _) = shop();
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = origin.local_addr().unwrap();
    let heard = std::thread::spawn(move || {
        let (mut socket, _) = origin.accept().unwrap();
        let mut space = [0; 1024];
        let count = socket.read(&mut space).unwrap();
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        space[..count].to_vec()
    });
    let gateway = Gateway::start(&text(&directory, address, NAMED, ""));

    get(gateway.address, "/secret").is_problem(502);

    assert_eq!(last_error(&gateway), "no TLS is spoken there");
    assert!(!heard.join().unwrap().windows(6).any(|window| window == b"secret"));
}

#[test]
fn probes_of_a_path_verify_and_probes_of_tcp_do_not() {
    let (_, directory, own) = shop();
    let fast = "interval: 50ms, timeout: 2s, unhealthy_after: 1, healthy_after: 1";
    let (good, bad) = (Secure::plain(showing(&own)), Secure::plain(showing(&Authority::new().issue(&["shop.internal"]))));
    let state = |gateway: &Gateway| {
        let status = operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json();
        status["upstreams"]["main"]["endpoints"][0]["state"].as_str().unwrap_or_default().to_owned()
    };
    let start = |origin: &Secure, health: &str| {
        Gateway::start(&text(&directory, origin.address, NAMED, &format!("health: {{{health}, {fast}}}\npanic: false")))
    };

    let healthy = start(&good, "path: /health, start: unhealthy");
    until("the good one is found healthy", || state(&healthy) == "healthy");
    let head = good.received()[0].clone();
    assert!(head.starts_with("GET /health ") && head.contains("host: shop.internal\r\n"), "{head}");
    let unhealthy = start(&bad, "path: /health");
    until("the bad one is found unhealthy", || state(&unhealthy) == "unhealthy");
    assert_eq!(last_error(&unhealthy), "its certificate is not from a trusted authority");
    assert_eq!(get(unhealthy.address, "/").status, 503);
    let tcp = start(&bad, "tcp: true, start: unhealthy");
    until("a connection is enough", || state(&tcp) == "healthy");
    assert!(bad.received().is_empty());
}

#[test]
fn large_bodies_pass_whole_in_both_directions_however_slowly_they_are_taken() {
    let (_, directory, own) = shop();
    let body = "0123456789abcdef".repeat(1 << 18);
    let answer = response("200 OK", "", &body);
    let origin = Secure::start(showing(&own), move |_, stream| stream.write_all(answer.as_bytes()).is_ok());
    let gateway = Gateway::start(&text(&directory, origin.address, NAMED, "").replace("threads: 2", "limits: {body: 64MiB}"));
    let mut client = raw(gateway.address);

    for _ in 0..2 {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(body.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let reply = read_reply(&mut client, false).unwrap();
        assert_eq!(reply.status, 200);
        assert!(reply.whole && reply.text() == body);
    }

    assert_eq!(origin.met().len(), 1, "what was written whole leaves its connection for the next");
}

#[test]
fn a_tunnel_leads_through_tls() {
    let (_, directory, own) = shop();
    let origin = Secure::start(showing(&own), |_, stream| {
        let mut space = [0; 1 << 14];
        let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        while let Ok(count) = stream.read(&mut space)
            && count > 0
            && stream.write_all(&space[..count]).is_ok()
        {}
        false
    });
    let gateway = Gateway::start(&text(&directory, origin.address, NAMED, ""));
    let mut client = raw(gateway.address);
    client.write_all(b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut client, false).unwrap().status, 101);

    for size in [1, 1000, 100_000] {
        let sent: Vec<u8> = (0..size).map(|number| number as u8).collect();
        let mut back = vec![0; size];
        let mut writer = client.try_clone().unwrap();
        let writing = std::thread::spawn({
            let sent = sent.clone();
            move || writer.write_all(&sent)
        });
        client.read_exact(&mut back).unwrap();
        writing.join().unwrap().unwrap();
        assert_eq!(back, sent);
    }
}

#[test]
fn without_an_authority_of_its_own_an_upstream_is_verified_with_the_systems() {
    let (authority, directory, _) = shop();
    let origin = Secure::plain(showing(&authority.issue(&["127.0.0.1", "shop.internal"])));
    let text = text(&directory, origin.address, "", "");
    let roots = directory.join("ca.pem");

    let trusting = Process::start_in("system-roots", &text, &[("SSL_CERT_FILE", &roots.display().to_string())]);
    assert_eq!(get(trusting.address, "/").status, 200);
    let doubting = Process::start("other-roots", &text);
    get(doubting.address, "/").is_problem(502);
    until("the log says why", || doubting.said().contains("no TLS connection to endpoint"));
    let mut doubting = doubting;
    (0..20).for_each(|_| assert_eq!(get(doubting.address, "/").status, 502));
    doubting.signal("TERM");
    doubting.end();
    assert_eq!(doubting.said().matches("no TLS connection to endpoint").count(), 1, "{}", doubting.said());
}
