//! Clients that show a certificate of their own: who is let in, and what it decides and says.

use std::io::Write;

use super::authority::{Authority, Issued};
use super::{SHOP, connect, gateway, get, shop};
use crate::harness::client::read_reply;
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, until, yaml};

#[test]
fn clients_have_to_show_a_certificate_of_the_right_authority_where_it_is_required() {
    let (authority, stranger, origin) = (Authority::new(), Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    directory.put("clients.pem", &authority.pem());
    let (alice, revoked, foreign) = (
        authority.issue_client("alice", "spiffe://shop/alice"),
        authority.issue_client("mallory", "spiffe://shop/m"),
        stranger.issue_client("eve", "spiffe://x/e"),
    );
    directory.put("clients.crl", &authority.revoke(&[&revoked]));
    let auth = |mode: &str| format!("{SHOP}, client_auth: {{ca: \"@clients.pem\", crl: \"@clients.crl\", mode: {mode}}}");
    let required = gateway(&directory, origin.address, &auth("required"), "");
    let optional = gateway(&directory, origin.address, &auth("optional"), "");
    let status = |gateway: &Gateway, own: Option<&Issued>| {
        get(&mut connect(gateway.address, authority.client(own, &[]), "shop.example"), "/").map(|reply| reply.status)
    };

    assert_eq!([None, Some(&alice), Some(&revoked), Some(&foreign)].map(|own| status(&required, own)), [None, Some(200), None, None]);
    assert_eq!([None, Some(&alice), Some(&revoked), Some(&foreign)].map(|own| status(&optional, own)), [Some(200), Some(200), None, None]);
}

#[test]
fn what_tls_says_of_a_client_is_a_fact_for_filters_and_for_the_log() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    directory.put("clients.pem", &authority.pem());
    let (alice, bob) = (authority.issue_client("alice", "spiffe://shop/alice"), authority.issue_client("bob", "spiffe://shop/bob"));
    let gateway = Gateway::start(&yaml(
        "
            server:
              listeners:
                - {address: 127.0.0.1:0, tls: {cert: $@shop.pem, key: $@shop.key, client_auth: {ca: $@clients.pem}}}
            upstreams:
              main: {endpoints: [$ORIGIN]}
            filters:
              few: {rate_limit: {key: client_cert.san, rate: 1/h, on_missing_key: reject}}
            routes:
              - {name: all, path: /**, upstream: main, filters: [few]}
            telemetry: {access_log: {to: {file: $@access.log}}}
            ",
        &[("$ORIGIN", &origin.address), ("$@", &format!("{}/", directory.display()))],
    ));
    let status =
        |own: &Issued| get(&mut connect(gateway.address, authority.client(Some(own), &[]), "shop.example"), "/").map(|reply| reply.status);

    assert_eq!([&alice, &bob, &alice].map(status), [Some(200), Some(200), Some(429)]);

    let log = || std::fs::read_to_string(directory.join("access.log")).unwrap_or_default();
    until("three lines", || log().lines().count() == 3);
    let log = log();
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!((line["tls_version"].as_str(), line["sni"].as_str()), (Some("1.3"), Some("shop.example")));
    assert!(line["client_cert"].as_str().unwrap().contains("CN=alice"), "{line}");
}

#[test]
fn a_certificate_decides_what_its_client_may_do_and_the_upstream_is_told_whose_it_is() {
    let authority = Authority::new();
    let origin = Origin::start(|request, stream| {
        let told = format!("{:?} {:?}", request.header("x-user"), request.header("x-user-names"));
        stream.write_all(response("200 OK", "", &told).as_bytes()).is_ok()
    });
    let directory = shop(&authority);
    directory.put("clients.pem", &authority.pem());
    let (alice, bob) = (authority.issue_client("alice", "spiffe://shop/alice"), authority.issue_client("bob", "spiffe://shop/bob"));
    let gateway = Gateway::start(&yaml(
        "
            server:
              listeners:
                - address: 127.0.0.1:0
                  tls:
                    cert: $@shop.pem
                    key: $@shop.key
                    client_auth:
                      {ca: $@clients.pem, mode: optional, cert_headers: {X-User: client_cert.cn, X-User-Names: client_cert.san}}
            upstreams:
              main: {endpoints: [$ORIGIN]}
            filters:
              readers: {rbac: {by: client_cert.cn, roles: {alice: [GET /**], bob: [GET /open/**]}}}
            routes:
              - {name: anyone, path: /anyone, upstream: main}
              - {name: all, path: /**, upstream: main, filters: [readers]}
            ",
        &[("$ORIGIN", &origin.address), ("$@", &format!("{}/", directory.display()))],
    ));
    let ask = |own: Option<&Issued>, path: &str| {
        let mut stream = connect(gateway.address, authority.client(own, &[]), "shop.example");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nX-User: root\r\nx_user_names: root\r\n\r\n").unwrap();
        read_reply(&mut stream, false).unwrap()
    };

    assert_eq!(ask(Some(&alice), "/shop").text(), r#"["alice"] ["spiffe://shop/alice"]"#);
    ask(Some(&bob), "/shop").is_problem(403);
    assert_eq!(ask(Some(&bob), "/open/x").status, 200);
    assert_eq!(ask(None, "/open/x").is_problem(403).json()["code"], "not_permitted");
    // Who shows none is nobody, whatever it says.
    assert_eq!(ask(None, "/anyone").text(), "[] []");
}
