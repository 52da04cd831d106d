//! What a filter is: a plain struct with one method for the request and, where it cares, one for every answer.

use std::any::Any;
use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderValue;
use pingora_http::{RequestHeader, ResponseHeader};

use crate::reply::Reply;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A filter, compiled from its configuration and shared by all requests.
pub trait Filter: Any + Send + Sync {
    /// Looks at the request and may change its head.
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a>;

    /// Marks every answer of the route, even one made before [`Filter::request`] was reached.
    fn answer(&self, _head: &mut ResponseHeader, _facts: &Facts) {}
}

/// What a filter decided.
pub enum Verdict<'a> {
    /// Go on; the response is of no interest.
    Continue,
    /// Go on, and run this half on the response.
    ContinueWith(Box<dyn ResponseFilter>),
    /// Answer now; no later filter and no pool sees the request.
    Reply(Reply),
    /// Wait for this first, as for a key set that is being fetched.
    Wait(BoxFuture<'a, Verdict<'a>>),
}

/// One request's response half. Its fields are the request's private state, and dropping it gives back what it holds.
pub trait ResponseFilter: Send + Sync {
    /// The head that goes out. May run again after a failed attempt: overwrite, never accumulate.
    fn head(&mut self, _head: &mut ResponseHeader) -> Want {
        Want::Nothing
    }
    /// A part of the body, only after [`Want::Chunks`]. `last` comes once, perhaps with no bytes.
    fn body(&mut self, _body: &mut Option<Bytes>, _last: bool) -> Flow {
        Flow::Go
    }
    /// The exchange is over, however it went.
    fn done(self: Box<Self>, _outcome: &Outcome) {}
}

/// Whether a response half wants the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The head was enough.
    Nothing,
    /// Every chunk.
    Chunks,
}

/// Whether the body goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Go,
    /// It breaks off here, so that the client sees that it is not whole.
    Abort,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status that the client was sent; 0 where none was.
    pub status: u16,
    /// Whether the whole answer was sent.
    pub complete: bool,
}

/// What filters have learnt of a request. Later filters, the log and the metrics read it; a new fact is a new field.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The client's address, from the connection or from proxies that are trusted.
    pub client_ip: IpAddr,
    /// The request's identifier, as it goes into `X-Request-Id`.
    pub request_id: HeaderValue,
    /// The version of the endpoint that answered, where it has one.
    pub version: Option<HeaderValue>,
}

/// A request as a filter sees it.
pub struct Request<'r> {
    /// The head, with the normalised path.
    pub head: &'r mut RequestHeader,
    /// What is known of it.
    pub facts: &'r mut Facts,
    /// The time, as an argument so that tests need no sleep.
    pub now: Instant,
    /// Where reasons go while a decision is being explained.
    reasons: Option<&'r mut Vec<Cow<'static, str>>>,
}

impl<'r> Request<'r> {
    /// A request being served.
    pub fn new(head: &'r mut RequestHeader, facts: &'r mut Facts, now: Instant) -> Self {
        Self { head, facts, now, reasons: None }
    }

    /// A request being explained: what [`Request::because`] says is kept in `reasons`.
    pub fn explained(mut self, reasons: &'r mut Vec<Cow<'static, str>>) -> Self {
        self.reasons = Some(reasons);
        self
    }

    /// Says why the filter decides as it does. The closure runs only while somebody asked, so it may format freely.
    pub fn because<S: Into<Cow<'static, str>>>(&mut self, reason: impl FnOnce() -> S) {
        if let Some(reasons) = &mut self.reasons {
            reasons.push(reason().into());
        }
    }

    /// The same request with another head, for a filter that may look but not alter.
    pub(crate) fn with_head<'s>(&'s mut self, head: &'s mut RequestHeader) -> Request<'s> {
        Request { head, facts: self.facts, now: self.now, reasons: self.reasons.as_deref_mut() }
    }
}
