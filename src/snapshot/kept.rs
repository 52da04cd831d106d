//! What a reload keeps of the state before it: the one place that says which parts of a configuration have to be the same for that.
//!
//! Compiling compares these parts with those of the snapshot in force. Whoever wants to know beforehand what a reload would lose compares
//! marks of the same parts, so that neither side needs to see the other's configuration.

use std::collections::BTreeMap;

use frontgate_filters::registry::FilterEntry;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::inline::{inline, inline_key};
use super::route::entry;
use crate::config::model::{Config, FirstByte, Target};
use crate::config::show;
use crate::door::lasting;
use crate::router::{Entry, Router};
use crate::upstream::{pool, tls};

/// Of a filter: its kind, and its options with every default, so that it is no change to write one out. Its mode is the chain's.
fn options(entry: &FilterEntry) -> (&'static str, Value) {
    (entry.config.kind(), show::options(entry))
}

/// Whether a filter keeps its state.
pub(super) fn keeps(before: &FilterEntry, now: &FilterEntry) -> bool {
    before.config == now.config || options(before) == options(now)
}

/// The upstreams of whose writers something is remembered, by name.
pub(super) fn pinned(config: &Config) -> impl Iterator<Item = &String> {
    config.routes.iter().filter_map(|route| match &route.target {
        Target::Apart(split) if split.after_write.is_some() => Some(&split.write.value),
        _ => None,
    })
}

/// What belongs to the process, so that a reload that changes it is refused.
pub(crate) fn fixed(config: &Config) -> [(&'static str, Value); 3] {
    let server = &config.server;
    [("server.admin", json!(server.admin)), ("server.status", json!(server.status)), ("server.threads", json!(server.threads))]
}

/// Gives marks: equal ones for equal values, from which nobody finds the value.
pub(crate) trait Marks {
    /// The mark of a value.
    fn mark(&self, value: &impl Serialize) -> String;
}

/// What a gateway learns under a configuration, each with the mark of what has to stay the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptState {
    /// By the name in the configuration; those that are written in place by route and place, `route/0`.
    pub filters: BTreeMap<String, KeptFilter>,
    /// By name.
    pub upstreams: BTreeMap<String, KeptUpstream>,
    /// The upstreams of whose writers something is remembered.
    pub pinned: Vec<String>,
    /// The marks of what no reload changes.
    pub fixed: Vec<(String, String)>,
    /// Routes that are tried in their order, by name.
    pub ordered: Vec<Vec<String>>,
    /// The marks of what the connections of listeners depend on, by address.
    #[serde(default)]
    pub listeners: BTreeMap<String, String>,
    /// The routes that sagas begin on.
    #[serde(default)]
    pub sagas: Vec<String>,
}

/// What a filter learns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptFilter {
    /// Its kind.
    pub kind: String,
    /// The mark of its options.
    pub options: String,
    /// What it knows after a while, in words.
    pub state: Vec<String>,
    /// Whether it knows something of each upstream by itself.
    pub watches_upstreams: bool,
}

/// What is learnt of an upstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptUpstream {
    /// The mark of the files that its connections are made with, by name.
    pub connections: String,
    /// The mark of what the times are measured for that an adaptive timeout goes by, where it has one.
    pub measured: Option<String>,
    /// Whether its endpoints are probed.
    pub probed: bool,
    /// Those of its endpoints that are written.
    pub endpoints: Vec<String>,
}

/// What is learnt under a configuration.
pub(crate) fn state_of(config: &Config, marks: &impl Marks) -> KeptState {
    let named = config.filters.iter().map(|(name, entry)| (name.clone(), &entry.value));
    let in_place = inline(config).map(|(owner, index, entry)| (inline_key(owner, index), entry));
    let filter = |(key, entry): (String, &FilterEntry)| {
        let known = entry.config.options();
        let kept = KeptFilter {
            kind: entry.config.kind().to_owned(),
            options: marks.mark(&options(entry)),
            state: known.state().into_iter().map(str::to_owned).collect(),
            watches_upstreams: known.watches_upstreams(),
        };
        (key, kept)
    };
    let upstream = |name: &String, upstream: &crate::config::model::Upstream| {
        let measured = matches!(upstream.timeouts.first_byte, FirstByte::Adaptive(_));
        let kept = KeptUpstream {
            connections: marks.mark(&tls::named(upstream)),
            measured: measured.then(|| marks.mark(&pool::measures(upstream))),
            probed: upstream.health.is_some(),
            endpoints: upstream.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect(),
        };
        (name.clone(), kept)
    };
    KeptState {
        filters: named.chain(in_place).map(filter).collect(),
        upstreams: config.upstreams.iter().map(|(name, one)| upstream(name, one)).collect(),
        pinned: pinned(config).cloned().collect(),
        fixed: fixed(config).iter().map(|(name, value)| ((*name).to_owned(), marks.mark(value))).collect(),
        ordered: ordered(config),
        sagas: config.routes.iter().filter(|route| route.target.saga().is_some()).map(|route| route.name.value.clone()).collect(),
        listeners: config.server.listeners.iter().map(|one| (one.address.to_string(), marks.mark(&lasting(one)))).collect(),
    }
}

/// Routes of one host and path that are tried one after the other.
fn ordered(config: &Config) -> Vec<Vec<String>> {
    let entries: Vec<Entry<'_>> = config.routes.iter().map(|route| entry(route)).collect();
    let router = Router::build(&entries);
    let groups = router.shared().map(|group| {
        let mut group = group;
        group.sort_unstable();
        group.dedup();
        group.into_iter().map(|index| config.routes[index].name.value.clone()).collect()
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use frontgate_filters::filter::inspect::Forced;

    use crate::changes::{Key, Portrait, difference};
    use crate::config::{Loaded, load_text};
    use crate::snapshot::Snapshot;
    use crate::telemetry::Metrics;

    const BEFORE: &str = "version: 1
server: {listeners: [{address: 127.0.0.1:0}]}
upstreams:
  main: {endpoints: [127.0.0.1:1], timeouts: {first_byte: adaptive}}
  other: {endpoints: [127.0.0.1:2]}
filters:
  few: {rate_limit: {key: client_ip, rate: 1/s}}
  guard: {circuit_breaker: {open_for: 5s}}
routes:
  - {name: a, path: /a, upstream: main, filters: [few, {rate_limit: {key: client_ip, rate: 2/s}}, guard]}
  - {name: b, path: /b, upstream: other}
telemetry: {access_log: off}
";

    fn loaded(text: &str) -> Loaded {
        load_text("a.yaml", text).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    #[test]
    fn what_is_told_to_be_lost_is_what_a_reload_does_not_keep() {
        for (old, new) in [
            ("x", "x"),
            ("rate: 1/s", "rate: 3/s"),
            ("rate: 2/s", "rate: 3/s"),
            ("key: client_ip, rate: 1/s", "key: client_ip, rate: 1/s, mode: observe"),
            ("key: client_ip, rate: 1/s", "key: client_ip, rate: 1/s, burst: 1, on_missing_key: client_ip"),
            ("key: client_ip, rate: 1/s", "key: client_ip, rate: 1/s, burst: 2"),
            ("filters: [few, ", "filters: ["),
            ("open_for: 5s", "open_for: 6s"),
            ("127.0.0.1:1]", "127.0.0.1:3]"),
            ("127.0.0.1:1]", "127.0.0.1:1, 127.0.0.1:3], slow_start: 1s"),
            ("  few: {", "  few: {"),
            ("name: a, path: /a", "name: z, path: /a"),
        ] {
            let text = BEFORE.replace(old, new);
            let key = Key::fresh();
            let told = difference(&Portrait::of(&loaded(BEFORE), &key), &Portrait::of(&loaded(&text), &key)).lost;
            let (metrics, now) = (Metrics::new(), Instant::now());
            let before = Snapshot::compile(loaded(BEFORE), None, &metrics, None).expect("it compiles");
            before.force("guard", "main", Some(Forced::Open));
            let endpoint = before.pools["main"].choose(None, None, &[], now).expect("an endpoint").endpoint_ref();

            let after = Snapshot::compile(loaded(&text), Some(&before), &metrics, None).expect("it compiles");
            after.entered_force();

            let is_told = |name: &str| told.iter().any(|loss| loss.name == name);
            for (filter, shown) in [("few", "few (rate_limit)"), ("a/1", "a/1 (rate_limit)")] {
                let kept = after.filters.get(filter).is_some_and(|built| Arc::ptr_eq(&built.filter, &before.filters[filter].filter));
                assert_eq!(kept, !is_told(shown), "{old} → {new}: {filter}");
            }
            let circuit = after.circuits().any(|(filter, circuit)| filter == "guard" && circuit.forced.is_some());
            assert_eq!(circuit, !is_told("guard (circuit_breaker)"), "{old} → {new}");
            assert_eq!(after.pools["main"].has(&endpoint), !is_told("main"), "{old} → {new}");
        }
    }
}
