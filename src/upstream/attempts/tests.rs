//! Attempts without sockets or sessions: what follows each end.

use frontgate_filters::filter::Failure;
use http::StatusCode;
use pingora_http::ResponseHeader;
use serde_json::json;

use super::*;
use crate::telemetry::Metrics;

/// A route's filters: they listen, and answer as they are told.
#[derive(Default)]
struct Filters {
    /// (whether it was the last one, whether it brought a head)
    heard: Vec<(bool, bool)>,
    rescues: Vec<Rescue>,
    others: Vec<Arc<Pool>>,
    deaf: bool,
    /// Where requests went on.
    moved: Vec<String>,
}

impl Audience for Filters {
    fn is_empty(&self) -> bool {
        self.deaf
    }
    fn is_measure(&self) -> bool {
        true
    }
    fn attempt(&mut self, attempt: &Attempt<'_>) -> Result<Rescue, Reply> {
        self.heard.push((attempt.last, attempt.result.is_ok()));
        Ok(if attempt.last { self.rescues.pop().unwrap_or(Rescue::Pass) } else { Rescue::Pass })
    }
    fn moved(&mut self, to: &str, _: Instant) {
        self.moved.push(to.to_owned());
    }
    fn upstream(&self, name: &str) -> Option<Arc<Pool>> {
        self.others.iter().find(|pool| &*pool.name == name).cloned()
    }
}

const GET: Asked = Asked { idempotent: true, replayable: true, probing: false, call: false, said: None };

fn pool(name: &str, json: serde_json::Value) -> Arc<Pool> {
    Arc::new(Pool::new(name, &serde_json::from_value(json).expect("an upstream"), None, &Metrics::new(), None))
}

fn retrying() -> serde_json::Value {
    json!({"endpoints": ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"], "retry": {"attempts": 3, "when": ["connect_failure", "timeout", 503]}})
}

fn head(status: u16) -> ResponseHeader {
    ResponseHeader::build(status, None).expect("a head")
}

#[test]
fn a_failed_attempt_is_followed_by_others_at_other_endpoints_and_the_last_one_counts() {
    let mut attempts = Attempts::default();
    let mut filters = Filters::default();
    let now = Instant::now();
    attempts.ask(pool("a", retrying()), None);
    let mut asked = std::collections::HashSet::new();

    for status in [Err(Failure::Connect), Err(Failure::Timeout)] {
        asked.insert(attempts.next(now).expect("an endpoint").pick().endpoint().address);
        assert!(matches!(attempts.settle(GET, status, now, &mut filters), Next::Again));
    }
    asked.insert(attempts.next(now).expect("an endpoint").pick().endpoint().address);
    let last = attempts.settle(GET, Ok(&head(503)), now, &mut filters);

    assert!(matches!(last, Next::Pass));
    assert_eq!(asked.len(), 3);
    assert_eq!(filters.heard, [(false, false), (false, false), (true, true)]);
    assert_eq!(attempts.count(), 3);
}

#[test]
fn what_may_not_be_repeated_is_not() {
    let now = Instant::now();
    let past = Some(now - Duration::from_millis(1));
    for (asked, result, limit) in [
        (Asked { idempotent: false, ..GET }, Err(Failure::Connect), None),
        (Asked { replayable: false, ..GET }, Err(Failure::Connect), None),
        (Asked { probing: true, ..GET }, Err(Failure::Connect), None),
        (GET, Err(Failure::Neutral), None),
        (GET, Ok(500), None),
        (GET, Ok(200), None),
        (GET, Err(Failure::Connect), past),
    ] {
        let mut attempts = Attempts::default();
        attempts.limit(limit);
        attempts.ask(pool("a", retrying()), None);
        attempts.next(now).expect("an endpoint");
        let head = result.as_ref().map(|status| head(*status)).map_err(|failure| *failure);

        let next =
            attempts.settle(asked, head.as_ref().map_err(|failure| *failure), now, &mut Filters { deaf: true, ..Filters::default() });

        assert!(matches!(next, Next::Pass), "{asked:?} {result:?} {limit:?}");
    }
}

#[test]
fn a_call_is_repeated_where_it_was_not_begun_upon_and_nowhere_else() {
    use telemetry::Attempt::{ConnectFailure, Reset};
    let call = Asked { idempotent: false, call: true, ..GET };
    let said = |number: u16| Asked { said: Status::named(number), ..call };
    let now = Instant::now();
    for (asked, ended, result, is_repeated) in [
        (call, Some(ConnectFailure), Err(Failure::Connect), true),
        (call, Some(Reset), Err(Failure::Connect), false),
        (said(14), None, Ok(200), true),
        (said(13), None, Ok(200), false),
        (call, None, Ok(200), false),
        (call, None, Ok(503), false),
        (Asked { call: false, ..said(14) }, None, Ok(200), false),
    ] {
        let mut attempts = Attempts::default();
        attempts.ask(pool("a", retrying()), None);
        attempts.next(now).expect("an endpoint");
        if let Some(ended) = ended {
            attempts.finished(ended, now);
        }
        let head = result.as_ref().map(|status| head(*status)).map_err(|failure| *failure);

        let next =
            attempts.settle(asked, head.as_ref().map_err(|failure| *failure), now, &mut Filters { deaf: true, ..Filters::default() });

        assert_eq!(matches!(next, Next::Again), is_repeated, "{asked:?} {result:?}");
    }
}

#[test]
fn an_upstream_without_a_retry_rule_is_asked_once() {
    let mut attempts = Attempts::default();
    attempts.ask(pool("a", json!({"endpoints": ["10.0.0.1:80"]})), None);
    attempts.next(Instant::now()).expect("an endpoint");

    assert!(matches!(attempts.settle(GET, Err(Failure::Connect), Instant::now(), &mut Filters::default()), Next::Pass));
}

#[test]
fn a_request_that_holds_a_retry_permit_gives_it_back_before_it_asks_for_another() {
    let upstream = pool("a", json!({"endpoints": ["10.0.0.1:80"], "retry": {"attempts": 9, "when": ["connect_failure"], "budget": "0%"}}));
    let now = Instant::now();
    let mut attempts = Attempts::default();
    attempts.ask(upstream.clone(), None);

    for _ in 0..8 {
        attempts.next(now).expect("an endpoint");
        assert!(matches!(attempts.settle(GET, Err(Failure::Connect), now, &mut Filters::default()), Next::Again));
    }
    drop(attempts);

    assert_eq!((0..3).filter_map(|_| upstream.retry_permit()).count(), 3);
}

#[test]
fn a_rescue_asks_another_upstream_anew_or_gives_an_answer() {
    let other = pool("b", retrying());
    let mut filters = Filters { others: vec![other], ..Filters::default() };
    filters.rescues = vec![Rescue::Reply(Reply::problem(StatusCode::OK, "rescued", "Rescued.")), Rescue::Pool("b".into())];
    let now = Instant::now();
    let mut attempts = Attempts::default();
    attempts.ask(pool("a", json!({"endpoints": ["10.0.0.1:80"]})), None);

    attempts.next(now).expect("an endpoint");
    assert!(matches!(attempts.settle(GET, Err(Failure::Connect), now, &mut filters), Next::Again));
    for _ in 0..2 {
        let current = attempts.next(now).expect("an endpoint");
        assert_eq!(&*current.pick().pool().name, "b");
        assert!(matches!(attempts.settle(GET, Err(Failure::Connect), now, &mut filters), Next::Again));
    }
    attempts.next(now).expect("an endpoint");

    let Next::Answer(reply) = attempts.settle(GET, Err(Failure::Connect), now, &mut filters) else { panic!("an answer") };
    assert_eq!(reply.code(), "rescued");
    assert_eq!(attempts.count(), 4);
}

#[test]
fn a_rescue_elsewhere_needs_the_whole_request() {
    let mut filters = Filters { others: vec![pool("b", retrying())], rescues: vec![Rescue::Pool("b".into())], ..Filters::default() };
    let mut attempts = Attempts::default();
    attempts.ask(pool("a", json!({"endpoints": ["10.0.0.1:80"]})), None);
    attempts.next(Instant::now()).expect("an endpoint");

    let next = attempts.settle(Asked { replayable: false, ..GET }, Err(Failure::Connect), Instant::now(), &mut filters);

    assert!(matches!(next, Next::Pass));
}

#[test]
fn an_attempt_may_take_as_long_as_the_shorter_of_two_deadlines() {
    let now = Instant::now();
    let upstream = pool("a", json!({"endpoints": ["10.0.0.1:80"], "timeouts": {"total": "2s"}}));
    for (limit, expected) in [(None, 2000), (Some(500), 500), (Some(5000), 2000)] {
        let mut attempts = Attempts::default();
        attempts.limit(limit.map(|millis| now + Duration::from_millis(millis)));
        attempts.ask(upstream.clone(), None);

        assert_eq!(attempts.next(now).expect("an endpoint").deadline(), Some(now + Duration::from_millis(expected)));
    }
}

#[test]
fn only_the_time_without_an_answer_is_waited_for_the_upstream() {
    let now = Instant::now();
    let at = |millis| now + Duration::from_millis(millis);
    let mut attempts = Attempts::default();
    attempts.ask(pool("a", json!({"endpoints": ["10.0.0.1:80"]})), None);

    attempts.next(at(0)).expect("an endpoint");
    assert!(attempts.request_sent().is_some());
    assert!(attempts.request_sent().is_none(), "known already");
    attempts.finished(telemetry::Attempt::Reset, at(100));
    attempts.next(at(150)).expect("an endpoint");
    attempts.head_arrived(200, at(180));
    attempts.finished(telemetry::Attempt::Ok, at(900));

    assert_eq!(attempts.waited(), Duration::from_millis(130));
    assert!(attempts.request_sent().is_none(), "the head is there already");
}

#[test]
fn an_attempt_is_counted_once() {
    let metrics = Metrics::new();
    let upstream = serde_json::from_value(json!({"endpoints": ["10.0.0.1:80"]})).expect("an upstream");
    let mut attempts = Attempts::default();
    attempts.ask(Arc::new(Pool::new("a", &upstream, None, &metrics, None)), None);
    attempts.next(Instant::now()).expect("an endpoint");

    attempts.finished(telemetry::Attempt::Reset, Instant::now());
    attempts.finished(telemetry::Attempt::Ok, Instant::now());

    let page = metrics.render(&std::collections::BTreeMap::new(), &std::collections::BTreeMap::new(), &[]);
    assert!(page.contains("frontgate_upstream_attempts_total{upstream=\"a\",result=\"reset\"} 1"), "{page}");
    assert!(page.contains("frontgate_upstream_attempts_total{upstream=\"a\",result=\"ok\"} 0"), "{page}");
}

#[test]
fn an_answer_that_fails_counts_once_and_apart_from_none() {
    let metrics = Metrics::new();
    let upstream = json!({"endpoints": ["10.0.0.1:80", "10.0.0.2:80"], "outlier": {"consecutive": 2, "eject_for": "1h"}});
    let upstream = Arc::new(Pool::new("a", &serde_json::from_value(upstream).expect("an upstream"), None, &metrics, None));
    let now = Instant::now();
    let failed = || {
        let page = metrics.render(&std::collections::BTreeMap::new(), &std::collections::BTreeMap::new(), &[]);
        let line = page.lines().find(|line| line.starts_with("frontgate_upstream_failed_answers_total{")).expect("the series").to_owned();
        line.rsplit_once(' ').expect("a value").1.to_owned()
    };
    let call = Asked { call: true, said: Some(Status::UNAVAILABLE), ..GET };
    let ask = |asked: Asked, result: Result<u16, Failure>| {
        let mut attempts = Attempts::default();
        attempts.ask(upstream.clone(), None);
        attempts.next(now).expect("an endpoint");
        let head = result.map(head);
        attempts.settle(asked, head.as_ref().map_err(|failure| *failure), now, &mut Filters { deaf: true, ..Filters::default() });
        // What all of a head says is said once more at the end.
        attempts.concluded(asked.said, now);
        failed()
    };

    assert_eq!([ask(GET, Ok(404)), ask(GET, Err(Failure::Connect)), ask(GET, Err(Failure::Timeout))], ["0", "0", "0"]);
    assert_eq!([ask(GET, Ok(200)), ask(GET, Ok(200))], ["0", "0"]);
    assert_eq!([ask(GET, Ok(503)), ask(GET, Ok(200)), ask(call, Ok(200)), ask(GET, Ok(500))], ["1", "1", "2", "3"]);
}

#[test]
fn a_call_whose_head_says_all_of_it_counts_once_against_its_endpoint() {
    let settings =
        json!({"endpoints": ["10.0.0.1:80", "10.0.0.2:80"], "balance": "round_robin", "outlier": {"consecutive": 2, "eject_for": "1h"}});
    let upstream = pool("a", settings);
    let now = Instant::now();
    let call = Asked { call: true, said: Some(Status::UNAVAILABLE), ..GET };
    let ejected = || upstream.status(now).endpoints.iter().filter(|endpoint| endpoint.ejected_for_ms.is_some()).count();
    let fail = || {
        let mut attempts = Attempts::default();
        attempts.ask(upstream.clone(), None);
        attempts.next(now).expect("an endpoint");
        attempts.settle(call, Ok(&head(200)), now, &mut Filters { deaf: true, ..Filters::default() });
        attempts.concluded(call.said, now);
        ejected()
    };

    // One each, then the second one at the first.
    assert_eq!([fail(), fail(), fail()], [0, 0, 1]);
}

#[test]
fn stale_connections_are_forgiven_a_few_times() {
    let mut attempts = Attempts::default();

    assert_eq!((0..10).filter(|_| attempts.forgives_stale()).count(), STALE as usize);
}

#[tokio::test]
async fn what_is_somebody_else_s_to_do_is_waited_for_aside() {
    let mut attempts = Attempts::default();
    let (say, said) = tokio::sync::oneshot::channel();
    let pause = Duration::from_millis(50);
    let saying = tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        say.send("done")
    });

    assert_eq!(attempts.aside(std::future::ready(1)).await, 1);
    assert_eq!(attempts.waited(), Duration::ZERO);
    assert_eq!(attempts.aside(said).await, Ok("done"));
    assert!(saying.await.is_ok());

    let waited = attempts.waited();
    assert!(waited >= pause, "{waited:?}");
    tokio::time::sleep(pause).await;
    attempts.rest(Instant::now());
    assert_eq!(attempts.waited(), waited, "nobody is waited for any longer");
}

fn aims(pools: &[&Arc<Pool>]) -> impl Iterator<Item = Aim> {
    let aims: Vec<Aim> = pools.iter().map(|pool| Aim { pool: (*pool).clone(), subset: None, hash: None }).collect();
    aims.into_iter()
}

#[test]
fn who_cannot_be_reached_gives_way_to_who_comes_next_after_all_of_its_own_attempts() {
    let (mut attempts, mut filters, now) = (Attempts::default(), Filters::default(), Instant::now());
    attempts.ask_in_turn(aims(&[&pool("next", retrying()), &pool("own", retrying()), &pool("last", retrying())]));

    for upstream in ["next", "next", "next", "own", "own", "own", "last", "last"] {
        assert_eq!(&*attempts.next(now).expect("an endpoint").pick().pool().name, upstream);
        attempts.because(Cause::Refused);
        assert!(matches!(attempts.settle(GET, Err(Failure::Connect), now, &mut filters), Next::Again), "{upstream}");
    }
    attempts.next(now).expect("an endpoint");
    attempts.because(Cause::TooSlow);
    assert!(matches!(attempts.settle(GET, Err(Failure::Timeout), now, &mut filters), Next::Pass), "nobody is left");

    assert_eq!((filters.moved, attempts.moves()), (vec!["own".to_owned(), "last".to_owned()], 2));
    assert_eq!(filters.heard.iter().filter(|(last, _)| *last).count(), 1, "one request counts once");
}

#[test]
fn only_what_was_never_sent_goes_on_at_another_upstream() {
    let plain = || json!({"endpoints": ["10.0.0.1:80"]});
    let moves = |asked: Asked, result: Result<u16, Failure>, connected: bool| {
        let (mut attempts, mut filters, now) = (Attempts::default(), Filters::default(), Instant::now());
        attempts.ask_in_turn(aims(&[&pool("next", plain()), &pool("own", plain())]));
        attempts.next(now).expect("an endpoint");
        if !connected {
            attempts.because(Cause::Refused);
        }
        let head = result.map(head);
        attempts.settle(asked, head.as_ref().map_err(|failure| *failure), now, &mut filters);
        attempts.moves() == 1
    };
    let post = Asked { idempotent: false, ..GET };

    assert!(
        moves(GET, Err(Failure::Connect), false) && moves(post, Err(Failure::Connect), false) && moves(post, Err(Failure::Timeout), false)
    );
    assert!(!moves(GET, Err(Failure::Connect), true), "it broke off after it was sent");
    assert!(!moves(GET, Err(Failure::Timeout), true) && !moves(GET, Ok(503), true) && !moves(GET, Err(Failure::Neutral), false));
    assert!(!moves(Asked { replayable: false, ..GET }, Err(Failure::Connect), false), "a part of its body is gone");
}

#[test]
fn no_endpoint_at_all_is_no_connection_and_a_fallback_goes_on_nowhere() {
    let (mut attempts, mut filters, now) = (Attempts::default(), Filters::default(), Instant::now());
    let full = pool("full", json!({"endpoints": ["10.0.0.1:80"], "max_connections": 1}));
    let _held = full.choose(None, None, &[], now).expect("an endpoint");
    let own = pool("own", json!({"endpoints": ["10.0.0.2:80"]}));
    filters.others.push(pool("other", json!({"endpoints": ["10.0.0.3:80"]})));
    filters.rescues.push(Rescue::Pool("other".into()));
    attempts.ask_in_turn(aims(&[&full, &own]));

    assert_eq!(attempts.next(now).err(), Some(NoPick::Full));
    assert!(matches!(attempts.settle(GET, Err(Failure::Unavailable), now, &mut filters), Next::Again));
    assert_eq!(&*attempts.next(now).expect("an endpoint").pick().pool().name, "own");
    assert!(matches!(attempts.settle(GET, Ok(&head(503)), now, &mut filters), Next::Again), "a filter offers another");
    assert_eq!(&*attempts.next(now).expect("an endpoint").pick().pool().name, "other");
    attempts.because(Cause::Refused);
    assert!(matches!(attempts.settle(GET, Err(Failure::Connect), now, &mut filters), Next::Pass));
    assert_eq!(attempts.moves(), 1);
}
