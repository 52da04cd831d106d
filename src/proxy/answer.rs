//! Answers of the gateway's own on their way out.

use bytes::Bytes;
use frontgate_filters::filter::Flow;
use frontgate_filters::reply::{Form, Reply};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method};
use pingora_http::ResponseHeader;

use super::Ctx;
use super::compose::Composing;
use crate::compose::Held;
use crate::exchange::client::Client;
use crate::exchange::timing;
use crate::panics::{Panicked, caught};
use crate::refusals;

/// Queues an answer of the gateway's own, marked by the route's filters. The one that it became, where a filter could not pass it on.
pub(super) fn queue(client: &mut impl Client, ctx: &mut Ctx, reply: &Reply) -> Option<Reply> {
    let snapshot = ctx.snapshot.clone();
    ctx.reason = reply.code();
    if let Some(call) = ctx.facts.grpc.as_mut().filter(|_| reply.is_refusal()) {
        call.status = Some(reply.grpc_status());
    }
    let form = ctx.facts.grpc.as_deref().map_or(Form::Problem, Form::Grpc);
    let (mut head, mut body) = reply.render(form, &ctx.facts.request_id);
    if client.objects_to(&head).is_some() {
        let reply = refusals::not_a_websocket();
        ctx.reason = reply.code();
        (head, body) = reply.render(form, &ctx.facts.request_id);
    }
    let mut instead = None;
    let body = match through_halves(client, ctx, &mut head, body) {
        Ok(body) => body,
        // Nothing of it goes out as it is.
        Err(reply) => {
            ctx.reason = reply.code();
            let form = ctx.facts.grpc.as_deref().map_or(Form::Problem, Form::Grpc);
            let (refusal, body) = reply.render(form, &ctx.facts.request_id);
            head = refusal;
            instead = Some(reply);
            body
        }
    };
    if let Some(chosen) = &mut ctx.chosen {
        chosen.mark(&mut head, &ctx.facts, &client.request().method);
    }
    let route = snapshot.route(ctx.route);
    route.mark(&mut head, &ctx.facts);
    let calls = || ctx.composed.as_deref().map(Composing::timed).unwrap_or_default();
    timing::mark(&mut head, &route.name, &ctx.facts, ctx.reason, &ctx.attempts, calls);
    let end = body.is_empty();
    client.head(head, end);
    if !end {
        client.body(body, true);
    }
    instead
}

/// An answer of the gateway's own passes the response halves outside of the filter that made it, as any other answer does. What a filter cannot
/// pass on is answered in another way.
fn through_halves(client: &impl Client, ctx: &mut Ctx, head: &mut ResponseHeader, body: Bytes) -> Result<Bytes, Reply> {
    if ctx.exchange.is_empty() {
        return Ok(body);
    }
    let method = &client.request().method;
    let exchange = &mut ctx.exchange;
    let length = body.len();
    // What upstreams have answered goes nowhere that a filter has not let it; what the gateway says itself hides nothing.
    let otherwise = if ctx.composed.is_none() { Some(body.clone()) } else { None };
    let before = body.as_ptr_range();
    let passed = caught(|| {
        exchange.head(method, head);
        let mut body = Some(body);
        match exchange.body(&mut body, true) {
            Flow::Go => Ok(body.unwrap_or_default()),
            Flow::Abort(reply) => Err(reply),
        }
    });
    let passed = match passed {
        Ok(passed) => passed?,
        Err(Panicked) => {
            log::error!("a filter panicked while it processed an answer of the gateway's own");
            return otherwise.ok_or_else(refusals::internal);
        }
    };
    let passed = match ctx.composed.as_deref() {
        // What they made of it waits for its client as what was put together would have.
        Some(composing) if !passed.is_empty() && !before.contains(&passed.as_ptr()) => {
            Held::of(&composing.common.calls.budget).keeping(passed).ok_or_else(refusals::no_memory)?
        }
        _ => passed,
    };
    if method == Method::HEAD {
        // What they would have made of the body, and how long it is, nobody knows.
        return Ok(passed);
    }
    if !passed.is_empty() && passed.len() != length || !head.headers.contains_key(CONTENT_LENGTH) && length > 0 {
        head.insert_header(CONTENT_LENGTH, HeaderValue::from(passed.len())).expect("a known name and a number");
    }
    Ok(passed)
}
