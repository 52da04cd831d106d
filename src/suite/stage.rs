//! The gateway of a case, whose clients and upstreams are the case itself.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frontgate_filters::clock;
use frontgate_filters::filter::{Identity, Tls};
use frontgate_filters::words::claims::Claims;
use http::StatusCode;
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::model::{Answer, Case, Request, Step, Suite, Texts};
use super::upstream::{Got, Script, Shared, connected};
use crate::config::Loaded;
use crate::config::model::{AccessLog, Address, Upstream, UpstreamProtocol};
use crate::discovery::dns::{Dns, Places};
use crate::discovery::file;
use crate::explain::certificate;
use crate::explain::typed::Typed;
use crate::gateway::Gateway;
use crate::proxy::offline::{self, Played};
use crate::refusals;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::upstream::connect::stand_in;
use crate::upstream::{Documents, Found, timer};

/// A request that nothing comes of ends the wait for it: that is a mistake in the gateway, or a tunnel.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway that nobody can reach, and that reaches nobody.
pub(super) struct Stage {
    gateway: Arc<Gateway>,
    script: Shared,
    runtime: Runtime,
}

/// What was seen of a request.
pub(super) struct Seen {
    /// What became of it; the error says why it is no request at all.
    pub played: Result<Played, String>,
    /// What its upstreams were sent, attempt by attempt, copies for mirrors not among it.
    pub got: Vec<Got>,
}

impl Stage {
    /// Compiles a configuration. The error says why it cannot be.
    pub(super) fn new(loaded: Loaded) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        // From here on only what cases say passes of time, however busy the machine is.
        clock::put_forward(Duration::ZERO);
        let endpoints = endpoints(&loaded);
        let loaded = alone(loaded);
        let metrics = Metrics::new();
        let documents = Documents::new(metrics.clone(), Dns::new(Places::default()));
        // Nothing is fetched, and no name is resolved.
        let snapshot = Snapshot::compile(loaded, None, &metrics, None)?;
        for (name, pool) in &snapshot.pools {
            pool.change(endpoints.get(name).map_or(&[][..], Vec::as_slice), clock::now());
        }
        let script: Shared = Arc::new(Mutex::new(Script { pools: snapshot.pools.values().cloned().collect(), ..Script::default() }));
        let answering = script.clone();
        stand_in(Some(Box::new(move |endpoint| connected(&answering, endpoint))));
        Ok(Self { gateway: Gateway::new(snapshot, metrics, documents), script, runtime })
    }

    /// Lets time pass.
    pub(super) fn put_forward(&self, by: Duration) {
        clock::put_forward(by);
        let now = clock::now();
        timer::sweep(now);
        self.gateway.snapshot().pools.values().for_each(|pool| pool.tick(now));
    }

    /// Plays a request of a case.
    pub(super) fn play(&self, suite: &Suite, case: &Case, step: &Step) -> Seen {
        let answers = self.answers(suite, case, step);
        let said = [&suite.calls, &case.calls, &step.calls];
        let calls = said.into_iter().flatten().map(|(name, answers)| (Arc::from(name.as_str()), answers.value.0.clone())).collect();
        {
            let mut script = self.script.lock();
            (script.answers, script.calls, script.got) = (answers, calls, Vec::new());
        }
        let request = step.request.as_ref().or(case.request.as_ref());
        let played = match request {
            None => Err("there is no request".to_owned()),
            Some(request) => self.request(request, case, step).and_then(|request| {
                let playing = async {
                    let played = tokio::time::timeout(PATIENCE, offline::play(&self.gateway, request)).await;
                    // What upstreams have still to do is done before time passes.
                    for _ in 0..3 {
                        tokio::task::yield_now().await;
                    }
                    played.map_err(|_| format!("nothing has come of it in {PATIENCE:?}"))
                };
                self.runtime.block_on(playing)
            }),
        };
        let now = clock::now();
        // Probably ejected, or healthy again: nobody else keeps time here.
        self.gateway.snapshot().pools.values().for_each(|pool| pool.tick(now));
        Seen { played, got: std::mem::take(&mut self.script.lock().got) }
    }

    /// Whether a request came through to a saga.
    pub(super) fn meets_a_saga(&self, seen: &Seen) -> bool {
        let Ok(played) = &seen.played else { return false };
        let snapshot = self.gateway.snapshot();
        let mut routes = snapshot.loaded.config.routes.iter();
        let is_saga = routes.any(|route| played.route.as_deref() == Some(route.name.as_str()) && route.target.saga().is_some());
        is_saga && played.reason == "state_unavailable"
    }

    /// A text without what the environment brought to the configuration: results are kept where more people read them.
    pub(super) fn hide(&self, text: &str) -> String {
        self.gateway.snapshot().loaded.without_brought(text)
    }

    /// What each upstream answers: what is said closest to the request comes first.
    fn answers(&self, suite: &Suite, case: &Case, step: &Step) -> HashMap<Arc<str>, Vec<Answer>> {
        let snapshot = self.gateway.snapshot();
        let of = |name: &str| {
            let named = step.upstreams.get(name).or(step.upstream.as_ref());
            let named = named.or_else(|| case.upstreams.get(name)).or(case.upstream.as_ref());
            named.or_else(|| suite.upstreams.get(name)).map(|answers| answers.value.0.clone())
        };
        snapshot.pools.values().map(|pool| (pool.name.clone(), of(&pool.name).unwrap_or_default())).collect()
    }

    /// The request as a client would send it.
    fn request(&self, request: &Request, case: &Case, step: &Step) -> Result<offline::Request, String> {
        let mut headers: Vec<String> = Vec::new();
        let has = |name: &str| request.headers.keys().any(|known| known.eq_ignore_ascii_case(name));
        if request.url.starts_with('/') && !has("host") {
            headers.push("Host: localhost".to_owned());
        }
        for (name, Texts(lines)) in &request.headers {
            headers.extend(lines.iter().map(|line| format!("{name}: {line}")));
        }
        let body = match (&request.json, &request.body) {
            (Some(json), _) => Bytes::from(json.to_string()),
            (None, text) => Bytes::from(text.clone().unwrap_or_default()),
        };
        if request.json.is_some() && !has("content-type") {
            headers.push("Content-Type: application/json".to_owned());
        }
        if !body.is_empty() && !has("content-length") {
            headers.push(format!("Content-Length: {}", body.len()));
        }
        let typed = Typed::read(&request.method, &request.url, &headers)?;
        let snapshot = self.gateway.snapshot();
        let refused = typed.check(snapshot.rules.head).err();
        let head = match typed.head() {
            Ok(head) => head,
            // What no parser reads is refused all the same.
            Err(why) if refused.is_none() => return Err(why),
            Err(_) => Typed::read("GET", "/", &[])?.head()?,
        };
        let listeners = &snapshot.loaded.config.server.listeners;
        let on = typed.clear_port().and_then(|port| listeners.iter().position(|listener| listener.address.port() == port));
        let usual = || listeners.iter().position(|listener| listener.redirect_to_https.is_none());
        let client = match step.client_cert.as_ref().or(case.client_cert.as_ref()) {
            Some(_) if !typed.is_secure() => return Err("a client's certificate is shown over TLS: write an https URL".to_owned()),
            Some(shown) => {
                let mut client = certificate(&shown.subject)?;
                client.san = shown.san.iter().map(|name| name.as_str().into()).collect();
                Some(client)
            }
            None => None,
        };
        let tls = typed.is_secure().then(|| Arc::new(Tls { version: "1.3", sni: typed.server_name(), client }));
        let claims = step.claims.as_ref().or(case.claims.as_ref()).map(|claims| Claims::from(claims.clone()));
        Ok(offline::Request {
            head,
            body,
            peer: step.client_ip.or(case.client_ip).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            listener: on.or_else(usual).map(|index| listeners[index].value.clone()),
            tls,
            assumed: claims.map(|claims| Arc::new(Identity::new(claims))),
            refused: refused.map(refusals::unreadable),
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        stand_in(None);
    }
}

impl Seen {
    /// What became of the request, a line each, for whom something about it is not as expected.
    pub(super) fn told(&self) -> Vec<String> {
        let played = match &self.played {
            Ok(played) => played,
            Err(why) => return vec![why.clone()],
        };
        let mut told = vec![match &played.route {
            Some(route) => format!("route {route}"),
            None => "no route took it".to_owned(),
        }];
        for filter in &played.trace.filters {
            let verdict = match (filter.replies, filter.observed) {
                (Some(status), true) => format!("would answer {}", status.as_u16()),
                (Some(status), false) => format!("answers {}", status.as_u16()),
                (None, _) => "passes".to_owned(),
            };
            let because = if filter.reasons.is_empty() { String::new() } else { format!(": {}", filter.reasons.join("; ")) };
            told.push(format!("filter {} {verdict}{because}", filter.name));
        }
        told.extend(played.trace.choices.iter().map(|choice| format!("chooses {choice}")));
        for got in &self.got {
            let call = got.call.as_ref().map(|call| format!(" (call {call})")).unwrap_or_default();
            told.push(format!("upstream {} is sent {} {}{call}", got.upstream, got.method, got.target));
        }
        let reason = if played.reason.is_empty() { String::new() } else { format!(" ({})", played.reason) };
        told.push(match &played.head {
            Some(head) if played.whole => format!("answer {}{reason}", head.status.as_u16()),
            Some(head) => format!("answer {}, which breaks off{reason}", head.status.as_u16()),
            None => format!("no answer{reason}"),
        });
        told
    }
}

/// The configuration without what leads out of the process: TLS to upstreams, probes, discovery, logs, what is kept on disk.
fn alone(mut loaded: Loaded) -> Loaded {
    let config = &mut loaded.config;
    config.telemetry.access_log = AccessLog::Off;
    config.telemetry.hash_key = None;
    config.telemetry.tracing = None;
    config.server.state_dir = None;
    for upstream in config.upstreams.values_mut() {
        let Upstream { tls, health, protocol, discover, .. } = &mut upstream.value;
        (*tls, *health, *discover) = (None, None, None);
        if let Some(protocol) = protocol
            && protocol.value == UpstreamProtocol::Auto
        {
            protocol.value = UpstreamProtocol::Http1;
        }
    }
    loaded
}

/// The endpoints of each upstream: those that are written, a name at an address that only tests have (RFC 2544), and those of
/// files; of what is only found at run time one.
fn endpoints(loaded: &Loaded) -> HashMap<String, Vec<Found>> {
    let mut number = 0_u32;
    let mut somewhere = |port: u16| {
        number += 1;
        SocketAddr::from((Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number), port))
    };
    let mut all = HashMap::new();
    for (name, upstream) in &loaded.config.upstreams {
        let mut found: Vec<Found> = Vec::new();
        for endpoint in &upstream.endpoints {
            found.push(match &endpoint.address {
                Address::Ip(address) => Found::at(*address, None, endpoint),
                Address::Name(host) => Found::at(somewhere(host.port), Some(host.clone()), endpoint),
            });
        }
        if let Some(path) = upstream.discover.as_ref().and_then(|discover| discover.file.as_ref()) {
            found.extend(file::read(&loaded.resolve_path(path.place, path)).unwrap_or_default());
        }
        if found.is_empty() {
            found.push(Found { address: somewhere(80), weight: 1, version: None, name: None });
        }
        all.insert(name.clone(), found);
    }
    all
}

/// The status of an answer, where there is one.
pub(super) fn status_of(played: &Played) -> Option<StatusCode> {
    played.head.as_ref().map(|head| head.status)
}
