//! Which requests a match takes, and what one match says of another.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use serde_json::{Value, json};

use super::*;
use crate::filter::{ClientCertificate, Identity, Tls};

fn read(facts: &Value) -> Match {
    let entries = facts.as_object().expect("a map").iter();
    let one = |text: &Value| Spanned::nowhere(text.as_str().expect("text").to_owned());
    let wanted = |value: &Value| match value {
        Value::String(text) if text == "*" => Wanted::Any,
        Value::Array(values) => Wanted::OneOf(values.iter().map(one).collect()),
        value => Wanted::OneOf(vec![one(value)]),
    };
    let facts =
        entries.map(|(selector, value)| Fact { selector: selector.parse().expect("a selector"), wanted: Spanned::nowhere(wanted(value)) });
    Match { facts: facts.collect() }
}

fn request() -> (RequestHeader, Facts) {
    let mut head = RequestHeader::build("GET", b"/a?x=1", None).expect("a head");
    for (name, value) in [("Host", "Shop.Example:80"), ("X-Api-Version", "2"), ("X-Api-Version", "3"), ("Cookie", "beta=yes")] {
        head.append_header(name, value).expect("a header");
    }
    let mut facts = Facts::new(IpAddr::from([10, 1, 2, 3]), HeaderValue::from_static("r-1"));
    facts.identity =
        Some(Arc::new(Identity::new(json!({"roles": ["user", "tester"], "beta": true}).as_object().cloned().expect("claims"))));
    let client = ClientCertificate { san: vec!["a.example".into(), "b.example".into()], ..ClientCertificate::default() };
    facts.tls = Some(Arc::new(Tls { version: "1.3", sni: None, client: Some(client) }));
    facts.device = Some("tablet".into());
    (head, facts)
}

#[test]
fn all_facts_have_to_hold_and_of_each_one_value_is_enough() {
    let (head, facts) = request();
    for (wanted, holds) in [
        (json!({"header.X-Api-Version": "2"}), true),
        (json!({"header.x-api-version": ["1", "2"]}), true),
        (json!({"header.X-Api-Version": "*"}), true),
        // The first value of a header is its value.
        (json!({"header.X-Api-Version": "3"}), false),
        (json!({"header.X-Api-Version": "2", "cookie.beta": "no"}), false),
        (json!({"header.X-Api-Version": "2", "cookie.beta": "yes", "query.x": "1", "host": "shop.example", "scheme": "https"}), true),
        (json!({"header.X-Other": "*"}), false),
        (json!({"device": ["mobile", "tablet"]}), true),
        (json!({"client_ip": "10.0.0.0/8"}), true),
        (json!({"client_ip": ["192.0.2.1", "10.1.2.3"]}), true),
        (json!({"client_ip": "10.1.2.4"}), false),
        (json!({"client_ip": "*"}), true),
        // One member of what is a list is enough, and all of them together are none.
        (json!({"client_cert.san": "b.example"}), true),
        (json!({"client_cert.san": "a.example,b.example"}), false),
        (json!({"client_cert.cn": "*"}), false),
        (json!({"claim.roles": "tester"}), true),
        (json!({"claim.roles": "user,tester"}), false),
        (json!({"claim.beta": "true"}), true),
        (json!({"claim.gamma": "*"}), false),
        (json!({}), true),
    ] {
        let matcher = read(&wanted).compile();

        assert_eq!(matcher.holds(&head, &facts), holds, "{wanted}");
        assert_eq!(matcher.lacks(&head, &facts).is_none(), holds, "{wanted}");
    }
}

#[test]
fn a_mapped_address_is_the_one_that_it_maps() {
    let (head, mut facts) = request();
    facts.client_ip = "::ffff:10.1.2.3".parse().expect("an address");

    assert!(read(&json!({"client_ip": "10.0.0.0/8"})).compile().holds(&head, &facts));
}

#[test]
fn the_first_fact_that_is_lacking_is_told_and_whether_it_is_there_at_all() {
    let (head, facts) = request();
    let lacks = |wanted| read(&wanted).compile().lacks(&head, &facts);

    assert_eq!(
        lacks(json!({"scheme": "https", "cookie.beta": ["no", "never"], "header.X-Other": "1"})),
        Some(Lack { fact: 1, is_there: true })
    );
    assert_eq!(lacks(json!({"header.X-Other": "1"})), Some(Lack { fact: 0, is_there: false }));
    assert_eq!(lacks(json!({"client_ip": "192.0.2.0/24"})), Some(Lack { fact: 0, is_there: true }));
    assert_eq!(lacks(json!({"scheme": "https"})), None);
}

#[test]
fn one_match_implies_another_where_it_is_the_narrower_one() {
    for (narrow, wide, implies) in [
        (json!({"header.A": "1"}), json!({"header.A": "1"}), true),
        (json!({"header.A": "1"}), json!({"header.a": ["1", "2"]}), true),
        (json!({"header.A": ["1", "2"]}), json!({"header.A": "1"}), false),
        (json!({"header.A": "1"}), json!({"header.A": "*"}), true),
        (json!({"header.A": "*"}), json!({"header.A": "1"}), false),
        (json!({"header.A": "1", "header.B": "1"}), json!({"header.A": "1"}), true),
        (json!({"header.A": "1"}), json!({"header.A": "1", "header.B": "*"}), false),
        (json!({"header.A": "1"}), json!({"header.B": "1"}), false),
        (json!({"client_ip": "10.1.0.0/16"}), json!({"client_ip": "10.0.0.0/8"}), true),
        (json!({"client_ip": "10.0.0.0/8"}), json!({"client_ip": "10.1.0.0/16"}), false),
    ] {
        assert_eq!(read(&narrow).implies(&read(&wide)), implies, "{narrow} {wide}");
    }
    let (one, same) =
        (read(&json!({"header.A": ["1", "2"], "device": "mobile"})), read(&json!({"device": "mobile", "header.A": ["2", "1"]})));
    assert!(one.is_same_as(&same));
}

#[test]
fn two_matches_exclude_each_other_where_they_want_other_values_of_one_fact() {
    for (one, other, excludes) in [
        (json!({"client_ip": "10.0.0.0/8"}), json!({"client_ip": ["192.0.2.0/24", "11.0.0.1"]}), true),
        (json!({"client_ip": "10.0.0.0/8"}), json!({"client_ip": "10.1.2.3"}), false),
        (json!({"query.a": ["1", "2"]}), json!({"query.a": ["2", "3"]}), false),
        (json!({"query.a": ["1", "2"]}), json!({"query.a": "3", "scheme": "http"}), true),
        (json!({"query.a": "1"}), json!({"query.a": "*"}), false),
        (json!({"query.a": "1"}), json!({"query.b": "1"}), false),
        (json!({"header.a": "1"}), json!({"header.a": "2"}), false),
    ] {
        let by = |selector: &Selector| !matches!(selector, Selector::Header(_));

        assert_eq!(read(&one).excludes(&read(&other), by), excludes, "{one} {other}");
        assert_eq!(read(&other).excludes(&read(&one), by), excludes, "{other} {one}");
    }
}

#[test]
fn several_matches_cover_one_whose_values_they_share_out() {
    let covered = |one: Value, others: &[Value]| {
        let others: Vec<Match> = others.iter().map(read).collect();
        read(&one).is_covered_by(&others.iter().collect::<Vec<_>>())
    };

    assert!(covered(json!({"header.A": ["1", "2"]}), &[json!({"header.A": "1"}), json!({"header.A": "2"})]));
    assert!(!covered(json!({"header.A": ["1", "2", "3"]}), &[json!({"header.A": "1"}), json!({"header.A": "2"})]));
    assert!(covered(
        json!({"header.A": ["1", "2"], "device": ["mobile", "tablet"]}),
        &[json!({"header.A": "1", "device": "*"}), json!({"device": "mobile"}), json!({"header.A": "2", "device": "tablet"})]
    ));
    assert!(!covered(
        json!({"header.A": ["1", "2"], "device": ["mobile", "tablet"]}),
        &[json!({"header.A": "1", "device": "*"}), json!({"device": "mobile"})]
    ));
    // So many that nobody looks through them: not known to be covered.
    let many: Vec<String> = (0..=COMBINATIONS).map(|number| number.to_string()).collect();
    let each: Vec<Value> = many.iter().map(|value| json!({"header.A": value})).collect();
    assert!(!covered(json!({"header.A": many}), &each));
}

#[test]
fn values_that_no_request_has_are_found() {
    for (wanted, words) in [
        (json!({"client_ip": "10.0.0"}), "neither a network"),
        (json!({"scheme": "ftp"}), "`ftp` is not a scheme: `http` or `https`"),
        (json!({"tls.version": "1.1"}), "not a version of TLS"),
        (json!({"method": "get"}), "not a method"),
        (json!({"host": "Shop.example"}), "in lower case"),
        (json!({"path": "a"}), "begin with a slash"),
        (json!({"header.A": " 1"}), "spaces around"),
        (json!({"header.A": ["1", "1"]}), "listed twice"),
        (json!({"header.A": ["1", "*"]}), "without a list"),
        (json!({"header.A": []}), "has no value"),
        (json!({"header.A": "1", "header.a": "2"}), "stands twice"),
    ] {
        let found = read(&wanted).problems();

        assert!(found.len() == 1 && found[0].message.contains(words), "{wanted}: {found:?}");
    }
    assert!(read(&json!({"header.A": "", "client_ip": ["::1", "10.0.0.0/8"], "scheme": "http", "path": "/a"})).problems().is_empty());
}

#[test]
fn answers_vary_by_the_headers_that_were_looked_at() {
    let headers = |wanted| read(&wanted).compile().headers().iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>().join(" ");

    assert_eq!(headers(json!({"header.X-A": "1", "cookie.a": "1", "cookie.b": "1"})), "x-a cookie");
    assert_eq!(headers(json!({"device": "mobile", "header.User-Agent": "x"})), "user-agent sec-ch-ua-mobile sec-ch-ua-platform");
    assert_eq!(headers(json!({"client_ip": "*", "query.a": "1"})), "");
}

#[test]
fn it_is_written_as_a_map_and_shown_as_it_was_written() {
    let text = json!({"header.x-a": "1", "device": "*"});

    let read: Match = serde_json::from_value(text.clone()).expect("a match");

    assert_eq!(serde_json::to_value(&read).expect("JSON"), text);
    assert_eq!(read.facts.len(), 2);
}
