//! Why a request is treated as it is, without serving it: route, each filter's decision, upstream, and what that one is sent.
//!
//! The same reading of the wire, the same decision, the same filters answer here as while serving; only no socket is opened. What they know
//! comes from a configuration alone, or from a running gateway, of whose state nothing changes by that.

mod asked;
#[cfg(feature = "graphql")]
pub(crate) mod graph;
mod plan;
mod told;
pub(crate) mod typed;

use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use frontgate_filters::chain::Exchange;
use frontgate_filters::filter::{ClientCertificate, Facts, Identity, Tls};
use frontgate_filters::grpc::{Call, Wire};
use frontgate_filters::reply::{Reply, ReplyBody};
use frontgate_filters::words::claims::Claims;
use frontgate_filters::words::fields;
use frontgate_filters::words::spanned::Place;
use http::header::UPGRADE;
use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;

pub(crate) use self::asked::{Posted, certificate};
use self::plan::{Seen, plan, steps};
pub(crate) use self::told::Explanation;
use self::told::{Beaten, Filtered, Outcome, Passed, Secured, Serving, Taken};
use self::typed::{Typed, short};
use crate::action::{Ask, Chosen};
use crate::compose::Explained;
use crate::config::Loaded;
use crate::config::model::Upstream;
use crate::decide::{Asked, By, Decision, Trace, decide};
use crate::discovery;
use crate::overload::Stage;
use crate::refusals;
use crate::snapshot::Snapshot;
use crate::status::EndpointStatus;
use crate::telemetry::{EndpointState, Metrics};
use crate::upstream::hash;

/// A request to explain, as it is typed.
pub(crate) struct Question<'q> {
    /// The method.
    pub method: &'q str,
    /// A URL of http, https, ws or wss, or a path.
    pub url: &'q str,
    /// Headers, `Name: value` each.
    pub headers: &'q [String],
    /// Who is connected.
    pub peer: IpAddr,
    /// What its token is assumed to say.
    pub claims: Option<Claims>,
    /// What the certificate is assumed to say that its client shows.
    pub certificate: Option<ClientCertificate>,
}

/// Explains what the running gateway does with a request now, under this overload. What makes it no request at all is the error.
pub(crate) fn explain_live(snapshot: &Snapshot, overload: Stage, question: Question<'_>) -> Result<Explanation, String> {
    explain_by(snapshot, question, Some(overload))
}

/// Explains what `loaded` does with a request. What makes it no request at all is the error.
pub(crate) fn explain(loaded: Loaded, question: Question<'_>) -> Result<Explanation, String> {
    // No access log, and nobody whom it would name: an explanation leaves no trace.
    let mut loaded = loaded;
    loaded.config.telemetry.access_log = crate::config::model::AccessLog::Off;
    loaded.config.telemetry.hash_key = None;
    let snapshot = Snapshot::compile(loaded, None, &Metrics::new(), None)?;
    explain_by(&snapshot, question, None)
}

fn explain_by(snapshot: &Snapshot, question: Question<'_>, state: Option<Stage>) -> Result<Explanation, String> {
    let typed = Typed::read(question.method, question.url, question.headers)?;
    let mut head = typed.head()?;
    let received = head.clone();
    let mut facts = Facts::new(question.peer.to_canonical(), HeaderValue::from_static("explained"));
    facts.assumed = question.claims.map(|claims| Arc::new(Identity::new(claims)));
    facts.tls = match (typed.is_secure(), question.certificate) {
        (true, client) => Some(Arc::new(Tls { version: "1.3", sni: typed.server_name(), client })),
        (false, None) => None,
        (false, Some(_)) => {
            return Err(format!("a client's certificate is shown over TLS: write an https URL instead of `{}`", short(question.url)));
        }
    };
    let redirect = typed.clear_port().and_then(|port| redirect_of(snapshot, port));
    let (live, overload) = (state.is_some(), state.unwrap_or(Stage::Calm));
    let (mut route, mut trace) = (None, Trace { live, ..Trace::default() });
    let outcome = match typed.check(snapshot.rules.head) {
        Ok(()) => decided(snapshot, &mut head, &mut facts, (redirect, overload), &mut route, &mut trace),
        Err(refusal) => answered(&refusals::unreadable(refusal)),
    };
    let is_gone = |name: &&HeaderName| trace.host.is_some() && !trace.headers.contains(name);
    Ok(Explanation {
        path: head.uri.path().to_owned(),
        client: facts.client_ip,
        removed: received.headers.keys().filter(is_gone).map(HeaderName::to_string).collect(),
        live,
        route: route.map(|index| taken(snapshot, index)),
        passed: trace
            .passed
            .iter()
            .map(|(index, why)| Passed { name: snapshot.routes[*index].name.to_string(), why: why.clone() })
            .collect(),
        beaten: beaten(snapshot, &head, &trace),
        tls: facts.tls.as_deref().map(Secured::from),
        grpc: facts.grpc.as_deref().map(|call| kind(call, snapshot, &outcome)),
        choices: trace.choices,
        filters: trace.filters.into_iter().map(Filtered::from).collect(),
        mirror: mirror(snapshot, route, &head, &facts, &outcome),
        outcome,
    })
}

/// What becomes of a copy, where the route has a mirror and its upstream is asked.
fn mirror(snapshot: &Snapshot, route: Option<usize>, head: &RequestHeader, facts: &Facts, outcome: &Outcome) -> Option<String> {
    let mirror = snapshot.route(route).mirror.as_ref().filter(|_| matches!(outcome, Outcome::Forwarded { .. }))?;
    Some(mirror.explain(head, facts, head.headers.contains_key(UPGRADE)))
}

/// The port that the listener on this one sends every client to, over HTTPS.
fn redirect_of(snapshot: &Snapshot, port: u16) -> Option<NonZeroU16> {
    let listeners = &snapshot.loaded.config.server.listeners;
    listeners.iter().find(|listener| listener.address.port() == port).and_then(|listener| listener.redirect_to_https)
}

/// What becomes of a request that can be read; `redirect` is the port that its listener sends everybody to, over HTTPS, and `overload` how much
/// is given up just now.
fn decided(
    snapshot: &Snapshot,
    head: &mut RequestHeader,
    facts: &mut Facts,
    (redirect, overload): (Option<NonZeroU16>, Stage),
    route: &mut Option<usize>,
    trace: &mut Trace,
) -> Outcome {
    let (mut exchange, mut trusted, mut chosen, live) = (Exchange::default(), false, None, trace.live);
    let asked = Asked {
        head,
        facts,
        exchange: &mut exchange,
        route,
        chosen: &mut chosen,
        trusted: &mut trusted,
        redirect,
        overload,
        now: Instant::now(),
        trace: Some(trace),
    };
    match now(decide(snapshot, asked)) {
        None => {
            Outcome::Answered { status: 503, why: "a filter waits for something that is not there offline".to_owned(), grpc_status: None }
        }
        Some(Decision::Ask(ask)) => {
            let upstream = snapshot.loaded.config.upstreams.get(&*ask.pool.name).map(|upstream| &upstream.value);
            Outcome::Forwarded {
                upstream: ask.pool.name.to_string(),
                request: ask.line(head),
                host: upstream.and_then(own_host).unwrap_or_else(|| ask.host(head)),
                endpoints: upstream
                    .map(|upstream| {
                        discovery::written(upstream, chosen.as_deref().and_then(|chosen: &Chosen| chosen.versions_of(ask.pool)))
                    })
                    .unwrap_or_default(),
                serving: live.then(|| serving(&ask, chosen.as_deref(), head, facts)),
            }
        }
        #[cfg(feature = "graphql")]
        Some(Decision::Compose(_)) if route.is_some_and(|route| snapshot.routes[route].action.graph().is_some()) => {
            let graph = route.and_then(|route| snapshot.routes[route].action.graph());
            match graph.map(|graph| graph.explained(head, facts)) {
                Some(graph::Told::Asks(graph, calls)) => Outcome::Queried { graph, calls },
                Some(graph::Told::Answered(status, why)) => Outcome::Answered { status: status.as_u16(), why, grpc_status: None },
                None => answered(&refusals::internal()),
            }
        }
        Some(Decision::Compose(composition)) => {
            let unneeded = composition.unneeded(facts);
            let seen = route.map(|route| Seen { snapshot, route, head, facts, live, unneeded });
            match seen.and_then(|seen| plan(&seen)) {
                Some(plan) => Outcome::Composed(plan),
                None => {
                    let Explained { refused, says } = composition.explain(head, facts);
                    match refused {
                        Some(status) => Outcome::Answered { status: status.as_u16(), why: says.to_owned(), grpc_status: None },
                        None => {
                            Outcome::Begun { saga: says.to_owned(), steps: route.map(|route| steps(snapshot, route)).unwrap_or_default() }
                        }
                    }
                }
            }
        }
        Some(Decision::Answer(reply, by)) => {
            let is_refusal = reply.is_refusal();
            match why(snapshot, *route, trace, &reply, by) {
                Outcome::Answered { status, why, .. } if is_refusal && facts.grpc.is_some() => {
                    Outcome::Answered { status, why, grpc_status: Some(reply.grpc_status().to_string()) }
                }
                outcome => outcome,
            }
        }
    }
}

/// Who serves a request just now.
fn serving(ask: &Ask<'_>, chosen: Option<&Chosen>, head: &RequestHeader, facts: &Facts) -> Serving {
    let now = Instant::now();
    let hash = hash::of(ask.pool, head, facts);
    let aim = chosen.and_then(|chosen| chosen.aims(|_| hash).find(|aim| Arc::ptr_eq(&aim.pool, ask.pool)));
    let subset = aim.and_then(|aim| aim.subset);
    let status = ask.pool.status(now);
    let takes_part = |version: Option<&str>| subset.as_ref().is_none_or(|subset| subset.versions().name(version));
    let endpoints = status.endpoints.iter().filter(|endpoint| takes_part(endpoint.version.as_deref()));
    Serving { next: ask.pool.foresee(hash, subset.as_deref(), now), endpoints: endpoints.map(stands).collect() }
}

/// An endpoint and how it stands.
fn stands(endpoint: &EndpointStatus) -> String {
    let left = |left: Option<u64>| left.map_or_else(String::new, |left| format!(" for {}s more", left.div_ceil(1000)));
    let mut told = format!("{} is {}", endpoint.address, endpoint.state.label());
    told += &match endpoint.state {
        EndpointState::Ejected => left(endpoint.ejected_for_ms),
        EndpointState::Drained => left(endpoint.drained_for_ms),
        _ => String::new(),
    };
    if endpoint.in_flight > 0 {
        told += &format!(", {} in flight", endpoint.in_flight);
    }
    if let (Some(error), Some(ago)) = (&endpoint.last_error, endpoint.last_error_ms_ago) {
        told += &format!(", last error {}s ago: {error}", ago.div_ceil(1000));
    }
    told
}

/// The Host that an upstream's endpoints are sent in place of the client's: over TLS their names, where `host` says nothing else.
fn own_host(upstream: &Upstream) -> Option<String> {
    if upstream.host.is_some() || upstream.tls.is_none() {
        return None;
    }
    Some(discovery::hosts(upstream).join(" or ")).filter(|hosts| !hosts.is_empty())
}

/// What kind of call it is, how long its client waits, and whether what is asked could answer it.
fn kind(call: &Call, snapshot: &Snapshot, outcome: &Outcome) -> String {
    let wire = match call.wire {
        Wire::Plain => "gRPC",
        Wire::Web => "gRPC-Web",
        Wire::WebText => "gRPC-Web in base64",
    };
    let mut told = format!("a call of {wire}");
    if call.deadline.is_some() {
        told.push_str(", whose client waits no longer than its grpc-timeout");
    }
    if let Outcome::Forwarded { upstream, .. } = outcome
        && call.wire == Wire::Plain
        && snapshot.loaded.config.upstreams.get(upstream).is_some_and(|upstream| upstream.speaks_http1_alone())
    {
        told.push_str(&format!("; the upstream `{upstream}` is spoken to in HTTP/1.1, and gRPC needs `protocol: h2` there"));
    }
    told
}

/// Offline nothing is waited for: what is not ready at once never will be.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// An answer with what made it.
fn why(snapshot: &Snapshot, route: Option<usize>, trace: &Trace, reply: &Reply, by: By) -> Outcome {
    let allow = || reply.headers.iter().find(|(name, _)| name == http::header::ALLOW).and_then(|(_, allow)| fields::text(allow));
    let location = || reply.headers.iter().find(|(name, _)| name == http::header::LOCATION).and_then(|(_, to)| fields::text(to));
    let why = match by {
        By::Request => match location() {
            Some(to) => format!("`redirect_to_https` of the listener sends it to {to}"),
            None => return answered(reply),
        },
        By::NoRoute => "no route matches this host and path".to_owned(),
        By::Unmet => "the routes of this host and path ask for facts that the request has not".to_owned(),
        By::Overload => "the gateway is overloaded, and routes of a higher `priority` come first".to_owned(),
        By::WrongMethod => format!("the path has other methods: {}", allow().unwrap_or_default()),
        By::Filter => format!("the filter `{}` answers", trace.filters.last().map(|told| &*told.name).unwrap_or_default()),
        By::Action => snapshot.loaded.shown(Place::default(), "", &snapshot.route(route).action.why(reply)).into_owned(),
    };
    Outcome::Answered { status: reply.status.as_u16(), why, grpc_status: None }
}

/// An answer that says itself what it is about.
fn answered(reply: &Reply) -> Outcome {
    let why = match reply.body {
        ReplyBody::Problem { detail, .. } => detail,
        ReplyBody::Bytes(_) => "it is about the gateway as a whole",
    };
    Outcome::Answered { status: reply.status.as_u16(), why: why.to_owned(), grpc_status: None }
}

/// A route with its place.
fn taken(snapshot: &Snapshot, index: usize) -> Taken {
    let place = snapshot.loaded.describe(snapshot.loaded.config.routes[index].place);
    Taken { name: snapshot.routes[index].name.to_string(), place }
}

/// What else matched, where the request was fit to be routed.
fn beaten(snapshot: &Snapshot, head: &RequestHeader, trace: &Trace) -> Vec<Beaten> {
    let Some(host) = &trace.host else { return Vec::new() };
    let candidates = snapshot.router.candidates(host, head.uri.path()).into_iter();
    let beaten = candidates.filter_map(|candidate| {
        let pattern = format!("{}{}", candidate.host.unwrap_or_default(), candidate.path);
        candidate.beaten.map(|why| Beaten { pattern, why })
    });
    beaten.collect()
}
