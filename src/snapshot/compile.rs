//! From a checked configuration to a snapshot, taking over from the one before whatever did not change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use frontgate_filters::chain::{Chain, Link};
use frontgate_filters::device::Devices;
use frontgate_filters::filter::build::Build;
use frontgate_filters::filter::pseudonym::Pseudonyms;
use frontgate_filters::registry::FilterEntry;
use frontgate_filters::words::matching::Matcher;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::{Problem, Spanned};
use http::HeaderName;

use super::certificate::CertificateHeaders;
use super::inline::{inline, inline_key};
use super::kept;
use super::outside::FromConfig;
use super::route::{Route, entry};
use super::{Built, Snapshot, Token};
use crate::action::{self, Pins, Upstreams};
use crate::compose::call::RouteCalls;
use crate::config::Loaded;
use crate::config::model::{self, AccessLog as LogConfig, FilterUse, LogTarget};
use crate::discovery::dns::Dns;
use crate::discovery::kept::{Kept, read as kept_on_disk};
use crate::discovery::{self, Keeper};
use crate::door::Rules;
use crate::door::tls;
use crate::door::wire::HeadLimits;
use crate::files;
use crate::mirror::Mirror;
use crate::router::{Entry, Pattern, Router, UNMATCHED};
use crate::telemetry::{AccessLog, Metrics, Target};
use crate::tracing::Tracing;
use crate::upstream::tls::Tls;
use crate::upstream::{Documents, Found, Pool};

impl Snapshot {
    /// Compiles a checked configuration. What fails here is outside of it: a log that cannot be opened.
    ///
    /// Without `documents` nothing is ever fetched, such as key sets, no name is resolved, and no listener gets its certificates: what is compiled
    /// serves nobody.
    pub(crate) fn compile(
        loaded: Loaded,
        previous: Option<&Self>,
        metrics: &Metrics,
        documents: Option<&Documents>,
    ) -> Result<Self, String> {
        let config = &loaded.config;
        let access_log = open_log(&loaded, previous, metrics)?;
        let before = previous.and_then(|previous| previous.tracing.as_deref());
        let tracing = Tracing::compile(config, before, metrics, documents)?;
        let certificates = match documents {
            Some(_) => certificates(&loaded)?,
            None => config.server.listeners.iter().map(|_| None).collect(),
        };
        let outside = FromConfig {
            documents,
            loaded: &loaded,
            upstreams: config.upstreams.keys().map(|name| name.as_str().into()).collect(),
            routes: config.routes.iter().map(|route| route.name.as_str().into()).collect(),
        };
        let build = |key: &str, name: &str, entry: &FilterEntry| {
            let kept = previous.and_then(|previous| previous.filters.get(key));
            let kept = kept.filter(|built| kept::keeps(&built.entry, entry));
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
        let keepers = keepers(&loaded, previous, metrics, documents.map(Documents::dns))?;
        let pool = |(name, upstream): (&String, &Spanned<model::Upstream>)| {
            let before = previous.and_then(|previous| previous.pools.get(name));
            let tls = before.and_then(|pool| pool.tls());
            let tls = Tls::read(upstream, &|path| loaded.file(path), tls.as_ref()).map_err(|problems| told(&loaded, &problems))?;
            let kept = before.filter(|pool| pool.has_settings(upstream, tls.as_ref())).cloned();
            let pool = kept.unwrap_or_else(|| {
                let written = Found::written(&upstream.endpoints);
                let endpoints = keepers.get(name).map_or_else(|| written.clone(), |keeper: &Arc<Keeper>| keeper.endpoints(&written));
                Arc::new(Pool::with(name, upstream, &endpoints, tls, metrics, before.map(|pool| &**pool)))
            });
            Ok((name.clone(), pool))
        };
        let pools = config.upstreams.iter().map(pool).collect::<Result<Upstreams, String>>()?;
        let link = |owner: &str, index: usize, used: &FilterUse| {
            let (key, name) = match used {
                FilterUse::Named(name) => (name.clone(), name.as_str()),
                FilterUse::Inline(entry) => (inline_key(owner, index), entry.config.kind()),
            };
            let built = filters.get(&key).ok_or_else(|| format!("there is no filter `{key}`"))?;
            Ok(Link { name: name.into(), kind: built.entry.config.kind(), mode: built.entry.mode, filter: built.filter.clone() })
        };
        let server: Vec<Link> =
            config.server.filters.iter().enumerate().map(|(index, used)| link("", index, used)).collect::<Result<_, String>>()?;
        let limits = config.server.limits;
        let credentials: Vec<HeaderName> = filters.values().flat_map(|built| built.entry.config.options().credentials()).collect();
        let certificate_headers = CertificateHeaders::new(config);
        let of_filters = filters.values().flat_map(|built| built.entry.config.options().identity_headers());
        let identity_headers: Box<[HeaderName]> = of_filters.chain(certificate_headers.names()).collect();
        let pins = pins(config, previous);
        #[cfg(feature = "saga")]
        let sagas = previous.map(|previous| previous.sagas.clone()).unwrap_or_default();
        #[cfg(feature = "graphql")]
        let graph_before = |route: &str| previous?.routes.iter().find(|known| *known.name == *route)?.action.graph().cloned();
        let with = action::With {
            upstreams: &pools,
            loaded: &loaded,
            metrics,
            identity_headers: &identity_headers,
            pins: &pins,
            #[cfg(feature = "graphql")]
            graph_before: &graph_before,
            #[cfg(feature = "saga")]
            sagas: &sagas,
        };
        let compile = |route: &model::Route| -> Result<Route, String> {
            let mut links = server.clone();
            for (index, used) in route.filters.iter().enumerate() {
                links.push(link(&route.name, index, used)?);
            }
            let entries = entries(config, route);
            let chooses_at = entries.iter().position(|entry| entry.config.options().depends_on_version()).unwrap_or(links.len());
            let pattern = Pattern::parse(&route.path)?;
            let counts = metrics.route(&route.name);
            let mirror = route.mirror.as_ref().map(|mirror| Mirror::compile(mirror, &credentials, &pools, counts.mirror())).transpose()?;
            if matches!(route.target, model::Target::Redirect(_)) {
                // Nothing that could fail is behind it.
                links.retain(|link| !link.filter.injects_faults());
            }
            let (chain, action) = (Chain::new(links), action::compile(route, &pattern, &with)?);
            let calls = action.composition().map(|composition| {
                let names = composition.names();
                let counted = counts.composed(&names);
                RouteCalls::new(&chain, names, counted, metrics.budget())
            });
            Ok(Route {
                name: route.name.as_str().into(),
                chain,
                when: route.when.as_ref().map(|when| when.compile()),
                varies_by: Box::default(),
                chooses_at,
                action,
                calls,
                mirror,
                metrics: counts,
                body_limit: route.limits.map_or(limits.body.0, |limits| limits.body.0),
                takes_calls: takes_calls(config, route),
                priority: route.priority,
                timeout: route.timeout.map(|timeout| timeout.0),
            })
        };
        let mut routes = config.routes.iter().map(|route| compile(route)).collect::<Result<Box<[Route]>, String>>()?;
        let entries: Vec<Entry<'_>> = config.routes.iter().map(|route| entry(route)).collect();
        let router = Router::build(&entries);
        vary(&router, &mut routes);
        let devices = devices(config, &routes)?;
        Ok(Self {
            router,
            routes,
            unmatched: Route {
                name: UNMATCHED.into(),
                chain: Chain::new(server.clone()),
                when: None,
                varies_by: Box::default(),
                chooses_at: server.len(),
                action: action::nothing(),
                calls: None,
                mirror: None,
                metrics: metrics.route(UNMATCHED),
                body_limit: limits.body.0,
                takes_calls: false,
                priority: model::Priority::High,
                timeout: None,
            },
            pools,
            keepers,
            rules: Rules {
                head: HeadLimits { bytes: limits.headers.0 as usize, lines: limits.header_count as usize, target: limits.uri.0 as usize },
                handshake_timeout: config.server.timeouts.handshake.0,
                keepalive: config.server.timeouts.keepalive.0,
                header_timeout: config.server.timeouts.header.0,
                body_timeout: config.server.timeouts.body.0,
                write_timeout: config.server.timeouts.write.0,
                tunnel: config.server.timeouts.tunnel.0,
                half_close: config.server.half_close,
                connections: limits.connections,
                connections_per_client: limits.connections_per_client,
                streams: limits.streams,
                max_age: config.server.timeouts.max_age.0,
                drain: config.server.drain.timeout.0,
            },
            trusted: config.server.trusted_proxies.iter().map(|network| network.0).collect(),
            clients_choose: config
                .routes
                .iter()
                .any(|route| route.canary_options.as_ref().is_some_and(|options| options.client_may_choose)),
            identity_headers,
            pins,
            #[cfg(feature = "saga")]
            sagas,
            certificate_headers,
            devices,
            token: token(&loaded)?,
            pseudonyms: pseudonyms(&loaded, previous)?,
            access_log,
            tracing,
            logged: match &loaded.config.telemetry.access_log {
                LogConfig::On { when, .. } => when.as_ref().map(|when| when.value.clone()),
                LogConfig::Off => None,
            },
            certificates,
            filters,
            loaded,
        })
    }
}

/// What keeps the endpoints of each upstream that has sources: the same as before where these are the same.
fn keepers(
    loaded: &Loaded,
    previous: Option<&Snapshot>,
    metrics: &Metrics,
    dns: Option<&Arc<Dns>>,
) -> Result<BTreeMap<String, Arc<Keeper>>, String> {
    let mut keepers = BTreeMap::new();
    for (name, upstream) in &loaded.config.upstreams {
        let parts = discovery::parts(upstream, loaded, dns)?;
        if parts.is_empty() {
            continue;
        }
        let before = previous.and_then(|previous| previous.keepers.get(name));
        let kept = before.filter(|keeper| keeper.asks(&parts)).cloned();
        let keeper = kept.unwrap_or_else(|| {
            let serving = previous.and_then(|previous| previous.pools.get(name)).map(|pool| pool.endpoints()).unwrap_or_default();
            let kept = if before.is_some() { Vec::new() } else { remembered(loaded, name) };
            Keeper::new(name, parts, before.map(|keeper| &**keeper), kept, serving, metrics.discovery(name))
        });
        keepers.insert(name.clone(), keeper);
    }
    Ok(keepers)
}

/// What is kept on disk of an upstream's endpoints, where something can be used.
fn remembered(loaded: &Loaded, upstream: &str) -> Vec<Kept> {
    let Some(folder) = loaded.state_dir() else { return Vec::new() };
    kept_on_disk(&folder, upstream, SystemTime::now()).unwrap_or_else(|why| {
        log::warn!("upstream `{upstream}`: the endpoints that were kept on disk are not used: {why}");
        Vec::new()
    })
}

/// Answers of routes that share host and path have to be told apart by whoever keeps them.
fn vary(router: &Router, routes: &mut [Route]) {
    for shared in router.shared() {
        let mut names: Vec<HeaderName> = Vec::new();
        for name in shared.iter().filter_map(|index| routes[*index].when.as_ref()).flat_map(Matcher::headers) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for index in shared {
            routes[index].varies_by = names.clone().into();
        }
    }
}

/// Whether a route's upstream may be spoken to in HTTP/2.
fn takes_calls(config: &model::Config, route: &model::Route) -> bool {
    route.upstreams().filter_map(|name| config.upstreams.get(name.as_str())).any(|upstream| !upstream.speaks_http1_alone())
}

/// Who has written lately, by the upstream, taken over from before.
fn pins(config: &model::Config, previous: Option<&Snapshot>) -> HashMap<String, Arc<Pins>> {
    let known = |name: &String| previous.and_then(|previous| previous.pins.get(name)).cloned().unwrap_or_default();
    kept::pinned(config).map(|name| (name.clone(), known(name))).collect()
}

/// The filters of a route in order, those of the server first.
fn entries<'c>(config: &'c model::Config, route: &'c model::Route) -> Vec<&'c FilterEntry> {
    let all = config.server.filters.iter().chain(&route.filters);
    let entries = all.map(|used| match &used.value {
        FilterUse::Named(name) => config.filters.get(name).map(|entry| &entry.value),
        FilterUse::Inline(entry) => Some(entry),
    });
    entries.flatten().collect()
}

/// The table of devices: the configuration's or the built-in one, where a filter, an upstream, a route, what it leads to, or the choice of the
/// log's lines asks for the class.
fn devices(config: &model::Config, routes: &[Route]) -> Result<Option<Arc<Devices>>, String> {
    let named = config.filters.values().map(|entry| &entry.value);
    let filters = named.chain(inline(config).map(|(_, _, entry)| entry)).flat_map(|entry| entry.config.options().selectors());
    let hashes = config.upstreams.values().filter_map(|upstream| match &upstream.balance {
        model::Balance::ConsistentHash(selector) => Some(selector),
        _ => None,
    });
    let whens = config.routes.iter().filter_map(|route| route.when.as_ref()).flat_map(|when| &when.facts).map(|fact| &fact.selector);
    let hashes = hashes.map(|selector| &selector.value);
    let read = filters.map(|selector| selector.value).chain(hashes).chain(config.routes.iter().flat_map(|route| route.selectors()));
    let is_read = read.chain(whens).any(|selector| *selector == Selector::Device);
    let is_referred_to = || {
        let compositions = routes.iter().filter_map(|route| route.action.composition());
        compositions.into_iter().any(|composition| composition.refers_to(&Selector::Device))
    };
    let is_logged_by = || matches!(&config.telemetry.access_log, LogConfig::On { when: Some(when), .. } if when.reads("device"));
    match &config.devices {
        Some(table) => Devices::new(table).map(|devices| Some(Arc::new(devices))),
        None if is_read || is_referred_to() || is_logged_by() => Ok(Some(Devices::builtin().clone())),
        None => Ok(None),
    }
}

/// Reads the certificates that the listeners name.
fn certificates(loaded: &Loaded) -> Result<Box<[Option<Arc<tls::Kept>>]>, String> {
    let read = |listener: &Spanned<model::Listener>| {
        let kept = tls::Kept::read(listener, &|path| loaded.file(path)).map_err(|problems| told(loaded, &problems))?;
        Ok::<_, String>(kept.map(Arc::new))
    };
    loaded.config.server.listeners.iter().map(read).collect()
}

/// What is wrong with files, a line each.
fn told(loaded: &Loaded, problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| format!("{}: {}", loaded.describe(problem.place), problem.message));
    lines.collect::<Vec<_>>().join("\n")
}

/// The operators' token as it is now.
fn token(loaded: &Loaded) -> Result<Option<Token>, String> {
    let Some(secret) = loaded.config.server.admin.as_ref().and_then(|admin| admin.token.as_ref()) else { return Ok(None) };
    let name = match secret {
        model::Secret::File(path) => path.display().to_string(),
        model::Secret::Env(name) => name.value.clone(),
    };
    Ok(Some(Token { name, value: loaded.secret(secret)? }))
}

/// Names under the configuration's key, else under one of this process. Under the same key they stay the same.
fn pseudonyms(loaded: &Loaded, previous: Option<&Snapshot>) -> Result<Arc<Pseudonyms>, String> {
    let Some(key) = &loaded.config.telemetry.hash_key else { return Ok(Pseudonyms::of_this_process()) };
    let names = Pseudonyms::keyed(loaded.secret(&key.value)?.as_bytes())?;
    let same = previous.map(|previous| &previous.pseudonyms).filter(|before| before.agrees_with(&names));
    Ok(same.cloned().unwrap_or_else(|| Arc::new(names)))
}

fn open_log(loaded: &Loaded, previous: Option<&Snapshot>, metrics: &Metrics) -> Result<Arc<AccessLog>, String> {
    let config = &loaded.config.telemetry.access_log;
    if let Some(previous) = previous.filter(|previous| goes_where(&previous.loaded.config.telemetry.access_log, config)) {
        // The same file under the same name may be another one since it was rotated.
        previous.access_log.reopen().map_err(|error| format!("the access log {} cannot be opened again: {error}", named(config)))?;
        return Ok(previous.access_log.clone());
    }
    let target = match config {
        LogConfig::Off => return Ok(Arc::new(AccessLog::off())),
        LogConfig::On { to: LogTarget::Stdout, .. } => Target::Stdout,
        LogConfig::On { to: LogTarget::File(path), .. } => Target::File(loaded.resolve_path(path.place, path)),
    };
    AccessLog::start(target, metrics.log_dropped())
        .map(Arc::new)
        .map_err(|error| format!("the access log {} cannot be opened: {}", named(config), files::words(&error)))
}

/// Whether lines go where they went before, whichever lines those are.
fn goes_where(before: &LogConfig, now: &LogConfig) -> bool {
    match (before, now) {
        (LogConfig::Off, LogConfig::Off) => true,
        (LogConfig::On { format, to, .. }, LogConfig::On { format: other, to: target, .. }) => (format, to) == (other, target),
        _ => false,
    }
}

/// Where the log goes, as it is written.
fn named(config: &LogConfig) -> String {
    match config {
        LogConfig::On { to: LogTarget::File(path), .. } => format!("`{}`", path.display()),
        LogConfig::On { .. } | LogConfig::Off => "on standard output".to_owned(),
    }
}
