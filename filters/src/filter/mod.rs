//! What a filter is: a plain struct with one method for the request and, where it cares, one for every answer.

pub mod build;
mod facts;
mod outcome;
mod request;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use pingora_http::ResponseHeader;

pub use facts::{Facts, Identity};
pub use outcome::{Attempt, Failure, Outcome, Rescue};
pub use request::Request;

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
    /// An attempt at the upstream has ended with a head or a failure, and nothing was sent to the client yet: each attempt once. A rescue
    /// is honoured when `attempt.last`, from the filter that is listed last of those that offer one.
    fn attempt(&mut self, _attempt: &Attempt<'_>) -> Rescue {
        Rescue::Pass
    }
    /// Whether what an attempt takes that ends now is a measure of its upstream in good health.
    fn is_measure(&self) -> bool {
        true
    }
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
