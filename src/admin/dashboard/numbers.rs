//! What the dashboard shows, put together from what operators are told and from what is counted.

use std::collections::{BTreeMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::config::model::Target;
use crate::gateway::Gateway;
use crate::router::UNMATCHED;
use crate::status::{LimitedKey, ReloadStatus, SagaBrief, Status};
use crate::telemetry::{Board, EndpointState};

/// How many routes are told at once.
const ROUTES: usize = 400;
/// How many versions of canaries: those first that were given to somebody.
const VERSIONS: usize = 200;
/// How many endpoints of an upstream: those first that take no requests, then those with an error.
const ENDPOINTS: usize = 64;
/// How many of the keys that limits refused.
const KEYS: usize = 10;
/// How many stuck sagas.
#[cfg(feature = "saga")]
const STUCK: usize = 20;

/// All of it.
#[derive(Serialize)]
pub(super) struct Numbers {
    /// When the gateway began, in milliseconds since 1970: another time is another process, which counts anew.
    started_ms: u64,
    /// How long ago that is, by a clock that nobody sets.
    uptime_ms: u64,
    /// The time of day, in milliseconds since 1970.
    now_ms: u64,
    status: Status,
    /// Of which upstreams how many endpoints are not told.
    endpoints_left_out: BTreeMap<String, usize>,
    /// How many versions of canaries are not told.
    canaries_left_out: usize,
    counters: Board,
    /// What is written of the routes that are told.
    written: BTreeMap<String, Written>,
    /// How many routes had no request yet.
    quiet_routes: usize,
    /// Whom limits refused of late, most first.
    limited: Vec<LimitedKey>,
    /// The first of the stuck sagas.
    stuck_sagas: Vec<SagaBrief>,
    /// The newest first.
    reloads: Vec<ReloadStatus>,
    /// When certificates end, in seconds since 1970, by their files.
    certificates: BTreeMap<String, i64>,
}

/// What the configuration says of a route.
#[derive(Serialize)]
struct Written {
    host: Option<String>,
    path: String,
    /// Upstreams, or what else it leads to.
    to: Vec<String>,
}

impl Numbers {
    /// What there is to tell now, of the routes whose names contain this.
    pub(super) fn of(gateway: &Gateway, wanted: &str, stuck_sagas: Vec<SagaBrief>) -> Self {
        let snapshot = gateway.snapshot();
        let counters = gateway.metrics.board(&|name| wanted.is_empty() || name.to_lowercase().contains(wanted), ROUTES);
        let mut status = gateway.status();
        let mut endpoints_left_out = BTreeMap::new();
        for (name, upstream) in &mut status.upstreams {
            let left_out = upstream.endpoints.len().saturating_sub(ENDPOINTS);
            if left_out > 0 {
                upstream.endpoints.sort_by_key(|endpoint| (endpoint.state == EndpointState::Healthy, endpoint.last_error.is_none()));
                upstream.endpoints.truncate(ENDPOINTS);
                endpoints_left_out.insert(name.clone(), left_out);
            }
        }
        let canaries_left_out = status.canaries.len().saturating_sub(VERSIONS);
        if canaries_left_out > 0 {
            let is_wanted = |route: &str| route.to_lowercase().contains(wanted);
            status.canaries.sort_by_key(|canary| (!is_wanted(&canary.route), canary.answered + canary.spilled == 0));
            status.canaries.truncate(VERSIONS);
        }
        let routes = &snapshot.loaded.config.routes;
        let told = |name: &str| counters.routes.binary_search_by(|route| (*route.name).cmp(name)).is_ok();
        let written = routes.iter().filter(|route| told(&route.name)).map(|route| {
            let to = route.target.written().iter().flat_map(|target| match target {
                Target::Redirect(_) => vec!["a redirect".to_owned()],
                Target::Respond(_) => vec!["a fixed answer".to_owned()],
                _ => target.upstreams().map(|upstream| upstream.value.clone()).collect(),
            });
            // Several calls may go to one.
            let mut known = HashSet::new();
            let to = to.filter(|name| known.insert(name.clone()));
            let written =
                Written { host: route.host.as_ref().map(|host| host.value.clone()), path: route.path.value.clone(), to: to.collect() };
            (route.name.value.clone(), written)
        });
        let written: BTreeMap<_, _> = written.collect();
        let mut limited = gateway.limits(None).map(|limits| limits.keys).unwrap_or_default();
        limited.truncate(KEYS);
        let (started_ms, uptime) = gateway.reloads.began();
        let busy = counters.routes.iter().filter(|route| route.name != UNMATCHED).count() + counters.routes_left_out;
        Self {
            started_ms,
            uptime_ms: uptime.as_millis() as u64,
            now_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            status,
            endpoints_left_out,
            canaries_left_out,
            quiet_routes: routes.len().saturating_sub(busy),
            counters,
            written,
            limited,
            stuck_sagas,
            reloads: gateway.reloads.recent(),
            certificates: gateway.certificate_ends(),
        }
    }
}

/// The first stuck sagas, where there are some: who looks at the dashboard does not wait for a journal that cannot be read.
#[cfg(feature = "saga")]
pub(super) async fn stuck_sagas(gateway: &Gateway) -> Vec<SagaBrief> {
    use crate::compose::saga::operated;
    use crate::status::SagaState;
    let is_any = gateway.metrics.open_sagas().iter().any(|open| open.state == SagaState::Stuck);
    match gateway.sagas().filter(|_| is_any) {
        Some(sagas) => operated::first(&**sagas, SagaState::Stuck, STUCK).await.unwrap_or_default(),
        None => Vec::new(),
    }
}

/// There are none.
#[cfg(not(feature = "saga"))]
pub(super) async fn stuck_sagas(_: &Gateway) -> Vec<SagaBrief> {
    Vec::new()
}
