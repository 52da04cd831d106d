//! One attempt: a connection to an endpoint, the request on its way there, and the answer on its way back.

mod answer;
mod ends;

pub(crate) use answer::changes;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use frontgate_filters::clock;
use frontgate_filters::filter::{Failure, Flow};
use frontgate_filters::reply::Reply;
use http::Method;
use pingora_http::ResponseHeader;

use self::ends::note;
use super::client::{Client, Lost};
use super::upload::{Replay, Unwanted};
use super::{End, Order, forward};
use crate::config::model::UpstreamProtocol;
use crate::panics::{Panicked, caught};
use crate::refusals;
use crate::telemetry::{Attempt, Flag};
use crate::upstream::Pool;
use crate::upstream::cause::Cause;
use crate::upstream::faulty;
use crate::upstream::h1::{Fault, Piece};
use crate::upstream::line::{self, Line, Wanted};
use crate::upstream::pool::Endpoint;
use crate::upstream::timer::Timer;
use crate::websocket;

/// How an attempt ended.
pub(super) enum Ended {
    /// So does the exchange.
    Final(End),
    /// Another attempt follows.
    Again,
    /// A pooled connection turned out to be closed: the upstream has done nothing wrong.
    Stale,
    /// The upstream did not take the request, and has not processed it.
    Refused,
    /// Without a head, by whose fault; and the answer where nothing better is to be had, none for a client that has left.
    Failed(Failure, Option<Reply>),
}

/// How far an attempt is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The final head is still to come.
    Head,
    /// The body is passed on.
    Body,
    /// The whole answer was handed to the client.
    Over,
    /// The protocol has changed.
    Switched,
}

/// An attempt in progress.
pub(super) struct Leg {
    line: Line,
    endpoint: Arc<Endpoint>,
    pool: Arc<Pool>,
    timer: Timer,
    stage: Stage,
    /// Until when the attempt may take.
    total: Option<Instant>,
    /// How long the upstream may pause in its answer. A gRPC call may as long as it likes, where nobody says otherwise.
    between: Option<Duration>,
    /// Until when the upstream's next move has to come: its head, or the next part of the body.
    due: Option<Instant>,
    /// Until when it has to take more of the upload, while it does not and has not answered.
    stuck: Option<Instant>,
    /// Whether the upstream takes no more of the upload, and what becomes of the rest.
    deaf: bool,
    unwanted: Unwanted,
    /// Whether the client does not take its answer just now.
    blocked: bool,
    /// Whether filters may hold something of the body back.
    holds: bool,
    /// Whether the answer is a stream of events, whose parts come when there is something to tell.
    events: bool,
    /// Whether what the protocol has changed to is a WebSocket.
    websocket: bool,
}

/// What an attempt waits for.
#[allow(clippy::large_enum_variant, reason = "a head is moved once; a box for each would be an allocation a request")]
enum Event {
    Head(Result<ResponseHeader, Fault>),
    Piece(Result<Piece, Fault>),
    /// No more of the body has come for now.
    Pause,
    Upload(Result<Option<Bytes>, Lost>),
    Lost(Lost),
    Late,
}

impl Leg {
    /// A connection to the endpoint that was chosen.
    pub(super) async fn open<C: Client>(order: &mut Order<'_>, client: &mut C, replay: &Replay) -> Result<Self, Ended> {
        let Some(current) = order.attempts.current() else { return Err(Ended::Final(End::Answer(refusals::internal()))) };
        let (endpoint, pool, total) = (current.pick().endpoint_ref(), current.pick().pool().clone(), current.deadline());
        let mut timer = Timer::new();
        let websocket = endpoint.protocol != UpstreamProtocol::Http1 && forward::protocols(client).is_some_and(websocket::is_one);
        let wanted = Wanted { fresh: order.attempts.wants_fresh(), websocket };
        let mut dealt = order.attempts.dealt();
        let line = match faulty::instead(&mut dealt).or_else(|| line::pooled(&endpoint, &pool.timeouts, wanted)) {
            Some(line) => line,
            None => {
                let due = [Some(clock::now() + pool.timeouts.connect.0), total].into_iter().flatten().min();
                // On the heap: rare, and large, and what stands in this future is moved with it.
                let mut connecting = Box::pin(line::open(&endpoint, &pool.timeouts, wanted));
                let opened = poll_fn(|cx| match connecting.as_mut().poll(cx) {
                    Poll::Ready(Ok(line)) => Poll::Ready(Ok(line)),
                    Poll::Ready(Err(cause)) if cause == Cause::TooSlow => {
                        order.attempts.because(cause);
                        Poll::Ready(Err((Flag::UpstreamTimeout, Failure::Timeout)))
                    }
                    Poll::Ready(Err(cause)) => {
                        order.attempts.because(cause);
                        Poll::Ready(Err((Flag::UpstreamConnectionFailure, Failure::Connect)))
                    }
                    Poll::Pending if has_left(client, replay, cx) => {
                        Poll::Ready(Err((Flag::DownstreamConnectionTermination, Failure::Neutral)))
                    }
                    Poll::Pending => timer.poll(cx, due).map(|()| {
                        order.attempts.because(Cause::TooSlow);
                        Err((Flag::UpstreamTimeout, Failure::Timeout))
                    }),
                });
                match opened.await {
                    Ok(line) => line,
                    Err((flag, failure)) => {
                        *order.flag = Some(flag);
                        let (result, reply) = match failure {
                            Failure::Neutral => return Err(Ended::Failed(failure, None)),
                            Failure::Timeout => (Attempt::Timeout, refusals::too_slow()),
                            _ => (Attempt::ConnectFailure, refusals::bad_gateway()),
                        };
                        order.attempts.finished(result, clock::now());
                        let failure = if failure == Failure::Timeout { order.late() } else { failure };
                        return Err(Ended::Failed(failure, Some(reply)));
                    }
                }
            }
        };
        let line = faulty::around(line, dealt);
        if line.is_http2() && websocket {
            return Err(Ended::Failed(Failure::Neutral, Some(refusals::no_websocket())));
        }
        let stage = Stage::Head;
        let timeouts = &pool.timeouts;
        let between = if order.is_call() { timeouts.stream_idle } else { Some(timeouts.between_bytes) }.map(|pause| pause.0);
        let unwanted = Unwanted::new(order.route.body_limit);
        Ok(Self {
            line,
            endpoint,
            pool,
            timer,
            stage,
            total,
            between,
            due: None,
            stuck: None,
            deaf: false,
            unwanted,
            blocked: false,
            holds: false,
            events: false,
            websocket: false,
        })
    }

    /// Sends the request and brings the answer.
    pub(super) async fn run<C: Client>(mut self, order: &mut Order<'_>, client: &mut C, method: &Method, replay: &mut Replay) -> Ended {
        forward::begin(&mut self.line, client, replay.framing, &self.pool, order);
        if replay.read > 0 {
            self.line.upload(replay.again(), replay.framing);
        }
        if replay.done {
            self.sent(order, replay);
        } else {
            self.upload_may_pause(order);
        }
        while !matches!(self.stage, Stage::Over | Stage::Switched) {
            let next = poll_fn(|cx| {
                let next = self.poll_next(cx, client, replay, order.is_call());
                if order.tee.is_some() && !self.line.has_output() {
                    order.is_written(client, replay);
                }
                // Up to the head all of the time is the upstream's.
                if self.stage != Stage::Head {
                    order.attempts.idle(next.is_pending());
                }
                next
            });
            let moved = match next.await {
                Event::Head(head) => self.head(head, order, client, method, replay),
                Event::Piece(piece) => self.piece(piece, order, client),
                Event::Pause => self.pause(order, client),
                Event::Upload(Ok(Some(data))) => self.upload(data, order, replay),
                Event::Upload(Ok(None)) => self.uploaded(order, replay),
                Event::Upload(Err(lost)) | Event::Lost(lost) => Err(self.lost(order, lost)),
                Event::Late => {
                    *order.reason = order.as_calls_have_it(order.attempts.late(clock::now()));
                    Err(self.failed(order, Attempt::Timeout, Flag::UpstreamTimeout))
                }
            };
            if let Err(ended) = moved {
                return ended;
            }
        }
        if self.stage == Stage::Switched {
            order.attempts.finished(Attempt::Ok, clock::now());
            return Ended::Final(match self.line.real() {
                Some(Line::Http1(connection)) => End::Switched { upstream: connection, websocket: self.websocket },
                // No other line can change its protocol.
                _ => End::Broken,
            });
        }
        // Free for the next request, while the client takes the rest of its answer.
        order.attempts.finished(Attempt::Ok, clock::now());
        let Self { line, endpoint, pool, mut unwanted, .. } = self;
        match replay.done {
            true => line.put_back(&endpoint, &pool.timeouts),
            false => drop(line),
        }
        let flushed = poll_fn(|cx| {
            let flushed = client.poll_flush(cx);
            if flushed.is_pending() && !replay.done {
                unwanted.poll(client, cx);
            }
            flushed
        });
        let flushed = order.attempts.aside(flushed).await;
        Ended::Final(match flushed {
            Ok(()) => End::Sent,
            Err(lost) => {
                note(order, lost);
                End::Gone
            }
        })
    }

    /// Whatever comes first, while everything that can move does.
    fn poll_next<C: Client>(&mut self, cx: &mut Context<'_>, client: &mut C, replay: &Replay, is_call: bool) -> Poll<Event> {
        self.write(cx);
        // What the client takes makes room for more: first, since what is not polled wakes nobody.
        if !client.has_room()
            && let Some(event) = self.flush(cx, client)
        {
            return Poll::Ready(event);
        }
        if client.has_room() {
            let event = match self.stage {
                Stage::Head => self.line.poll_head(cx).map(Event::Head),
                _ => self.line.poll_piece(cx).map(Event::Piece),
            };
            if event.is_ready() {
                return event;
            }
            // What came together has gone through together; before anybody waits, all of it goes out.
            if std::mem::take(&mut self.holds) {
                return Poll::Ready(Event::Pause);
            }
        } else {
            self.line.gather(cx);
        }
        if client.has_queued()
            && let Some(event) = self.flush(cx, client)
        {
            return Poll::Ready(event);
        }
        let mut paused = false;
        if !replay.done && self.deaf && self.blocked {
            self.unwanted.poll(client, cx);
        }
        if !replay.done && !self.deaf && self.line.takes_upload() {
            match client.poll_body(cx) {
                Poll::Ready(part) => return Poll::Ready(Event::Upload(part)),
                Poll::Pending => paused = true,
            }
        } else if has_left(client, replay, cx) {
            return Poll::Ready(Event::Lost(Lost::Left));
        }
        // While the client does not read, or pauses its upload, the upstream is not to blame; a call in which nobody says anything is idle.
        let due = if self.stage != Stage::Head && (self.blocked || paused && !is_call) { None } else { self.due };
        let due = [self.total, due, self.stuck].into_iter().flatten().min();
        self.timer.poll(cx, due).map(|()| Event::Late)
    }

    /// Writes to the client what it takes.
    fn flush<C: Client>(&mut self, cx: &mut Context<'_>, client: &mut C) -> Option<Event> {
        match client.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                if std::mem::take(&mut self.blocked) {
                    self.line.is_held_up(false);
                    self.body_may_take();
                }
                None
            }
            Poll::Ready(Err(lost)) => Some(Event::Lost(lost)),
            Poll::Pending => {
                if !std::mem::replace(&mut self.blocked, true) {
                    self.line.is_held_up(true);
                }
                None
            }
        }
    }

    /// Writes to the upstream what it takes.
    fn write(&mut self, cx: &mut Context<'_>) {
        if self.deaf || !self.line.has_output() {
            return;
        }
        let before = self.line.output_len();
        match self.line.poll_flush(cx) {
            Poll::Ready(Ok(())) => self.stuck = None,
            // It may have answered before it closed: what there is to read is read, and not waited for beyond the usual.
            Poll::Ready(Err(_)) => {
                self.deaf = true;
                self.stuck = None;
                self.due.get_or_insert_with(|| clock::now() + self.pool.first_byte());
            }
            Poll::Pending if self.stage != Stage::Head => {
                // It has answered: it need not read the rest.
                self.stuck = None;
                if self.line.output_len() < before {
                    self.body_may_take();
                }
            }
            Poll::Pending if self.stuck.is_none() || self.line.output_len() < before => {
                self.stuck = self.between.map(|pause| clock::now() + pause);
            }
            Poll::Pending => {}
        }
    }

    /// The request's last byte is on its way: from here the upstream is waited for.
    fn sent(&mut self, order: &mut Order<'_>, replay: &Replay) {
        self.line.end_upload(replay.framing);
        // A pooled connection took no time.
        let since = order.attempts.current().filter(|_| self.line.is_reused() && replay.read == 0).map(|current| current.began());
        match order.attempts.request_sent() {
            Some(allowance) => self.due = Some(since.unwrap_or_else(clock::now) + allowance),
            None => self.body_may_take(),
        }
    }

    /// The next part of the answer's body is waited for from now on.
    fn body_may_take(&mut self) {
        if self.stage == Stage::Body && !self.events {
            self.due = self.between.map(|pause| clock::now() + pause);
        }
    }

    /// Until its head comes, a gRPC call whose upload is open may be as idle as later on.
    fn upload_may_pause(&mut self, order: &Order<'_>) {
        if self.stage == Stage::Head && order.is_call() {
            self.due = self.between.map(|pause| clock::now() + pause);
        }
    }

    /// The request's body has come to its end.
    fn uploaded(&mut self, order: &mut Order<'_>, replay: &mut Replay) -> Result<(), Ended> {
        if replay.rewritten {
            self.rewrite(&mut None, true, order)?;
        }
        replay.done = true;
        self.sent(order, replay);
        Ok(())
    }

    /// A part of the request's body passes the filters that rewrite it.
    fn rewrite(&mut self, part: &mut Option<Bytes>, last: bool, order: &mut Order<'_>) -> Result<(), Ended> {
        match caught(|| order.halves.upload(part, last)) {
            Ok(Flow::Go) => Ok(()),
            Ok(Flow::Abort(reply)) => Err(self.refused(order, reply)),
            Err(Panicked) => Err(self.refused(order, refusals::internal())),
        }
    }

    /// A part of the request's body has come.
    fn upload(&mut self, mut data: Bytes, order: &mut Order<'_>, replay: &mut Replay) -> Result<(), Ended> {
        if replay.rewritten {
            let mut part = Some(data);
            self.rewrite(&mut part, false, order)?;
            data = part.unwrap_or_default();
        }
        replay.keep(&data);
        if order.tee.is_some() {
            order.grows(replay);
        }
        if !order.fits(&data, replay) {
            let reply = if order.is_call() { refusals::message_too_large() } else { refusals::body_too_large() };
            return Err(self.refused(order, reply));
        }
        self.line.upload(data, replay.framing);
        self.body_may_take();
        self.upload_may_pause(order);
        Ok(())
    }
}

/// Whether the client is seen to have left, while nobody reads what it sends.
fn has_left(client: &mut impl Client, replay: &Replay, cx: &mut Context<'_>) -> bool {
    let left = if replay.done { client.poll_left(cx) } else { client.gather(cx) };
    left.is_ready()
}
