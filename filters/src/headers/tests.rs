use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use super::*;

fn config(options: &str) -> Config {
    serde_json::from_str(options).expect("valid options")
}

fn facts() -> Facts {
    Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"))
}

fn all<'h>(map: &'h HeaderMap, name: &str) -> Vec<&'h [u8]> {
    map.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

#[test]
fn removes_then_sets_then_adds_on_requests() {
    let filter = Headers::new(&config(
        r#"{"request": {"remove": ["X-Debug"], "set": {"X-Env": "prod"}, "add": {"X-Tag": "b", "X-Debug": "fresh"}}}"#,
    ));
    let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
    for (name, value) in [("x-debug", "1"), ("X-Debug", "2"), ("X-Env", "theirs"), ("x-env", "again"), ("X-Tag", "a")] {
        head.append_header(name.to_owned(), value).expect("a header");
    }
    let mut facts = facts();

    let _ = filter.request(&mut Request::new(&mut head, &mut facts, Instant::now()));

    assert_eq!(all(&head.headers, "x-debug"), [b"fresh"]);
    assert_eq!(all(&head.headers, "x-env"), [b"prod"]);
    assert_eq!(all(&head.headers, "x-tag"), [b"a", b"b"]);
}

#[test]
fn what_some_servers_take_for_a_header_is_removed_and_replaced_with_it() {
    let filter = Headers::new(&config(r#"{"request": {"remove": ["X-De-Bug"], "set": {"X-Env": "prod"}, "add": {"X-Tag": "b"}}}"#));
    let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
    for name in ["X_De-Bug", "x-de_bug", "x_de_bug", "X_Env", "X_Env", "X_Tag", "XEnv", "X-Env-"] {
        head.append_header(name, "theirs").expect("a header");
    }
    let mut facts = facts();

    let _ = filter.request(&mut Request::new(&mut head, &mut facts, Instant::now()));

    let mut names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["x-env", "x-env-", "x-tag", "x_tag", "xenv"]);
    assert_eq!(all(&head.headers, "x-env"), [b"prod"]);
}

#[test]
fn changes_every_answer() {
    let filter = Headers::new(&config(
        r#"{"response": {"remove": ["Server"], "set": {"Strict-Transport-Security": "max-age=31536000"}, "add": {"Vary": "X-A"}}}"#,
    ));
    let mut head = ResponseHeader::build(404, None).expect("a head");
    for (name, value) in [("Server", "nginx"), ("strict-transport-security", "max-age=1"), ("Vary", "Origin")] {
        head.append_header(name, value).expect("a header");
    }

    filter.answer(&mut head, &facts());

    assert!(all(&head.headers, "server").is_empty());
    assert_eq!(all(&head.headers, "strict-transport-security"), [b"max-age=31536000"]);
    assert_eq!(all(&head.headers, "vary"), [&b"Origin"[..], b"X-A"]);
}

#[test]
fn names_that_frame_a_message_or_that_the_gateway_sets_and_values_that_are_none_are_problems() {
    for options in [
        r#"{"request": {"remove": ["Content-Length"]}}"#,
        r#"{"request": {"set": {"X-Forwarded-For": "1.2.3.4"}}}"#,
        r#"{"request": {"add": {"Host": "x"}}}"#,
        r#"{"response": {"set": {"Transfer-Encoding": "chunked"}}}"#,
        r#"{"response": {"remove": ["X-Request-Id"]}}"#,
        r#"{"response": {"set": {"a b": "x"}}}"#,
        r#"{"response": {"set": {"X-A": "a\r\nX-B: c"}}}"#,
        r#"{"response": {"set": {"X-A": " a"}}}"#,
    ] {
        assert_eq!(config(options).problems().len(), 1, "{options}");
    }
    assert!(config(r#"{"response": {"set": {"X-A": ""}, "remove": ["Server"]}}"#).problems().is_empty());
}

#[test]
fn says_what_it_changes() {
    let told = |options: &str| Headers::new(&config(options)).told;

    assert_eq!(told("{}"), "changes nothing");
    assert_eq!(
        told(r#"{"request": {"set": {"X-Env": "prod"}}, "response": {"remove": ["Server", "X-Powered-By"], "add": {"Vary": "X-A"}}}"#),
        "on the request: sets X-Env, on the answer: removes Server, X-Powered-By; adds Vary"
    );
}
