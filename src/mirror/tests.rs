//! Which requests are drawn, what becomes of the others, and what a copy has of its original. That it travels is tested over sockets.

use std::net::IpAddr;

use frontgate_filters::words::fields::text;
use http::header::{AUTHORIZATION, COOKIE};

use super::*;
use crate::config::load_text;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;

/// The mirror of a route with these options, and the page that shows what it counts.
fn mirror(options: &str) -> (Arc<Mirror>, Arc<Metrics>) {
    let text = format!(
        r#"
version: 1
server: {{listeners: [{{address: "127.0.0.1:0"}}]}}
upstreams:
  main: {{endpoints: ["127.0.0.1:9"]}}
  shadow: {{endpoints: ["127.0.0.1:9"]}}
filters:
  login: {{jwt: {{issuer: any, audience: any, algorithms: [HS256], keys: {{secret: {{env: PATH}}}}, from: [header.X-Token, cookie.t]}}}}
routes:
  - {{name: all, path: "/**", upstream: main, filters: [login], mirror: {{upstream: shadow{options}}}}}
telemetry: {{access_log: "off"}}
"#
    );
    let loaded = load_text("test.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let metrics = Metrics::new();
    let snapshot = Snapshot::compile(loaded, None, &metrics, None).expect("it compiles");
    metrics.route("all").record(&Method::GET, 200, Duration::ZERO, Duration::ZERO);
    (snapshot.routes[0].mirror.clone().expect("a mirror"), metrics)
}

fn shown(metrics: &Metrics, series: &str) -> u64 {
    let page = metrics.render(&Default::default(), &Default::default(), &[]);
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or_default()
}

fn head(method: &str) -> RequestHeader {
    RequestHeader::build(method, b"/", None).expect("a head")
}

fn facts() -> Facts {
    Facts::new(IpAddr::from([192, 0, 2, 1]), HeaderValue::from_static("r-1"))
}

fn draw(mirror: &Arc<Mirror>, method: &str, framing: Upload) -> Option<Box<Tee>> {
    mirror.draw(&head(method), &Drawn { facts: &facts(), framing, upgrades: false, draining: false, overloaded: false })
}

#[test]
fn a_share_of_requests_is_drawn() {
    let (mirror, _) = mirror(", share: 10%");

    let drawn = (0..20_000).filter(|_| draw(&mirror, "GET", Upload::None).is_some()).count();

    // Six standard deviations.
    assert!((1_745..2_255).contains(&drawn), "{drawn} of 20,000");
    let (whole, _) = self::mirror("");
    assert!((0..1000).all(|_| draw(&whole, "GET", Upload::None).is_some()), "all of them by default");
}

#[test]
fn what_cannot_be_copied_is_counted_with_its_reason() {
    let (mirror, metrics) = mirror(", methods: [GET, POST], body: 10B, max_in_flight: 1");
    let skipped = |reason: &str| shown(&metrics, &format!("frontgate_mirror_skipped_total{{route=\"all\",reason=\"{reason}\"}}"));
    let with = |upgrades, draining, overloaded| {
        let drawn = Drawn { facts: &facts(), framing: Upload::None, upgrades, draining, overloaded };
        mirror.draw(&head("GET"), &drawn).is_some()
    };

    assert!(draw(&mirror, "DELETE", Upload::None).is_none());
    assert!(draw(&mirror, "POST", Upload::Length(11)).is_none());
    assert!(!with(true, false, false) && !with(false, true, false) && !with(false, false, true));
    let held = draw(&mirror, "POST", Upload::Length(10)).expect("it fits");
    assert!(draw(&mirror, "GET", Upload::None).is_none(), "there is one already");
    drop(held);
    let again = draw(&mirror, "GET", Upload::None);

    assert!(again.is_some_and(|tee| tee.is_waiting()), "its place is free again");
    assert_eq!(["body", "protocol", "draining", "overload", "in_flight", "original"].map(skipped), [1, 1, 1, 1, 1, 2]);
}

#[test]
fn a_copy_has_no_secrets_a_mark_and_a_trace_of_its_own() {
    let (mirror, _) = mirror("");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("host", "shop.example"),
        ("authorization", "Bearer t"),
        ("cookie", "a=b"),
        ("x-token", "t"),
        ("x-user-id", "u-1"),
        ("traceparent", &format!("00-{trace}-b7ad6b7169203331-01")),
        ("tracestate", "a=b"),
        ("x-bff-mirror", "forged"),
    ] {
        fields.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_str(value).expect("a value"));
    }

    mirror.dress(&mut fields);

    assert!(!fields.contains_key(AUTHORIZATION) && !fields.contains_key(COOKIE) && !fields.contains_key("x-token"));
    assert!(!fields.contains_key(TRACESTATE));
    assert_eq!(["host", "x-user-id", "x-bff-mirror"].map(|name| fields[name].as_bytes()), [&b"shop.example"[..], b"u-1", b"1"]);
    let own = text(&fields[TRACEPARENT]).expect("text");
    assert!(own.ends_with("-01") && !own.contains(trace), "{own}");
}

#[test]
fn what_a_mirror_says_of_headers_holds_in_place_of_the_defaults() {
    let (mirror, _) = mirror(r#", headers: {remove: [X-A], set: {X-B: "2"}}"#);
    let mut fields = HeaderMap::new();
    for name in [AUTHORIZATION, HeaderName::from_static("x-a")] {
        fields.append(name, HeaderValue::from_static("1"));
    }

    mirror.dress(&mut fields);

    assert_eq!(fields.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["authorization", "x-b"]);
}

#[test]
fn whoever_ends_second_compares() {
    for (original, copy, expected) in
        [(Some(200), Some(200), [1, 0, 0]), (Some(200), Some(500), [0, 1, 0]), (Some(200), None, [0, 0, 1]), (None, Some(200), [0, 0, 0])]
    {
        for original_first in [true, false] {
            let (mirror, metrics) = mirror("");
            let pair = Pair::new(mirror.metrics.clone());
            if original_first {
                pair.original(original);
                pair.copy(copy);
            } else {
                pair.copy(copy);
                pair.original(original);
            }

            let count = |label: &str| shown(&metrics, &format!("frontgate_mirror_status_total{{route=\"all\",same=\"{label}\"}}"));
            assert_eq!(["true", "false", "no_answer"].map(count), expected, "{original:?} {copy:?} {original_first}");
        }
    }
}

#[test]
fn an_explanation_says_what_is_copied() {
    let (mirror, _) = mirror(", share: 12.5%");
    let mut call = facts();
    let mut asked = head("POST");
    asked.insert_header("content-type", "application/grpc").expect("a header");
    call.grpc = frontgate_filters::grpc::Call::of(&asked);

    assert_eq!(
        mirror.explain(&head("GET"), &facts(), false),
        "shadow gets a copy of 12.5 % of these requests, without authorization, cookie, x-token, with x-bff-mirror"
    );
    assert_eq!(mirror.explain(&head("POST"), &facts(), false), "shadow gets no copy: POST is not among the methods that are copied");
    assert!(mirror.explain(&head("GET"), &facts(), true).contains("neither calls of gRPC nor"));
    assert!(mirror.explain(&head("GET"), &call, false).contains("neither calls of gRPC nor"));
}
