use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method};
use pingora_http::{RequestHeader, ResponseHeader};
use serde_json::json;

use super::super::Forced;
use super::super::cache::{Asked, Store};
use super::bench::*;
use crate::chain::Exchange;
use crate::filter::{Attempt, Facts, Identity};

const FOR_ALL: &str = r#"{"fallback": [{"cached": {"max_age": "10m"}}]}"#;
const PER_USER: &str = r#"{"fallback": [{"cached": {"max_age": "10m", "per": "claim.sub"}}]}"#;

fn got(method: &str, path: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
    let mut head = request(method, path);
    for (name, value) in headers {
        head.insert_header(*name, *value).expect("a header");
    }
    head
}

fn user(sub: Option<&str>) -> Facts {
    let mut facts = facts();
    let claims = sub.map(|sub| json!({"sub": sub})).unwrap_or(json!({"name": "nobody"}));
    facts.identity = Some(Arc::new(Identity::new(claims.as_object().cloned().expect("an object"))));
    facts
}

/// Stores one answer, opens the circuit, and says what another request then finds.
fn found(options: &str, first: (RequestHeader, Facts), answer: &ResponseHeader, then: (RequestHeader, Facts)) -> Option<String> {
    let bench = Bench::new(options);
    bench.send(first.0, first.1, |_| Ok(answer.clone()), "kept");
    finds(&bench, then.0, then.1)
}

fn finds(bench: &Bench, head: RequestHeader, facts: Facts) -> Option<String> {
    bench.force(Some(Forced::Open));
    let got = bench.send(head, facts, |_| panic!("open"), "");
    bench.force(None);
    (got.status < 300).then(|| got.text().to_owned())
}

#[test]
fn answers_are_found_by_all_that_makes_requests_alike() {
    let mut elsewhere = facts();
    elsewhere.route = "other".into();
    let first = || (request("GET", "/a?x=1"), facts());
    let kept = Some("kept".to_owned());
    for (then, expected) in [
        ((request("GET", "/a?x=1"), facts()), kept.clone()),
        ((request("HEAD", "/a?x=1"), facts()), kept.clone()),
        ((request("GET", "/a?x=2"), facts()), None),
        ((request("GET", "/a"), facts()), None),
        ((request("GET", "/a?"), facts()), None),
        ((request("GET", "/b?x=1"), facts()), None),
        ((request("GET", "/a?x=1"), elsewhere), None),
        ((got("GET", "/a?x=1", &[("Host", "other.example")]), facts()), None),
        ((got("GET", "/a?x=1", &[("Accept", "a/b")]), facts()), kept),
    ] {
        let what = format!("{} {}", then.0.method, then.0.uri);
        assert_eq!(found(FOR_ALL, first(), &status(200), then), expected, "{what}");
    }
    assert_eq!(found(FOR_ALL, (request("HEAD", "/a"), facts()), &status(200), (request("GET", "/a"), facts())), None);
}

#[test]
fn vary_keeps_answers_apart() {
    let english = || (got("GET", "/a", &[("Accept-Language", "en")]), facts());
    let german = || (got("GET", "/a", &[("Accept-Language", "de")]), facts());
    let none = || (request("GET", "/a"), facts());
    let varies = with(200, &[("Vary", "accept-language, Accept")]);
    assert_eq!(found(FOR_ALL, english(), &varies, english()).as_deref(), Some("kept"));
    assert_eq!(found(FOR_ALL, english(), &varies, german()), None);
    assert_eq!(found(FOR_ALL, english(), &varies, none()), None);
    assert_eq!(found(FOR_ALL, english(), &with(200, &[("Vary", "*")]), english()), None);

    let bench = Bench::new(FOR_ALL);
    for ((head, facts), body) in [(english(), "hello"), (german(), "hallo"), (english(), "hi")] {
        bench.send(head, facts, |_| Ok(varies.clone()), body);
    }
    assert_eq!(finds(&bench, german().0, facts()).as_deref(), Some("hallo"));
    assert_eq!(finds(&bench, english().0, facts()).as_deref(), Some("hi"));
}

#[test]
fn answers_that_begin_or_cease_to_vary_are_never_mixed_up() {
    let bench = Bench::new(FOR_ALL);
    let ask = |language: &str| got("GET", "/a", &[("Accept-Language", language)]);
    let answer = |language: &str, vary: Option<&str>, body: &str| {
        let head = vary.map_or(status(200), |vary| with(200, &[("Vary", vary)]));
        bench.send(ask(language), facts(), |_| Ok(head.clone()), body);
    };
    answer("en", None, "same");
    // The first that varies differently is let go, since the request's headers are gone; from then on they are known.
    answer("de", Some("Accept-Language"), "hallo");
    assert_eq!((finds(&bench, ask("en"), facts()), finds(&bench, ask("de"), facts())), (None, None));
    answer("de", Some("Accept-Language"), "hallo");
    assert_eq!(finds(&bench, ask("de"), facts()).as_deref(), Some("hallo"));
    assert_eq!(finds(&bench, ask("en"), facts()), None);
    answer("en", None, "same again");
    assert_eq!(finds(&bench, ask("de"), facts()).as_deref(), Some("same again"));
}

#[test]
fn what_must_not_be_kept_is_not() {
    let ask = || (request("GET", "/a"), facts());
    for answer in [
        with(200, &[("Cache-Control", "max-age=1, No-Store")]),
        with(200, &[("Cache-Control", "max-age=1"), ("Cache-Control", "private=\"x\"")]),
        with(200, &[("Set-Cookie", "sid=1")]),
        with(206, &[]),
        with(404, &[]),
        with(302, &[]),
        with(200, &[("Content-Length", "9")]),
        with(200, &[("Content-Length", "99999999")]),
        with(200, &[("Age", "soon")]),
        with(200, &[("Age", "1"), ("Age", "99")]),
    ] {
        assert_eq!(found(FOR_ALL, ask(), &answer, ask()), None, "{answer:?}");
    }
    let quiet = || (got("GET", "/a", &[("Cache-Control", "no-store")]), facts());
    assert_eq!(found(FOR_ALL, quiet(), &status(200), ask()), None);
    assert_eq!(found(FOR_ALL, ask(), &with(200, &[("Cache-Control", "no-storage, s-maxage=1")]), ask()).as_deref(), Some("kept"));
}

#[test]
fn what_one_user_was_told_no_other_is() {
    let private = with(200, &[("Cache-Control", "private")]);
    let token = || got("GET", "/a", &[("Authorization", "Bearer t")]);
    let ask = || request("GET", "/a");
    // Without `per`: nothing from and nothing for those who say who they are, even where the token was taken out of the request.
    assert_eq!(found(FOR_ALL, (token(), facts()), &status(200), (token(), facts())), None);
    assert_eq!(found(FOR_ALL, (token(), facts()), &status(200), (ask(), facts())), None);
    assert_eq!(found(FOR_ALL, (ask(), user(Some("a"))), &status(200), (ask(), facts())), None);
    assert_eq!(found(FOR_ALL, (ask(), facts()), &private, (ask(), facts())), None);
    // With it: one's own, private or not.
    assert_eq!(found(PER_USER, (token(), user(Some("a"))), &private, (token(), user(Some("a")))).as_deref(), Some("kept"));
    assert_eq!(found(PER_USER, (token(), user(Some("a"))), &private, (token(), user(Some("b")))), None);
    assert_eq!(found(PER_USER, (token(), user(None)), &status(200), (token(), user(None))), None);
    assert_eq!(found(PER_USER, (ask(), facts()), &status(200), (ask(), facts())), None);
    assert_eq!(found(PER_USER, (token(), user(Some("a"))), &with(200, &[("Set-Cookie", "a=b")]), (token(), user(Some("a")))), None);
}

#[test]
fn an_answer_that_is_too_old_does_not_serve() {
    let mut bench = Bench::new(FOR_ALL);
    bench.get("/a", |_| Ok(status(200)));
    bench.get("/old", |_| Ok(with(200, &[("Age", "300")])));
    bench.later(599);
    assert_eq!(finds(&bench, request("GET", "/a"), facts()).as_deref(), Some("fresh"));
    assert_eq!(finds(&bench, request("GET", "/old"), facts()), None);
    bench.later(2);
    assert_eq!(finds(&bench, request("GET", "/a"), facts()), None);
}

#[test]
fn only_answers_that_came_whole_are_kept_and_their_chunks_stay_ones_own() {
    let bench = Bench::new(FOR_ALL);
    let through = |parts: &[&[u8]], last: bool| {
        let (mut head, mut facts, mut exchange) = (request("GET", "/a"), facts(), Exchange::default());
        bench.ask(&mut head, &mut facts, &mut exchange);
        let answer = status(200);
        let (took, now) = (Duration::ZERO, bench.now);
        exchange.attempt(&Attempt { upstream: "catalog", result: Ok(&answer), took, now, last: true, replayable: true, grpc: None });
        exchange.head(&Method::GET, &mut status(200));
        for part in parts {
            let mut body = Some(Bytes::copy_from_slice(part));
            exchange.body(&mut body, false);
            assert!(body.is_some_and(|body| body.is_unique()), "a shared chunk cannot be changed in place");
        }
        if last {
            exchange.body(&mut None, true);
        }
    };
    through(&[b"half"], false);
    assert_eq!(finds(&bench, request("GET", "/a"), facts()), None);
    through(&[b"the ", b"whole"], true);
    assert_eq!(finds(&bench, request("GET", "/a"), facts()).as_deref(), Some("the whole"));
    through(&[&[b'x'; 700 << 10], &[b'x'; 700 << 10]], true);
    assert_eq!(finds(&bench, request("GET", "/a"), facts()).as_deref(), Some("the whole"), "too large to be kept");
}

#[test]
fn an_answer_without_a_body_is_kept_too() {
    let ask = || (request("GET", "/a"), facts());
    let bench = Bench::new(FOR_ALL);
    bench.send(ask().0, ask().1, |_| Ok(status(204)), "");
    assert_eq!(finds(&bench, ask().0, facts()).as_deref(), Some(""));
}

#[test]
fn what_was_about_that_one_message_is_left_out() {
    let bench = Bench::new(FOR_ALL);
    let answer = with(
        200,
        &[
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("Expires", "0"),
            ("RateLimit", "\"a\";r=1"),
            ("X-Request-Id", "theirs"),
            ("Content-Encoding", "gzip"),
            ("Link", "</a>; rel=x"),
            ("Link", "</b>; rel=y"),
        ],
    );
    bench.get("/a", |_| Ok(answer.clone()));
    let got = bench.get("/a", |_| Ok(status(500)));
    for gone in ["connection", "x-hop", "date", "expires", "ratelimit"] {
        assert_eq!(got.header(gone), None, "{gone}");
    }
    assert_eq!((got.header("content-encoding"), got.header("x-request-id")), (Some("gzip"), Some("r")));
    assert_eq!(got.head.headers.get_all("link").iter().count(), 2);
}

#[test]
fn the_store_never_holds_more_than_it_may() {
    let store = Store::new();
    let now = Instant::now();
    let mut kept = 0;
    for number in 0..200 {
        let ask = store.ask(&request("GET", &format!("/{number}")), &facts(), None, None).expect("a key");
        let mut copying = store.copying(&ask, &status(200)).expect("to be kept");
        assert!(copying.take(&vec![b'x'; 1 << 20]));
        assert!(!copying.take(b"more"));
        store.keep(copying, now);
        assert!(store.weight() <= 64 << 20, "{}", store.weight());
        kept += u32::from(store.find(&ask, now, Duration::from_secs(1)).is_some());
    }
    assert!(kept >= 190 && store.weight() > 32 << 20, "{kept} were kept, {} bytes", store.weight());
}

#[test]
fn headers_that_are_joined_and_headers_that_are_apart_are_not_alike() {
    let varies = with(200, &[("Vary", "A, B")]);
    let one = (got("GET", "/a", &[("A", "x"), ("B", "y")]), facts());
    let mut other = request("GET", "/a");
    other.append_header("A", HeaderValue::from_static("x")).expect("a header");
    other.append_header("A", HeaderValue::from_static("y")).expect("a header");
    assert_eq!(found(FOR_ALL, one, &varies, (other, facts())), None);
}

/// Keeps this answer to a request that was asked for already; whether it is kept at all.
fn keep(store: &Store, asked: &Asked, answer: &ResponseHeader) -> bool {
    let Some(mut copying) = store.copying(asked, answer) else { return false };
    assert!(copying.take(b"kept"));
    store.keep(copying, Instant::now());
    true
}

#[test]
fn what_was_asked_for_before_a_change_is_not_found_after_it() {
    let (store, hour) = (Store::new(), Duration::from_secs(3600));
    let ask = |head: &RequestHeader| store.ask(head, &facts(), None, None).expect("a key");
    let is_found = |head: &RequestHeader| store.find(&ask(head), Instant::now(), hour).is_some();
    let (head, other) = (request("GET", "/a?x=1"), request("GET", "/b"));

    // The first answer to a target is on its way while something changes, whatever that is: it is let go, and the next one is kept.
    let early = ask(&head);
    store.forget(&other);
    assert!(!keep(&store, &early, &status(200)) && !is_found(&head));
    assert!(keep(&store, &ask(&head), &status(200)) && is_found(&head));

    // One to a target that was known is out of reach.
    let late = ask(&head);
    store.forget(&got("PUT", "/a?x=1", &[("Host", "Shop.EXAMPLE.:8080")]));
    assert!(!is_found(&head));
    keep(&store, &late, &status(200));
    assert!(!is_found(&head));
    assert!(keep(&store, &ask(&head), &status(200)) && is_found(&head));

    // What else there is stays.
    for elsewhere in [got("PUT", "/a?x=1", &[("Host", "shop.example.org")]), request("PUT", "/a?x=2"), request("PUT", "/a")] {
        store.forget(&elsewhere);
    }
    assert!(is_found(&head));
}

#[test]
fn answers_that_vary_do_not_come_back_after_a_change() {
    let bench = Bench::new(FOR_ALL);
    let ask = |language: &str| got("GET", "/a", &[("Accept-Language", language)]);
    let varies = with(200, &[("Vary", "Accept-Language")]);
    for language in ["en", "de", "en"] {
        bench.send(ask(language), facts(), |_| Ok(varies.clone()), language);
    }

    bench.filter.forget(&request("DELETE", "/a"));
    bench.send(ask("en"), facts(), |_| Ok(varies.clone()), "new");

    assert_eq!((finds(&bench, ask("en"), facts()).as_deref(), finds(&bench, ask("de"), facts())), (Some("new"), None));
}

#[test]
fn what_is_gone_is_not_kept_and_what_is_gone_for_one_is_there_for_others() {
    let ask = || request("GET", "/a");
    for code in [404, 410] {
        for method in ["GET", "HEAD"] {
            let bench = Bench::new(FOR_ALL);
            bench.send(ask(), facts(), |_| Ok(status(200)), "kept");
            bench.send(request(method, "/a"), facts(), |_| Ok(status(code)), "");
            assert_eq!(finds(&bench, ask(), facts()), None, "{method} {code}");
        }
    }
    let bench = Bench::new(FOR_ALL);
    bench.send(ask(), facts(), |_| Ok(status(200)), "kept");
    bench.send(ask(), facts(), |_| Ok(status(403)), "");
    assert_eq!(finds(&bench, ask(), facts()).as_deref(), Some("kept"));

    let bench = Bench::new(PER_USER);
    for user in ["a", "b"] {
        bench.send(ask(), self::user(Some(user)), |_| Ok(with(200, &[("Vary", "Accept")])), user);
    }
    bench.send(ask(), user(Some("a")), |_| Ok(status(404)), "");
    assert_eq!((finds(&bench, ask(), user(Some("a"))), finds(&bench, ask(), user(Some("b"))).as_deref()), (None, Some("b")));
    // What one's own old answers varied by is no way back to them.
    bench.send(got("GET", "/a", &[("Accept", "x/y")]), user(Some("a")), |_| Ok(with(200, &[("Vary", "Accept")])), "new");
    assert_eq!(finds(&bench, ask(), user(Some("a"))), None);
}
