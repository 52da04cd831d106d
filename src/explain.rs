//! Why a request is treated as it is, without serving it: route, each filter's decision, upstream, and what that one is sent.
//!
//! The same reading of the wire, the same decision, the same filters answer here as while serving; only no socket is opened.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use frontgate_filters::chain::{Decision as FilterDecision, Exchange};
use frontgate_filters::filter::{Facts, Identity};
use frontgate_filters::reply::{Reply, ReplyBody};
use http::{HeaderName, HeaderValue, Method, Version};
use pingora_http::RequestHeader;
use serde::Serialize;

use crate::config::Loaded;
use crate::decide::{Asked, By, Decision, Trace, decide};
use crate::door::wire::{HeadLimits, HeadScan, Refusal, check_head};
use crate::refusals;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;

/// A request to explain, as it is typed.
pub struct Question<'q> {
    /// The method.
    pub method: &'q str,
    /// An http URL, or a path.
    pub url: &'q str,
    /// Headers, `Name: value` each.
    pub headers: &'q [String],
    /// Who is connected.
    pub peer: IpAddr,
    /// What its token is assumed to say.
    pub claims: Option<Claims>,
}

/// What a token is assumed to say.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// What was found out about a request.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The path as it is routed.
    path: String,
    /// The client's address, as trusted proxies tell it.
    client: IpAddr,
    /// Headers that are not the client's to send.
    removed: Vec<String>,
    /// The route that takes it.
    route: Option<Taken>,
    /// The patterns that would have matched, too.
    beaten: Vec<Beaten>,
    /// What every filter decided, in order.
    filters: Vec<Filtered>,
    /// What becomes of it.
    outcome: Outcome,
}

/// A route that takes a request.
#[derive(Debug, Serialize)]
struct Taken {
    name: String,
    place: String,
}

/// A pattern that matched and did not win.
#[derive(Debug, Serialize)]
struct Beaten {
    pattern: String,
    why: String,
}

/// One filter's decision.
#[derive(Debug, Serialize)]
struct Filtered {
    name: String,
    kind: &'static str,
    /// Whether it only observes.
    observed: bool,
    /// The status that it answers with, where it does.
    replies: Option<u16>,
    reasons: Vec<String>,
}

/// What becomes of an explained request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    /// It is sent to an upstream.
    Forwarded {
        upstream: String,
        /// The method and the target that the upstream is sent.
        request: String,
        /// The Host that it is sent.
        host: String,
    },
    /// The gateway answers.
    Answered { status: u16, why: String },
}

/// Explains what `loaded` does with a request. What makes it no request at all is the error.
pub fn explain(loaded: Loaded, question: Question<'_>) -> Result<Explanation, String> {
    // No access log: an explanation leaves no trace.
    let mut loaded = loaded;
    loaded.config.telemetry.access_log = crate::config::model::AccessLog::Off;
    let snapshot = Snapshot::compile(loaded, None, &Metrics::new(), None)?;
    let typed = Typed::read(question.method, question.url, question.headers)?;
    let mut head = typed.head()?;
    let mut facts = Facts::new(question.peer.to_canonical(), HeaderValue::from_static("explained"));
    facts.assumed = question.claims.map(|claims| Arc::new(Identity::new(claims)));
    if let Err(refusal) = typed.check(snapshot.rules.head) {
        let outcome = answered(&refusals::unreadable(refusal));
        return Ok(Explanation::of(&snapshot, &head, &head, &facts, None, Trace::default(), outcome));
    }
    let received = head.clone();
    let (mut exchange, mut route, mut trusted, mut trace) = (Exchange::default(), None, false, Trace::default());
    let asked = Asked {
        head: &mut head,
        facts: &mut facts,
        exchange: &mut exchange,
        route: &mut route,
        trusted: &mut trusted,
        now: Instant::now(),
        trace: Some(&mut trace),
    };
    let outcome = match now(decide(&snapshot, asked)) {
        None => Outcome::Answered { status: 503, why: "a filter waits for something that is not there offline".to_owned() },
        Some(Decision::Ask(ask)) => {
            Outcome::Forwarded { upstream: ask.pool.name.to_string(), request: ask.line(&head), host: ask.host(&head) }
        }
        Some(Decision::Answer(reply, by)) => why(&snapshot, route, &trace, &reply, by),
    };
    Ok(Explanation::of(&snapshot, &received, &head, &facts, route, trace, outcome))
}

/// What was typed, taken apart as a client would send it.
struct Typed<'t> {
    method: &'t str,
    target: &'t str,
    version: Version,
    headers: Vec<(&'t str, &'t str)>,
}

impl<'t> Typed<'t> {
    /// Where the URL names a host and no header does, the client would send it as one; without either it speaks HTTP/1.0, which need not
    /// name one.
    fn read(method: &'t str, url: &'t str, headers: &'t [String]) -> Result<Self, String> {
        let mut typed = Self { method, target: url, version: Version::HTTP_11, headers: Vec::new() };
        for header in headers {
            let (name, value) = header.split_once(':').ok_or_else(|| format!("`{header}` is not a header: write `Name: value`"))?;
            typed.headers.push((name.trim(), value.trim()));
        }
        let names_host = typed.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        match rest {
            None if !url.starts_with('/') && url != "*" => return Err(format!("`{url}` is neither an http URL nor a path")),
            None if !names_host => typed.version = Version::HTTP_10,
            Some(rest) if !names_host => {
                let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                typed.headers.insert(0, ("Host", authority));
                if target.starts_with('/') {
                    typed.target = target;
                }
            }
            _ => {}
        }
        Ok(typed)
    }

    /// The head as Pingora's parser would make it.
    fn head(&self) -> Result<RequestHeader, String> {
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| format!("`{}` is not a method", self.method))?;
        let mut head = RequestHeader::build(method, self.target.as_bytes(), None).map_err(|_| format!("`{}` is not a URL", self.target))?;
        head.set_version(self.version);
        for (name, value) in &self.headers {
            head.append_header((*name).to_owned(), *value).map_err(|_| format!("`{name}: {value}` is not a header"))?;
        }
        Ok(head)
    }

    /// The strict reading that every request on the wire meets.
    fn check(&self, limits: HeadLimits) -> Result<(), Refusal> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let wire = format!("{} {} {:?}\r\n{headers}\r\n", self.method, self.target, self.version);
        HeadScan::default().find(wire.as_bytes(), limits)?;
        check_head(wire.as_bytes(), limits).map(drop)
    }
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
    let allow = || reply.headers.iter().find(|(name, _)| name == http::header::ALLOW).and_then(|(_, allow)| allow.to_str().ok());
    let why = match by {
        By::Request => return answered(reply),
        By::NoRoute => "no route matches this host and path".to_owned(),
        By::WrongMethod => format!("the path has other methods: {}", allow().unwrap_or_default()),
        By::Filter => format!("the filter `{}` answers", trace.filters.last().map(|told| &*told.name).unwrap_or_default()),
        By::Action => snapshot.route(route).action.why(reply),
    };
    Outcome::Answered { status: reply.status.as_u16(), why }
}

/// An answer that says itself what it is about.
fn answered(reply: &Reply) -> Outcome {
    let why = match reply.body {
        ReplyBody::Problem { detail, .. } => detail,
        ReplyBody::Bytes(_) => "it is about the gateway as a whole",
    };
    Outcome::Answered { status: reply.status.as_u16(), why: why.to_owned() }
}

impl Explanation {
    fn of(
        snapshot: &Snapshot,
        received: &RequestHeader,
        head: &RequestHeader,
        facts: &Facts,
        route: Option<usize>,
        trace: Trace,
        outcome: Outcome,
    ) -> Self {
        let path = head.uri.path().to_owned();
        let found = trace.host.as_ref().map(|host| snapshot.router.explain(host, &path, &head.method).candidates);
        let beaten = found.into_iter().flatten().filter_map(|candidate| {
            let pattern = format!("{}{}", candidate.host.unwrap_or_default(), candidate.path);
            candidate.beaten.map(|why| Beaten { pattern, why })
        });
        let beaten = beaten.collect();
        let is_gone = |name: &&HeaderName| trace.host.is_some() && !trace.headers.contains(name);
        Self {
            client: facts.client_ip,
            removed: received.headers.keys().filter(is_gone).map(HeaderName::to_string).collect(),
            route: route.map(|index| Taken {
                name: snapshot.routes[index].name.to_string(),
                place: snapshot.loaded.describe(snapshot.loaded.config.routes[index].place),
            }),
            beaten,
            filters: trace.filters.into_iter().map(Filtered::from).collect(),
            path,
            outcome,
        }
    }
}

impl From<FilterDecision> for Filtered {
    fn from(told: FilterDecision) -> Self {
        Self {
            name: told.name,
            kind: told.kind,
            observed: told.observed,
            replies: told.replies.map(|status| status.as_u16()),
            reasons: told.reasons.into_iter().map(String::from).collect(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "path      {}", self.path)?;
        writeln!(f, "client    {}", self.client)?;
        for name in &self.removed {
            writeln!(f, "removed   {name}: only the gateway may send it")?;
        }
        match &self.route {
            Some(Taken { name, place }) => writeln!(f, "route     {name} ({place})")?,
            None => writeln!(f, "route     none")?,
        }
        for Beaten { pattern, why } in &self.beaten {
            writeln!(f, "  before  {pattern}: {why}")?;
        }
        for filter in &self.filters {
            let verdict = match (filter.replies, filter.observed) {
                (Some(status), true) => format!("would answer {status}, but only observes"),
                (Some(status), false) => format!("answers {status}"),
                (None, true) => "goes on (observes)".to_owned(),
                (None, false) => "goes on".to_owned(),
            };
            writeln!(f, "filter    {} ({}): {verdict}", filter.name, filter.kind)?;
            for reason in &filter.reasons {
                writeln!(f, "  because {reason}")?;
            }
        }
        match &self.outcome {
            Outcome::Forwarded { upstream, request, host } => {
                writeln!(f, "upstream  {upstream}")?;
                writeln!(f, "sends     {request}")?;
                writeln!(f, "host      {host}")
            }
            Outcome::Answered { status, why } => {
                let name = http::StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
                writeln!(f, "answers   {status} {name}: {why}")
            }
        }
    }
}
