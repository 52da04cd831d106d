//! The operators' addresses: health, metrics, reload. `status` is the same without what changes anything.

use std::sync::Arc;

use async_trait::async_trait;
use frontgate_filters::filter::inspect::Forced;
use frontgate_filters::reply::problem;
use http::{Method, Response, StatusCode};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde_json::json;

use crate::config::Loaded;
use crate::config::diagnostics::Diagnostics;
use crate::gateway::Gateway;

/// How a configuration is read again.
pub type Read = Box<dyn Fn() -> Result<Loaded, Diagnostics> + Send + Sync>;

/// Reads the configuration again and puts it in force, for the signal and for the admin address.
pub struct Reloader {
    gateway: Arc<Gateway>,
    read: Read,
}

/// Why a reload was refused; the old configuration is still in force.
pub enum Refused {
    /// The configuration has problems.
    Problems(Diagnostics),
    /// It cannot be put in force by a reload.
    Because(String),
}

impl Reloader {
    /// Reads with `read`.
    pub fn new(gateway: Arc<Gateway>, read: Read) -> Self {
        Self { gateway, read }
    }

    /// All or nothing. The new configuration's hash.
    pub fn reload(&self) -> Result<String, Refused> {
        let loaded = (self.read)().map_err(|problems| {
            self.gateway.metrics.reload_failed();
            log::error!("the configuration was not reloaded:\n{}", problems.render(false));
            Refused::Problems(problems)
        })?;
        match self.gateway.reload(loaded) {
            Ok(hash) => {
                log::info!("configuration {hash} is in force");
                Ok(hash)
            }
            Err(why) => {
                log::error!("the configuration was not reloaded: {why}");
                Err(Refused::Because(why))
            }
        }
    }
}

/// Who may ask for what.
pub enum Scope {
    /// Everything, with this token where there is one.
    All(Option<String>),
    /// Health and metrics.
    ReadOnly,
}

/// The application behind `server.admin` and `server.status`.
pub struct Admin {
    gateway: Arc<Gateway>,
    reloader: Arc<Reloader>,
    scope: Scope,
}

type Answer = Response<Vec<u8>>;

impl Admin {
    /// The application with this scope.
    pub fn new(gateway: Arc<Gateway>, reloader: Arc<Reloader>, scope: Scope) -> Self {
        Self { gateway, reloader, scope }
    }

    fn allows(&self, session: &ServerSession) -> bool {
        let Scope::All(Some(token)) = &self.scope else { return true };
        let header = session.req_header().headers.get(http::header::AUTHORIZATION).map(|value| value.as_bytes());
        header.and_then(|value| value.strip_prefix(b"Bearer ")).is_some_and(|given| same(given, token.as_bytes()))
    }

    async fn route(&self, session: &ServerSession) -> Answer {
        let head = session.req_header();
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        match head.uri.path() {
            "/healthz" if is_read && self.is_full(session) => {
                let down = self.gateway.down().is_some();
                let status = if down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
                json_answer(status, &self.gateway.status())
            }
            "/livez" | "/healthz" if is_read => text(StatusCode::OK, "ok\n"),
            "/readyz" if is_read && self.gateway.is_draining() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            "/readyz" if is_read && self.gateway.down().is_some() => text(StatusCode::SERVICE_UNAVAILABLE, "a required pool is down\n"),
            "/readyz" if is_read && !self.gateway.documents.has_settled() => text(StatusCode::SERVICE_UNAVAILABLE, "fetching keys\n"),
            "/readyz" if is_read => text(StatusCode::OK, "ready\n"),
            "/metrics" if is_read => {
                let body = self.gateway.scrape();
                answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body.into_bytes())
            }
            "/-/reload" if matches!(self.scope, Scope::All(_)) => match head.method {
                Method::POST => self.reload().await,
                _ => {
                    let mut refusal = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This resource takes POST.");
                    refusal.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static("POST"));
                    refusal
                }
            },
            "/-/drain" if matches!(self.scope, Scope::All(_)) && head.method == Method::POST => {
                self.gateway.ask_to_drain();
                json_answer(StatusCode::ACCEPTED, &json!({"requests_in_flight": self.gateway.requests()}))
            }
            "/-/circuit" if matches!(self.scope, Scope::All(_)) && head.method == Method::POST => {
                self.circuit(head.uri.query().unwrap_or_default())
            }
            "/-/drain" | "/-/circuit" if matches!(self.scope, Scope::All(_)) => {
                let mut refusal = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This resource takes POST.");
                refusal.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static("POST"));
                refusal
            }
            "/livez" | "/healthz" | "/readyz" | "/metrics" => {
                let mut refusal = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This resource takes GET.");
                refusal.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static("GET, HEAD"));
                refusal
            }
            _ => problem(StatusCode::NOT_FOUND, "not_found", "There is no such resource."),
        }
    }

    /// Whether every dependency is asked for, by one who may know of them.
    fn is_full(&self, session: &ServerSession) -> bool {
        let full = session.req_header().uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "full=1"));
        full && matches!(self.scope, Scope::All(_))
    }

    /// Holds a circuit open or closed, or lets it go: `filter`, `upstream` and `force`, which is `open`, `closed` or `auto`.
    fn circuit(&self, query: &str) -> Answer {
        let value = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
            pair.map(|(_, value)| percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()).unwrap_or_default()
        };
        let forced = match value("force").as_str() {
            "open" => Some(Forced::Open),
            "closed" => Some(Forced::Closed),
            "auto" => None,
            _ => return problem(StatusCode::BAD_REQUEST, "bad_request", "`force` is open, closed or auto."),
        };
        if !self.gateway.force(&value("filter"), &value("upstream"), forced) {
            return problem(StatusCode::NOT_FOUND, "not_found", "There is no circuit of this filter and upstream.");
        }
        log::warn!("an operator set the circuit {} of {} to {}", value("filter"), value("upstream"), value("force"));
        json_answer(StatusCode::OK, &json!({"filter": value("filter"), "upstream": value("upstream"), "force": value("force")}))
    }

    async fn reload(&self) -> Answer {
        let reloader = self.reloader.clone();
        // Reading and compiling take their time; the workers go on serving.
        match tokio::task::spawn_blocking(move || reloader.reload()).await {
            Ok(Ok(hash)) => json_answer(StatusCode::OK, &json!({"hash": hash})),
            Ok(Err(Refused::Problems(problems))) => json_answer(StatusCode::UNPROCESSABLE_ENTITY, &json!({"problems": problems.to_json()})),
            Ok(Err(Refused::Because(why))) => {
                json_answer(StatusCode::UNPROCESSABLE_ENTITY, &json!({"problems": [{"severity": "error", "message": why}]}))
            }
            Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The reload failed inside of the gateway."),
        }
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Answer {
        let head_only = session.req_header().method == Method::HEAD;
        let mut answer = if self.allows(session) {
            self.route(session).await
        } else {
            let mut refusal = problem(StatusCode::UNAUTHORIZED, "unauthorized", "The admin address needs its token.");
            let challenge = http::HeaderValue::from_static("Bearer realm=\"frontgate\"");
            refusal.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
            refusal
        };
        let length = answer.body().len();
        answer.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        if head_only {
            answer.body_mut().clear();
        }
        answer
    }
}

/// Takes as long for a wrong token as for the right one of that length.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn answer(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    answer.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    answer
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    answer(status, "text/plain; charset=utf-8", text.into())
}

fn json_answer(status: StatusCode, value: &serde_json::Value) -> Answer {
    answer(status, "application/json", value.to_string().into_bytes())
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Answer {
    answer(status, problem::MEDIA_TYPE, problem::body(status, code, detail, None).into())
}
