//! What operators are told of versions: all that there are, and what came of each.

use std::io::Write;

use serde_json::{Value, json};

use super::{ask, named, nobody, text};
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, exchange, operate, until};

/// Two versions that only some requests match, and one that nobody does.
const VERSIONS: &str = "canary: [{version: v2, upstream: next, match: {method: POST}}, \
                        {version: v3, upstream: third, share: 0%, match: {host: b.example}}, \
                        {version: v4, upstream: third, match: {host: c.example}}]";

fn told(gateway: &Gateway) -> Value {
    operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json()["canaries"].take()
}

/// What is told of a version: its upstream, its share, and how many it has answered, how many of them failed, and how many stable had to answer.
fn version(name: &str, upstream: &str, share: Option<&str>, [answered, failed, spilled]: [u32; 3]) -> Value {
    json!({"route": "shop", "version": name, "upstreams": [upstream], "share": share, "answered": answered, "failed": failed, "spilled": spilled})
}

#[test]
fn every_version_is_told_also_one_that_nobody_was_given() {
    let stable = named("stable");
    let failing = Origin::start(|_, stream| stream.write_all(response("503 Bad", "", "no").as_bytes()).is_ok());
    let gateway = Gateway::start(&text(stable.address, nobody(), failing.address, "", VERSIONS));

    let none = [0, 0, 0];
    let unused = [
        version("v2", "next", None, none),
        version("v3", "third", Some("0%"), none),
        version("v4", "third", None, none),
        version("stable", "stable", None, none),
    ];
    assert_eq!(told(&gateway), json!(unused));

    (0..2).for_each(|_| assert_eq!(ask(gateway.address, "GET /x", "").status, 200));
    assert_eq!(ask(gateway.address, "POST /x", "Content-Length: 0\r\n").status, 200, "stable answers in its place");
    let elsewhere = exchange(gateway.address, b"GET /x HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(elsewhere.status, 503);

    let used = json!([
        version("v2", "next", None, [0, 0, 1]),
        version("v3", "third", Some("0%"), [1, 1, 0]),
        version("v4", "third", None, none),
        version("stable", "stable", None, [3, 0, 0]),
    ]);
    until("all four to be counted", || told(&gateway) == used);
}
