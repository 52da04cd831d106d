//! What a failure means: which answer the client gets, what is counted, what the log's two letters say.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use frontgate_filters::filter::Failure;
use frontgate_filters::reply::Reply;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use pingora_core::{Error, ErrorSource, ErrorType};

use super::{Ctx, REFUSED};
use crate::door::wire::Refusal;
pub use crate::refusals::internal;
use crate::refusals::unreadable;
use crate::telemetry::{Attempt, Flag};
use crate::upstream::NoPick;
use crate::upstream::deadline::Wait;

/// A filter panicked: its request is answered 500, and no other one notices.
#[derive(Debug)]
pub struct Panicked;

/// Runs a piece of the chain.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| Panicked)
}

/// Runs a piece of the chain that may wait.
pub async fn guarded<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match caught(|| future.as_mut().poll(cx)) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

fn bad_gateway() -> Reply {
    Reply::problem(StatusCode::BAD_GATEWAY, "upstream_unreachable", "The service behind the gateway did not answer.")
}

/// The answer where an upstream has no endpoint for a request.
pub fn no_endpoint(why: NoPick) -> Reply {
    let (code, detail) = match why {
        NoPick::Full => ("upstream_full", "The service behind the gateway has as many requests as it may."),
        NoPick::NoEndpoint => ("no_endpoint", "No endpoint can take the request."),
    };
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, code, detail).with(RETRY_AFTER, HeaderValue::from_static("1"))
}

fn too_slow() -> Reply {
    Reply::problem(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "The service behind the gateway did not answer in time.")
}

/// Counts a failed attempt and settles the log's letters and the answer. Whose fault it was.
pub fn classify(error: &Error, waited: Option<Wait>, ctx: &mut Ctx) -> Failure {
    if waited == Some(Wait::Upload) {
        ctx.flag = Some(Flag::DownstreamConnectionTermination);
        ctx.refusal = Some(Reply::problem(StatusCode::REQUEST_TIMEOUT, "slow_body", "The request's body did not come in time."));
        return Failure::Neutral;
    }
    if waited.is_some() {
        ctx.flag = Some(Flag::UpstreamTimeout);
        ctx.refusal = Some(too_slow());
        ctx.attempt_failed(Attempt::Timeout);
        return Failure::Timeout;
    }
    if ctx.refusal.is_some() || ctx.conn.as_ref().is_some_and(|conn| conn.refusal().is_some()) {
        return Failure::Neutral;
    }
    match error.esource() {
        ErrorSource::Downstream => {
            ctx.flag = Some(Flag::DownstreamConnectionTermination);
            Failure::Neutral
        }
        ErrorSource::Upstream => {
            let timed_out = matches!(error.etype, ErrorType::ReadTimedout | ErrorType::WriteTimedout);
            ctx.flag = Some(if timed_out { Flag::UpstreamTimeout } else { Flag::UpstreamConnectionTermination });
            ctx.attempt_failed(match error.etype {
                _ if timed_out => Attempt::Timeout,
                ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => Attempt::Reset,
                _ => Attempt::Error,
            });
            if timed_out { Failure::Timeout } else { Failure::Connect }
        }
        _ => Failure::Neutral,
    }
}

/// The answer to a failed request; none for a client that has left.
pub fn reply(error: &Error, ctx: &mut Ctx) -> Option<Reply> {
    if let Some(reply) = ctx.refusal.take() {
        return Some(reply);
    }
    if let Some(refusal) = ctx.conn.as_ref().and_then(|conn| conn.refusal()) {
        return Some(unreadable(refusal));
    }
    match (&error.etype, error.esource()) {
        (ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout, _) => Some(too_slow()),
        (ErrorType::ReadTimedout | ErrorType::WriteTimedout, ErrorSource::Upstream) => Some(too_slow()),
        (_, ErrorSource::Upstream) => Some(bad_gateway()),
        (ErrorType::InvalidHTTPHeader, ErrorSource::Downstream) => Some(unreadable(Refusal::UNREADABLE)),
        (_, ErrorSource::Downstream) => {
            ctx.flag = Some(Flag::DownstreamConnectionTermination);
            None
        }
        (etype, _) if *etype == REFUSED => Some(internal()),
        _ => {
            log::error!("a request failed inside the gateway: {error}");
            Some(internal())
        }
    }
}
