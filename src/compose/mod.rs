//! Requests that are answered from several calls: what a call is, who makes it, and what a route is that makes some.
//!
//! [`Calls`] stands between those who know which calls there are and what comes of them, and those who know pools and connections: the former
//! can be tried without a socket, the latter without a language.

pub(crate) mod aggregate;
mod caching;
pub(crate) mod call;
#[cfg(feature = "graphql")]
pub(crate) mod graphql;
mod making;
mod memory;
pub(crate) mod reference;
#[cfg(feature = "saga")]
pub(crate) mod saga;
pub(crate) mod service;
pub(crate) mod stages;
pub(crate) mod template;
pub(crate) mod values;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use frontgate_filters::filter::{BoxFuture, Facts, Keep};
use frontgate_filters::reply::Reply;
use frontgate_filters::words::selector::Selector;
use http::{HeaderMap, Method, StatusCode};
use pingora_http::RequestHeader;

pub(crate) use self::memory::{Budget, Held};
use crate::panics::caught;
pub(crate) use crate::telemetry::CallResult;
use crate::telemetry::Flag;
use crate::upstream::Pool;
pub(crate) use crate::upstream::h1::Headers;

/// A call whose templates are filled in.
pub(crate) struct Ready<'c> {
    /// As it is configured; one of a saga's undo is `step/undo`. It is one of [`Composition::names`].
    pub name: &'c str,
    /// Whose endpoints are asked.
    pub pool: &'c Arc<Pool>,
    /// The method.
    pub method: Method,
    /// Path and query, as they go out.
    pub target: String,
    /// The fields that were asked for. What every call has is added to them, where they do not name it: `Accept`, `X-Request-Id`, who asks.
    pub fields: HeaderMap,
    /// The body, with its content type among the fields.
    pub body: Option<Bytes>,
    /// How long all attempts may take together; never longer than the request has left.
    pub timeout: Option<Duration>,
    /// The most bytes of an answer, once it is decoded.
    pub most: usize,
    /// Whether it may be made again as the pool's retry rule says.
    pub again: bool,
}

/// What a call was answered, whatever its status.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The fields of the answer's head.
    pub headers: Headers,
    /// Its body, decoded, in the chunks that it came in.
    pub body: Vec<Bytes>,
    /// Its part of the memory that all answers may have together: kept as long as the bytes are.
    pub held: Held,
    /// What is kept of it for times when its upstream cannot answer, once whoever made the call has taken it for a good one.
    pub keeping: Keeping,
}

/// What filters would keep of an answer. Dropped, nothing is kept.
#[derive(Default)]
pub(crate) struct Keeping(pub(crate) Vec<Keep>);

impl Keeping {
    /// The answer is a good one: what came before it is kept no longer.
    pub(crate) fn keep(self) {
        for keep in self.0 {
            // Who panics has kept nothing, and the answer is as good.
            let _ = caught(keep);
        }
    }
}

impl std::fmt::Debug for Keeping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keeping({})", self.0.len())
    }
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The circuit before its pool lets nothing through. Nothing was sent.
    CircuitOpen {
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// No endpoint can be asked. Nothing was sent.
    Unavailable,
    /// The pool has as many requests as it may. Nothing was sent.
    Full,
    /// No endpoint can be reached. Nothing was sent.
    Connect,
    /// It was sent, and the connection broke before all of the answer came.
    Broken,
    /// There was no answer in time. It may have been sent.
    Timeout,
    /// The answer is longer than allowed, or all answers of the request together are.
    TooLarge,
    /// What was sent is no answer of HTTP, or not decodable.
    Malformed,
    /// All answers of the process together have no more memory. It may have been sent.
    NoMemory,
}

impl Failed {
    /// What it counts as.
    pub(crate) fn result(self) -> CallResult {
        match self {
            Self::CircuitOpen { .. } => CallResult::CircuitOpen,
            Self::Unavailable | Self::Full | Self::NoMemory => CallResult::Unavailable,
            Self::Connect | Self::Broken => CallResult::Connect,
            Self::Timeout => CallResult::Timeout,
            Self::TooLarge => CallResult::TooLarge,
            Self::Malformed => CallResult::Malformed,
        }
    }

    /// What is said of it in the log, where a request fails with it: the letters of a proxied request.
    pub(crate) fn flag(self) -> Option<Flag> {
        match self {
            Self::CircuitOpen { .. } | Self::Full | Self::NoMemory => Some(Flag::UpstreamOverflow),
            Self::Unavailable => Some(Flag::NoHealthyUpstream),
            Self::Connect => Some(Flag::UpstreamConnectionFailure),
            Self::Broken => Some(Flag::UpstreamConnectionTermination),
            Self::Timeout => Some(Flag::UpstreamTimeout),
            Self::Malformed => Some(Flag::UpstreamProtocolError),
            Self::TooLarge => None,
        }
    }
}

/// Who makes the calls of one request.
pub(crate) trait Calls: Send + Sync {
    /// Makes it. Any status is an answer: what counts as success is the caller's to judge, who says so with [`Calls::count`] and [`Keeping::keep`]. Dropped, the call
    /// is cancelled, and gives back all that it held.
    fn make<'a>(&'a self, ready: Ready<'a>) -> BoxFuture<'a, Result<Answered, Failed>>;

    /// A saga was begun for the request.
    #[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "there are no sagas"))]
    fn begins(&self, _saga: &str) {}

    /// How a call of this name ended: once for each that was made and ended, or was not made.
    fn count(&self, name: &str, result: CallResult);

    /// The request is for this operation of a document: for those who look at requests.
    #[cfg_attr(not(feature = "graphql"), allow(dead_code, reason = "there are no documents"))]
    fn operates(&self, _operation: Arc<str>) {}
}

/// A request for a composition, which every filter has let through.
pub(crate) struct Inquiry<'a> {
    /// Its head. What the route's path matched is in its path, by the places that the route's pattern tells.
    pub head: &'a RequestHeader,
    /// What is known of it.
    pub facts: &'a Facts,
    /// The client's body, whole, where it is read.
    pub body: Bytes,
    /// Who makes the calls.
    pub calls: &'a dyn Calls,
    /// Until when the client is to be answered.
    #[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "calls end by themselves then; a saga goes on"))]
    pub deadline: Option<Instant>,
}

/// What came of a request for a composition.
pub(crate) struct Composed {
    /// The answer.
    pub reply: Reply,
    /// The calls that are missing in it: it is not complete where there are some. Where the request failed with a call, the first one is that.
    pub missing: Vec<Missing>,
    /// What the log says went wrong, where the request failed with a call.
    pub flag: Option<Flag>,
    /// The saga that stands behind it.
    pub saga: Option<Arc<str>>,
}

/// What a composition would do with a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Explained {
    /// The status that it would be refused with before any call.
    pub refused: Option<StatusCode>,
    /// For people.
    pub says: &'static str,
}

/// A call that is missing in an answer, or for which something stands in.
#[derive(Clone, Debug)]
pub(crate) struct Missing {
    /// Its name.
    pub name: Arc<str>,
    /// Why, in the gateway's own words: clients are not told.
    pub cause: Cow<'static, str>,
}

/// What a route leads to that makes calls.
pub(crate) trait Composition: Send + Sync {
    /// The names of all calls that it may make: known when it is compiled, so that what is counted of them is there from the beginning.
    fn names(&self) -> Vec<Arc<str>>;

    /// Whether the client's body is read whole before anything else, for a request of this method.
    fn reads_body(&self, method: &Method) -> bool;

    /// The most bytes that all answers to calls of one request may have together, once they are decoded.
    fn most(&self) -> usize;

    /// Whether something in it refers to this fact of the request: what nobody refers to need not be found out. Who does not know refers to all.
    fn refers_to(&self, _fact: &Selector) -> bool {
        true
    }

    /// Makes the calls and puts the answer together. Dropped, every call is cancelled.
    fn compose<'a>(&'a self, inquiry: Inquiry<'a>) -> BoxFuture<'a, Composed>;

    /// What it would do with this request, for an explanation: no call is made.
    fn explain(&self, _head: &RequestHeader, _facts: &Facts) -> Explained {
        Explained::default()
    }

    /// The calls of which a client who is shown no more than these facts say would see nothing, and which are not made for it.
    fn unneeded(&self, _facts: &Facts) -> Vec<Arc<str>> {
        Vec::new()
    }
}
