//! Answers of the gateway's own on their way out.

use bytes::Bytes;
use frontgate_filters::filter::Flow;
use frontgate_filters::grpc::Status;
use frontgate_filters::reply::{Form, Reply};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method};
use pingora_http::ResponseHeader;

use super::Ctx;
use crate::exchange::client::Client;
use crate::exchange::timing;
use crate::panics::caught;
use crate::refusals;

/// Queues an answer of the gateway's own, marked by the route's filters.
pub(super) fn queue(client: &mut impl Client, ctx: &mut Ctx, reply: &Reply) {
    let snapshot = ctx.snapshot.clone();
    ctx.reason = reply.code();
    if let Some(call) = ctx.facts.grpc.as_mut().filter(|_| reply.is_refusal()) {
        call.status = Some(Status::of_refusal(reply.status));
    }
    let form = ctx.facts.grpc.as_deref().map_or(Form::Problem, Form::Grpc);
    let (mut head, mut body) = reply.render(form, &ctx.facts.request_id);
    if client.objects_to(&head).is_some() {
        let reply = refusals::not_a_websocket();
        ctx.reason = reply.code();
        (head, body) = reply.render(form, &ctx.facts.request_id);
    }
    let body = through_halves(client, ctx, &mut head, body);
    if let Some(chosen) = &mut ctx.chosen {
        chosen.mark(&mut head, &ctx.facts, &client.request().method);
    }
    let route = snapshot.route(ctx.route);
    route.mark(&mut head, &ctx.facts);
    timing::mark(&mut head, &route.name, &ctx.facts, ctx.reason, &ctx.attempts);
    let end = body.is_empty();
    client.head(head, end);
    if !end {
        client.body(body, true);
    }
}

/// An answer of the gateway's own passes the response halves outside of the filter that made it, as any other answer does.
fn through_halves(client: &impl Client, ctx: &mut Ctx, head: &mut ResponseHeader, body: Bytes) -> Bytes {
    if ctx.exchange.is_empty() {
        return body;
    }
    let method = &client.request().method;
    let exchange = &mut ctx.exchange;
    let whole = body.clone();
    let passed = caught(|| {
        exchange.head(method, head);
        let mut body = Some(body);
        match exchange.body(&mut body, true) {
            Flow::Go => body.unwrap_or_default(),
            Flow::Abort(_) => Bytes::new(),
        }
    });
    let Ok(passed) = passed else {
        log::error!("a filter panicked while it processed an answer of the gateway's own");
        return whole;
    };
    if method == Method::HEAD {
        // What they would have made of the body, and how long it is, nobody knows.
        return passed;
    }
    if !passed.is_empty() && passed.len() != whole.len() || !head.headers.contains_key(CONTENT_LENGTH) && !whole.is_empty() {
        head.insert_header(CONTENT_LENGTH, HeaderValue::from(passed.len())).expect("a known name and a number");
    }
    passed
}
