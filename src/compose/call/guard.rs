//! A call on its way: what guards it hears of each attempt, may answer in its upstream's place, and sees the answer before anybody else.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use frontgate_filters::chain::Exchange;
use frontgate_filters::fault::Drawn;
use frontgate_filters::filter::{Attempt, Flow, Outcome, Rescue};
use frontgate_filters::reply::Reply;
use http::header::HOST;
use http::{HeaderValue, Method, StatusCode};
use pingora_http::RequestHeader;

use super::Common;
use super::taken::Taken;
use crate::exchange::changes;
use crate::panics::{Panicked, caught};
use crate::refusals;
use crate::telemetry::trace::TRACEPARENT;
use crate::upstream::Pool;
use crate::upstream::attempts::Audience;
use crate::upstream::call::{Call, Caller, NoAnswer};
use crate::upstream::h1::Brief;
use crate::upstream::line::Fields;
use crate::upstream::pool::Endpoint;

/// What guards a call.
#[derive(Default)]
pub(super) struct Guard {
    /// The filters that let it through.
    pub exchange: Exchange,
    /// The call as they saw it, where there are any.
    pub head: Option<Box<RequestHeader>>,
    /// Whether it is a probe.
    pub probes: bool,
    /// What a drill has drawn for it.
    pub fault: Option<Arc<Drawn>>,
}

/// A call that is made.
pub(super) struct Guarded<'g> {
    /// What it has in common with the others of its request.
    pub common: &'g Common,
    /// Whether its task stays on its worker's thread.
    pub at_work: bool,
    /// What the numbers of its attempts are counted from.
    pub base: u32,
    /// What guards it.
    pub guard: Guard,
    /// What was taken of its answer.
    pub taken: Taken<'g>,
    /// Whether it is being taken.
    pub begun: bool,
}

impl Guarded<'_> {
    /// It is over, with this status or without an answer for this reason.
    pub(super) fn over(&mut self, ended: Result<u16, NoAnswer>) {
        let broke = matches!(ended, Err(NoAnswer::Broken | NoAnswer::Timeout | NoAnswer::Malformed(_)));
        let upstream_broke = self.begun && broke && !self.taken.was_refused();
        let outcome = Outcome { status: ended.unwrap_or(0), complete: ended.is_ok(), upstream_broke, grpc: None };
        let exchange = &mut self.guard.exchange;
        // Whoever panics has let go of what it held.
        let _ = caught(|| exchange.done(&outcome));
    }
}

impl Audience for Guarded<'_> {
    fn is_empty(&self) -> bool {
        self.guard.exchange.is_empty()
    }
    fn is_measure(&self) -> bool {
        self.guard.exchange.is_measure()
    }
    fn attempt(&mut self, attempt: &Attempt<'_>) -> Result<Rescue, Reply> {
        caught(|| self.guard.exchange.attempt(attempt)).map_err(|Panicked| refusals::internal())
    }
    fn moved(&mut self, to: &str, now: Instant) {
        // Who panics has heard of it: the next one is told.
        let _ = caught(|| self.guard.exchange.moved(to, now));
    }
    fn upstream(&self, name: &str) -> Option<Arc<Pool>> {
        self.common.snapshot.pools.get(name).cloned()
    }
}

impl Caller for Guarded<'_> {
    fn is_at_work(&self) -> bool {
        self.at_work
    }

    fn is_probe(&self) -> bool {
        self.guard.probes
    }

    fn host<'h>(&'h self, call: &'h Call<'_>, pool: &'h Pool, endpoint: &'h Endpoint) -> &'h [u8] {
        let written = call.fields.get(HOST).or(pool.host.as_ref()).map(HeaderValue::as_bytes);
        let own = || endpoint.own_host().map(str::as_bytes);
        written.or_else(own).or_else(|| self.common.asks.host()).unwrap_or(endpoint.authority.as_bytes())
    }

    fn say<F: Fields>(&self, call: &Call<'_>, attempt: u32, out: &mut F) {
        self.common.asks.say(&call.fields, out);
        if let Some(traced) = &self.common.traced {
            out.say(&TRACEPARENT, &traced.header(self.base + attempt));
        }
    }

    fn came(&mut self, status: StatusCode) {
        let Some(call) = self.guard.head.as_ref().filter(|call| !call.method.is_safe()) else { return };
        if changes(&call.method, status) {
            self.common.calls.forget(call);
        }
    }

    fn head(&mut self, head: &mut Brief) -> Result<(), NoAnswer> {
        self.begun = true;
        let Guard { exchange, head: call, .. } = &mut self.guard;
        if !exchange.is_empty() {
            let method = call.as_ref().map_or(&Method::GET, |call| &call.method);
            let passed = head.pass(|head| caught(|| exchange.head(method, head)));
            passed
                .map_err(|_| NoAnswer::Malformed("its head cannot be read"))?
                .map_err(|Panicked| NoAnswer::Malformed("a filter cannot pass it on"))?;
        }
        self.taken.begin(head.status, &head.headers)
    }

    fn part(&mut self, data: Bytes) -> Result<bool, NoAnswer> {
        let data = self.seen(Some(data), false)?;
        self.taken.push(data)?;
        Ok(true)
    }

    fn end(&mut self) -> Result<(), NoAnswer> {
        let data = self.seen(None, true)?;
        self.taken.push(data)?;
        self.taken.end()
    }
}

impl Guarded<'_> {
    /// A part of the answer's body, once what guards the call has seen it.
    fn seen(&mut self, mut data: Option<Bytes>, last: bool) -> Result<Bytes, NoAnswer> {
        let exchange = &mut self.guard.exchange;
        if exchange.wants_body() {
            match caught(|| exchange.body(&mut data, last)) {
                Ok(Flow::Go) => {}
                Ok(Flow::Abort(_)) | Err(Panicked) => return Err(NoAnswer::Malformed("a filter cannot pass it on")),
            }
        }
        Ok(data.unwrap_or_default())
    }
}
