//! Of which requests spans are made.

use super::*;
use crate::harness::until;

/// Whether the upstream was told that the trace is recorded.
fn is_told(origin: &Origin) -> bool {
    origin.last().header("traceparent")[0].ends_with('1')
}

#[test]
fn a_caller_decides_and_else_the_route_s_share() {
    let (origin, collector) = (origin(), Collector::start());
    let sample = "sample: {routes: {shop: 100%}, otherwise: 0%}";
    let gateway = gateway("shares", origin.address, &collector.0.address, sample, &[SOON]);

    let recorded = [("/shop/1", String::new()), ("/again/1", String::new()), ("/again/2", called("01")), ("/shop/2", called("00"))].map(
        |(target, fields)| {
            assert_eq!(ask(gateway.address, target, &fields).status, 200);
            is_told(&origin)
        },
    );
    // One after the other: whatever was to come before this one is there with it.
    ask(gateway.address, "/shop/last", "");
    until("the last one", || collector.spans().iter().any(|span| span.get("url.path") == "/shop/last"));

    assert_eq!(recorded, [true, false, true, false]);
    let mut paths: Vec<String> =
        collector.spans().iter().filter(|span| span.is_server()).map(|span| span.get("url.path").to_owned()).collect();
    paths.sort();
    assert_eq!(paths, ["/again/2", "/shop/1", "/shop/last"]);
}

#[test]
fn a_share_is_one_of_all_traces() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("half", origin.address, &collector.0.address, "sample: 50%", &[SOON]);

    let recorded = (0..100).filter(|_| ask(gateway.address, "/shop/1", "").status == 200 && is_told(&origin)).count();

    // The chance to be outside is less than one in ten million.
    assert!((24..=76).contains(&recorded), "{recorded}");
    assert_eq!(collector.wait_for(2 * recorded).len(), 2 * recorded);
}

#[test]
fn failures_and_slow_ones_are_kept_where_their_traces_are_not_recorded() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("kept", origin.address, &collector.0.address, "sample: 0%\nkeep: {errors: true, over: 250ms}", &[SOON]);

    for (target, status) in [("/shop/1", 200), ("/again/503", 503), ("/nothing", 404), ("/shop/slow", 200), ("/gone/1", 502)] {
        assert_eq!(ask(gateway.address, target, "").status, status, "{target}");
    }
    assert_eq!(ask(gateway.address, "/gone/2", &called("00")).status, 502);
    let spans = collector.wait_for(8);

    let told: Vec<(&str, &str, u64)> = spans
        .iter()
        .filter(|span| span.is_server())
        .map(|span| (span.get("url.path"), span.get("frontgate.kept"), span.flags & 1))
        .collect();
    assert_eq!(told, [("/again/503", "error", 0), ("/shop/slow", "slow", 0), ("/gone/1", "error", 0), ("/gone/2", "error", 0)]);
    let clients: Vec<&Span> = spans.iter().filter(|span| span.kind == 3).collect();
    assert_eq!((spans.len(), clients.len()), (8, 4), "the last attempt of each");
    assert_eq!(clients[0].get("http.request.resend_count"), "2");
    let callers: Vec<String> = origin.received().iter().map(|request| request.header("traceparent")[0].to_owned()).collect();
    assert_eq!(
        callers.iter().filter(|caller| **caller == format!("00-{}-{}-00", clients[0].trace, clients[0].id)).count(),
        1,
        "{callers:?}"
    );
    assert_eq!(spans.iter().rfind(|span| span.is_server()).unwrap().parent, CALLER);
}

#[test]
fn the_standard_variables_say_what_is_not_written() {
    let (origin, collector, other) = (origin(), Collector::start(), Collector::start());
    let text = configuration(origin.address, &"x", "").replace("    otlp: http://x\n", "    sample: {routes: {again: 100%}}\n");
    assert!(!text.contains("otlp"), "{text}");
    let base = format!("http://{}/otlp/", collector.0.address);
    let environment = [
        SOON,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", base.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cr3t,x-tenant=a%20b"),
        ("OTEL_SERVICE_NAME", "edge"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=not-this,deployment.environment.name=test"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "nonsense"),
    ];
    let gateway = Process::start_in("tracing-variables", &text, &environment);

    assert_eq!([ask(gateway.address, "/shop/1", "").status, ask(gateway.address, "/again/1", "").status], [200, 200]);
    let spans = collector.wait_for(2);

    assert!(spans.len() == 2 && spans.iter().all(|span| span.resource["service.name"] == "edge"), "{spans:#?}");
    assert_eq!(spans[0].resource["deployment.environment.name"], "test");
    assert!(spans.iter().any(|span| span.get("url.path") == "/again/1"));
    let sent = collector.0.last();
    assert_eq!(
        (sent.line(), sent.header("api-key"), sent.header("x-tenant")),
        ("POST /otlp/v1/traces HTTP/1.1", vec!["s3cr3t"], vec!["a b"])
    );
    assert!(!gateway.said().contains("s3cr3t") && !gateway.ask("GET", "/metrics").text().contains("s3cr3t"));

    // What is written comes first, and one variable turns everything off.
    let text = configuration(origin.address, &other.0.address, "");
    let written = Process::start_in("tracing-written", &text, &[SOON, ("OTEL_EXPORTER_OTLP_ENDPOINT", base.as_str())]);
    assert_eq!(ask(written.address, "/shop/written", "").status, 200);
    other.wait_for(2);
    let off = Process::start_in("tracing-off", &text, &[SOON, ("OTEL_SDK_DISABLED", "true")]);
    assert_eq!(ask(off.address, "/shop/off", "").status, 200);
    assert_eq!(origin.last().header("traceparent").len(), 0);
    assert!(!off.ask("GET", "/metrics").text().contains("frontgate_spans_"));
}
