//! What is kept of answers is kept of one version.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ask, text};
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin};

const BY_USER: &str = "canary: [{version: v2, upstream: next, share: 100%, by: header.X-User, match: {header.X-BFF-Version: v2}}]
filters: [slim, guard]";
const TRUSTED: &str = "trusted_proxies: [127.0.0.0/8]";

/// An origin that answers with its name and a tag, and 304 to that, until it is told to fail.
fn origin(name: &'static str, fails: Arc<AtomicBool>) -> Origin {
    Origin::start(move |request, stream| {
        let text = match fails.load(Ordering::SeqCst) {
            true => response("503 No", "", ""),
            false if request.header("if-none-match").concat().ends_with("\"a\"") => {
                "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_owned()
            }
            false => {
                response("200 OK", "Content-Type: application/json\r\nETag: \"a\"\r\n", &format!("{{\"name\":\"{name}\",\"debug\":1}}"))
            }
        };
        stream.write_all(text.as_bytes()).is_ok()
    })
}

#[test]
fn the_last_good_answer_of_a_version_serves_that_version_alone() {
    let fails = Arc::new(AtomicBool::new(false));
    let (stable, next) = (origin("stable", fails.clone()), origin("next", fails.clone()));
    let gateway = Gateway::start(&text(stable.address, next.address, stable.address, TRUSTED, BY_USER));
    let name = |path: &str, version: &str| {
        let reply = ask(gateway.address, &format!("GET {path}"), &format!("X-BFF-Version: {version}\r\n"));
        (reply.status, reply.header("x-bff-fallback").map(str::to_owned), reply.header("x-bff-version").map(str::to_owned), reply.text())
    };
    let told = |status: u16, fallback: Option<&str>, version: &str, text: &str| {
        (status, fallback.map(str::to_owned), Some(version.to_owned()), text.to_owned())
    };
    assert_eq!(name("/one", "stable"), told(200, None, "stable", r#"{"name":"stable","debug":1}"#));
    assert_eq!(name("/one", "v2"), told(200, None, "v2", r#"{"name":"next","debug":1}"#));
    assert_eq!(name("/two", "stable").0, 200);

    fails.store(true, Ordering::SeqCst);

    assert_eq!(name("/one", "stable"), told(200, Some("cached"), "stable", r#"{"name":"stable","debug":1}"#));
    assert_eq!(name("/one", "v2"), told(200, Some("cached"), "v2", r#"{"name":"next","debug":1}"#));
    assert_eq!(name("/two", "v2").0, 503, "nothing was kept of that version");
    assert_eq!(name("/two", "stable").1.as_deref(), Some("cached"));
}

#[test]
fn the_tag_of_what_is_trimmed_belongs_to_one_version() {
    let never = Arc::new(AtomicBool::new(false));
    let (stable, next) = (origin("stable", never.clone()), origin("next", never));
    let gateway = Gateway::start(&text(stable.address, next.address, stable.address, TRUSTED, BY_USER));
    let asks = |version: &str, tag: &str| {
        let tag = if tag.is_empty() { String::new() } else { format!("If-None-Match: {tag}\r\n") };
        let reply = ask(gateway.address, "GET /x?as=tv", &format!("X-BFF-Version: {version}\r\n{tag}"));
        (reply.status, reply.header("etag").unwrap().to_owned())
    };
    let (_, of_stable) = asks("stable", "");
    let (_, of_next) = asks("v2", "");

    assert_ne!(of_stable, of_next);
    assert_eq!(asks("stable", &of_stable), (304, of_stable.clone()));
    assert_eq!(asks("v2", &of_next), (304, of_next.clone()));
    assert_eq!(asks("v2", &of_stable).0, 200, "the client has another version's answer");
    assert_eq!(asks("stable", &of_next).0, 200);

    // Without a canary the tags are those of stable: a canary that comes or goes leaves them alone.
    let without = Gateway::start(&text(stable.address, next.address, stable.address, "", "filters: [slim, guard]"));
    assert_eq!(ask(without.address, "GET /x?as=tv", "").header("etag"), Some(&*of_stable));
}
