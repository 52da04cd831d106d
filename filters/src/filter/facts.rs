//! What filters have learnt of a request, as typed fields that everybody may read.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock, OnceLock};

use http::HeaderValue;

use super::inspect::CircuitState;
use crate::words::claims::{Claim, Claims};

/// Who the caller is, as a verified token says.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The token's claims.
    pub claims: Claims,
    /// How logs are to show a subject; none where they are not to.
    shown: Option<fn(&str) -> Box<str>>,
    sub_hash: OnceLock<Box<str>>,
}

impl Identity {
    /// An identity whose `sub` is not to be logged.
    pub fn new(claims: impl Into<Claims>) -> Self {
        Self { claims: claims.into(), shown: None, sub_hash: OnceLock::new() }
    }

    /// An identity whose `sub` logs show as this function has it: a keyed hash.
    pub fn shown_as(claims: Claims, shown: fn(&str) -> Box<str>) -> Self {
        Self { shown: Some(shown), ..Self::new(claims) }
    }

    /// The claim `sub` as logs show it, hashed when the first line asks; empty where there is none.
    pub fn sub_hash(&self) -> &str {
        let subject = self.shown.zip(self.claims.get("sub").and_then(Claim::text));
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
    /// The upstream that is asked: the one that the route names, or another that a filter chose.
    pub upstream: Option<Arc<str>>,
    /// Who the caller is, once a filter has verified it; none for an anonymous request.
    pub identity: Option<Arc<Identity>>,
    /// Claims that `explain` was told to assume; `jwt` takes them in place of a token. Never there while serving.
    pub assumed: Option<Arc<Identity>>,
    /// The request's `Origin`, where it has one.
    pub origin: Option<HeaderValue>,
    /// Whether the request is a preflight that a filter answers.
    pub preflight: bool,
    /// The class of the client's device, where something asks for it.
    pub device: Option<Arc<str>>,
    /// The tier that a rate limit chose.
    pub tier: Option<Arc<str>>,
    /// The rate limit that refused.
    pub limit: Option<Arc<str>>,
    /// The state of the upstream's circuit, where a circuit breaker looked.
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
            preflight: false,
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
    static NAMELESS: LazyLock<Arc<str>> = LazyLock::new(|| "".into());
    NAMELESS.clone()
}
