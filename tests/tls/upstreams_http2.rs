//! Upstreams that speak HTTP/2 over TLS, by agreement in the handshake.

use std::net::SocketAddr;

use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};

use super::authority::{Authority, Directory, Issued};
use super::secure::Secure;
use crate::harness::http2_origin::Http2Origin;
use crate::harness::{Gateway, exchange, get, load, operate, until, yaml};

/// A server that offers these protocols.
fn offering(own: &Issued, protocols: &[&str]) -> ServerConfig {
    let mut config = Authority::server(own, None, &[&TLS13, &TLS12]);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

/// A gateway of one thread before this endpoint.
fn text(directory: &Directory, endpoint: SocketAddr, protocol: &str, more: &str) -> String {
    let tls = format!("{{server_name: shop.internal, ca: \"{}/ca.pem\"}}", directory.display());
    yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1, admin: 127.0.0.1:0}
        upstreams:
          main:
            endpoints: [$ENDPOINT]
            tls: $TLS
            protocol: $PROTOCOL
            $MORE
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ENDPOINT", &endpoint), ("$TLS", &tls), ("$PROTOCOL", &protocol), ("$MORE", &more)],
    )
}

/// An authority, with its certificate as `ca.pem`, and a certificate that it has issued for `shop.internal`.
fn shop() -> (Directory, Issued) {
    let (authority, directory) = (Authority::new(), Directory::new());
    directory.put("ca.pem", &authority.pem());
    let own = authority.issue(&["shop.internal"]);
    (directory, own)
}

fn last_error(gateway: &Gateway) -> String {
    let status = operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json();
    status["upstreams"]["main"]["endpoints"][0]["last_error"].as_str().unwrap_or_default().to_owned()
}

/// Answers with what it was asked for.
async fn uri(mut asked: crate::harness::http2_origin::Asked) {
    let uri = asked.head.uri.to_string();
    asked.answer(&uri);
}

#[test]
fn http2_over_tls_is_agreed_upon_and_shared() {
    let (directory, own) = shop();
    for protocol in ["h2", "auto"] {
        let origin = Http2Origin::secure(offering(&own, &["h2", "http/1.1"]), uri);
        let gateway = Gateway::start(&text(&directory, origin.address, protocol, ""));

        for _ in 0..3 {
            assert_eq!(get(gateway.address, "/a?b=c").text(), "https://test.example/a?b=c", "{protocol}");
        }

        assert_eq!(origin.connections(), 1, "{protocol}");
    }
}

#[test]
fn who_does_not_agree_on_http2_cannot_be_connected_to_where_it_is_demanded() {
    let (directory, own) = shop();
    for offered in [&["http/1.1"][..], &[]] {
        let origin = Http2Origin::secure(offering(&own, offered), uri);
        let gateway = Gateway::start(&text(&directory, origin.address, "h2", ""));

        get(gateway.address, "/").is_problem(502);

        assert_eq!(last_error(&gateway), "it does not speak HTTP/2", "{offered:?}");
        gateway.comes_to("frontgate_upstream_attempts_total{upstream=\"main\",result=\"connect_failure\"}", 1.0);
    }
}

#[test]
fn auto_is_http1_where_the_upstream_knows_nothing_else_and_that_is_remembered() {
    let (directory, own) = shop();
    for offered in [&["http/1.1"][..], &[]] {
        let origin = Http2Origin::secure(offering(&own, offered), uri);
        let gateway = Gateway::start(&text(&directory, origin.address, "auto", "health: {path: /, interval: 1h}"));

        for _ in 0..5 {
            assert_eq!(get(gateway.address, "/").text(), "http1", "{offered:?}");
        }

        // One handshake found it out, on behalf of a request or of the probe; one each served them.
        assert!((2..=4).contains(&origin.connections()), "{} connections", origin.connections());
    }
}

#[test]
fn auto_falls_back_where_the_upstream_asks_for_http1() {
    let (directory, own) = shop();
    let origin = Http2Origin::secure(offering(&own, &["h2", "http/1.1"]), |mut asked| async move {
        asked.respond.send_reset(h2::Reason::HTTP_1_1_REQUIRED);
    });
    let gateway = Gateway::start(&text(&directory, origin.address, "auto", ""));

    for _ in 0..3 {
        assert_eq!(get(gateway.address, "/").text(), "http1");
    }

    assert_eq!((origin.received().len(), origin.connections()), (1, 2));
}

#[test]
fn a_websocket_is_asked_for_over_http1_where_the_upstream_speaks_both() {
    let (directory, own) = shop();
    let origin = Http2Origin::secure(offering(&own, &["h2", "http/1.1"]), uri);
    let gateway = Gateway::start(&text(&directory, origin.address, "auto", ""));
    assert_eq!(get(gateway.address, "/a").text(), "https://test.example/a");

    let asked = b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

    // This upstream knows no WebSockets, and says so over the connection that could have carried one.
    assert_eq!(exchange(gateway.address, asked).unwrap().text(), "http1");
    assert_eq!(get(gateway.address, "/b").text(), "https://test.example/b");
    assert_eq!((origin.received().len(), origin.connections()), (2, 2));
}

#[test]
fn connections_to_who_was_verified_otherwise_take_no_new_streams() {
    let (directory, own) = shop();
    let origin = Http2Origin::secure(offering(&own, &["h2"]), uri);
    let gateway = Gateway::start(&text(&directory, origin.address, "h2", ""));
    assert_eq!(get(gateway.address, "/").status, 200);

    // Another authority, which has issued nothing there.
    directory.put("ca.pem", &Authority::new().pem());
    gateway.running.reload(load(&text(&directory, origin.address, "h2", ""))).unwrap();

    get(gateway.address, "/").is_problem(502);
    assert_eq!(last_error(&gateway), "its certificate is not from a trusted authority");
    until("a connection that nobody may use ends or stays idle", || origin.open() <= 1);
}

#[test]
fn a_client_certificate_that_is_wanted_and_not_shown_is_what_operators_are_told() {
    let (authority, directory) = (Authority::new(), Directory::new());
    directory.put("ca.pem", &authority.pem());
    let own = authority.issue(&["shop.internal"]);
    let mut config = Authority::server(&own, Some(&authority), &[&TLS13]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let origin = Http2Origin::secure(config, uri);
    let gateway = Gateway::start(&text(&directory, origin.address, "h2", ""));

    get(gateway.address, "/").is_problem(502);

    assert_eq!(last_error(&gateway), "it wants a client certificate, or another one");
}

#[test]
fn a_listener_of_http1_behind_tls_is_not_taken_for_one_of_http2() {
    // It agrees on nothing, and speaks HTTP/1.1.
    let (directory, own) = shop();
    let origin = Secure::plain(offering(&own, &[]));
    let gateway = Gateway::start(&text(&directory, origin.address, "auto", ""));

    assert_eq!((get(gateway.address, "/").text().as_str(), origin.received().len()), ("ok", 1));
}
