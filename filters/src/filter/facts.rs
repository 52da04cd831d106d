//! What filters have learnt of a request, as typed fields that everybody may read.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::inspect::CircuitState;
use super::pseudonym::{Part, Pseudonyms};
use crate::fault::Drawn;
use crate::grpc::Call;
use crate::json::Policy;
use crate::words::claims::Claims;

/// Who the caller is, as a verified token says.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The token's claims.
    pub claims: Claims,
    /// The name of its subject, and the generation of who gave it.
    sub_hash: OnceLock<(u64, Box<str>)>,
}

impl Identity {
    /// An identity with these claims.
    pub fn new(claims: impl Into<Claims>) -> Self {
        Self { claims: claims.into(), sub_hash: OnceLock::new() }
    }

    /// The claim `sub` as logs show it, hashed when the first line asks; nothing where there is none.
    pub fn sub_hash(&self, names: &Pseudonyms) -> Option<Cow<'_, str>> {
        let subject = self.claims.get("sub")?.text()?;
        let (generation, name) = self.sub_hash.get_or_init(|| (names.generation(), names.of(subject)));
        // Since a reload brought another key, a token that is remembered from before has a name of its own no more.
        Some(if *generation == names.generation() { Cow::Borrowed(name) } else { Cow::Owned(names.of(subject).into()) })
    }
}

/// What TLS says of the connection that a request came on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The version of TLS: `1.2` or `1.3`.
    pub version: &'static str,
    /// The name that the client asked for (SNI).
    pub sni: Option<Box<str>>,
    /// The client's own certificate, where it has shown one; it was verified.
    pub client: Option<ClientCertificate>,
}

/// What a client's certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its common names.
    pub cn: Vec<Box<str>>,
    /// Its subject, as RFC 4514 writes one.
    pub subject: Box<str>,
    /// Its subject alternative names: DNS names, e-mail addresses, URIs, IP addresses.
    pub san: Vec<Box<str>>,
}

/// What a filter did with a request, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The filter's name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: &'static str,
    /// Whether it only observes.
    pub observed: bool,
    /// The status that it answered with, or would have.
    pub replies: Option<StatusCode>,
    /// How long it took.
    pub took: Duration,
}

/// What filters have learnt of a request. Later filters, the log and the metrics read it; a new fact is a new field.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The client's address, from the connection or from proxies that are trusted.
    pub client_ip: IpAddr,
    /// The request's identifier, as it goes into `X-Request-Id`.
    pub request_id: HeaderValue,
    /// What TLS says of the connection; none in clear text.
    pub tls: Option<Arc<Tls>>,
    /// The gRPC call that the request is, where it is one.
    pub grpc: Option<Box<Call>>,
    /// The route's name.
    pub route: Arc<str>,
    /// The route's index among those of the configuration.
    pub route_index: usize,
    /// The upstream that is asked: the one that the route names, or another that a filter chose.
    pub upstream: Option<Arc<str>>,
    /// The upstream that is asked in its place where its circuit lets nothing through: that of another version, or for writes.
    pub instead: Option<Arc<str>>,
    /// Who the caller is, once a filter has verified it; none for an anonymous request.
    pub identity: Option<Arc<Identity>>,
    /// Claims that `explain` was told to assume; `jwt` takes them in place of a token. Never there of a request that came on a connection.
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
    /// Whom it counted the request for.
    pub limit_key: Option<Arc<[Part]>>,
    /// The state of the upstream's circuit, where a circuit breaker looked.
    pub circuit: Option<CircuitState>,
    /// Why a filter refused, in one short word for the log; empty where the answer's own code says enough.
    pub reason: &'static str,
    /// The version that answers: the one that the route's canary has chosen, where that is not `stable`, else that of the endpoint.
    pub version: Option<HeaderValue>,
    /// What the route's canary has chosen: the version of one of its variants, or `stable`; none while it has not, and on routes without one.
    pub variant: Option<HeaderValue>,
    /// What is left out of the answer's JSON, where a filter trims it: nobody has to ask for what goes.
    pub trims: Option<Arc<Policy>>,
    /// Whether a filter compresses the answer: those after it in the list leave it as it is.
    pub packed: bool,
    /// What a drill has drawn for it.
    pub fault: Option<Arc<Drawn>>,
    /// Whether a trusted proxy has sent it.
    pub from_trusted: bool,
    /// What each filter did, where a trusted proxy asks for that.
    pub steps: Option<Vec<Step>>,
}

impl Facts {
    /// Nothing is known but who is connected.
    pub fn new(client_ip: IpAddr, request_id: HeaderValue) -> Self {
        Self {
            client_ip,
            request_id,
            tls: None,
            grpc: None,
            route: nameless(),
            route_index: usize::MAX,
            upstream: None,
            instead: None,
            identity: None,
            assumed: None,
            origin: None,
            preflight: false,
            device: None,
            tier: None,
            limit: None,
            limit_key: None,
            circuit: None,
            reason: "",
            version: None,
            variant: None,
            trims: None,
            packed: false,
            fault: None,
            from_trusted: false,
            steps: None,
        }
    }
}

impl Facts {
    /// What `variant` says where no version was chosen but the route's own upstream.
    pub const STABLE: HeaderValue = HeaderValue::from_static("stable");

    /// The upstream gives way to the one that is asked instead; whether there is one.
    pub fn give_way(&mut self) -> bool {
        let Some(instead) = self.instead.take() else { return false };
        self.upstream = Some(instead);
        if self.variant.is_some() {
            (self.variant, self.version) = (Some(Self::STABLE), None);
        }
        true
    }
}

/// The name of no route, made once.
fn nameless() -> Arc<str> {
    static NAMELESS: LazyLock<Arc<str>> = LazyLock::new(|| "".into());
    NAMELESS.clone()
}
