//! Collectors that are away, hang, refuse or want to be left alone, and what becomes of spans when the gateway changes or ends.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::harness::{PATIENCE, until};
use crate::tls::authority::{Authority, Directory};
use crate::tls::secure::Secure;

/// An address that nothing listens at.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Refuses so many times, then takes everything.
fn refusing(times: usize, status: &'static str, fields: &'static str) -> Collector {
    let asked = Arc::new(AtomicUsize::new(0));
    Collector::behaving(move |_, stream| {
        if asked.fetch_add(1, Ordering::SeqCst) < times {
            return stream.write_all(response(status, fields, "").as_bytes()).is_ok();
        }
        taken(stream)
    })
}

#[test]
fn a_collector_that_is_away_costs_a_count_and_a_line_and_no_request() {
    let origin = origin();
    let patience = ("OTEL_BSP_EXPORT_TIMEOUT", "50");
    let gateway = gateway("dead", origin.address, &nobody(), "", &[SOON, patience]);

    for _ in 0..3 {
        let before = dropped(&gateway, "unreachable");
        for _ in 0..5 {
            assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);
        }
        until("lost spans", || dropped(&gateway, "unreachable") >= before + 10.0);
    }

    let said = gateway.said();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("the collector at")).collect();
    assert!(lines.len() == 1 && lines[0].contains("it cannot be reached") && lines[0].contains("frontgate_spans_dropped_total"), "{said}");
    assert_eq!(metric(&gateway, "frontgate_spans_sent_total"), 0.0);
}

#[test]
fn a_collector_that_comes_back_is_sent_what_has_waited() {
    let origin = origin();
    let address = nobody();
    let gateway = gateway("back", origin.address, &address, "", &[SOON]);

    assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);
    until("an attempt in vain", || {
        let failed = format!("frontgate_upstream_attempts_total{{upstream=\"spans:{address}\",result=\"connect_failure\"}}");
        metric(&gateway, &failed) >= 1.0
    });
    let collector = Collector(Origin::on(address, |_, stream| taken(stream)));

    assert_eq!(collector.wait_for(2).len(), 2);
    until("the count", || metric(&gateway, "frontgate_spans_sent_total") == 2.0);
    assert_eq!(dropped(&gateway, "unreachable"), 0.0);
}

#[test]
fn a_collector_that_hangs_is_given_up_and_holds_no_request() {
    let (origin, gate) = (origin(), crate::harness::Gate::default());
    let held = gate.clone();
    let collector = Collector::behaving(move |_, _| {
        held.pass();
        false
    });
    let environment = [SOON, ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"), ("OTEL_BSP_EXPORT_TIMEOUT", "300")];
    let gateway = gateway("hung", origin.address, &collector.0.address, "", &environment);

    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);
        assert!(began.elapsed() < PATIENCE / 3);
    }
    until("lost spans", || dropped(&gateway, "unreachable") >= 2.0);

    assert!(gateway.said().contains("it took longer than"), "{}", gateway.said());
    gate.open();
}

#[test]
fn a_collector_over_https_needs_a_certificate_that_is_trusted() {
    let (authority, origin) = (Authority::new(), origin());
    let directory = Directory::new();
    directory.put("ca.pem", &authority.pem());
    let collector = Secure::plain(Authority::server(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS));
    let text = configuration(origin.address, &collector.address, "").replace("otlp: http:", "otlp: https:");
    let roots = directory.join("ca.pem").display().to_string();
    let environment = [SOON, ("OTEL_BSP_EXPORT_TIMEOUT", "500")];

    let doubting = Process::start_in("tracing-doubting", &text, &environment);
    assert_eq!(ask(doubting.address, "/shop/1", "").status, 200);
    until("lost spans", || dropped(&doubting, "unreachable") == 2.0);
    assert!(collector.received().is_empty());
    let trusting = Process::start_in("tracing-trusting", &text, &[SOON, ("SSL_CERT_FILE", &roots)]);
    assert_eq!(ask(trusting.address, "/shop/2", "").status, 200);
    until("spans that were taken", || metric(&trusting, "frontgate_spans_sent_total") == 2.0);

    let heads = collector.received();
    assert!(heads.len() == 1 && heads[0].starts_with("POST /v1/traces HTTP/1.1\r\n"), "{heads:?}");
}

#[test]
fn a_collector_that_is_overloaded_is_asked_again_when_it_says() {
    for (status, fields) in [("429 Too Many Requests", "Retry-After: 1\r\n"), ("503 Service Unavailable", "")] {
        let (origin, collector) = (origin(), refusing(2, status, fields));
        let gateway = gateway(&format!("busy-{}", &status[..3]), origin.address, &collector.0.address, "", &[SOON]);
        let began = Instant::now();

        assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);
        until("the third try", || metric(&gateway, "frontgate_spans_sent_total") == 2.0);

        let tries = collector.0.received();
        assert_eq!(tries.len(), 3, "{status}");
        assert!(tries.iter().all(|request| request.body == tries[0].body), "the same batch each time");
        assert!(fields.is_empty() || began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(dropped(&gateway, "rejected") + dropped(&gateway, "unreachable"), 0.0);
        assert!(!gateway.said().contains("the collector at"), "{}", gateway.said());
    }
}

#[test]
fn what_a_collector_does_not_want_is_not_sent_again() {
    let (origin, collector) = (origin(), refusing(1, "400 Bad Request", ""));
    let gateway = gateway("unwanted", origin.address, &collector.0.address, "", &[SOON]);

    assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);
    until("rejected spans", || dropped(&gateway, "rejected") == 2.0);
    assert_eq!(ask(gateway.address, "/shop/2", "").status, 200);
    until("spans that were taken", || metric(&gateway, "frontgate_spans_sent_total") == 2.0);

    assert_eq!(collector.0.received().len(), 2);
    assert!(gateway.said().contains("it answered 400"), "{}", gateway.said());
}

#[test]
fn a_part_that_a_collector_rejects_is_counted() {
    let origin = origin();
    let collector = Collector::behaving(|_, stream| {
        // partial_success: {rejected_spans: 1, error_message: "no"}
        let body = b"\x0a\x06\x08\x01\x12\x02no";
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n").is_ok() && stream.write_all(body).is_ok()
    });
    let gateway = gateway("part", origin.address, &collector.0.address, "", &[SOON]);

    assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);
    until("the counts", || (dropped(&gateway, "rejected"), metric(&gateway, "frontgate_spans_sent_total")) == (1.0, 1.0));

    assert_eq!(collector.0.received().len(), 1);
}

#[test]
fn no_more_wait_than_may() {
    let origin = origin();
    let environment = [("OTEL_BSP_SCHEDULE_DELAY", "3600000"), ("OTEL_BSP_MAX_QUEUE_SIZE", "6"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "6")];
    let gateway = gateway("full", origin.address, &nobody(), "", &environment);

    for _ in 0..10 {
        assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);
    }

    // Three requests wait, and those who wait are tried to be sent: perhaps that makes room once.
    until("lost spans", || dropped(&gateway, "queue_full") >= 8.0);
    assert!(dropped(&gateway, "queue_full") <= 14.0);
}

#[test]
fn a_drain_sends_what_is_left() {
    let (origin, collector) = (origin(), Collector::start());
    let mut gateway = gateway("drained", origin.address, &collector.0.address, "", &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);

    for _ in 0..5 {
        assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);
    }
    assert_eq!(collector.spans().len(), 0);
    gateway.signal("TERM");

    assert_eq!(gateway.end(), Some(0));
    assert_eq!(collector.spans().len(), 10);
}

#[test]
fn a_drain_does_not_wait_for_a_collector_that_is_away_or_hangs() {
    let (origin, gate) = (origin(), crate::harness::Gate::default());
    let held = gate.clone();
    let hung = Collector::behaving(move |_, _| {
        held.pass();
        false
    });
    for (name, address) in [("away", nobody()), ("hangs", hung.0.address)] {
        let environment = [("OTEL_BSP_SCHEDULE_DELAY", "3600000"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "500")];
        let mut gateway = gateway(&format!("left-{name}"), origin.address, &address, "", &environment);
        assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);

        let began = Instant::now();
        gateway.signal("TERM");

        assert_eq!(gateway.end(), Some(0), "{name}");
        assert!(began.elapsed() < Duration::from_secs(15), "{name}: {:?}", began.elapsed());
    }
    gate.open();
}

#[test]
fn a_reload_changes_shares_at_once_and_another_collector_gets_what_comes_then() {
    let (origin, first, second) = (origin(), Collector::start(), Collector::start());
    let text = configuration(origin.address, &first.0.address, "");
    let gateway = Process::start_in("tracing-reload", &text, &[SOON]);
    let reload = |text: &str| {
        std::fs::write(gateway.folder.join("frontgate.yaml"), text).unwrap();
        let reply = gateway.ask("POST", "/-/reload");
        assert_eq!(reply.status, 200, "{}", reply.text());
    };

    assert_eq!(ask(gateway.address, "/shop/1", "").status, 200);
    reload(&configuration(origin.address, &second.0.address, "sample: {routes: {shop: 100%}, otherwise: 0%}"));
    assert_eq!(ask(gateway.address, "/again/2", "").status, 200);
    assert_eq!(ask(gateway.address, "/shop/3", "").status, 200);
    let (before, after) = (first.wait_for(2), second.wait_for(2));

    assert!(before.iter().any(|span| span.get("url.path") == "/shop/1") && before.len() == 2, "{before:#?}");
    assert!(after.iter().any(|span| span.get("url.path") == "/shop/3") && after.len() == 2, "{after:#?}");
    assert!(!gateway.ask("GET", "/metrics").text().contains(&format!("spans:{}", first.0.address)), "who is not asked is not shown");
    reload(&text.replace(&format!("    otlp: http://{}\n", first.0.address), "").replace("  tracing:\n", ""));
    assert_eq!(ask(gateway.address, "/shop/4", "").status, 200);
    assert_eq!(origin.last().header("traceparent").len(), 0);
}
