//! What the filter makes of requests.

use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};
use pingora_http::ResponseHeader;

use super::super::config::At;
use super::super::drill::Met;
use super::{Bench, always, facts, head};
use crate::filter::inspect::FaultState;
use crate::filter::{Calling, Facts, Request, Verdict};
use crate::reply::Form;

const ABORT: &str = "{abort: {status: 503}, share: 100%}";

fn state(bench: &Bench) -> FaultState {
    bench.filter.inspect().fault.expect("a drill").state
}

#[test]
fn a_fault_at_the_upstream_is_drawn_and_left_to_the_attempts() {
    let bench = Bench::new(&always(ABORT));
    let mut facts = facts();

    assert!(bench.ask(&mut head(), &mut facts).is_none());

    let drawn = facts.fault.expect("a fault");
    assert_eq!((drawn.at(), drawn.met(), bench.injected("abort")), (At::Upstream, None, 0));
    assert!(drawn.deal(1).is_some_and(|dealt| dealt.plan.act.is_some() && dealt.held.is_none()));
    assert_eq!((drawn.met(), drawn.told(), bench.injected("abort")), (Some(Met::Fault), Some("abort"), 1));
    drawn.spares();
    assert_eq!((drawn.met(), drawn.told()), (Some(Met::Fault), None));
}

#[test]
fn an_abort_at_the_client_is_the_answer_in_the_form_that_the_client_reads() {
    let bench = Bench::new(&always("{abort: {status: 429, retry_after: 7s}, share: 100%, at: client}"));
    let reply = bench.ask(&mut head(), &mut facts()).expect("an answer");
    assert_eq!((reply.status, reply.code()), (StatusCode::TOO_MANY_REQUESTS, "fault_injected"));
    assert_eq!(reply.render(Form::Problem, &HeaderValue::from_static("r")).0.headers["retry-after"], "7");

    let bench = Bench::new(&always("{abort: {grpc_status: ABORTED}, share: 100%, at: client}"));
    assert!(bench.ask(&mut head(), &mut facts()).is_none(), "no call");
    let mut post = pingora_http::RequestHeader::build("POST", b"/a.B/C", None).expect("a head");
    post.insert_header("content-type", "application/grpc").expect("a header");
    let call = crate::grpc::Call::of(&post).expect("a call");
    let mut called = Facts { grpc: Some(call.clone()), ..facts() };
    let reply = bench.ask(&mut post, &mut called).expect("an answer");
    let (head, body) = reply.render(Form::Grpc(&call), &HeaderValue::from_static("r"));
    assert_eq!((head.status.as_u16(), &head.headers["grpc-status"], body.len()), (200, &HeaderValue::from_static("10"), 0));
    assert_eq!(head.headers.get_all("grpc-status").iter().count(), 1);
    assert_eq!(bench.injected("abort"), 1);
}

#[test]
fn no_more_requests_are_held_than_may_be_and_each_gives_its_place_back() {
    let bench = Bench::new(&format!("max_active: 2, {}", always("{delay: 1s, share: 100%}")));
    let deal = || {
        let mut facts = facts();
        assert!(bench.ask(&mut head(), &mut facts).is_none());
        facts.fault.expect("a fault").deal(1)
    };

    let held = [deal(), deal()];
    assert!(held.iter().all(|dealt| dealt.as_ref().is_some_and(|dealt| dealt.plan.delay == Some(Duration::from_secs(1)))));
    assert!(deal().is_none(), "there is no place");
    assert_eq!(bench.filter.inspect().fault.expect("a drill").active, 2);
    drop(held);
    assert!(deal().is_some());
    assert_eq!((bench.filter.inspect().fault.expect("a drill").active, bench.injected("delay")), (0, 3));
}

#[test]
fn the_same_somebody_is_always_hit_or_never() {
    let bench = Bench::new(&format!("by: header.x-user, max_share: 50%, rules: [{}]", "{abort: {status: 503}, share: 50%}"));
    let hit = |user: &str| {
        let (mut head, mut facts) = (head(), facts());
        head.insert_header("x-user", user).expect("a header");
        bench.ask(&mut head, &mut facts);
        facts.fault.is_some_and(|drawn| (1..5).all(|attempt| drawn.deal(attempt).is_some()))
    };

    let users: Vec<String> = (0..200).map(|number| format!("user-{number}")).collect();
    let all: Vec<bool> = users.iter().map(|user| hit(user)).collect();

    assert!((60..140).contains(&all.iter().filter(|hit| **hit).count()));
    assert_eq!(users.iter().map(|user| hit(user)).collect::<Vec<_>>(), all);
}

#[test]
fn chance_decides_for_each_further_attempt_anew() {
    let bench = Bench::new("max_share: 50%, rules: [{abort: {status: 503}, share: 50%}]");
    let drawn = std::iter::repeat_with(|| {
        let mut facts = facts();
        bench.ask(&mut head(), &mut facts);
        facts.fault
    });
    let drawn = drawn.take(1000).flatten().next().expect("half of all are hit");

    assert!(drawn.deal(1).is_some(), "the first attempt meets what was drawn");
    let again = (0..2000).filter(|_| drawn.deal(2).is_some()).count();
    assert!((800..1200).contains(&again), "{again} of 2,000");
}

#[test]
fn only_what_matches_is_hit() {
    let bench = Bench::new(&format!("match: {{header.x-chaos: \"on\"}}, {}", always(ABORT)));
    let hit = |value: &str| {
        let (mut head, mut facts) = (head(), facts());
        head.insert_header("x-chaos", value).expect("a header");
        bench.ask(&mut head, &mut facts);
        facts.fault.is_some()
    };

    assert_eq!([hit("on"), hit("off")], [true, false]);
}

#[test]
fn a_trusted_proxy_asks_for_faults_of_the_kinds_that_rules_have_and_nobody_else_is_heard() {
    let few = "max_share: 0.001%, rules: [{delay: 5ms, share: 0.0005%}, {abort: {status: 500}, share: 0.0005%}]";
    let bench = Bench::new(&format!("trusted_header: X-Fault, {few}"));
    let ask = |bench: &Bench, value: &str, from_trusted: bool| {
        let (mut head, mut facts) = (head(), Facts { from_trusted, ..facts() });
        head.insert_header("x-fault", value).expect("a header");
        bench.ask(&mut head, &mut facts);
        assert!(!head.headers.contains_key("x-fault"), "it is removed");
        facts.fault.map(|drawn| (drawn.plan().delay.map(|delay| delay.as_millis()), drawn.act().map(|act| act.to_string())))
    };

    assert_eq!(ask(&bench, "delay=400ms, abort=503", true), Some((Some(400), Some("abort 503".to_owned()))));
    assert_eq!(ask(&bench, "abort=504, abort=503", true), Some((None, Some("abort 504".to_owned()))));
    for value in ["", "delay", "delay=soon", "delay=400", "abort=200", "abort=9999", "reset=1", "delay=10m"] {
        assert_eq!(ask(&bench, value, true), None, "{value}");
    }
    assert_eq!(ask(&bench, "delay=400ms, abort=503", false), None);
    let aborts = Bench::new("trusted_header: X-Fault, max_share: 0.001%, rules: [{abort: {status: 500}, share: 0.001%}]");
    assert_eq!(ask(&aborts, "delay=400ms, abort=503", true), Some((None, Some("abort 503".to_owned()))));
}

#[test]
fn an_observed_drill_counts_and_does_nothing() {
    let bench = Bench::new(&format!("mode: observe, {}", always("{abort: {status: 503}, share: 100%, at: client}")));
    let mut facts = facts();

    assert!(bench.ask(&mut head(), &mut facts).is_none());

    assert!(facts.fault.is_none());
    assert_eq!(bench.injected("abort"), 1);
}

#[test]
fn a_drill_that_is_over_or_stopped_does_nothing() {
    let mut bench = Bench::new(&always(ABORT));
    let hit = |bench: &Bench| {
        let mut facts = facts();
        bench.ask(&mut head(), &mut facts);
        facts.fault.is_some()
    };
    assert_eq!((hit(&bench), state(&bench)), (true, FaultState::Running));

    bench.filter.stop_faults(true);
    assert_eq!((hit(&bench), state(&bench)), (false, FaultState::Stopped));
    let again = Bench::again(&always(ABORT), &bench.metrics, Some(&bench.filter));
    assert!(!hit(&again), "nor after a reload");
    bench.filter.stop_faults(false);
    assert!(hit(&bench));
    bench.now += Duration::from_secs(3601);
    assert!(!hit(&bench));
}

#[test]
fn what_was_drawn_before_drills_were_stopped_does_not_happen() {
    let bench = Bench::new(&always(ABORT));
    let mut facts = facts();
    bench.ask(&mut head(), &mut facts);

    bench.filter.stop_faults(true);

    assert!(facts.fault.is_some_and(|drawn| drawn.deal(1).is_none()));
}

#[test]
fn a_request_without_an_upstream_of_its_own_meets_only_what_is_at_its_clients_side() {
    let upstream = Bench::new(&always(ABORT));
    let client = Bench::new(&always("{abort: {status: 503}, share: 100%, at: client}"));
    let of_calls = || Facts { upstream: None, ..facts() };
    let of_nothing = || Facts { upstream: None, route_index: usize::MAX, ..facts() };
    let ask = |bench: &Bench, mut facts: Facts| (bench.ask(&mut head(), &mut facts).is_some(), facts.fault.is_some());

    assert_eq!(ask(&upstream, of_calls()), (false, false));
    assert_eq!(ask(&client, of_calls()), (true, true));
    assert_eq!(ask(&client, of_nothing()), (false, false));
}

#[test]
fn a_call_meets_what_is_drawn_for_it_or_what_was_asked_for_its_request() {
    let bench = Bench::new(&always("{abort: {status: 503}, share: 50%}, {abort: {status: 504}, share: 50%, at: client}"));
    let calling = Calling { asker: None, hosts: [None; 4], body: b"" };
    let mut met = Vec::new();
    for _ in 0..200 {
        let (mut head, mut facts) = (head(), facts());
        let mut request = Request::new(&mut head, &mut facts, Instant::now()).calling(&calling);
        assert!(matches!(bench.filter.request(&mut request), Verdict::Continue));
        met.push(facts.fault.map(|drawn| drawn.at()));
    }
    assert!(met.contains(&Some(At::Upstream)) && met.contains(&None) && !met.contains(&Some(At::Client)));

    let asked = Bench::new("trusted_header: x-fault, max_share: 0.001%, rules: [{abort: {status: 500}, share: 0.001%}]");
    let (mut head, mut facts) = (head(), Facts { from_trusted: true, upstream: None, ..facts() });
    head.insert_header("x-fault", "abort=418").expect("a header");
    asked.ask(&mut head, &mut facts);
    facts.upstream = Some("catalog".into());
    let mut request = Request::new(&mut head, &mut facts, Instant::now()).calling(&calling);
    assert!(matches!(asked.filter.request(&mut request), Verdict::Continue));
    assert!(facts.fault.is_some(), "it stays");
}

#[test]
fn a_drill_stops_by_itself_at_too_many_errors_until_the_next_reload() {
    let options = format!("stop_when: {{error_ratio: 20%, over: 8s}}, {}", always(ABORT));
    let mut bench = Bench::new(&options);
    let answer = |bench: &Bench, status: u16| {
        bench.ask(&mut head(), &mut facts());
        bench.chain.mark(&mut ResponseHeader::build(status, None).expect("a head"), &facts());
    };

    (0..19).for_each(|_| answer(&bench, 500));
    assert_eq!(state(&bench), FaultState::Running, "they are too few to say anything");
    bench.now += Duration::from_secs(9);
    (0..80).for_each(|_| answer(&bench, 200));
    (0..20).for_each(|_| answer(&bench, 500));
    assert_eq!(state(&bench), FaultState::Running, "a fifth of them, and those from before are forgotten");
    answer(&bench, 500);
    assert_eq!(state(&bench), FaultState::Tripped);
    let mut facts = facts();
    bench.ask(&mut head(), &mut facts);
    assert!(facts.fault.is_none());

    let again = Bench::again(&options, &bench.metrics, Some(&bench.filter));
    assert_eq!(state(&again), FaultState::Running);
}

#[test]
fn trusted_proxies_are_told_of_which_kind_a_fault_was() {
    let bench = Bench::new(&always(ABORT));
    let told = |from_trusted: bool, deals: bool| {
        let mut facts = Facts { from_trusted, ..facts() };
        bench.ask(&mut head(), &mut facts);
        if deals {
            facts.fault.as_ref().expect("a fault").deal(1);
        }
        let mut answer = ResponseHeader::build(503, None).expect("a head");
        bench.chain.mark(&mut answer, &facts);
        answer.headers.get("x-bff-fault").cloned()
    };

    assert_eq!(told(true, true), Some(HeaderValue::from_static("abort")));
    assert_eq!([told(true, false), told(false, true)], [None, None]);
}

#[test]
fn explaining_says_whom_it_hits_and_changes_nothing() {
    let explain = |bench: &Bench, user: &str| {
        let (mut head, mut facts, mut reasons) = (head(), facts(), Vec::new());
        head.insert_header("x-user", user).expect("a header");
        let mut request = Request::new(&mut head, &mut facts, bench.now).explained(&mut reasons);
        assert!(matches!(bench.filter.request(&mut request), Verdict::Continue));
        assert!(facts.fault.is_none());
        reasons.join("; ")
    };

    let bench = Bench::new(&format!("by: header.x-user, {}", always(ABORT)));
    let told = explain(&bench, "alice");
    assert!(told.contains("abort 503 for 100% at the upstream") && told.contains("who asks is always hit"), "{told}");
    bench.filter.stop_faults(true);
    assert_eq!(explain(&bench, "alice"), "an operator has stopped all drills");
    let bench = Bench::new(&format!("match: {{header.x-user: bob}}, {}", always(ABORT)));
    assert!(explain(&bench, "alice").ends_with("the request does not match"));
    assert!(explain(&bench, "bob").ends_with("decided by chance"));
}
