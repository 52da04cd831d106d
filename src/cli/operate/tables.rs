//! What a running gateway tells, as tables for people.

use crate::changes::first;
use crate::cli::table::{Column, table};
use crate::config::model::UpstreamProtocol;
use crate::status::{CanaryStatus, CircuitStatus, DrillsStatus, HistoryStatus, InForce, LimitsStatus, Status, UpstreamStatus};
use crate::telemetry::EndpointState;

/// Upstreams and circuits, for people.
pub(super) fn upstreams(status: &Status) -> String {
    let circuits = circuits(&status.circuits);
    let adaptive: String = status.upstreams.iter().filter_map(|(name, upstream)| adaptive(name, upstream)).collect();
    [endpoints(status), sources(status), canaries(&status.canaries), circuits, adaptive]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Endpoints with their states.
pub(super) fn endpoints(status: &Status) -> String {
    let endpoints = status
        .upstreams
        .iter()
        .flat_map(|(name, upstream)| upstream.endpoints.iter().map(move |endpoint| (name, upstream.probed, endpoint)));
    let rows: Vec<_> = endpoints
        .map(|(name, probed, endpoint)| {
            let not_probed = if !probed && endpoint.state == EndpointState::Healthy { " (not probed)" } else { "" };
            let left = |left: Option<u64>| left.map(|left| format!(", {} left", span(left))).unwrap_or_default();
            let state_ends = if endpoint.state == EndpointState::Drained { endpoint.drained_for_ms } else { endpoint.ejected_for_ms };
            let by_hand = if endpoint.weighed_by_hand { " by hand" } else { "" };
            [
                name.clone(),
                endpoint.address.to_string(),
                endpoint.name.clone().unwrap_or_else(|| "-".to_owned()),
                format!("{}{not_probed}{}", endpoint.state.label(), left(state_ends)),
                format!("{}{by_hand}{}", endpoint.weight, left(endpoint.weighed_for_ms)),
                endpoint.in_flight.to_string(),
                endpoint.protocol.map_or("-", UpstreamProtocol::label).to_owned(),
                endpoint.version.clone().unwrap_or_else(|| "-".to_owned()),
                match (&endpoint.last_error, endpoint.last_error_ms_ago) {
                    (None, _) => "-".to_owned(),
                    (Some(error), None) => error.clone(),
                    (Some(error), Some(ago)) => format!("{error}, {} ago", span(ago)),
                },
            ]
        })
        .collect();
    let columns = [
        Column::Left("UPSTREAM"),
        Column::Left("ENDPOINT"),
        Column::Left("NAME"),
        Column::Left("STATE"),
        Column::Right("WEIGHT"),
        Column::Right("IN FLIGHT"),
        Column::Left("PROTOCOL"),
        Column::Left("VERSION"),
        Column::Left("LAST ERROR"),
    ];
    table(columns, &rows)
}

/// The configurations that were accepted of late, and what is in force in place of the files.
pub(super) fn history(history: &HistoryStatus) -> String {
    let rows = history.configurations.iter().map(|kept| {
        let in_force = match (kept.in_force, history.in_force.on_disk.is_some()) {
            (true, true) => "rolled back",
            (true, false) => "yes",
            (false, _) => "-",
        };
        let who = kept.who.clone().unwrap_or_else(|| "-".to_owned());
        let changed = match &kept.changed {
            None => "-".to_owned(),
            Some(changed) if changed.is_empty() => "nothing that a reload sees".to_owned(),
            Some(changed) => first(changed.clone(), 3).join("; "),
        };
        [kept.hash.clone(), kept.at.clone(), kept.how.clone(), in_force.to_owned(), who, changed]
    });
    let columns = [
        Column::Left("HASH"),
        Column::Left("ACCEPTED"),
        Column::Left("HOW"),
        Column::Left("IN FORCE"),
        Column::Left("ASKED FOR BY"),
        Column::Left("CHANGED"),
    ];
    let mut text = table(columns, &rows.collect::<Vec<_>>());
    text.extend(rolled_back(&history.in_force).map(|told| format!("\n{told}")));
    text.extend(history.problems.iter().map(|problem| format!("\nNot whole: {problem}\n")));
    text
}

/// What was rolled back to, where something was, and what ends that.
pub(in crate::cli) fn rolled_back(in_force: &InForce) -> Option<String> {
    let on_disk = in_force.on_disk_in_words()?;
    let (since, who) = (&in_force.since, in_force.who.as_deref().unwrap_or("?"));
    let holds = in_force.holds.as_deref().unwrap_or("until the files change");
    Some(format!("Rolled back at {since} by the operator {who}; {on_disk}.\nIt holds {holds}.\n"))
}

/// Where endpoints come from, where not all are written as addresses.
fn sources(status: &Status) -> String {
    let all = status.upstreams.iter().flat_map(|(name, upstream)| {
        let sources = upstream.discovery.iter().flat_map(|discovery| &discovery.sources);
        sources.map(move |source| (name, source))
    });
    let rows: Vec<_> = all
        .map(|(name, source)| {
            [
                name.clone(),
                source.source.clone(),
                source.state.label().to_owned(),
                format!("{}s", source.age_seconds),
                source.endpoints.to_string(),
                source.held.to_string(),
                source.why.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let columns = [
        Column::Left("UPSTREAM"),
        Column::Left("SOURCE"),
        Column::Left("STATE"),
        Column::Right("AGE"),
        Column::Right("ENDPOINTS"),
        Column::Right("IN DOUBT"),
        Column::Left("LAST ERROR"),
    ];
    table(columns, &rows)
}

/// The versions that canaries choose, where there are any.
fn canaries(canaries: &[CanaryStatus]) -> String {
    let rows = canaries.iter().map(|canary| {
        [
            canary.route.clone(),
            canary.version.clone(),
            canary.upstreams.join(", "),
            canary.share.clone().unwrap_or_else(|| "-".to_owned()),
            canary.answered.to_string(),
            canary.failed.to_string(),
            canary.spilled.to_string(),
        ]
    });
    let columns = [
        Column::Left("ROUTE"),
        Column::Left("VERSION"),
        Column::Left("UPSTREAM"),
        Column::Right("SHARE"),
        Column::Right("REQUESTS"),
        Column::Right("5XX"),
        Column::Right("SPILLED"),
    ];
    table(columns, &rows.collect::<Vec<_>>())
}

/// Circuits, where there are any.
pub(super) fn circuits(circuits: &[CircuitStatus]) -> String {
    let rows: Vec<_> = circuits
        .iter()
        .map(|circuit| {
            let left = circuit.open_for_ms.map(|left| format!(", {} left", span(left))).unwrap_or_default();
            [
                circuit.filter.clone(),
                circuit.upstream.clone(),
                format!("{}{left}", circuit.state.label()),
                circuit.requests.to_string(),
                circuit.failures.to_string(),
                circuit.slow.to_string(),
                match (circuit.forced, circuit.forced_for_ms) {
                    (None, _) => "-".to_owned(),
                    (Some(force), None) => force.label().to_owned(),
                    (Some(force), Some(left)) => format!("{}, {} left", force.label(), span(left)),
                },
            ]
        })
        .collect();
    let columns = [
        Column::Left("CIRCUIT"),
        Column::Left("UPSTREAM"),
        Column::Left("STATE"),
        Column::Right("REQUESTS"),
        Column::Right("FAILURES"),
        Column::Right("SLOW"),
        Column::Left("FORCED"),
    ];
    table(columns, &rows)
}

/// Whom limits refused, those refused most first.
pub(super) fn limits(limits: &LimitsStatus) -> String {
    let rows: Vec<_> = limits
        .keys
        .iter()
        .map(|key| {
            let tier = key.tier.clone().unwrap_or_else(|| "-".to_owned());
            [key.filter.clone(), tier, key.key.clone(), key.refused.to_string(), format!("{} ago", span(key.last_ms_ago))]
        })
        .collect();
    if rows.is_empty() {
        return "No limit has refused anybody lately.\n".to_owned();
    }
    let columns = [Column::Left("LIMIT"), Column::Left("TIER"), Column::Left("KEY"), Column::Right("REFUSED"), Column::Left("LAST")];
    table(columns, &rows)
}

/// Drills, for people.
pub(super) fn drills(told: &DrillsStatus) -> String {
    let row = |drill: &crate::status::DrillStatus| {
        let injected = drill.injected.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| format!("{kind} {count}"));
        let injected = injected.collect::<Vec<_>>().join(", ");
        [
            drill.filter.clone(),
            drill.state.label().to_owned(),
            drill.until.clone(),
            drill.active.to_string(),
            if injected.is_empty() { "-".to_owned() } else { injected },
            drill.rules.join("; "),
        ]
    };
    let columns = [
        Column::Left("DRILL"),
        Column::Left("STATE"),
        Column::Left("UNTIL"),
        Column::Right("HELD"),
        Column::Left("INJECTED"),
        Column::Left("RULES"),
    ];
    let mut text = table(columns, &told.drills.iter().map(row).collect::<Vec<_>>());
    if told.drills.is_empty() {
        text.push_str("There is no drill.\n");
    }
    if told.stopped {
        text.push_str("An operator has stopped all drills.\n");
    }
    text
}

fn adaptive(name: &str, upstream: &UpstreamStatus) -> Option<String> {
    upstream.adaptive.then(|| format!("The adaptive first_byte timeout of {name} is {} ms now.\n", upstream.first_byte_ms))
}

/// A time that is left or gone, to the second; what is less is told in milliseconds.
fn span(millis: u64) -> String {
    if millis < 1000 { format!("{millis}ms") } else { format!("{}s", millis.div_ceil(1000)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{
        "status": "ok", "version": "0.1.0", "config": "abc", "requests_in_flight": 0, "log_lines_dropped": 0, "key_sets": {},
        "upstreams": {
            "catalog": {"alive": true, "required": true, "in_flight": 1234, "retrying": 0, "first_byte_ms": 340, "adaptive": true, "endpoints": [
                {"address": "10.0.0.1:80", "state": "healthy", "weight": 1, "in_flight": 1234, "ejected_for_ms": null, "version": "v2.4"},
                {"address": "10.0.0.200:8080", "state": "ejected", "weight": 10, "in_flight": 0, "ejected_for_ms": 11200, "version": null, "last_error": "status 503", "last_error_ms_ago": 61000, "protocol": "h2"},
                {"address": "10.0.0.3:80", "state": "drained", "weight": 4, "in_flight": 2, "ejected_for_ms": null, "version": null, "drained_for_ms": 3599000, "weighed_by_hand": true, "weighed_for_ms": 500}]},
            "users": {"alive": true, "required": false, "in_flight": 0, "retrying": 0, "first_byte_ms": 15000, "adaptive": false, "probed": false, "endpoints": [
                {"address": "[::1]:80", "name": "users.internal:80", "state": "healthy", "weight": 1, "in_flight": 0, "ejected_for_ms": null, "version": null, "last_error": "connection refused"}]}
        },
        "canaries": [
            {"route": "products", "version": "v2.4", "upstreams": ["catalog"], "share": "5%", "answered": 0, "failed": 0, "spilled": 0},
            {"route": "products", "version": "stable", "upstreams": ["replica", "primary"], "share": null, "answered": 1200, "failed": 3, "spilled": 0}],
        "circuits": [
            {"filter": "guard", "upstream": "catalog", "state": "half_open", "requests": 20, "failures": 11, "slow": 2, "probes": 1, "open_for_ms": null, "forced": null},
            {"filter": "guard", "upstream": "users", "state": "open", "requests": 0, "failures": 0, "slow": 0, "probes": 0, "open_for_ms": 700, "forced": "open", "forced_for_ms": 90000}]
    }"#;

    #[test]
    fn upstreams_and_circuits_are_tables_with_aligned_columns() {
        let status: Status = serde_json::from_str(STATUS).expect("a status");

        assert_eq!(
            upstreams(&status),
            "\
UPSTREAM  ENDPOINT         NAME               STATE                                WEIGHT  IN FLIGHT  PROTOCOL  VERSION  LAST ERROR
catalog   10.0.0.1:80      -                  healthy                                   1       1234  -         v2.4     -
catalog   10.0.0.200:8080  -                  ejected, 12s left                        10          0  h2        -        status 503, 61s ago
catalog   10.0.0.3:80      -                  drained, 3599s left   4 by hand, 500ms left          2  -         -        -
users     [::1]:80         users.internal:80  healthy (not probed)                      1          0  -         -        connection refused

ROUTE     VERSION  UPSTREAM          SHARE  REQUESTS  5XX  SPILLED
products  v2.4     catalog              5%         0    0        0
products  stable   replica, primary      -      1200    3        0

CIRCUIT  UPSTREAM  STATE             REQUESTS  FAILURES  SLOW  FORCED
guard    catalog   half_open               20        11     2  -
guard    users     open, 700ms left         0         0     0  open, 90s left

The adaptive first_byte timeout of catalog is 340 ms now.
"
        );
    }

    #[test]
    fn the_keys_that_limits_refused_are_a_table() {
        let limits: LimitsStatus = serde_json::from_str(
            r#"{"keys": [
                {"filter": "per_user", "tier": "free", "key": "2qBkOmhlYSfKRL94", "refused": 1200, "last_ms_ago": 400},
                {"filter": "per_client", "tier": null, "key": "192.0.2.7", "refused": 7, "last_ms_ago": 61000}]}"#,
        )
        .expect("limits");

        assert_eq!(
            super::limits(&limits),
            "\
LIMIT       TIER  KEY               REFUSED  LAST
per_user    free  2qBkOmhlYSfKRL94     1200  400ms ago
per_client  -     192.0.2.7               7  61s ago
"
        );
    }
}
