//! Handshakes that come to nothing: why is said in the log, once for each cause, and counted; who speaks HTTP in clear text is told so.

use std::io::{Read, Write};
use std::net::SocketAddr;

use super::authority::{Authority, Directory};
use super::{SHOP, connect, get, put, shop, text};
use crate::harness::{Gateway, Log, Origin, Process, exchange, raw, until, yaml};

/// How often each of them is tried.
const TIMES: usize = 3;

fn refused(authority: &Authority, address: SocketAddr, own: Option<&super::Issued>, alpn: &[&str]) {
    assert!(get(&mut connect(address, authority.client(own, alpn), "shop.example"), "/").is_none());
}

fn send(address: SocketAddr, bytes: &[u8]) {
    let mut socket = raw(address);
    socket.write_all(bytes).unwrap();
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let _ = socket.read_to_end(&mut Vec::new());
}

#[test]
fn each_cause_is_told_once_and_counted() {
    let (authority, stranger, directory) = (Authority::new(), Authority::new(), Directory::new());
    put(&directory, "shop", &authority.issue(&["shop.example"]));
    directory.put("clients.pem", &authority.pem());
    let (revoked, foreign) = (authority.issue_client("mallory", "spiffe://shop/m"), stranger.issue_client("eve", "spiffe://x/e"));
    directory.put("clients.crl", &authority.revoke(&[&revoked]));
    let process = Process::start(
        "handshakes",
        &yaml(
            "
            server:
              admin: 127.0.0.1:0
              timeouts: {handshake: 700ms}
              listeners:
                - address: 127.0.0.1:0
                  tls: {cert: $@shop.pem, key: $@shop.key, client_auth: {ca: $@clients.pem, crl: $@clients.crl}}
                - {address: 127.0.0.2:0, tls: {cert: $@shop.pem, key: $@shop.key, min_version: \"1.3\"}}
                - {address: 127.0.0.3:0, tls: {cert: $@shop.pem, key: $@shop.key}, protocols: [h2]}
            routes: [{name: all, path: /**, respond: {status: 200, body: here}}]
            ",
            &[("$@", &format!("{}/", directory.display()))],
        ),
    );
    let [clients, new, h2] = [0, 1, 2].map(|number| process.addresses[number]);

    for _ in 0..TIMES {
        refused(&authority, clients, None, &[]);
        refused(&authority, clients, Some(&revoked), &[]);
        refused(&authority, clients, Some(&foreign), &[]);
        assert!(get(&mut connect(new, authority.old_client(), "shop.example"), "/").is_none());
        refused(&authority, new, None, &["spdy/3"]);
        refused(&stranger, new, None, &[]);
        refused(&authority, h2, None, &[]);
        send(new, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        send(new, b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n");
        send(new, b"SSH-2.0-OpenSSH_9.6\r\n");
        // The beginning of a hello.
        send(new, b"\x16\x03\x01\x02\x00\x01");
        let mut slow = raw(new);
        slow.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
        let _ = slow.read_to_end(&mut Vec::new());
        // A look whether the port is open.
        drop(raw(new));
    }

    let told = [
        (clients, "no_certificate", 1, "showed no certificate, which `client_auth` requires"),
        (clients, "bad_certificate", 2, "certificate was revoked"),
        (clients, "bad_certificate", 2, "certificate is not from an authority in `client_auth.ca`"),
        (new, "protocol", 2, "no version of TLS that is spoken here"),
        (new, "protocol", 2, "none of the listener's `protocols`"),
        (new, "untrusted", 1, "does not take the certificate that it was shown"),
        (h2, "protocol", 1, "asks for no protocol (ALPN), and `protocols` has `h2` alone"),
        (new, "plain_http", 1, "speaks HTTP in clear text"),
        (new, "error", 2, "began with a PROXY header"),
        (new, "error", 2, "is not TLS"),
        (new, "closed", 2, "left before it was over"),
        (new, "timeout", 1, "was not over in time"),
    ];
    for (listener, result, causes, words) in told {
        let series = format!("frontgate_tls_handshakes_total{{listener=\"{}:0\",result=\"{result}\",version=\"\"}} ", listener.ip());
        until(&series, || process.ask("GET", "/metrics").text().contains(&format!("{series}{}\n", causes * TIMES)));
        until(words, || process.said().contains(words));
        let said = process.said();
        let lines: Vec<_> = said.lines().filter(|line| line.contains(words)).collect();
        assert_eq!(lines.len(), 1, "{said}");
        let line = lines[0];
        for part in ["WARN", "127.0.0.1", &format!("{}:0: a TLS handshake", listener.ip()), &format!("result `{result}`")] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    let handshakes = process.said().lines().filter(|line| line.contains("TLS handshake")).count();
    assert_eq!(handshakes, told.len(), "{}", process.said());
}

#[test]
fn plain_http_at_a_port_for_https_is_answered_in_clear_text() {
    let (authority, origin, log) = (Authority::new(), Origin::json("{}"), Log::new("plain-http"));
    let directory = shop(&authority);
    let gateway = Gateway::start(&log.of(&text(&directory, origin.address, SHOP, "")));

    let reply = exchange(gateway.address, b"GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();

    assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("plain_http")));
    assert!(reply.text().contains("This port speaks HTTPS"), "{}", reply.text());
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(log.wait_for(1)[0]["reason"], "plain_http");
    assert!(origin.received().is_empty());
    until("nothing is left", || gateway.metric("frontgate_connections{listener=\"127.0.0.1:0\"}") == 0.0);
}

#[test]
fn where_http2_alone_is_spoken_who_asks_for_no_protocol_is_refused() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    let alone = Gateway::start(&yaml(
        "
        server:
          listeners:
            - {address: 127.0.0.1:0, tls: {cert: $@shop.pem, key: $@shop.key}, protocols: [h2]}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin.address), ("$@", &format!("{}/", directory.display()))],
    ));

    for alpn in [&[][..], &["http/1.1"], &["spdy/3"]] {
        refused(&authority, alone.address, None, alpn);
    }
    for alpn in [&["h2"][..], &["http/1.1", "h2"]] {
        let mut stream = connect(alone.address, authority.client(None, alpn), "shop.example");
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]), "{alpn:?}");
    }
    assert!(origin.received().is_empty());
}
