//! A request that is answered from calls: its body is read where somebody refers to it, and whoever leaves cancels all that was begun for it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use frontgate_filters::chain::Exchange;
use frontgate_filters::clock;
use frontgate_filters::filter::Flow;
use frontgate_filters::reply::{Reply, ReplyBody};
use frontgate_filters::words::fields::lists;
use http::StatusCode;
use http::header::EXPECT;

use super::Ctx;
use crate::compose::call::{Asks, Common, Maker, Told};
use crate::compose::{Composed, Composition, Held, Inquiry};
use crate::door::wire::Refusal;
use crate::exchange::client::{Client, Lost};
use crate::exchange::timing::Timed;
use crate::exchange::{Asker, End};
use crate::panics::{Panicked, caught, guarded};
use crate::refusals;
use crate::telemetry::Flag;
use crate::upstream::h1::Upload;
use crate::upstream::timer::Timer;

/// What is known of the calls of a request.
pub(super) struct Composing {
    /// What they have in common, and what became of them.
    pub common: Arc<Common>,
    /// Those that are missing in the answer, each with its cause; of one that failed, first the one that it failed with.
    pub missing: String,
    /// The saga behind it.
    pub saga: Option<Arc<str>>,
}

impl Composing {
    /// The calls, as they are told on the answer.
    pub(super) fn timed(&self) -> Vec<Timed> {
        let (now, mut all) = (clock::now(), Vec::new());
        self.common.told.each(|call| {
            let last = call.tried.last();
            all.push(Timed {
                name: call.name.clone(),
                upstream: last.map(|last| last.upstream.clone()),
                status: last.and_then(|last| last.status),
                result: call.word(),
                attempts: call.tried.len(),
                took: call.took(now),
            });
        });
        all
    }
}

/// Why there is no answer from calls.
enum Unanswered {
    /// The client has left.
    Left,
    /// The request is refused.
    Refused(Reply),
}

/// Answers from calls.
pub(super) async fn compose<C: Client>(client: &mut C, ctx: &mut Ctx, composition: &Arc<dyn Composition>) -> End {
    let snapshot = ctx.snapshot.clone();
    let route = snapshot.route(ctx.route);
    let Some(calls) = route.calls.clone() else { return End::Answer(refusals::internal()) };
    let deadline = route.timeout.map(|timeout| ctx.began + timeout);
    let head = client.request().clone();
    let mut upload = Uploaded::new(client, route.body_limit);
    let mut body = Bytes::new();
    if !upload.done && composition.reads_body(&head.method) {
        // What refers to the body has it for as long as it needs it, which may be longer than its client waits.
        let mut held = Held::of(&calls.budget);
        let reading = upload.read(client, &mut ctx.exchange, &mut held, deadline);
        match ctx.attempts.aside(reading).await {
            Ok(read) => match held.keeping(read) {
                Some(read) => body = read,
                None => return End::Answer(refusals::no_memory()),
            },
            Err(unanswered) => return ended(ctx, unanswered),
        }
    }
    let asker = Asker { conn: ctx.seat.as_deref().map(|seat| &*seat.conn), from_trusted: ctx.from_trusted, facts: &ctx.facts };
    let common = Arc::new(Common {
        asks: Asks::new(&head, &asker, ctx.traced.as_ref()),
        snapshot: snapshot.clone(),
        calls: calls.clone(),
        facts: ctx.facts.clone(),
        traced: ctx.traced,
        most: composition.most(),
        told: Told::default(),
    });
    ctx.composed = Some(Box::new(Composing { common: common.clone(), missing: String::new(), saga: None }));
    let maker = Maker::new(common.clone(), &head, deadline);
    let inquiry = Inquiry { head: &head, facts: &common.facts, body, calls: &maker, deadline };
    let mut composing = pin!(guarded(composition.compose(inquiry)));
    let composed = poll_fn(|cx| match composing.as_mut().poll(cx) {
        Poll::Ready(composed) => Poll::Ready(Ok(composed)),
        Poll::Pending => upload.poll_beside(client, cx).map(Err),
    });
    let composed = match ctx.attempts.aside(composed).await {
        Ok(Ok(composed)) => composed,
        Ok(Err(Panicked)) => return End::Answer(refusals::internal()),
        Err(unanswered) => return ended(ctx, unanswered),
    };
    let Composed { mut reply, missing, flag, saga } = composed;
    if !missing.is_empty() && reply.status.is_success() {
        calls.metrics.incomplete();
    }
    // What a saga has answered before is read again for everybody who asks.
    if let (Some(_), ReplyBody::Bytes(body)) = (&saga, &mut reply.body) {
        match Held::of(&calls.budget).keeping(std::mem::take(body)) {
            Some(kept) => *body = kept,
            None => reply = refusals::no_memory(),
        }
    }
    if let Some(fallback) = common.told.fallback().filter(|_| reply.status.is_success() && ctx.facts.reason.is_empty()) {
        ctx.facts.reason = fallback;
    }
    if let Some(composing) = &mut ctx.composed {
        let told: Vec<String> = missing.iter().map(|missing| format!("{} ({})", missing.name, missing.cause)).collect();
        (composing.missing, composing.saga) = (told.join(", "), saga);
    }
    ctx.flag = flag.or_else(|| (reply.is_refusal() && reply.status == StatusCode::GATEWAY_TIMEOUT).then_some(Flag::UpstreamTimeout));
    End::Answer(reply)
}

fn ended(ctx: &mut Ctx, unanswered: Unanswered) -> End {
    match unanswered {
        Unanswered::Refused(reply) => End::Answer(reply),
        Unanswered::Left => {
            ctx.flag = Some(Flag::DownstreamConnectionTermination);
            if let Some(composing) = &mut ctx.composed {
                composing.saga = composing.common.told.saga().cloned();
            }
            End::Gone
        }
    }
}

/// The body of a request.
struct Uploaded {
    /// Whether all of it was read.
    done: bool,
    /// How many bytes of it there may still be.
    left: u64,
    /// Whether its client sends it only once it is told to.
    expects: bool,
}

impl Uploaded {
    fn new(client: &impl Client, most: u64) -> Self {
        let done = matches!(client.framing(), Upload::None | Upload::Length(0));
        Self { done, left: most, expects: lists(&client.request().headers, &EXPECT, "100-continue") }
    }

    /// Reads all of it, through the filters that rewrite it.
    async fn read(
        &mut self,
        client: &mut impl Client,
        halves: &mut Exchange,
        held: &mut Held,
        deadline: Option<Instant>,
    ) -> Result<Bytes, Unanswered> {
        let (mut timer, mut whole, rewritten) = (Timer::new(), BytesMut::new(), halves.rewrites_upload());
        while !self.done {
            let part = poll_fn(|cx| match self.poll_part(client, cx) {
                Poll::Ready(part) => Poll::Ready(part),
                // It is the client who was too slow: nobody was asked yet.
                Poll::Pending => timer.poll(cx, deadline).map(|()| Err(Unanswered::Refused(refusals::unreadable(Refusal::SLOW_BODY)))),
            });
            let mut part = part.await?;
            if rewritten {
                part = rewrite(halves, part)?;
            }
            let part = part.unwrap_or_default();
            if !held.grow(part.len()) {
                return Err(Unanswered::Refused(refusals::no_memory()));
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }

    /// The next part, none at the end.
    fn poll_part(&mut self, client: &mut impl Client, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Unanswered>> {
        client.poll_body(cx).map(|part| match part {
            Ok(Some(part)) => match self.left.checked_sub(part.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Ok(Some(part))
                }
                None => Err(Unanswered::Refused(refusals::body_too_large())),
            },
            Ok(None) => {
                self.done = true;
                Ok(None)
            }
            Err(Lost::Left) => Err(Unanswered::Left),
            Err(Lost::Refused(refusal)) => Err(Unanswered::Refused(refusals::unreadable(refusal))),
        })
    }

    /// Ready where nobody needs the answer any more. A body that nobody asked for is thrown away, so that its client is seen to leave.
    fn poll_beside(&mut self, client: &mut impl Client, cx: &mut Context<'_>) -> Poll<Unanswered> {
        while !self.done {
            if self.expects {
                return client.gather(cx).map(|()| Unanswered::Left);
            }
            match self.poll_part(client, cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(unanswered)) => return Poll::Ready(unanswered),
                Poll::Pending => return Poll::Pending,
            }
        }
        client.poll_left(cx).map(|()| Unanswered::Left)
    }
}

fn rewrite(halves: &mut Exchange, part: Option<Bytes>) -> Result<Option<Bytes>, Unanswered> {
    let (last, mut part) = (part.is_none(), part);
    match caught(|| halves.upload(&mut part, last)) {
        Ok(Flow::Go) => Ok(part),
        Ok(Flow::Abort(reply)) => Err(Unanswered::Refused(reply)),
        Err(Panicked) => Err(Unanswered::Refused(refusals::internal())),
    }
}
