//! A flood of TLS handshakes that come to nothing: requests are served as before, and whoever means well still gets a handshake.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::Stop;
use crate::harness::client::read_reply;
use crate::harness::{Gateway, raw, until, yaml};
use crate::tls::authority::{Authority, Directory};

/// How many handshakes begin at a time, on how many threads.
const CROWD: (usize, usize) = (25, 4);
/// How many come to nothing until it is enough.
const ENOUGH: f64 = 1000.0;

#[test]
fn a_flood_of_handshakes_keeps_no_request_and_no_other_handshake_from_being_served() {
    let (authority, directory) = (Authority::new(), Directory::new());
    let issued = authority.issue(&["shop.example"]);
    directory.put("a.pem", &issued.cert);
    directory.put("a.key", &issued.key);
    let gateway = Gateway::start(&yaml(
        "
        server:
          threads: 1
          timeouts: {handshake: 1m}
          listeners:
            - {address: 127.0.0.1:0}
            - {address: \"[::1]:0\", tls: {cert: $HERE/a.pem, key: $HERE/a.key}}
        routes: [{name: all, path: /**, respond: {status: 200, body: here}}]
        ",
        &[("$HERE", &directory.display())],
    ));
    let [clear, tls] = [0, 1].map(|index| gateway.running.addresses()[index]);
    let config = Arc::new(authority.client(None, &[]));
    let client = || ClientConnection::new(config.clone(), ServerName::try_from("shop.example").unwrap()).unwrap();
    let mut hello = Vec::new();
    client().write_tls(&mut hello).unwrap();
    let middle = |asked: &dyn Fn() -> bool| {
        let mut stream = raw(clear);
        let mut waits = Vec::new();
        while asked() || waits.len() < 50 {
            let began = Instant::now();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert_eq!(read_reply(&mut stream, false).unwrap().status, 200);
            waits.push(began.elapsed());
            std::thread::sleep(Duration::from_millis(2));
        }
        waits.sort();
        waits[waits.len() / 2]
    };
    let before = middle(&|| false);
    let stop = AtomicBool::new(false);
    let came_to_nothing = || gateway.metric("frontgate_tls_handshakes_total{listener=\"[::1]:0\",result=\"closed\",version=\"\"}");

    let (meanwhile, handshakes) = std::thread::scope(|scope| {
        let over = Stop(&stop);
        for _ in 0..CROWD.1 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let mut crowd: Vec<_> = (0..CROWD.0).map(|_| raw(tls)).collect();
                    crowd.iter_mut().for_each(|stream| stream.write_all(&hello).unwrap());
                    // The gateway has done its part once it answers.
                    crowd.iter_mut().for_each(|stream| stream.read_exact(&mut [0]).unwrap());
                }
            });
        }
        let good = scope.spawn(|| middle(&|| !stop.load(Ordering::SeqCst)));
        let mut handshakes = 0;
        until("a flood", || {
            let mut stream = StreamOwned::new(client(), raw(tls));
            stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
            assert_eq!(read_reply(&mut stream, false).unwrap().status, 200);
            handshakes += 1;
            came_to_nothing() >= ENOUGH
        });
        drop(over);
        (good.join().unwrap(), handshakes)
    });

    println!(
        "{} handshakes came to nothing; {handshakes} did not; a request took {before:?} before and {meanwhile:?} meanwhile",
        came_to_nothing()
    );
    assert!(handshakes > 3, "{handshakes}");
    assert!(meanwhile < before * 10 + Duration::from_millis(50), "{before:?} before, {meanwhile:?} meanwhile");
}
