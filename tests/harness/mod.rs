//! Origin, Gateway, Client: real sockets on free loopback ports, plumbing hidden, requests not.

pub mod client;
pub mod frames;
pub mod gateway;
mod heard;
pub mod http2;
pub mod http2_origin;
pub mod log;
pub mod origin;
pub mod process;
pub mod steady;

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub use client::{Reply, exchange, get, operate, raw};
pub use frontgate_test_support::yaml;
pub use gateway::{Gateway, load};
pub use log::Log;
pub use origin::Origin;
pub use process::{Process, Starting};
pub use steady::Steady;

/// How long a test waits for what must come about. Not a measure of speed: no machine is so busy, and a test that hangs has an end.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition, with an end.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Holds an origin back until the test opens it: what happens meanwhile does so however long anything takes.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Waits until it is open.
    pub fn pass(&self) {
        let (open, changed) = &*self.0;
        let _open = changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap();
    }

    /// Lets everybody pass, now and later.
    pub fn open(&self) {
        let (open, changed) = &*self.0;
        *open.lock().unwrap() = true;
        changed.notify_all();
    }
}
