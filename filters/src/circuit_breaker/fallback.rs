//! What is answered in place of an upstream that cannot: the fallbacks in their order, each marked as one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{AGE, CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_http::ResponseHeader;

use super::cache::{Asked, Copy, Store};
use super::config::Fallback;
use crate::count::stripe::Counter;
use crate::reply::respond::Respond;
use crate::reply::{Reply, ReplyBody};
use crate::words::cache_control::{NO_STORE, not_kept};

const MARK: HeaderName = HeaderName::from_static("x-bff-fallback");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A fallback, compiled.
pub struct Serving {
    kind: Kind,
    counter: Counter,
}

enum Kind {
    Cached(Duration),
    Upstream(Arc<str>),
    Respond(Reply),
}

/// Why one is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The circuit lets nothing through.
    Open,
    /// A try failed, with this status where it had one.
    Failed(Option<StatusCode>),
}

/// What a fallback can be had from.
pub struct Situation<'s> {
    /// Why one is needed.
    pub why: Why,
    /// The upstream that failed: it is no fallback for itself.
    pub upstream: &'s str,
    /// The store and what the request asks it for.
    pub cache: Option<(&'s Store, &'s Asked)>,
    /// Whether another upstream could be asked: nothing of the request is lost.
    pub replayable: bool,
    /// Whether it is only explained what would serve.
    pub explained: bool,
    /// Now.
    pub now: Instant,
}

/// A fallback that serves.
pub enum Served {
    /// With this answer.
    Reply(&'static str, Reply),
    /// With that of this upstream.
    Pool(Arc<str>),
}

impl Serving {
    /// Compiles it. `counter` gives the counter of a kind.
    pub fn new(fallback: &Fallback, upstreams: &[Arc<str>], counter: impl Fn(&str) -> Counter) -> Result<Self, String> {
        Ok(match fallback {
            Fallback::Cached(cached) => Self { kind: Kind::Cached(cached.max_age.0), counter: counter("cached") },
            Fallback::Upstream(name) => {
                let pool = upstreams.iter().find(|known| ***known == *name.value).cloned().unwrap_or_else(|| name.as_str().into());
                Self { kind: Kind::Upstream(pool), counter: counter("upstream") }
            }
            Fallback::Respond(respond) => Self { kind: Kind::Respond(fixed(respond)?), counter: counter("respond") },
        })
    }

    fn serve(&self, situation: &Situation<'_>) -> Option<Served> {
        let served = match &self.kind {
            Kind::Cached(max_age) => {
                let (store, asked) = situation.cache?;
                Served::Reply("cached", copied(store.find(asked, situation.now, *max_age)?, situation))
            }
            Kind::Upstream(pool) if situation.replayable && **pool != *situation.upstream => Served::Pool(pool.clone()),
            Kind::Upstream(_) => return None,
            Kind::Respond(reply) => Served::Reply("respond", reply.clone()),
        };
        // Another upstream has still to answer.
        if !situation.explained && matches!(served, Served::Reply(..)) {
            self.count();
        }
        Some(served)
    }

    /// Its answer is the one that is given.
    pub fn count(&self) {
        self.counter.inc();
    }
}

/// The next fallback that can serve, beginning at `next`, which is moved behind it.
pub fn serve(all: &[Serving], next: &mut usize, situation: &Situation<'_>) -> Option<Served> {
    while let Some(serving) = all.get(*next) {
        *next += 1;
        if let Some(served) = serving.serve(situation) {
            return Some(served);
        }
    }
    None
}

/// Marks another upstream's answer.
pub fn mark(head: &mut ResponseHeader) {
    head.insert_header("X-BFF-Fallback", HeaderValue::from_static("upstream")).expect("a known name and value");
    let control = not_kept(&head.headers);
    head.insert_header("Cache-Control", control).expect("a known name and value");
}

/// The refusal where nothing serves.
pub fn circuit_open(left: Duration) -> Reply {
    let seconds = left.as_millis().div_ceil(1000).max(1) as u64;
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "circuit_open", "The service is failing and is not asked for a while.")
        .with(RETRY_AFTER, HeaderValue::from(seconds))
}

fn copied(copy: Copy, situation: &Situation<'_>) -> Reply {
    let status = match situation.why {
        Why::Open => HeaderValue::from_static("frontgate; hit; detail=circuit-open"),
        Why::Failed(None) => HeaderValue::from_static("frontgate; fwd=stale"),
        Why::Failed(Some(status)) => {
            let text = format!("frontgate; fwd=stale; fwd-status={}", status.as_u16());
            HeaderValue::try_from(text).expect("letters and a number")
        }
    };
    let age = HeaderValue::from(copy.age(situation.now).as_secs());
    let mut headers = Vec::with_capacity(copy.headers.len() + 4);
    headers.extend_from_slice(&copy.headers);
    headers.extend([(MARK, HeaderValue::from_static("cached")), (AGE, age), (CACHE_STATUS, status)]);
    if !copy.headers.iter().any(|(name, _)| *name == CACHE_CONTROL) {
        headers.push((CACHE_CONTROL, NO_STORE));
    }
    Reply { status: copy.status, headers, body: ReplyBody::Bytes(copy.body), reason: "fallback_cached" }
}

/// The headers that every fallback's answer carries: configuration cannot set them.
pub(super) const OWN: [HeaderName; 2] = [MARK, CACHE_CONTROL];

fn fixed(respond: &Respond) -> Result<Reply, String> {
    let mut reply = respond.reply()?;
    reply.headers.extend([(MARK, HeaderValue::from_static("respond")), (CACHE_CONTROL, NO_STORE)]);
    reply.reason = "fallback_respond";
    Ok(reply)
}
