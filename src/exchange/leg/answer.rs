//! What an attempt brings: its heads, and the parts of its body, through the filters to the client.

use bytes::Bytes;
use frontgate_filters::clock;
use frontgate_filters::filter::Flow;
use frontgate_filters::words::fields;
use http::header::{CONTENT_TYPE, TRAILER, UPGRADE};
use http::{Method, StatusCode, Version};
use pingora_http::ResponseHeader;

use super::{Client, Ended, Leg, Replay, Stage};
use crate::door;
use crate::exchange::client::Objection;
use crate::exchange::timing::{self, X_FRONTGATE_EXPLAIN};
use crate::exchange::{End, Order};
use crate::panics::{Panicked, caught};
use crate::refusals;
use crate::request_id::X_REQUEST_ID;
use crate::telemetry::Attempt;
use crate::upstream::attempts::Next;
use crate::upstream::h1::{Fault, Piece, is_final};
use crate::websocket;

impl Leg {
    /// A head has come, or did not.
    pub(super) fn head<C: Client>(
        &mut self,
        head: Result<ResponseHeader, Fault>,
        order: &mut Order<'_>,
        client: &mut C,
        method: &Method,
        replay: &Replay,
    ) -> Result<(), Ended> {
        let mut head = match head {
            Ok(head) => head,
            Err(Fault::Closed(true) | Fault::Broken(true)) if self.line.is_reused() => {
                return Err(Ended::Stale);
            }
            Err(Fault::Refused) => return Err(Ended::Refused),
            Err(fault) => return Err(self.broke(order, &fault)),
        };
        if is_final(head.status) {
            return match client.objects_to(&head) {
                None => self.answered(head, order, client, method, replay),
                Some(Objection::Forged) => Err(self.broke(order, &Fault::Malformed("its Sec-WebSocket-Accept belongs to another key"))),
                Some(Objection::NoTunnel) => {
                    let now = clock::now();
                    order.attempts.head_arrived(head.status.as_u16(), now);
                    order.attempts.finished(Attempt::Ok, now);
                    Err(self.refused(order, refusals::not_a_websocket()))
                }
            };
        }
        if client.takes_informational() {
            head.remove_header(&X_FRONTGATE_EXPLAIN);
            client.inform(head);
        }
        Ok(())
    }

    /// The final head has come.
    fn answered<C: Client>(
        &mut self,
        mut head: ResponseHeader,
        order: &mut Order<'_>,
        client: &mut C,
        method: &Method,
        replay: &Replay,
    ) -> Result<(), Ended> {
        let now = clock::now();
        self.events = is_event_stream(&head);
        self.websocket = head.headers.get(UPGRADE).is_some_and(websocket::is_one);
        order.attempts.head_arrived(head.status.as_u16(), now);
        order.facts.version = order.version();
        frontgate_filters::head::with_map(&mut head, |fields| {
            fields.insert(X_REQUEST_ID, order.facts.request_id.clone());
            fields.remove(X_FRONTGATE_EXPLAIN);
        });
        let said = order.head_says(&head, self.line.is_at_end(), now);
        let next = order.settle(method, replay, Ok(&head), said, now);
        if !matches!(next, Next::Pass) {
            order.attempts.finished(Attempt::Ok, now);
        }
        if changes(method, head.status) {
            order.snapshot.forget(client.request());
        }
        match next {
            Next::Pass => {}
            Next::Again => return Err(Ended::Again),
            Next::Answer(reply) => return Err(Ended::Final(End::Answer(reply))),
        }
        if client.request().version == Version::HTTP_10 {
            // No trailers can follow to this one.
            head.remove_header(&TRAILER);
        }
        if !order.halves.is_empty() && caught(|| order.halves.head(method, &mut head)).is_err() {
            order.attempts.finished(Attempt::Ok, now);
            return Err(Ended::Final(End::Answer(refusals::internal())));
        }
        if let Some(chosen) = order.chosen.as_deref_mut() {
            chosen.mark(&mut head, order.facts, method);
        }
        order.route.mark(&mut head, order.facts);
        timing::mark(&mut head, &order.route.name, order.facts, order.reason, order.attempts, Vec::new);
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            // What follows is no body: no filter sees it, and no limit of bodies counts it.
            client.inform(head);
            self.stage = Stage::Switched;
            return Ok(());
        }
        (self.stage, self.stuck) = (Stage::Body, None);
        self.body_may_take();
        if self.events {
            // Nobody says when the next one comes: that both sides are still there is asked by their sockets.
            self.line.socket().map(door::keep_alive);
            client.keep_alive();
        }
        let wanted = order.halves.wants_body();
        if self.line.is_at_end() && !wanted {
            client.head(head, true);
            self.stage = Stage::Over;
            return Ok(());
        }
        if wanted {
            self.line.own_pieces();
        }
        client.head(head, false);
        Ok(())
    }

    /// A part of the answer's body has come, or did not.
    pub(super) fn piece<C: Client>(&mut self, piece: Result<Piece, Fault>, order: &mut Order<'_>, client: &mut C) -> Result<(), Ended> {
        let (mut data, mut trailers, last) = match piece {
            Ok(Piece::Data(data)) => (Some(data), None, self.line.is_at_end()),
            Ok(Piece::Trailers(mut trailers)) => {
                trailers.remove(X_FRONTGATE_EXPLAIN);
                (None, Some(*trailers), true)
            }
            Ok(Piece::End) => (None, None, true),
            Err(fault) => return Err(self.broke(order, &fault)),
        };
        if order.is_call() {
            order.answers(data.as_ref());
            if last {
                order.end_says(trailers.as_ref(), clock::now());
            }
        }
        if !order.halves.is_empty() {
            let flow = caught(|| {
                if trailers.is_some() {
                    order.halves.trailers(&mut trailers);
                }
                order.halves.body(&mut data, last)
            });
            self.goes_on(flow, order, client)?;
            self.holds = !last && order.halves.wants_body();
        }
        match trailers {
            Some(trailers) => {
                if let Some(data) = data {
                    client.body(data, false);
                }
                client.trailers(trailers);
            }
            None if last || data.as_ref().is_some_and(|data| !data.is_empty()) => client.body(data.unwrap_or_default(), last),
            None => {}
        }
        if last {
            self.stage = Stage::Over;
        } else {
            self.body_may_take();
        }
        Ok(())
    }

    /// No more of the body has come for now: what filters hold back goes out.
    pub(super) fn pause<C: Client>(&mut self, order: &mut Order<'_>, client: &mut C) -> Result<(), Ended> {
        let mut data = None;
        let flow = caught(|| order.halves.pause(&mut data));
        self.goes_on(flow, order, client)?;
        if let Some(data) = data.filter(|data: &Bytes| !data.is_empty()) {
            client.body(data, false);
        }
        Ok(())
    }

    fn goes_on<C: Client>(&self, flow: Result<Flow, Panicked>, order: &mut Order<'_>, client: &mut C) -> Result<(), Ended> {
        match flow {
            Ok(Flow::Go) => Ok(()),
            Ok(Flow::Abort(reply)) => Err(self.given_up(order, client, reply)),
            Err(Panicked) => Err(self.given_up(order, client, refusals::internal())),
        }
    }
}

/// Whether a body is a stream of server-sent events, which has no length and no pace.
fn is_event_stream(head: &ResponseHeader) -> bool {
    head.headers.get(CONTENT_TYPE).is_some_and(|kind| fields::is_media_type(kind.as_bytes(), "text/event-stream"))
}

/// Whether what was kept of a target is of the past once a request of this method was answered so (RFC 9111, section 4.4). What is not there
/// to be deleted is gone, too.
pub(crate) fn changes(method: &Method, status: StatusCode) -> bool {
    let succeeds = status.is_success() || status.is_redirection();
    !method.is_safe() && succeeds || *method == Method::DELETE && matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}
