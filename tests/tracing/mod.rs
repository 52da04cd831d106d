//! Spans of requests: which are made, what they say, where they go, and that nothing which becomes of them touches a request.

mod away;
pub mod collector;
mod context;
mod real;
mod sampled;
mod told;

use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;

use crate::harness::{Origin, Process, Reply, exchange, origin::response, yaml};
use collector::{Collector, Span, spans, taken};

/// A trace of somebody else's, and who has called in it.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Spans wait for no others.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "20");

/// An origin that answers as its path says: `/503` so, `/slow` late, everything else with 200.
fn origin() -> Origin {
    Origin::start(|request, stream| {
        let path = request.line().split(' ').nth(1).unwrap_or_default().to_owned();
        if path.contains("slow") {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        let status = if path.contains("503") { "503 Service Unavailable" } else { "200 OK" };
        stream.write_all(response(status, "Content-Type: application/json\r\n", "{}").as_bytes()).is_ok()
    })
}

/// The real binary with routes of every kind; `tracing` is what is said of it, beside the collector's URL.
fn gateway(name: &str, origin: SocketAddr, collector: &dyn Display, tracing: &str, environment: &[(&str, &str)]) -> Process {
    Process::start_in(&format!("tracing-{name}"), &configuration(origin, collector, tracing), environment)
}

fn configuration(origin: SocketAddr, collector: &dyn Display, tracing: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          admin: 127.0.0.1:0
          trusted_proxies: [127.0.0.1]
          threads: 1
          drain: {timeout: 20s}
        upstreams:
          main: {endpoints: [$ORIGIN]}
          again: {endpoints: [$ORIGIN], retry: {attempts: 3, when: [503], budget: 100%}}
          gone: {endpoints: [127.0.0.1:1]}
        filters:
          few: {rate_limit: {key: header.X-Who, rate: 1/h, burst: 1, on_missing_key: reject}}
          guard: {circuit_breaker: {fallback: [{upstream: main}]}}
        routes:
          - {name: shop, path: '/shop/{id}', upstream: main}
          - {name: rewritten, path: /old/**, upstream: main, rewrite: {path: '/new/{rest}'}}
          - {name: again, path: /again/**, upstream: again}
          - {name: gone, path: /gone/**, upstream: gone}
          - {name: rescued, path: /rescued/**, upstream: gone, filters: [guard]}
          - {name: few, path: /few, upstream: main, filters: [few]}
          - {name: fixed, path: /fixed, respond: {status: 204}}
          - {name: calls, path: /shop.v1.Shop/**, upstream: gone}
        telemetry:
          access_log: 'off'
          tracing:
            otlp: http://$COLLECTOR
            $TRACING
        ",
        &[("$ORIGIN", &origin), ("$COLLECTOR", collector), ("$TRACING", &tracing)],
    )
}

/// A request with more fields, each with its line's end.
fn ask(address: SocketAddr, target: &str, fields: &str) -> Reply {
    let request = format!("GET {target} HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: tests/1\r\n{fields}Connection: close\r\n\r\n");
    exchange(address, request.as_bytes()).expect("an answer")
}

/// A `traceparent` of the trace above.
fn called(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{CALLER}-{flags}\r\n")
}

/// A series of the gateway's own metrics, 0 where there is none.
fn metric(process: &Process, series: &str) -> f64 {
    let page = process.ask("GET", "/metrics").text();
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
}

fn dropped(process: &Process, reason: &str) -> f64 {
    metric(process, &format!("frontgate_spans_dropped_total{{reason=\"{reason}\"}}"))
}
