//! A call that the gateway makes itself: one request and its whole answer, by the same pools, health, retries, deadlines, limits and metrics as
//! the requests of clients.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use frontgate_filters::clock;
use frontgate_filters::filter::{Attempt, Failure, Rescue};
use frontgate_filters::reply::Reply;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora_http::ResponseHeader;

use super::attempts::{Asked, Attempts, Audience, Next};
use super::cause::Cause;
use super::faulty;
use super::h1::{Brief, Fault, Piece, Upload};
use super::line::{self, Fields, Line, Said, Wanted};
use super::pool::Endpoint;
use super::timer::Timer;
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
    /// The endpoint cannot be reached: not a byte of the call was sent.
    Unreachable,
    /// It broke off, or did not take the call.
    Broken,
    /// It was too slow.
    Timeout,
    /// Its answer is larger than allowed.
    TooLarge,
    /// There is no memory for its answer.
    NoMemory,
    /// What it sent cannot be read.
    Malformed(&'static str),
}

/// Who makes a call: hears of its attempts, says who asks, and takes the answer.
pub(crate) trait Caller: Audience {
    /// Whether its task stays on the thread of a worker, which keeps deadlines.
    fn is_at_work(&self) -> bool {
        false
    }

    /// Whether the call is a probe, which is worth one attempt.
    fn is_probe(&self) -> bool {
        false
    }

    /// The host that an attempt at this endpoint is sent.
    fn host<'h>(&'h self, call: &'h Call<'_>, pool: &'h Pool, endpoint: &'h Endpoint) -> &'h [u8] {
        let host = call.fields.get(HOST).or(pool.host.as_ref());
        host.map_or(endpoint.authority.as_bytes(), HeaderValue::as_bytes)
    }

    /// Says the fields of the attempt of this number: those of the call without the host, and what else there is to say.
    fn say<F: Fields>(&self, call: &Call<'_>, _attempt: u32, out: &mut F) {
        let fields = call.fields.iter();
        fields.filter(|(name, _)| **name != HOST).for_each(|(name, value)| out.put(name, value));
    }

    /// The head of an attempt's answer has come with this status, whatever follows it.
    fn came(&mut self, _status: StatusCode) {}

    /// The answer with this head is taken.
    fn head(&mut self, _head: &mut Brief) -> Result<(), NoAnswer> {
        Ok(())
    }

    /// A part of its body, and whether the rest of it is to be read.
    fn part(&mut self, data: Bytes) -> Result<bool, NoAnswer>;

    /// The end of its body.
    fn end(&mut self) -> Result<(), NoAnswer> {
        Ok(())
    }
}

/// What a call has brought.
pub(crate) enum Brought {
    /// An answer with this head, of which the caller has the body.
    Answer(Brief),
    /// Somebody who listens has answered in the upstream's place.
    Instead(Reply),
}

/// Nobody listens to the attempts of a call; what it brings is kept or dropped.
struct Nobody {
    most: usize,
    answered: Answered,
    body: BytesMut,
    read: usize,
}

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

impl Caller for Nobody {
    fn part(&mut self, data: Bytes) -> Result<bool, NoAnswer> {
        self.read += data.len();
        match self.answered {
            Answered::Kept if self.read > self.most => return Err(NoAnswer::TooLarge),
            Answered::Kept => self.body.extend_from_slice(&data),
            Answered::Dropped => return Ok(self.read <= self.most),
        }
        Ok(true)
    }
}

/// Makes the call at one of the pool's endpoints, and again as its retry rule says.
pub(crate) async fn call(pool: &Arc<Pool>, call: &Call<'_>) -> Result<Answer, NoAnswer> {
    let mut attempts = Attempts::default();
    attempts.ask(pool.clone(), call.hash);
    let mut nobody = Nobody { most: call.most, answered: call.answered, body: BytesMut::new(), read: 0 };
    match make(&mut attempts, call, &mut nobody).await? {
        Brought::Answer(head) => match head.into_whole() {
            Ok(head) => Ok(Answer { head, body: nobody.body.freeze() }),
            Err(_) => Err(NoAnswer::Malformed("its head cannot be read")),
        },
        Brought::Instead(_) => Err(NoAnswer::Broken),
    }
}

/// Makes the call with these attempts, which know whose endpoints are asked.
pub(crate) async fn make(attempts: &mut Attempts, call: &Call<'_>, caller: &mut impl Caller) -> Result<Brought, NoAnswer> {
    attempts.limit(Some(call.deadline));
    let idempotent = call.method.is_idempotent();
    // Whether somebody may have read it: from then on nobody is told that it was not sent.
    let mut sent = false;
    loop {
        let asked = Asked { idempotent, replayable: call.again, probing: caller.is_probe(), call: false, said: None };
        let now = clock::now();
        if now >= call.deadline {
            return Err(NoAnswer::Timeout);
        }
        if let Err(why) = attempts.next(now) {
            match attempts.settle(asked, Err(Failure::Unavailable), now, caller) {
                Next::Again => continue,
                Next::Answer(reply) => return Ok(Brought::Instead(reply)),
                Next::Pass if sent => return Err(NoAnswer::Broken),
                Next::Pass => return Err(NoAnswer::NoEndpoint(why)),
            }
        }
        let attempted = attempt(attempts, call, asked, caller).await;
        sent |= !matches!(attempted, Err(Failed::Unreachable(_) | Failed::TooSlow));
        let (fault, failure, result) = match attempted {
            Ok(Some(brought)) => return Ok(brought),
            Ok(None) => continue,
            Err(Failed::Stale) if idempotent && attempts.forgives_stale() => continue,
            Err(Failed::Refused) if attempts.forgives_stale() => continue,
            Err(Failed::Late) => (NoAnswer::Timeout, Failure::Timeout, telemetry::Attempt::Timeout),
            Err(Failed::TooSlow) => {
                attempts.because(Cause::TooSlow);
                (NoAnswer::Timeout, Failure::Timeout, telemetry::Attempt::Timeout)
            }
            Err(Failed::Unreachable(cause)) => {
                attempts.because(cause);
                let fault = if sent { NoAnswer::Broken } else { NoAnswer::Unreachable };
                (fault, Failure::Connect, telemetry::Attempt::ConnectFailure)
            }
            Err(Failed::Unwelcome(cause)) => {
                attempts.because(cause);
                (NoAnswer::Broken, Failure::Connect, telemetry::Attempt::ConnectFailure)
            }
            Err(Failed::Stale | Failed::Refused | Failed::Broken) => (NoAnswer::Broken, Failure::Connect, telemetry::Attempt::Reset),
            Err(Failed::Malformed(why)) => {
                attempts.because(Cause::of_malformed(why));
                (NoAnswer::Malformed(why), Failure::Connect, telemetry::Attempt::Error)
            }
            Err(Failed::Body(fault, result)) => {
                attempts.finished(result, clock::now());
                return Err(fault);
            }
        };
        let now = clock::now();
        attempts.finished(result, now);
        match attempts.settle(asked, Err(failure), now, caller) {
            Next::Again => {}
            Next::Answer(reply) => return Ok(Brought::Instead(reply)),
            Next::Pass => return Err(fault),
        }
    }
}

/// How an attempt fails.
enum Failed {
    /// Nothing was sent.
    Unreachable(Cause),
    /// Nor here: no connection came about in time.
    TooSlow,
    /// TLS ended before the answer, when the call may have been read.
    Unwelcome(Cause),
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
            Fault::Unwelcome(cause) => Self::Unwelcome(cause),
            Fault::Malformed(why) => Self::Malformed(why),
            Fault::Refused => Self::Refused,
        }
    }
}

/// One attempt: the answer, or none where another attempt is to follow.
async fn attempt(attempts: &mut Attempts, call: &Call<'_>, asked: Asked, caller: &mut impl Caller) -> Result<Option<Brought>, Failed> {
    let Some(current) = attempts.current() else { return Err(Failed::Unreachable(Cause::Unreachable)) };
    let pool = current.pick().pool().clone();
    let endpoint = current.pick().endpoint_ref();
    let deadline = current.deadline().unwrap_or(call.deadline);
    let mut clock = Clock::new(caller.is_at_work());
    let wanted = Wanted { fresh: attempts.wants_fresh(), websocket: false };
    let mut dealt = attempts.dealt();
    let line = match faulty::instead(&mut dealt).or_else(|| line::pooled(&endpoint, &pool.timeouts, wanted)) {
        Some(line) => line,
        None => {
            let until = deadline.min(clock::now() + pool.timeouts.connect.0);
            // On the heap: rare, and large.
            let opened = clock.within(|| until, Box::pin(line::open(&endpoint, &pool.timeouts, wanted))).await;
            opened.map_err(|_| Failed::TooSlow)?.map_err(|cause| match cause {
                Cause::TooSlow => Failed::TooSlow,
                cause => Failed::Unreachable(cause),
            })?
        }
    };
    let mut line = faulty::around(line, dealt);
    let upload = match call.body.len() {
        0 if matches!(call.method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS) => Upload::None,
        length => Upload::Length(length as u64),
    };
    line.begin(&call.method, call.target, upload, &Saying { call, caller, pool: &pool, endpoint: &endpoint, attempt: attempts.count() });
    line.want_whole();
    line.upload(call.body.clone(), upload);
    line.end_upload(upload);
    let mut head = head(&mut line, attempts, &pool, deadline, &mut clock).await?;
    let now = clock::now();
    attempts.head_arrived(head.status.as_u16(), now);
    caller.came(head.status);
    let settled = if caller.is_empty() {
        attempts.settle(asked, Ok(&bare(head.status)), now, caller)
    } else {
        // Whoever listens may look at all of it.
        let whole = head.into_whole().map_err(|fault| Failed::before_head(fault, false))?;
        let settled = attempts.settle(asked, Ok(&whole), now, caller);
        head = whole.into();
        settled
    };
    match settled {
        Next::Pass => {}
        Next::Again => {
            attempts.finished(telemetry::Attempt::Ok, now);
            return Ok(None);
        }
        Next::Answer(reply) => {
            attempts.finished(telemetry::Attempt::Ok, now);
            return Ok(Some(Brought::Instead(reply)));
        }
    }
    caller.head(&mut head).map_err(|fault| Failed::Body(fault, telemetry::Attempt::Ok))?;
    let whole = body(&mut line, pool.timeouts.between_bytes.0, deadline, caller, &mut clock).await?;
    attempts.finished(telemetry::Attempt::Ok, clock::now());
    if whole {
        line.put_back(&endpoint, &pool.timeouts);
    }
    Ok(Some(Brought::Answer(head)))
}

/// A head that says no more than its status.
fn bare(status: StatusCode) -> ResponseHeader {
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = status;
    ResponseHeader::from(parts)
}

/// Sends the request and brings the final head, which may come before all of the request was taken.
async fn head(line: &mut Line, attempts: &mut Attempts, pool: &Pool, deadline: Instant, clock: &mut Clock) -> Result<Brief, Failed> {
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
        match clock.within(|| until, moved).await.map_err(|_| Failed::Late)? {
            None => {
                sending = false;
                let first_byte = attempts.request_sent().unwrap_or_else(|| pool.first_byte());
                until = deadline.min(clock::now() + first_byte);
            }
            Some(Ok(head)) => return Ok(head),
            Some(Err(fault)) => return Err(Failed::before_head(fault, line.is_reused())),
        }
    }
}

/// Brings the body to the caller; whether all of it was read.
async fn body(line: &mut Line, between: Duration, deadline: Instant, caller: &mut impl Caller, clock: &mut Clock) -> Result<bool, Failed> {
    let broken = |fault| match fault {
        Fault::Malformed(why) => Failed::Body(NoAnswer::Malformed(why), telemetry::Attempt::Error),
        _ => Failed::Body(NoAnswer::Broken, telemetry::Attempt::Reset),
    };
    // What is not taken of an answer is the caller's affair.
    let not_taken = |fault| Failed::Body(fault, telemetry::Attempt::Ok);
    loop {
        let until = || deadline.min(clock::now() + between);
        let piece = clock.within(until, poll_fn(|cx| line.poll_piece(cx))).await;
        let piece = piece.map_err(|_| Failed::Body(NoAnswer::Timeout, telemetry::Attempt::Timeout))?;
        match piece.map_err(broken)? {
            Piece::Data(data) => {
                if !caller.part(data).map_err(not_taken)? {
                    return Ok(false);
                }
            }
            Piece::Trailers(_) => {}
            Piece::End => {
                caller.end().map_err(not_taken)?;
                return Ok(true);
            }
        }
    }
}

/// Who keeps deadlines: a worker does so for tasks that stay on its thread, the runtime for all others.
enum Clock {
    Worker(Timer),
    Runtime,
}

/// A deadline is over.
struct Over;

impl Clock {
    fn new(at_work: bool) -> Self {
        if at_work { Self::Worker(Timer::new()) } else { Self::Runtime }
    }

    /// What this comes to until then, which is asked for where it is to be waited for.
    async fn within<T>(&mut self, until: impl FnOnce() -> Instant, future: impl Future<Output = T>) -> Result<T, Over> {
        match self {
            Self::Worker(timer) => {
                let (mut future, mut until, mut due) = (pin!(future), Some(until), None);
                poll_fn(|cx| match future.as_mut().poll(cx) {
                    Poll::Ready(done) => Poll::Ready(Ok(done)),
                    Poll::Pending => {
                        due = due.or_else(|| until.take().map(|until| until()));
                        timer.poll(cx, due).map(|()| Err(Over))
                    }
                })
                .await
            }
            Self::Runtime => {
                let left = until().saturating_duration_since(clock::now());
                tokio::time::timeout(left, future).await.map_err(|_| Over)
            }
        }
    }
}

/// What an attempt says beside its first line.
struct Saying<'s, 'c, C> {
    call: &'s Call<'c>,
    caller: &'s C,
    pool: &'s Pool,
    endpoint: &'s Endpoint,
    attempt: u32,
}

impl<C: Caller> Said for Saying<'_, '_, C> {
    fn host(&self) -> &[u8] {
        self.caller.host(self.call, self.pool, self.endpoint)
    }

    fn fields<F: Fields>(&self, out: &mut F) {
        self.caller.say(self.call, self.attempt, out);
    }
}

#[cfg(test)]
mod tests;
