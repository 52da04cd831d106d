//! `cors`: which pages of other origins may read answers (Fetch, section 3.2, <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! ```yaml
//! web:
//!   cors: {origins: [https://shop.example], methods: [GET, POST], headers: [Authorization], credentials: true, max_age: 10m}
//! ```
//!
//! Preflights are answered here, before anything asks for a token, and every answer of the route is marked, so that a page can read a 401,
//! too. It tells browsers which answers they may show to a page; it stops no request.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::ResponseHeader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use std::sync::Arc;

use crate::filter::build::Build;
use crate::filter::options::{Options, Placement};
use crate::filter::{Facts, Filter, Request, Verdict};
use crate::grpc::{STATUS_FIELDS, Wire};
use crate::head;
use crate::reply::Reply;
use crate::words::fields;
use crate::words::preflight::is_preflight;
use crate::words::spanned::{Problem, Spanned};
use crate::words::units::Duration;

/// The options of `cors`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The origins whose pages may read answers: `https://shop.example`, with a port where it is not the default one; or `*` alone.
    pub origins: Spanned<Vec<Spanned<String>>>,
    /// The methods that a preflight allows; by default GET, HEAD and POST.
    #[serde(default = "Config::usual_methods")]
    pub methods: Vec<Spanned<String>>,
    /// The request headers that a preflight allows, besides those that are always allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Spanned<String>>,
    /// The response headers that a page may read, besides those that it always may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<Spanned<String>>,
    /// Whether cookies and HTTP authentication may be sent along.
    #[serde(default)]
    pub credentials: Spanned<bool>,
    /// For how long a browser may remember a preflight's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

impl Config {
    fn usual_methods() -> Vec<Spanned<String>> {
        ["GET", "HEAD", "POST"].into_iter().map(|method| Spanned::nowhere(method.to_owned())).collect()
    }
}

impl Options for Config {
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        with.kept_or(|| Ok(Cors::new(self)))
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.origins.is_empty() {
            problems.push(Problem::lacking(self.origins.place, "`origins` is empty: no page could read an answer"));
        }
        for origin in &self.origins.value {
            if origin.value == "*" {
                if self.credentials.value {
                    problems.push(Problem::at(origin.place, "browsers refuse `*` together with `credentials`: list the origins"));
                }
                if self.origins.len() > 1 {
                    problems.push(Problem::at(origin.place, "`*` must be the only origin: it includes all others"));
                }
            } else if !is_origin(origin) {
                let message = format!(
                    "`{}` is not an origin: write the scheme, the host in lower case, and the port if it is not the default one",
                    origin.value
                );
                problems.push(Problem::at(origin.place, message).help("as in https://shop.example"));
            }
        }
        for method in &self.methods {
            if Method::from_bytes(method.as_bytes()).is_err() || method.bytes().any(|byte| byte.is_ascii_lowercase()) {
                let problem = Problem::at(method.place, format!("`{}` is not a method", method.value));
                let upper = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok();
                problems.push(match upper {
                    Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                    None => problem,
                });
            }
        }
        for header in self.headers.iter().chain(&self.expose) {
            if HeaderName::from_bytes(header.as_bytes()).is_err() {
                problems.push(Problem::at(header.place, format!("`{}` is not a header name", header.value)));
            }
        }
        problems
    }

    fn placement(&self) -> Vec<Placement> {
        vec![Placement::Once, Placement::BeforeRefusals("a preflight would not reach it")]
    }
}

/// As browsers write it: no path, no capitals, no usual port.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    let plain = text.bytes().all(|byte| (0x21..0x7f).contains(&byte) && !byte.is_ascii_uppercase());
    let bare = !rest.is_empty() && !rest.contains(['/', '?', '#', '@', '*', ',', '"']);
    !scheme.is_empty() && plain && bare && (usual.is_empty() || !rest.ends_with(usual))
}

/// The compiled filter.
pub struct Cors {
    /// None: every origin.
    origins: Option<Box<[HeaderValue]>>,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
    credentials: bool,
}

impl Cors {
    /// Compiles options that were checked.
    pub fn new(config: &Config) -> Self {
        let list = |names: &[Spanned<String>]| {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            if names.is_empty() { None } else { HeaderValue::from_str(&names.join(", ")).ok() }
        };
        let every = config.origins.iter().any(|origin| origin.value == "*");
        let origins = || config.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        Self {
            origins: (!every).then(origins),
            methods: list(&config.methods),
            headers: list(&config.headers),
            expose: list(&config.expose),
            max_age: config.max_age.map(|age| HeaderValue::from(age.0.as_secs())),
            credentials: config.credentials.value && !every,
        }
    }

    fn takes(&self, origin: &HeaderValue) -> bool {
        self.origins.as_ref().is_none_or(|origins| origins.contains(origin))
    }
}

impl Filter for Cors {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        let allowed = request.head.headers.get(ORIGIN).map(|origin| self.takes(origin));
        request.because(|| match allowed {
            None => "the request names no origin",
            Some(true) => "the page's origin may read the answer",
            Some(false) => "the page's origin is not one of `origins`: its browser will not show it the answer",
        });
        if !is_preflight(request.head) {
            return Verdict::Continue;
        }
        if allowed != Some(true) {
            let detail = "Pages of this origin are not allowed to make this request.";
            return Verdict::Reply(Reply::problem(StatusCode::FORBIDDEN, "origin_not_allowed", detail));
        }
        request.because(|| "it is a preflight, which is answered here");
        request.facts.preflight = true;
        Verdict::Reply(Reply::empty(StatusCode::NO_CONTENT, "preflight"))
    }

    fn answers_preflight(&self) -> bool {
        true
    }

    fn answer(&self, head: &mut ResponseHeader, facts: &Facts) {
        head::with_map(head, |headers| self.say(headers, facts));
    }
}

impl Cors {
    /// Says all that there is to say, and leaves nothing that the upstream has said: what the options do not allow is not allowed.
    fn say(&self, headers: &mut HeaderMap, facts: &Facts) {
        let is_ours = |name: &HeaderName| name.as_str().starts_with("access-control-");
        let said: SmallVec<[HeaderName; 4]> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
        for name in &said {
            headers.remove(name);
        }
        if self.origins.is_some() && !fields::list(headers, &VARY).any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin")) {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = facts.origin.as_ref().filter(|origin| self.takes(origin)) else { return };
        let named = if self.origins.is_none() { HeaderValue::from_static("*") } else { origin.clone() };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, named);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let is_web = facts.grpc.as_ref().is_some_and(|call| call.wire != Wire::Plain);
        let exposed = if is_web { Some(with_status(self.expose.as_ref())) } else { self.expose.clone() };
        let answers = [(ACCESS_CONTROL_EXPOSE_HEADERS, &exposed)];
        let preflights = [
            (ACCESS_CONTROL_ALLOW_METHODS, &self.methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, &self.headers),
            (ACCESS_CONTROL_MAX_AGE, &self.max_age),
        ];
        for (name, value) in answers.into_iter().chain(preflights.into_iter().filter(|_| facts.preflight)) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// What a page may read that makes gRPC calls: what came of them, too.
fn with_status(exposed: Option<&HeaderValue>) -> HeaderValue {
    let mut list = exposed.map_or(Vec::new(), |exposed| exposed.as_bytes().to_vec());
    for name in &STATUS_FIELDS {
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(name.as_str().as_bytes());
    }
    HeaderValue::from_bytes(&list).expect("names of headers")
}

#[cfg(test)]
mod tests;
