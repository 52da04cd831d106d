//! Endpoints that are names: resolved beside the traffic, by time to live, from a real DNS server on loopback and a table of hosts.

mod services;
mod spoken;

use std::fmt::Write as _;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use frontgate_test_support::dns::{Answer, DnsServer};

use crate::harness::{Gateway, Origin, Steady, get, operate, origin::response, until, yaml};

/// Origins at these addresses of this machine and one port, each of which answers with its address.
fn origins(addresses: &[&str]) -> (Vec<Origin>, u16) {
    let port = (0..100)
        .find_map(|_| {
            let first = TcpListener::bind((addresses[0], 0)).ok()?;
            let port = first.local_addr().ok()?.port();
            addresses[1..].iter().all(|address| TcpListener::bind((*address, port)).is_ok()).then_some(port)
        })
        .expect("a port that is free at each");
    let origin = |address: &&str| {
        let answer = response("200 OK", "", address);
        Origin::on(SocketAddr::new(address.parse().unwrap(), port), move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
    };
    (addresses.iter().map(origin).collect(), port)
}

/// A gateway whose names this server knows; `upstream` are the keys of its only upstream.
fn over(server: &DnsServer, upstream: &str) -> Gateway {
    Gateway::start(&text(server, upstream))
}

fn text(server: &DnsServer, upstream: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
          threads: 2
          dns: {servers: [\"$SERVER\"], search: [], hosts: /dev/null}
        upstreams:
          main:
            $UPSTREAM
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$SERVER", &server.address()), ("$UPSTREAM", &upstream)],
    )
}

fn status(gateway: &Gateway) -> serde_json::Value {
    operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json()
}

/// The addresses of the upstream's endpoints, in order.
fn endpoints(gateway: &Gateway) -> Vec<String> {
    let status = status(gateway);
    let endpoints = status["upstreams"]["main"]["endpoints"].as_array().expect("a list");
    let mut addresses: Vec<String> = endpoints.iter().map(|endpoint| endpoint["address"].as_str().unwrap_or_default().to_owned()).collect();
    addresses.sort();
    addresses
}

#[track_caller]
fn wait_for(gateway: &Gateway, expected: &[String]) {
    until(&format!("{expected:?}"), || endpoints(gateway) == expected);
}

fn at(addresses: &[&str], port: u16) -> Vec<String> {
    addresses.iter().map(|ip| SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port).to_string()).collect()
}

#[test]
fn every_address_of_a_name_is_an_endpoint_and_operators_see_both() {
    let server = DnsServer::start();
    let (_origins, port) = origins(&["127.0.0.2", "127.0.0.3"]);
    server.set("users.internal", Answer::addresses(60, &["127.0.0.2", "127.0.0.3"]));
    let gateway = over(&server, &format!("endpoints: [{{address: \"users.internal:{port}\", weight: 3, version: v2}}]"));
    wait_for(&gateway, &at(&["127.0.0.2", "127.0.0.3"], port));

    let mut answers: Vec<String> = (0..4).map(|_| get(gateway.address, "/").text()).collect();
    answers.sort();

    assert_eq!(answers, ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"]);
    let told = status(&gateway)["upstreams"]["main"].clone();
    let endpoint = &told["endpoints"][0];
    let name = format!("users.internal:{port}");
    assert_eq!((&endpoint["name"], &endpoint["weight"], &endpoint["version"]), (&name.as_str().into(), &3.into(), &"v2".into()));
    assert_eq!(told["discovery"]["sources"][0]["source"], format!("dns {name}"));
}

#[test]
fn addresses_come_and_go_under_load_without_one_failed_request() {
    let server = DnsServer::start();
    let (origins, port) = origins(&["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    server.set("users.internal", Answer::addresses(1, &["127.0.0.2"]));
    let gateway = over(&server, &format!("discover: {{dns: users.internal, port: {port}, refresh: 1s}}"));
    wait_for(&gateway, &at(&["127.0.0.2"], port));

    let load = Steady::five_hundred(gateway.address);
    // Where more than half go at once, they stay until that is said again.
    for set in [
        &["127.0.0.2", "127.0.0.3"][..],
        &["127.0.0.3"],
        &["127.0.0.4"],
        &["127.0.0.2", "127.0.0.3", "127.0.0.4"],
        &["127.0.0.2", "127.0.0.4"],
    ] {
        server.set("users.internal", Answer::addresses(1, set));
        wait_for(&gateway, &at(set, port));
    }

    load.ends_well();
    assert!(origins.iter().all(|origin| !origin.received().is_empty()), "each of them was asked");
}

#[test]
fn a_server_that_fails_in_every_way_takes_no_endpoint_away() {
    let server = DnsServer::start();
    let (_origins, port) = origins(&["127.0.0.2", "127.0.0.3"]);
    let good = Answer::addresses(1, &["127.0.0.2", "127.0.0.3"]);
    server.set("users.internal", good.clone());
    let gateway = over(&server, &format!("endpoints: [\"users.internal:{port}\"]"));
    let all = at(&["127.0.0.2", "127.0.0.3"], port);
    wait_for(&gateway, &all);

    let load = Steady::five_hundred(gateway.address);
    for bad in
        [Answer::NoName, Answer::Empty, Answer::Failure, Answer::Late(Duration::from_millis(1500), Box::new(good.clone())), Answer::Silence]
    {
        // Flapping: every way is met twice, with good answers between.
        server.set("users.internal", bad);
        let before = server.asked("users.internal");
        until("it is asked again", || server.asked("users.internal") >= before + 4);
        assert_eq!(endpoints(&gateway), all);
        server.set("users.internal", good.clone());
        let before = server.asked("users.internal");
        until("it is asked again", || server.asked("users.internal") >= before + 2);
    }

    load.ends_well();
    assert_eq!(endpoints(&gateway), all);
}

#[test]
fn a_name_that_does_not_resolve_is_no_error_and_a_required_upstream_is_waited_for() {
    let server = DnsServer::start();
    let (_origins, port) = origins(&["127.0.0.2"]);
    let gateway = over(&server, &format!("endpoints: [\"users.internal:{port}\"]\nrequired: true"));
    let admin = gateway.running.admin().unwrap();
    until("the name is asked for", || server.asked("users.internal") >= 2);

    let refused = get(gateway.address, "/");
    refused.is_problem(503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(operate(admin, "GET", "/readyz").status, 503);
    until("operators are told why", || status(&gateway)["upstreams"]["main"]["discovery"]["sources"][0]["why"] == "it does not exist");
    server.set("users.internal", Answer::addresses(60, &["127.0.0.2"]));
    wait_for(&gateway, &at(&["127.0.0.2"], port));

    assert_eq!(operate(admin, "GET", "/readyz").status, 200);
    assert_eq!(get(gateway.address, "/").text(), "127.0.0.2");
}

#[test]
fn a_name_that_is_gone_for_good_is_gone_when_it_was_said_twice() {
    let server = DnsServer::start();
    let (_origins, port) = origins(&["127.0.0.2", "127.0.0.3"]);
    server.set("users.internal", Answer::addresses(1, &["127.0.0.2", "127.0.0.3"]));
    let gateway = over(&server, &format!("discover: {{dns: users.internal, port: {port}, refresh: 2s}}"));
    wait_for(&gateway, &at(&["127.0.0.2", "127.0.0.3"], port));

    server.set("users.internal", Answer::NoName);
    wait_for(&gateway, &[]);

    get(gateway.address, "/").is_problem(503);
}

#[test]
fn hosts_of_a_table_are_endpoints_and_its_changes_are_seen() {
    let folder = std::env::temp_dir().join(format!("frontgate-names-table-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let hosts = folder.join("hosts");
    let (_origins, port) = origins(&["127.0.0.2", "127.0.0.3", "::1"]);
    std::fs::write(&hosts, "127.0.0.2 users users.internal\n").unwrap();
    let server = DnsServer::start();
    let text = text(&server, &format!("endpoints: [\"users:{port}\", \"v6.internal:{port}\"]"));
    let gateway = Gateway::start(&text.replace("/dev/null", &hosts.display().to_string()));
    wait_for(&gateway, &at(&["127.0.0.2"], port));

    std::fs::write(&hosts, "127.0.0.3 users\n::1 v6.internal\n").unwrap();
    wait_for(&gateway, &at(&["127.0.0.3", "::1"], port));
    std::fs::remove_dir_all(&folder).unwrap();

    let mut answers: Vec<String> = (0..2).map(|_| get(gateway.address, "/").text()).collect();
    answers.sort();
    assert_eq!(answers, ["127.0.0.3", "::1"]);
    assert!(!server.names().contains(&"users".to_owned()), "the table comes first");
}

#[test]
fn a_reload_keeps_what_is_known_of_a_name_and_other_servers_are_asked_at_once() {
    let (one, other) = (DnsServer::start(), DnsServer::start());
    let (origins, port) = origins(&["127.0.0.2", "127.0.0.3"]);
    one.set("users.internal", Answer::addresses(3600, &["127.0.0.2"]));
    other.set("users.internal", Answer::addresses(3600, &["127.0.0.3"]));
    let upstream = format!("endpoints: [\"users.internal:{port}\"]");
    let gateway = over(&one, &upstream);
    wait_for(&gateway, &at(&["127.0.0.2"], port));
    let asked = one.asked("users.internal");

    gateway.running.reload(crate::harness::load(&text(&one, &format!("{upstream}\nmax_connections: 50")))).unwrap();
    assert_eq!(endpoints(&gateway), at(&["127.0.0.2"], port), "there is no moment without it");
    assert_eq!((get(gateway.address, "/").status, one.asked("users.internal")), (200, asked), "nobody has to ask again");
    gateway.running.reload(crate::harness::load(&text(&other, &upstream))).unwrap();
    wait_for(&gateway, &at(&["127.0.0.3"], port));

    assert_eq!(get(gateway.address, "/").text(), "127.0.0.3");
    assert_eq!(origins[0].received().len(), 1);
}

#[test]
fn a_hundred_names_are_looked_after_beside_each_other() {
    let server = DnsServer::start();
    let (_origins, port) = origins(&["127.0.0.2"]);
    let mut written = String::new();
    for number in 0..100 {
        server.set(&format!("n{number}.internal"), Answer::addresses(1, &[&format!("127.0.1.{number}")]));
        let _ = write!(written, "\"n{number}.internal:{port}\", ");
    }
    let gateway = over(&server, &format!("endpoints: [{}]", written.trim_end_matches(", ")));

    until("all of them", || endpoints(&gateway).len() == 100);
}

#[test]
fn a_gateway_that_starts_while_the_server_is_away_has_the_names_that_it_knew() {
    let folder = std::env::temp_dir().join(format!("frontgate-names-kept-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let server = DnsServer::start();
    let (_origins, port) = origins(&["127.0.0.2"]);
    server.set("users.internal", Answer::addresses(60, &["127.0.0.2"]));
    let text = text(&server, &format!("endpoints: [\"users.internal:{port}\"]"));
    let text = text.replace("threads: 2", &format!("threads: 2\n  state_dir: {}", folder.display()));
    let gateway = Gateway::start(&text);
    wait_for(&gateway, &at(&["127.0.0.2"], port));
    let kept = || std::fs::read_to_string(folder.join("endpoints/main.json")).unwrap_or_default();
    until("it is on disk", || kept().contains("users.internal"));
    drop(gateway);

    server.set("users.internal", Answer::Failure);
    let gateway = Gateway::start(&text);
    let reply = get(gateway.address, "/");
    let name = status(&gateway)["upstreams"]["main"]["endpoints"][0]["name"].clone();
    std::fs::remove_dir_all(&folder).unwrap();

    assert_eq!((reply.status, name), (200, format!("users.internal:{port}").into()));
}
