use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use pingora_http::RequestHeader;
use prometheus::Registry;
use serde_json::{Value, json};

use super::*;
use crate::count::metrics::Families;
use crate::filter::build::Nowhere;
use crate::filter::options::Options;
use crate::filter::{ClientCertificate, Facts, Identity, Tls};

fn filter(options: &str) -> Rbac {
    let config: Config = serde_json::from_str(options).expect("valid options");
    assert_eq!(config.problems(), Vec::new());
    let metrics = Families::new(&Registry::new());
    Rbac::build(&config, &Build { name: "admins", metrics: &metrics, outside: &Nowhere::default(), previous: None }).expect("a filter")
}

/// The status and the word for a request; 200 where it goes on.
fn ask(filter: &Rbac, claims: Option<Value>, method: &str, path: &str) -> (u16, &'static str, String) {
    let mut head = RequestHeader::build(method, path.as_bytes(), None).expect("a head");
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
    facts.identity = claims.map(|claims| Arc::new(Identity::new(claims.as_object().cloned().expect("an object"))));
    let verdict = match filter.request(&mut Request::new(&mut head, &mut facts, Instant::now())) {
        Verdict::Continue => None,
        Verdict::Reply(reply) => Some(reply),
        _ => panic!("neither"),
    };
    let challenge = verdict.as_ref().map_or(String::new(), |reply| format!("{:?}", reply.headers[0].1));
    (verdict.map_or(200, |reply| reply.status.as_u16()), facts.reason, challenge)
}

fn status(filter: &Rbac, claims: Value) -> u16 {
    ask(filter, Some(claims), "GET", "/").0
}

#[test]
fn an_anonymous_request_is_unauthenticated() {
    let filter = filter(r#"{"claim": "roles", "none_of": ["banned"]}"#);
    let (status, word, challenge) = ask(&filter, None, "GET", "/");
    assert_eq!((status, word), (401, "anonymous"));
    assert!(challenge.contains("Bearer realm") && !challenge.contains("error"), "{challenge}");
}

#[test]
fn what_a_claim_holds_is_text_with_spaces_or_a_list() {
    let filter = filter(r#"{"claim": "realm.roles", "any_of": ["admin", "shop admin"]}"#);
    for (claim, expected) in [
        (json!("admin"), 200),
        (json!("user admin"), 200),
        (json!("  admin  "), 200),
        (json!(["user", "admin"]), 200),
        (json!(["shop admin"]), 200),
        (json!("shop admins"), 403),
        (json!(["user admin"]), 403),
        (json!([]), 403),
        (json!(""), 403),
        (json!(null), 403),
        (json!(true), 403),
        (json!(["admin", 1]), 403),
        (json!([["admin"]]), 403),
        (json!({"admin": true}), 403),
    ] {
        assert_eq!(status(&filter, json!({"realm": {"roles": claim}})), expected, "{claim}");
    }
    assert_eq!(ask(&filter, Some(json!({})), "GET", "/").1, "missing_claim");
    assert_eq!(ask(&filter, Some(json!({"realm": "admin"})), "GET", "/").1, "missing_claim");
}

#[test]
fn roles_that_only_look_alike_are_others() {
    let filter = filter(r#"{"claim": "roles", "any_of": ["admin"]}"#);
    for name in [
        "Admin",
        "ADMIN",
        "admin\u{0}",
        "admin\t",
        "\tadmin",
        "admin\u{a0}",
        "\u{430}dmin",
        "adm\u{131}n",
        "admin\u{200b}",
        "admin,user",
        "admins",
        "adm",
        "*",
        "",
        "user,admin",
        "a\u{300}dmin",
        "%61dmin",
    ] {
        assert_eq!(status(&filter, json!({"roles": [name]})), 403, "{name:?}");
        assert_eq!(status(&filter, json!({"roles": name})), 403, "{name:?}");
    }
}

#[test]
fn all_that_stands_must_be_met() {
    let filter = filter(r#"{"claim": "scope", "all_of": ["read", "write"], "any_of": ["eu", "us"], "none_of": ["banned"]}"#);
    for (claim, expected, word) in
        [("read write eu", 200, ""), ("read write", 403, "any_of"), ("read us", 403, "all_of"), ("read write us banned", 403, "none_of")]
    {
        let (status, found, challenge) = ask(&filter, Some(json!({"scope": claim})), "GET", "/");
        assert_eq!((status, found), (expected, word), "{claim}");
        assert!(status == 200 || challenge.contains(r#"error=\"insufficient_scope\", scope=\"read write eu\""#), "{challenge}");
    }
    assert_eq!(ask(&filter, Some(json!({})), "GET", "/").1, "missing_claim");
}

#[test]
fn a_missing_claim_is_denied_for_none_of_too() {
    let filter = filter(r#"{"claim": "flags", "none_of": ["banned"]}"#);
    assert_eq!(status(&filter, json!({})), 403);
    assert_eq!(status(&filter, json!({"flags": null})), 403);
    assert_eq!(status(&filter, json!({"flags": []})), 200);
    assert_eq!(status(&filter, json!({"flags": ["new"]})), 200);
    assert_eq!(status(&filter, json!({"flags": "banned"})), 403);
}

#[test]
fn roles_inherit_and_permit_methods_and_paths() {
    let filter = filter(
        r#"{"claim": "roles", "roles": {
            "viewer": ["GET /products/**"],
            "editor": ["viewer", "PUT /products/{id}", "POST /products"],
            "chief": ["editor", "DELETE /products/{id}"],
            "owner": ["* /**"]}}"#,
    );
    for (role, method, path, expected) in [
        ("viewer", "GET", "/products", 200),
        ("viewer", "HEAD", "/products/7/images", 200),
        ("viewer", "PUT", "/products/7", 403),
        ("viewer", "GET", "/product", 403),
        ("viewer", "GET", "/productsx", 403),
        ("editor", "GET", "/products/7", 200),
        ("editor", "PUT", "/products/7", 200),
        ("editor", "PUT", "/products/7/x", 403),
        ("editor", "POST", "/products/", 403),
        ("editor", "DELETE", "/products/7", 403),
        ("chief", "DELETE", "/products/7", 200),
        ("chief", "GET", "/products/7", 200),
        ("owner", "PATCH", "/anything", 200),
        ("nobody", "GET", "/products", 403),
        ("Viewer", "GET", "/products", 403),
    ] {
        assert_eq!(ask(&filter, Some(json!({"roles": [role]})), method, path).0, expected, "{role} {method} {path}");
    }
    assert_eq!(ask(&filter, Some(json!({"roles": "nobody viewer"})), "GET", "/products").0, 200);
}

#[test]
fn what_cannot_work_is_told() {
    for (options, words) in [
        (r#"{"claim": "roles"}"#, "checks nothing"),
        (r#"{"claim": "roles", "any_of": []}"#, "`any_of` is empty"),
        (r#"{"claim": "roles", "all_of": [""]}"#, "matches nobody"),
        (r#"{"claim": "roles", "roles": {}}"#, "`roles` is empty"),
        (r#"{"claim": "roles", "roles": {"a": ["b"]}}"#, "there is no role `b`"),
        (r#"{"claim": "roles", "roles": {"a": ["a"]}}"#, "inherits from itself: a → a"),
        (r#"{"claim": "roles", "roles": {"a": ["b"], "b": ["c"], "c": ["a"]}}"#, "a → b → c → a"),
        (r#"{"claim": "roles", "roles": {"a": ["get /x"]}}"#, "`get` is not a method"),
        (r#"{"claim": "roles", "roles": {"a": ["GET x"]}}"#, "not a path"),
        (r#"{"claim": "roles", "roles": {"a": ["/x"]}}"#, "not a permission"),
        (r#"{"claim": "roles", "roles": {"a": ["GET /**/x"]}}"#, "not a path"),
        (r#"{"claim": "roles", "roles": {"a b": ["GET /x"]}}"#, "not a name for a role"),
    ] {
        let config: Config = serde_json::from_str(options).expect("options");
        let found = config.problems();
        assert!(found.iter().any(|problem| problem.message.contains(words)), "{options}: {found:?}");
    }
    for options in [r#"{"any_of": ["a"]}"#, r#"{"claim": "a", "anyof": ["a"]}"#, r#"{"claim": "a..b", "any_of": ["a"]}"#] {
        assert!(serde_json::from_str::<Config>(options).is_err(), "{options}");
    }
}

/// The status and the word for a client with this certificate; `names` are its common names, its subject, its alternative names.
fn ask_with(filter: &Rbac, names: Option<(&[&str], &str, &[&str])>) -> (u16, &'static str) {
    let mut head = RequestHeader::build("GET", b"/a", None).expect("a head");
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
    let all = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
    let client = names.map(|(cn, subject, san)| ClientCertificate { cn: all(cn), subject: subject.into(), san: all(san) });
    facts.tls = Some(Arc::new(Tls { version: "1.3", sni: None, client }));
    let status = match filter.request(&mut Request::new(&mut head, &mut facts, Instant::now())) {
        Verdict::Continue => 200,
        Verdict::Reply(reply) => {
            assert!(reply.headers.iter().all(|(name, _)| name != WWW_AUTHENTICATE), "a certificate is asked for by no challenge");
            reply.status.as_u16()
        }
        _ => panic!("neither"),
    };
    (status, facts.reason)
}

#[test]
fn a_certificate_says_who_the_client_is() {
    let alice = Some((&["alice smith"][..], "CN=alice smith, O=Shop", &["spiffe://shop/alice", "alice.example"][..]));
    for (options, expected) in [
        (r#"{"by": "client_cert.cn", "any_of": ["alice smith"]}"#, (200, "")),
        (r#"{"by": "client_cert.cn", "any_of": ["alice", "smith"]}"#, (403, "any_of")),
        (r#"{"by": "client_cert.subject", "any_of": ["CN=alice smith, O=Shop"]}"#, (200, "")),
        (r#"{"by": "client_cert.subject", "any_of": ["CN=alice", "O=Shop"]}"#, (403, "any_of")),
        (r#"{"by": "client_cert.san", "all_of": ["alice.example", "spiffe://shop/alice"]}"#, (200, "")),
        (r#"{"by": "client_cert.san", "none_of": ["alice.example"]}"#, (403, "none_of")),
        (r#"{"by": "client_cert.cn", "roles": {"bob": ["* /**"]}}"#, (403, "no_permission")),
        (r#"{"by": "client_cert.cn", "roles": {"alice smith": ["GET /a"]}}"#, (200, "")),
        (r#"{"by": "client_cert.san", "roles": {"reader": ["GET /**"], "spiffe://shop/alice": ["reader"]}}"#, (200, "")),
    ] {
        assert_eq!(ask_with(&filter(options), alice), expected, "{options}");
    }
}

#[test]
fn who_shows_no_certificate_or_one_without_the_name_is_denied_for_none_of_too() {
    let filter = filter(r#"{"by": "client_cert.san", "none_of": ["mallory"]}"#);

    assert_eq!(ask_with(&filter, None), (403, "no_certificate"));
    assert_eq!(ask_with(&filter, Some((&["alice"], "CN=alice", &[]))), (403, "no_name"));
    assert_eq!(ask_with(&filter, Some((&[], "", &["alice"]))), (200, ""));
}

#[test]
fn what_no_client_has_proved_decides_nothing() {
    for (by, help) in [("header.x-user", "client_cert.cn"), ("claim.roles", "`claim: roles`"), ("client_ip", "client_cert.cn")] {
        let config: Config = serde_json::from_value(json!({"by": by, "any_of": ["a"]})).expect("options");
        let problems = config.problems();

        assert_eq!(problems.len(), 1, "{by}");
        assert!(problems[0].help.as_deref().is_some_and(|text| text.contains(help)), "{problems:?}");
    }
    assert!(serde_json::from_value::<Config>(json!({"any_of": ["a"]})).is_err());
    assert!(serde_json::from_value::<Config>(json!({"claim": "roles", "by": "client_cert.cn", "any_of": ["a"]})).is_err());
}
