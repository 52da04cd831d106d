//! A gRPC call on its way through an exchange: where its messages end, what its answer says came of it, and what its client is told where the
//! gateway has to end it.

use std::time::Instant;

use bytes::Bytes;
use frontgate_filters::clock;
use frontgate_filters::filter::{Failure, Flow};
use frontgate_filters::grpc::{Messages, Status, Wire, wire_of};
use frontgate_filters::reply::grpc::status as says;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use pingora_http::ResponseHeader;

use super::client::Client;
use super::upload::Replay;
use super::{End, Order};
use crate::panics::caught;
use crate::telemetry::Flag;

/// Both streams of a call's messages.
#[derive(Default)]
pub(crate) struct Streams {
    upload: Messages,
    answer: Messages,
    /// Whether trailers may still say what came of it where the answer ends early.
    can_close: bool,
    /// What they would say where it is not the upstream that is at fault.
    refused: Option<Status>,
}

impl Order<'_> {
    /// Whether the request is a gRPC call.
    pub(super) fn is_call(&self) -> bool {
        self.streams.is_some()
    }

    /// Whether a part of the request's body is within the route's limit: of a document all of it, of a call each message. Where those lie in
    /// text that nobody here reads, it is all of it, too.
    pub(super) fn fits(&mut self, part: &Bytes, replay: &Replay) -> bool {
        let most = self.route.body_limit;
        let is_text = !replay.rewritten && self.facts.grpc.as_ref().is_some_and(|call| call.wire == Wire::WebText);
        match self.streams.as_mut().filter(|_| !is_text) {
            None => replay.read <= most,
            Some(streams) => {
                let fits = streams.upload.take(part, most).is_ok();
                if !fits {
                    streams.refused = Some(Status::RESOURCE_EXHAUSTED);
                }
                fits
            }
        }
    }

    /// Whether it is a call for which its own client waits no longer.
    pub(super) fn is_over(&self) -> bool {
        self.facts.grpc.as_ref().is_some_and(|call| call.is_over(clock::now()))
    }

    /// The name of a deadline that is over, as it is of a call.
    pub(super) fn as_calls_have_it(&self, name: &'static str) -> &'static str {
        match name {
            "between_bytes" if self.is_call() => "stream_idle",
            "timeout" if self.is_over() => "grpc_timeout",
            name => name,
        }
    }

    /// Why an attempt is over whose time is: a client's own time is not for the upstream to keep.
    pub(super) fn late(&self) -> Failure {
        if self.is_over() { Failure::Neutral } else { Failure::Timeout }
    }

    /// The upstream's head has come, which may be all of its answer. What it then says came of a call, as the upstream is to answer for.
    pub(super) fn head_says(&mut self, head: &ResponseHeader, is_end: bool, now: Instant) -> Option<Status> {
        let (Some(streams), Some(call)) = (&mut self.streams, &mut self.facts.grpc) else { return None };
        let is_grpc = head.headers.get(CONTENT_TYPE).and_then(|value| wire_of(value.as_bytes()));
        (streams.answer, streams.can_close) = (Messages::default(), false);
        // Whatever else it may be, its fields are not about a call.
        let wire = is_grpc?;
        streams.can_close = wire == Wire::Plain && !head.headers.contains_key(CONTENT_LENGTH);
        call.status = Status::read(&head.headers);
        call.status.filter(|_| is_end).map(|status| call.blamed(status, now))
    }

    /// A part of the answer's body has come from the upstream.
    pub(super) fn answers(&mut self, part: Option<&Bytes>) {
        if let (Some(streams), Some(part)) = (&mut self.streams, part) {
            // No answer is too long.
            let _ = streams.answer.take(part, u64::MAX);
        }
    }

    /// The answer has come to its end, with these trailers.
    pub(super) fn end_says(&mut self, trailers: Option<&HeaderMap>, now: Instant) {
        let Some(call) = &mut self.facts.grpc else { return };
        call.status = trailers.and_then(Status::read).or(call.status);
        call.told = call.status.map(|status| call.blamed(status, now));
        self.attempts.concluded(call.told, now);
    }

    /// An answer breaks off. Where no message does, its client is told why, in trailers that the filters see as any others.
    pub(super) fn close(&mut self, client: &mut impl Client) -> End {
        let (Some(streams), Some(call)) = (&mut self.streams, &mut self.facts.grpc) else { return End::Broken };
        if !streams.can_close || !streams.answer.is_whole() {
            return End::Broken;
        }
        let (status, detail) = match (streams.refused, *self.flag) {
            (Some(status), _) => (status, "A message of the call is larger than allowed."),
            (None, Some(Flag::UpstreamTimeout)) => (Status::DEADLINE_EXCEEDED, "The service behind the gateway did not go on in time."),
            (None, Some(Flag::UpstreamConnectionTermination | Flag::UpstreamProtocolError)) => {
                (Status::UNAVAILABLE, "The service behind the gateway broke off.")
            }
            (None, _) => (Status::INTERNAL, "The gateway cannot pass the answer on."),
        };
        let (mut trailers, mut data) = (Some(says(status, detail, None)), None);
        let passed = caught(|| {
            self.halves.trailers(&mut trailers);
            self.halves.body(&mut data, true)
        });
        if !matches!(passed, Ok(Flow::Go)) {
            return End::Broken;
        }
        match trailers {
            Some(trailers) => {
                if let Some(data) = data {
                    client.body(data, false);
                }
                client.trailers(trailers);
            }
            None => client.body(data.unwrap_or_default(), true),
        }
        call.status = Some(status);
        End::Closed
    }
}
