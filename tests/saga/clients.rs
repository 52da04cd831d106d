//! What clients are told: of keys, of sagas that are under way, of those that have ended.

use std::io::Write;

use serde_json::json;

use super::services::{Outcome, Services, Stop, TOTAL, When};
use super::{PATH, Shop, begin, configuration, saga_of};
use crate::compose::mock::ask;
use crate::harness::gateway::patient;
use crate::harness::{Process, raw, until};

const BODY: &str = r#"{"sku":"a-1"}"#;

fn held(call: &str, when: When) -> Services {
    Services::planned(Default::default(), Some(Stop { call: call.to_owned(), attempt: 1, when }))
}

#[test]
fn a_saga_of_three_steps_takes_four_syncs_and_its_answer_is_made_of_theirs() {
    let shop = Shop::start("saga-syncs", Services::new(&[]), "wait: 20s");
    let syncs = || shop.metric("frontgate_saga_commit_seconds_count");
    let before = syncs();

    let reply = shop.begin("k-1", BODY);

    assert_eq!(reply.status, 200, "{}", reply.text());
    let id = saga_of(&reply);
    assert_eq!(reply.text(), format!(r#"{{"order":"confirm-3","total":{TOTAL},"state":"done","saga":"{id}"}}"#));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(syncs() - before, 4.0);
    assert_eq!(shop.services.calls()[1].body, format!(r#"{{"amount":{TOTAL}}}"#).as_bytes());
    assert_eq!(shop.begin("k-1", BODY).status, 200);
    assert_eq!(syncs() - before, 4.0, "who asks again writes nothing");
    assert_eq!(shop.metric(r#"frontgate_saga_ended_total{route="checkout",state="done"}"#), 1.0);
    assert_eq!(shop.metric(r#"frontgate_calls_total{route="checkout",call="charge",result="ok"}"#), 1.0);
}

#[test]
fn a_request_without_its_key_is_refused_or_gets_one_of_its_own() {
    let shop = Shop::start("saga-no-key", Services::new(&[]), "wait: 20s");
    let post = |shop: &Shop, headers: &[(&str, &str)]| ask(shop.process.address, "POST", PATH, headers, Some(BODY));

    assert_eq!(post(&shop, &[]).is_problem(400).json()["code"], "idempotency_key_missing");
    assert_eq!(post(&shop, &[("Idempotency-Key", "")]).is_problem(400).json()["code"], "idempotency_key_missing");
    assert_eq!(shop.look("nobody's").is_problem(404).json()["code"], "saga_unknown");
    assert_eq!(begin(shop.process.address, "k", "no JSON").is_problem(400).json()["code"], "body_unreadable");
    assert!(shop.services.calls().is_empty());

    let generous = Shop::start("saga-own-key", Services::new(&[]), "on_missing_key: generate\n      wait: 20s");
    let (first, second) = (post(&generous, &[]), post(&generous, &[]));
    assert_eq!((first.status, second.status), (200, 200));
    assert_ne!(saga_of(&first), saga_of(&second));
    // It is told, and may be asked with.
    let own = first.header("idempotency-key").expect("its key").to_owned();
    let looked = generous.look(&own);
    assert_eq!((looked.status, looked.body), (200, first.body.clone()));
    let again = generous.begin(&own, BODY);
    assert_eq!((again.status, again.header("idempotency-replayed"), again.header("idempotency-key")), (200, Some("true"), None));
}

#[test]
fn who_waits_for_one_under_a_key_of_its_own_is_told_the_key_before_the_end() {
    let shop = Shop::start("saga-own-key-202", held("charge", When::BeforeEffect), "on_missing_key: generate\n      wait: 200ms");

    let reply = ask(shop.process.address, "POST", PATH, &[], Some(BODY));

    assert_eq!(reply.status, 202, "{}", reply.text());
    let own = reply.header("idempotency-key").expect("its key").to_owned();
    assert_eq!(saga_of(&shop.look(&own)), saga_of(&reply));
    shop.services.go_on();
    assert_eq!(shop.settles(&saga_of(&reply)), "done");
    assert_eq!(shop.look(&own).json()["state"], "done");
}

#[test]
fn a_request_with_two_keys_begins_nothing_and_asks_for_nothing() {
    let shop = Shop::start("saga-two-keys", Services::new(&[]), "wait: 20s");
    let two = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];

    let begun = ask(shop.process.address, "POST", PATH, &two, Some(BODY));
    let asked = ask(shop.process.address, "GET", PATH, &two, None);

    assert_eq!(begun.is_problem(400).json()["code"], "idempotency_key_repeated");
    assert_eq!(asked.is_problem(400).json()["code"], "idempotency_key_repeated");
    assert_eq!(shop.look("a").status, 404);
    assert!(shop.services.calls().is_empty());
}

#[test]
fn a_key_with_another_query_or_another_value_that_a_step_needs_has_begun_something_else() {
    let services = Services::new(&[]);
    let headers = r#"post: /charges, headers: {X-User: "{header.X-User}", X-From: "{client_ip}"},"#;
    let text = configuration(&services, "state", "wait: 20s").replace("post: /charges,", headers);
    let shop = Shop::configured("saga-fingerprint", services, &text);
    let post = |path: &str, user: &str| {
        let headers = [("Idempotency-Key", "k"), ("Content-Type", "application/json"), ("X-User", user), ("X-Trace", path)];
        ask(shop.process.address, "POST", path, &headers, Some(BODY))
    };
    let first = post(PATH, "alice");
    assert_eq!(first.status, 200, "{}", first.text());

    let (other, query, same) = (post(PATH, "bob"), post(&format!("{PATH}?coupon=1"), "alice"), post(PATH, "alice"));

    assert_eq!(other.is_problem(422).json()["code"], "idempotency_key_reused");
    assert!(!other.text().contains(&saga_of(&first)), "{}", other.text());
    assert_eq!(query.is_problem(422).json()["code"], "idempotency_key_reused");
    assert_eq!((same.status, same.body), (200, first.body));
    assert_eq!(shop.services.effects(), ["reserve", "charge", "confirm"]);
}

#[test]
fn whose_saga_is_stuck_is_told_so_and_asked_to_come_back_later() {
    let shop = Shop::start("saga-stuck-client", Services::new(&[("confirm", &[Outcome::Error])]), "wait: 100ms\n      give_up: 300ms");
    let id = saga_of(&shop.begin("k", BODY));
    assert_eq!(shop.settles(&id), "stuck");

    let (looked, again) = (shop.look("k"), shop.begin("k", BODY));

    assert_eq!((looked.status, looked.header("retry-after")), (202, Some("60")));
    assert_eq!(looked.json(), json!({"saga": id, "state": "stuck"}));
    assert_eq!(again.is_problem(409).json()["state"], "stuck");
    assert_eq!(again.header("retry-after"), Some("60"));
}

#[test]
fn while_it_is_under_way_others_with_its_key_are_told_so_and_who_leaves_changes_nothing() {
    let shop = Shop::start("saga-under-way", held("charge", When::BeforeEffect), "wait: 300ms");
    let mut leaver = raw(shop.process.address);
    write!(leaver, "POST {PATH} HTTP/1.1\r\nHost: t\r\nIdempotency-Key: k\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len()).unwrap();
    assert!(shop.services.is_stopped());
    drop(leaver);

    let again = shop.begin("k", BODY);
    assert_eq!(again.is_problem(409).json()["code"], "saga_running");
    assert_eq!(again.header("retry-after"), Some("1"));
    assert_eq!(shop.begin("k", r#"{"sku":"b"}"#).is_problem(422).json()["code"], "idempotency_key_reused");
    let looked = shop.look("k");
    assert_eq!((looked.status, looked.header("location"), looked.header("retry-after")), (202, Some(PATH), Some("1")));
    assert_eq!(looked.json(), json!({"saga": saga_of(&again), "state": "running"}));
    assert_eq!(shop.metric(r#"frontgate_saga_open{route="checkout",state="running"}"#), 1.0);
    let head = ask(shop.process.address, "HEAD", PATH, &[("Idempotency-Key", "k")], None);
    assert_eq!((head.status, head.body.len()), (202, 0));

    shop.services.go_on();
    assert_eq!(shop.settles(&saga_of(&again)), "done");
    let answer = shop.begin("k", BODY);
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(shop.services.effects(), ["reserve", "charge", "confirm"]);
}

#[test]
fn who_has_waited_long_enough_gets_202_and_asks_later() {
    let shop = Shop::start("saga-wait", held("confirm", When::AfterEffect), "wait: 200ms");

    let reply = shop.begin("k", BODY);

    assert_eq!((reply.status, reply.header("location"), reply.header("retry-after")), (202, Some(PATH), Some("1")));
    shop.services.go_on();
    assert_eq!(shop.settles(&saga_of(&reply)), "done");
    assert_eq!(shop.look("k").status, 200);
    assert_eq!(shop.services.effects(), ["reserve", "charge", "confirm"]);
}

#[test]
fn a_failure_is_told_once_the_turn_is_durable_and_does_not_wait_for_the_undos() {
    let services = Services::planned(
        [("charge".to_owned(), vec![Outcome::Refuse])].into(),
        Some(Stop { call: "reserve/undo".to_owned(), attempt: 1, when: When::BeforeEffect }),
    );
    let shop = Shop::start("saga-turn", services, "wait: 20s");

    let reply = shop.begin("k", BODY);

    assert!(shop.services.is_stopped());
    let told = reply.is_problem(409).json();
    assert_eq!((&told["code"], &told["step"]), (&json!("saga_undone"), &json!("charge")));
    assert!(!reply.text().contains("says the service"), "{}", reply.text());
    assert_eq!(shop.told(&saga_of(&reply))["state"], "undoing");
    shop.services.go_on();
    assert_eq!(shop.settles(&saga_of(&reply)), "undone");
    let again = shop.begin("k", BODY);
    assert_eq!((again.status, again.body), (reply.status, reply.body));
}

#[test]
fn a_saga_goes_on_by_the_definition_that_it_began_with() {
    let shop = Shop::start("saga-reload", held("charge", When::BeforeEffect), "wait: 200ms");
    let reply = shop.begin("k", BODY);
    assert_eq!(reply.status, 202);
    assert!(shop.services.is_stopped());

    // A further member of the answer, and a body that says something else.
    let other =
        configuration(&shop.services, "state", "wait: 20s").replace("state: done", "state: new").replace("{charge.id}", "{charge.key}");
    std::fs::write(shop.process.folder.join("frontgate.yaml"), patient(&other)).unwrap();
    let hash = shop.process.ask("POST", "/-/reload");
    assert_eq!(hash.status, 200, "{}", hash.text());
    shop.services.go_on();

    assert_eq!(shop.settles(&saga_of(&reply)), "done");
    assert_eq!(shop.look("k").json()["state"], "done");
    let calls = shop.services.calls();
    assert_eq!(String::from_utf8_lossy(&calls.last().unwrap().body), r#"{"charge":"charge-2"}"#);
    assert_eq!(shop.begin("new", BODY).json()["state"], "new");
}

#[test]
fn a_client_that_asks_again_after_a_reload_gets_its_answer_whatever_the_definition_refers_to_by_then() {
    let shop = Shop::start("saga-reload-again", Services::new(&[]), "wait: 20s");
    let body = r#"{"sku":"a-1","note":"n"}"#;
    let first = shop.begin("k", body);
    assert_eq!(first.status, 200, "{}", first.text());

    let other = configuration(&shop.services, "state", "wait: 20s")
        .replace("{charge: \"{charge.id}\"}", "{charge: \"{charge.id}\", note: \"{body.note}\"}");
    std::fs::write(shop.process.folder.join("frontgate.yaml"), patient(&other)).unwrap();
    let reloaded = shop.process.ask("POST", "/-/reload");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());

    let again = shop.begin("k", body);
    assert_eq!((again.status, again.header("idempotency-replayed"), &again.body), (200, Some("true"), &first.body));
    assert_eq!(shop.begin("k", r#"{"sku":"a-1","note":"other"}"#).is_problem(422).json()["code"], "idempotency_key_reused");
    assert_eq!(shop.begin("new", body).status, 200);
    assert_eq!(String::from_utf8_lossy(&shop.services.calls().last().unwrap().body), r#"{"charge":"charge-5","note":"n"}"#);
}

#[test]
fn a_step_that_is_refused_while_it_may_be_under_way_is_taken_back_with_those_before_it() {
    // The first attempt has its effect, and its answer is lost; whoever asks again is told that it is a duplicate.
    let shop = Shop::start("saga-duplicate", Services::new(&[("charge", &[Outcome::Lost, Outcome::Refuse])]), "wait: 20s");

    let reply = shop.begin("k", BODY);

    assert_eq!(reply.is_problem(409).json()["code"], "saga_undone", "{}", reply.text());
    assert_eq!(shop.settles(&saga_of(&reply)), "undone");
    assert_eq!(shop.services.order(), ["reserve", "charge", "charge/undo", "reserve/undo"]);
    assert_eq!(shop.services.effects(), Vec::<String>::new());
}

#[test]
fn operators_have_a_stuck_one_tried_again_and_take_back_what_is_done() {
    let services = Services::new(&[("charge", &[Outcome::Refuse]), ("reserve/undo", &[Outcome::Error])]);
    let text = configuration(&services, "state", "wait: 20s\n      give_up: 500ms");
    let text = text.replace("attempts: 3}\n      answer", "attempts: 3, undo: none}\n      answer");
    let mut shop = Shop::configured("saga-operators", services, &text);
    let reply = shop.begin("k", BODY);
    let id = saga_of(&reply);
    assert_eq!(shop.settles(&id), "stuck");
    assert_eq!(shop.metric(r#"frontgate_saga_open{route="checkout",state="stuck"}"#), 1.0);
    assert_eq!(shop.process.ask("POST", &format!("/-/sagas/{id}/undo")).status, 409);

    // It stays so through a restart.
    shop.process.signal("TERM");
    assert_eq!(shop.process.end(), Some(0));
    shop.process.start_again();
    until("the stuck one to be known", || shop.metric(r#"frontgate_saga_open{route="checkout",state="stuck"}"#) == 1.0);
    assert_eq!(shop.told(&id)["state"], "stuck");
    shop.services.plans("reserve/undo", &[Outcome::Ok]);
    let retried = shop.process.ask("POST", &format!("/-/sagas/{id}/retry"));
    assert_eq!(retried.status, 200, "{}", retried.text());
    assert_eq!(shop.settles(&id), "undone");
    assert_eq!(shop.metric(r#"frontgate_saga_open{route="checkout",state="stuck"}"#), 0.0);

    shop.services.plans("charge", &[Outcome::Ok]);
    let done = shop.begin("other", BODY);
    assert_eq!(done.status, 200);
    let undone = shop.process.ask("POST", &format!("/-/sagas/{}/undo", saga_of(&done)));
    assert_eq!(undone.status, 200, "{}", undone.text());
    until("what has an undo to be taken back", || shop.told(&saga_of(&done))["state"] == "undone");
    assert_eq!(shop.services.effects(), ["confirm"]);
    assert_eq!(shop.begin("other", BODY).body, done.body, "its client keeps what it was told");
}

#[test]
fn a_route_without_a_place_to_remember_is_no_configuration() {
    let services = Services::new(&[]);
    let text = configuration(&services, "state", "wait: 1s").replace("  state_dir: state\n", "");
    let folder = Process::folder("saga-no-state");
    std::fs::write(folder.join("frontgate.yaml"), text).unwrap();

    let output = std::process::Command::new(env!("CARGO_BIN_EXE_frontgate"))
        .args(["check", "-c"])
        .arg(folder.join("frontgate.yaml"))
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success() && said.contains("server.state_dir"), "{said}");
    std::fs::remove_dir_all(folder).unwrap();
}
