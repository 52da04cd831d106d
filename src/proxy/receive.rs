//! A request's way in: it is decided upon, and what its attempts need is put into its context.

use std::sync::Arc;

use frontgate_filters::reply::{Reply, ReplyBody};
use http::StatusCode;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::{Ctx, Proxy};
use crate::decide::{Asked, By, Decision, decide};
use crate::panics::{Panicked, guarded};
use crate::refusals;
use crate::telemetry::Flag;
use crate::upstream::Pool;
use crate::upstream::balance::hash_of;

impl Proxy {
    /// Everything up to the choice of an endpoint: `Some` is the answer, made here.
    pub(super) async fn receive(&self, session: &mut Session, ctx: &mut Ctx) -> Option<Reply> {
        let snapshot = ctx.snapshot.clone();
        let asked = Asked {
            head: session.req_header_mut(),
            facts: &mut ctx.facts,
            exchange: &mut ctx.exchange,
            route: &mut ctx.route,
            trusted: &mut ctx.from_trusted,
            now: ctx.began,
            trace: None,
        };
        match guarded(decide(&snapshot, asked)).await {
            Ok(Decision::Ask(to)) => {
                ctx.attempts.limit(snapshot.route(ctx.route).timeout.map(|timeout| ctx.began + timeout));
                ask(ctx, to.pool, session.req_header());
                ctx.rewritten = to.path;
                None
            }
            Ok(Decision::Answer(reply, by)) => {
                // A fallback may have this status, too, and an observed limit is named for the log.
                let limited = reply.status == StatusCode::TOO_MANY_REQUESTS && matches!(reply.body, ReplyBody::Problem { .. });
                ctx.flag = match by {
                    By::NoRoute => Some(Flag::NoRoute),
                    By::Filter if limited && ctx.facts.limit.is_some() => Some(Flag::RateLimited),
                    _ => None,
                };
                Some(reply)
            }
            Err(Panicked) => Some(refusals::internal()),
        }
    }
}

/// This upstream is asked.
fn ask(ctx: &mut Ctx, pool: &Arc<Pool>, head: &RequestHeader) {
    let hash = pool.hashes().map(|selector| match selector.find(head, &ctx.facts) {
        Some(value) => hash_of(&value, 0),
        None => hash_of(ctx.facts.client_ip.to_string().as_bytes(), 0),
    });
    ctx.attempts.ask(pool.clone(), hash);
}
