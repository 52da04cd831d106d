//! Listeners with TLS over real sockets: certificates by name, clients that show their own, renewal, HTTP/2, and handshakes that stop.

pub(crate) mod authority;
mod clients;
mod idle;
mod peers;
mod refused;
mod renewal;
pub(crate) mod secure;
mod upstreams;
mod upstreams_http2;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, StreamOwned};

use self::authority::{Authority, Directory, Issued};
use crate::harness::client::read_reply;
use crate::harness::{Gateway, Origin, PATIENCE, Reply, exchange, frames, raw, until, yaml};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A gateway with one listener over TLS before this origin; `tls` and `server` are more keys of each.
fn gateway(directory: &Directory, origin: SocketAddr, tls: &str, server: &str) -> Gateway {
    Gateway::start(&text(directory, origin, tls, server))
}

fn text(directory: &Directory, origin: SocketAddr, tls: &str, server: &str) -> String {
    let tls = tls.replace("@", &format!("{}/", directory.display()));
    yaml(
        "
        server:
          listeners:
            - address: 127.0.0.1:0
              tls: {$TLS}
          $SERVER
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin), ("$TLS", &tls), ("$SERVER", &server)],
    )
}

fn put(directory: &Directory, name: &str, issued: &Issued) {
    directory.put(&format!("{name}.pem"), &issued.cert);
    directory.put(&format!("{name}.key"), &issued.key);
}

/// A directory with the certificate of `shop.example`.
fn shop(authority: &Authority) -> Directory {
    let directory = Directory::new();
    put(&directory, "shop", &authority.issue(&["shop.example"]));
    directory
}

const SHOP: &str = "cert: \"@shop.pem\", key: \"@shop.key\"";

/// A connection whose handshake is still to be made.
fn connect(address: SocketAddr, config: ClientConfig, name: &str) -> Stream {
    connect_with(address, &Arc::new(config), name)
}

fn connect_with(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Stream {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), raw(address))
}

fn get(stream: &mut Stream, path: &str) -> Option<Reply> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n").as_bytes()).ok()?;
    read_reply(stream, false)
}

/// The certificate that is shown to who asks for this name.
fn shown(address: SocketAddr, authority: &Authority, name: &str) -> Option<Vec<u8>> {
    let mut stream = connect(address, authority.client(None, &[]), name);
    stream.write_all(b"").ok();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).ok()?;
    }
    Some(stream.conn.peer_certificates()?[0].to_vec())
}

#[test]
fn requests_pass_over_tls_and_the_upstream_is_told_so() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    let gateway = gateway(&directory, origin.address, SHOP, "");

    let mut stream = connect(gateway.address, authority.client(None, &["http/1.1"]), "shop.example");
    let first = get(&mut stream, "/one").unwrap();
    let second = get(&mut stream, "/two").unwrap();

    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(origin.last().header("x-forwarded-proto"), ["https"]);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(stream.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    gateway.comes_to("frontgate_tls_handshakes_total{listener=\"127.0.0.1:0\",result=\"ok\",version=\"1.3\"}", 1.0);
}

#[test]
fn a_certificate_is_chosen_by_name_then_by_wildcard_and_the_first_otherwise() {
    let (authority, origin, directory) = (Authority::new(), Origin::json("{}"), Directory::new());
    let names: [(&str, &[&str]); 3] =
        [("first", &["shop.example", "nobody.example"]), ("exact", &["a.wild.example"]), ("wild", &["*.wild.example"])];
    for (file, names) in names {
        put(&directory, file, &authority.issue(names));
    }
    let pairs = names.map(|(file, _)| format!("{{cert: \"@{file}.pem\", key: \"@{file}.key\"}}")).join(", ");
    let gateway = gateway(&directory, origin.address, &format!("certificates: [{pairs}]"), "");
    let of = |file: &str| {
        let pem = std::fs::read_to_string(directory.join(format!("{file}.pem"))).unwrap();
        use rustls::pki_types::pem::PemObject;
        rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
    };

    for (name, file) in [("shop.example", "first"), ("a.wild.example", "exact"), ("b.wild.example", "wild"), ("B.WILD.example", "wild")] {
        assert_eq!(shown(gateway.address, &authority, name), Some(of(file)), "{name}");
    }
    // The first is shown, and this client does not take it: a wildcard stands for one label.
    for name in ["a.b.wild.example", "wild.example", "unknown.example"] {
        assert_eq!(shown(gateway.address, &authority, name), None, "{name}");
    }
}

#[test]
fn the_lowest_version_is_as_configured() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    let old = gateway(&directory, origin.address, SHOP, "");
    let new = gateway(&directory, origin.address, &format!("{SHOP}, min_version: \"1.3\""), "");
    let status =
        |gateway: &Gateway| get(&mut connect(gateway.address, authority.old_client(), "shop.example"), "/").map(|reply| reply.status);

    assert_eq!(status(&old), Some(200));
    assert_eq!(status(&new), None);
    until("the refusal is counted", || {
        new.metric("frontgate_tls_handshakes_total{listener=\"127.0.0.1:0\",result=\"protocol\",version=\"\"}") == 1.0
    });
}

#[test]
fn http2_is_spoken_where_client_and_listener_agree() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    let gateway = gateway(&directory, origin.address, SHOP, "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let (status, body) = runtime.block_on(async {
        let config = Arc::new(authority.client(None, &["h2", "http/1.1"]));
        let socket = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let name = ServerName::try_from("shop.example").unwrap();
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut client = client.ready().await.unwrap();
        let request = http::Request::get("https://shop.example/two").body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
        let (head, mut stream) = answer.into_parts();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            let data: Bytes = data.unwrap();
            let _ = stream.flow_control().release_capacity(data.len());
            body.extend_from_slice(&data);
        }
        (head.status.as_u16(), String::from_utf8(body).unwrap())
    });

    assert_eq!((status, body.as_str()), (200, "{}"));
    assert_eq!(origin.last().header("x-forwarded-proto"), ["https"]);
}

#[test]
fn a_client_without_a_common_protocol_is_refused_and_one_that_agreed_on_http2_must_speak_it() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    let gateway = gateway(&directory, origin.address, SHOP, "");

    let other = get(&mut connect(gateway.address, authority.client(None, &["spdy/3"]), "shop.example"), "/");
    let liar = get(&mut connect(gateway.address, authority.client(None, &["h2"]), "shop.example"), "/");

    assert!(other.is_none());
    assert!(liar.is_none());
}

#[test]
fn check_reads_the_files_and_says_at_the_line_what_does_not_fit() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let directory = shop(&authority);
    put(&directory, "other", &stranger.issue(&["other.example"]));
    put(&directory, "again", &authority.issue(&["www.example", "shop.example"]));
    put(&directory, "rsa", &authority.issue_rsa(&["shop.example"]));
    directory.put("old.pem", include_str!("../data/certificates/version_1.pem"));
    directory.put("small.pem", include_str!("../data/certificates/rsa_1024.pem"));
    directory.put("nothing.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    directory.put("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    directory.put(
        "locked-too.key",
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n",
    );
    let checked = |tls: &str| {
        let text = text(&directory, "127.0.0.1:9".parse().unwrap(), tls, "");
        directory.put("frontgate.yaml", &text);
        let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let done = check.arg("check").arg("-c").arg(directory.join("frontgate.yaml")).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };

    assert_eq!(checked(SHOP).0, Some(0), "{}", checked(SHOP).1);
    for (tls, says) in [
        ("cert: \"@shop.pem\", key: \"@other.key\"", "does not belong to the certificate"),
        ("cert: \"@shop.pem\", key: \"@none.key\"", "none.key` cannot be read"),
        ("cert: \"@shop.key\", key: \"@shop.key\"", "there is no certificate in"),
        ("cert: \"@shop.pem\"", "`cert` and `key` belong together"),
        ("min_version: \"1.3\"", "there is no certificate"),
        ("cert: \"@shop.pem\", key: \"@shop.key\", min_version: \"1.1\"", "1.1"),
        ("cert: \"@old.pem\", key: \"@shop.key\"", "is X.509 version 1: version 3 with a subjectAltName is needed"),
        ("cert: \"@small.pem\", key: \"@nothing.key\"", "has 1024 bits: at least 2048 are needed"),
        ("cert: \"@shop.pem\", key: \"@locked.key\"", "is encrypted, and nobody is there to ask for its passphrase"),
        ("cert: \"@shop.pem\", key: \"@locked-too.key\"", "is encrypted, and nobody is there to ask for its passphrase"),
    ] {
        let (code, told) = checked(tls);
        assert_eq!(code, Some(78), "{tls}: {told}");
        assert!(told.contains(says) && told.contains("frontgate.yaml:"), "{tls}: {told}");
    }
    // What works and is probably not meant. Two keys of different kinds are.
    let pairs = |files: &[&str]| {
        let pairs = files.iter().map(|file| format!("{{cert: \"@{file}.pem\", key: \"@{file}.key\"}}"));
        checked(&format!("certificates: [{}]", pairs.collect::<Vec<_>>().join(", ")))
    };
    let (code, told) = pairs(&["shop", "again"]);
    assert!(code == Some(0) && told.contains("again.pem` is never shown for `shop.example`: the one in"), "{told}");
    let (code, told) = pairs(&["shop", "rsa"]);
    assert!(code == Some(0) && !told.contains("never shown"), "{told}");
}

#[test]
fn a_session_is_resumed_across_reloads_and_never_where_clients_show_certificates() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    directory.put("clients.pem", &authority.pem());
    let alice = authority.issue_client("alice", "spiffe://shop/alice");
    let kinds = |tls: &str, own: Option<&Issued>| {
        let gateway = gateway(&directory, origin.address, tls, "");
        let config = Arc::new(authority.client(own, &[]));
        let kind = || {
            let mut stream = connect_with(gateway.address, &config, "shop.example");
            assert_eq!(get(&mut stream, "/").unwrap().status, 200);
            stream.conn.handshake_kind().unwrap()
        };
        let before = kind();
        let again = kind();
        gateway.running.reload(crate::harness::load(&text(&directory, origin.address, tls, "limits: {body: 1MiB}"))).unwrap();
        [before, again, kind()].map(|kind| kind == HandshakeKind::Resumed)
    };

    assert_eq!(kinds(SHOP, None), [false, true, true]);
    assert_eq!(kinds(&format!("{SHOP}, client_auth: {{ca: \"@clients.pem\"}}"), Some(&alice)), [false, false, false]);
}

#[test]
fn renewed_files_are_live_within_seconds_and_a_pair_that_does_not_fit_changes_nothing() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    let gateway = gateway(&directory, origin.address, SHOP, "");
    let first = shown(gateway.address, &authority, "shop.example").unwrap();

    let next = authority.issue(&["shop.example"]);
    directory.put("shop.pem", &next.cert);
    // Half of it is there: certificate and key do not belong together.
    let half = Instant::now();
    while half.elapsed() < Duration::from_secs(5) {
        assert_eq!(shown(gateway.address, &authority, "shop.example").as_ref(), Some(&first));
        std::thread::sleep(Duration::from_millis(100));
    }
    directory.put("shop.key", &next.key);

    until("the new certificate is shown", || shown(gateway.address, &authority, "shop.example").is_some_and(|now| now != first));
    directory.put("shop.pem", "nothing of use");
    let broken = Instant::now();
    while broken.elapsed() < Duration::from_secs(3) {
        assert!(shown(gateway.address, &authority, "shop.example").is_some_and(|now| now != first));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_handshake_that_stops_anywhere_ends_at_its_deadline() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    let gateway = gateway(&directory, origin.address, SHOP, "timeouts: {handshake: 1s}");
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(Arc::new(authority.client(None, &[])), ServerName::try_from("shop.example").unwrap()).unwrap();
    client.write_tls(&mut hello).unwrap();
    let began = Instant::now();

    let mut sockets: Vec<TcpStream> = (0..hello.len())
        .step_by(7)
        .map(|sent| {
            let mut socket = raw(gateway.address);
            socket.write_all(&hello[..sent]).unwrap();
            socket
        })
        .collect();
    let mut whole = raw(gateway.address);
    whole.write_all(&hello).unwrap();
    sockets.push(whole);

    for mut socket in sockets {
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(8), "{took:?}");
    until("they are counted", || {
        gateway.metric("frontgate_tls_handshakes_total{listener=\"127.0.0.1:0\",result=\"timeout\",version=\"\"}")
            >= hello.len() as f64 / 7.0
    });
    until("nothing is left", || gateway.metric("frontgate_connections{listener=\"127.0.0.1:0\"}") == 0.0);
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole_over_tls() {
    let authority = Authority::new();
    let origin = Origin::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\n");
        false
    });
    let directory = shop(&authority);
    let gateway = gateway(&directory, origin.address, SHOP, "");

    let mut stream = connect(gateway.address, authority.client(None, &[]), "shop.example");
    stream.write_all(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);

    assert!(end.is_err(), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_connection_that_is_over_ends_in_tls_too() {
    let authority = Authority::new();
    let origin = Origin::start(|request, stream| {
        let long = request.line().contains("/long");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it");
        if long {
            let _ = stream.write_all(&vec![b'x'; 1 << 20]);
        }
        false
    });
    let directory = shop(&authority);
    let gateway = gateway(&directory, origin.address, SHOP, "timeouts: {keepalive: 300ms}");
    let all = |request: &str| {
        let mut stream = connect(gateway.address, authority.client(None, &[]), "shop.example");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map(|_| String::from_utf8_lossy(&answer).into_owned())
    };

    // A client that is not told so takes an answer without a length for one that was cut.
    for (request, end) in [
        ("GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n", "all of it"),
        ("GET /long HTTP/1.0\r\nHost: shop.example\r\n\r\n", "xxxx"),
        ("GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n", "0\r\n\r\n"),
        ("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", "0\r\n\r\n"),
        ("no request\r\n\r\n", "}"),
    ] {
        let answer = all(request).unwrap_or_else(|error| panic!("{request}: {error}"));
        assert!(answer.trim_end_matches(' ').ends_with(end), "{request}: {}", &answer[..answer.len().min(300)]);
    }

    let mut stream = connect(gateway.address, authority.client(None, &["h2"]), "shop.example");
    stream.write_all(&[frames::greeting(&[]), frames::get(1, "/")].concat()).unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    assert!(frames::types(&answer).contains(&frames::DATA) && end.is_ok(), "{end:?}");
}

#[test]
fn a_clear_listener_sends_everybody_to_https() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, redirect_to_https: 8443}]
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let ask = |host: &str, target: &str| {
        let reply =
            exchange(gateway.address, format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        (reply.status, reply.header("location").map(str::to_owned))
    };

    assert_eq!(ask("shop.example:8080", "/a/b?c=d"), (308, Some("https://shop.example:8443/a/b?c=d".into())));
    assert_eq!(ask("[::1]:8080", "/"), (308, Some("https://[::1]:8443/".into())));
    assert_eq!(ask("shop.example", "/a%2e%2e/b").0, 308);
}
