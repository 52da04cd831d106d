//! The answers that `cached` falls back on: the last good one to each request, as many as fit.
//!
//! An answer is found by two hashes of 128 bits, keyed at random. The first is over what every request has; the entry found by it says
//! which request headers the answers vary by, and the second is over those too. An answer that varies by nothing is the first entry itself.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    AGE, ALT_SVC, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, DATE, EXPIRES, HOST, PROXY_AUTHENTICATE, RETRY_AFTER,
    SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::{RequestHeader, ResponseHeader};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::fallback;
use crate::filter::Facts;
use crate::words::reserved;
use crate::words::selector::Selector;

/// What one filter keeps, in bytes.
const TOTAL: u64 = 64 << 20;
/// The largest body it keeps, in bytes.
const LARGEST: usize = 1 << 20;
/// What an entry weighs beside its body and headers, in bytes.
const OVERHEAD: u64 = 256;
/// Each part of the store must hold many of the largest, or none would ever stay.
const PARTS: usize = 4;

/// The store of one filter.
pub struct Store {
    entries: Cache<u128, Arc<Entry>, ByBytes, RandomState>,
    keys: [RandomState; 2],
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<u128, Arc<Entry>> for ByBytes {
    fn weight(&self, _: &u128, entry: &Arc<Entry>) -> u64 {
        entry.weight
    }
}

/// What is found under a hash.
struct Entry {
    /// The request headers that the answers vary by.
    varies_by: Arc<[HeaderName]>,
    copy: Option<Copy>,
    weight: u64,
}

/// An answer as it was.
#[derive(Clone)]
pub struct Copy {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, without those that were about that one message.
    pub headers: Arc<[(HeaderName, HeaderValue)]>,
    /// Its body.
    pub body: Bytes,
    /// How old it was when it came.
    age: Duration,
    stored: Instant,
}

impl Copy {
    /// Its age at this time.
    pub fn age(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.saturating_duration_since(self.stored))
    }
}

/// What a request asks the store for.
pub struct Asked {
    first: u128,
    second: Second,
    /// Whether the answer may be kept.
    keeps: bool,
    /// Whether it is kept for one alone.
    private: bool,
}

enum Second {
    /// The answers are known to vary by these headers, and this is the hash over the request's.
    Known(Arc<[HeaderName]>, u128),
    /// Nothing is known: these are all of the request's headers, until it is.
    Unknown(Box<HeaderMap>),
}

/// An answer on its way into the store.
pub struct Copying {
    key: u128,
    status: StatusCode,
    headers: Arc<[(HeaderName, HeaderValue)]>,
    body: Vec<u8>,
    length: Option<usize>,
    age: Duration,
    varies_by: Arc<[HeaderName]>,
}

impl Store {
    /// An empty one.
    pub fn new() -> Self {
        let options = OptionsBuilder::new().shards(PARTS).estimated_items_capacity(4096).weight_capacity(TOTAL).build();
        let options = options.expect("all that must be given is given");
        let entries = Cache::with_options(options, ByBytes, RandomState::new(), DefaultLifecycle::default());
        Self { entries, keys: [RandomState::new(), RandomState::new()] }
    }

    /// What this request asks for; nothing where its answer may be neither kept nor served from here.
    pub fn ask(&self, head: &RequestHeader, facts: &Facts, per: Option<&Selector>) -> Option<Asked> {
        let whose = match per {
            Some(per) => Some(per.find(head, facts)?),
            // Who is asking may show in the token alone: the filter that verified it may have taken it out of the request.
            None if head.headers.contains_key(AUTHORIZATION) || facts.identity.is_some() => return None,
            None => None,
        };
        let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
        let host = authority.or_else(|| head.headers.get(HOST).map(HeaderValue::as_bytes));
        let first = self.hash(&(&*facts.route, host, head.uri.path(), head.uri.query(), whose.as_deref()));
        let second = match self.entries.get(&first) {
            Some(entry) => Second::Known(entry.varies_by.clone(), self.vary(first, &entry.varies_by, &head.headers)),
            None => Second::Unknown(Box::new(head.headers.clone())),
        };
        let keeps = head.method == Method::GET && !says(&head.headers, &["no-store"]);
        Some(Asked { first, second, keeps, private: per.is_some() })
    }

    /// The last good answer, where it is no older than this.
    pub fn find(&self, asked: &Asked, now: Instant, max_age: Duration) -> Option<Copy> {
        let entry = self.entries.get(&asked.first)?;
        let entry = if entry.varies_by.is_empty() { entry } else { self.entries.get(&self.second(asked, &entry.varies_by)?)? };
        entry.copy.as_ref().filter(|copy| copy.age(now) <= max_age).cloned()
    }

    /// Begins to copy an answer, where it may be kept.
    pub fn copying(&self, asked: &Asked, head: &ResponseHeader) -> Option<Copying> {
        let good = head.status.is_success() && head.status != StatusCode::PARTIAL_CONTENT;
        let forbidden: &[&str] = if asked.private { &["no-store"] } else { &["no-store", "private"] };
        if !asked.keeps || !good || says(&head.headers, forbidden) || head.headers.contains_key(SET_COOKIE) {
            return None;
        }
        let number = |name| head.headers.get(name).and_then(|value| value.to_str().ok()?.trim().parse::<usize>().ok());
        let length = number(CONTENT_LENGTH);
        if length.is_some_and(|length| length > LARGEST) {
            return None;
        }
        let varies_by = varies_by(&head.headers)?;
        // Where the answer varies by what it was not known to vary by, the request's own headers are gone: the next one will be kept.
        let key = self.second(asked, &varies_by);
        if !varies_by.is_empty() {
            self.note(asked.first, &varies_by);
        }
        let age = Duration::from_secs(number(AGE).unwrap_or(0) as u64);
        let body = Vec::with_capacity(length.unwrap_or(0));
        Some(Copying { key: key?, status: head.status, headers: kept(&head.headers), body, length, age, varies_by })
    }

    /// Keeps an answer that came whole.
    pub fn keep(&self, copying: Copying, now: Instant) {
        let Copying { key, status, headers, body, length, age, varies_by } = copying;
        if length.is_some_and(|length| length != body.len()) {
            return;
        }
        let heads: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 48).sum();
        let weight = OVERHEAD + (heads + body.len()) as u64;
        let copy = Copy { status, headers, body: body.into(), age, stored: now };
        self.entries.insert(key, Arc::new(Entry { varies_by, copy: Some(copy), weight }));
    }

    /// What it holds, in bytes.
    #[cfg(test)]
    pub fn weight(&self) -> u64 {
        self.entries.weight()
    }

    /// The hash over what the request has of these headers; nothing where that is no longer known.
    fn second(&self, asked: &Asked, names: &[HeaderName]) -> Option<u128> {
        if names.is_empty() {
            return Some(asked.first);
        }
        match &asked.second {
            Second::Known(known, hash) => (**known == *names).then_some(*hash),
            Second::Unknown(headers) => Some(self.vary(asked.first, names, headers)),
        }
    }

    fn note(&self, first: u128, varies_by: &Arc<[HeaderName]>) {
        if self.entries.get(&first).is_none_or(|entry| entry.varies_by != *varies_by) {
            let weight = OVERHEAD + varies_by.iter().map(|name| name.as_str().len() as u64).sum::<u64>();
            self.entries.insert(first, Arc::new(Entry { varies_by: varies_by.clone(), copy: None, weight }));
        }
    }

    fn vary(&self, first: u128, names: &[HeaderName], headers: &HeaderMap) -> u128 {
        if names.is_empty() {
            return first;
        }
        /// A header as it counts: its name, and all of its values in order.
        struct Values<'h>(&'h HeaderMap, &'h [HeaderName]);
        impl Hash for Values<'_> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                for name in self.1 {
                    name.as_str().hash(state);
                    self.0.get_all(name).iter().for_each(|value| value.as_bytes().hash(state));
                    // What follows is another name, not another value.
                    state.write_u8(0xfe);
                }
            }
        }
        self.hash(&(first, Values(headers, names)))
    }

    fn hash(&self, what: &impl Hash) -> u128 {
        u128::from(self.keys[0].hash_one(what)) << 64 | u128::from(self.keys[1].hash_one(what))
    }
}

impl Copying {
    /// Takes a part of the body; `false` where it is now too large to be kept.
    pub fn take(&mut self, part: &[u8]) -> bool {
        let fits = self.body.len() + part.len() <= LARGEST;
        if fits {
            self.body.extend_from_slice(part);
        }
        fits
    }
}

/// Whether Cache-Control has one of these directives, with or without an argument.
fn says(headers: &HeaderMap, directives: &[&str]) -> bool {
    headers.get_all(CACHE_CONTROL).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).any(|directive| {
        let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        directives.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// The names in Vary, sorted; nothing where it says that no two requests are alike, or nothing sensible.
fn varies_by(headers: &HeaderMap) -> Option<Arc<[HeaderName]>> {
    let mut names = Vec::new();
    for value in headers.get_all(VARY) {
        for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
            if name == b"*" {
                return None;
            }
            names.push(HeaderName::from_bytes(name).ok()?);
        }
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    Some(names.into())
}

/// The headers that are about the answer: not about this message, its way or its time.
fn kept(headers: &HeaderMap) -> Arc<[(HeaderName, HeaderValue)]> {
    const WITHOUT: &[HeaderName] = &[AGE, ALT_SVC, CACHE_CONTROL, DATE, EXPIRES, PROXY_AUTHENTICATE, RETRY_AFTER];
    const WITHOUT_TOO: &[&str] = &["cache-status", "ratelimit", "ratelimit-policy", "server-timing", "x-bff-fallback", "x-request-id"];
    let nominated = |name: &HeaderName| {
        let tokens = headers.get_all(CONNECTION).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        tokens.map(<[u8]>::trim_ascii).any(|token| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    let stays =
        |name: &HeaderName| !reserved::frames(name) && !WITHOUT.contains(name) && !WITHOUT_TOO.contains(&name.as_str()) && !nominated(name);
    // Of what was said of caching one thing is about the answer: whether it may be changed.
    let control = fallback::control(headers);
    let control = (control != fallback::NO_STORE).then_some((CACHE_CONTROL, control));
    headers.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (name.clone(), value.clone())).chain(control).collect()
}
