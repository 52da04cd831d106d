//! What operators are told of a running gateway, and what they hold it in.

use std::time::{Duration, Instant};

use frontgate_filters::filter::inspect::Forced;

use super::Gateway;
use crate::snapshot::Snapshot;
use crate::status::{
    CanaryStatus, CircuitStatus, Force, Health, KeySetStatus, LimitedKey, LimitsStatus, SourceState, Status, UpstreamStatus,
};
use crate::telemetry::{VersionCounts, own_log};

impl Gateway {
    /// The state of everything the gateway depends on, for operators.
    pub(crate) fn status(&self) -> Status {
        let now = Instant::now();
        let snapshot = self.snapshot();
        let circuits = self.circuits(&snapshot, now);
        let key_sets = snapshot.key_ages().into_iter();
        let down = self.down();
        let down = down.as_ref().map(|name| format!("the required upstream `{name}` has no endpoint that takes requests"));
        let degraded = self.troubles(&snapshot, &circuits);
        Status {
            status: match (&down, degraded.is_empty()) {
                _ if self.is_draining() => Health::Draining,
                (Some(_), _) => Health::Down,
                (None, false) => Health::Degraded,
                (None, true) => Health::Ok,
            },
            reasons: down.into_iter().chain(degraded).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: snapshot.loaded.hash.clone(),
            in_force: Some(self.in_force()),
            log_level: own_log::held(now),
            requests_in_flight: self.requests(),
            log_lines_dropped: self.metrics.log_dropped().get(),
            overload: self.overload_status(now),
            upstreams: snapshot
                .pools
                .iter()
                .map(|(name, pool)| {
                    let discovery = snapshot.keepers.get(name).map(|keeper| keeper.status(now));
                    (name.clone(), UpstreamStatus { discovery, ..pool.status(now) })
                })
                .collect(),
            canaries: self.canaries(&snapshot),
            circuits,
            key_sets: key_sets.map(|(filter, age)| (filter.to_owned(), KeySetStatus { age_seconds: age.as_secs() })).collect(),
            sagas: self.sagas_status(),
        }
    }

    /// The circuits that were ever asked, by filter and upstream.
    pub(super) fn circuits(&self, snapshot: &Snapshot, now: Instant) -> Vec<CircuitStatus> {
        let mut circuits: Vec<CircuitStatus> = snapshot
            .circuits()
            .map(|(filter, status)| CircuitStatus {
                filter: filter.to_owned(),
                upstream: status.upstream.to_string(),
                state: status.state.into(),
                requests: status.requests,
                failures: status.failures,
                slow: status.slow,
                probes: status.probes,
                open_for_ms: status.left.map(|left| left.as_millis() as u64),
                forced: status.forced.map(Force::from),
                forced_for_ms: self.held_for(filter, &status.upstream, now).map(|left| left.as_millis() as u64),
            })
            .collect();
        circuits.sort_unstable_by(|a, b| (&a.filter, &a.upstream).cmp(&(&b.filter, &b.upstream)));
        circuits
    }

    /// The versions that canaries choose, also those that nobody was given yet.
    fn canaries(&self, snapshot: &Snapshot) -> Vec<CanaryStatus> {
        let routes = snapshot.loaded.config.routes.iter().filter(|route| !route.canary.is_empty());
        let versions = routes.flat_map(|route| {
            let told = |version: &str, upstreams: Vec<String>, share: Option<String>| {
                let VersionCounts { answered, failed, spilled } = self.metrics.version(&route.name, version);
                CanaryStatus { route: route.name.value.clone(), version: version.to_owned(), upstreams, share, answered, failed, spilled }
            };
            let own = || route.target.upstreams().map(|upstream| upstream.value.clone()).collect::<Vec<_>>();
            let written = route.canary.iter().map(move |variant| {
                let upstreams = variant.upstream.as_ref().map_or_else(own, |upstream| vec![upstream.value.clone()]);
                told(&variant.version, upstreams, variant.share.as_ref().map(|share| share.value.to_string()))
            });
            written.chain(std::iter::once_with(move || told("stable", own(), None)))
        });
        versions.collect()
    }

    /// What is not as it should be while the gateway serves, a sentence each.
    fn troubles(&self, snapshot: &Snapshot, circuits: &[CircuitStatus]) -> Vec<String> {
        let forced = circuits.iter().filter_map(|circuit| {
            let force = circuit.forced?.label();
            Some(format!("an operator holds the circuit of filter `{}` and upstream `{}` {force}", circuit.filter, circuit.upstream))
        });
        let keyless = snapshot.keyless().into_iter().map(|(filter, why)| format!("the filter `{filter}` refuses every token: {why}"));
        let refused = self.refused.lock().clone().map(|why| format!("the last reload was refused: {why}"));
        let in_force = self.in_force();
        let rolled_back = in_force.on_disk_in_words().zip(in_force.who).map(|(on_disk, who)| {
            format!("configuration {} is in force since the operator {who} rolled back to it: {on_disk}", snapshot.loaded.hash)
        });
        let renewals = snapshot.renewals().filter_map(|(whose, name, why)| {
            Some(format!("changed certificates of {whose} `{name}` were refused, and the former ones stay in use: {}", why?))
        });
        let now = Instant::now();
        let away = snapshot.pools.values().filter(|pool| !pool.is_required() && !pool.is_alive(now));
        let mut away: Vec<_> = away.map(|pool| format!("the upstream `{}` has no endpoint that takes requests", pool.name)).collect();
        away.sort_unstable();
        let log = snapshot.access_log.trouble().map(|why| format!("the access log cannot be written: {why}"));
        let keyless = keyless.filter(|_| self.documents.has_settled());
        let by_hand = snapshot.pools.iter().filter_map(|(name, pool)| {
            let (drained, weighed) = pool.held(Instant::now());
            let said = match (drained, weighed) {
                (0, 0) => return None,
                (drained, 0) => format!("has taken out {drained}"),
                (0, weighed) => format!("has set the weight of {weighed}"),
                (drained, weighed) => format!("has taken out {drained} and set the weight of {weighed}"),
            };
            Some(format!("an operator {said} of the endpoints of upstream `{name}`"))
        });
        self.overload_troubles()
            .chain(away)
            .chain(forced)
            .chain(by_hand)
            .chain(keyless)
            .chain(rolled_back)
            .chain(refused)
            .chain(renewals)
            .chain(log)
            .chain(self.saga_troubles())
            .chain(self.sources(snapshot))
            .chain(self.lately.failing(&self.metrics))
            .chain(self.lately.lacking(&self.metrics))
            .chain(self.lately.open(circuits, now))
            .collect()
    }

    /// Which sources of endpoints are not to be had, or not to be believed, a sentence each.
    fn sources(&self, snapshot: &Snapshot) -> Vec<String> {
        let now = Instant::now();
        let all = snapshot.keepers.iter().flat_map(|(name, keeper)| keeper.status(now).sources.into_iter().map(move |told| (name, told)));
        let troubles = all.filter_map(|(name, told)| {
            let why = told.why.map(|why| format!(": {why}")).unwrap_or_default();
            let said = match told.state {
                SourceState::Current if told.endpoints == 0 => "names no endpoints".to_owned(),
                SourceState::Current => return None,
                SourceState::Doubtful => format!("no longer names {} of its endpoints, which stay in doubt", told.held),
                SourceState::Away => format!("cannot be asked, its last endpoints stay{why}"),
                SourceState::Invalid => format!("says what cannot be used, its last endpoints stay{why}"),
                SourceState::Warm => format!("has not answered yet, its endpoints are those kept on disk{why}"),
                SourceState::Waiting => format!("has named no endpoint yet{why}"),
            };
            Some(format!("upstream `{name}`: {} {said}", told.source))
        });
        troubles.collect()
    }

    /// Lets go of the endpoints of an upstream that its sources no longer name; how many, where there is such an upstream with sources.
    pub(crate) fn accept(&self, upstream: &str) -> Option<usize> {
        Some(self.snapshot().keepers.get(upstream)?.accept())
    }

    /// Whom the limit of this name refused of late, or all limits; nothing where there is no such limit.
    pub(crate) fn limits(&self, filter: Option<&str>) -> Option<LimitsStatus> {
        let (snapshot, now) = (self.snapshot(), Instant::now());
        let mut known = filter.is_none();
        let mut keys = Vec::new();
        for (name, refused) in snapshot.refused().filter(|(name, _)| filter.is_none_or(|filter| filter == *name)) {
            known = true;
            keys.extend(refused.into_iter().map(|key| LimitedKey {
                filter: name.to_owned(),
                tier: key.tier.as_deref().map(str::to_owned),
                key: snapshot.pseudonyms.of_parts(&key.key).into_owned(),
                refused: key.refused,
                last_ms_ago: now.saturating_duration_since(key.last).as_millis() as u64,
            }));
        }
        keys.sort_by(|a: &LimitedKey, b| (b.refused, &a.filter, &a.key).cmp(&(a.refused, &b.filter, &b.key)));
        known.then_some(LimitsStatus { keys })
    }

    /// Holds a circuit, for ever or for a time, or lets it go; whether there is such a circuit.
    pub(crate) fn force(&self, filter: &str, upstream: &str, forced: Option<Forced>, time: Option<Duration>) -> bool {
        if !self.snapshot().force(filter, upstream, forced) {
            return false;
        }
        let circuit = (filter.to_owned(), upstream.to_owned());
        let mut held = self.held.lock();
        match forced.and(time) {
            Some(time) => held.insert(circuit, Instant::now() + time),
            None => held.remove(&circuit),
        };
        true
    }

    /// For how much longer an operator holds a circuit, where that has an end.
    fn held_for(&self, filter: &str, upstream: &str, now: Instant) -> Option<Duration> {
        let until = *self.held.lock().get(&(filter.to_owned(), upstream.to_owned()))?;
        Some(until.saturating_duration_since(now))
    }

    /// Lets go what was held for a time that is over.
    pub(super) fn let_go(&self, snapshot: &Snapshot, now: Instant) {
        self.held.lock().retain(|(filter, upstream), until| {
            let is_over = *until <= now;
            if is_over && snapshot.force(filter, upstream, None) {
                log::warn!(
                    "the circuit of filter `{filter}` and upstream `{upstream}` decides by itself again: the time it was held is over"
                );
            }
            !is_over
        });
    }

    /// Says it, once, where a filter has no keys any more, and where it has some again.
    pub(super) fn watch_keys(&self, snapshot: &Snapshot) {
        // Before the first answer of every issuer nothing is missing yet.
        if !self.documents.has_settled() {
            return;
        }
        let now = snapshot.keyless();
        let mut told = self.keyless.lock();
        for (filter, why) in now.iter().filter(|(filter, _)| !told.contains(**filter)) {
            log::error!("the filter `{filter}` refuses every token: {why}");
        }
        for filter in told.iter().filter(|filter| !now.contains_key(filter.as_str())) {
            log::info!("the filter `{filter}` has keys again");
        }
        *told = now.into_keys().map(str::to_owned).collect();
    }
}
