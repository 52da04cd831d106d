//! Listeners that come, change and go by a reload, drains that nobody meets as a reset, processes that take each other's place, and what
//! systemd gives and hears.

mod clients;
mod fresh;
mod listeners;
mod systemd;
mod upgrade;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::harness::yaml;

/// More of everything where time does not matter.
fn is_long() -> bool {
    std::env::var_os("FRONTGATE_LONG").is_some()
}

/// An address that is free now, and stays so: nobody else uses one of this network.
fn free() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [a, b, ..] = std::process::id().to_le_bytes();
    let own = Ipv4Addr::new(127, 64 | a >> 2, a << 6 | b >> 2, COUNT.fetch_add(1, Ordering::Relaxed).max(1));
    std::net::TcpListener::bind((own, 0)).unwrap().local_addr().unwrap()
}

/// A gateway with these listeners before an origin, and an admin address; `server` is more of its section.
fn text(origin: SocketAddr, listeners: &str, server: &str) -> String {
    yaml(
        "
        server:
          listeners: [$LISTENERS]
          admin: 127.0.0.1:0
          $SERVER
        upstreams: {main: {endpoints: [$ORIGIN], timeouts: {first_byte: 20s}}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$LISTENERS", &listeners), ("$ORIGIN", &origin), ("$SERVER", &server)],
    )
}

/// A listener at this address.
fn at(address: SocketAddr) -> String {
    format!("{{address: \"{address}\"}}")
}
