//! What an explanation says, for people and for programs.

use std::fmt;
use std::net::IpAddr;

use frontgate_filters::chain::Decision as FilterDecision;
use frontgate_filters::filter::Tls;
use frontgate_filters::words::reserved;
use http::HeaderName;
use serde::Serialize;

/// What was found out about a request.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    /// The path as it is routed.
    pub(super) path: String,
    /// The client's address, as trusted proxies tell it.
    pub(super) client: IpAddr,
    /// Headers that are not the client's to send.
    pub(super) removed: Vec<String>,
    /// The route that takes it.
    pub(super) route: Option<Taken>,
    /// The routes of the same host and path that were passed over before it.
    pub(super) passed: Vec<Passed>,
    /// The patterns that would have matched, too.
    pub(super) beaten: Vec<Beaten>,
    /// What TLS says of the connection, where it is assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<Secured>,
    /// What kind of gRPC call it is, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grpc: Option<String>,
    /// What every filter decided, in order.
    pub(super) filters: Vec<Filtered>,
    /// What was chosen for it, where its route leaves something to it, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) choices: Vec<String>,
    /// What becomes of a copy of it, where its route has a mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mirror: Option<String>,
    /// What becomes of it.
    pub(super) outcome: Outcome,
}

/// What is assumed of TLS.
#[derive(Debug, Serialize)]
pub(super) struct Secured {
    /// Its version.
    version: &'static str,
    /// The name that the client asks for.
    sni: Option<Box<str>>,
    /// The subject of the client's certificate, where it shows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cert: Option<Box<str>>,
}

impl From<&Tls> for Secured {
    fn from(tls: &Tls) -> Self {
        let client_cert = tls.client.as_ref().map(|client| client.subject.clone());
        Self { version: tls.version, sni: tls.sni.clone(), client_cert }
    }
}

/// A route that takes a request.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    /// Its name.
    pub(super) name: String,
    /// Where it is written.
    pub(super) place: String,
}

/// A route that was tried and did not take the request.
#[derive(Debug, Serialize)]
pub(super) struct Passed {
    /// Its name.
    pub(super) name: String,
    /// What the request lacks.
    pub(super) why: String,
}

/// A pattern that matched and did not win.
#[derive(Debug, Serialize)]
pub(super) struct Beaten {
    /// Its host and path.
    pub(super) pattern: String,
    /// What the winner has over it.
    pub(super) why: String,
}

/// One filter's decision.
#[derive(Debug, Serialize)]
pub(super) struct Filtered {
    /// The filter's name.
    pub(super) name: String,
    /// Its kind.
    pub(super) kind: &'static str,
    /// Whether it only observes.
    pub(super) observed: bool,
    /// The status that it answers with, where it does.
    pub(super) replies: Option<u16>,
    /// Why, in the filter's own words.
    pub(super) reasons: Vec<String>,
}

/// What becomes of an explained request.
#[derive(Debug, Serialize)]
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
    },
    /// The gateway answers.
    Answered {
        /// With this status.
        status: u16,
        /// For this reason.
        why: String,
        /// What a client of gRPC is told: then that is said by an answer of status 200.
        #[serde(skip_serializing_if = "Option::is_none")]
        grpc_status: Option<String>,
    },
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
            writeln!(f, "filter    {} ({}): {verdict}", filter.name, filter.kind)?;
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
            Outcome::Forwarded { upstream, request, host, endpoints } => {
                writeln!(f, "upstream  {upstream}")?;
                writeln!(f, "endpoints {}", listed(endpoints))?;
                writeln!(f, "sends     {request}")?;
                writeln!(f, "host      {host}")
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

/// As many as fit a line.
fn listed(endpoints: &[String]) -> String {
    const MOST: usize = 8;
    let shown = endpoints.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    match endpoints.len().checked_sub(MOST) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
