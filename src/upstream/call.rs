//! A call that the gateway makes itself: one request and its whole answer, by the same pools, health, retries, deadlines, limits and metrics as
//! the requests of clients.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use frontgate_filters::filter::{Attempt, Failure, Rescue};
use frontgate_filters::reply::Reply;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method};
use pingora_http::ResponseHeader;

use super::attempts::{Asked, Attempts, Audience, Next};
use super::cause::Cause;
use super::h1::{Fault, Piece, Upload};
use super::line::{self, Fields, Line, Said, Wanted};
use super::pool::Endpoint;
use super::{NoPick, Pool};
use crate::telemetry;

/// A request of the gateway's own.
pub(crate) struct Call<'c> {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: &'c [u8],
    /// Its fields; `Host` is the pool's or the endpoint's where they have none.
    pub fields: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What a consistent hash makes of it.
    pub hash: Option<u64>,
    /// Until when the answer has to be whole.
    pub deadline: Instant,
    /// The most bytes of an answer's body.
    pub most: usize,
    /// What becomes of them.
    pub answered: Answered,
    /// Whether it may be made again as the pool's retry rule says.
    pub again: bool,
}

/// What becomes of the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It is kept; one that is too long is none.
    Kept,
    /// It is read and dropped; what is too long of it is not read, which costs the connection.
    Dropped,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its head.
    pub head: ResponseHeader,
    /// Its body, where it was to be kept.
    pub body: Bytes,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// No endpoint took the call.
    NoEndpoint(NoPick),
    /// The endpoint cannot be reached, or broke off.
    Unreachable,
    /// It was too slow.
    Timeout,
    /// Its answer is larger than allowed.
    TooLarge,
    /// What it sent cannot be read.
    Malformed(&'static str),
}

/// Nobody listens to the attempts of a call.
struct Nobody;

impl Audience for Nobody {
    fn is_empty(&self) -> bool {
        true
    }
    fn is_measure(&self) -> bool {
        true
    }
    fn attempt(&mut self, _: &Attempt<'_>) -> Result<Rescue, Reply> {
        Ok(Rescue::Pass)
    }
    fn upstream(&self, _: &str) -> Option<Arc<Pool>> {
        None
    }
}

/// Makes the call at one of the pool's endpoints, and again as its retry rule says.
pub(crate) async fn call(pool: &Arc<Pool>, call: &Call<'_>) -> Result<Answer, NoAnswer> {
    let mut attempts = Attempts::default();
    attempts.limit(Some(call.deadline));
    attempts.ask(pool.clone(), call.hash);
    let asked = Asked { idempotent: call.method.is_idempotent(), replayable: call.again, probing: false, call: false, said: None };
    loop {
        let now = Instant::now();
        if now >= call.deadline {
            return Err(NoAnswer::Timeout);
        }
        if let Err(why) = attempts.next(now) {
            match attempts.settle(asked, Err(Failure::Unavailable), now, &mut Nobody) {
                Next::Again => continue,
                _ => return Err(NoAnswer::NoEndpoint(why)),
            }
        }
        let (fault, failure, result) = match attempt(&mut attempts, call, asked).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => continue,
            Err(Failed::Stale) if call.method.is_idempotent() && attempts.forgives_stale() => continue,
            Err(Failed::Refused) if attempts.forgives_stale() => continue,
            Err(Failed::Late) => (NoAnswer::Timeout, Failure::Timeout, telemetry::Attempt::Timeout),
            Err(Failed::Unreachable(cause)) => {
                attempts.because(cause);
                (NoAnswer::Unreachable, Failure::Connect, telemetry::Attempt::ConnectFailure)
            }
            Err(Failed::Stale | Failed::Refused | Failed::Broken) => (NoAnswer::Unreachable, Failure::Connect, telemetry::Attempt::Reset),
            Err(Failed::Malformed(why)) => {
                attempts.because(Cause::of_malformed(why));
                (NoAnswer::Malformed(why), Failure::Connect, telemetry::Attempt::Error)
            }
            Err(Failed::Body(fault, result)) => {
                attempts.finished(result, Instant::now());
                return Err(fault);
            }
        };
        let now = Instant::now();
        attempts.finished(result, now);
        if !matches!(attempts.settle(asked, Err(failure), now, &mut Nobody), Next::Again) {
            return Err(fault);
        }
    }
}

/// How an attempt fails.
enum Failed {
    Unreachable(Cause),
    Late,
    /// A pooled connection that the upstream had closed.
    Stale,
    /// It was not processed.
    Refused,
    Broken,
    Malformed(&'static str),
    /// After the head: no further attempt.
    Body(NoAnswer, telemetry::Attempt),
}

impl Failed {
    fn before_head(fault: Fault, reused: bool) -> Self {
        match fault {
            Fault::Closed(true) | Fault::Broken(true) if reused => Self::Stale,
            Fault::Closed(_) | Fault::Broken(_) => Self::Broken,
            Fault::Unwelcome(cause) => Self::Unreachable(cause),
            Fault::Malformed(why) => Self::Malformed(why),
            Fault::Refused => Self::Refused,
        }
    }
}

/// One attempt: the answer, or none where another attempt is to follow.
async fn attempt(attempts: &mut Attempts, call: &Call<'_>, asked: Asked) -> Result<Option<Answer>, Failed> {
    let Some(current) = attempts.current() else { return Err(Failed::Unreachable(Cause::Unreachable)) };
    let pool = current.pick().pool().clone();
    let endpoint = current.pick().endpoint_ref();
    let deadline = current.deadline().unwrap_or(call.deadline);
    let wanted = Wanted { fresh: attempts.wants_fresh(), websocket: false };
    let mut line = match line::pooled(&endpoint, &pool.timeouts, wanted) {
        Some(line) => line,
        None => {
            let patience = pool.timeouts.connect.0.min(deadline.saturating_duration_since(Instant::now()));
            in_time(Instant::now() + patience, line::open(&endpoint, &pool.timeouts, wanted)).await?.map_err(|cause| match cause {
                Cause::TooSlow => Failed::Late,
                cause => Failed::Unreachable(cause),
            })?
        }
    };
    let upload = match call.body.len() {
        0 if matches!(call.method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS) => Upload::None,
        length => Upload::Length(length as u64),
    };
    line.begin(&call.method, call.target, upload, &(call, &*pool, &*endpoint));
    line.upload(call.body.clone(), upload);
    line.end_upload(upload);
    let head = head(&mut line, attempts, &pool, deadline).await?;
    let now = Instant::now();
    attempts.head_arrived(head.status.as_u16(), now);
    if matches!(attempts.settle(asked, Ok(&head), now, &mut Nobody), Next::Again) {
        attempts.finished(telemetry::Attempt::Ok, now);
        return Ok(None);
    }
    let body = body(&mut line, pool.timeouts.between_bytes.0, deadline, call).await?;
    attempts.finished(telemetry::Attempt::Ok, Instant::now());
    if body.is_some() {
        line.put_back(&endpoint, &pool.timeouts);
    }
    Ok(Some(Answer { head, body: body.unwrap_or_default() }))
}

/// Sends the request and brings the final head, which may come before all of the request was taken.
async fn head(line: &mut Line, attempts: &mut Attempts, pool: &Pool, deadline: Instant) -> Result<ResponseHeader, Failed> {
    let mut sending = true;
    let mut until = deadline;
    loop {
        let moved = poll_fn(|cx| {
            // What is not taken may have been answered.
            if sending && line.poll_flush(cx).is_ready() {
                return Poll::Ready(None);
            }
            line.poll_final_head(cx).map(Some)
        });
        match in_time(until, moved).await? {
            None => {
                sending = false;
                let first_byte = attempts.request_sent().unwrap_or_else(|| pool.first_byte());
                until = deadline.min(Instant::now() + first_byte);
            }
            Some(Ok(head)) => return Ok(head),
            Some(Err(fault)) => return Err(Failed::before_head(fault, line.is_reused())),
        }
    }
}

/// The body, or nothing where the rest of it is not to be read.
async fn body(line: &mut Line, between: Duration, deadline: Instant, call: &Call<'_>) -> Result<Option<Bytes>, Failed> {
    let broken = |fault| match fault {
        Fault::Malformed(why) => Failed::Body(NoAnswer::Malformed(why), telemetry::Attempt::Error),
        _ => Failed::Body(NoAnswer::Unreachable, telemetry::Attempt::Reset),
    };
    let (mut body, mut read) = (BytesMut::new(), 0_usize);
    loop {
        let until = deadline.min(Instant::now() + between);
        let piece = in_time(until, poll_fn(|cx| line.poll_piece(cx))).await;
        let piece = piece.map_err(|_| Failed::Body(NoAnswer::Timeout, telemetry::Attempt::Timeout))?;
        match piece.map_err(broken)? {
            Piece::Data(data) => {
                read += data.len();
                match call.answered {
                    Answered::Kept if read > call.most => return Err(Failed::Body(NoAnswer::TooLarge, telemetry::Attempt::Ok)),
                    Answered::Kept => body.extend_from_slice(&data),
                    Answered::Dropped if read > call.most => return Ok(None),
                    Answered::Dropped => {}
                }
            }
            Piece::Trailers(_) => {}
            Piece::End => return Ok(Some(body.freeze())),
        }
    }
}

async fn in_time<T>(until: Instant, future: impl Future<Output = T>) -> Result<T, Failed> {
    tokio::time::timeout_at(until.into(), future).await.map_err(|_| Failed::Late)
}

impl Said for (&Call<'_>, &Pool, &Endpoint) {
    fn host(&self) -> &[u8] {
        let (call, pool, endpoint) = self;
        let host = call.fields.get(HOST).or(pool.host.as_ref());
        host.map_or(endpoint.authority.as_bytes(), HeaderValue::as_bytes)
    }

    fn fields<F: Fields>(&self, out: &mut F) {
        let fields = self.0.fields.iter();
        fields.filter(|(name, _)| **name != HOST).for_each(|(name, value)| out.put(name, value));
    }
}

#[cfg(test)]
mod tests;
