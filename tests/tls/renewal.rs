//! Certificates that are renewed again and again under steady traffic: no handshake and no request is lost.
//!
//! A few seconds by default; with `FRONTGATE_LONG` a minute, in which it has to be the traffic that was meant.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::authority::{Authority, Directory};
use super::{SHOP, connect_with, gateway, get, put, shop, shown, text};
use crate::harness::{Gateway, Origin, PATIENCE, Process, operate, until};

/// Requests in a second, of all clients together.
const RATE: u32 = 500;
/// How many clients there are, and how many requests each makes on a connection.
const CLIENTS: u32 = 8;
const ON_ONE: usize = 10;
/// How many certificates have to be shown.
const ENOUGH: usize = 3;

#[test]
fn a_renewal_that_fails_is_told_until_it_is_mended() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    directory.put("ca.pem", &authority.pem());
    let more = format!("tls: {{server_name: shop.internal, ca: \"{}/ca.pem\"}}", directory.display());
    let text = text(&directory, origin.address, SHOP, "admin: 127.0.0.1:0");
    let gateway = Gateway::start(&text.replace("main: {", &format!("main: {{{more}, ")));
    let status = || {
        let status = operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json();
        (status["status"].as_str().unwrap().to_owned(), status["reasons"].to_string())
    };
    let failed = |whose: &str| gateway.metric(&format!("frontgate_tls_renewal_failed{{{whose}}}"));
    let (listener, upstream) = ("listener=\"127.0.0.1:0\"", "upstream=\"main\"");
    assert_eq!((status(), failed(listener), failed(upstream)), (("ok".to_owned(), "[]".to_owned()), 0.0, 0.0));

    let whole = std::fs::read_to_string(directory.join("shop.key")).unwrap();
    std::fs::remove_file(directory.join("shop.key")).unwrap();
    until("the listener's is told", || failed(listener) == 1.0);
    assert_eq!(failed(upstream), 0.0);
    let (health, reasons) = status();
    assert_eq!(health, "degraded");
    assert!(reasons.contains("changed certificates of listener `127.0.0.1:0` were refused") && reasons.contains("shop.key"), "{reasons}");

    directory.put("shop.key", &whole);
    directory.put("ca.pem", "nothing of use");
    until("the upstream's is told instead", || (failed(listener), failed(upstream)) == (0.0, 1.0));
    let (health, reasons) = status();
    assert_eq!(health, "degraded");
    assert!(reasons.contains("changed certificates of upstream `main` were refused") && !reasons.contains("listener"), "{reasons}");

    directory.put("ca.pem", &Authority::new().pem());
    until("all is well", || failed(upstream) == 0.0);
    assert_eq!(status(), ("ok".to_owned(), "[]".to_owned()));
}

#[test]
fn a_certificate_that_comes_later_than_the_configuration_that_names_it_brings_that_into_force() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    let text = text(&directory, origin.address, SHOP, "admin: 127.0.0.1:0");
    let process = Process::start("cert-later", &text);
    let seen = || shown(process.address, &authority, "shop.example").unwrap();
    let first = seen();

    process.write(&text.replace("shop.pem", "next.pem").replace("shop.key", "next.key"));
    until("it to be refused", || process.said().contains("was not reloaded"));
    assert_eq!(seen(), first);
    put(&directory, "next", &authority.issue(&["shop.example"]));

    until("the certificate that came", || seen() != first);
    until("health", || process.ask("GET", "/healthz?full=1").json()["status"] == "ok");
}

#[test]
fn certificates_stay_as_they_are_where_nothing_is_watched_until_a_reload_is_asked_for() {
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    let text = text(&directory, origin.address, SHOP, "admin: 127.0.0.1:0");
    let (still, watching) = (Process::start_by("cert-still", &text, &["--no-watch"]), Process::start("cert-watching", &text));
    let seen = |process: &Process| shown(process.address, &authority, "shop.example").unwrap();
    let first = seen(&still);

    for _ in 0..2 {
        let before = seen(&watching);
        put(&directory, "shop", &authority.issue(&["shop.example"]));
        until("the renewed one where files are watched", || seen(&watching) != before);
        assert_eq!(seen(&still), first);
    }

    assert_eq!(still.ask("POST", "/-/reload").status, 200);
    assert_eq!(seen(&still), seen(&watching));
}

#[test]
fn no_request_is_lost_while_certificates_are_renewed() {
    let long = std::env::var_os("FRONTGATE_LONG").is_some();
    let lasts = Duration::from_secs(if long { 60 } else { 5 });
    let (authority, origin) = (Authority::new(), Origin::json("{}"));
    let directory = shop(&authority);
    let gateway = gateway(&directory, origin.address, SHOP, "");
    let (answered, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (lost, shown) = (Mutex::new(Vec::new()), Mutex::new(HashSet::new()));
    let began = Instant::now();

    let renewed = std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (authority, lost, shown, answered, over) = (&authority, &lost, &shown, &answered, &over);
            let address = gateway.address;
            scope.spawn(move || {
                // Some resume their sessions, some speak nothing newer than TLS 1.2, some do neither.
                let kept = Arc::new(if number % 2 == 0 { authority.client(None, &["http/1.1"]) } else { authority.old_client() });
                let mut due = Instant::now();
                while !over.load(Ordering::Relaxed) {
                    let config = if number % 4 == 0 { Arc::new(authority.client(None, &[])) } else { kept.clone() };
                    let mut stream = connect_with(address, &config, "shop.example");
                    for request in 0..ON_ONE {
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        // Who is late does not hurry: it is a steady load, not a storm.
                        due = (due + Duration::from_secs(1) * CLIENTS / RATE).max(Instant::now());
                        match get(&mut stream, "/x") {
                            Some(reply) if reply.status == 200 => _ = answered.fetch_add(1, Ordering::Relaxed),
                            other => lost.lock().unwrap().push(format!("client {number}, request {request}: {other:?}")),
                        }
                    }
                    let chain = stream.conn.peer_certificates().map(|chain| chain[0].to_vec());
                    shown.lock().unwrap().extend(chain);
                }
            });
        }
        let renewed = renew(&authority, &directory, began, lasts, || shown.lock().unwrap().len());
        over.store(true, Ordering::Relaxed);
        renewed
    });

    let (lost, shown) = (lost.into_inner().unwrap(), shown.into_inner().unwrap());
    let answered = answered.into_inner();
    assert!(lost.is_empty(), "{} of {}: {:#?}", lost.len(), answered + lost.len(), &lost[..lost.len().min(10)]);
    assert!(shown.len() >= ENOUGH, "of {renewed} certificates {} were shown", shown.len());
    let rate = answered as f64 / began.elapsed().as_secs_f64();
    assert!(rate >= if long { f64::from(RATE) * 0.9 } else { 10.0 }, "{rate} requests a second");
}

/// Renews the pair again and again, half of it first, for so long and until enough of them were shown; how often.
fn renew(authority: &Authority, directory: &Directory, began: Instant, lasts: Duration, shown: impl Fn() -> usize) -> usize {
    let mut renewed = 0;
    while began.elapsed() < lasts || shown() < ENOUGH && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(730));
        let next = authority.issue(&["shop.example"]);
        directory.put("shop.pem", &next.cert);
        std::thread::sleep(Duration::from_millis(20));
        put(directory, "shop", &next);
        renewed += 1;
    }
    renewed
}
