//! A decided request is answered: by the gateway itself, or through an exchange with an upstream.

use bytes::BytesMut;
use frontgate_filters::reply::Reply;
use http::StatusCode;
use pingora_proxy::Session;
use tokio::io::{AsyncRead, AsyncWrite};

use super::compose::compose;
use super::http2::Http2;
use super::open::{Answering, Sent};
use super::receive::Received;
use super::{Ctx, Proxy, answer};
use crate::door::{Held, Seat};
use crate::exchange::client::{Client, Lost};
use crate::exchange::tunnel::{Ahead, Over, Passed, Side, Tunnel};
use crate::exchange::{End, Order, exchange};
use crate::mirror::Drawn;
use crate::telemetry::Flag;
use crate::upstream::faulty::Hold;
use crate::upstream::h1::Connection;

impl Proxy {
    /// Answers as it was decided. Whether the answer was sent whole.
    pub(super) async fn serve(&self, session: &mut Session, ctx: &mut Ctx, received: Received) -> bool {
        let seat = ctx.seat.clone();
        let h1 = seat.as_ref().and_then(|seat| seat.h1.lock().take());
        match (h1, seat) {
            (Some(h1), Some(seat)) => {
                let mut answering = Answering::new(Held { h1, request: session.req_header(), hold: None }, ctx);
                let (client, ctx) = answering.parts();
                let end = respond(client, ctx, received).await;
                let (held, ctx) = answering.end();
                finish(held, &seat, ctx, end).await
            }
            _ => {
                let Some(http2) = Http2::new(session, ctx) else { return false };
                let mut answering = Answering::new(http2, ctx);
                let (client, ctx) = answering.parts();
                let end = respond(client, ctx, received).await;
                if let End::Switched { websocket, .. } = end {
                    ctx.switched(StatusCode::OK, websocket);
                }
                let flushed = match end {
                    // What came is passed on; that the stream ends without its end is what breaks it off.
                    End::Broken | End::Switched { .. } => ctx.attempts.aside(client.flush()).await,
                    _ => Ok(()),
                };
                let (client, ctx) = answering.end();
                ctx.complete = matches!(end, End::Sent);
                if let End::Switched { upstream, .. } = end {
                    match client.into_tunnel().filter(|_| flushed.is_ok()) {
                        Some(stream) => {
                            ctx.complete = true;
                            pass(ctx, Side::new(stream, BytesMut::new()), *upstream).await;
                        }
                        None => ctx.flag = Some(Flag::DownstreamConnectionTermination),
                    }
                }
                ctx.complete
            }
        }
    }
}

impl Sent for Held<'_> {
    fn sent(&self) -> (Option<StatusCode>, u64, u64) {
        let (read, sent) = self.h1.moved();
        (self.h1.status(), read, sent)
    }
}

/// Brings the answer to the client; an end that is none is answered here.
pub(super) async fn respond<C: Client>(client: &mut C, ctx: &mut Ctx, received: Received) -> End {
    if let Some(hold) = ctx.facts.fault.as_ref().and_then(|drawn| drawn.delays_client()).and_then(Hold::of) {
        client.hold(hold);
    }
    let end = match received {
        Received::Answer(reply) => End::Answer(reply),
        // On the heap: no other request has to carry it along.
        Received::Compose(composition) => Box::pin(compose(client, ctx, &composition)).await,
        Received::Ask => {
            let snapshot = ctx.snapshot.clone();
            let mut order = Order {
                snapshot: &snapshot,
                route: snapshot.route(ctx.route),
                facts: &mut ctx.facts,
                halves: &mut ctx.exchange,
                chosen: ctx.chosen.as_deref_mut(),
                attempts: &mut ctx.attempts,
                rewritten: ctx.rewritten.as_deref(),
                conn: ctx.seat.as_deref().map(|seat| &*seat.conn),
                from_trusted: ctx.from_trusted,
                flag: &mut ctx.flag,
                reason: &mut ctx.reason,
                streams: None,
                tee: None,
                traced: ctx.traced.as_ref(),
            };
            order.streams = (order.route.takes_calls && order.facts.grpc.is_some()).then(Box::default);
            if let Some(mirror) = &order.route.mirror {
                let (upgrades, draining) = (client.upgrade().is_some(), ctx.gateway.is_draining());
                let overloaded = ctx.gateway.is_overloaded();
                let drawn = Drawn { facts: order.facts, framing: client.framing(), upgrades, draining, overloaded };
                order.tee = mirror.draw(client.request(), &drawn);
            }
            let end = exchange(&mut order, client).await;
            order.ends();
            end
        }
    };
    match end {
        End::Answer(reply) => {
            let instead = answer::queue(client, ctx, &reply);
            ctx.refusal = instead.or(Some(reply)).filter(Reply::is_refusal);
        }
        End::Closed => {}
        end => return end,
    }
    match ctx.attempts.aside(client.flush()).await {
        Ok(()) => End::Sent,
        Err(lost) => {
            if lost == Lost::Left {
                ctx.flag = Some(Flag::DownstreamConnectionTermination);
            }
            End::Gone
        }
    }
}

/// Passes bytes between a client and an upstream that speak another protocol from here on.
async fn pass(ctx: &mut Ctx, client: Side<impl AsyncRead + AsyncWrite + Ahead + Unpin>, upstream: Connection) {
    let (io, answered) = upstream.into_parts();
    let (idle, websocket, gateway) = (ctx.snapshot.rules.tunnel, ctx.websocket, ctx.gateway.clone());
    let tunnel = Tunnel { client, upstream: Side::new(io, answered), idle, websocket };
    // Nobody's time but its users'.
    ctx.attempts.idle(true);
    let passed = Passed { there: &mut ctx.bytes_in, back: &mut ctx.bytes_out };
    let over = Box::pin(tunnel.pass(passed, gateway.leaves_tunnels())).await;
    ctx.attempts.idle(false);
    ctx.reason = match over {
        Over::Ended => "",
        Over::Idle => "tunnel_idle",
        Over::GoneAway => "tunnel_drained",
    };
}

/// Gives the connection back where it can serve another request. Whether the answer was sent whole.
async fn finish(mut held: Held<'_>, seat: &Seat, ctx: &mut Ctx, end: End) -> bool {
    match end {
        End::Sent => {
            ctx.complete = true;
            *seat.h1.lock() = Some(held.h1);
        }
        End::Switched { upstream, websocket } => {
            ctx.switched(StatusCode::SWITCHING_PROTOCOLS, websocket);
            if ctx.attempts.aside(held.flush()).await.is_err() {
                ctx.complete = false;
                ctx.flag = Some(Flag::DownstreamConnectionTermination);
                return false;
            }
            let (client, read, _count) = held.h1.into_tunnel();
            pass(ctx, Side::new(client, read), *upstream).await;
        }
        End::Broken => {
            // What came is passed on, so that the client sees where it broke off.
            let _ = ctx.attempts.aside(held.flush()).await;
            held.h1.break_off();
        }
        End::Gone | End::Answer(_) | End::Closed => {}
    }
    ctx.complete
}
