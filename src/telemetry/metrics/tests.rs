use http::Method;

use super::*;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn page_of(metrics: &Metrics) -> String {
    metrics.render(&BTreeMap::new(), &BTreeMap::new(), &[])
}

#[track_caller]
fn assert_has(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|have| have == *line), "no line {line} in\n{page}");
    }
}

#[test]
fn the_page_has_every_metric_with_its_labels() {
    let metrics = Metrics::new();
    metrics.route("users").record(&Method::GET, 200, millis(30), Duration::from_micros(20));
    metrics.route(UNMATCHED).record(&Method::POST, 404, millis(1), millis(1));
    let upstream = metrics.upstream("users-pool");
    upstream.attempt(Attempt::ConnectFailure);
    upstream.observe(millis(29));
    upstream.endpoints(EndpointState::Ejected, 2);
    let listener = metrics.listener("0.0.0.0:8080");
    let _connection = listener.connection();
    let _request = listener.request();
    metrics.reloaded("abc123", UNIX_EPOCH + millis(1_500));
    metrics.log_dropped().inc_by(3);

    let page = page_of(&metrics);

    assert_has(
        &page,
        &[
            "# TYPE frontgate_requests_total counter",
            r#"frontgate_requests_total{route="_none",method="POST",code="404"} 1"#,
            r#"frontgate_requests_total{route="users",method="GET",code="200"} 1"#,
            "# TYPE frontgate_request_duration_seconds histogram",
            r#"frontgate_request_duration_seconds_bucket{route="users",le="0.025"} 0"#,
            r#"frontgate_request_duration_seconds_bucket{route="users",le="0.05"} 1"#,
            r#"frontgate_request_duration_seconds_bucket{route="users",le="10"} 1"#,
            r#"frontgate_request_duration_seconds_sum{route="users"} 0.03"#,
            r#"frontgate_request_duration_seconds_count{route="users"} 1"#,
            "# TYPE frontgate_overhead_seconds histogram",
            r#"frontgate_overhead_seconds_bucket{route="users",le="0.00001"} 0"#,
            r#"frontgate_overhead_seconds_bucket{route="users",le="0.000025"} 1"#,
            "# TYPE frontgate_upstream_duration_seconds histogram",
            r#"frontgate_upstream_duration_seconds_count{upstream="users-pool"} 1"#,
            "# TYPE frontgate_upstream_attempts_total counter",
            r#"frontgate_upstream_attempts_total{upstream="users-pool",result="ok"} 0"#,
            r#"frontgate_upstream_attempts_total{upstream="users-pool",result="connect_failure"} 1"#,
            "# TYPE frontgate_upstream_endpoints gauge",
            r#"frontgate_upstream_endpoints{upstream="users-pool",state="ejected"} 2"#,
            r#"frontgate_upstream_endpoints{upstream="users-pool",state="healthy"} 0"#,
            "# TYPE frontgate_connections gauge",
            r#"frontgate_connections{listener="0.0.0.0:8080"} 1"#,
            "# TYPE frontgate_inflight_requests gauge",
            r#"frontgate_inflight_requests{listener="0.0.0.0:8080"} 1"#,
            "frontgate_config_last_reload_successful 1",
            "frontgate_config_last_reload_success_timestamp_seconds 1.5",
            r#"frontgate_config_info{hash="abc123"} 1"#,
            "frontgate_log_dropped_total 3",
            concat!("frontgate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_page_tells_about_the_process() {
    let page = page_of(&Metrics::new());

    let value = |name: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{page}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(value("process_cpu_seconds_total") >= 0.0);
    assert!(value("process_resident_memory_bytes") > 500_000.0);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_threads") >= 1.0);
    assert!((now - 3_600.0..now + 5.0).contains(&value("process_start_time_seconds")));
}

#[test]
fn counts_survive_a_second_resolution_of_the_name() {
    let metrics = Metrics::new();
    let before = metrics.route("users");
    before.record(&Method::GET, 200, millis(1), millis(1));

    let after = metrics.route("users");
    after.record(&Method::GET, 200, millis(1), millis(1));

    assert!(Arc::ptr_eq(&before, &after));
    assert_has(&page_of(&metrics), &[r#"frontgate_requests_total{route="users",method="GET",code="200"} 2"#]);
}

#[test]
fn a_route_without_requests_is_not_on_the_page() {
    let metrics = Metrics::new();
    let (quiet, busy) = (metrics.route("quiet"), metrics.route("busy"));

    busy.record(&Method::GET, 200, millis(1), millis(1));
    let before = page_of(&metrics);
    quiet.record(&Method::GET, 200, millis(1), millis(1));
    let after = page_of(&metrics);

    assert!(!before.contains(r#"route="quiet""#) && before.contains(r#"route="busy""#), "{before}");
    assert_has(&after, &[r#"frontgate_request_duration_seconds_count{route="quiet"} 1"#]);
}

#[test]
fn counts_survive_the_removal_of_a_name_and_its_return() {
    let metrics = Metrics::new();
    let before = metrics.route("users");
    before.record(&Method::GET, 200, millis(1), millis(1));
    metrics.upstream("users").attempt(Attempt::Ok);

    metrics.retire(&|_| false, &|_| false);
    let gone = page_of(&metrics);
    before.record(&Method::GET, 200, millis(1), millis(1));
    metrics.route("users").record(&Method::GET, 200, millis(1), millis(1));
    metrics.upstream("users").attempt(Attempt::Ok);

    assert!(!gone.contains("users"), "{gone}");
    assert_has(
        &page_of(&metrics),
        &[
            r#"frontgate_requests_total{route="users",method="GET",code="200"} 3"#,
            r#"frontgate_upstream_attempts_total{upstream="users",result="ok"} 2"#,
        ],
    );
}

#[test]
fn what_was_removed_is_not_remembered_without_end() {
    let metrics = Metrics::new();
    for number in 0..=REMEMBERED {
        metrics.route(&format!("r{number}")).record(&Method::GET, 200, millis(1), millis(1));
        metrics.retire(&|_| false, &|_| false);
    }

    metrics.route("r0").record(&Method::GET, 200, millis(1), millis(1));
    metrics.route("r2").record(&Method::GET, 200, millis(1), millis(1));

    let one = |name: &str, count: u32| format!(r#"frontgate_requests_total{{route="{name}",method="GET",code="200"}} {count}"#);
    assert_has(&page_of(&metrics), &[&one("r0", 1), &one("r2", 2)]);
}

#[test]
fn a_retired_route_stays_away_even_when_a_late_request_ends() {
    let metrics = Metrics::new();
    let (gone, kept) = (metrics.route("gone"), metrics.route("kept"));
    metrics.route(UNMATCHED).record(&Method::GET, 404, millis(1), millis(1));
    metrics.upstream("gone").attempt(Attempt::Ok);
    kept.record(&Method::GET, 200, millis(1), millis(1));

    metrics.retire(&|name| name == "kept", &|_| false);
    gone.record(&Method::DELETE, 500, millis(1), millis(1));

    let page = page_of(&metrics);
    assert!(!page.contains("gone"), "{page}");
    assert!(page.contains("kept") && page.contains(UNMATCHED), "{page}");
}

#[test]
fn a_refused_reload_leaves_the_last_good_one_on_the_page() {
    let metrics = Metrics::new();
    metrics.reloaded("abc", UNIX_EPOCH + millis(7_000));

    metrics.reload_failed();

    let page = page_of(&metrics);
    assert_has(&page, &["frontgate_config_last_reload_successful 0", r#"frontgate_config_info{hash="abc"} 1"#]);
    assert_has(&page, &["frontgate_config_last_reload_success_timestamp_seconds 7"]);
}

#[test]
fn other_parts_register_metrics_of_their_own() {
    let metrics = Metrics::new();
    let own = IntCounter::new("frontgate_parts_total", "Fallbacks.").unwrap();
    metrics.registry.register(Box::new(own.clone())).unwrap();

    own.inc();

    assert_has(&page_of(&metrics), &["frontgate_parts_total 1"]);
}

#[test]
fn who_reads_the_gauges_of_connections_is_not_among_them() {
    let metrics = Metrics::new();
    let admin = metrics.operators_listener("127.0.0.1:9901");
    let _connection = admin.connection();

    admin.turned_away(TurnedAway::Descriptors);

    let page = page_of(&metrics);
    assert!(!page.contains("frontgate_connections{"), "{page}");
    assert_has(&page, &[r#"frontgate_connections_refused_total{listener="127.0.0.1:9901",reason="descriptors"} 1"#]);
}

#[test]
fn names_are_escaped_as_label_values() {
    let metrics = Metrics::new();
    metrics.listener("a\"b\\c");

    assert_has(&page_of(&metrics), &[r#"frontgate_connections{listener="a\"b\\c"} 0"#]);
}
