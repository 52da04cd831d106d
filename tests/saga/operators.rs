//! What operators see of sagas and do about them: with the commands, at the admin address, in the log and on the dashboard.

use std::process::{Command, Output};

use serde_json::{Value, json};

use super::services::{Outcome, Services, Stop, TOTAL, When};
use super::{Shop, begin, configuration, saga_of};
use crate::compose::mock::ask;
use crate::dashboard::browser::Browser;
use crate::harness::gateway::patient;
use crate::harness::{Process, until};

const BODY: &str = r#"{"sku":"sku-of-nobody-else"}"#;

/// The process with an access log, and a saga that says what is in `saga`.
fn shop(name: &str, services: Services, saga: &str) -> Shop {
    let folder = Process::folder(name);
    let text = configuration(&services, "state", saga).replace("access_log: off", "access_log: {to: {file: access.log}}");
    std::fs::write(folder.join("frontgate.yaml"), patient(&text)).unwrap();
    Shop { process: Process::start_at(folder, "frontgate.yaml", &["--no-watch"], "true"), services }
}

/// A shop in which every charge is refused and no reservation can be taken back: its saga is stuck.
fn stuck(name: &str) -> (Shop, String) {
    let services = Services::new(&[("charge", &[Outcome::Refuse]), ("reserve/undo", &[Outcome::Error])]);
    let shop = shop(name, services, "wait: 20s\n      give_up: 300ms");
    let id = saga_of(&shop.begin("k-1", BODY));
    assert_eq!(shop.settles(&id), "stuck");
    (shop, id)
}

/// `frontgate saga`, of this shop: the exit code, what it printed, and what it complained of.
fn saga(shop: &Shop, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
    command.arg("saga").args(words).args(["--admin", &shop.process.admin.to_string()]).current_dir("/");
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn good(shop: &Shop, words: &[&str]) -> String {
    let (code, said, complaint) = saga(shop, words);
    assert_eq!((code, &*complaint), (Some(0), ""), "{words:?}: {said}");
    said
}

/// The state of health as operators are told.
fn health(shop: &Shop) -> Value {
    shop.process.ask("GET", "/healthz?full=1").json()
}

#[test]
fn a_stuck_saga_is_listed_shown_and_tried_again_with_the_commands() {
    let (shop, id) = stuck("operators-stuck");

    let listed = good(&shop, &["list", "--state", "stuck"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    for word in ["SAGA", "TROUBLE", &*id, "checkout", "stuck", "reserve/undo", "the undo never succeeded: status 500"] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    assert_eq!(good(&shop, &["list", "--state", "running"]), "No saga is running.\n");
    assert_eq!(good(&shop, &["list", "--older", "1h"]), "No saga that was asked for is open.\n");
    let all: Value = serde_json::from_str(&good(&shop, &["list", "--route", "checkout", "--format", "json"])).unwrap();
    assert_eq!((&all["sagas"][0]["id"], &all["more"], &all["complete"]), (&json!(id), &json!(0), &json!(true)));
    // As much of it as one has at hand.
    let short = &id[..id.len() - 4];
    let shown = good(&shop, &["show", short]);
    for line in ["state    stuck at reserve/undo", "failed   charge: status 409", "trouble  the undo never succeeded: status 500"] {
        assert!(shown.lines().any(|found| found == line), "{line}: {shown}");
    }
    for (step, came_to) in [("reserve", "done        stuck"), ("charge", "failed      -"), ("confirm", "never made  -")] {
        assert!(shown.contains(&format!("{step:<7}  {came_to}")) && shown.contains(&format!("{id}-{step}")), "{step}: {shown}");
    }

    assert!(shown.contains(&format!("way      frontgate saga retry {id}\n")), "{shown}");

    for line in
        ["reserve  POST stock /reservations  DELETE stock /reservations/by-key/{reserve.key}", "confirm  POST orders /orders       -"]
    {
        assert!(shown.lines().any(|found| found == line), "{line}: {shown}");
    }
    let json: Value = serde_json::from_str(&good(&shop, &["show", short, "--format", "json"])).unwrap();
    assert_eq!(json["steps"][0]["undo_key"], json!(format!("{id}-reserve-undo")));
    assert!(json["attempts"].as_u64() >= Some(1), "how often it was tried: {json}");
    until("the log to say at which step, and why", || {
        shop.process.said().contains(&format!("saga {id} of route `checkout` is stuck at `reserve/undo` and needs an operator"))
            && shop.process.said().contains("the undo never succeeded: status 500")
    });

    shop.services.plans("reserve/undo", &[Outcome::Ok]);
    let retried = good(&shop, &["retry", short]);

    assert!(retried == format!("The saga {id} is undoing now.\n"), "{retried}");
    assert_eq!(shop.settles(&id), "undone");
    let shown: Value = serde_json::from_str(&good(&shop, &["show", &id, "--format", "json"])).unwrap();
    assert_eq!((&shown["steps"][0]["undo"], &shown["acts"][0]["what"]), (&json!("done"), &json!("retry")));
    assert!(
        shown["acts"][0]["who"].as_str().is_some_and(|who| who.starts_with("127.0.0.1:") && who.ends_with("without a token")),
        "{shown}"
    );
    until("the log to say who did it", || {
        shop.process
            .said()
            .lines()
            .any(|line| line.contains(&id) && line.contains("the operator 127.0.0.1:") && line.contains("tried again"))
    });
    assert!(shop.services.effects().is_empty());
}

#[test]
fn what_an_operator_gives_up_keeps_the_note_and_its_client_is_told_no_other_thing() {
    let (mut shop, id) = stuck("operators-abandon");
    let told = shop.begin("k-1", BODY);
    let calls = shop.services.calls().len();

    let abandoned = good(&shop, &["abandon", &id, "--note", "taken back by hand: ticket 7"]);

    assert_eq!(abandoned, format!("The saga {id} is abandoned now.\n"));
    let shown = good(&shop, &["show", &id]);
    assert!(shown.contains("abandon by 127.0.0.1:") && shown.contains(": taken back by hand: ticket 7"), "{shown}");
    assert!(shown.lines().any(|line| line == "trouble  the undo never succeeded: status 500"), "what was wrong stays: {shown}");
    assert_eq!((shop.begin("k-1", BODY).body, shop.services.calls().len()), (told.body, calls), "nothing is sent for it");
    assert_eq!(shop.metric(r#"frontgate_saga_open{route="checkout",state="stuck"}"#), 0.0);
    assert_eq!(shop.metric(r#"frontgate_saga_ended_total{route="checkout",state="abandoned"}"#), 1.0);

    // It stays so.
    shop.process.signal("KILL");
    shop.process.restart();
    assert_eq!(shop.settles(&id), "abandoned");
    assert_eq!(shop.services.calls().len(), calls);
    assert!(good(&shop, &["list", "--state", "abandoned"]).contains(&id));
}

#[test]
fn an_order_that_is_not_for_it_is_refused_in_words_and_the_exit_code_says_so() {
    let shop = shop("operators-refused", Services::new(&[]), "wait: 20s");
    let id = saga_of(&shop.begin("k-1", BODY));

    for (words, code, told) in [
        (&["retry", &*id][..], 1, format!("The saga `{id}` is done: retry is for one that is stuck.")),
        (&["abandon", &id, "--note", "x"], 1, format!("The saga `{id}` is done: abandon is for one that is stuck.")),
        (&["show", "ffff"], 1, "There is no saga `ffff`".to_owned()),
        (&["show", "checkout"], 1, "`checkout` is no id of a saga".to_owned()),
        (&["list", "--route", "chekout"], 1, "did you mean `checkout`?".to_owned()),
        (&["abandon", &id], 2, "--note".to_owned()),
        (&["list", "--state", "lost"], 2, "stuck".to_owned()),
    ] {
        let (is, said, complaint) = saga(&shop, words);
        assert!(is == Some(code) && said.is_empty() && complaint.contains(&told), "{words:?}: {is:?} {said} {complaint}");
    }
    assert_eq!(shop.settles(&id), "done");
    let (code, said, complaint) = saga(&shop, &["undo", &id]);
    let told = format!("The saga `{id}` is not taken back: its last step `confirm` has no undo");
    assert!(code == Some(1) && said.is_empty() && complaint.contains(&told), "{code:?} {said} {complaint}");
    let answer = shop.process.ask("POST", &format!("/-/sagas/{id}/undo"));
    assert!(answer.is_problem(409).text().contains("`confirm` has no undo"), "{}", answer.text());
    assert_eq!(shop.settles(&id), "done");
    assert_eq!(shop.services.effects(), ["reserve", "charge", "confirm"], "what surrounds a standing order stands");
    assert_eq!(shop.told(&id)["acts"].as_array().map_or(0, Vec::len), 0, "nobody has done anything");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(["saga", "list", "--admin", &nobody]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
}

#[test]
fn a_done_saga_is_taken_back_around_the_step_that_is_left_through_a_kill_too() {
    let mut shop = shop("operators-leave", Services::new(&[("reserve/undo", &[Outcome::Error])]), "wait: 20s");
    let reply = shop.begin("k-1", BODY);
    let id = saga_of(&reply);
    let (code, said, complaint) = saga(&shop, &["undo", &id, "--leave", "charge"]);
    assert!(code == Some(1) && said.is_empty() && complaint.contains("`--leave confirm` takes back the others"), "{code:?} {complaint}");

    let told = good(&shop, &["undo", &id, "--leave", "confirm"]);

    assert_eq!(told, format!("The saga {id} is undoing now; `confirm` stays as it is.\n"));
    until("a charge that was taken back", || shop.services.effects() == ["reserve", "confirm"]);
    shop.process.signal("KILL");
    shop.process.restart();
    shop.services.plans("reserve/undo", &[Outcome::Ok]);
    assert_eq!(shop.settles(&id), "undone");
    assert_eq!(shop.services.effects(), ["confirm"], "what was left stays");
    assert_eq!(shop.begin("k-1", BODY).body, reply.body, "its client is told what it was told");
    let shown = good(&shop, &["show", &id]);
    for (step, came_to) in [("reserve", "done     done"), ("charge", "done     done"), ("confirm", "done     stays")] {
        assert!(shown.lines().any(|line| line.starts_with(&format!("{step:<7}  {came_to} "))), "{step}: {shown}");
    }
    let act = shown.lines().find(|line| line.starts_with("act ")).unwrap_or_default();
    assert!(act.contains(" undo by 127.0.0.1:") && act.ends_with(": `confirm` stays as it is"), "{shown}");
    let (code, _, complaint) = saga(&shop, &["undo", &id, "--leave", "confirm"]);
    assert!(code == Some(1) && complaint.contains("is undone after undo by 127.0.0.1:"), "{complaint}");
}

#[test]
fn a_stuck_pivot_has_the_ways_out_that_show_tells_and_what_was_done_for_it_can_be_taken_back() {
    let services = Services::new(&[("confirm", &[Outcome::Error])]);
    let shop = shop("operators-pivot", services, "wait: 100ms\n      give_up: 300ms");
    let id = saga_of(&shop.begin("k-1", BODY));
    assert_eq!(shop.settles(&id), "stuck");
    assert_eq!(shop.services.effects(), ["reserve", "charge"], "nothing is taken back around an order that may stand");
    let shown = good(&shop, &["show", &id]);
    let ways: Vec<&str> = shown.lines().filter_map(|line| line.strip_prefix("way      frontgate saga ")).collect();
    assert_eq!(ways, [format!("retry {id}"), format!("undo {id} --leave confirm"), format!("abandon {id} --note TEXT")]);
    let (code, _, complaint) = saga(&shop, &["undo", &id]);
    assert!(code == Some(1) && complaint.contains("is stuck at `confirm`: only where `--leave confirm`"), "{complaint}");

    let told = good(&shop, &["undo", &id, "--leave", "confirm"]);

    assert!(told.ends_with("is undoing now; `confirm` stays as it is.\n"), "{told}");
    assert_eq!(shop.settles(&id), "undone");
    assert!(shop.services.effects().is_empty());
    let answer = shop.begin("k-1", BODY);
    let problem = answer.json();
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (502, Some("true")), "{}", answer.text());
    assert_eq!((&problem["code"], &problem["step"]), (&json!("saga_undone"), &json!("confirm")), "its client is told of an end");
}

#[test]
fn of_two_orders_at_the_same_moment_one_is_obeyed_and_the_other_is_told_what_happened() {
    let (shop, id) = stuck("operators-race");
    shop.services.plans("reserve/undo", &[Outcome::Ok]);
    let gate = std::sync::Barrier::new(8);

    let answers: Vec<_> = std::thread::scope(|scope| {
        let order = || {
            gate.wait();
            shop.process.ask("POST", &format!("/-/sagas/{id}/abandon?note=by-one-of-us"))
        };
        let orders: Vec<_> = (0..8).map(|_| scope.spawn(order)).collect();
        orders.into_iter().map(|order| order.join().unwrap()).collect()
    });

    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        let told = refused.is_problem(409).json()["detail"].as_str().unwrap_or_default().to_owned();
        let is_told = told.contains("is in other hands at this moment") || told.contains("is abandoned after abandon by 127.0.0.1:");
        assert!(is_told, "{told}");
    }
    assert_eq!(shop.settles(&id), "abandoned");
    assert_eq!(shop.told(&id)["acts"].as_array().map_or(0, Vec::len), 1);
}

#[test]
fn a_saga_is_found_by_the_key_of_its_client_which_nobody_writes_down() {
    let shop = shop("operators-key", Services::new(&[]), "wait: 20s\n      key: [header.X-Customer, header.Idempotency-Key]");
    let headers =
        [("X-Customer", "customer-of-nobody-else"), ("Idempotency-Key", "key/of&nobody else"), ("Content-Type", "application/json")];
    let id = saga_of(&ask(shop.process.address, "POST", super::PATH, &headers, Some(BODY)));

    let found = good(&shop, &["list", "--key", "customer-of-nobody-else", "--key", "key/of&nobody else"]);

    assert!(found.lines().count() == 2 && found.contains(&id) && found.contains("done"), "{found}");
    let none = good(&shop, &["list", "--key", "key/of&nobody else"]);
    assert!(none.starts_with("No saga is known by this key."), "{none}");
    let more = [found, none, shop.process.ask("GET", "/metrics").text(), shop.process.said()].concat();
    for secret in ["customer-of-nobody-else", "key/of&nobody", "key%2Fof"] {
        assert!(!more.contains(secret), "{secret}: {more}");
    }
}

#[test]
fn what_open_sagas_still_need_is_told_before_it_goes_and_when_it_has_gone() {
    let (shop, id) = stuck("operators-needs");
    let file = shop.process.folder.join("frontgate.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    // Another route that needs the same upstreams but one, and another name for the saga's.
    let next = text.replace("stock", "warehouse").replace("name: checkout", "name: purchase");
    let other = shop.process.folder.join("next.yaml");
    std::fs::write(&other, &next).unwrap();

    let mut diff = Command::new(env!("CARGO_BIN_EXE_frontgate"));
    diff.args(["config", "diff", "--live", other.to_str().unwrap(), "--admin", &shop.process.admin.to_string()]);
    let told = diff.output().unwrap();

    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let upstream = "an upstream that 1 open one may have to ask yet, and get stuck without";
    let way = "the way on which the clients of 1 open one ask what became of them";
    let keys = "the keys that clients have used: one that is sent again on another route begins a new saga";
    for words in ["checkout", upstream, "`stock` is gone", way, keys] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("`payments` is gone"), "{told}");

    std::fs::write(&file, &next).unwrap();
    let reloaded = shop.process.ask("POST", "/-/reload");
    let warnings = [
        format!("the sagas of route `checkout` lose {keys}: the route is gone, or no saga's any more"),
        format!("the sagas of route `checkout` lose {upstream}: `stock` is gone"),
        format!("the sagas of route `checkout` lose {way}: the route is gone, or no saga's any more"),
    ];
    assert_eq!(reloaded.json()["warnings"], json!(warnings), "{}", reloaded.text());
    until("the log to say so", || warnings.iter().all(|warning| shop.process.said().contains(warning)));
    assert_eq!(shop.settles(&id), "stuck");

    std::fs::write(&file, &text).unwrap();
    let back = shop.process.ask("POST", "/-/reload");
    assert!(back.status == 200 && !back.text().contains("checkout` lose"), "{}", back.text());
}

#[test]
fn nothing_that_a_client_or_a_service_said_is_shown() {
    let shop = shop("operators-masked", Services::new(&[]), "wait: 20s\n      key: [header.X-Customer, header.Idempotency-Key]");
    let headers =
        [("X-Customer", "customer-of-nobody-else"), ("Idempotency-Key", "key-of-nobody-else"), ("Content-Type", "application/json")];
    let reply = ask(shop.process.address, "POST", super::PATH, &headers, Some(BODY));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let id = saga_of(&reply);

    let shown =
        [good(&shop, &["show", &id]), good(&shop, &["show", &id, "--format", "json"]), good(&shop, &["list", "--state", "done"])].concat();

    let hashed = shop.process.ask("POST", "/-/hash?value=sku-of-nobody-else").text();
    assert!(shown.contains("body.sku") && shown.contains(hashed.trim()), "{hashed}: {shown}");
    let more = [shop.process.ask("GET", "/metrics").text(), shop.process.said(), health(&shop).to_string()].concat();
    let total = TOTAL.to_string();
    for secret in ["sku-of-nobody-else", "customer-of-nobody-else", "key-of-nobody-else", &total, "charge-2", "of the service"] {
        assert!(!shown.contains(secret) && !more.contains(secret), "{secret}: {shown}");
    }
}

#[test]
fn the_access_log_and_why_tell_the_saga_of_a_request() {
    let mut shop = shop("operators-log", Services::new(&[("reserve", &[Outcome::Error])]), "wait: 20s");
    let failed = shop.begin("k-1", BODY);
    assert_eq!(failed.is_problem(502).json()["code"], "saga_undone");
    let id = saga_of(&failed);
    shop.look("k-1");
    let request = failed.header("x-request-id").unwrap().to_owned();
    begin(shop.process.address, "", BODY);

    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(shop.process.folder.join("access.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    until("three requests in the log", || lines().len() >= 3);

    let of = |number: usize| lines()[number]["saga"].clone();
    assert_eq!((of(0), of(1), of(2)), (json!(id), json!(id), Value::Null));
    let words = ["why", &request, "--admin", &shop.process.admin.to_string()];
    let why = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(words).output().unwrap();
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.lines().any(|line| line == format!("saga      {id}: frontgate saga show {id}")), "{why}");
    shop.process.signal("TERM");
    assert_eq!(shop.process.end(), Some(0));
}

#[test]
fn a_client_that_leaves_has_the_saga_that_it_began_in_its_log_line() {
    let held = Services::planned(Default::default(), Some(Stop { call: "reserve".to_owned(), attempt: 1, when: When::BeforeEffect }));
    let mut shop = shop("operators-left", held, "wait: 30s");
    let mut client = crate::harness::client::raw(shop.process.address);
    let asked = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k-1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        super::PATH,
        BODY.len()
    );
    std::io::Write::write_all(&mut client, asked.as_bytes()).unwrap();
    until("its first call", || shop.services.is_stopped());

    drop(client);

    let line = || std::fs::read_to_string(shop.process.folder.join("access.log")).unwrap_or_default();
    until("its line", || line().ends_with('\n'));
    let line: Value = serde_json::from_str(line().lines().next().unwrap()).unwrap();
    shop.services.go_on();
    let id = saga_of(&shop.look("k-1"));
    assert_eq!((&line["flags"], &line["saga"]), (&json!("DC"), &json!(id)), "{line}");
    assert_eq!(shop.settles(&id), "done");
    shop.process.signal("TERM");
    assert_eq!(shop.process.end(), Some(0));
}

#[test]
fn failures_that_are_told_again_are_no_failures_of_the_route() {
    let shop = shop("operators-replayed", Services::new(&[("charge", &[Outcome::Refuse])]), "wait: 20s");
    let first = shop.begin("k-1", BODY);
    assert_eq!(first.status, 409);
    shop.services.plans("reserve", &[Outcome::Error]);
    let failed = shop.begin("k-2", BODY);
    assert_eq!(failed.status, 502, "{}", failed.text());
    for _ in 0..20 {
        assert_eq!(shop.begin("k-2", BODY).header("idempotency-replayed"), Some("true"));
    }

    let told = health(&shop);

    // One of twenty-two has failed, which is less than a twentieth.
    assert!(!told["reasons"].to_string().contains("of the requests on route `checkout` failed"), "{told}");
}

#[test]
fn a_stuck_saga_degrades_the_gateway_until_an_operator_has_decided() {
    let (shop, id) = stuck("operators-health");

    let told = health(&shop);
    assert_eq!((&told["status"], &told["sagas"]["journal"]), (&json!("degraded"), &json!("open")), "{told}");
    assert_eq!(told["sagas"]["open"], json!([{"route": "checkout", "state": "stuck", "count": 1}]));
    assert_eq!(told["reasons"], json!(["a saga of route `checkout` is stuck and needs an operator"]));
    assert_eq!(shop.process.ask("GET", "/readyz").status, 200, "it serves");

    good(&shop, &["abandon", &id, "--note", "x"]);
    let told = health(&shop);
    assert_eq!((&told["status"], &told["sagas"]["open"]), (&json!("ok"), &json!([])), "{told}");
}

#[test]
fn one_that_is_tried_again_says_how_often_and_when_next() {
    let services = Services::new(&[("confirm", &[Outcome::Error])]);
    let shop = shop("operators-live", services, "wait: 100ms");
    let id = saga_of(&shop.begin("k-1", BODY));
    let one = || -> Value { shop.told(&id) };

    // Its pauses grow: one of them is long enough to be seen.
    until("a pause after some attempts", || one()["attempts"].as_u64() >= Some(3) && one()["next_attempt_ms"].is_u64());

    let told = one();
    assert_eq!((&told["state"], &told["step"], &told["trouble"]), (&json!("running"), &json!("confirm"), &json!("status 500")), "{told}");
    assert!(good(&shop, &["list"]).contains("status 500"));
    shop.services.plans("confirm", &[Outcome::Ok]);
    assert_eq!(shop.settles(&id), "done");
    assert_eq!((&one()["attempts"], &one()["trouble"]), (&Value::Null, &Value::Null));
}

#[test]
fn the_dashboard_lists_what_is_open_and_names_what_is_stuck() {
    let (shop, id) = stuck("operators-dashboard");
    let numbers = shop.process.ask("GET", "/-/dashboard").json();
    assert_eq!((&numbers["stuck_sagas"][0]["id"], &numbers["stuck_sagas"][0]["step"]), (&json!(id), &json!("reserve/undo")));
    let Some(mut browser) = Browser::start(1280, 900) else { return };

    browser.open(&format!("http://{}/", shop.process.admin));
    browser.until("the stuck saga", "document.querySelector('#stuck')?.textContent.includes('reserve/undo')");

    assert!(browser.text("#stuck").contains(&id) && browser.text("#sagas").contains("checkout"), "{}", browser.text("#stuck"));
    assert!(browser.text("#reasons").contains("needs an operator"), "{}", browser.text("#reasons"));
    good(&shop, &["abandon", &id, "--note", "x"]);
    browser.until(
        "it to be gone",
        "document.querySelector('#sagas-note').textContent === 'None is open.' && document.querySelector('#stuck-title').hidden",
    );
    assert!(browser.console.is_empty(), "{:?}", browser.console);
}

#[test]
fn who_leaves_no_place_for_sagas_has_none_to_operate() {
    let held = Services::planned(Default::default(), Some(Stop { call: "reserve".to_owned(), attempt: 1, when: When::BeforeEffect }));
    let text = configuration(&held, "state", "wait: 1s");
    let (before, _) = text.split_once("routes:").unwrap();
    let text = format!("{before}routes:\n  - {{name: plain, path: /plain, respond: {{status: 200, body: here}}}}\n");
    let process = Process::start("operators-none", &patient(&text.replace("  state_dir: state\n", "")));

    let refused = process.ask("GET", "/-/sagas");

    assert_eq!(refused.is_problem(404).json()["code"], "not_found");
    assert!(process.ask("GET", "/healthz?full=1").json().get("sagas").is_none());
}
