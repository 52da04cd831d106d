//! Requests at a steady rate on connections that are kept, while a test does something else: what became of each, and whether the rate came about.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{raw, read_reply};
use super::until;

/// Clients that ask together so often a second until they are told to end.
pub struct Steady {
    rate: f64,
    began: Instant,
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Steady {
    /// So many clients ask this address for `/`, `rate` times a second together. Who had to wait asks sooner afterwards.
    pub fn start(address: SocketAddr, clients: usize, rate: f64) -> Self {
        let (over, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let pace = Duration::from_secs_f64(clients as f64 / rate);
        let began = Instant::now();
        let clients = (0..clients).map(|_| {
            let (over, asked) = (over.clone(), asked.clone());
            std::thread::spawn(move || client(address, began, pace, &over, &asked))
        });
        Self { rate, began, clients: clients.collect(), over, asked }
    }

    /// Five hundred requests a second.
    pub fn five_hundred(address: SocketAddr) -> Self {
        Self::start(address, 5, 500.0)
    }

    /// Waits until so many more have had their answer.
    #[track_caller]
    pub fn goes_on(&self, count: usize) {
        let before = self.asked.load(Ordering::SeqCst);
        until("more requests", || self.asked.load(Ordering::SeqCst) >= before + count);
    }

    /// Ends it: every request was answered with 200 and to its end, and there were as many as there were to be.
    #[track_caller]
    pub fn ends_well(self) {
        let due = || (self.rate * 0.9 * self.began.elapsed().as_secs_f64()) as usize;
        // Who had to wait makes up for it; a machine that cannot is too slow for this test.
        until("as many requests as there were to be", || self.asked.load(Ordering::SeqCst) >= due());
        let (asked, wrong, _) = self.end();
        assert!(wrong.is_empty(), "{} of {asked}: {:?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    }

    /// Ends it. How many were asked, what went wrong, and how long it took.
    pub fn end(self) -> (usize, Vec<String>, Duration) {
        self.over.store(true, Ordering::SeqCst);
        let took = self.began.elapsed();
        let wrong = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (self.asked.load(Ordering::SeqCst), wrong, took)
    }
}

fn client(address: SocketAddr, began: Instant, pace: Duration, over: &AtomicBool, asked: &AtomicUsize) -> Vec<String> {
    let (mut stream, mut wrong, mut due) = (raw(address), Vec::new(), began);
    while !over.load(Ordering::SeqCst) {
        let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        match sent.ok().and_then(|()| read_reply(&mut stream, false)) {
            Some(reply) if reply.status == 200 && reply.whole => {}
            other => {
                wrong.push(other.map_or("no answer".to_owned(), |reply| format!("{} {}", reply.status, reply.text())));
                stream = raw(address);
            }
        }
        asked.fetch_add(1, Ordering::SeqCst);
        due += pace;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    wrong
}
