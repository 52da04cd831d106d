//! Canary releases over real sockets: who gets which version, who may choose, what gives way to what.

mod choice;
mod kept;
mod protocols;
mod shares;
mod spill;
mod told;
mod visitors;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use crate::harness::origin::response;
use crate::harness::{Origin, Reply, exchange, yaml};

/// An origin that answers with this name, and an answer that may be kept.
fn named(name: &'static str) -> Origin {
    Origin::start(move |_, stream| {
        let text = response(
            "200 OK",
            "Content-Type: application/json\r\nETag: \"a\"\r\nCache-Control: max-age=60\r\n",
            &format!("{{\"name\":\"{name}\",\"debug\":1}}"),
        );
        stream.write_all(text.as_bytes()).is_ok()
    })
}

/// Where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// One request on a connection of its own; `headers` are whole lines.
fn ask(address: SocketAddr, line: &str, headers: &str) -> Reply {
    exchange(address, format!("{line} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{headers}\r\n").as_bytes()).unwrap()
}

/// Who has answered a GET with these headers.
fn who(address: SocketAddr, headers: &str) -> String {
    let reply = ask(address, "GET /x", headers);
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.json()["name"].as_str().unwrap().to_owned()
}

/// The same for a user.
fn who_for(address: SocketAddr, user: &str) -> String {
    who(address, &format!("X-User: {user}\r\n"))
}

/// A gateway's configuration: `stable`, `next` and `third` are upstreams; `route` are more keys of the route, `server` of the server.
fn text(stable: SocketAddr, next: SocketAddr, third: SocketAddr, server: &str, route: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          admin: 127.0.0.1:0
          $SERVER
        upstreams:
          stable: {endpoints: [$STABLE]}
          next: {endpoints: [$NEXT]}
          third: {endpoints: [$THIRD]}
        filters:
          guard: {circuit_breaker: {consecutive: 1, open_for: 10m, max_open_for: 10m, fallback: [{cached: {max_age: 10m}}]}}
          slim: {trim: {by: query.as, profiles: {tv: {drop: [debug]}}}}
        routes:
          - name: shop
            path: /**
            upstream: stable
            $ROUTE
          - {name: others, path: /others/next, upstream: next}
          - {name: more, path: /others/third, upstream: third, filters: [slim, guard]}
        ",
        &[("$STABLE", &stable), ("$NEXT", &next), ("$THIRD", &third), ("$SERVER", &server), ("$ROUTE", &route)],
    )
}
