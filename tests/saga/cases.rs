//! The cases, each with the real process: a plan of what services do, a kill where the case has one, and what must hold at the end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use frontgate_test_support::vectors;
use serde_json::Value;

use super::services::{Outcome, STEPS, Services, Stop, TOTAL, When};
use super::{Patience, Shop, configuration_with, saga_of};
use crate::harness::until;

/// How many are played at once: most of their time they wait.
const AT_ONCE: usize = 6;

/// The times of a case's saga, of which the cases say nothing: short where they are to pass, and else longer than any machine takes.
fn times(expect: &Value) -> String {
    let wait = if expect["client"] == "pending" { "1500ms" } else { "30s" };
    let give_up = if expect["state"] == "stuck" { "2500ms" } else { "30s" };
    format!("wait: {wait}\n      deadline: 1m\n      give_up: {give_up}")
}

/// Likewise of a step: an attempt ends early only where its service is to be slow, and who comes up late is tried for long enough.
fn patience(outcomes: Option<&Vec<Outcome>>) -> Patience {
    let outcomes = outcomes.map_or(&[][..], Vec::as_slice);
    let timeout = if outcomes.contains(&Outcome::Slow) { "600ms" } else { "10s" };
    (timeout, if outcomes == [Outcome::Down, Outcome::Ok] { 7 } else { 3 })
}

const BODY: &str = r#"{"sku":"a-1","amount":2}"#;

/// The cases; of each kill before an effect there is one more, after it.
fn cases() -> Vec<(String, Value, Value, Option<Stop>)> {
    let Some(file) = vectors("compose/saga/cases.json") else { return Vec::new() };
    let all: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut cases = Vec::new();
    for (number, case) in all["cases"].as_array().unwrap().iter().enumerate() {
        let stop = case["crash"].as_object().map(|crash| Stop {
            call: crash["call"].as_str().unwrap().to_owned(),
            attempt: crash["attempt"].as_u64().unwrap() as usize,
            when: if crash["when"] == "before_effect" { When::BeforeEffect } else { When::AfterAnswer },
        });
        cases.push((format!("{number}"), case.clone(), all.clone(), stop.clone()));
        if let Some(stop) = stop.filter(|stop| stop.when == When::BeforeEffect) {
            cases.push((format!("{number} after its effect"), case.clone(), all.clone(), Some(Stop { when: When::AfterEffect, ..stop })));
        }
    }
    cases
}

fn plan(case: &Value, all: &Value) -> BTreeMap<String, Vec<Outcome>> {
    let outcomes = |kinds: &Value, kind: &Value| -> Vec<Outcome> {
        kinds[kind.as_str().unwrap()].as_array().unwrap().iter().map(|word| Outcome::of(word.as_str().unwrap())).collect()
    };
    let steps = case["plan"].as_object().unwrap().iter().map(|(step, kind)| (step.clone(), outcomes(&all["kinds"], kind)));
    let undos = case["undo"].as_object().unwrap().iter().map(|(step, kind)| (format!("{step}/undo"), outcomes(&all["undos"], kind)));
    steps.chain(undos).collect()
}

/// Plays one through. What does not hold.
fn play(name: &str, case: &Value, all: &Value, stop: Option<Stop>) -> Result<(), String> {
    let expect = &case["expect"];
    let plan = plan(case, all);
    let down: Vec<usize> = (0..3).filter(|index| plan.get(STEPS[*index]) == Some(&vec![Outcome::Down, Outcome::Ok])).collect();
    let steps = STEPS.map(|step| patience(plan.get(step)));
    let services = Services::planned(plan, stop.clone());
    let text = configuration_with(&services, "state", &times(expect), steps);
    let mut shop = Shop::configured(&format!("saga-case-{}", name.replace(' ', "-")), services, &text);
    let key = format!("case-{name}");

    let reply = match stop {
        None => Some(std::thread::scope(|scope| {
            let asking = scope.spawn(|| shop.begin(&key, BODY));
            for index in down {
                // It has been tried, and nobody was there.
                let upstream = ["stock", "payments", "orders"][index];
                let series = format!(r#"frontgate_upstream_attempts_total{{upstream="{upstream}",result="connect_failure"}}"#);
                until("a call that reaches nobody", || shop.metric(&series) > 0.0);
                shop.services.raise(index);
            }
            asking.join().expect("an answer")
        })),
        Some(stop) => {
            std::thread::scope(|scope| {
                let address = shop.process.address;
                // Its connection is cut.
                scope.spawn(move || {
                    let head = format!(
                        "POST {} HTTP/1.1\r\nHost: t\r\nIdempotency-Key: {}\r\nContent-Length: {}\r\n\r\n{BODY}",
                        super::PATH,
                        format_args!("case-{name}"),
                        BODY.len()
                    );
                    let mut stream = crate::harness::raw(address);
                    let _ = std::io::Write::write_all(&mut stream, head.as_bytes());
                    let _ = crate::harness::client::read_reply(&mut stream, false);
                });
                let stopped = shop.services.is_stopped();
                shop.process.signal("KILL");
                shop.services.go_on();
                stopped.then_some(()).ok_or_else(|| format!("{} was never called", stop.call))
            })?;
            shop.process.restart();
            None
        }
    };

    // Nobody asks again, but who wants to know how it ended.
    let mut id = reply.as_ref().map(saga_of);
    until("the saga to be known", || {
        if id.is_none() {
            let looked = shop.look(&key);
            id = looked.json()["saga"].as_str().map(str::to_owned);
        }
        id.is_some()
    });
    let id = id.expect("an id");
    let state = shop.settles(&id);

    let wrong = |what: &str, is: &dyn std::fmt::Debug, wanted: &Value| Err(format!("{what} is {is:?} instead of {wanted}"));
    if state != expect["state"] {
        return wrong("the state", &state, &expect["state"]);
    }
    let effects = shop.services.effects();
    if serde_json::json!(effects) != expect["effects"] {
        return wrong("what stands", &effects, &expect["effects"]);
    }
    // Who is never there cannot tell that he was to be asked.
    let never: Vec<&str> = STEPS.into_iter().filter(|step| case["plan"][step] == "down_always").collect();
    let mut wanted = expect["order"].clone();
    wanted.as_array_mut().unwrap().retain(|call| !never.contains(&call.as_str().unwrap()));
    let order = shop.services.order();
    if serde_json::json!(order) != wanted {
        return wrong("the order", &order, &expect["order"]);
    }
    keys(&shop, &id)?;
    undos_follow_each_other(&shop)?;
    let stuck = shop.process.ask("GET", "/-/sagas?state=stuck").text().contains(&id);
    if stuck != (state == "stuck") {
        return Err(format!("that it is stuck is shown: {stuck}"));
    }
    if let Some(reply) = &reply {
        let fits = match expect["client"].as_str().unwrap() {
            "answer" => reply.status == 200 && reply.json()["state"] == "done" && reply.json()["total"] == TOTAL,
            "refused" => (400..500).contains(&reply.status) && reply.json()["code"] == "saga_undone",
            "unavailable" => reply.status >= 500 && reply.json()["code"] == "saga_undone",
            "pending" => reply.status == 202,
            other => panic!("no client `{other}`"),
        };
        if !fits || reply.text().contains("says the service") {
            return Err(format!("the client got {}: {}", reply.status, reply.text()));
        }
    }
    asked_again(&shop, &key, reply.filter(|reply| reply.status != 202).map(|reply| (reply.status, reply.body)))
}

/// All attempts of a step carry one key, and those of its undo another.
fn keys(shop: &Shop, id: &str) -> Result<(), String> {
    for call in shop.services.calls() {
        let key = match call.name.strip_suffix("/undo") {
            Some(step) => format!("{id}-{step}-undo"),
            None => format!("{id}-{}", call.name),
        };
        if call.key != key {
            return Err(format!("{} has the key {}", call.name, call.key));
        }
    }
    Ok(())
}

/// Once an undo was sent no step is, and no undo of a later step.
fn undos_follow_each_other(shop: &Shop) -> Result<(), String> {
    let mut lowest = None;
    for call in shop.services.calls() {
        let step = |name: &str| STEPS.iter().position(|step| *step == name).unwrap();
        match call.name.strip_suffix("/undo") {
            Some(name) if lowest.is_some_and(|lowest| step(name) > lowest) => return Err(format!("{name} is undone after one before it")),
            Some(name) => lowest = Some(step(name)),
            None if lowest.is_some() => return Err(format!("{} is made after an undo", call.name)),
            None => {}
        }
    }
    Ok(())
}

/// The same key and body asked again gets the stored answer without a call; another body 422.
fn asked_again(shop: &Shop, key: &str, first: Option<(u16, Vec<u8>)>) -> Result<(), String> {
    let calls = shop.services.calls().len();
    let again = shop.begin(key, BODY);
    let other = shop.begin(key, r#"{"sku":"other"}"#);
    if other.status != 422 || other.json()["code"] != "idempotency_key_reused" {
        return Err(format!("another body got {}: {}", other.status, other.text()));
    }
    if again.status == 409 && again.json()["code"] == "saga_running" {
        return if first.is_none() { Ok(()) } else { Err("an ended one is told to be under way".to_owned()) };
    }
    if again.header("idempotency-replayed") != Some("true") {
        return Err(format!("asked again: {} {}", again.status, again.text()));
    }
    if first.is_some_and(|(status, body)| (status, body) != (again.status, again.body.clone())) {
        return Err(format!("asked again it is another answer: {}", again.text()));
    }
    let looked = shop.look(key);
    if (looked.status, &looked.body) != (again.status, &again.body) {
        return Err("GET gets another answer".to_owned());
    }
    if shop.services.calls().len() != calls {
        return Err("asking again made calls".to_owned());
    }
    Ok(())
}

#[test]
fn every_case_ends_as_it_must_wherever_the_process_is_killed() {
    let only = std::env::var("SAGA_CASE").ok();
    let mut cases = cases();
    cases.retain(|(name, ..)| only.as_ref().is_none_or(|only| name == only));
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));

    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, case, all, stop)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let played = std::panic::catch_unwind(|| play(name, case, all, stop.clone()));
                    if let Err(why) = played.unwrap_or_else(|_| Err("it panicked".to_owned())) {
                        let told = format!("case {name} {} {} {:?}: {why}", case["plan"], case["undo"], stop);
                        wrong.lock().unwrap().push(told);
                    }
                }
            });
        }
    });

    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.is_empty() || only.is_some() || cases.len() >= 107, "{}", cases.len());
}
