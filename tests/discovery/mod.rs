//! Endpoints that come and go by themselves: from files and from etcd, kept over a restart, under load.

#[cfg(feature = "etcd")]
mod etcd;
mod file;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::read_reply;
use crate::harness::{Origin, origin::response, raw};

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("frontgate-discovery-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file anew, as an editor does: another one takes its place.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (new, path) = (self.path(&format!(".{name}")), self.path(name));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An origin that says who it is.
fn named(name: &str) -> Origin {
    let answer = response("200 OK", "Content-Type: text/plain\r\n", name);
    Origin::start(move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
}

/// A file's text that lists these.
fn list(origins: &[&Origin]) -> String {
    json!(origins.iter().map(|origin| origin.address.to_string()).collect::<Vec<_>>()).to_string()
}

/// What the gateway has as the upstream's endpoints, by their addresses.
fn endpoints(status: &Value) -> Vec<String> {
    let endpoints = status["upstreams"]["main"]["endpoints"].as_array().unwrap();
    let mut endpoints: Vec<String> = endpoints.iter().map(|endpoint| endpoint["address"].as_str().unwrap().to_owned()).collect();
    endpoints.sort();
    endpoints
}

/// The addresses of these, as the gateway tells them.
fn addresses(origins: &[&Origin]) -> Vec<String> {
    let mut addresses: Vec<String> = origins.iter().map(|origin| origin.address.to_string()).collect();
    addresses.sort();
    addresses
}

/// The state of the upstream's only source.
fn source(status: &Value) -> Value {
    status["upstreams"]["main"]["discovery"]["sources"][0].clone()
}

/// Five hundred requests a second, on connections that are kept, for as long as it is held.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    senders: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(address: SocketAddr) -> Self {
        const SENDERS: usize = 5;
        const EVERY: Duration = Duration::from_millis(2 * SENDERS as u64);
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let senders = (0..SENDERS).map(|_| {
            let (stop, sent) = (stop.clone(), sent.clone());
            std::thread::spawn(move || {
                let (mut stream, mut wrong, mut due) = (raw(address), Vec::new(), Instant::now());
                while !stop.load(Ordering::SeqCst) {
                    let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n");
                    match read_reply(&mut stream, false) {
                        Some(reply) if reply.status == 200 && asked.is_ok() => {}
                        Some(reply) => wrong.push(format!("{} {}", reply.status, reply.text())),
                        None => {
                            wrong.push("no answer".to_owned());
                            stream = raw(address);
                        }
                    }
                    sent.fetch_add(1, Ordering::SeqCst);
                    due = (due + EVERY).max(Instant::now());
                    std::thread::sleep(due - Instant::now());
                }
                wrong
            })
        });
        Self { senders: senders.collect(), stop, sent }
    }

    /// Waits until so many more were answered.
    fn goes_on(&self, count: usize) {
        let before = self.sent.load(Ordering::SeqCst);
        crate::harness::until("more requests", || self.sent.load(Ordering::SeqCst) >= before + count);
    }

    /// Ends it. How many were sent, and what became of those that failed.
    fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let wrong = self.senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
        (self.sent.load(Ordering::SeqCst), wrong)
    }
}

/// A path as YAML takes it.
fn quoted(path: &Path) -> String {
    json!(path.display().to_string()).to_string()
}
