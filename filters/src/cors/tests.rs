use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use pingora_http::RequestHeader;

use super::*;
use crate::reply::Form;

fn filter(options: &str) -> Cors {
    let config: Config = serde_json::from_str(options).expect("valid options");
    assert_eq!(config.problems(), Vec::new());
    Cors::new(&config)
}

/// The answer to this request with its marks; the reply where the filter makes one, else a bare 200 with `upstream`'s headers.
fn ask(filter: &Cors, method: &str, headers: &[(&'static str, &'static str)], upstream: &[(&'static str, &'static str)]) -> ResponseHeader {
    let mut head = RequestHeader::build(method, b"/", None).expect("a head");
    for (name, value) in headers {
        head.append_header(*name, *value).expect("a header");
    }
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
    facts.origin = head.headers.get("origin").cloned();
    let mut answer = match filter.request(&mut Request::new(&mut head, &mut facts, Instant::now())) {
        Verdict::Reply(reply) => reply.render(Form::default(), &HeaderValue::from_static("r-1")).0,
        _ => {
            let mut answer = ResponseHeader::build(200, None).expect("a head");
            for (name, value) in upstream {
                answer.append_header(*name, *value).expect("a header");
            }
            answer
        }
    };
    filter.answer(&mut answer, &facts);
    answer
}

const WEB: &str = r#"{"origins": ["https://shop.example", "http://localhost:3000"], "methods": ["GET", "PUT"], "headers": ["Authorization"],
    "expose": ["X-Total"], "credentials": true, "max_age": "10m"}"#;

#[test]
fn a_preflight_is_answered_with_what_is_allowed() {
    let answer = ask(&filter(WEB), "OPTIONS", &[("Origin", "https://shop.example"), ("Access-Control-Request-Method", "PUT")], &[]);

    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://shop.example"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "Authorization"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.headers.get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()), "{name}");
    }
}

#[test]
fn other_origins_are_told_nothing() {
    for origin in [
        "https://evil.example",
        "https://shop.example.evil",
        "http://shop.example",
        "https://shop.example:444",
        "null",
        "https://SHOP.example",
    ] {
        let preflight = ask(&filter(WEB), "OPTIONS", &[("Origin", origin), ("Access-Control-Request-Method", "PUT")], &[]);
        let plain = ask(&filter(WEB), "GET", &[("Origin", origin)], &[("Access-Control-Allow-Origin", "*")]);

        assert_eq!((preflight.status.as_u16(), plain.status.as_u16()), (403, 200), "{origin}");
        for answer in [preflight, plain] {
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{origin}");
            assert_eq!(answer.headers["vary"], "Origin");
        }
    }
}

#[test]
fn the_upstreams_own_word_is_replaced() {
    let upstream = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Origin", "x"), ("Vary", "Accept, origin")];

    let answer = ask(&filter(WEB), "GET", &[("Origin", "http://localhost:3000")], &upstream);

    let all: Vec<_> = answer.headers.get_all("access-control-allow-origin").iter().collect();
    assert_eq!(all, ["http://localhost:3000"]);
    assert_eq!(answer.headers.get_all("vary").iter().count(), 1);
    assert_eq!(answer.headers["access-control-expose-headers"], "X-Total");
}

#[test]
fn only_the_filter_says_what_it_governs() {
    let upstream = [
        ("Access-Control-Allow-Methods", "DELETE"),
        ("Access-Control-Allow-Headers", "*"),
        ("Access-Control-Max-Age", "86400"),
        ("Access-Control-Allow-Private-Network", "true"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "*"),
        ("X-Own", "1"),
    ];
    let names = |answer: &ResponseHeader| -> Vec<String> { answer.headers.keys().map(|name| name.as_str().to_owned()).collect() };

    let mine = ask(&filter(WEB), "OPTIONS", &[("Origin", "https://shop.example")], &upstream);
    let other = ask(&filter(WEB), "GET", &[("Origin", "https://evil.example")], &upstream);
    let nobody = ask(&filter(WEB), "GET", &[], &upstream);

    let mut said = names(&mine);
    said.sort_unstable();
    let expected = ["access-control-allow-credentials", "access-control-allow-origin", "access-control-expose-headers", "vary", "x-own"];
    assert_eq!(
        (said, &mine.headers["access-control-expose-headers"]),
        (expected.map(str::to_owned).to_vec(), &HeaderValue::from_static("X-Total"))
    );
    assert_eq!((names(&other), names(&nobody)), (vec!["x-own".to_owned(), "vary".to_owned()], vec!["x-own".to_owned(), "vary".to_owned()]));
}

#[test]
fn a_list_in_vary_may_hold_any_bytes() {
    let mut answer = ResponseHeader::build(200, None).expect("a head");
    answer.append_header("Vary", HeaderValue::from_bytes(b"\xfc, ORIGIN").expect("a value")).expect("a header");

    filter(WEB).answer(&mut answer, &Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1")));

    assert_eq!(answer.headers.get_all("vary").iter().count(), 1);
}

#[test]
fn a_star_is_for_everybody_and_varies_with_nobody() {
    let answer = ask(&filter(r#"{"origins": ["*"]}"#), "GET", &[("Origin", "https://any.example")], &[]);

    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert!(!answer.headers.contains_key("vary"));
}

#[test]
fn options_without_a_method_to_ask_about_is_no_preflight() {
    assert_eq!(ask(&filter(WEB), "OPTIONS", &[("Origin", "https://shop.example")], &[]).status, 200);
    assert_eq!(ask(&filter(WEB), "OPTIONS", &[("Access-Control-Request-Method", "PUT")], &[]).status, 200);
}

#[test]
fn what_cannot_work_is_told() {
    for (options, words) in [
        (r#"{"origins": []}"#, "empty"),
        (r#"{"origins": ["*"], "credentials": true}"#, "browsers refuse"),
        (r#"{"origins": ["*", "https://a"]}"#, "the only origin"),
        (r#"{"origins": ["shop.example"]}"#, "not an origin"),
        (r#"{"origins": ["https://shop.example/"]}"#, "not an origin"),
        (r#"{"origins": ["https://Shop.example"]}"#, "not an origin"),
        (r#"{"origins": ["https://*.example"]}"#, "not an origin"),
        (r#"{"origins": ["https://shop.example:443"]}"#, "not an origin"),
        (r#"{"origins": ["https://a"], "methods": ["get"]}"#, "not a method"),
        (r#"{"origins": ["https://a"], "headers": ["a b"]}"#, "not a header name"),
    ] {
        let config: Config = serde_json::from_str(options).expect("options");
        assert!(config.problems().iter().any(|problem| problem.message.contains(words)), "{options}: {:?}", config.problems());
    }
}

#[test]
fn a_page_that_calls_grpc_web_may_read_what_came_of_it() {
    let answer = |content_type: &str| {
        let mut head = RequestHeader::build("POST", b"/", None).expect("a head");
        head.insert_header("content-type", content_type).expect("a header");
        let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
        facts.origin = Some(HeaderValue::from_static("https://shop.example"));
        facts.grpc = crate::grpc::Call::of(&head);
        let mut answer = ResponseHeader::build(200, None).expect("a head");
        filter(WEB).answer(&mut answer, &facts);
        answer.headers["access-control-expose-headers"].clone()
    };

    assert_eq!(answer("application/grpc-web+proto"), "X-Total, grpc-status, grpc-message, grpc-status-details-bin");
    assert_eq!(answer("application/grpc"), "X-Total");
}
