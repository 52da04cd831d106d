//! The dashboard for Grafana and the alerts for Prometheus, beside what the gateway shows: every name in them exists, and a real Prometheus
//! finds something for every query.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use frontgate_test_support::tool;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::busy::{Busy, Family, families};
use crate::harness::{get, until};

/// What the scrape itself adds, and a histogram's buckets.
const ADDED: [&str; 3] = ["job", "instance", "le"];

fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)
}

fn grafana() -> Value {
    serde_json::from_str(&std::fs::read_to_string(conf("grafana.json")).unwrap()).unwrap()
}

/// The rules of all groups.
fn rules() -> Vec<Value> {
    let alerts: Value = serde_yaml::from_str(&std::fs::read_to_string(conf("alerts.yaml")).unwrap()).unwrap();
    alerts["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// A query, and the labels that whoever shows what it finds wants to see.
struct Query {
    place: String,
    expression: String,
    shown: Vec<String>,
}

impl Query {
    /// Whether there is what it asks for in this build.
    fn is_built(&self) -> bool {
        let is_built = |feature: bool, family: &str| feature || !self.expression.contains(family);
        is_built(cfg!(feature = "otel"), "frontgate_spans_")
            && is_built(cfg!(feature = "saga"), "frontgate_saga_")
            && is_built(cfg!(feature = "saga"), "/undo")
    }
}

/// What stands between these in a text.
fn between(text: &str, open: &str, close: &[char]) -> Vec<String> {
    text.split(open).skip(1).map(|rest| rest.split(close).next().unwrap().trim().to_owned()).collect()
}

/// Every query of the dashboard: of its panels, its variables and its annotations.
fn of_the_dashboard() -> Vec<Query> {
    let dashboard = grafana();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let shown = between(target["legendFormat"].as_str().unwrap(), "{{", &['}']);
            let place = format!("panel {}", panel["title"]);
            queries.push(Query { place, expression: target["expr"].as_str().unwrap().to_owned(), shown });
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap().iter().filter(|variable| variable["type"] == "query") {
        let written = variable["query"]["query"].as_str().unwrap();
        let (expression, label) =
            written.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap().rsplit_once(',').unwrap();
        let place = format!("variable {}", variable["name"]);
        queries.push(Query { place, expression: expression.to_owned(), shown: vec![label.trim().to_owned()] });
    }
    let annotations = dashboard["annotations"]["list"].as_array().unwrap().iter().filter_map(|annotation| annotation["expr"].as_str());
    queries.extend(annotations.map(|expression| Query {
        place: "annotation".to_owned(),
        expression: expression.to_owned(),
        shown: Vec::new(),
    }));
    queries.retain(Query::is_built);
    queries
}

/// Every expression of the rules.
fn of_the_rules() -> Vec<Query> {
    let told = |rule: &Value, text: &str| {
        rule["annotations"][text].as_str().map(|text| between(text, "$labels.", &[' ', '}'])).unwrap_or_default()
    };
    let each = rules().into_iter().map(|rule| Query {
        place: format!("rule {}{}", rule["alert"].as_str().unwrap_or_default(), rule["record"].as_str().unwrap_or_default()),
        expression: rule["expr"].as_str().unwrap().to_owned(),
        shown: [told(&rule, "summary"), told(&rule, "description")].concat(),
    });
    each.filter(Query::is_built).collect()
}

/// The names in an expression: metrics with the labels of their matchers, and the labels that are grouped or joined by.
#[derive(Debug, Default, PartialEq)]
struct Names {
    metrics: Vec<(String, Vec<String>)>,
    grouped: BTreeSet<String>,
}

impl Names {
    fn of(expression: &str) -> Self {
        const WORDS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "inf"];
        const GROUPS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
        let mut names = Self::default();
        let mut rest = expression;
        while let Some(first) = rest.chars().next() {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            if first == '"' {
                rest = rest[1..].split_once('"').unwrap().1;
            } else if first == '[' {
                rest = rest.split_once(']').unwrap().1;
            } else if is_name(first) {
                let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                rest = after.trim_start();
                // As in `sum by (route) (…)`.
                let is_aggregation = GROUPS.iter().any(|word| rest.strip_prefix(word).is_some_and(|after| after.starts_with([' ', '('])));
                if first.is_ascii_digit() || WORDS.contains(&name) || is_aggregation && !GROUPS.contains(&name) {
                    continue;
                }
                if GROUPS.contains(&name) {
                    let (labels, after) = rest.strip_prefix('(').unwrap().split_once(')').unwrap();
                    names.grouped.extend(labels.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
                    rest = after;
                } else if let Some(after) = rest.strip_prefix('{') {
                    let (matchers, after) = after.split_once('}').unwrap();
                    let labels = matchers.split("\",").filter_map(|matcher| Some(matcher.split_once(['=', '!'])?.0.trim().to_owned()));
                    names.metrics.push((name.to_owned(), labels.collect()));
                    rest = after;
                } else if !rest.starts_with('(') {
                    names.metrics.push((name.to_owned(), Vec::new()));
                }
            } else {
                rest = &rest[first.len_utf8()..];
            }
        }
        names
    }
}

#[test]
fn names_are_read_from_an_expression() {
    let names = Names::of(r#"sum by (le, route) (rate(a_bucket{x="1,2",y!~"b|c"}[5m])) > 0.5 and on (job) r:b or vector(1) - c"#);

    let metric = |name: &str, labels: &[&str]| (name.to_owned(), labels.iter().map(|label| (*label).to_owned()).collect());
    assert_eq!(names.metrics, [metric("a_bucket", &["x", "y"]), metric("r:b", &[]), metric("c", &[])]);
    assert_eq!(names.grouped.iter().map(String::as_str).collect::<Vec<_>>(), ["job", "le", "route"]);
}

/// The family that a metric is of.
fn family<'f>(families: &'f BTreeMap<String, Family>, metric: &str) -> Option<&'f Family> {
    let part = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| metric.strip_suffix(suffix));
    families.get(metric).or_else(|| families.get(part?).filter(|family| family.kind == "histogram"))
}

#[test]
fn every_metric_and_label_of_the_dashboard_and_the_alerts_exists() {
    let families = families(&Busy::start().page());
    let recorded: BTreeMap<String, Names> =
        rules().iter().filter_map(|rule| Some((rule["record"].as_str()?.to_owned(), Names::of(rule["expr"].as_str()?)))).collect();
    let mut count = 0;

    for query in of_the_dashboard().into_iter().chain(of_the_rules()) {
        let place = &query.place;
        let names = Names::of(&query.expression);
        let mut known: BTreeSet<&str> = ADDED.into();
        assert!(!names.metrics.is_empty(), "{place} names no metric");
        for (metric, labels) in &names.metrics {
            let of_metric: Vec<&str> = match (recorded.get(metric), family(&families, metric)) {
                (Some(recorded), _) => recorded.grouped.iter().map(String::as_str).collect(),
                (None, Some(family)) => family.labels.iter().map(String::as_str).collect(),
                (None, None) => panic!("{place}: there is no metric {metric}"),
            };
            known.extend(of_metric);
            for label in labels {
                assert!(known.contains(label.as_str()), "{place}: {metric} has no label {label}");
            }
            count += 1;
        }
        for label in names.grouped.iter().chain(&query.shown) {
            assert!(known.contains(label.as_str()), "{place}: nothing here has a label {label}");
        }
        // What is grouped away cannot be shown.
        if !names.grouped.is_empty() && !query.expression.contains("group_left") {
            let strange =
                query.shown.iter().find(|label| !names.grouped.contains(*label) && query.expression.trim_start().starts_with("sum"));
            assert_eq!(strange, None, "{place} shows what it sums over");
        }
    }

    assert!(count > 90, "{count} metrics were found");
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let dashboard = grafana();

    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are there once");
    assert!(dashboard["id"].is_null() && dashboard["schemaVersion"].as_u64() >= Some(41));
    let variables: BTreeSet<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    let text = dashboard.to_string();
    for used in text
        .split('$')
        .skip(1)
        .map(|rest| rest.trim_start_matches('{').split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap())
    {
        assert!(variables.contains(used) || ["__rate_interval", "__all"].contains(&used), "there is no variable ${used}");
    }
    for panel in panels {
        let place = &panel["gridPos"];
        let [x, width] = ["x", "w"].map(|key| place[key].as_u64().unwrap());
        assert!(x + width <= 24 && !panel["title"].as_str().unwrap().is_empty(), "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
    // None covers another.
    for (at, one) in panels.iter().enumerate() {
        let corners = |panel: &Value| ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        let [x, y, w, h] = corners(one);
        for other in &panels[at + 1..] {
            let [ox, oy, ow, oh] = corners(other);
            assert!(x + w <= ox || ox + ow <= x || y + h <= oy || oy + oh <= y, "{} covers {}", one["title"], other["title"]);
        }
    }
}

#[test]
fn every_alert_goes_off_when_it_should_and_only_then() {
    let Some(promtool) = tool("promtool") else { return };
    let tried = std::fs::read_to_string(conf("alerts.test.yaml")).unwrap();

    for (verb, file) in [("check", "alerts.yaml"), ("test", "alerts.test.yaml")] {
        let ran = Command::new(&promtool).args([verb, "rules", file]).current_dir(conf("")).output().unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
    }

    for rule in rules() {
        let Some(alert) = rule["alert"].as_str() else { continue };
        assert!(tried.contains(&format!("      - alertname: {alert}\n")), "nothing makes {alert} go off");
        assert!(tried.contains(&format!("alertname: {alert}, eval_time: ")), "nothing keeps {alert} from going off");
        assert!(["page", "ticket"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{alert}");
        assert!(
            ["summary", "description"].iter().all(|text| rule["annotations"][*text].as_str().is_some_and(|text| text.len() > 20)),
            "{alert}"
        );
    }
}

/// A Prometheus that scrapes a gateway every second.
struct Prometheus {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Prometheus {
    fn start(gateway: SocketAddr) -> Option<Self> {
        let program = tool("prometheus")?;
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = std::env::temp_dir().join(format!("frontgate-prometheus-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let rules = conf("alerts.yaml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules:?}]\nscrape_configs: [{{job_name: edge, static_configs: [{{targets: [\"{gateway}\"]}}]}}]\n"
        );
        std::fs::write(folder.join("prometheus.yml"), text).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { child, folder, address };
        until("Prometheus to be ready", || std::net::TcpStream::connect(address).is_ok() && get(address, "/-/ready").status == 200);
        Some(prometheus)
    }

    fn ask(&self, path: &str) -> Value {
        get(self.address, &format!("/api/v1/{path}")).json()
    }

    /// How many series a query finds.
    fn find(&self, expression: &str) -> usize {
        let told = self.ask(&format!("query?query={}", utf8_percent_encode(expression, NON_ALPHANUMERIC)));
        assert_eq!(told["status"], "success", "{expression}: {told}");
        told["data"]["result"].as_array().unwrap().len()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_real_prometheus_finds_something_for_every_query() {
    let busy = Busy::start();
    let Some(prometheus) = Prometheus::start(busy.gateway.running.admin().unwrap()) else { return };
    let filled = |expression: &str| {
        let expression = expression.replace("$__rate_interval", "1m");
        ["$job", "$instance", "$route", "$upstream"].iter().fold(expression, |text, variable| text.replace(variable, ".*"))
    };
    until("three scrapes of a gateway at work", || {
        busy.work();
        prometheus.find("count_over_time(frontgate_build_info[1m]) >= 3") == 1
    });

    for query in of_the_dashboard() {
        // What it would show at another time is there, too.
        let expression = filled(&query.expression).trim_end_matches(" > 0").replace(" == 0)", ")");
        until(&format!("{}: {expression}", query.place), || prometheus.find(&expression) > 0);
    }
    for rule in rules() {
        let expression = rule["expr"].as_str().unwrap();
        prometheus.find(expression);
        if let Some(name) = rule["record"].as_str() {
            until(name, || prometheus.find(name) > 0);
        }
    }
    until("every rule to be evaluated", || {
        let told = prometheus.ask("rules");
        let groups = told["data"]["groups"].as_array().unwrap();
        let mut all = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        assert!(all.clone().all(|rule| rule["health"] != "err"), "{told}");
        all.clone().count() == rules().len() && all.all(|rule| rule["health"] == "ok")
    });
}
