//! Reload after reload under load, half of them because the file has changed and half because somebody asked: no request fails, and nothing grows.
//!
//! Fifty by default, a thousand with `FRONTGATE_LONG`.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::until;
use crate::harness::client::read_reply;
use crate::harness::{Origin, Process, raw, yaml};

fn text(origin: SocketAddr, round: usize) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
          state_dir: state
        upstreams:
          main: {endpoints: [$ORIGIN], timeouts: {first_byte: $ROUNDs}}
          side: {endpoints: [$ORIGIN]}
        filters:
          per_client: {rate_limit: {key: client_ip, rate: 1000000/s, burst: $BURST}}
          guard: {circuit_breaker: {}}
        routes:
          - {name: side, path: /side/**, upstream: side, filters: [guard]}
          - {name: all, path: /**, upstream: main, filters: [per_client]}
          - {name: extra-$ROUND, path: /extra/$ROUND, respond: {json: {round: $ROUND}}}
        ",
        &[("$ORIGIN", &origin), ("$ROUND", &(round % 50 + 10)), ("$BURST", &(1_000_000 + round))],
    )
}

#[test]
fn nothing_fails_and_nothing_grows_however_often_the_configuration_changes() {
    let rounds = if std::env::var_os("FRONTGATE_LONG").is_some() { 1000 } else { 50 };
    let origin = Origin::json(r#"{"a":1}"#);
    let process = Process::start("reloads-many", &text(origin.address, 0));
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let in_force = || process.ask("GET", "/healthz?full=1").json()["config"].as_str().unwrap().to_owned();

    let (before, after) = std::thread::scope(|scope| {
        let _ends = Ends(&stop);
        let traffic: Vec<_> = ["/", "/side/x"]
            .map(|path| {
                let (stop, sent, process) = (&stop, &sent, &process);
                scope.spawn(move || {
                    let mut stream = raw(process.address);
                    let mut failed = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
                        match read_reply(&mut stream, false) {
                            Some(reply) if reply.status == 200 => {}
                            other => failed.push(other.map(|reply| reply.status)),
                        }
                        sent.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    }
                    failed
                })
            })
            .into_iter()
            .collect();
        let size = || (process.memory(), process.descriptors());
        let mut before = size();
        for round in 1..=rounds {
            // The allocator has what it wants after some.
            if round == rounds / 5 {
                before = size();
            }
            let (hash, requests) = (in_force(), sent.load(Ordering::SeqCst));
            process.write(&text(origin.address, round));
            if round % 2 == 0 {
                assert_eq!(process.ask("POST", "/-/reload").status, 200);
            }
            until("another configuration to be in force", || in_force() != hash);
            until("a request under it", || sent.load(Ordering::SeqCst) > requests);
        }
        let after = size();
        stop.store(true, Ordering::SeqCst);
        let failed: Vec<Option<u16>> = traffic.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), sent.load(Ordering::SeqCst));
        (before, after)
    });

    let said = process.said();
    let count = |words: &str| said.lines().filter(|line| line.contains("is in force") && line.contains(words)).count();
    println!("{rounds} reloads, {} by watching, {} requests, {before:?} to {after:?}", count("has changed:"), sent.load(Ordering::SeqCst));
    assert!(count("since `") >= rounds / 2, "{said}");
    assert!(after.1 <= before.1 + 4, "{} descriptors, then {}", before.1, after.1);
    assert!(after.0 < before.0 + before.0 / 5, "{} KiB, then {}", before.0, after.0);
    let kept = std::fs::read_dir(process.folder.join("state/configurations")).unwrap().count();
    assert_eq!(kept, 5, "the history is bounded");
}

/// Ends the load whatever becomes of the test.
struct Ends<'s>(&'s AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
