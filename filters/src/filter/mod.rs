//! What a filter is: a plain struct with one method for the request and, where it cares, one for every answer.

pub mod build;
mod circuit_state;

use std::any::Any;
use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use pingora_http::{RequestHeader, ResponseHeader};

use crate::reply::Reply;
pub use circuit_state::CircuitState;

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

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status that the client was sent; 0 where none was.
    pub status: u16,
    /// Whether the whole answer was sent.
    pub complete: bool,
    /// Whether it was the upstream that broke off after its head.
    pub upstream_broke: bool,
}

/// One attempt at an upstream.
pub struct Attempt<'a> {
    /// The pool that was asked.
    pub upstream: &'a str,
    /// What came of it.
    pub result: Result<&'a ResponseHeader, Failure>,
    /// How long it took to the head or the failure.
    pub took: Duration,
    /// Now.
    pub now: Instant,
    /// Whether no further attempt would follow.
    pub last: bool,
    /// Whether the request could be sent once more: nothing of its body is lost.
    pub replayable: bool,
}

/// Why an attempt brought no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or it broke off before the head.
    Connect,
    /// Too slow to connect or to answer.
    Timeout,
    /// No endpoint could take it.
    Unavailable,
    /// The client left, or the gateway itself refused: nobody's fault upstream.
    Neutral,
}

/// What is done instead of passing a failed attempt on.
#[derive(Debug)]
pub enum Rescue {
    /// Nothing.
    Pass,
    /// This pool is asked.
    Pool(Arc<str>),
    /// This is the answer.
    Reply(Reply),
}

/// Who is asking, as a verified token says.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The token's claims.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// How logs are to show a subject; none where they are not to.
    shown: Option<fn(&str) -> Box<str>>,
    sub_hash: OnceLock<Box<str>>,
}

impl Identity {
    /// An identity whose `sub` is not to be logged.
    pub fn new(claims: serde_json::Map<String, serde_json::Value>) -> Self {
        Self { claims, shown: None, sub_hash: OnceLock::new() }
    }

    /// An identity whose `sub` logs show as this function has it: a keyed hash.
    pub fn shown_as(claims: serde_json::Map<String, serde_json::Value>, shown: fn(&str) -> Box<str>) -> Self {
        Self { shown: Some(shown), ..Self::new(claims) }
    }

    /// The claim `sub` as logs show it, hashed when the first line asks; empty where there is none.
    pub fn sub_hash(&self) -> &str {
        let subject = self.shown.zip(self.claims.get("sub").and_then(serde_json::Value::as_str));
        subject.map_or("", |(shown, subject)| self.sub_hash.get_or_init(|| shown(subject)))
    }
}

/// What filters have learnt of a request. Later filters, the log and the metrics read it; a new fact is a new field.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The client's address, from the connection or from proxies that are trusted.
    pub client_ip: IpAddr,
    /// The request's identifier, as it goes into `X-Request-Id`.
    pub request_id: HeaderValue,
    /// The route's name.
    pub route: Arc<str>,
    /// The route's index among those of the configuration.
    pub route_index: usize,
    /// The pool that the route names.
    pub upstream: Option<Arc<str>>,
    /// Who is asking, once `jwt` has verified it; none for an anonymous request.
    pub identity: Option<Arc<Identity>>,
    /// Claims that `explain` was told to assume; `jwt` takes them in place of a token. Never there while serving.
    pub assumed: Option<Arc<Identity>>,
    /// The request's `Origin`, where it has one.
    pub origin: Option<HeaderValue>,
    /// The class of the client's device, where something asks for it.
    pub device: Option<Arc<str>>,
    /// The tier that a rate limit chose.
    pub tier: Option<Arc<str>>,
    /// The rate limit that refused.
    pub limit: Option<Arc<str>>,
    /// The circuit's state, where a circuit breaker looked.
    pub circuit: Option<CircuitState>,
    /// Why a filter refused, in one short word for the log; empty where the answer's own code says enough.
    pub reason: &'static str,
    /// The version of the endpoint that answered, where it has one.
    pub version: Option<HeaderValue>,
}

impl Facts {
    /// Nothing is known but who is connected.
    pub fn new(client_ip: IpAddr, request_id: HeaderValue) -> Self {
        Self {
            client_ip,
            request_id,
            route: nameless(),
            route_index: usize::MAX,
            upstream: None,
            identity: None,
            assumed: None,
            origin: None,
            device: None,
            tier: None,
            limit: None,
            circuit: None,
            reason: "",
            version: None,
        }
    }
}

/// The name of no route, made once.
fn nameless() -> Arc<str> {
    static NAMELESS: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| "".into());
    NAMELESS.clone()
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

    /// Whether this is only being explained: then nothing is fetched and nothing waited for.
    pub fn is_explained(&self) -> bool {
        self.reasons.is_some()
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
