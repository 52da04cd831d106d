//! What a filter is: a plain struct with one method for the request and, where it cares, one for every answer.
//!
//! A kind is an [`options::Options`], which builds a [`Filter`] with a [`build::Build`]. A request brings its [`Request`] and [`Facts`], and
//! may leave a [`ResponseFilter`] behind for the way out.

pub mod build;
mod call;
pub mod document;
mod facts;
pub mod inspect;
pub mod options;
mod outcome;
pub mod pseudonym;
mod request;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use pingora_http::{RequestHeader, ResponseHeader};

pub use call::{Calling, Keep};
pub use facts::{ClientCertificate, Facts, Identity, Step, Tls};
pub use outcome::{Attempt, Failure, Outcome, Rescue};
pub use request::Request;

use self::inspect::{Forced, Inspection};
use crate::reply::Reply;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A filter, compiled from its configuration and shared by all requests. It is [`Any`] so that [`build::Build::earlier`] finds a filter's
/// earlier self, and for nothing else: what others want to know of it is a method here.
pub trait Filter: Any + Send + Sync {
    /// Looks at the request and may change its head.
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a>;

    /// Marks every answer of the route, even one made before [`Filter::request`] was reached.
    fn answer(&self, _head: &mut ResponseHeader, _facts: &Facts) {}

    /// Whether it answers preflights: then one belongs to the route of the method that it asks about.
    fn answers_preflight(&self) -> bool {
        false
    }

    /// Whether it stands before each upstream apart: of a request that is answered from several calls it is asked for every call, with the
    /// call's own head and upstream, and what it leaves behind hears of that call alone.
    fn guards_calls(&self) -> bool {
        false
    }

    /// A request that may change what it names has succeeded, through whichever route: what is kept of it is of the past (RFC 9111, section
    /// 4.4).
    fn forget(&self, _head: &RequestHeader) {}

    /// What operators see of it.
    fn inspect(&self) -> Inspection {
        Inspection::default()
    }

    /// Whether it is a drill.
    fn injects_faults(&self) -> bool {
        false
    }

    /// Operators stop all drills, or let them go on.
    fn stop_faults(&self, _stopped: bool) {}

    /// Holds its circuit before this upstream open or closed, or lets it go; whether it has one.
    fn force_circuit(&self, _upstream: &str, _forced: Option<Forced>) -> bool {
        false
    }
}

/// What a filter decided.
pub enum Verdict<'a> {
    /// Go on; the response is of no interest.
    Continue,
    /// Go on, and run this half on the response.
    ContinueWith(Box<dyn ResponseFilter>),
    /// Answer now; no later filter and no upstream sees the request.
    Reply(Reply),
    /// Wait for this first, as for a key set that is being fetched.
    Wait(BoxFuture<'a, Verdict<'a>>),
}

/// One request's other half. Its fields are the request's private state, and dropping it gives back what it holds.
///
/// It is told of the response's head, body and trailers, and of the request's body where it rewrites that one. What the first filter needs
/// that looks at a request's trailers is one more method here with a default, asked only of the halves that want it.
pub trait ResponseFilter: Send + Sync {
    /// Whether it rewrites the request's body; asked before any of it is read.
    fn rewrites_upload(&self) -> bool {
        false
    }
    /// A part of the request's body, only where [`ResponseFilter::rewrites_upload`] said so. `last` comes once, with no bytes.
    fn upload(&mut self, _body: &mut Option<Bytes>, _last: bool) -> Flow {
        Flow::Go
    }
    /// An attempt at the upstream has ended with a head or a failure, and nothing was sent to the client yet: each attempt once. A rescue
    /// is honoured when `attempt.last`, from the filter that is listed last of those that offer one.
    fn attempt(&mut self, _attempt: &Attempt<'_>) -> Rescue {
        Rescue::Pass
    }
    /// The request goes on at the upstream `to`, since the one that was chosen for it could not be reached: what comes is not of the version
    /// that was chosen, if one was. Where attempts were made, after [`ResponseFilter::attempt`] of one that was not the last.
    fn moved(&mut self, _to: &str, _now: Instant) {}
    /// Whether what an attempt takes that ends now is a measure of its upstream in good health.
    fn is_measure(&self) -> bool {
        true
    }
    /// The head that goes out. May run again after a failed attempt: overwrite, never accumulate.
    fn head(&mut self, _head: &mut ResponseHeader) -> Want {
        Want::Nothing
    }
    /// The trailers that end the body, before [`ResponseFilter::body`] is told of its end. Only after [`Want::Chunks`]. A half that tells the
    /// client in another way takes them.
    fn trailers(&mut self, _trailers: &mut Option<HeaderMap>) {}
    /// A part of the body, only after [`Want::Chunks`]. `last` comes once, perhaps with no bytes.
    fn body(&mut self, _body: &mut Option<Bytes>, _last: bool) -> Flow {
        Flow::Go
    }
    /// No more of the body has come for now: what is held back for the sake of more is put into `body`, in which nothing is yet. Asked
    /// before the gateway waits, only after [`Want::Chunks`] and before the last part.
    fn pause(&mut self, _body: &mut Option<Bytes>) -> Flow {
        Flow::Go
    }
    /// What it would keep of the answer to a call, which has come whole. An answer to a call is kept by whoever made it, who alone can say that it
    /// is a good one; what is dropped is not kept. Asked once, before [`ResponseFilter::done`].
    fn keeps(&mut self) -> Option<Keep> {
        None
    }
    /// The exchange is over, however it went.
    fn done(self: Box<Self>, _outcome: &Outcome) {}
}

/// What of the response a half wants to see after the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The head was enough.
    Nothing,
    /// Every chunk, and the trailers.
    Chunks,
}

/// Whether the body goes on.
#[derive(Clone, Debug)]
pub enum Flow {
    /// It does.
    Go,
    /// It does not. Where nothing was sent yet this is the answer; else the body breaks off here, so that the client sees that it is not
    /// whole, and the answer's code goes into the log.
    Abort(Reply),
}
