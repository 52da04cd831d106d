//! What an idle connection over TLS costs the gateway: some hundreds by default, with `FRONTGATE_LONG` ten thousand.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::authority::Authority;
use super::shop;
use crate::harness::{PATIENCE, Process, until, yaml};

/// The most that one may cost, in KiB.
const MOST: usize = 45;

#[test]
fn an_idle_connection_costs_little_memory() {
    let long = std::env::var_os("FRONTGATE_LONG").is_some();
    let allowed = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(0) as usize;
    let number = if long && allowed > 12_000 { 10_000 } else { 400 };
    let authority = Authority::new();
    let directory = shop(&authority);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for protocol in ["http/1.1", "h2"] {
        let process = Process::start(
            &format!("idle-{}", protocol.len()),
            &yaml(
                "
                server:
                  listeners: [{address: 127.0.0.1:0, tls: {cert: $@/shop.pem, key: $@/shop.key}}]
                  admin: 127.0.0.1:0
                  threads: 2
                  timeouts: {keepalive: 1h, handshake: 1m}
                routes:
                  - {name: all, path: /**, respond: {status: 200, body: served}}
                ",
                &[("$@", &directory.display())],
            ),
        );
        let config = Arc::new(authority.client(None, &[protocol]));
        let connect = async || {
            let socket = tokio::net::TcpStream::connect(process.address).await.unwrap();
            let name = ServerName::try_from("shop.example").unwrap();
            let mut stream = tokio_rustls::TlsConnector::from(config.clone()).connect(name, socket).await.unwrap();
            if protocol == "h2" {
                let asked = [crate::harness::frames::greeting(&[]), crate::harness::frames::get(1, "/")].concat();
                stream.write_all(&asked).await.unwrap();
            } else {
                stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.unwrap();
            }
            let mut read = Vec::new();
            while !read.ends_with(b"served") {
                assert!(stream.read_buf(&mut read).await.unwrap() > 0, "the answer breaks off");
            }
            stream
        };

        let (empty, held) = runtime.block_on(async {
            let mut held = Vec::new();
            // What the first ones cost is there once for all.
            for _ in 0..20 {
                held.push(connect().await);
            }
            let empty = process.memory();
            for _ in 0..number {
                held.push(tokio::time::timeout(PATIENCE, connect()).await.unwrap());
            }
            (empty, held)
        });
        let open = format!("frontgate_connections{{listener=\"{}\"}} {}", "127.0.0.1:0", held.len());
        until("all of them to be there", || process.ask("GET", "/metrics").text().contains(&open));
        std::thread::sleep(Duration::from_millis(100));

        let each = process.memory().saturating_sub(empty) * 1024 / number;
        println!("{number} idle connections, {protocol}: {empty} KiB before, {} KiB with them, {each} bytes each", process.memory());
        assert!(each <= MOST * 1024, "{protocol}: {each} bytes each");
    }
}
