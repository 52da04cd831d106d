use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use pingora_http::RequestHeader;

use super::*;

fn filter(options: &str) -> VersionHeader {
    VersionHeader::new(&serde_json::from_str(options).expect("valid options"))
}

fn facts(version: Option<&'static str>) -> Facts {
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
    facts.version = version.map(HeaderValue::from_static);
    facts
}

#[test]
fn replaces_the_upstreams_own_copy() {
    let mut head = ResponseHeader::build(200, None).expect("a head");
    head.append_header("x-bff-version", "theirs").expect("a header");
    head.append_header("x-bff-version", "theirs too").expect("a header");

    filter(r#"{"value": "v1"}"#).answer(&mut head, &facts(None));

    let all: Vec<_> = head.headers.get_all("x-bff-version").iter().collect();
    assert_eq!(all, ["v1"]);
}

#[test]
fn the_endpoints_version_goes_before_the_value() {
    let mut head = ResponseHeader::build(200, None).expect("a head");

    filter(r#"{"value": "v1"}"#).answer(&mut head, &facts(Some("v2")));

    assert_eq!(head.headers["x-bff-version"], "v2");
}

#[test]
fn tells_only_the_sides_it_is_asked_to() {
    let mut request = RequestHeader::build("GET", b"/", None).expect("a head");
    let mut answer = ResponseHeader::build(200, None).expect("a head");
    let filter = filter(r#"{"name": "X-V", "value": "v1", "to": ["upstream"]}"#);
    let mut facts = facts(None);

    let _ = filter.request(&mut Request::new(&mut request, &mut facts, Instant::now()));
    filter.answer(&mut answer, &facts);

    assert_eq!(request.headers["x-v"], "v1");
    assert!(answer.headers.is_empty());
}

#[test]
fn names_and_values_that_cannot_stand_in_a_header_are_refused() {
    for options in [
        r#"{"value": ""}"#,
        r#"{"value": "a\nb"}"#,
        r#"{"value": " a"}"#,
        r#"{"value": "ä"}"#,
        r#"{"name": "a b", "value": "x"}"#,
        r#"{"name": "Content-Length", "value": "x"}"#,
        r#"{"value": "x", "nmae": "y"}"#,
    ] {
        assert!(serde_json::from_str::<Config>(options).is_err(), "{options}");
    }
}
