//! A request's way in: it is decided upon, and what its attempts need is put into its context.

use std::sync::Arc;

use frontgate_filters::filter::inspect::CircuitState;
use frontgate_filters::reply::{Reply, ReplyBody};
use http::StatusCode;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::{Ctx, Proxy};
use crate::compose::Composition;
use crate::decide::{Asked, By, Decision, Trace, decide};
use crate::panics::{Panicked, guarded};
use crate::refusals;
use crate::telemetry::Flag;
use crate::upstream::{Pool, hash};

/// How a request goes on that was decided upon.
pub(super) enum Received {
    /// It is answered with this.
    Answer(Reply),
    /// Its upstream is asked.
    Ask,
    /// It is answered from calls.
    Compose(Arc<dyn Composition>),
}

impl Proxy {
    /// Everything up to the choice of an endpoint.
    pub(super) async fn receive(&self, session: &mut Session, ctx: &mut Ctx) -> Received {
        self.received(session.req_header_mut(), ctx, None).await
    }

    /// The same for a head that no session holds; with `trace` it says why.
    pub(super) async fn received(&self, head: &mut RequestHeader, ctx: &mut Ctx, trace: Option<&mut Trace>) -> Received {
        let snapshot = ctx.snapshot.clone();
        let parent = ctx.parent(head);
        let asked = Asked {
            head: &mut *head,
            facts: &mut ctx.facts,
            exchange: &mut ctx.exchange,
            route: &mut ctx.route,
            chosen: &mut ctx.chosen,
            trusted: &mut ctx.from_trusted,
            redirect: ctx.seat.as_ref().and_then(|seat| seat.conn.redirect()),
            overload: self.0.overload.stage(),
            now: ctx.began,
            trace,
        };
        let decided = guarded(decide(&snapshot, asked)).await;
        ctx.trace(head, parent);
        match decided {
            Ok(Decision::Ask(to)) => {
                let route = snapshot.route(ctx.route);
                let own = ctx.chosen.as_ref().map(|chosen| &chosen.pool().name).or(route.action.upstream());
                let elsewhere = own.is_some_and(|own| !Arc::ptr_eq(own, &to.pool.name));
                ctx.kept_back = elsewhere && is_open(ctx.facts.circuit);
                let own = ctx.facts.grpc.as_ref().and_then(|call| call.deadline);
                ctx.attempts.limit([route.timeout.map(|timeout| ctx.began + timeout), own].into_iter().flatten().min());
                ask(ctx, to.pool, head);
                ctx.rewritten = to.path;
                Received::Ask
            }
            Ok(Decision::Compose(composition)) => Received::Compose(composition.clone()),
            Ok(Decision::Answer(reply, by)) => {
                // A fallback may have this status, too, and an observed limit is named for the log.
                let limited = reply.status == StatusCode::TOO_MANY_REQUESTS && matches!(reply.body, ReplyBody::Problem { .. });
                ctx.kept_back = by == By::Filter && is_open(ctx.facts.circuit);
                ctx.flag = match by {
                    By::NoRoute | By::Unmet => Some(Flag::NoRoute),
                    By::Filter if limited && ctx.facts.limit.is_some() => Some(Flag::RateLimited),
                    By::Overload => {
                        self.0.overload.refused();
                        Some(Flag::UpstreamOverflow)
                    }
                    _ => None,
                };
                if by == By::Request && reply.status == StatusCode::BAD_REQUEST {
                    ctx.seat.iter().for_each(|seat| seat.flow.malformed());
                }
                Received::Answer(reply)
            }
            Err(Panicked) => Received::Answer(refusals::internal()),
        }
    }
}

/// Whether a circuit let the request pass to no upstream of its own. A filter that comes before the circuit's has no state of one to see.
fn is_open(circuit: Option<CircuitState>) -> bool {
    matches!(circuit, Some(CircuitState::Open | CircuitState::HalfOpen))
}

/// This upstream is asked.
fn ask(ctx: &mut Ctx, pool: &Arc<Pool>, head: &RequestHeader) {
    let facts = &ctx.facts;
    // Whoever answers in the place of one whose circuit is open is spared.
    ctx.attempts.meet(facts.fault.as_ref().filter(|_| !ctx.kept_back));
    match &ctx.chosen {
        // A filter may have chosen another one since.
        Some(chosen) if Arc::ptr_eq(chosen.pool(), pool) => ctx.attempts.ask_in_turn(chosen.aims(|pool| hash::of(pool, head, facts))),
        _ => ctx.attempts.ask(pool.clone(), hash::of(pool, head, facts)),
    }
}
