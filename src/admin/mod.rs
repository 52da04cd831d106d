//! The operators' addresses: health, metrics, reload. `server.status` has the same without what changes anything.

mod answer;
mod dashboard;
mod listen;
mod parameter;
mod resources;
#[cfg(feature = "saga")]
mod sagas;
mod tap;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use frontgate_filters::words::fields;
use http::header::{ALLOW, AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::RequestHeader;

use self::answer::{Answer, NDJSON, answer, problem, refusal};
use self::parameter::misread;
use self::resources::{Act, RESOURCES, Resource, Takes};
use crate::decide;
use crate::door::Ending;
use crate::gateway::Gateway;
use crate::reload::Reloader;
use crate::who::Who;

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where the dashboard is. It says nothing of the gateway, and asks for the token itself.
const PAGE: &str = "/";

/// Who may ask for what.
pub(crate) enum Scope {
    /// Everything, for those who have the configuration's token where it names one.
    All {
        /// Whether the address is on loopback, so that it can only be meant by who is there.
        local: bool,
    },
    /// Health and metrics.
    ReadOnly,
}

/// The application behind `server.admin` and `server.status`.
pub(crate) struct Admin {
    gateway: Arc<Gateway>,
    reloader: Arc<Reloader>,
    scope: Scope,
    /// Whether its connections are to end, as others answer here from now on.
    ending: Arc<Ending>,
}

impl Admin {
    /// The application with this scope; its connections end when `ending` says so.
    pub(crate) fn new(gateway: Arc<Gateway>, reloader: Arc<Reloader>, scope: Scope, ending: Arc<Ending>) -> Self {
        Self { gateway, reloader, scope, ending }
    }

    /// The answer to a request; to HEAD with the body that GET would have, but for what has no end.
    async fn answer(&self, head: &RequestHeader, peer: SocketAddr) -> Answer {
        let (resource, who) = match self.find(head, peer) {
            Ok(found) => found,
            Err(refusal) => return refusal,
        };
        match resource.act {
            Act::Now(act) => act(self, head),
            Act::By(act) => act(self, head, &who),
            Act::LaterBy(act) => act(self, head, who).await,
            Act::Asked(act) => act(self, &[]),
            Act::Lines(_) => answer(StatusCode::OK, NDJSON, ""),
        }
    }

    /// What is asked for and by whom, who may ask for it and does so in the way that it is asked for.
    #[allow(clippy::result_large_err, reason = "an answer is moved once, whichever it is")]
    fn find(&self, head: &RequestHeader, peer: SocketAddr) -> Result<(&'static Resource, Who), Answer> {
        if let Some(why) = self.stranger(head) {
            return Err(problem(StatusCode::FORBIDDEN, "forbidden", why, None));
        }
        let Some(who) = self.who(head, peer).or_else(|| (head.uri.path() == PAGE).then(|| Who::new(peer, None))) else {
            let challenge = HeaderValue::from_static("Bearer realm=\"frontgate\"");
            return Err(problem(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "The admin address needs its token.",
                Some((WWW_AUTHENTICATE, challenge)),
            ));
        };
        let path = head.uri.path();
        let Some(resource) = RESOURCES.iter().find(|resource| resource.is_at(path) && (resource.open || self.has_all())) else {
            return Err(problem(StatusCode::NOT_FOUND, "not_found", "There is no such resource.", None));
        };
        match (resource.takes, &head.method) {
            (Takes::Get, &Method::GET | &Method::HEAD) | (Takes::Post, &Method::POST) => {}
            (Takes::Get, _) => return Err(wrong_method("This resource takes GET.", "GET, HEAD")),
            (Takes::Post, _) => return Err(wrong_method("This resource takes POST.", "POST")),
        }
        let reads_body = matches!(resource.act, Act::Asked(_));
        match resource.asks.and_then(|known| misread(head, known, reads_body)) {
            Some(why) => Err(refusal(StatusCode::BAD_REQUEST, "bad_request", &why)),
            None => Ok((resource, who)),
        }
    }

    /// Who asks; nobody where the token is another than the one that is asked for.
    fn who(&self, head: &RequestHeader, peer: SocketAddr) -> Option<Who> {
        let snapshot = self.gateway.snapshot();
        let Some(token) = snapshot.token.as_ref().filter(|_| self.has_all()) else { return Some(Who::new(peer, None)) };
        // Which of two would be meant nobody knows.
        let header = fields::only(&head.headers, &AUTHORIZATION).ok().flatten()?;
        let given = fields::bearer(header.as_bytes())?;
        same(given, token.value.as_bytes()).then(|| Who::new(peer, Some(token.name.clone())))
    }

    /// Why a request comes from a page that a browser shows, and not from an operator. Such a page can name the address, under a name of its own
    /// as well; it cannot keep its browser from saying who asks.
    fn stranger(&self, head: &RequestHeader) -> Option<&'static str> {
        let Scope::All { local } = self.scope else { return None };
        if head.headers.contains_key(ORIGIN) || head.headers.get_all(SEC_FETCH_SITE).iter().any(|site| !is_own(site)) && !opens_page(head) {
            return Some("The admin address takes no requests of web pages.");
        }
        // Probes and scrapes come under whatever name they have for the machine, and ask for nothing that another may not know.
        (local && !is_local(head) && !is_public(head)).then_some("The admin address is asked by its loopback address, or as localhost.")
    }

    fn has_all(&self) -> bool {
        matches!(self.scope, Scope::All { .. })
    }
}

fn wrong_method(detail: &'static str, allow: &'static str) -> Answer {
    problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail, Some((ALLOW, HeaderValue::from_static(allow))))
}

/// Whether this is what the read-only address tells everybody, too: probes and metrics, without what they say in full to operators.
fn is_public(head: &RequestHeader) -> bool {
    let asks = matches!(head.method, Method::GET | Method::HEAD) && head.uri.query().is_none();
    asks && matches!(head.uri.path(), "/livez" | "/readyz" | "/healthz" | "/metrics")
}

/// Whether a browser opens the dashboard in a window, for a link that its user has followed: no other page sees anything of that.
fn opens_page(head: &RequestHeader) -> bool {
    let says = |name: HeaderName, value: &str| {
        let mut values = head.headers.get_all(name).iter();
        values.next().is_some_and(|said| said == value) && values.next().is_none()
    };
    head.method == Method::GET && head.uri == PAGE && says(SEC_FETCH_MODE, "navigate") && says(SEC_FETCH_DEST, "document")
}

/// Whether a browser says that its user asked, or a page of this address itself.
fn is_own(site: &HeaderValue) -> bool {
    matches!(site.as_bytes(), b"none" | b"same-origin")
}

/// Whether the request says once, and says nothing else, that it is for a loopback address.
fn is_local(head: &RequestHeader) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let target = decide::authority(head).map(str::as_bytes);
    let (first, second) = (hosts.next(), hosts.next());
    second.is_none() && first.or(target).is_some() && first.is_none_or(is_loopback) && target.is_none_or(is_loopback)
}

/// `localhost`, `127.0.0.1` or `[::1]`, with a port or without.
fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse().is_ok_and(|ip: std::net::Ipv6Addr| is_loopback(ip.into())),
        None => name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: std::net::Ipv4Addr| is_loopback(ip.into())),
    }
}

/// Takes as long for a wrong token as for the right one of that length.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests;
