//! Visitors of whom nothing is known but a cookie under the gateway's signature.

use std::collections::BTreeMap;

use super::{ask, named, text, who};
use crate::harness::{Gateway, Reply};

/// A key in a file that goes with the test.
struct Key(std::path::PathBuf);

impl Key {
    fn new(name: &str, key: &str) -> Self {
        let path = std::env::temp_dir().join(format!("frontgate-canary-{}-{name}.key", std::process::id()));
        std::fs::write(&path, key).unwrap();
        Self(path)
    }

    /// Half of all are drawn; `more` are more keys of `sticky`.
    fn route(&self, share: &str, variant: &str) -> String {
        [
            format!("canary: [{{version: v2, upstream: next, share: {share}, by: header.X-User{variant}}}]"),
            format!("canary_options: {{seed: shop, sticky: {{cookie: fg_v, ttl: 1d, key: {{file: \"{}\"}}}}}}", self.0.display()),
        ]
        .join("\n")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The cookie that an answer sets, as it is sent back.
fn cookie(reply: &Reply) -> Option<String> {
    let set = reply.header("set-cookie")?;
    assert!(set.ends_with("; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"), "{set}");
    assert_eq!(reply.head.matches("cache-control: no-cache=\"Set-Cookie\"").count(), 1, "{}", reply.head);
    Some(set.split(';').next().unwrap().to_owned())
}

#[test]
fn a_visitor_stays_with_a_version_on_every_node_and_raising_the_share_only_adds_some() {
    let (stable, next) = (named("stable"), named("next"));
    let key = Key::new("visitors", "0123456789abcdef\n");
    let start = |share: &str| Gateway::start(&text(stable.address, next.address, stable.address, "", &key.route(share, "")));
    let (one, other, more) = (start("50%"), start("50%"), start("70%"));
    let mut visitors = BTreeMap::new();
    for _ in 0..40 {
        let first = ask(one.address, "GET /x", "");
        let cookie = cookie(&first).expect("a cookie");
        visitors.insert(cookie, first.json()["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(visitors.len(), 40, "each is somebody else");
    let drawn = visitors.values().filter(|who| *who == "next").count();
    assert!((5..=35).contains(&drawn), "{drawn} of 40");

    for (cookie, before) in &visitors {
        let header = format!("Cookie: a=b; {cookie}\r\n");
        let again = ask(one.address, "GET /x", &header);
        assert_eq!((again.json()["name"].as_str(), again.header("set-cookie")), (Some(&**before), None), "{cookie}");
        assert_eq!(who(other.address, &header), *before, "{cookie}");
        assert!(before == "stable" || who(more.address, &header) == "next", "{cookie}");
    }
    // Who is known otherwise needs none.
    assert_eq!(ask(one.address, "GET /x", "X-User: alice\r\n").header("set-cookie"), None);
}

#[test]
fn a_cookie_that_is_forged_or_of_another_key_is_as_none() {
    let (stable, next) = (named("stable"), named("next"));
    let (key, others) = (Key::new("forged", "0123456789abcdef"), Key::new("others", "0123456789abcdeF"));
    let start = |key: &Key| Gateway::start(&text(stable.address, next.address, stable.address, "", &key.route("50%", "")));
    let (gateway, other) = (start(&key), start(&others));
    let good = cookie(&ask(gateway.address, "GET /x", "")).expect("a cookie");
    let asks = |cookie: &str| self::cookie(&ask(gateway.address, "GET /x", &format!("Cookie: {cookie}\r\n")));

    assert_eq!(asks(&good), None);
    let (name, signature) = good.rsplit_once('.').unwrap();
    let late = name.replace("fg_v=", "fg_v=A");
    for forged in [format!("{late}.{signature}"), name.to_owned(), format!("{name}."), "fg_v=v2".to_owned(), format!("{good}A")] {
        let fresh = asks(&forged).unwrap_or_else(|| panic!("`{forged}` was taken"));
        assert_ne!(fresh, forged);
    }
    assert!(cookie(&ask(other.address, "GET /x", &format!("Cookie: {good}\r\n"))).is_some(), "another key");
}

#[test]
fn a_match_may_ask_what_the_cookie_says_and_then_a_visitor_stays_whatever_the_share() {
    let (stable, next) = (named("stable"), named("next"));
    let key = Key::new("match", "0123456789abcdef");
    let start = |share: &str| {
        Gateway::start(&text(stable.address, next.address, stable.address, "", &key.route(share, ", match: {cookie.fg_v: v2}")))
    };
    let (all, none) = (start("100%"), start("0%"));
    let in_next = cookie(&ask(all.address, "GET /x", "")).expect("a cookie");
    let in_stable = cookie(&ask(none.address, "GET /x", "")).expect("a cookie");

    assert_eq!(who(none.address, &format!("Cookie: {in_next}\r\n")), "next");
    assert_eq!(who(none.address, &format!("Cookie: {in_stable}\r\n")), "stable");
    let moved = ask(all.address, "GET /x", &format!("Cookie: {in_stable}\r\n"));
    assert_eq!(moved.json()["name"], "next");
    assert!(cookie(&moved).is_some(), "the cookie says another version now");
}

#[test]
fn the_cookie_goes_over_encrypted_connections_alone_where_there_is_one() {
    let (stable, next) = (named("stable"), named("next"));
    let key = Key::new("secure", "0123456789abcdef");
    let start = |server: &str| Gateway::start(&text(stable.address, next.address, stable.address, server, &key.route("50%", "")));
    let set = |gateway: &Gateway| ask(gateway.address, "GET /x", "X-Forwarded-Proto: https\r\n").header("set-cookie").unwrap().to_owned();

    assert!(set(&start("trusted_proxies: [127.0.0.0/8]")).ends_with("; Secure"));
    assert!(set(&start("")).ends_with("; SameSite=Lax"), "who says so is no trusted proxy");
}
