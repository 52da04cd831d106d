//! What an explanation says, for people and for programs.

use std::fmt;
use std::net::IpAddr;

use frontgate_filters::chain::Decision as FilterDecision;
use frontgate_filters::filter::Tls;
use frontgate_filters::words::reserved;
use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::plan::Plan;

/// What was found out about a request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explanation {
    /// The path as it is routed.
    pub(super) path: String,
    /// The client's address, as trusted proxies tell it.
    pub(super) client: IpAddr,
    /// Headers that are not the client's to send.
    pub(super) removed: Vec<String>,
    /// Whether a running gateway explains it, by what it knows just now.
    #[serde(default)]
    pub(super) live: bool,
    /// The route that takes it.
    pub(super) route: Option<Taken>,
    /// The routes of the same host and path that were passed over before it.
    pub(super) passed: Vec<Passed>,
    /// The patterns that would have matched, too.
    pub(super) beaten: Vec<Beaten>,
    /// What TLS says of the connection, where it is assumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<Secured>,
    /// What kind of gRPC call it is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) grpc: Option<String>,
    /// What every filter decided, in order.
    pub(super) filters: Vec<Filtered>,
    /// What was chosen for it, where its route leaves something to it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) choices: Vec<String>,
    /// What becomes of a copy of it, where its route has a mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mirror: Option<String>,
    /// What becomes of it.
    pub(super) outcome: Outcome,
}

/// What is assumed of TLS.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Secured {
    /// Its version.
    version: String,
    /// The name that the client asks for.
    sni: Option<Box<str>>,
    /// The subject of the client's certificate, where it shows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_cert: Option<Box<str>>,
}

impl From<&Tls> for Secured {
    fn from(tls: &Tls) -> Self {
        let client_cert = tls.client.as_ref().map(|client| client.subject.clone());
        Self { version: tls.version.to_owned(), sni: tls.sni.clone(), client_cert }
    }
}

/// A route that takes a request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Taken {
    /// Its name.
    pub(super) name: String,
    /// Where it is written.
    pub(super) place: String,
}

/// A route that was tried and did not take the request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Passed {
    /// Its name.
    pub(super) name: String,
    /// What the request lacks.
    pub(super) why: String,
}

/// A pattern that matched and did not win.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Beaten {
    /// Its host and path.
    pub(super) pattern: String,
    /// What the winner has over it.
    pub(super) why: String,
}

/// One filter's decision.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Filtered {
    /// The filter's name.
    pub(super) name: String,
    /// Its kind.
    pub(super) kind: String,
    /// Whether it only observes.
    pub(super) observed: bool,
    /// The status that it answers with, where it does.
    pub(super) replies: Option<u16>,
    /// Why, in the filter's own words.
    pub(super) reasons: Vec<String>,
    /// How long it took, in microseconds.
    pub(super) took_us: u64,
}

/// What becomes of an explained request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    /// It is sent to an upstream.
    Forwarded {
        /// The upstream.
        upstream: String,
        /// The method and the target that the upstream is sent.
        request: String,
        /// The Host that it is sent.
        host: String,
        /// The endpoints that are written of it, names as names, and where others come from.
        endpoints: Vec<String>,
        /// Who serves it just now, where a running gateway says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        serving: Option<Serving>,
    },
    /// The answer is made of calls.
    Composed(Plan),
    /// A saga is begun, or asked for.
    Begun {
        /// Which of these.
        saga: String,
        /// Its steps in their order, with their undos.
        steps: Vec<String>,
    },
    /// A graph is asked.
    #[cfg_attr(not(feature = "graphql"), allow(dead_code, reason = "there are no graphs"))]
    Queried {
        /// The operation of its document, as far as that is known.
        graph: String,
        /// The calls that it makes, in the order in which they can be made.
        calls: Vec<String>,
    },
    /// The gateway answers.
    Answered {
        /// With this status.
        status: u16,
        /// For this reason.
        why: String,
        /// What a client of gRPC is told: then that is said by an answer of status 200.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grpc_status: Option<String>,
    },
}

/// Who serves a request of a running gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Serving {
    /// The endpoint that it would get.
    pub(super) next: String,
    /// Each endpoint and how it stands.
    pub(super) endpoints: Vec<String>,
}

impl From<FilterDecision> for Filtered {
    fn from(told: FilterDecision) -> Self {
        Self {
            name: told.name,
            kind: told.kind.to_owned(),
            observed: told.observed,
            replies: told.replies.map(|status| status.as_u16()),
            reasons: told.reasons.into_iter().map(String::from).collect(),
            took_us: u64::try_from(told.took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "path      {}", self.path)?;
        writeln!(f, "client    {}", self.client)?;
        if let Some(Secured { version, sni, client_cert }) = &self.tls {
            let sni = sni.as_ref().map_or_else(|| "no name is asked for".to_owned(), |name| format!("asked for {name}"));
            let own = client_cert.as_ref().map(|subject| format!(", the client shows the certificate of `{subject}`")).unwrap_or_default();
            writeln!(f, "tls       {version}, {sni}{own}")?;
        }
        for name in &self.removed {
            let is_for_proxies = HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| reserved::is_for_proxies(&name));
            let whose = if is_for_proxies { "only a proxy in `trusted_proxies`" } else { "only the gateway" };
            writeln!(f, "removed   {name}: {whose} may send it")?;
        }
        match &self.route {
            Some(Taken { name, place }) => writeln!(f, "route     {name} ({place})")?,
            None => writeln!(f, "route     none")?,
        }
        for Passed { name, why } in &self.passed {
            writeln!(f, "  passed  {name}: {why}")?;
        }
        for Beaten { pattern, why } in &self.beaten {
            writeln!(f, "  before  {pattern}: {why}")?;
        }
        if let Some(grpc) = &self.grpc {
            writeln!(f, "grpc      {grpc}")?;
        }
        for filter in &self.filters {
            let verdict = match (filter.replies, filter.observed) {
                (Some(status), true) => format!("would answer {status}, but only observes"),
                (Some(status), false) => format!("answers {status}"),
                (None, true) => "goes on (observes)".to_owned(),
                (None, false) => "goes on".to_owned(),
            };
            let took = if self.live { format!(", in {} µs", filter.took_us) } else { String::new() };
            writeln!(f, "filter    {} ({}): {verdict}{took}", filter.name, filter.kind)?;
            for reason in &filter.reasons {
                writeln!(f, "  because {reason}")?;
            }
        }
        for choice in &self.choices {
            writeln!(f, "chooses   {choice}")?;
        }
        if let Some(mirror) = &self.mirror {
            writeln!(f, "mirror    {mirror}")?;
        }
        match &self.outcome {
            Outcome::Forwarded { upstream, request, host, endpoints, serving } => {
                writeln!(f, "upstream  {upstream}")?;
                match serving {
                    None => writeln!(f, "endpoints {}", listed(endpoints))?,
                    Some(Serving { next, endpoints }) => {
                        writeln!(f, "endpoint  {next}")?;
                        for endpoint in endpoints.iter().take(MOST_STANDING) {
                            writeln!(f, "  known   {endpoint}")?;
                        }
                        if let Some(more) = endpoints.len().checked_sub(MOST_STANDING).filter(|more| *more > 0) {
                            writeln!(f, "  known   {more} more: frontgate upstreams")?;
                        }
                    }
                }
                writeln!(f, "sends     {request}")?;
                match &**host {
                    "" => writeln!(f, "host      none: neither a URL nor a Host header names one, as in HTTP/1.0"),
                    host => writeln!(f, "host      {host}"),
                }
            }
            Outcome::Composed(plan) => plan.fmt(f),
            Outcome::Begun { saga, steps } => {
                writeln!(f, "saga      {saga}")?;
                steps.iter().zip(1..).try_for_each(|(step, number)| writeln!(f, "  step {number}  {step}"))
            }
            Outcome::Queried { graph, calls } => {
                writeln!(f, "graph     {graph}")?;
                calls.iter().try_for_each(|call| writeln!(f, "  {call}"))
            }
            Outcome::Answered { status, why, grpc_status } => {
                let name = http::StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
                writeln!(f, "answers   {status} {name}: {why}")?;
                match grpc_status {
                    Some(said) => writeln!(f, "tells     gRPC status {said}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// So many endpoints are shown one by one.
const MOST_STANDING: usize = 32;

/// As many as fit a line.
fn listed(endpoints: &[String]) -> String {
    const MOST: usize = 8;
    let shown = endpoints.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    match endpoints.len().checked_sub(MOST) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
