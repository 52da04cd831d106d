//! Origin, Gateway, Client: real sockets on free loopback ports, plumbing hidden, requests not.

pub mod client;
pub mod gateway;
pub mod http2;
pub mod origin;
pub mod process;

pub use client::{Reply, exchange, get, raw};
pub use gateway::Gateway;
pub use origin::Origin;
pub use process::Process;
use std::time::{Duration, Instant};

/// Waits for a condition, with an end.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}
