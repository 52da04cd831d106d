//! A configuration compiled for serving: every name resolved, every header and metric handle ready.
//!
//! A snapshot never changes. A reload compiles the next one, taking over from the last whatever its configuration left alone.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use frontgate_filters::chain::{Chain, Link};
use frontgate_filters::device::Devices;
use frontgate_filters::filter::build::{Build, Outside, Secret};
use frontgate_filters::filter::document::{NoDocument, RemoteDocument, Wanted};
use frontgate_filters::filter::inspect::{CircuitStatus, Forced};
use frontgate_filters::filter::{Facts, Filter};
use frontgate_filters::registry::{FilterEntry, Mode};
use frontgate_filters::reply::Reply;
use frontgate_filters::words::preflight::asked_method;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Place;
use frontgate_filters::words::url::Url;
use http::{HeaderName, Method, StatusCode};
use pingora_http::RequestHeader;

use crate::config::Loaded;
use crate::config::model::{self, AccessLog as LogConfig, FilterUse, LogTarget, Rewrite};
use crate::door::Rules;
use crate::door::wire::HeadLimits;
use crate::router::{Entry, Found, Pattern, Router, Template};
use crate::telemetry::{AccessLog, Metrics, RouteMetrics, Target, UNMATCHED};
use crate::upstream::{Documents, Pool};

/// A compiled configuration.
pub struct Snapshot {
    /// What it was compiled from.
    pub loaded: Loaded,
    /// Finds the route.
    pub router: Router,
    /// The routes, by the router's index.
    pub routes: Box<[Route]>,
    /// What holds for requests that no route takes: the server's filters and the metrics of `_none`.
    pub unmatched: Route,
    /// The pools, by name.
    pub pools: HashMap<String, Arc<Pool>>,
    /// What a client may send, and how slowly.
    pub rules: Rules,
    /// Where the access log goes.
    pub access_log: Arc<AccessLog>,
    /// The classes of devices, where something asks for them.
    devices: Option<Arc<Devices>>,
    trusted: Box<[ipnet::IpNet]>,
    /// Request headers that only the gateway may send to an upstream: what `claim_headers` name.
    identity_headers: Box<[HeaderName]>,
    /// The filters, by name, or by `route/place` where they stand inline.
    filters: HashMap<String, Built>,
}

/// A filter with the configuration that it was built from.
#[derive(Clone)]
struct Built {
    entry: FilterEntry,
    filter: Arc<dyn Filter>,
}

/// A compiled route.
pub struct Route {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// The server's filters and its own.
    pub chain: Chain,
    /// What becomes of its requests.
    pub action: Action,
    /// Its metrics.
    pub metrics: Arc<RouteMetrics>,
    /// The most bytes of a request body.
    pub body_limit: u64,
    /// All attempts together.
    pub timeout: Option<Duration>,
    /// What the pool is sent instead of the path.
    pub rewrite: Option<PathRewrite>,
}

/// What becomes of a route's requests.
pub enum Action {
    /// A pool answers.
    Pool(Arc<Pool>),
    /// The client is sent elsewhere.
    Redirect(Template, StatusCode),
    /// A fixed answer.
    Respond(Reply),
    /// No route took it.
    Nothing,
}

/// A compiled rewrite.
pub enum PathRewrite {
    /// So many bytes off the front.
    Strip(usize),
    /// Another path.
    Template(Template),
}

impl Route {
    /// Tells filters which route the request took.
    pub fn introduce(&self, index: usize, facts: &mut Facts) {
        facts.route = self.name.clone();
        facts.route_index = index;
        facts.upstream = match &self.action {
            Action::Pool(pool) => Some(pool.name.clone()),
            _ => None,
        };
    }
}

/// What filters may ask of the configuration around them.
struct FromConfig<'c> {
    documents: Option<&'c Documents>,
    loaded: &'c Loaded,
    upstreams: Vec<Arc<str>>,
    routes: Vec<Arc<str>>,
}

impl Outside for FromConfig<'_> {
    fn read(&self, place: Place, path: &std::path::Path) -> Result<Vec<u8>, String> {
        let path = self.loaded.resolve_path(place, path);
        std::fs::read(&path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
    }
    fn secret(&self, secret: &Secret) -> Result<String, String> {
        self.loaded.secret(secret)
    }
    fn document(&self, url: &Url, wanted: Wanted) -> Arc<dyn RemoteDocument> {
        match self.documents {
            Some(documents) => documents.get(url, wanted),
            None => Arc::new(NoDocument),
        }
    }
    fn upstreams(&self) -> &[Arc<str>] {
        &self.upstreams
    }
    fn routes(&self) -> &[Arc<str>] {
        &self.routes
    }
}

/// Filters that stand in place: the route's name, empty for the server's, and where in its list.
fn inline(config: &model::Config) -> impl Iterator<Item = (&str, usize, &FilterEntry)> {
    let routes = config.routes.iter().map(|route| (route.name.as_str(), &route.filters));
    std::iter::once(("", &config.server.filters)).chain(routes).flat_map(|(owner, list)| {
        list.iter().enumerate().filter_map(move |(index, used)| match &used.value {
            FilterUse::Inline(entry) => Some((owner, index, entry)),
            FilterUse::Named(_) => None,
        })
    })
}

/// No name holds a slash, so no name is one of these.
fn inline_key(owner: &str, index: usize) -> String {
    format!("{owner}/{index}")
}

impl PathRewrite {
    /// The path that is sent for this normalised one.
    pub fn apply(&self, path: &str) -> String {
        match self {
            Self::Strip(length) => match path.get(*length..) {
                Some(rest) if rest.starts_with('/') => rest.to_owned(),
                Some(rest) => format!("/{rest}"),
                None => "/".to_owned(),
            },
            Self::Template(template) => template.expand(path),
        }
    }
}

impl Snapshot {
    /// Compiles a checked configuration. What fails here is outside of it: a log that cannot be opened.
    ///
    /// Without `documents` nothing is ever fetched, such as key sets.
    pub fn compile(loaded: Loaded, previous: Option<&Self>, metrics: &Metrics, documents: Option<&Documents>) -> Result<Self, String> {
        let config = &loaded.config;
        let access_log = open_log(&loaded, previous, metrics)?;
        let outside = FromConfig {
            documents,
            loaded: &loaded,
            upstreams: config.upstreams.keys().map(|name| name.as_str().into()).collect(),
            routes: config.routes.iter().map(|route| route.name.as_str().into()).collect(),
        };
        let build = |key: &str, name: &str, entry: &FilterEntry| {
            let kept = previous.and_then(|previous| previous.filters.get(key)).filter(|built| built.entry.config == entry.config);
            let with = Build { name, metrics: &metrics.filters, outside: &outside, previous: kept.map(|built| &built.filter) };
            let filter = entry.config.options().build(&with).map_err(|why| format!("the filter `{name}`: {why}"))?;
            Ok::<_, String>(Built { entry: entry.clone(), filter })
        };
        let mut filters: HashMap<String, Built> = HashMap::new();
        for (name, entry) in &config.filters {
            filters.insert(name.clone(), build(name, name, entry)?);
        }
        for (owner, index, entry) in inline(config) {
            let key = inline_key(owner, index);
            filters.insert(key.clone(), build(&key, entry.config.kind(), entry)?);
        }
        let pools: HashMap<String, Arc<Pool>> = config
            .upstreams
            .iter()
            .map(|(name, upstream)| {
                let kept = previous.and_then(|previous| previous.pools.get(name)).filter(|pool| pool.is(upstream));
                (name.clone(), kept.cloned().unwrap_or_else(|| Arc::new(Pool::new(name, upstream, metrics))))
            })
            .collect();
        let link = |owner: &str, index: usize, used: &FilterUse| {
            let (key, name) = match used {
                FilterUse::Named(name) => (name.clone(), name.as_str()),
                FilterUse::Inline(entry) => (inline_key(owner, index), entry.config.kind()),
            };
            let built = filters.get(&key).ok_or_else(|| format!("the filter `{key}` is lost"))?;
            Ok(Link { name: name.into(), kind: built.entry.config.kind(), mode: built.entry.mode, filter: built.filter.clone() })
        };
        let server: Vec<Link> =
            config.server.filters.iter().enumerate().map(|(index, used)| link("", index, used)).collect::<Result<_, String>>()?;
        let limits = config.server.limits;
        let compile = |route: &model::Route| -> Result<Route, String> {
            let mut links = server.clone();
            for (index, used) in route.filters.iter().enumerate() {
                links.push(link(&route.name, index, used)?);
            }
            let pattern = Pattern::parse(&route.path)?;
            Ok(Route {
                name: route.name.as_str().into(),
                chain: Chain::new(links),
                action: action(route, &pattern, &pools)?,
                metrics: metrics.route(&route.name),
                body_limit: route.limits.map_or(limits.body.0, |limits| limits.body.0),
                timeout: route.timeout.map(|timeout| timeout.0),
                rewrite: match route.rewrite.as_ref().map(|rewrite| &rewrite.value) {
                    None => None,
                    Some(Rewrite::StripPrefix(prefix)) => Some(PathRewrite::Strip(prefix.trim_end_matches('/').len())),
                    Some(Rewrite::Path(template)) => Some(PathRewrite::Template(Template::parse(template, &pattern)?)),
                },
            })
        };
        let routes = config.routes.iter().map(|route| compile(route)).collect::<Result<Box<[Route]>, String>>()?;
        let entries: Vec<Entry<'_>> = config.routes.iter().map(|route| entry(route)).collect();
        Ok(Self {
            router: Router::build(&entries),
            routes,
            unmatched: Route {
                name: UNMATCHED.into(),
                chain: Chain::new(server.clone()),
                action: Action::Nothing,
                metrics: metrics.route(UNMATCHED),
                body_limit: limits.body.0,
                timeout: None,
                rewrite: None,
            },
            pools,
            rules: Rules {
                head: HeadLimits { bytes: limits.headers.0 as usize, lines: limits.header_count as usize, target: limits.uri.0 as usize },
                keepalive: config.server.timeouts.keepalive.0,
                header_timeout: config.server.timeouts.header.0,
                body_timeout: config.server.timeouts.body.0,
                write_timeout: config.server.timeouts.write.0,
            },
            trusted: config.server.trusted_proxies.iter().map(|network| network.0).collect(),
            identity_headers: filters.values().flat_map(|built| built.entry.config.options().identity_headers()).collect(),
            devices: devices(config)?,
            access_log,
            filters,
            loaded,
        })
    }

    /// Every circuit that was ever asked for, with the filter's name.
    pub fn circuits(&self) -> impl Iterator<Item = (&str, CircuitStatus)> {
        self.filters
            .iter()
            .flat_map(|(name, built)| built.filter.inspect().circuits.into_iter().map(move |circuit| (name.as_str(), circuit)))
    }

    /// Holds a filter's circuit before an upstream open or closed, or lets it go; whether there is such a circuit.
    pub fn force(&self, filter: &str, upstream: &str, forced: Option<Forced>) -> bool {
        self.filters.get(filter).is_some_and(|built| built.filter.force_circuit(upstream, forced))
    }

    /// Learns what the request's head says of the client, where something asks for it.
    pub fn recognise(&self, head: &RequestHeader, facts: &mut Facts) {
        if let Some(devices) = &self.devices {
            facts.device = devices.classes().get(devices.classify(&head.headers)).cloned();
        }
    }

    /// Request headers that only the gateway may send to an upstream.
    pub fn identity_headers(&self) -> &[HeaderName] {
        &self.identity_headers
    }

    /// What takes a request: a preflight belongs to the route that it asks about, where a filter of that one answers it.
    pub fn find(&self, host: &str, path: &str, head: &RequestHeader) -> Found<'_> {
        if let Some(method) = asked_method(head)
            && let found @ Found::Route(index) = self.router.find(host, path, &method)
            && self.routes[index].chain.links().iter().any(|link| link.mode == Mode::Enforce && link.filter.answers_preflight())
        {
            return found;
        }
        self.router.find(host, path, &head.method)
    }

    /// The filters that verify with a key set from elsewhere, by name, with the age of their keys.
    pub fn key_ages(&self) -> BTreeMap<&str, Duration> {
        let mut ages = BTreeMap::new();
        for (key, built) in &self.filters {
            if let Some(age) = built.filter.inspect().key_age {
                // Filters that stand in place share the name of their kind; the oldest keys speak for them.
                let name = if key.contains('/') { built.entry.config.kind() } else { key.as_str() };
                let oldest = ages.entry(name).or_insert(age);
                *oldest = age.max(*oldest);
            }
        }
        ages
    }

    /// The route of this index; without one, what holds for requests that no route takes.
    pub fn route(&self, index: Option<usize>) -> &Route {
        index.map_or(&self.unmatched, |index| &self.routes[index])
    }

    /// Whether this address may say who its client is.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// The shortest deadline that the watchdog has to keep.
    pub fn shortest_wait(&self) -> Duration {
        let pools = self.pools.values().flat_map(|pool| {
            let timeouts = pool.timeouts;
            let first_byte = match timeouts.first_byte {
                model::FirstByte::Fixed(timeout) => timeout.0,
                model::FirstByte::Adaptive(bounds) => bounds.min.0,
            };
            [Some(first_byte), Some(timeouts.between_bytes.0), timeouts.total.map(|total| total.0)]
        });
        let routes = self.routes.iter().map(|route| route.timeout);
        pools.chain(routes).flatten().min().unwrap_or(Duration::from_secs(15))
    }
}

/// The table of devices: the configuration's or the built-in one, where a filter or a pool asks for the class.
fn devices(config: &model::Config) -> Result<Option<Arc<Devices>>, String> {
    let named = config.filters.values().map(|entry| &entry.value);
    let filters = named.chain(inline(config).map(|(_, _, entry)| entry)).flat_map(|entry| entry.config.options().selectors());
    let hashes = config.upstreams.values().filter_map(|upstream| match &upstream.balance {
        model::Balance::ConsistentHash(selector) => Some(selector),
        _ => None,
    });
    if config.devices.is_none() && !filters.chain(hashes).any(|selector| selector.value == Selector::Device) {
        return Ok(None);
    }
    match &config.devices {
        Some(table) => Devices::new(table).map(|devices| Some(Arc::new(devices))),
        None => Ok(Some(Devices::builtin().clone())),
    }
}

fn open_log(loaded: &Loaded, previous: Option<&Snapshot>, metrics: &Metrics) -> Result<Arc<AccessLog>, String> {
    let config = &loaded.config.telemetry.access_log;
    if let Some(previous) = previous.filter(|previous| previous.loaded.config.telemetry.access_log == *config) {
        // The same file under the same name may be another one since it was rotated.
        previous.access_log.reopen().map_err(|error| format!("the access log cannot be opened again: {error}"))?;
        return Ok(previous.access_log.clone());
    }
    let target = match config {
        LogConfig::Off => return Ok(Arc::new(AccessLog::off())),
        LogConfig::On { to: LogTarget::Stdout, .. } => Target::Stdout,
        LogConfig::On { to: LogTarget::File(path), .. } => Target::File(loaded.resolve_path(path.place, path)),
    };
    AccessLog::start(target, metrics.log_dropped()).map(Arc::new).map_err(|error| format!("the access log cannot be opened: {error}"))
}

fn action(route: &model::Route, pattern: &Pattern, pools: &HashMap<String, Arc<Pool>>) -> Result<Action, String> {
    if let Some(name) = &route.upstream {
        return pools.get(&name.value).cloned().map(Action::Pool).ok_or_else(|| format!("the pool `{}` is lost", name.value));
    }
    if let Some(redirect) = &route.redirect {
        let status = StatusCode::from_u16(*redirect.status).map_err(|error| error.to_string())?;
        return Ok(Action::Redirect(Template::parse(&redirect.to, pattern)?, status));
    }
    let Some(respond) = &route.respond else { return Err(format!("the route `{}` leads nowhere", route.name.value)) };
    respond.reply().map(Action::Respond)
}

fn entry(route: &model::Route) -> Entry<'_> {
    let methods =
        route.methods.as_ref().map(|methods| methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok()).collect());
    Entry { host: route.host.as_ref().map(|host| host.as_str()), path: &route.path, methods }
}
