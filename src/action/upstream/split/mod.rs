//! Reads and writes apart: which of two upstreams a request is for.
//!
//! What is not known to be a read is a write, and no write ever goes where reads go. Who has written finds what he wrote: for a while his reads
//! go to the primary, by a table of this node and a signed cookie that tells the others.

mod pins;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use frontgate_filters::filter::Facts;
use frontgate_filters::words::fields;
use frontgate_filters::words::selector::Selector;
use http::{HeaderValue, Method};
use pingora_http::RequestHeader;

use self::pins::Writing;
use super::With;
use super::canary::{is_secure, set_cookie};
use super::seal::Seal;
use crate::config::model;
use crate::upstream::Pool;
use crate::websocket;

pub(crate) use self::pins::Pins;

/// Two upstreams.
pub(super) struct Split {
    pub(super) read: Arc<Pool>,
    pub(super) write: Arc<Pool>,
    /// Whether the primary answers reads that nobody else takes.
    pub(super) spills: bool,
    reads: Box<[Method]>,
    after: Option<Arc<After>>,
}

/// For how long and whose reads follow a write.
pub(super) struct After {
    length: Duration,
    by: Selector,
    pins: Arc<Pins>,
    cookie: Option<Cookie>,
}

/// The cookie that tells other nodes of a write.
struct Cookie {
    /// For each primary another, which says nothing of its name.
    name: Box<str>,
    seal: Seal,
}

/// Where a request is sent.
pub(super) enum Sent {
    /// To the upstream for reads.
    Read,
    /// To the primary, and why although it is a read.
    Pinned(&'static str),
    /// To the primary.
    Write(Option<Written>),
}

/// A write on its way, with what the client is told of it.
pub(crate) struct Written {
    writing: Writing,
    after: Arc<After>,
    secure: bool,
}

impl Split {
    /// Compiles what was checked.
    pub(super) fn new(written: &model::Split, with: &With<'_>) -> Result<Self, String> {
        let (read, write) = (with.pool(&written.read)?, with.pool(&written.write)?);
        let methods = written.read_methods.as_ref().map(|methods| methods.iter().map(|method| method.as_bytes()).collect());
        let methods: Vec<&[u8]> = methods.unwrap_or_else(|| model::Split::READS.iter().map(|method| method.as_bytes()).collect());
        let after = match &written.after_write {
            Some(after) => {
                let cookie = match &after.key {
                    Some(key) => {
                        let seal = Seal::new(with.loaded.secret(key)?.as_bytes())?;
                        Some(Cookie { name: format!("fg_w-{}", seal.name("name of a write", &write.name)).into(), seal })
                    }
                    None => None,
                };
                Some(Arc::new(After { length: after.length.0, by: after.by.value.clone(), pins: with.pins(&write.name), cookie }))
            }
            None => None,
        };
        let reads = methods.into_iter().filter_map(|method| Method::from_bytes(method).ok()).collect();
        Ok(Self { read, write, spills: written.spill, reads, after })
    }

    /// Where this request is sent. Who has written is noted, unless it is only explained.
    pub(super) fn sends(&self, head: &RequestHeader, facts: &Facts, now: Instant, explained: bool) -> Sent {
        if websocket::asks_for_another(head) || !self.reads.contains(&head.method) {
            return Sent::Write(self.after.as_ref().filter(|_| !explained).map(|after| after.written(head, facts)));
        }
        match self.after.as_ref().and_then(|after| after.pinned(head, facts, now)) {
            Some(why) => Sent::Pinned(why),
            None => Sent::Read,
        }
    }
}

impl After {
    fn key(&self, head: &RequestHeader, facts: &Facts) -> u64 {
        match self.by.find(head, facts) {
            Some(found) => self.pins.key(&found),
            None => self.pins.key(facts.client_ip.to_string().as_bytes()),
        }
    }

    fn written(self: &Arc<Self>, head: &RequestHeader, facts: &Facts) -> Written {
        let writing = Writing::new(self.pins.clone(), self.key(head, facts), self.length);
        Written { writing, after: self.clone(), secure: is_secure(head, facts) }
    }

    /// Why a read goes to the primary, where it does.
    fn pinned(&self, head: &RequestHeader, facts: &Facts, now: Instant) -> Option<&'static str> {
        if !self.pins.is_empty(now) && self.pins.has(self.key(head, facts), now) {
            return Some("whoever asks has written lately");
        }
        let cookie = self.cookie.as_ref()?;
        let mut named = fields::crumbs(&head.headers).filter_map(fields::cookie).filter(|(name, _)| *name == cookie.name.as_bytes());
        let millis = unix_millis();
        let counts = named.any(|(_, value)| {
            let until = cookie.seal.open(&cookie.name, value).and_then(|until| until.parse::<u64>().ok());
            until.is_some_and(|until| millis < until)
        });
        counts.then_some("a cookie says that whoever asks has written lately")
    }
}

impl Written {
    /// The write is answered: from here on its reads follow. The cookie that says so.
    pub(super) fn answered(&self) -> Option<HeaderValue> {
        self.writing.note();
        let (after, cookie) = (&self.after, self.after.cookie.as_ref()?);
        let until = unix_millis().saturating_add(after.length.as_millis() as u64);
        let seconds = after.length.as_millis().div_ceil(1000) as u64;
        Some(set_cookie(&cookie.name, &cookie.seal.put(&cookie.name, &until.to_string()), seconds, self.secure))
    }
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}
