//! What is kept of a request that was refused, failed or answered in part, for `frontgate why`: its line of the log, what refused it, what each filter did, and every
//! attempt. Nothing in it says more of anybody than the log does.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use frontgate_filters::clock;
use frontgate_filters::filter::inspect::CircuitState;
use frontgate_filters::reply::{Reply, ReplyBody};
use frontgate_filters::words::fields;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};
use serde::{Serialize, Serializer};

use super::Ctx;
use crate::compose::call::told::Called;
use crate::telemetry::{Came, Flag, Line};
use crate::upstream::attempts::Tried;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Whether a request is one that people will ask about, and what it was.
pub(super) fn came(ctx: &Ctx, status: u16) -> Option<Came> {
    let called = ctx.facts.grpc.as_deref().and_then(|call| call.status);
    match &ctx.refusal {
        // What was tried has failed. A call that the gateway refuses is answered with 200.
        Some(reply) if reply.status.is_server_error() && (ctx.attempts.count() > 0 || has_called(ctx)) => Some(Came::Failed),
        Some(_) => Some(Came::Refused),
        None if status >= 500 || called.is_some_and(|status| status.is_failure()) => Some(Came::Failed),
        // Who left knows of no identifier.
        None if ctx.flag.is_some_and(|flag| flag != Flag::DownstreamConnectionTermination) => Some(Came::Failed),
        None => ctx.composed.as_ref().filter(|composed| !composed.missing.is_empty()).map(|_| Came::InPart),
    }
}

/// Whether calls were made for it.
fn has_called(ctx: &Ctx) -> bool {
    ctx.composed.as_ref().is_some_and(|composed| composed.common.told.count() > 0)
}

/// Writes what is kept, as JSON.
pub(super) fn write(out: &mut Vec<u8>, ctx: &Ctx, line: &Line<'_>) {
    // A Vec takes whatever is written to it, and nothing here cannot be written as JSON.
    let _ = out.write_all(b"{\"line\":");
    line.short().write(out);
    let _ = out.write_all(b",\"refusal\":");
    let _ = serde_json::to_writer(&mut *out, &ctx.refusal.as_ref().map(Refused::of));
    let _ = out.write_all(b",\"circuit\":");
    let _ = serde_json::to_writer(&mut *out, &ctx.facts.circuit.map(CircuitState::name));
    let _ = out.write_all(b",\"filters\":");
    let _ = serde_json::to_writer(&mut *out, &Filters(ctx));
    let _ = out.write_all(b",\"attempts\":");
    let _ = serde_json::to_writer(&mut *out, &Tries(ctx));
    if let Some(composed) = &ctx.composed {
        let _ = out.write_all(b",\"calls\":");
        let _ = serde_json::to_writer(&mut *out, &Calls(composed.common.told.all()));
    }
    out.push(b'}');
}

/// A refusal, with what it said of limits.
#[derive(Serialize)]
struct Refused<'r> {
    status: u16,
    code: &'r str,
    detail: &'r str,
    #[serde(flatten)]
    members: HashMap<&'static str, &'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'r str>,
}

impl<'r> Refused<'r> {
    fn of(reply: &'r Reply) -> Self {
        let header = |name: HeaderName| {
            let value: &HeaderValue = reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value)?;
            fields::text(value)
        };
        let (detail, members) = match &reply.body {
            ReplyBody::Problem { detail, members, .. } => (*detail, &members[..]),
            ReplyBody::Bytes(_) => ("", &[][..]),
        };
        Self {
            status: reply.status.as_u16(),
            code: reply.code(),
            detail,
            members: members.iter().map(|(name, value)| (*name, &**value)).collect(),
            retry_after: header(RETRY_AFTER),
            limit: header(RATELIMIT),
            policy: header(RATELIMIT_POLICY),
        }
    }
}

/// The filters that were asked.
struct Filters<'c>(&'c Ctx);

impl Serialize for Filters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Filter<'f> {
            name: &'f str,
            kind: &'f str,
            did: &'f str,
        }
        let exchange = &self.0.exchange;
        let links = self.0.snapshot.route(self.0.route).chain.links().iter().take(exchange.asked()).enumerate();
        serializer.collect_seq(links.map(|(index, link)| Filter { name: &link.name, kind: link.kind, did: exchange.did(index).word() }))
    }
}

/// The attempts.
struct Tries<'c>(&'c Ctx);

impl Serialize for Tries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Try<'t> {
            upstream: &'t str,
            endpoint: &'t str,
            #[serde(skip_serializing_if = "Option::is_none")]
            status: Option<u16>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cause: Option<Shown<crate::upstream::cause::Cause>>,
            took_ms: f64,
        }
        serializer.collect_seq(self.0.attempts.each(Instant::now()).map(|made| Try {
            upstream: made.upstream,
            endpoint: made.endpoint,
            status: made.status,
            cause: made.cause.map(Shown),
            took_ms: millis(made.took),
        }))
    }
}

/// The calls.
struct Calls(Vec<Called>);

impl Serialize for Calls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Call<'c> {
            name: &'c str,
            result: &'c str,
            #[serde(skip_serializing_if = "Option::is_none")]
            upstream: Option<&'c str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            endpoint: Option<&'c str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            status: Option<u16>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cause: Option<Shown<crate::upstream::cause::Cause>>,
            attempts: usize,
            took_ms: f64,
        }
        let now = clock::now();
        serializer.collect_seq(self.0.iter().map(|call| {
            let last = call.tried.last();
            Call {
                name: &call.name,
                result: call.word(),
                upstream: last.map(|last| &*last.upstream),
                endpoint: last.map(|last| &*last.endpoint.text),
                status: last.and_then(|last| last.status),
                cause: last.and_then(Tried::cause).map(Shown),
                attempts: call.tried.len(),
                took_ms: millis(call.took(now)),
            }
        }))
    }
}

/// Something as people read it.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// To the microsecond.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
