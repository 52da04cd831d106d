//! The breaker's half on the way out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use pingora_http::ResponseHeader;

use super::Inner;
use super::cache::{Asked, Copying};
use super::circuit::Permit;
use super::fallback::{self, Served, Situation, Why};
use super::gate::Finding;
use crate::clock;
use crate::filter::{Attempt, Failure, Flow, Keep, Outcome, Rescue, ResponseFilter, Want};

/// One request's eye on its upstream: it reports to the circuit, marks a fallback upstream's answer, and copies a good one into the store.
pub(super) struct Watch {
    pub(super) inner: Arc<Inner>,
    /// Nothing where the circuit let the request through to a fallback only.
    pub(super) permit: Option<Permit>,
    /// The upstream whose circuit it is.
    pub(super) upstream: Arc<str>,
    pub(super) asked: Option<Asked>,
    /// Whether fallbacks may answer this method.
    pub(super) serves: bool,
    /// The fallback that would be tried next.
    pub(super) next: usize,
    /// Whether attempts are at a fallback upstream by now: what they bring is neither counted nor kept.
    pub(super) diverted: bool,
    /// Whether the version that was chosen gave way to another, whose answer is not what would be looked for under the first one's name.
    pub(super) moved: bool,
    /// Which fallback the answer is of, where it is another upstream's.
    pub(super) marks: Option<usize>,
    /// Whether the last attempt brought an answer of the upstream itself.
    pub(super) fresh: bool,
    /// What the last attempt said, until it is settled.
    pub(super) pending: Option<Finding>,
    pub(super) copying: Option<Copying>,
    /// Whether it is a call: then who made it says whether its answer is one to be kept.
    pub(super) is_call: bool,
    /// The copy of a call's answer, once it is whole.
    pub(super) whole: Option<Copying>,
    /// Whether it is only explained what would serve.
    pub(super) explained: bool,
    /// How long the circuit refuses, where it does.
    pub(super) left: Duration,
    /// When the last thing happened.
    pub(super) now: Instant,
}

impl Watch {
    /// The next fallback that can serve, if this method may have one.
    pub(super) fn serve(&mut self, why: Why, replayable: bool) -> Option<Served> {
        if !self.serves {
            return None;
        }
        let cache = self.inner.store.as_deref().zip(self.asked.as_ref());
        let situation = Situation { why, upstream: &self.upstream, cache, replayable, explained: self.explained, now: self.now };
        let served = fallback::serve(&self.inner.fallbacks, &mut self.next, &situation);
        if let Some(served) = &served {
            self.marks = matches!(served, Served::Pool(_)).then(|| self.next - 1);
            self.diverted |= self.marks.is_some();
        }
        served
    }

    /// Keeps an answer that came whole, or has it ready for who says whether it is to be kept.
    fn keep(&mut self, copying: Copying) {
        match &self.inner.store {
            _ if self.is_call => self.whole = Some(copying),
            Some(store) => store.keep(copying, self.now),
            None => {}
        }
    }
}

impl ResponseFilter for Watch {
    fn attempt(&mut self, attempt: &Attempt<'_>) -> Rescue {
        self.now = attempt.now;
        self.fresh = !self.diverted && !self.moved && attempt.result.is_ok();
        if let Some(permit) = self.permit.as_mut().filter(|_| !self.diverted) {
            let finding = self.inner.judge(attempt);
            self.pending = Some(finding);
            if attempt.last {
                permit.settle(finding, attempt.now);
            }
        }
        let status = match attempt.result {
            Err(Failure::Neutral) => return Rescue::Pass,
            Err(Failure::Connect | Failure::Timeout | Failure::Unavailable) => None,
            Ok(head) if self.inner.blames(attempt) => Some(head.status),
            Ok(_) => return Rescue::Pass,
        };
        if !attempt.last {
            return Rescue::Pass;
        }
        let why = if self.permit.is_some() { Why::Failed(status) } else { Why::Open };
        match self.serve(why, attempt.replayable) {
            Some(Served::Reply(_, reply)) => Rescue::Reply(reply),
            Some(Served::Pool(pool)) => Rescue::Pool(pool),
            // The circuit is open, and no fallback is left after this upstream.
            None if self.permit.is_none() => Rescue::Reply(fallback::circuit_open(self.left)),
            None => {
                // What goes out now is the gateway's own refusal where there is no head.
                self.marks = self.marks.filter(|_| status.is_some());
                Rescue::Pass
            }
        }
    }

    /// The upstream that comes now has a circuit of its own, where it is another: this one's has seen all that it will.
    fn moved(&mut self, to: &str, now: Instant) {
        self.moved = true;
        if *self.upstream == *to {
            return;
        }
        if let Some(permit) = self.permit.as_mut().filter(|_| !self.diverted) {
            permit.settle(self.pending.unwrap_or(Finding::Neutral), now);
        }
        self.diverted = true;
    }

    /// Those in flight when the circuit opens tell of the failure that opened it.
    fn is_measure(&self) -> bool {
        self.diverted || self.permit.as_ref().is_some_and(Permit::is_closed)
    }

    fn head(&mut self, head: &mut ResponseHeader) -> Want {
        (self.copying, self.whole) = (None, None);
        if let Some(fallback) = self.marks.take() {
            fallback::mark(head);
            self.inner.fallbacks[fallback].count();
        }
        let (true, Some(store), Some(asked)) = (self.fresh, &self.inner.store, &self.asked) else { return Want::Nothing };
        if matches!(head.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            store.gone(asked);
        }
        let Some(copying) = store.copying(asked, head) else { return Want::Nothing };
        if head.status == StatusCode::NO_CONTENT {
            self.keep(copying);
            return Want::Nothing;
        }
        self.copying = Some(copying);
        Want::Chunks
    }

    fn body(&mut self, body: &mut Option<Bytes>, last: bool) -> Flow {
        if let Some(mut copying) = self.copying.take()
            // Copied, not cloned: a filter outside of this one may want to change the bytes in place.
            && copying.take(body.as_deref().unwrap_or_default())
        {
            if last {
                self.keep(copying);
            } else {
                self.copying = Some(copying);
            }
        }
        Flow::Go
    }

    fn keeps(&mut self) -> Option<Keep> {
        let (copying, inner, now) = (self.whole.take()?, self.inner.clone(), self.now);
        Some(Box::new(move || {
            if let Some(store) = &inner.store {
                store.keep(copying, now);
            }
        }))
    }

    fn done(mut self: Box<Self>, outcome: &Outcome) {
        let Some(permit) = &mut self.permit else { return };
        if let Some(finding) = self.pending.filter(|_| outcome.complete && !permit.is_settled()) {
            permit.settle(finding, self.now);
        }
        let failed = !self.diverted && outcome.grpc.is_some_and(|status| self.inner.blames_end(status));
        if outcome.upstream_broke || failed {
            permit.broke(clock::now());
        } else if outcome.complete {
            permit.whole();
        }
    }
}
