//! Listeners behind load balancers that say by the PROXY protocol for whom they connect.

mod balancers;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::harness::client::read_reply;
use crate::harness::frames::{self, frame, greeting};
use crate::harness::{Gateway, Log, Origin, Reply, load, raw, until, yaml};
use crate::tls::authority::{Authority, Directory};

/// What 192.0.2.7:4711 looks like in either version.
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x12\x67\x00\x50";
/// A balancer's check of its own, with addresses that are not to be used.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x12\x67\x00\x50";

/// The whole of a client's IPv6 address: 2001:db8::7, port 4711.
fn v6() -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24".to_vec();
    bytes.extend("2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    bytes.extend([[0; 16].as_slice(), &[0x12, 0x67, 0, 80]].concat());
    bytes
}

/// One listener with `listener`'s keys before this origin; `server` is more of its section.
fn text(origin: SocketAddr, listener: &str, server: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, $LISTENER}]
          $SERVER
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin), ("$LISTENER", &listener), ("$SERVER", &server)],
    )
}

const FROM_HERE: &str = "proxy_protocol: {from: [127.0.0.0/8]}";

fn ask(address: SocketAddr, header: &[u8], more: &str) -> Option<Reply> {
    let mut stream = raw(address);
    ask_on(&mut stream, header, more)
}

fn ask_on(stream: &mut (impl Read + Write), header: &[u8], more: &str) -> Option<Reply> {
    let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{more}\r\n");
    stream.write_all(&[header, request.as_bytes()].concat()).ok()?;
    read_reply(stream, false)
}

/// What a stream still has to say before it ends, and whether it ends at all.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end, too.
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    rest
}

fn refused(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!("frontgate_connections_refused_total{{listener=\"127.0.0.1:0\",reason=\"{reason}\"}}"))
}

#[test]
fn the_client_is_who_the_balancer_says_it_is() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&text(origin.address, FROM_HERE, ""));

    for (header, client) in
        [(V1, "192.0.2.7"), (V2, "192.0.2.7"), (&v6(), "2001:db8::7"), (LOCAL, "127.0.0.1"), (b"PROXY UNKNOWN\r\n", "127.0.0.1")]
    {
        let mut stream = raw(gateway.address);
        // For every request on the connection, not for its first alone.
        for header in [header, b""] {
            assert_eq!(ask_on(&mut stream, header, "").unwrap().status, 200);
            assert_eq!(origin.last().header("x-forwarded-for"), [client]);
            assert_eq!(origin.last().header("x-real-ip"), [client]);
        }
    }
}

#[test]
fn a_header_may_come_in_any_pieces() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&text(origin.address, FROM_HERE, ""));
    let all = [V2, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"].concat();

    for at in (1..all.len()).step_by(3) {
        let mut stream = raw(gateway.address);
        stream.write_all(&all[..at]).unwrap();
        // Something else is answered meanwhile, so that the first piece has been read.
        assert_eq!(ask(gateway.address, V1, "").unwrap().status, 200);
        stream.write_all(&all[at..]).unwrap();
        assert_eq!(read_reply(&mut stream, false).unwrap().status, 200, "split at {at}");
        assert_eq!(origin.last().header("x-forwarded-for"), ["192.0.2.7"]);
    }
}

#[test]
fn who_may_name_another_client_is_judged_by_the_address_in_the_header() {
    let origin = Origin::json("{}");
    let told = |trusted: &str| {
        let gateway = Gateway::start(&text(origin.address, FROM_HERE, &format!("trusted_proxies: [{trusted}]")));
        assert_eq!(ask(gateway.address, V2, "X-Forwarded-For: 203.0.113.9\r\n").unwrap().status, 200);
        (origin.last().header("x-forwarded-for").concat(), origin.last().header("x-real-ip").concat())
    };

    assert_eq!(told("192.0.2.0/24"), ("203.0.113.9, 192.0.2.7".into(), "203.0.113.9".into()));
    assert_eq!(told("127.0.0.0/8"), ("192.0.2.7".into(), "192.0.2.7".into()), "the balancer's own address says nothing");
}

#[test]
fn the_log_names_the_client_and_the_balancer() {
    let origin = Origin::json("{}");
    let log = Log::new("proxied");
    let gateway = Gateway::start(&log.of(&text(origin.address, FROM_HERE, "")));
    // One line after the other: threads do not wait for each other's.
    ask(gateway.address, V1, "").unwrap();
    log.wait_for(1);
    ask(gateway.address, LOCAL, "").unwrap();
    log.wait_for(2);
    let mut broken = raw(gateway.address);
    broken.write_all(&[V2, b"this is no request\r\n\r\n"].concat()).unwrap();
    assert_eq!(read_reply(&mut broken, false).unwrap().status, 400);

    let lines = log.wait_for(3);

    let of = |index: usize| (lines[index]["client_ip"].as_str(), lines[index]["proxy_ip"].as_str());
    assert_eq!(of(0), (Some("192.0.2.7"), Some("127.0.0.1")));
    assert_eq!(of(1), (Some("127.0.0.1"), None), "nobody connected for another");
    assert_eq!(of(2), (Some("192.0.2.7"), Some("127.0.0.1")));
}

#[test]
fn strangers_are_not_let_in_whatever_they_send() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&text(origin.address, "proxy_protocol: {from: [10.0.0.0/8, \"::1\"]}", ""));

    for bytes in [V1, V2, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"] {
        let mut stream = raw(gateway.address);
        let _ = stream.write_all(bytes);
        assert_eq!(rest(&mut stream), b"");
    }

    assert_eq!(refused(&gateway, "proxy_peer"), 3.0);
    until("nothing to be left", || gateway.metric("frontgate_connections{listener=\"127.0.0.1:0\"}") == 0.0);
    assert!(origin.received().is_empty());
}

#[test]
fn a_balancer_that_sends_no_header_is_closed_and_so_is_one_that_sends_nothing() {
    let origin = Origin::json("{}");
    let within = |time: &str| Gateway::start(&text(origin.address, FROM_HERE, &format!("timeouts: {{handshake: {time}}}")));
    let (gateway, impatient) = (within("1m"), within("1s"));
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();

    for bytes in
        [b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".as_slice(), b"PROXY TCP4 nobody 10.0.0.1 1 2\r\n", b"PRI * HTTP/2.0\r\n\r\n", &long]
    {
        let began = Instant::now();
        let mut stream = raw(gateway.address);
        let _ = stream.write_all(bytes);
        assert_eq!(rest(&mut stream), b"");
        assert!(began.elapsed() < Duration::from_secs(30), "at once");
    }
    for bytes in [&b""[..], &V1[..20], &V2[..13], &V2[..20]] {
        let began = Instant::now();
        let mut stream = raw(impatient.address);
        stream.write_all(bytes).unwrap();
        assert_eq!(rest(&mut stream), b"");
        assert!(began.elapsed() > Duration::from_millis(800), "within its time");
    }

    assert_eq!((refused(&gateway, "proxy_header"), refused(&impatient, "proxy_header")), (4.0, 4.0));
    assert!(origin.received().is_empty());
}

#[test]
fn tls_begins_after_the_header_and_one_deadline_holds_for_both() {
    let (authority, origin, directory) = (Authority::new(), Origin::json("{}"), Directory::new());
    let issued = authority.issue(&["shop.example"]);
    directory.put("shop.pem", &issued.cert);
    directory.put("shop.key", &issued.key);
    let here = directory.display();
    let tls = format!("{FROM_HERE}, tls: {{cert: \"{here}/shop.pem\", key: \"{here}/shop.key\"}}");
    let gateway = Gateway::start(&text(origin.address, &tls, "timeouts: {handshake: 6s}"));
    let connect = |header: &[u8]| {
        let name = ServerName::try_from("shop.example").unwrap();
        let mut socket = raw(gateway.address);
        socket.write_all(header).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(authority.client(None, &[])), name).unwrap(), socket)
    };

    for header in [V1, V2] {
        assert_eq!(ask_on(&mut connect(header), b"", "").unwrap().status, 200);
        assert_eq!(origin.last().header("x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(origin.last().header("x-forwarded-proto"), ["https"]);
    }
    assert!(ask_on(&mut connect(b""), b"", "").is_none(), "a ClientHello is no header");

    let (began, mut slow) = (Instant::now(), raw(gateway.address));
    std::thread::sleep(Duration::from_millis(4500));
    slow.write_all(V2).unwrap();
    assert_eq!(rest(&mut slow), b"");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?} in all", began.elapsed());
}

#[test]
fn http2_with_prior_knowledge_begins_after_the_header() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&text(origin.address, &format!("{FROM_HERE}, protocols: [h2, http1]"), ""));
    let mut stream = raw(gateway.address);

    stream.write_all(&[V2.to_vec(), greeting(&[]), frames::get(1, "/"), frame(frames::SETTINGS, 1, 0, b"")].concat()).unwrap();
    until("the request to arrive", || {
        stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let _ = stream.read(&mut [0; 1024]);
        !origin.received().is_empty()
    });

    assert_eq!(origin.last().header("x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(ask(gateway.address, V1, "").unwrap().status, 200, "HTTP/1 is served beside it");
}

#[test]
fn a_listener_that_sends_everybody_to_https_may_be_behind_a_balancer_too() {
    let origin = Origin::json("{}");
    let log = Log::new("proxied-redirect");
    let gateway = Gateway::start(&log.of(&text(origin.address, &format!("{FROM_HERE}, redirect_to_https: 443"), "")));

    let reply = ask(gateway.address, V2, "").unwrap();

    assert_eq!((reply.status, reply.header("location")), (308, Some("https://a.example/")));
    assert_eq!(log.wait_for(1)[0]["client_ip"], "192.0.2.7");
}

#[test]
fn a_reload_changes_who_connects_for_others() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&text(origin.address, "", ""));
    let client = |header: &[u8]| ask(gateway.address, header, "").map(|reply| (reply.status, origin.last().header("x-real-ip").concat()));
    assert_eq!(client(b""), Some((200, "127.0.0.1".into())));
    assert_eq!(client(V1).map(|(status, _)| status), Some(400), "nobody is believed");

    gateway.running.reload(load(&text(origin.address, FROM_HERE, ""))).unwrap();
    assert_eq!(client(V1), Some((200, "192.0.2.7".into())));
    assert_eq!(client(b""), None);

    gateway.running.reload(load(&text(origin.address, "proxy_protocol: {from: [10.0.0.1]}", ""))).unwrap();
    assert_eq!(client(V1), None);
}

/// Closed by the gateway, without a word.
fn is_closed(stream: &mut TcpStream) -> bool {
    rest(stream).is_empty()
}

#[test]
fn there_are_as_many_connections_as_there_may_be() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&text(origin.address, "", "limits: {connections: 3}\nadmin: 127.0.0.1:0"));
    let mut held: Vec<TcpStream> = (0..3).map(|_| raw(gateway.address)).collect();
    for stream in &mut held {
        assert_eq!(ask_on(stream, b"", "").unwrap().status, 200);
    }

    for _ in 0..5 {
        assert!(is_closed(&mut raw(gateway.address)));
    }
    assert_eq!(refused(&gateway, "connections"), 5.0);
    let admin = gateway.running.admin().unwrap();
    assert_eq!(crate::harness::operate(admin, "GET", "/livez").status, 200, "operators are not counted");
    assert_eq!(ask_on(&mut held[0], b"", "").unwrap().status, 200, "those that are here stay");

    held.pop();
    until("a place to be free", || ask(gateway.address, b"", "Connection: close\r\n").is_some_and(|reply| reply.status == 200));
}

#[test]
fn a_client_has_as_many_connections_as_it_may_have_and_is_who_the_balancer_says() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&text(origin.address, FROM_HERE, "limits: {connections_per_client: 2}"));
    let v1 = |client: &str| {
        format!(
            "PROXY TCP{} {client} {} 1 2\r\n",
            if client.contains(':') { 6 } else { 4 },
            if client.contains(':') { "::1" } else { "10.0.0.1" }
        )
    };
    let mut held = Vec::new();
    let mut enter = |client: &str| {
        let mut stream = raw(gateway.address);
        let is_in = ask_on(&mut stream, v1(client).as_bytes(), "").is_some_and(|reply| reply.status == 200);
        held.extend(is_in.then_some(stream));
        is_in
    };

    assert!(enter("192.0.2.1") && enter("192.0.2.1"));
    assert!(!enter("192.0.2.1"));
    assert!(enter("192.0.2.2"), "another client has its own");
    assert!(enter("2001:db8::1") && enter("2001:db8::ffff:0:1"));
    assert!(!enter("2001:db8::2:0:0:3"), "of IPv6 a network is one client");
    assert!(enter("2001:db8:0:1::1"));
    assert_eq!(refused(&gateway, "connections_per_client"), 2.0);

    held.clear();
    until("the places to be free", || {
        ask(gateway.address, v1("192.0.2.1").as_bytes(), "Connection: close\r\n").is_some_and(|reply| reply.status == 200)
    });
}

#[test]
fn whatever_becomes_of_a_connection_its_place_is_given_back() {
    let (authority, origin, directory) = (Authority::new(), Origin::json("{}"), Directory::new());
    let issued = authority.issue(&["shop.example"]);
    directory.put("shop.pem", &issued.cert);
    directory.put("shop.key", &issued.key);
    let here = directory.display();
    let config = yaml(
        "
        server:
          listeners:
            - {address: 127.0.0.1:0, protocols: [h2, http1]}
            - {address: 127.0.0.1:0, tls: {cert: $HERE/shop.pem, key: $HERE/shop.key}}
            - {address: 127.0.0.1:0, proxy_protocol: {from: [127.0.0.1]}}
          limits: {connections: 4, connections_per_client: 4}
          timeouts: {handshake: 200ms, header: 200ms}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin.address), ("$HERE", &here)],
    );
    let gateway = Gateway::start(&config);
    let [clear, tls, proxied] = [0, 1, 2].map(|index| gateway.running.addresses()[index]);
    let leave = |address: SocketAddr, bytes: &[u8], waits: bool| {
        let mut stream = raw(address);
        let _ = stream.write_all(bytes);
        if waits {
            rest(&mut stream);
        }
    };

    for _ in 0..3 {
        for waits in [true, false] {
            leave(clear, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", waits);
            leave(clear, b"GET / HT", waits);
            leave(clear, b"nonsense\r\n\r\n", waits);
            leave(clear, &greeting(&[])[..30], waits);
            leave(tls, b"", waits);
            leave(tls, b"this is no handshake", waits);
            leave(proxied, b"", waits);
            leave(proxied, b"this is no header, and long enough", waits);
            // The next may come before the last is gone.
            until("a place", || ask(clear, b"", "Connection: close\r\n").is_some_and(|reply| reply.status == 200));
        }
    }

    until("all places", || {
        let mut held: Vec<TcpStream> = (0..4).map(|_| raw(clear)).collect();
        held.iter_mut().all(|stream| ask_on(stream, b"", "").is_some_and(|reply| reply.status == 200))
    });
}
