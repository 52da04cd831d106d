//! The answers that `cached` falls back on: the last good one to each request, as many as fit.
//!
//! An answer is found by two hashes of 128 bits, keyed at random. The first is over what every request has; the entry found by it says
//! which request headers the answers vary by, and the second is over those too. An answer that varies by nothing is the first entry itself.
//!
//! Whoever makes calls for others says in their fields and bodies for whom: all that a call says itself is in the first hash, too.
//!
//! Both hashes have a generation of what the request names in them. Once that has changed, its generation is over, and whatever was kept of
//! it, or is still on its way, is out of everybody's reach (RFC 9111, section 4.4).

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    AGE, ALT_SVC, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, EXPIRES, HOST, PROXY_AUTHENTICATE,
    RETRY_AFTER, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::{RequestHeader, ResponseHeader};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, UnitWeighter, Weighter};

use crate::filter::{Calling, Facts};
use crate::words::cache_control::{NO_STORE, not_kept, says};
use crate::words::selector::Selector;
use crate::words::{fields, reserved};

/// What one filter keeps, in bytes.
const TOTAL: u64 = 64 << 20;
/// The largest body it keeps, in bytes.
const LARGEST: usize = 1 << 20;
/// What an entry weighs beside its body and headers, in bytes.
const OVERHEAD: u64 = 256;
/// Of how many targets the generation is known.
const TARGETS: u64 = 1 << 18;
/// Each part of the store must hold many of the largest, or none would ever stay.
const PARTS: usize = 4;

/// What every call says of the request that it is made for, and is not among its own fields.
const SAID_OF_ASKERS: &[&str] = &["x-forwarded-for", "x-real-ip", "x-request-id", "via", "traceparent", "tracestate"];

/// The store of one filter.
pub struct Store {
    entries: Cache<u128, Arc<Entry>, ByBytes, RandomState>,
    /// By the hash of what requests name, its generation. What is not here has none, and nothing is kept of it.
    targets: Cache<u128, u64, UnitWeighter, RandomState>,
    /// The next generation.
    next: AtomicU64,
    /// How often a generation has ended.
    ended: AtomicU64,
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
    /// In the hashes of the answers that vary, so that those of another entry that stood here are not taken for its own.
    generation: u64,
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
    /// The hash of what the request names, and over who asks for it there.
    target: u128,
    who: u128,
    /// The generation of the target, where it has one.
    generation: Option<u64>,
    /// How often a generation had ended by then.
    ended: u64,
    second: Second,
    /// Whether the answer may be kept.
    keeps: bool,
    /// Whether it is kept for one alone.
    private: bool,
    /// Whether it is a call.
    call: bool,
}

enum Second {
    /// The answers are known to vary by the headers of this entry, and this is the hash over the request's.
    Known(Arc<Entry>, u128),
    /// Nothing is known: these are all of the request's headers, until it is.
    Unknown(Box<HeaderMap>),
}

/// An answer on its way into the store.
pub struct Copying {
    key: u128,
    generation: u64,
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
        let targets = Cache::with(4096, TARGETS, UnitWeighter, RandomState::new(), DefaultLifecycle::default());
        let keys = [RandomState::new(), RandomState::new()];
        Self { entries, targets, next: AtomicU64::new(0), ended: AtomicU64::new(0), keys }
    }

    /// What this request asks for; nothing where its answer may be neither kept nor served from here.
    /// What is a fact of a request is one of the request that a call is made for.
    pub fn ask(&self, head: &RequestHeader, facts: &Facts, per: Option<&Selector>, call: Option<&Calling<'_>>) -> Option<Asked> {
        let asker = call.map_or(Some(head), |call| call.asker);
        let whose = match per {
            Some(per) => Some(per.find(asker?, facts)?),
            // Who is asking may show in the token alone: the filter that verified it may have taken it out of the request.
            None if head.headers.contains_key(AUTHORIZATION) || facts.identity.is_some() => return None,
            None => None,
        };
        let ended = self.ended.load(Ordering::Acquire);
        let target = self.target(head);
        let version = facts.variant.as_ref().map(HeaderValue::as_bytes);
        let own = call.map(|call| Own { headers: &head.headers, call, has_owner: per.is_some() });
        let who = self.hash(&(&*facts.route, host(head), whose.as_deref(), version, own));
        let generation = self.targets.get(&target);
        let entry =
            generation.map(|generation| self.first(target, who, generation)).and_then(|first| Some((first, self.entries.get(&first)?)));
        let second = match entry {
            Some((first, entry)) => {
                let hash = self.vary(first, &entry, &head.headers);
                Second::Known(entry, hash)
            }
            None => Second::Unknown(Box::new(head.headers.clone())),
        };
        let forbids = says(&head.headers, "no-store") || asker.is_some_and(|asker| says(&asker.headers, "no-store"));
        let keeps = head.method == Method::GET && !forbids;
        Some(Asked { target, who, generation, ended, second, keeps, private: per.is_some(), call: call.is_some() })
    }

    /// The last good answer, where it is no older than this.
    pub fn find(&self, asked: &Asked, now: Instant, max_age: Duration) -> Option<Copy> {
        let first = self.first(asked.target, asked.who, self.targets.get(&asked.target)?);
        let entry = self.entries.get(&first)?;
        let entry = if entry.varies_by.is_empty() { entry } else { self.entries.get(&self.second(asked, first, &entry)?)? };
        entry.copy.as_ref().filter(|copy| copy.age(now) <= max_age).cloned()
    }

    /// What this request names is another by now: nothing that is kept of it, for whomever, serves again.
    pub fn forget(&self, head: &RequestHeader) {
        self.end(self.target(head));
    }

    /// What is asked for is gone: so is what was kept of it, where it is kept for one alone only this one's, and of calls that of those alone
    /// that say the same.
    pub fn gone(&self, asked: &Asked) {
        match self.targets.get(&asked.target) {
            Some(generation) if asked.private || asked.call => drop(self.entries.remove(&self.first(asked.target, asked.who, generation))),
            Some(_) => self.end(asked.target),
            None => {}
        }
    }

    fn end(&self, target: u128) {
        // First, so that an answer that is on its way to a target without a generation learns of it.
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.targets.remove(&target);
    }

    /// Begins to copy an answer, where it may be kept.
    pub fn copying(&self, asked: &Asked, head: &ResponseHeader) -> Option<Copying> {
        let good = head.status.is_success() && head.status != StatusCode::PARTIAL_CONTENT;
        let forbidden = says(&head.headers, "no-store") || !asked.private && says(&head.headers, "private");
        // Events are worth something when they come, and have no end.
        let events = head.headers.get(CONTENT_TYPE).is_some_and(|kind| fields::is_media_type(kind.as_bytes(), "text/event-stream"));
        if !asked.keeps || !good || forbidden || events || head.headers.contains_key(SET_COOKIE) {
            return None;
        }
        let length = fields::number(&head.headers, &CONTENT_LENGTH);
        if length.is_some_and(|length| length > LARGEST as u64) {
            return None;
        }
        // One that nobody can read could be any.
        let age = if head.headers.contains_key(AGE) { fields::number(&head.headers, &AGE)? } else { 0 };
        let varies_by = varies_by(&head.headers)?;
        if asked.call && varies_by.iter().any(|name| SAID_OF_ASKERS.contains(&name.as_str())) {
            return None;
        }
        let generation = asked.generation.or_else(|| self.begin(asked))?;
        let first = self.first(asked.target, asked.who, generation);
        let (key, generation) = if varies_by.is_empty() {
            (first, self.generation())
        } else {
            // Where the answer varies by what it was not known to vary by, the request's own headers are gone: the next one will be kept.
            let entry = self.note(first, &varies_by);
            (self.second(asked, first, &entry)?, entry.generation)
        };
        let length = length.map(|length| length as usize);
        let age = Duration::from_secs(age);
        let body = Vec::with_capacity(length.unwrap_or(0));
        Some(Copying { key, generation, status: head.status, headers: kept(&head.headers), body, length, age, varies_by })
    }

    /// Keeps an answer that came whole.
    pub fn keep(&self, copying: Copying, now: Instant) {
        let Copying { key, generation, status, headers, body, length, age, varies_by } = copying;
        if length.is_some_and(|length| length != body.len()) {
            return;
        }
        let heads: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 48).sum();
        let weight = OVERHEAD + (heads + body.len()) as u64;
        let copy = Copy { status, headers, body: body.into(), age, stored: now };
        self.entries.insert(key, Arc::new(Entry { generation, varies_by, copy: Some(copy), weight }));
    }

    /// What it holds, in bytes.
    #[cfg(test)]
    pub fn weight(&self) -> u64 {
        self.entries.weight()
    }

    /// The generation of a target that had none when it was asked for. Where one has ended since then, it may have been this one: then the
    /// answer that is coming may be of what is no more, and the next one will be kept.
    fn begin(&self, asked: &Asked) -> Option<u64> {
        let generation = self.targets.get(&asked.target).unwrap_or_else(|| {
            let generation = self.generation();
            self.targets.insert(asked.target, generation);
            generation
        });
        (self.ended.load(Ordering::Acquire) == asked.ended).then_some(generation)
    }

    /// One that this gives only once.
    fn generation(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// What a request names, whoever asks and whichever route takes it.
    fn target(&self, head: &RequestHeader) -> u128 {
        self.hash(&(Name(host(head)), head.uri.path(), head.uri.query()))
    }

    fn first(&self, target: u128, who: u128, generation: u64) -> u128 {
        self.hash(&(target, who, generation))
    }

    /// The hash over what the request has of the headers that this entry's answers vary by; nothing where that is no longer known.
    fn second(&self, asked: &Asked, first: u128, entry: &Entry) -> Option<u128> {
        match &asked.second {
            Second::Known(known, hash) => (known.generation == entry.generation).then_some(*hash),
            Second::Unknown(headers) => Some(self.vary(first, entry, headers)),
        }
    }

    /// The entry that says what answers vary by.
    fn note(&self, first: u128, varies_by: &Arc<[HeaderName]>) -> Arc<Entry> {
        if let Some(entry) = self.entries.get(&first).filter(|entry| entry.varies_by == *varies_by) {
            return entry;
        }
        let weight = OVERHEAD + varies_by.iter().map(|name| name.as_str().len() as u64).sum::<u64>();
        let entry = Arc::new(Entry { generation: self.generation(), varies_by: varies_by.clone(), copy: None, weight });
        self.entries.insert(first, entry.clone());
        entry
    }

    fn vary(&self, first: u128, entry: &Entry, headers: &HeaderMap) -> u128 {
        if entry.varies_by.is_empty() {
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
        self.hash(&(first, entry.generation, Values(headers, &entry.varies_by)))
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

/// The host as the request has it.
fn host(head: &RequestHeader) -> Option<&[u8]> {
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    authority.or_else(|| head.headers.get(HOST).map(HeaderValue::as_bytes))
}

/// What a call says itself, as it counts. Who has an owner is asked for with credentials that change, and is told by the owner.
struct Own<'c> {
    headers: &'c HeaderMap,
    call: &'c Calling<'c>,
    has_owner: bool,
}

impl Hash for Own<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (name, value) in self.headers.iter().filter(|(name, _)| !(self.has_owner && **name == AUTHORIZATION)) {
            name.as_str().hash(state);
            value.as_bytes().hash(state);
        }
        // No name has this byte.
        state.write_u8(0xfe);
        self.call.hosts.hash(state);
        self.call.body.hash(state);
    }
}

/// A host as it counts for what is named: without port and closing dot, in any case.
struct Name<'h>(Option<&'h [u8]>);

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let host = self.0.unwrap_or_default();
        let end = if host.first() == Some(&b'[') { b']' } else { b':' };
        let name = host.split(|byte| *byte == end).next().unwrap_or_default();
        let name = name.strip_suffix(b".").unwrap_or(name);
        name.iter().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
        // No host has this byte.
        state.write_u8(0xff);
    }
}

/// The names in Vary, sorted; nothing where it says that no two requests are alike, or nothing sensible.
fn varies_by(headers: &HeaderMap) -> Option<Arc<[HeaderName]>> {
    let mut names = Vec::new();
    for name in fields::list(headers, &VARY) {
        if name == b"*" {
            return None;
        }
        names.push(HeaderName::from_bytes(name).ok()?);
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    Some(names.into())
}

/// The headers that are about the answer: not about this message, its way or its time.
fn kept(headers: &HeaderMap) -> Arc<[(HeaderName, HeaderValue)]> {
    const WITHOUT: &[HeaderName] = &[AGE, ALT_SVC, CACHE_CONTROL, DATE, EXPIRES, PROXY_AUTHENTICATE, RETRY_AFTER];
    const WITHOUT_TOO: &[&str] = &["cache-status", "ratelimit", "ratelimit-policy", "server-timing", "x-bff-fallback", "x-request-id"];
    let nominated = |name: &HeaderName| fields::lists(headers, &CONNECTION, name.as_str());
    let stays =
        |name: &HeaderName| !reserved::frames(name) && !WITHOUT.contains(name) && !WITHOUT_TOO.contains(&name.as_str()) && !nominated(name);
    // Of what was said of caching one thing is about the answer: whether it may be changed.
    let control = not_kept(headers);
    let control = (control != NO_STORE).then_some((CACHE_CONTROL, control));
    headers.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (name.clone(), value.clone())).chain(control).collect()
}
