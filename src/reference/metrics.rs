//! The page of the metrics: what a scrape of a gateway with the annotated configuration shows, and the families of its filters that have
//! counted nothing yet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use frontgate_filters::registry::FilterEntry;
use frontgate_filters::words::spanned::Spanned;
use http::Method;

use super::markdown::{code, table};
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::{OF_ALL, OF_ONE};
use crate::telemetry::{CallResult, Compared, Metrics, Skipped};

#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: Vec<String>,
    /// By label.
    values: BTreeMap<String, BTreeSet<String>>,
}

/// Labels whose values the configuration, a request or its answer chooses.
const OPEN: &[&str] = &[
    "route",
    "call",
    "upstream",
    "listener",
    "filter",
    "hash",
    "version",
    "code",
    "method",
    "profile",
    "tier",
    "endpoint",
    "certificate",
    "grpc_status",
];

/// Every family of a gateway that has met everything that makes one appear.
fn families() -> BTreeMap<String, Family> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/frontgate.yaml");
    let mut loaded = crate::config::load(Some(path.as_path())).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    // No file can hold a drill that goes on for longer than a day.
    let drill = r#"{"fault": {"until": "2026-01-01T00:00:00Z", "rules": [{"delay": "1s", "share": "1%"}]}}"#;
    let drill: FilterEntry = serde_json::from_str(drill).expect("a filter");
    loaded.config.filters.insert("shown".to_owned(), Spanned::nowhere(drill));
    let metrics = Metrics::new();
    let _snapshot = Snapshot::compile(loaded, None, &metrics, None).expect("the annotated configuration can be compiled");
    metrics.route("shown").record(&Method::GET, 200, Duration::ZERO, Duration::ZERO);
    metrics.route("shown").called(Some(frontgate_filters::grpc::Status::OK));
    let variant = metrics.variant("shown", "shown");
    variant.count(200);
    variant.spilled();
    let mirror = metrics.route("shown").mirror();
    Compared::ALL.into_iter().for_each(|compared| mirror.compared(compared));
    Skipped::ALL.into_iter().for_each(|why| mirror.skipped(why));
    let (composed, calls) = metrics.route("shown").composed(&["shown".into()]);
    composed.incomplete();
    CallResult::ALL.into_iter().for_each(|result| calls[0].count(result));
    calls[0].took(Duration::ZERO);
    let _budget = metrics.budget();
    metrics.upstream("shown").first_byte(Duration::from_secs(1));
    metrics.discovery("shown").as_of(Some((std::time::Instant::now(), Duration::ZERO)));
    metrics.listener("shown").handshake(Ok("1.3"), Duration::ZERO);
    metrics.spans();
    metrics.saga_commits();
    metrics.saga_unreadable();
    let _sagas = metrics.sagas("shown");
    let _graph = metrics.graph("shown");
    metrics.reloaded("shown", SystemTime::UNIX_EPOCH);
    let renewals = ["listener", "upstream"].map(|label| (label, "shown".to_owned(), false));
    let page = metrics.render(&BTreeMap::from([("shown", Duration::ZERO)]), &BTreeMap::from([("shop.pem".to_owned(), 0)]), &renewals);

    let mut families = scraped(&page);
    for told in metrics.filters.described() {
        let family = families.entry(told.name).or_default();
        *family = Family { kind: told.kind.to_owned(), help: told.help, labels: told.labels, values: std::mem::take(&mut family.values) };
    }
    families
}

/// What a page in Prometheus' text format says of its families.
fn scraped(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            name.clone_into(&mut current);
            families.entry(current.clone()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            name.clone_into(&mut current);
            families.entry(current.clone()).or_default().kind = kind.to_owned();
        } else if let Some((_, labels)) = line.split_once('{').and_then(|(name, rest)| Some((name, rest.split_once('}')?.0))) {
            let family = families.entry(current.clone()).or_default();
            for (label, value) in labels.split("\",").filter_map(|pair| pair.split_once("=\"")) {
                if label != "le" && !family.labels.iter().any(|known| known == label) {
                    family.labels.push(label.to_owned());
                }
                family.values.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
    families
}

/// The page.
pub(super) fn page() -> String {
    let rows: Vec<Vec<String>> = families()
        .into_iter()
        .map(|(name, family)| {
            let labels = family.labels.iter().map(|label| {
                let values: Vec<&str> = family.values.get(label).into_iter().flatten().map(String::as_str).collect();
                match OPEN.contains(&label.as_str()) || values.is_empty() {
                    true => code(label),
                    false => format!("{} ({})", code(label), values.join(", ")),
                }
            });
            vec![code(&name), family.kind, labels.collect::<Vec<_>>().join(", "), family.help]
        })
        .collect();
    format!(
        "# Metrics\n\n{}\n\n`/metrics` at the admin and the status address, in Prometheus' text format. Labels are names from the configuration, \
         never what a client sent: a request that no route takes is `_none`, an odd method or status `_OTHER`. A family of which nothing was \
         counted yet is not shown there, nor is a route that had no request.\n\n\
         Clients choose methods and upstreams choose statuses, so `frontgate_requests_total` and `frontgate_canary_requests_total` have a bound: \
         {OF_ONE} pairs of method and code of a route, or codes of a version, and {OF_ALL} of all of them. What comes after these counts under the \
         code `_OTHER` of its method, and in `frontgate_series_folded_total`. Calls for which all of these are taken count together as the call `_OTHER`. Every other family has as many series as the configuration has \
         names.\n\n{}",
        super::MADE,
        table(&["metric", "type", "labels", "meaning"], &rows),
    )
}

/// The sources below a folder, without their tests.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["tests", "reference", "target"].contains(&&*name) {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&path).expect("a source");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            found.push((path, code));
        }
    }
}

#[test]
fn every_metric_that_the_code_names_is_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = Vec::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("filters/src"), &mut code);
    let families = families();
    let mut count = 0;

    for (path, text) in &code {
        let whole = text.split("\"frontgate_").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name);
        let of_filters = ["counters(\"", "gauges(\"", "histograms(\""].into_iter().flat_map(|call| text.split(call).skip(1));
        let of_filters = of_filters.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name);
        let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        for name in whole.chain(of_filters).filter(is_name) {
            count += 1;
            assert!(families.contains_key(&format!("frontgate_{name}")), "{} has a metric that the page does not: {name}", path.display());
        }
    }

    assert!(count > 15, "{count} names were found");
}

#[test]
fn every_metric_has_its_words_and_its_type() {
    for (name, family) in families() {
        assert!(!family.help.is_empty() && ["counter", "gauge", "histogram"].contains(&&*family.kind), "{name}");
    }
}
