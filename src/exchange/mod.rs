//! The exchange: a decided request is sent to endpoints of an upstream until one answers, and the answer streams back through the filters'
//! response halves.
//!
//! One future does all of it. What it waits for stands in one place ([`Leg::next`]), and every wait has its deadline. Both bodies move as fast
//! as the slower side takes them: no more is read from either than the other has room for.

pub(crate) mod client;
mod forward;
mod grpc;
mod leg;
pub(crate) mod timing;
pub(crate) mod tunnel;
mod upload;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use frontgate_filters::chain::Exchange as Halves;
use frontgate_filters::clock;
use frontgate_filters::filter::inspect::CircuitState;
use frontgate_filters::filter::{Attempt, Facts, Failure, Rescue};
use frontgate_filters::grpc::Status;
use frontgate_filters::reply::Reply;
use http::{HeaderValue, Method};

use crate::action::Chosen;
use crate::door::Conn;
use crate::mirror::Tee;
use crate::panics::{Panicked, caught};
use crate::refusals;
use crate::snapshot::{Route, Snapshot};
use crate::telemetry::{self, Flag, Skipped, Traced};
use crate::upstream::attempts::{Asked, Attempts, Audience, Next};
use crate::upstream::h1::Connection;
use crate::upstream::{NoPick, Pool};
use client::Client;
pub(crate) use forward::{Asker, X_FORWARDED_HOST, X_FORWARDED_PROTO, asked_host, identify};
pub(crate) use grpc::Streams;
pub(crate) use leg::changes;
use leg::{Ended, Leg};
use upload::Replay;

/// A request that was decided upon, and what is learnt of it on its way.
pub(crate) struct Order<'o> {
    /// The configuration that it began with.
    pub snapshot: &'o Snapshot,
    /// The route that took it.
    pub route: &'o Route,
    /// What is known of it.
    pub facts: &'o mut Facts,
    /// The filters that wait for the answer.
    pub halves: &'o mut Halves,
    /// Its attempts, with the upstream that is asked first.
    pub attempts: &'o mut Attempts,
    /// What was chosen for it, where its route leaves something to it.
    pub chosen: Option<&'o mut Chosen>,
    /// The path to send where the route rewrites it.
    pub rewritten: Option<&'o str>,
    /// The client's connection.
    pub conn: Option<&'o Conn>,
    /// Whether the client is a trusted proxy.
    pub from_trusted: bool,
    /// What went wrong, for the log, and in a word which deadline it was where an answer breaks off at one.
    pub flag: &'o mut Option<Flag>,
    /// The word.
    pub reason: &'o mut &'static str,
    /// Its messages, where it is a gRPC call.
    pub streams: Option<Box<Streams>>,
    /// The copy that is made of it, where it was drawn for one.
    pub tee: Option<Box<Tee>>,
    /// Where it stands in its trace, where spans are made.
    pub traced: Option<&'o Traced>,
}

/// How an exchange ended.
pub(crate) enum End {
    /// The whole answer was sent.
    Sent,
    /// Nothing final was sent: this is the answer.
    Answer(Reply),
    /// The answer broke off after its head. The client must see that it is not whole.
    Broken,
    /// So did the answer to a gRPC call, and what it was told of that is queued.
    Closed,
    /// The client has left.
    Gone,
    /// The protocol has changed: the head is queued, and from here bytes pass both ways.
    Switched {
        /// The upstream.
        upstream: Box<Connection>,
        /// Whether it is a WebSocket from here on.
        websocket: bool,
    },
}

/// Sends the request and brings the answer.
pub(crate) async fn exchange(order: &mut Order<'_>, client: &mut impl Client) -> End {
    let method = client.request().method.clone();
    let mut replay = Replay::new(client.framing(), order.tee.as_ref().map_or(0, |tee| tee.most()));
    if !replay.done && order.halves.rewrites_upload() {
        replay.rewrite();
    }
    loop {
        let now = clock::now();
        // What became of an attempt is no matter once another one follows.
        (*order.flag, *order.reason) = (None, "");
        if let Err(why) = order.attempts.next(now) {
            *order.flag = Some(if why == NoPick::Full { Flag::UpstreamOverflow } else { Flag::NoHealthyUpstream });
            match order.settle(&method, &replay, Err(Failure::Unavailable), None, now) {
                Next::Again => continue,
                Next::Answer(reply) => return End::Answer(reply),
                Next::Pass => return End::Answer(refusals::no_endpoint(why)),
            }
        }
        let ended = match Leg::open(order, client, &replay).await {
            Ok(leg) => leg.run(order, client, &method, &mut replay).await,
            Err(ended) => ended,
        };
        let (fault, otherwise) = match ended {
            Ended::Final(End::Broken) => return order.close(client),
            Ended::Final(end) => return end,
            Ended::Again => continue,
            Ended::Stale if replay.is_whole() && method.is_idempotent() && order.attempts.forgives_stale() => continue,
            Ended::Refused if replay.is_whole() && order.attempts.forgives_stale() => continue,
            Ended::Stale | Ended::Refused => {
                *order.flag = Some(Flag::UpstreamConnectionTermination);
                order.attempts.finished(telemetry::Attempt::Reset, clock::now());
                (Failure::Connect, Some(refusals::bad_gateway()))
            }
            Ended::Failed(fault, reply) => (fault, reply),
        };
        match (order.settle(&method, &replay, Err(fault), None, clock::now()), otherwise) {
            (Next::Again, _) => {}
            (Next::Answer(reply), _) | (Next::Pass, Some(reply)) => return End::Answer(reply),
            (Next::Pass, None) => return End::Gone,
        }
    }
}

impl Order<'_> {
    /// The version of an answer that the current attempt brings: the one that was chosen, else that of the endpoint.
    fn version(&self) -> Option<HeaderValue> {
        let pool = self.attempts.current().map(|current| current.pick().pool());
        let chosen = self.chosen.as_deref().zip(pool).and_then(|(chosen, pool)| chosen.version_of(pool));
        chosen.cloned().or_else(|| self.attempts.version())
    }

    /// So much of the request's body has come: a copy's may be as long as its mirror says.
    fn grows(&mut self, replay: &mut Replay) {
        if let Some(tee) = self.tee.as_mut().filter(|tee| tee.is_waiting() && tee.most() > 0 && replay.read > tee.most() as u64) {
            tee.skip(Skipped::Body);
            replay.keep_less();
        }
    }

    /// What there is of the request was written to its upstream: the copy goes out where it is to, and all of its body is here.
    fn is_written(&mut self, client: &impl Client, replay: &Replay) {
        let Some(mut tee) = self.tee.take() else { return };
        if tee.is_waiting() && (replay.done || tee.most() == 0) {
            let body = if tee.most() == 0 { Bytes::new() } else { replay.again() };
            tee.send(forward::copied(client, self, tee.mirror(), body));
        }
        self.tee = Some(tee);
    }

    /// The exchange has ended: what its upstream answered is compared with what the copy's did.
    pub(crate) fn ends(&mut self) {
        if let Some(tee) = &mut self.tee {
            let status = self.attempts.current().and_then(|current| current.status());
            tee.original(status.filter(|_| !self.attempts.is_rescued()));
        }
    }

    /// What follows an attempt that has ended with a head or without one, while nothing was sent to the client. `said` is what a head that is
    /// all of the answer says came of a gRPC call.
    fn settle(
        &mut self,
        method: &Method,
        replay: &Replay,
        result: Result<&pingora_http::ResponseHeader, Failure>,
        said: Option<Status>,
        now: Instant,
    ) -> Next {
        let asked = Asked {
            idempotent: method.is_idempotent(),
            replayable: replay.is_whole(),
            probing: self.facts.circuit == Some(CircuitState::HalfOpen),
            call: self.is_call(),
            said,
        };
        let moves = self.attempts.moves();
        let next = self.attempts.settle(asked, result, now, &mut Listeners { halves: self.halves, snapshot: self.snapshot });
        if let Some(chosen) = self.chosen.as_deref_mut().filter(|_| self.attempts.moves() > moves) {
            chosen.give_way(self.facts, true);
        }
        next
    }
}

/// The route's filters, as those who hear of attempts.
struct Listeners<'o> {
    halves: &'o mut Halves,
    snapshot: &'o Snapshot,
}

impl Audience for Listeners<'_> {
    fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }
    fn is_measure(&self) -> bool {
        self.halves.is_measure()
    }
    fn attempt(&mut self, attempt: &Attempt<'_>) -> Result<Rescue, Reply> {
        caught(|| self.halves.attempt(attempt)).map_err(|Panicked| refusals::internal())
    }
    fn moved(&mut self, to: &str, now: Instant) {
        // Who panics has heard of it: the next one is told.
        let _ = caught(|| self.halves.moved(to, now));
    }
    fn upstream(&self, name: &str) -> Option<Arc<Pool>> {
        self.snapshot.pools.get(name).cloned()
    }
}
