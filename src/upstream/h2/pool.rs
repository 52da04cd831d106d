//! The connections of a thread: who gets room on which, who waits for one that is being made, and when another one is.
//!
//! A connection takes as many streams as its peer allows, up to a limit, and a further one is made only where those that there are have no
//! room. However many requests meet an endpoint that has no connection, one is made, and they wait for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;

use super::drive::{Driver, dial};
use super::shared::{Place, Queue, Shared};
use super::stream::Stream;
use super::{MOST_HELD_UP, MOST_STREAMS};
use crate::upstream::cause::Cause;
use crate::upstream::h1::AsItIs;
use crate::upstream::pool::Endpoint;

/// How many connections one request has made before it only waits: a peer that allows no stream is not asked for ever.
const DIALS: u32 = 3;

thread_local! {
    static HOSTS: RefCell<HashMap<u64, Host, BuildHasherDefault<AsItIs>>> = RefCell::default();
}

/// An endpoint as this thread knows it.
#[derive(Default)]
struct Host {
    connections: Vec<Open>,
    /// How many connections are being made.
    dialing: usize,
    /// How many have come to nothing, and the last time why.
    failed: u64,
    cause: Option<Cause>,
    /// How many streams a connection takes, as far as is known.
    usual: Option<usize>,
    queue: Arc<Queue>,
}

/// A connection that takes streams.
struct Open {
    requests: SendRequest<Bytes>,
    shared: Arc<Shared>,
}

impl Host {
    /// Room on a connection that there is: on the first that has some, so that those behind it become idle and end.
    fn take(&mut self, idle: Duration) -> Option<(SendRequest<Bytes>, Place)> {
        let mut index = 0;
        while let Some(open) = self.connections.get_mut(index) {
            if !open.takes_streams() {
                self.connections.remove(index);
                continue;
            }
            let limit = open.requests.current_max_send_streams().min(MOST_STREAMS);
            self.usual = Some(limit.max(1));
            let shared = &open.shared;
            if shared.streams.load(Ordering::Relaxed) < limit && shared.held_up.load(Ordering::Relaxed) < MOST_HELD_UP {
                shared.idle.store(idle.as_millis() as u64, Ordering::Relaxed);
                return Some((open.requests.clone(), Place::take(shared)));
            }
            index += 1;
        }
        None
    }

    /// Whether those who wait need more connections than are being made.
    fn wants_another(&self) -> bool {
        let waiting = self.queue.waiting.load(Ordering::Relaxed);
        self.dialing == 0 || self.usual.is_some_and(|usual| self.dialing.saturating_mul(usual) < waiting)
    }

    fn is_forgotten(&self) -> bool {
        self.connections.is_empty() && self.dialing == 0 && self.queue.waiting.load(Ordering::Relaxed) == 0
    }
}

impl Open {
    /// Whether its peer has not said that it takes no more, and neither has anybody here.
    fn takes_streams(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        !self.shared.retired.load(Ordering::Relaxed) && !matches!(self.requests.poll_ready(cx), Poll::Ready(Err(_)))
    }
}

fn with_host<T>(key: u64, what: impl FnOnce(&mut Host) -> T) -> T {
    HOSTS.with_borrow_mut(|hosts| what(hosts.entry(key).or_default()))
}

/// Forgets an endpoint of which there is nothing left. A thread that is ending may have let go of all of them.
fn after<T>(key: u64, what: impl FnOnce(&mut Host) -> T) -> Option<T> {
    let done = HOSTS.try_with(|hosts| {
        let mut hosts = hosts.borrow_mut();
        let host = hosts.get_mut(&key)?;
        let done = what(host);
        if host.is_forgotten() {
            hosts.remove(&key);
        }
        Some(done)
    });
    done.ok().flatten()
}

/// Room on a connection to this endpoint that there is already.
pub(crate) fn pooled(endpoint: &Endpoint, idle: Duration) -> Option<Box<Stream>> {
    let (requests, place) = HOSTS.with_borrow_mut(|hosts| hosts.get_mut(&endpoint.connections())?.take(idle))?;
    Some(Box::new(Stream::new(requests, place, true)))
}

/// Somebody who waits for room, until dropped.
struct Waiting {
    key: u64,
    queue: Arc<Queue>,
}

impl Waiting {
    fn at(key: u64) -> Self {
        let queue = with_host(key, |host| host.queue.clone());
        queue.waiting.fetch_add(1, Ordering::Relaxed);
        Self { key, queue }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
        after(self.key, |_| ());
    }
}

/// Room on a connection that is still to be made, or becomes free meanwhile. A connection that is being made does not depend on who waits
/// for it; it may take as long as this.
pub(crate) async fn open(endpoint: &Arc<Endpoint>, patience: Duration, idle: Duration) -> Result<Box<Stream>, Cause> {
    let key = endpoint.connections();
    let waiting = Waiting::at(key);
    let failed = with_host(key, |host| host.failed);
    let mut dials = 0;
    loop {
        let mut changed = pin!(waiting.queue.changed.notified());
        // Before anything is looked at, so that no change is missed.
        changed.as_mut().enable();
        let found = with_host(key, |host| {
            if let Some((requests, place)) = host.take(idle) {
                return Ok(Some(Box::new(Stream::new(requests, place, false))));
            }
            match host.cause {
                Some(cause) if host.failed > failed && host.dialing == 0 => return Err(cause),
                _ => {}
            }
            if dials < DIALS && host.wants_another() {
                host.dialing += 1;
                dials += 1;
                tokio::spawn(make(endpoint.clone(), patience, Dialing { key, made: false }));
            }
            Ok(None)
        });
        if let Some(stream) = found? {
            return Ok(stream);
        }
        changed.await;
    }
}

/// A connection that is being made, until dropped.
struct Dialing {
    key: u64,
    made: bool,
}

impl Dialing {
    fn failed(&self, cause: Cause) {
        after(self.key, |host| host.cause = Some(cause));
    }

    /// It was made: from here it takes streams, until what is returned is dropped.
    fn made(mut self, requests: SendRequest<Bytes>, driver: &Driver) -> Listed {
        self.made = true;
        let (key, shared) = (self.key, driver.shared().clone());
        shared.is_used();
        with_host(key, |host| host.connections.push(Open { requests, shared: shared.clone() }));
        Listed { key, shared }
    }
}

impl Drop for Dialing {
    fn drop(&mut self) {
        after(self.key, |host| {
            host.dialing -= 1;
            host.failed += u64::from(!self.made);
            host.queue.changed.notify_waiters();
        });
    }
}

/// A connection that takes streams, until dropped.
struct Listed {
    key: u64,
    shared: Arc<Shared>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let left = after(self.key, |host| {
            let at = host.connections.iter().position(|open| Arc::ptr_eq(&open.shared, &self.shared))?;
            Some(host.connections.remove(at))
        });
        // Its driver is told so, outside of the table.
        drop(left);
    }
}

/// Makes a connection and keeps it going until its end.
async fn make(endpoint: Arc<Endpoint>, patience: Duration, dialing: Dialing) {
    let queue = with_host(dialing.key, |host| host.queue.clone());
    let dialed = tokio::time::timeout(patience, dial(&endpoint, queue)).await.unwrap_or(Err(Cause::TooSlow));
    match dialed {
        Ok((requests, driver)) => {
            let listed = dialing.made(requests, &driver);
            driver.run(Some(listed)).await;
        }
        Err(cause) => dialing.failed(cause),
    }
}

/// A stream on a connection of its own, which ends with it.
pub(crate) async fn alone(endpoint: &Arc<Endpoint>) -> Result<Box<Stream>, Cause> {
    let (requests, driver) = dial(endpoint, Arc::default()).await?;
    let stream = Box::new(Stream::new(requests, Place::take(driver.shared()), false));
    tokio::spawn(driver.run(None::<Listed>));
    Ok(stream)
}
