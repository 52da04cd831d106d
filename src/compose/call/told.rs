//! What is told of the calls of a request: to the log, in spans, and to those who ask how it fared.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use frontgate_filters::clock;
use http::Method;
use parking_lot::Mutex;

use super::super::Ready;
use super::taken::Total;
use crate::telemetry::CallResult;
use crate::upstream::attempts::{Attempts, Tried};

/// How many calls of one request are told of one by one.
const MOST: usize = 256;
/// How many numbers each call has for its attempts.
const ATTEMPTS: u32 = 1 << 8;

/// The calls of a request so far.
#[derive(Default)]
pub(crate) struct Told {
    calls: Mutex<Vec<Called>>,
    count: std::sync::atomic::AtomicU32,
    /// What answered in the place of an upstream, where something did: the first that did.
    instead: OnceLock<&'static str>,
    pub(super) total: Total,
    /// The operation of a document that the request is for.
    operation: OnceLock<Arc<str>>,
    /// The saga that was begun for the request.
    saga: OnceLock<Arc<str>>,
}

impl Told {
    /// A saga was begun for the request, whoever waits for it.
    pub(super) fn begins(&self, saga: &str) {
        let _ = self.saga.set(saga.into());
    }

    /// The saga that was begun for the request.
    pub(crate) fn saga(&self) -> Option<&Arc<str>> {
        self.saga.get()
    }
}

/// A call as it is told of.
#[derive(Clone)]
#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "spans alone tell all of it"))]
pub(crate) struct Called {
    /// Its name.
    pub name: Arc<str>,
    /// Its method.
    pub method: Method,
    /// Its path, without the query.
    pub path: String,
    /// How it ended, where that was said.
    pub result: Option<CallResult>,
    /// When it began.
    pub began: Instant,
    /// When it was over; none while it is under way.
    pub ended: Option<Instant>,
    /// What the numbers of its attempts are counted from.
    pub base: u32,
    /// Its attempts.
    pub tried: Vec<Tried>,
}

impl Called {
    /// How it ended, in a word.
    pub(crate) fn word(&self) -> &'static str {
        match (self.result, self.ended) {
            (Some(result), _) => result.word(),
            (None, Some(_)) => "cancelled",
            (None, None) => "under_way",
        }
    }

    /// How long it took, or has taken by now.
    pub(crate) fn took(&self, now: Instant) -> Duration {
        self.ended.unwrap_or(now).saturating_duration_since(self.began)
    }
}

impl Told {
    /// A call begins.
    pub(super) fn begin(&self, name: Arc<str>, ready: &Ready<'_>, began: Instant) -> Calling<'_> {
        let number = self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let base = number.wrapping_mul(ATTEMPTS);
        let mut calls = self.calls.lock();
        let place = (calls.len() < MOST).then_some(calls.len());
        if place.is_some() {
            let path = ready.target[..memchr::memchr(b'?', ready.target.as_bytes()).unwrap_or(ready.target.len())].to_owned();
            let (method, tried) = (ready.method.clone(), Vec::new());
            calls.push(Called { name, method, path, result: None, began, ended: None, base, tried });
        }
        let mut attempts = Attempts::default();
        attempts.record(true);
        Calling { told: self, place, base, attempts, ended: None }
    }

    /// A call of this name has ended so.
    pub(super) fn ended(&self, name: &str, result: CallResult) {
        let mut calls = self.calls.lock();
        if let Some(call) = calls.iter_mut().find(|call| *call.name == *name && call.result.is_none()) {
            call.result = Some(result);
        }
    }

    /// Something has answered in the place of a call's upstream: `fallback_cached`, `fallback_respond` or `fallback_upstream`.
    pub(super) fn fell_back(&self, to: &'static str) {
        let _ = self.instead.set(to);
    }

    /// What answered in the place of an upstream, where something did.
    pub(crate) fn fallback(&self) -> Option<&'static str> {
        self.instead.get().copied()
    }

    /// The request is for this operation of a document.
    pub(super) fn is_for(&self, operation: Arc<str>) {
        // The first one holds: a request has one.
        let _ = self.operation.set(operation);
    }

    /// The operation of a document that the request is for.
    pub(crate) fn operation(&self) -> Option<&str> {
        self.operation.get().map(|operation| &**operation)
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// All of them, as far as they are told of one by one.
    pub(crate) fn each(&self, each: impl FnMut(&Called)) {
        self.calls.lock().iter().for_each(each);
    }

    /// Copies of all of them.
    pub(crate) fn all(&self) -> Vec<Called> {
        self.calls.lock().clone()
    }
}

/// A call that is under way. Dropped, it is over.
pub(super) struct Calling<'t> {
    told: &'t Told,
    place: Option<usize>,
    /// What the numbers of its attempts are counted from.
    pub base: u32,
    /// Its attempts.
    pub attempts: Attempts,
    ended: Option<Instant>,
}

impl Calling<'_> {
    /// It is over: when.
    pub(super) fn over(&mut self) -> Instant {
        *self.ended.insert(clock::now())
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        let now = self.ended.unwrap_or_else(clock::now);
        let tried = self.attempts.told(now);
        let mut calls = self.told.calls.lock();
        if let Some(call) = self.place.and_then(|place| calls.get_mut(place)) {
            (call.ended, call.tried) = (Some(now), tried);
        }
    }
}
