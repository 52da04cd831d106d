//! Why a request is treated as it is, without serving it: route, each filter's decision, pool, and what the pool is sent.
//!
//! The same router, chain and rewrites answer here as on the wire; only no socket is opened.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use frontgate_filters::chain::Decision;
use frontgate_filters::filter::{Facts, Identity, Request};
use http::{HeaderValue, Method, StatusCode};
use pingora_http::RequestHeader;
use serde_json::json;

use crate::config::Loaded;
use crate::router::{Found, host_of, normalise};
use crate::snapshot::{Action, Snapshot};
use crate::telemetry::Metrics;

/// What was found out about a request.
pub struct Explanation {
    /// The path as it is routed.
    pub path: String,
    /// The route that takes it, by name and place.
    pub route: Option<(String, String)>,
    /// The patterns that would have matched, too, and why they did not win.
    pub beaten: Vec<(String, String)>,
    /// What every filter decided, in order.
    pub decisions: Vec<Decision>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// What becomes of an explained request.
pub enum Outcome {
    /// It is sent to a pool.
    Forwarded {
        /// The pool.
        pool: String,
        /// The request line.
        request: String,
        /// The Host that is sent.
        host: String,
    },
    /// The gateway answers.
    Answered {
        /// With this status.
        status: StatusCode,
        /// Because of this.
        why: String,
    },
}

/// What a token is assumed to say.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// Explains what `loaded` does with a request, whose token is assumed to have these claims. What makes the request unreadable is the error.
pub fn explain(loaded: Loaded, method: &str, url: &str, headers: &[String], claims: Option<Claims>) -> Result<Explanation, String> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is not a method"))?;
    let (authority, target) = split(url)?;
    let mut head = RequestHeader::build(method.clone(), target.as_bytes(), None).map_err(|_| format!("`{url}` is not a URL"))?;
    for header in headers {
        let (name, value) = header.split_once(':').ok_or_else(|| format!("`{header}` is not a header: write `Name: value`"))?;
        head.append_header(name.trim().to_owned(), value.trim()).map_err(|_| format!("`{header}` is not a header"))?;
    }
    if let Some(authority) = authority {
        head.insert_header("Host", authority).map_err(|_| format!("`{authority}` is not a host"))?;
    }
    let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    // No access log: an explanation leaves no trace.
    let mut loaded = loaded;
    loaded.config.telemetry.access_log = crate::config::model::AccessLog::Off;
    let snapshot = Snapshot::compile(loaded, None, &Metrics::new(), None)?;
    Ok(explained(&snapshot, head, &host, claims))
}

fn split(url: &str) -> Result<(Option<&str>, &str), String> {
    if url.starts_with('/') {
        return Ok((None, url));
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| format!("`{url}` is neither an http URL nor a path"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let target = if rest[end..].starts_with('/') { &rest[end..] } else { "/" };
    Ok((Some(&rest[..end]), target))
}

fn explained(snapshot: &Snapshot, mut head: RequestHeader, host: &str, claims: Option<Claims>) -> Explanation {
    let mut told = Explanation {
        path: head.uri.path().to_owned(),
        route: None,
        beaten: Vec::new(),
        decisions: Vec::new(),
        outcome: answered(StatusCode::NOT_FOUND, "no route matches this host and path"),
    };
    let normal = match normalise(head.uri.path()) {
        Ok(path) => path.into_owned(),
        Err(reason) => {
            told.outcome = answered(StatusCode::BAD_REQUEST, reason.reason());
            return told;
        }
    };
    let host = match host {
        "" => String::new(),
        host => match host_of(host) {
            Ok(host) => host.into_owned(),
            Err(reason) => {
                told.outcome = answered(StatusCode::BAD_REQUEST, reason.reason());
                return told;
            }
        },
    };
    if normal != head.uri.path() {
        let target = head.uri.query().map_or(normal.clone(), |query| format!("{normal}?{query}"));
        if let Ok(uri) = target.parse() {
            head.set_uri(uri);
        }
    }
    told.path = normal;
    let found = snapshot.router.explain(&host, &told.path, &head.method);
    let taken = snapshot.find(&host, &told.path, &head);
    told.beaten = found
        .candidates
        .iter()
        .filter_map(|candidate| {
            let pattern = format!("{}{}", candidate.host.unwrap_or_default(), candidate.path);
            candidate.beaten.clone().map(|why| (pattern, why))
        })
        .collect();
    let index = match taken {
        Found::Route(index) => Some(index),
        Found::WrongMethod { allow } => {
            told.outcome = answered(StatusCode::METHOD_NOT_ALLOWED, &format!("the path has other methods: {allow}"));
            None
        }
        Found::None => None,
    };
    let Some(index) = index else { return told };
    let route = &snapshot.routes[index];
    told.route = Some((route.name.to_string(), snapshot.loaded.describe(snapshot.loaded.config.routes[index].place)));
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("explained"));
    route.introduce(index, &mut facts);
    snapshot.recognise(&head, &mut facts);
    facts.origin = head.headers.get(http::header::ORIGIN).cloned();
    facts.assumed = claims.map(|claims| Arc::new(Identity::new(claims)));
    let Some(decisions) = now(route.chain.explain(&mut Request::new(&mut head, &mut facts, Instant::now()))) else {
        told.outcome = answered(StatusCode::SERVICE_UNAVAILABLE, "a filter waits for something that is not there offline");
        return told;
    };
    told.decisions = decisions;
    let refused =
        told.decisions.iter().find_map(|decision| decision.replies.filter(|_| !decision.observed).map(|status| (status, &decision.name)));
    told.outcome = match (&route.action, refused) {
        (_, Some((status, name))) => answered(status, &format!("the filter `{name}` answers")),
        (Action::Pool(pool), None) => {
            let path = route.rewrite.as_ref().map_or_else(|| told.path.clone(), |rewrite| rewrite.apply(&told.path));
            let target = head.uri.query().map_or(path.clone(), |query| format!("{path}?{query}"));
            let host = pool.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(&host).to_owned();
            Outcome::Forwarded { pool: pool.name.to_string(), request: format!("{} {target}", head.method), host }
        }
        (Action::Redirect(template, status), None) => answered(*status, &format!("redirects to {}", template.expand(&told.path))),
        (Action::Respond(reply), None) => answered(reply.status, "answers by itself"),
        (Action::Nothing, None) => answered(StatusCode::INTERNAL_SERVER_ERROR, "the route leads nowhere"),
    };
    told
}

fn answered(status: StatusCode, why: &str) -> Outcome {
    Outcome::Answered { status, why: why.to_owned() }
}

/// Offline nothing is waited for: what is not ready at once never will be.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "path      {}", self.path)?;
        match &self.route {
            Some((name, place)) => writeln!(f, "route     {name} ({place})")?,
            None => writeln!(f, "route     none")?,
        }
        for (pattern, why) in &self.beaten {
            writeln!(f, "  before  {pattern}: {why}")?;
        }
        for decision in &self.decisions {
            let verdict = match (decision.replies, decision.observed) {
                (Some(status), true) => format!("would answer {status}, but only observes"),
                (Some(status), false) => format!("answers {status}"),
                (None, true) => "goes on (observes)".to_owned(),
                (None, false) => "goes on".to_owned(),
            };
            writeln!(f, "filter    {} ({}): {verdict}", decision.name, decision.kind)?;
            for reason in &decision.reasons {
                writeln!(f, "  because {reason}")?;
            }
        }
        match &self.outcome {
            Outcome::Forwarded { pool, request, host } => {
                writeln!(f, "pool      {pool}")?;
                writeln!(f, "sends     {request}")?;
                writeln!(f, "host      {host}")
            }
            Outcome::Answered { status, why } => writeln!(f, "answers   {status}: {why}"),
        }
    }
}

impl Explanation {
    /// The same for programs.
    pub fn to_json(&self) -> serde_json::Value {
        let filters: Vec<_> = self
            .decisions
            .iter()
            .map(|d| json!({"name": d.name, "kind": d.kind, "observed": d.observed, "replies": d.replies.map(|s| s.as_u16()), "reasons": d.reasons}))
            .collect();
        let beaten: Vec<_> = self.beaten.iter().map(|(pattern, why)| json!({"pattern": pattern, "why": why})).collect();
        let outcome = match &self.outcome {
            Outcome::Forwarded { pool, request, host } => json!({"pool": pool, "request": request, "host": host}),
            Outcome::Answered { status, why } => json!({"status": status.as_u16(), "why": why}),
        };
        let route = self.route.as_ref().map(|(name, place)| json!({"name": name, "place": place}));
        json!({"path": self.path, "route": route, "beaten": beaten, "filters": filters, "outcome": outcome})
    }
}
