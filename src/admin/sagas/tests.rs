//! What operators are told of sagas and refused, over a journal that is there.

use serde_json::Value;

use super::super::tests::{ALL, PEER, admin, admin_with};
use super::*;
use crate::admin::Scope;
use crate::compose::saga::counted::Counted;
use crate::compose::saga::operated::trial::{Id, Millis, Runner, State, Stuck, moved};
use crate::status::{SagaList, SagaStatus};

async fn ask(admin: &Admin, method: &str, target: &str) -> (u16, Value) {
    ask_as(admin, method, target, None).await
}

async fn ask_as(admin: &Admin, method: &str, target: &str, token: Option<&str>) -> (u16, Value) {
    let mut head = RequestHeader::build(method, b"/", None).expect("a head");
    head.set_uri(target.parse().expect("a target"));
    head.append_header("Host", "localhost").expect("a header");
    if let Some(token) = token {
        head.append_header("Authorization", format!("Bearer {token}")).expect("a header");
    }
    let answer = admin.answer(&head, PEER).await;
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default())
}

/// A gateway with a saga that runs, one that is stuck, and one that is done.
async fn with_sagas(name: &str) -> (Admin, Arc<Runner>, [Id; 3]) {
    let (admin, runner) = (admin(ALL), Runner::new(name));
    let running = runner.put(0x0190_aaaa_0000_7000_8000_0000_0000_0001, |_| {}).await;
    let pivot = |step| State::Stuck(Stuck::Pivot(step));
    let stuck = runner.put(0x0190_aaaa_0000_7000_8000_0000_0000_0002, |record| moved(record, &[State::Running(2), pivot(2)])).await;
    let done = runner.put(0x0190_bbbb_0000_7000_8000_0000_0000_0003, |record| moved(record, &[State::Done])).await;
    admin.gateway.is_steered_by(runner.clone());
    (admin, runner, [running, stuck, done])
}

fn detail(answer: &(u16, Value)) -> (u16, &str, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default(), answer.1["detail"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn operators_are_told_of_what_is_open_and_of_each_by_its_id() {
    let (admin, _runner, [running, stuck, done]) = with_sagas("admin-list").await;
    let listed = async |target: &str| {
        let (status, told) = ask(&admin, "GET", target).await;
        assert_eq!(status, 200, "{target}: {told}");
        let list: SagaList = serde_json::from_value(told).expect("a list");
        list.sagas.into_iter().map(|saga| saga.id).collect::<Vec<_>>()
    };

    assert_eq!(listed("/-/sagas").await, [running.to_string(), stuck.to_string()]);
    assert_eq!(listed("/-/sagas?state=done").await, [done.to_string()]);
    assert_eq!(listed("/-/sagas?older=1h").await, [""; 0]);
    assert_eq!(listed("/-/sagas?route=all&older=1s").await, [""; 0]);
    let (status, told) = ask(&admin, "GET", "/-/sagas/0190%2Dbbbb").await;
    let told: SagaStatus = serde_json::from_value(told).expect("a saga");
    assert_eq!((status, told.brief.id, told.brief.state), (200, done.to_string(), SagaState::Done));
}

#[tokio::test]
async fn one_is_found_by_the_key_of_its_client_in_whatever_state_it_is() {
    let (admin, runner, [running, _, done]) = with_sagas("admin-key").await;
    // What began on a route that is gone is found, too.
    let moved_away = runner.put_with("gone", &["user-1", "k/1&2"], |record| moved(record, &[State::Undone])).await;
    let _counted = Counted::new(&admin.gateway.metrics.sagas("checkout"), State::Running(0), Millis(0));
    let found = async |query: String| {
        let (status, told) = ask(&admin, "GET", &format!("/-/sagas?{query}")).await;
        assert_eq!(status, 200, "{query}: {told}");
        assert!(!told.to_string().contains("user-1"), "{told}");
        let list: SagaList = serde_json::from_value(told).expect("a list");
        list.sagas.into_iter().map(|saga| saga.id).collect::<Vec<_>>()
    };

    assert_eq!(found(format!("key={done}")).await, [done.to_string()]);
    assert_eq!(found(format!("key={running}&route=checkout&state=running")).await, [running.to_string()]);
    assert_eq!(found(format!("key={done}&state=running")).await, [""; 0]);
    assert_eq!(found(format!("key={done}&older=1h")).await, [""; 0]);
    assert_eq!(found(format!("key={done}&route=all")).await, [""; 0]);
    assert_eq!(found(format!("key={done}&key=x")).await, [""; 0]);
    assert_eq!(found("route=gone&key=user-1&key=k%2F1%262".to_owned()).await, [moved_away.to_string()]);
    assert_eq!(found("route=gone&key=k%2F1%262&key=user-1".to_owned()).await, [""; 0]);
}

#[tokio::test]
async fn an_order_is_obeyed_and_stays_with_the_saga_with_who_gave_it() {
    let (admin, runner, [_, stuck, done]) = with_sagas("admin-orders").await;

    let (status, told) =
        ask(&admin, "POST", &format!("/-/sagas/{stuck}/abandon?note=the%20order%0Astands,%E2%80%AEnot%E2%81%A9%20so")).await;
    assert_eq!((status, &told["state"], &told["what"]), (200, &"abandoned".into(), &"abandon".into()));
    let (status, told) = ask(&admin, "POST", "/-/sagas/0190bbbb/undo?leave=confirm&leave=charge").await;
    assert_eq!((status, &told["id"], &told["state"]), (200, &done.to_string().into(), &"undoing".into()));
    assert_eq!(told["stays"], serde_json::json!(["confirm", "charge"]));

    let told = runner.shown(stuck).await;
    let act = &told.acts[0];
    assert_eq!(
        (&*act.what, act.note.as_deref(), &*act.who),
        ("abandon", Some("the order stands, not  so"), "127.0.0.1:4711 without a token")
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_words() {
    let (admin, _runner, [_, stuck, _]) = with_sagas("admin-refused").await;

    for (method, target, status, code, words) in [
        ("GET", "/-/sagas?stat=stuck", 400, "bad_request", "There is no parameter `stat`: did you mean `state`?"),
        ("GET", "/-/sagas?state=stuk", 400, "bad_request", "There is no state of a saga `stuk`: did you mean `stuck`?"),
        ("GET", "/-/sagas?state=stuck&state=done", 400, "bad_request", "The parameter `state` is there several times."),
        ("GET", "/-/sagas?older=soon", 400, "bad_request", "`older` must be a time such as 1h."),
        ("GET", "/-/sagas?route=al", 404, "not_found", "There is no route `al`: did you mean `all`?"),
        ("GET", "/-/sagas/checkout", 400, "bad_request", "`checkout` is no id of a saga, nor the beginning of one."),
        (
            "GET",
            "/-/sagas/0190cc",
            404,
            "not_found",
            "There is no saga `0190cc`: it never was, or was forgotten once its time to be kept was over.",
        ),
        ("GET", "/-/sagas/0190aa", 409, "conflict", "`0190aa` may mean several sagas, such as"),
        ("GET", "/-/sagas/0190bbbb?full=1", 400, "bad_request", "There is no parameter `full`: there is none."),
        ("POST", "/-/sagas/0190bbbb/retry", 409, "conflict", "is done: retry is for one that is stuck."),
        ("POST", "/-/sagas/0190bbbb/abandon?note=x", 409, "conflict", "is done: abandon is for one that is stuck."),
        ("POST", "/-/sagas/0190bbbb/abandon", 400, "bad_request", "`note` must say why the saga is given up: it stays with it."),
        ("POST", "/-/sagas/0190bbbb/abandon?note=%20%0A", 400, "bad_request", "`note` must say why"),
        ("POST", "/-/sagas/0190bbbb/abandon?not=x", 400, "bad_request", "There is no parameter `not`: did you mean `note`?"),
        ("POST", "/-/sagas/0190bbbb/undo", 409, "conflict", "its last step `confirm` has no undo, and would stand"),
        (
            "POST",
            "/-/sagas/0190bbbb/undo?leave=confrim",
            400,
            "bad_request",
            "has no step `confrim` that could stay: these are `reserve`, `charge`",
        ),
        ("POST", "/-/sagas/0190bbbb/undo?leaf=confirm", 400, "bad_request", "There is no parameter `leaf`: there is `leave`."),
        ("POST", "/-/sagas/0190bbbb/remove", 404, "not_found", "There is no such resource."),
        ("POST", "/-/sagas//retry", 404, "not_found", "There is no such resource."),
        ("GET", "/-/sagas/0190bbbb/retry", 405, "method_not_allowed", "This resource takes POST."),
        ("POST", "/-/sagas/0190bbbb", 405, "method_not_allowed", "This resource takes GET."),
    ] {
        let answer = ask(&admin, method, target).await;
        let (is, said, told) = detail(&answer);
        assert!((is, said) == (status, code) && told.contains(words), "{target}: {is} {said} {told}");
    }
    let long = format!("/-/sagas/{stuck}/abandon?note={}", "x".repeat(LONGEST_NOTE + 1));
    assert_eq!(detail(&ask(&admin, "POST", &long).await), (400, "bad_request", "`note` must have 1000 bytes at most."));
    let still = ask(&admin, "GET", &format!("/-/sagas/{stuck}")).await.1;
    assert_eq!((&still["state"], &still["acts"]), (&"stuck".into(), &Value::Null));
}

#[tokio::test]
async fn without_sagas_and_without_a_journal_operators_are_told_so() {
    let without = admin(ALL);
    let answer = ask(&without, "GET", "/-/sagas").await;
    assert_eq!(detail(&answer), (404, "not_found", "There are no sagas: the configuration has none, and no directory to keep them in."));
    let (closed, runner, [_, stuck, _]) = with_sagas("admin-closed").await;

    runner.journal.close();

    for (method, target) in [("GET", "/-/sagas".to_owned()), ("POST", format!("/-/sagas/{stuck}/retry"))] {
        let answer = ask(&closed, method, &target).await;
        assert_eq!(detail(&answer).0, 503, "{target}");
        assert_eq!(detail(&answer).1, "state_unavailable", "{target}");
    }
}

#[tokio::test]
async fn sagas_are_for_those_with_the_token_and_never_on_the_status_address() {
    let (with_token, status) = (admin_with(ALL, "secret"), admin(Scope::ReadOnly));
    let runner = Runner::new("admin-token");
    let stuck = runner.put(1, |record| moved(record, &[State::Stuck(Stuck::Undo(0))])).await;
    with_token.gateway.is_steered_by(runner.clone());
    status.gateway.is_steered_by(runner.clone());

    for (method, target) in [("GET", "/-/sagas".to_owned()), ("POST", format!("/-/sagas/{stuck}/retry"))] {
        assert_eq!(ask(&with_token, method, &target).await.0, 401, "{target}");
        if method == "GET" {
            assert_eq!(ask(&with_token, "HEAD", &target).await.0, 401, "{target}");
        }
        assert_eq!(ask(&status, method, &target).await.0, 404, "{target}");
    }
    assert_eq!(runner.shown(stuck).await.brief.state, SagaState::Stuck);
    assert_eq!(ask_as(&with_token, "POST", &format!("/-/sagas/{stuck}/retry"), Some("secret")).await.0, 200);
    let who = &runner.shown(stuck).await.acts[0].who;
    assert!(who.starts_with("127.0.0.1:4711 with the token of `"), "{who}");
}

#[tokio::test]
async fn a_stuck_saga_degrades_the_gateway_and_a_journal_that_cannot_be_used_does_so_too() {
    let (admin, runner, _) = with_sagas("admin-health").await;
    let health = async || {
        let (_, told) = ask(&admin, "GET", "/healthz?full=1").await;
        (told["status"].clone(), told["reasons"].clone(), told["sagas"].clone())
    };
    assert_eq!(health().await, ("ok".into(), serde_json::json!([]), serde_json::json!({"journal": "open", "open": []})));

    let of_route = admin.gateway.metrics.sagas("checkout");
    let stuck: Vec<_> = [0, 1].map(|step| Counted::new(&of_route, State::Stuck(Stuck::Undo(step)), Millis(0))).into();
    let (status, reasons, sagas) = health().await;
    assert_eq!((status, reasons), ("degraded".into(), serde_json::json!(["2 sagas of route `checkout` are stuck and need an operator"])));
    assert_eq!(sagas["open"], serde_json::json!([{"route": "checkout", "state": "stuck", "count": 2}]));
    drop(stuck);
    assert_eq!(health().await.0, "ok");
    runner.journal.close();

    let (status, reasons, sagas) = health().await;
    assert_eq!((status, &sagas["journal"]), ("degraded".into(), &"closed".into()));
    assert!(reasons[0].as_str().is_some_and(|why| why.contains("the journal of sagas cannot be used")), "{reasons}");
}

#[tokio::test]
async fn the_dashboard_is_told_how_many_are_open_and_which_are_stuck() {
    let (admin, _runner, [_, stuck, _]) = with_sagas("admin-board").await;
    let numbers = async || ask(&admin, "GET", "/-/dashboard").await.1;
    assert_eq!(
        (&numbers().await["stuck_sagas"], &numbers().await["status"]["sagas"]["open"]),
        (&serde_json::json!([]), &serde_json::json!([]))
    );

    let _counted = Counted::new(&admin.gateway.metrics.sagas("checkout"), State::Stuck(Stuck::Pivot(2)), Millis(0));

    let told = numbers().await;
    assert_eq!((&told["stuck_sagas"][0]["id"], &told["stuck_sagas"][1]), (&stuck.to_string().into(), &Value::Null), "{told}");
    assert_eq!(told["status"]["sagas"]["open"][0]["count"], 1);
    assert_eq!(told["stuck_sagas"][0]["step"], "confirm");
}
