//! What the client gets when all calls have ended.

use bytes::Bytes;
use frontgate_filters::reply::{Reply, ReplyBody};
use frontgate_filters::words::cache_control::NO_STORE;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderName, HeaderValue, StatusCode};

use super::Aggregate;
use super::find::Known;
use super::render::Rendering;
use crate::compose::caching::Caching;
use crate::compose::template::Lacking;
use crate::compose::{Composed, Missing};

/// Whether everything is in the answer that should be.
pub(in crate::compose) const X_BFF_COMPLETE: HeaderName = HeaderName::from_static("x-bff-complete");
/// The calls that are missing in it.
pub(in crate::compose) const X_BFF_MISSING: HeaderName = HeaderName::from_static("x-bff-missing");

/// The answer, or nothing where it would be longer than allowed.
pub(super) fn body(aggregate: &Aggregate, known: Known<'_>) -> Option<Bytes> {
    let renders = aggregate.calls.iter().any(|call| !call.gets.is_empty());
    let rendering = Rendering::new(if renders { aggregate.calls.len() } else { 0 }, aggregate.most_total);
    let known = Known { rendering: Some(&rendering), ..known };
    let whole = aggregate.answer.expand(&known, Lacking::LeftOut).ok()?;
    let fits = !rendering.is_over() && whole.len() <= aggregate.most_total;
    fits.then(|| whole.into_bytes())
}

/// The answer with its headers.
pub(super) fn composed(
    aggregate: &Aggregate,
    body: Bytes,
    missing: Vec<Missing>,
    caching: &Caching,
    back: Vec<(HeaderName, HeaderValue)>,
) -> Composed {
    let mut reply = Reply { status: StatusCode::OK, headers: back, body: ReplyBody::Bytes(body), reason: "aggregate" };
    reply = reply.with(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if missing.is_empty() {
        reply = reply.with(X_BFF_COMPLETE, HeaderValue::from_static("true"));
        if let Some(kept) = caching.header(aggregate.varies.is_private) {
            reply = reply.with(CACHE_CONTROL, kept);
            if let Some(varies) = &aggregate.varies.headers {
                reply = reply.with(VARY, varies.clone());
            }
        }
    } else {
        let names = missing.iter().map(|missing| &*missing.name).collect::<Vec<_>>().join(", ");
        reply = reply.with(X_BFF_COMPLETE, HeaderValue::from_static("false")).with(CACHE_CONTROL, NO_STORE);
        if let Ok(names) = HeaderValue::from_str(&names) {
            reply = reply.with(X_BFF_MISSING, names);
        }
    }
    Composed { reply, missing, flag: None, saga: None }
}
