//! What the gateway shows to a scrape: the table of the metrics that users were promised, beside a gateway that has met everything.

mod busy;
mod queries;

use busy::{Busy, families};

use crate::harness::{Gateway, Origin, exchange, until};

/// Every metric with its type and its labels. Other parts may have more; none may be missing or have other labels.
const TABLE: &[(&str, &str, &[&str])] = &[
    ("requests_total", "counter", &["route", "method", "code"]),
    ("series_folded_total", "counter", &["metric"]),
    ("request_duration_seconds", "histogram", &["route"]),
    ("overhead_seconds", "histogram", &["route"]),
    ("upstream_duration_seconds", "histogram", &["upstream"]),
    ("inflight_requests", "gauge", &["listener"]),
    ("connections", "gauge", &["listener"]),
    ("upstream_endpoints", "gauge", &["upstream", "state"]),
    ("upstream_attempts_total", "counter", &["upstream", "result"]),
    ("upstream_failed_answers_total", "counter", &["upstream"]),
    ("circuit_state", "gauge", &["filter", "upstream"]),
    ("circuit_transitions_total", "counter", &["filter", "upstream", "to"]),
    ("fallback_total", "counter", &["filter", "kind"]),
    ("rate_limit_decisions_total", "counter", &["filter", "tier", "decision"]),
    ("auth_decisions_total", "counter", &["filter", "decision", "reason"]),
    ("trim_input_bytes_total", "counter", &["route", "profile"]),
    ("trim_output_bytes_total", "counter", &["route", "profile"]),
    ("trim_skipped_total", "counter", &["route", "reason"]),
    ("config_last_reload_successful", "gauge", &[]),
    ("config_last_reload_success_timestamp_seconds", "gauge", &[]),
    ("config_info", "gauge", &["hash"]),
    ("canary_requests_total", "counter", &["route", "version", "code"]),
    ("canary_spilled_total", "counter", &["route", "version"]),
    ("mirror_status_total", "counter", &["route", "same"]),
    ("mirror_skipped_total", "counter", &["route", "reason"]),
    ("discovery_age_seconds", "gauge", &["upstream"]),
    ("discovery_changes_total", "counter", &["upstream", "result"]),
    ("tls_handshakes_total", "counter", &["listener", "result", "version"]),
    ("tls_handshake_duration_seconds", "histogram", &["listener"]),
    ("connections_refused_total", "counter", &["listener", "reason"]),
    ("overload_state", "gauge", &["reason"]),
    ("jwks_age_seconds", "gauge", &["filter"]),
    ("tls_cert_not_after_seconds", "gauge", &["certificate"]),
    ("log_dropped_total", "counter", &[]),
    ("build_info", "gauge", &["version"]),
];

/// Those about the process, which have no prefix.
const PROCESS: [&str; 6] = ["cpu_seconds_total", "start_time_seconds", "resident_memory_bytes", "threads", "open_fds", "max_fds"];

#[test]
fn a_busy_gateway_shows_every_metric_of_the_table_with_its_labels() {
    let busy = Busy::start();

    let families = families(&busy.page());

    for (name, kind, labels) in TABLE {
        let family = families.get(&format!("frontgate_{name}")).unwrap_or_else(|| panic!("there is no {name}:\n{}", busy.page()));
        assert_eq!(family.kind, *kind, "{name}");
        assert_eq!(family.labels, labels.iter().map(|label| (*label).to_owned()).collect(), "{name}");
        assert!(family.series > 0, "{name}");
    }
    for name in PROCESS {
        assert!(families.get(&format!("process_{name}")).is_some_and(|family| family.series == 1), "there is no process_{name}");
    }
}

#[test]
fn nothing_that_a_client_sends_becomes_a_label_and_quiet_routes_are_left_out() {
    let busy = Busy::start();

    let page = busy.page();

    assert!(!page.to_lowercase().contains("evil"), "{page}");
    assert!(page.contains(r#"frontgate_requests_total{route="products",method="_OTHER",code="200"} 1"#), "{page}");
    assert!(page.contains(r#"frontgate_requests_total{route="_none",method="GET",code="404"} 1"#), "{page}");
    let families = families(&page);
    for family in families.values() {
        assert!(family.values.get("route").is_none_or(|routes| !routes.contains("quiet")), "{family:?}");
    }
    let series = page.lines().count();
    (0..3).for_each(|_| busy.work());
    let more = busy.page().lines().count();
    assert!(more < series + 30, "three more rounds brought {} more lines", more - series);
}

#[test]
fn an_upstream_that_answers_with_every_status_there_is_fills_no_page() {
    let origin = Origin::start(|request, stream| {
        let status = request.line().split('/').nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("200").to_owned();
        std::io::Write::write_all(stream, format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n").as_bytes()).is_ok()
    });
    let gateway = Gateway::over(origin.address, "", "");
    let count = 150;

    for status in 400..400 + count {
        let head = format!("GET /{status} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(exchange(gateway.address, head.as_bytes()).unwrap().status, status);
    }

    let folded = f64::from(count - 64);
    let others = "frontgate_requests_total{route=\"all\",method=\"GET\",code=\"_OTHER\"}";
    until("the last one to be counted", || gateway.metric(others) >= folded);
    let page = gateway.running.scrape();
    let series = page.lines().filter(|line| line.starts_with("frontgate_requests_total{")).count();
    assert_eq!((series, gateway.metric(others)), (65, folded), "{page}");
    gateway.comes_to("frontgate_series_folded_total{metric=\"requests_total\"}", folded);
}
