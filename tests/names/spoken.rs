//! What endpoints that are names are told: Host and SNI.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use frontgate_test_support::dns::{Answer, DnsServer};
use rustls::version::{TLS12, TLS13};

use super::{at, get, origins, over, text, wait_for};
use crate::harness::{Gateway, exchange};
use crate::tls::authority::{Authority, Directory};
use crate::tls::secure::Secure;

#[test]
fn over_tls_host_and_sni_are_the_endpoints_name_where_nothing_else_is_said() {
    let (authority, directory, server) = (Authority::new(), Directory::new(), DnsServer::start());
    directory.put("ca.pem", &authority.pem());
    let ca = directory.join("ca.pem").display().to_string();
    let own = authority.issue(&["users.internal"]);
    let host = |head: &str| head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    server.set("users.internal", Answer::addresses(60, &["127.0.0.1"]));
    for (keys, sent, sni) in [
        ("", None, Some("users.internal")),
        ("host: shop.internal", Some("shop.internal"), None),
        ("health: {path: /healthz, interval: 1h}", None, Some("users.internal")),
    ] {
        let origin = Secure::plain(Authority::server(&own, None, &[&TLS13, &TLS12]));
        let name = format!("users.internal:{}", origin.address.port());
        let gateway = over(&server, &format!("endpoints: [\"{name}\"]\ntls: {{ca: \"{ca}\"}}\n{keys}"));
        wait_for(&gateway, &at(&["127.0.0.1"], origin.address.port()));

        let status = get(gateway.address, "/").status;

        let Some(sni) = sni else {
            // The certificate has to be for what `host` says, which this one is not.
            assert_eq!((status, origin.received().len()), (502, 0), "{keys} {sent:?}");
            continue;
        };
        assert_eq!((status, origin.met()[0].sni.as_deref()), (200, Some(sni)), "{keys}");
        let received = origin.received();
        assert!(received.iter().all(|head| host(head) == name), "{keys}: {received:?}");
    }
}

#[test]
fn in_clear_text_the_clients_host_passes_unchanged() {
    let server = DnsServer::start();
    let (origins, port) = origins(&["127.0.0.2"]);
    server.set("users.internal", Answer::addresses(60, &["127.0.0.2"]));
    let gateway = over(&server, &format!("endpoints: [\"users.internal:{port}\"]"));
    wait_for(&gateway, &at(&["127.0.0.2"], port));

    get(gateway.address, "/");
    assert_eq!(origins[0].last().header("host"), ["test.example"]);
    exchange(gateway.address, b"GET / HTTP/1.0\r\n\r\n").unwrap();

    assert_eq!(origins[0].last().header("host"), [format!("users.internal:{port}")], "who says none is told the name");
}

#[test]
fn a_service_is_verified_by_its_own_name_and_not_by_what_its_records_say() {
    let (authority, directory, server) = (Authority::new(), Directory::new(), DnsServer::start());
    directory.put("ca.pem", &authority.pem());
    let ca = directory.join("ca.pem").display().to_string();
    server.set("host.evil", Answer::addresses(60, &["127.0.0.1"]));
    for (issued, status) in [("shop.internal", 200), ("host.evil", 502)] {
        let origin = Secure::plain(Authority::server(&authority.issue(&[issued]), None, &[&TLS13]));
        let port = origin.address.port();
        server.set("_https._tcp.shop.internal", Answer::Services(60, vec![(0, 0, port, "host.evil".to_owned())]));
        let gateway = over(&server, &format!("discover: {{dns_srv: _https._tcp.shop.internal}}\ntls: {{ca: \"{ca}\"}}"));
        wait_for(&gateway, &at(&["127.0.0.1"], port));

        assert_eq!(get(gateway.address, "/").status, status, "{issued}");
    }
}

#[test]
fn localhost_is_found_at_the_address_that_something_listens_at() {
    for address in ["127.0.0.1", "::1"] {
        let (_origin, port) = origins(&[address]);
        let gateway = over(&DnsServer::start(), &format!("endpoints: [\"localhost:{port}\"]"));
        wait_for(&gateway, &at(&[address], port));

        let answers: Vec<String> = (0..4).map(|_| get(gateway.address, "/").text()).collect();

        assert_eq!(answers, [address; 4]);
    }
}

/// Runs the binary with this configuration.
fn run(folder: &Path, text: &str, arguments: &[&str]) -> String {
    let file = folder.join("frontgate.yaml");
    std::fs::write(&file, text).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_frontgate")).arg(arguments[0]).arg("-c").arg(&file).args(&arguments[1..]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn explain_shows_the_names_and_check_needs_no_network() {
    let (directory, server) = (Directory::new(), DnsServer::start());
    let upstream = "endpoints: [users.internal:8443, \"localhost:8443\"]\ntls: {}";
    directory.put("hosts", "");
    let text = text(&server, upstream).replace("/dev/null", "hosts");

    let explained = run(&directory, &text, &["explain", "GET", "http://a.example/"]);
    let checked = run(&directory, &text, &["check"]);

    assert!(explained.contains("endpoints users.internal:8443, localhost:8443\n"), "{explained}");
    assert!(explained.contains("host      users.internal:8443 or localhost:8443\n"), "{explained}");
    assert!(!checked.contains("error") && !checked.contains("which name the certificates"), "{checked}");
    assert!(server.names().is_empty(), "nobody was asked");
}

#[test]
fn the_table_of_a_running_gateway_shows_names_beside_addresses() {
    let server = DnsServer::start();
    server.set("users.internal", Answer::addresses(60, &["127.0.0.2"]));
    let gateway: Gateway = over(&server, "endpoints: [users.internal:8080]");
    wait_for(&gateway, &at(&["127.0.0.2"], 8080));
    let admin: SocketAddr = gateway.running.admin().unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(["upstreams", "--admin", &admin.to_string()]).output().unwrap();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();

    let row = table.lines().find(|line| line.contains("127.0.0.2:8080")).unwrap_or_default();
    assert!(row.contains("users.internal:8080") && row.contains("healthy"), "{table}");
}
