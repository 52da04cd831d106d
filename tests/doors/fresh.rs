//! Whoever connects while the gateway ends is answered or refused, and never reset.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{at, free, text};
use crate::harness::{Origin, PATIENCE, Process, until};

/// What became of those who connected.
#[derive(Debug, Default)]
struct Met {
    answered: AtomicUsize,
    refused: AtomicUsize,
}

/// Connects and asks over and over, until nobody listens. Whoever gets in gets an answer.
fn knock(address: SocketAddr, met: &Met, wrong: &std::sync::Mutex<Vec<String>>) {
    loop {
        let mut stream = match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                met.refused.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Err(error) => {
                wrong.lock().unwrap().push(format!("to connect: {error}"));
                return;
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        let asked =
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").and_then(|()| stream.read_to_end(&mut answer));
        match asked {
            Ok(_) if answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"whole") => {
                met.answered.fetch_add(1, Ordering::SeqCst);
            }
            other => {
                wrong.lock().unwrap().push(format!("{other:?} after {} bytes", answer.len()));
                return;
            }
        }
    }
}

#[test]
fn whoever_connects_during_term_is_answered_or_refused() {
    let origin = Origin::start(|_, stream| stream.write_all(crate::harness::origin::response("200 OK", "", "whole").as_bytes()).is_ok());
    for round in 0..3 {
        let mut process = Process::start(&format!("fresh-{round}"), &text(origin.address, "{address: 127.0.0.1:0}", "threads: 2"));
        let (met, wrong) = (Met::default(), std::sync::Mutex::default());
        let asked = AtomicBool::new(false);

        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| knock(process.address, &met, &wrong));
            }
            until("hundreds of connections", || met.answered.load(Ordering::SeqCst) > 300);
            process.signal("TERM");
            asked.store(true, Ordering::SeqCst);
        });

        let wrong = wrong.into_inner().unwrap();
        assert!(wrong.is_empty(), "{wrong:?} of {met:?}");
        assert_eq!(met.refused.load(Ordering::SeqCst), 40, "{met:?}");
        assert_eq!(process.end(), Some(0));
    }
}

#[test]
fn whoever_connects_while_a_listener_is_removed_is_answered_or_refused() {
    let origin = Origin::start(|_, stream| stream.write_all(crate::harness::origin::response("200 OK", "", "whole").as_bytes()).is_ok());
    let (stays, goes) = (free(), free());
    let process = Process::start("removed", &text(origin.address, &format!("{}, {}", at(stays), at(goes)), "threads: 2"));
    let (met, wrong) = (Met::default(), std::sync::Mutex::default());

    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| knock(goes, &met, &wrong));
        }
        until("hundreds of connections", || met.answered.load(Ordering::SeqCst) > 300);
        process.write(&text(origin.address, &at(stays), "threads: 2"));
        assert_eq!(process.ask("POST", "/-/reload").status, 200);
    });

    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:?} of {met:?}");
    assert_eq!(met.refused.load(Ordering::SeqCst), 40, "{met:?}");
    assert!(TcpStream::connect_timeout(&stays, Duration::from_secs(5)).is_ok());
}
