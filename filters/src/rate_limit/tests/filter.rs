//! The filter as the chain meets it: keys, tiers, answers, counts, state.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use pingora_http::{RequestHeader, ResponseHeader};
use prometheus::Registry;
use serde_json::json;

use crate::count::metrics::Families;
use crate::filter::build::{Build, Nowhere};
use crate::filter::pseudonym::Part;
use crate::filter::{Facts, Filter, Identity, Outcome, Request, ResponseFilter, Verdict};
use crate::registry::{FilterConfig, FilterEntry};
use crate::reply::Reply;
use crate::words::fields;

struct Bench {
    filter: Arc<dyn Filter>,
    metrics: Families,
    now: Instant,
}

enum Got {
    Passed(Option<Box<dyn ResponseFilter>>),
    Refused(Reply),
}

impl Got {
    fn passed(&self) -> bool {
        matches!(self, Self::Passed(_))
    }
    fn reply(self) -> Reply {
        match self {
            Self::Refused(reply) => reply,
            Self::Passed(_) => panic!("it passed"),
        }
    }
    fn half(self) -> Box<dyn ResponseFilter> {
        match self {
            Self::Passed(half) => half.expect("a response half"),
            Self::Refused(reply) => panic!("refused with {}", reply.code()),
        }
    }
}

fn config(options: &str) -> FilterConfig {
    serde_json::from_str::<FilterEntry>(&format!(r#"{{"rate_limit": {options}}}"#)).expect("options").config
}

impl Bench {
    fn new(options: &str) -> Self {
        let metrics = Families::new(&Registry::new());
        let with = Build { name: "per_client", metrics: &metrics, outside: &Nowhere::default(), previous: None };
        let filter = config(options).options().build(&with).expect("a filter");
        Self { filter, metrics, now: Instant::now() }
    }

    fn send(&self, facts: &mut Facts, headers: &[(&'static str, &str)]) -> Got {
        let mut head = RequestHeader::build("GET", b"/a", None).expect("a head");
        for (name, value) in headers {
            head.append_header(*name, *value).expect("a header");
        }
        match self.filter.request(&mut Request::new(&mut head, facts, self.now)) {
            Verdict::Continue => Got::Passed(None),
            Verdict::ContinueWith(half) => Got::Passed(Some(half)),
            Verdict::Reply(reply) => Got::Refused(reply),
            Verdict::Wait(_) => panic!("it waits"),
        }
    }

    fn from(&self, ip: &str) -> Got {
        self.send(&mut facts(ip), &[])
    }

    fn count(&self, tier: &str, decision: &str) -> u64 {
        let family = self.metrics.counters("rate_limit_decisions_total", "Decisions of rate limits.", &["filter", "tier", "decision"]);
        family.with_label_values(&["per_client", tier, decision]).get()
    }
}

fn facts(ip: &str) -> Facts {
    Facts::new(ip.parse::<IpAddr>().expect("an address"), HeaderValue::from_static("r-1"))
}

fn with_claims(ip: &str, claims: serde_json::Value) -> Facts {
    let mut facts = facts(ip);
    facts.identity = Some(Arc::new(Identity::new(claims.as_object().cloned().expect("an object"))));
    facts
}

fn header<'r>(reply: &'r Reply, name: &str) -> &'r str {
    reply.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| fields::text(value).expect("text"))
}

fn values(head: &ResponseHeader, name: &str) -> Vec<String> {
    head.headers.get_all(name).iter().map(|value| fields::text(value).expect("text").to_owned()).collect()
}

#[test]
fn admits_a_burst_then_rejects_with_the_headers_of_the_draft() {
    let bench = Bench::new(r#"{"key": "client_ip", "rate": "100/s", "burst": 200, "exact": true}"#);
    let mut facts = facts("192.0.2.1");

    let mut last = None;
    for _ in 0..50 {
        last = Some(bench.send(&mut facts, &[]).half());
    }
    let mut head = ResponseHeader::build(200, None).expect("a head");
    last.expect("a half").head(&mut head);
    assert_eq!(values(&head, "ratelimit-policy"), [r#""per_client";q=200;w=2"#]);
    assert_eq!(values(&head, "ratelimit"), [r#""per_client";r=150;t=2"#]);
    assert!(facts.limit.is_none());

    let rest = (0..200).filter(|_| bench.send(&mut facts, &[]).passed()).count();
    let reply = bench.send(&mut facts, &[]).reply();

    assert_eq!(rest, 150);
    assert_eq!((reply.status.as_u16(), reply.code()), (429, "rate_limited"));
    assert_eq!(header(&reply, "retry-after"), "1");
    assert_eq!(header(&reply, "ratelimit-policy"), r#""per_client";q=200;w=2"#);
    assert_eq!(header(&reply, "ratelimit"), r#""per_client";r=0;t=1"#);
    assert_eq!(facts.limit.as_deref(), Some("per_client"));
    assert_eq!((bench.count("_none", "allowed"), bench.count("_none", "limited")), (200, 51));
}

#[test]
fn the_members_are_appended_once_to_what_the_upstream_says() {
    let bench = Bench::new(r#"{"key": "client_ip", "rate": "2/m"}"#);
    let mut half = bench.from("192.0.2.1").half();

    for _ in 0..2 {
        let mut head = ResponseHeader::build(200, None).expect("a head");
        head.append_header("RateLimit", r#""theirs";r=1;t=1"#).expect("a header");
        half.head(&mut head);
        half.head(&mut head);
        assert_eq!(values(&head, "ratelimit"), [r#""theirs";r=1;t=1"#, r#""per_client";r=1;t=30"#]);
        assert_eq!(values(&head, "ratelimit-policy"), [r#""per_client";q=2;w=60"#]);
    }

    let mut head = ResponseHeader::build(200, None).expect("a head");
    bench.from("192.0.2.1").half().head(&mut head);
    assert_eq!(values(&head, "ratelimit"), [r#""per_client";r=0;t=30"#]);
    assert_eq!(header(&bench.from("192.0.2.1").reply(), "retry-after"), "30");
}

#[test]
fn addresses_of_one_slash_64_are_one_client_and_mapped_ones_are_ipv4() {
    let bench = Bench::new(r#"{"key": "client_ip", "rate": "1/h"}"#);

    assert!(bench.from("2001:db8:1:2::1").passed());
    assert!(!bench.from("2001:db8:1:2:ffff::9").passed());
    assert!(bench.from("2001:db8:1:3::1").passed());
    assert!(bench.from("192.0.2.1").passed());
    assert!(!bench.from("::ffff:192.0.2.1").passed());
    assert!(bench.from("192.0.2.2").passed());
}

#[test]
fn the_parts_of_a_composite_key_count_together() {
    let bench = Bench::new(r#"{"key": ["header.X-A", "header.X-B"], "rate": "1/h"}"#);
    let pass = |a: &str, b: &str| bench.send(&mut facts("192.0.2.1"), &[("X-A", a), ("X-B", b)]).passed();

    assert!(pass("ab", "c"));
    assert!(pass("a", "bc"), "the parts are apart");
    assert!(!pass("ab", "c"));
    assert!(pass("ab", "d"));
}

#[test]
fn a_missing_key_is_the_address_or_refused_or_free() {
    let options = |what: &str| format!(r#"{{"key": "header.X-Api-Key", "rate": "1/h", "on_missing_key": "{what}"}}"#);

    let by_address = Bench::new(&options("client_ip"));
    assert!(by_address.from("192.0.2.1").passed());
    assert!(!by_address.from("192.0.2.1").passed());
    assert!(by_address.from("192.0.2.2").passed());
    assert!(by_address.send(&mut facts("192.0.2.1"), &[("X-Api-Key", "192.0.2.1")]).passed(), "a key is never an address");

    let rejecting = Bench::new(&options("reject"));
    let mut facts = facts("192.0.2.1");
    let reply = rejecting.send(&mut facts, &[]).reply();
    assert_eq!((reply.status.as_u16(), reply.code()), (403, "limit_key_missing"));
    assert_eq!((rejecting.count("_none", "rejected"), facts.limit.as_deref()), (1, Some("per_client")));

    let allowing = Bench::new(&options("allow"));
    assert!((0..5).all(|_| matches!(allowing.from("192.0.2.1"), Got::Passed(None))));
    assert_eq!(allowing.count("_none", "exempt"), 5);
}

#[test]
fn a_claim_chooses_the_tier_and_each_has_its_own_account() {
    let bench = Bench::new(
        r#"{"key": "claim.sub", "tier": "claim.plan", "rates": {"free": {"rate": "1/h", "burst": 2}, "plus": "5/h"}, "otherwise": "free"}"#,
    );
    let passed = |claims: serde_json::Value| {
        let mut facts = with_claims("192.0.2.1", claims);
        let count = (0..10).filter(|_| bench.send(&mut facts, &[]).passed()).count();
        (count, facts.tier.as_deref().map(str::to_owned))
    };

    assert_eq!(passed(json!({"sub": "a", "plan": "plus"})), (5, Some("plus".to_owned())));
    assert_eq!(passed(json!({"sub": "b", "plan": "gold"})), (2, Some("free".to_owned())));
    assert_eq!(passed(json!({"sub": "c"})), (2, Some("free".to_owned())));
    assert_eq!(passed(json!({"sub": "a", "plan": "free"})), (2, Some("free".to_owned())));
    assert_eq!((bench.count("plus", "allowed"), bench.count("free", "limited")), (5, 24));
}

#[test]
fn too_many_at_once_spend_nothing_and_leave_when_they_end() {
    let bench = Bench::new(r#"{"key": "client_ip", "rate": "5/h", "concurrency": 2}"#);
    let (one, two) = (bench.from("192.0.2.1").half(), bench.from("192.0.2.1").half());
    let mut facts = facts("192.0.2.1");

    let reply = bench.send(&mut facts, &[]).reply();
    assert_eq!((reply.status.as_u16(), reply.code(), header(&reply, "retry-after")), (429, "too_many_at_once", "1"));
    assert_eq!(header(&reply, "ratelimit"), r#""per_client";r=3;t=2160"#);
    assert_eq!((bench.count("_none", "concurrency"), facts.limit.as_deref()), (1, Some("per_client")));
    assert!(bench.from("192.0.2.2").passed(), "others have places of their own");

    one.done(&Outcome { status: 200, complete: true, upstream_broke: false, grpc: None });
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = two;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert!((0..3).all(|_| bench.from("192.0.2.1").passed()), "three were left");
    assert!(!bench.from("192.0.2.1").passed());
}

#[test]
fn a_refusal_by_the_rate_holds_no_place() {
    let bench = Bench::new(r#"{"key": "client_ip", "rate": "1/h", "concurrency": 2}"#);
    drop(bench.from("192.0.2.1"));

    assert!((0..5).all(|_| bench.from("192.0.2.1").reply().code() == "rate_limited"));
}

#[test]
fn without_a_rate_only_what_is_in_flight_counts() {
    let bench = Bench::new(r#"{"key": "client_ip", "concurrency": 1}"#);
    let mut head = ResponseHeader::build(200, None).expect("a head");

    let mut half = bench.from("192.0.2.1").half();
    half.head(&mut head);

    assert!(head.headers.is_empty());
    assert_eq!(bench.from("192.0.2.1").reply().headers.len(), 1);
}

#[test]
fn keeps_counts_across_a_reload() {
    let options = r#"{"key": "client_ip", "rate": "2/h"}"#;
    let mut bench = Bench::new(options);
    assert!(bench.from("192.0.2.1").passed());

    let with = Build { name: "per_client", metrics: &bench.metrics, outside: &Nowhere::default(), previous: Some(&bench.filter) };
    let next = config(options).options().build(&with).expect("a filter");
    bench.filter = next;

    assert!(bench.from("192.0.2.1").passed());
    assert!(!bench.from("192.0.2.1").passed());
}

#[test]
fn says_why() {
    let bench = Bench::new(r#"{"key": ["claim.sub", "client_ip"], "tier": "claim.plan", "rates": {"free": "1/h"}, "otherwise": "free"}"#);
    let mut told = Vec::new();
    let mut explain = |live| {
        let (mut head, mut facts) = (RequestHeader::build("GET", b"/", None).expect("a head"), facts("2001:db8::1"));
        let mut request = Request::new(&mut head, &mut facts, bench.now).explained(&mut told).live(live);
        matches!(bench.filter.request(&mut request), Verdict::Reply(_))
    };
    // However often it is explained, nothing is taken.
    assert!(!explain(false) && !explain(true));
    assert!(bench.from("2001:db8::1").passed());
    assert!(explain(false) && explain(true));
    assert!(!bench.from("2001:db8::1").passed());
    assert_eq!(bench.filter.inspect().refused[0].refused, 1, "only the request that was refused is counted");

    let account =
        "tier free: 1/h with a burst of 1, exact, by claim.sub is missing, client_ip=2001:db8::1 (its /64), so client_ip=2001:db8::1";
    let lines = [
        format!("allowed: {account}"),
        format!("allowed: {account}; 1 of 1 are left"),
        format!("over the limit: {account}"),
        format!("over the limit: {account}; 0 of 1 are left, the next one in 3600 s"),
    ];
    assert_eq!(told, lines);
}

#[test]
fn the_key_and_the_law_choose_the_ledger() {
    for (options, how) in [
        (r#"{"key": "client_ip", "rate": "100/s"}"#, "estimated"),
        (r#"{"key": "client_ip", "rate": "100/s", "exact": true}"#, "exact"),
        (r#"{"key": "client_ip", "rate": "100/h"}"#, "exact"),
        (r#"{"key": "header.X-Api-Key", "rate": "100/s"}"#, "exact"),
        (r#"{"key": "header.X-Api-Key", "rate": "100/s", "exact": false}"#, "estimated"),
    ] {
        let (bench, mut told) = (Bench::new(options), Vec::new());
        let (mut head, mut facts) = (RequestHeader::build("GET", b"/", None).expect("a head"), facts("192.0.2.1"));
        let now = bench.now + Duration::from_secs(1);
        let _ = bench.filter.request(&mut Request::new(&mut head, &mut facts, now).explained(&mut told));
        assert!(told[0].contains(&format!(", {how}, by ")), "{options}: {told:?}");
    }
}

#[test]
fn a_refusal_names_whom_it_counted_for_and_operators_see_the_busiest() {
    let bench = Bench::new(r#"{"key": ["header.X-Api-Key", "client_ip", "method"], "rate": "1/h", "burst": 1}"#);
    let send = |ip: &str, key: Option<&str>| {
        let mut facts = facts(ip);
        let headers: Vec<_> = key.map(|key| ("X-Api-Key", key)).into_iter().collect();
        let passed = bench.send(&mut facts, &headers).passed();
        (passed, facts.limit_key.map(|parts| parts.to_vec()))
    };
    let (named, plain) = (|text: &str| Part::Named(text.as_bytes().into()), |text: &str| Part::Plain(text.into()));

    assert_eq!(send("192.0.2.1", Some("k-1")), (true, None));
    let key = vec![named("k-1"), plain("192.0.2.1"), plain("GET")];
    assert_eq!(send("192.0.2.1", Some("k-1")), (false, Some(key.clone())));
    assert_eq!(send("192.0.2.1", Some("k-1")).1.as_ref(), Some(&key));
    assert_eq!(send("2001:db8::7", None), (true, None));
    assert_eq!(send("2001:db8::8", None), (false, Some(vec![plain("2001:db8::/64")])));

    let busiest: Vec<_> = bench.filter.inspect().refused.into_iter().map(|known| (known.key.to_vec(), known.refused, known.tier)).collect();
    assert_eq!(busiest, [(key, 2, None), (vec![plain("2001:db8::/64")], 1, None)]);
}
