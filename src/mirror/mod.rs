//! Mirrors: copies of a route's requests for another upstream. The original waits for nothing of a copy, and a copy is the first thing dropped.
//!
//! A request is drawn when its exchange begins, and from then on its copy has a place among those in flight, so that what is held for copies
//! has a bound. The copy goes out once the original is with its upstream and the body is whole; its answer is read and dropped, and its status
//! compared with the original's.

mod pair;
mod tee;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use frontgate_filters::filter::Facts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora_http::RequestHeader;

use crate::action::Upstreams;
use crate::config::model;
use crate::telemetry::trace::{TRACEPARENT, TRACESTATE, renewed};
use crate::telemetry::{MirrorMetrics, Place, Skipped};
use crate::upstream::balance::random;
use crate::upstream::call::{Answered, Call, NoAnswer, call};
use crate::upstream::h1::Upload;
use crate::upstream::{NoPick, Pool, hash};
use pair::Pair;
pub(crate) use tee::Tee;

/// The most of an answer to a copy that is read: one that is longer costs the connection.
const LONGEST_ANSWER: usize = 1 << 20;

/// What is copied of a route's requests, and how.
pub(crate) struct Mirror {
    pool: Arc<Pool>,
    share: f64,
    methods: Box<[Method]>,
    /// The most bytes of a body; with 0 copies have none.
    most: usize,
    timeout: Duration,
    max_in_flight: u32,
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, HeaderValue)]>,
    metrics: Arc<MirrorMetrics>,
}

/// What a drawn request is, beside its head.
pub(crate) struct Drawn<'d> {
    /// What is known of it.
    pub facts: &'d Facts,
    /// How its body is framed.
    pub framing: Upload,
    /// Whether it asks for another protocol.
    pub upgrades: bool,
    /// Whether the gateway is on its way out.
    pub draining: bool,
    /// Whether it has more to do than it can.
    pub overloaded: bool,
}

/// A copy, as it is sent.
pub(crate) struct Copied {
    /// The method.
    pub method: Method,
    /// Path and query, as the original's upstream is sent them.
    pub target: Vec<u8>,
    /// The fields, as the original's upstream is sent them, with the host.
    pub fields: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What a consistent hash makes of it.
    pub hash: Option<u64>,
}

impl Mirror {
    /// Compiles what was checked. `credentials` are the headers that carry secrets of callers beside Authorization and Cookie.
    pub(crate) fn compile(
        written: &model::Mirror,
        credentials: &[HeaderName],
        upstreams: &Upstreams,
        metrics: Arc<MirrorMetrics>,
    ) -> Result<Arc<Self>, String> {
        let name = written.upstream.as_str();
        let pool = upstreams.get(name).cloned().ok_or_else(|| format!("there is no upstream `{name}`"))?;
        let header = |text: &str| HeaderName::from_bytes(text.as_bytes()).map_err(|error| error.to_string());
        let remove = match &written.headers.remove {
            Some(names) => names.iter().map(|name| header(name)).collect::<Result<_, _>>()?,
            None => [http::header::AUTHORIZATION, http::header::COOKIE].into_iter().chain(credentials.iter().cloned()).collect(),
        };
        let set = written.headers.set.iter();
        let set = set.map(|(name, value)| Ok((header(name)?, HeaderValue::from_str(value).map_err(|error| error.to_string())?)));
        Ok(Arc::new(Self {
            pool,
            share: written.share.0,
            methods: written.methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok()).collect(),
            most: usize::try_from(written.body.0).unwrap_or(usize::MAX),
            timeout: written.timeout.0,
            max_in_flight: written.max_in_flight.get(),
            remove,
            set: set.collect::<Result<_, String>>()?,
            metrics,
        }))
    }

    /// Draws whether this request is copied. One that is drawn and cannot be is counted, with the reason.
    pub(crate) fn draw(self: &Arc<Self>, head: &RequestHeader, drawn: &Drawn<'_>) -> Option<Box<Tee>> {
        if !self.methods.contains(&head.method) || !self.is_drawn() {
            return None;
        }
        let place = match self.why_not(drawn) {
            Some(why) => Err(why),
            None => self.metrics.enter(self.max_in_flight).ok_or(Skipped::InFlight),
        };
        match place {
            Ok(place) => Some(Box::new(Tee::new(self.clone(), place))),
            Err(why) => {
                self.metrics.skipped(why);
                None
            }
        }
    }

    fn is_drawn(&self) -> bool {
        // 53 bits are all that such a number has.
        self.share >= 1.0 || ((random() >> 11) as f64) < self.share * (1_u64 << 53) as f64
    }

    fn why_not(&self, drawn: &Drawn<'_>) -> Option<Skipped> {
        let is_too_large = matches!(drawn.framing, Upload::Length(length) if self.most > 0 && length > self.most as u64);
        match () {
            () if drawn.upgrades || drawn.facts.grpc.is_some() => Some(Skipped::Protocol),
            () if drawn.draining => Some(Skipped::Draining),
            () if drawn.overloaded => Some(Skipped::Overload),
            () if is_too_large => Some(Skipped::Body),
            () => None,
        }
    }

    /// Makes a copy of what the original's upstream was sent: without its secrets, marked, and of a trace of its own.
    fn dress(&self, fields: &mut HeaderMap) {
        if fields.contains_key(TRACEPARENT) {
            fields.remove(TRACESTATE);
            match renewed(fields, random) {
                Some(own) => fields.insert(TRACEPARENT, own),
                None => fields.remove(TRACEPARENT),
            };
        }
        for name in &self.remove {
            fields.remove(name);
        }
        for (name, value) in &self.set {
            fields.insert(name.clone(), value.clone());
        }
        if let Some(host) = &self.pool.host {
            fields.insert(http::header::HOST, host.clone());
        }
    }

    /// What a consistent hash of its upstream makes of a request.
    pub(crate) fn hash(&self, head: &RequestHeader, facts: &Facts) -> Option<u64> {
        hash::of(&self.pool, head, facts)
    }

    /// What becomes of a request like this one, for an explanation.
    pub(crate) fn explain(&self, head: &RequestHeader, facts: &Facts, upgrades: bool) -> String {
        let name = &self.pool.name;
        if !self.methods.contains(&head.method) {
            return format!("{name} gets no copy: {} is not among the methods that are copied", head.method);
        }
        if upgrades || facts.grpc.is_some() {
            return format!("{name} gets no copy: neither calls of gRPC nor requests that change the protocol are copied");
        }
        let names = |names: &mut dyn Iterator<Item = &HeaderName>| names.map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
        let without = names(&mut self.remove.iter());
        let with = names(&mut self.set.iter().map(|(name, _)| name));
        let mut told = format!("{name} gets a copy of {} % of these requests", self.share * 100.0);
        for (words, names) in [("without", without), ("with", with)] {
            if !names.is_empty() {
                told.push_str(&format!(", {words} {names}"));
            }
        }
        told
    }
}

/// Sends a copy, once, and reads its answer.
async fn send(mirror: Arc<Mirror>, copied: Copied, place: Place, pair: Arc<Pair>) {
    let _place = place;
    let Copied { method, target, fields, body, hash } = copied;
    let deadline = Instant::now() + mirror.timeout;
    let request =
        Call { method, target: &target, fields, body, hash, deadline, most: LONGEST_ANSWER, answered: Answered::Dropped, again: false };
    match call(&mirror.pool, &request).await {
        Ok(answer) => pair.copy(Some(answer.head.status.as_u16())),
        Err(NoAnswer::NoEndpoint(NoPick::Full)) => mirror.metrics.skipped(Skipped::Limit),
        Err(NoAnswer::NoEndpoint(NoPick::NoEndpoint)) => mirror.metrics.skipped(Skipped::NoEndpoint),
        Err(_) => pair.copy(None),
    }
}
