//! What sagas are remembered in: full, unwritable, large; and what a process finds there that comes after one that was killed.

use std::process::Command;
use std::time::{Duration, Instant};

use super::services::{Outcome, Services};
use super::{Shop, begin, configuration, saga_of};
use crate::harness::gateway::patient;
use crate::harness::{Process, get, until};

const BODY: &str = r#"{"sku":"a-1"}"#;

/// The configuration with a route beside the sagas that needs no memory.
fn beside(services: &Services) -> String {
    let route = "routes:\n  - {name: plain, path: /plain, respond: {status: 200, body: here}}\n";
    configuration(services, "state", "wait: 20s").replace("routes:\n", route)
}

fn start(name: &str, services: Services, before: &str, prepare: impl FnOnce(&std::path::Path)) -> Shop {
    let folder = Process::folder(name);
    std::fs::write(folder.join("frontgate.yaml"), patient(&beside(&services))).unwrap();
    prepare(&folder);
    Shop { process: Process::start_at(folder, "frontgate.yaml", &["--no-watch"], before), services }
}

/// Sagas are refused, everything else serves, and operators are told.
fn is_refused(shop: &Shop, key: &str) {
    let refused = shop.begin(key, BODY);
    assert_eq!(refused.is_problem(503).json()["code"], "state_unavailable", "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(get(shop.process.address, "/plain").status, 200);
    let health = shop.process.ask("GET", "/healthz?full=1");
    assert!(health.text().contains("sagas"), "{}: {}", health.status, health.text());
}

#[test]
fn where_nothing_can_be_written_sagas_are_refused_until_it_can() {
    let shop = start("saga-unwritable", Services::new(&[]), "true", |folder| {
        // In the place of the directory.
        std::fs::create_dir(folder.join("state")).unwrap();
        std::fs::write(folder.join("state/sagas"), "no directory").unwrap();
    });
    is_refused(&shop, "k");
    assert!(shop.services.calls().is_empty());

    std::fs::remove_file(shop.state_dir().join("sagas")).unwrap();

    until("the journal to be opened", || shop.begin("k", BODY).status == 200);
    assert_eq!(shop.services.effects(), ["reserve", "charge", "confirm"]);
}

#[test]
fn a_full_disk_refuses_sagas_loses_none_and_is_used_again_when_it_has_room() {
    // A file has so many blocks of 512 bytes, or of 1 KiB, and no more.
    let shop = start("saga-full", Services::new(&[]), "ulimit -S -f 8192", |_| {});
    let mut done = Vec::new();
    let full = (0..20_000).find(|number| {
        let reply = shop.begin(&format!("k-{number}"), &format!(r#"{{"sku":"{}"}}"#, "x".repeat(60_000)));
        match reply.status {
            200 => done.push((number.to_string(), reply)),
            202 | 503 => return true,
            status => panic!("{status}: {}", reply.text()),
        }
        false
    });
    let full = full.expect("it is full at some time");
    until("it to be refused", || shop.begin("another", BODY).status == 503);
    is_refused(&shop, "another");
    let calls = shop.services.calls().len();
    assert!(!done.is_empty());
    // It is tried again every second, and nobody notices: what is there is read, and the log has a line.
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_secs(4) {
        let (number, reply) = &done[0];
        let again = shop.look(&format!("k-{number}"));
        assert_eq!((again.status, &again.body), (200, &reply.body), "{}", again.text());
    }
    let said = shop.process.said();
    assert_eq!(said.lines().filter(|line| line.contains("cannot be used, and nothing is begun")).count(), 1, "{said}");
    assert!(!said.contains("can be used\n"), "{said}");
    assert_eq!(shop.begin("another", BODY).status, 503);

    let limit = format!("--pid={}", shop.process.child.id());
    let raised = Command::new("prlimit").args([&limit, "--fsize=unlimited:unlimited"]).status();
    assert!(raised.is_ok_and(|raised| raised.success()), "prlimit is of util-linux");

    until("sagas to be taken again", || shop.begin("after", BODY).status == 200);
    for (number, reply) in &done {
        let again = shop.look(&format!("k-{number}"));
        assert_eq!((again.status, &again.body), (200, &reply.body), "{number}");
    }
    // The one in the middle of it has not begun, or goes on.
    until("the one in the middle to be over", || matches!(shop.look(&format!("k-{full}")).status, 200 | 404));
    assert!(shop.services.calls().len() >= calls + 3);
}

#[test]
fn an_order_that_is_refused_for_want_of_room_is_not_carried_out_later() {
    let services = Services::new(&[("charge", &[Outcome::Refuse]), ("reserve/undo", &[Outcome::Error])]);
    let text = configuration(&services, "state", "wait: 20s\n      give_up: 1s");
    let folder = Process::folder("saga-order-full");
    std::fs::write(folder.join("frontgate.yaml"), patient(&text)).unwrap();
    let process = Process::start_at(folder, "frontgate.yaml", &["--no-watch"], "ulimit -S -f 8192");
    let shop = Shop { process, services };
    let id = saga_of(&shop.begin("stuck", BODY));
    assert_eq!(shop.settles(&id), "stuck");
    shop.services.plans("charge", &[Outcome::Ok]);
    let large = format!(r#"{{"sku":"{}"}}"#, "x".repeat(60_000));
    (0..20_000).find(|number| shop.begin(&format!("k-{number}"), &large).status != 200).expect("it is full at some time");
    until("it to be refused", || shop.begin("another", BODY).status == 503);
    let order = format!("/-/sagas/{id}/retry");
    let undos = || shop.services.calls().iter().filter(|call| call.name == "reserve/undo").count();
    let undone = undos();

    let refused = shop.process.ask("POST", &order);

    assert_eq!(refused.status, 503, "{}", refused.text());
    shop.services.plans("reserve/undo", &[Outcome::Ok]);
    let limit = format!("--pid={}", shop.process.child.id());
    let raised = Command::new("prlimit").args([&limit, "--fsize=unlimited:unlimited"]).status();
    assert!(raised.is_ok_and(|raised| raised.success()), "prlimit is of util-linux");
    until("sagas to be taken again", || shop.begin("after", BODY).status == 200);
    assert_eq!(shop.told(&id)["state"], "stuck");
    assert_eq!(shop.metric(r#"frontgate_saga_open{route="checkout",state="stuck"}"#), 1.0);
    assert_eq!((undos(), shop.process.said().contains("the operator")), (undone, false));
    // Once it can be written it is, and the log has it.
    let obeyed = shop.process.ask("POST", &order);
    assert_eq!((obeyed.status, shop.settles(&id).as_str()), (200, "undone"), "{}", obeyed.text());
    until("the log to say so", || shop.process.said().contains("has it tried again, it is undoing now"));
}

#[test]
fn a_journal_that_was_altered_while_nobody_had_it_is_refused_and_all_else_serves() {
    let mut shop = start("saga-altered", Services::new(&[]), "true", |_| {});
    assert_eq!(shop.begin("k", BODY).status, 200);
    let journal = shop.state_dir().join("sagas/sagas.redb");
    shop.process.signal("KILL");
    let sound = std::fs::read(&journal).unwrap();
    // Wherever a state of it is written: one of these places counts.
    let places: Vec<usize> = (0..sound.len()).filter(|at| sound[*at..].starts_with(b"\"format\":1,\"")).collect();
    assert!(!places.is_empty());
    let mut altered = sound.clone();
    places.iter().for_each(|at| altered[at + 9] = b'7');
    std::fs::write(&journal, &altered).unwrap();

    shop.process.restart();

    is_refused(&shop, "k");
    let health = shop.process.ask("GET", "/healthz?full=1");
    assert!(health.text().contains("was altered"), "{}", health.text());
    assert_eq!(std::fs::read(&journal).unwrap().len(), altered.len());
    // Whoever has a sound one puts it back.
    std::fs::write(&journal, &sound).unwrap();
    until("it to be used again", || shop.look("k").status == 200);
    assert_eq!(shop.services.effects(), ["reserve", "charge", "confirm"]);
}

#[test]
fn a_thousand_that_are_open_go_on_by_themselves() {
    const COUNT: usize = 1000;
    let mut shop = Shop::start("saga-thousand", Services::new(&[("confirm", &[Outcome::Busy])]), "wait: 0s\n      give_up: 1h");
    let address = shop.process.address;
    std::thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || {
                for number in (worker..COUNT).step_by(8) {
                    let reply = begin(address, &format!("k-{number}"), BODY);
                    assert_eq!(reply.status, 202, "{}", reply.text());
                }
            });
        }
    });
    // All are at their last step, of which nobody knows whether it has happened.
    until("all steps but the last", || shop.services.effects().len() >= 2 * COUNT);
    shop.process.signal("KILL");
    shop.services.plans("confirm", &[Outcome::Ok]);

    let begun = Instant::now();
    shop.process.restart();
    let serves = begun.elapsed();
    until("all to be over", || shop.metric(r#"frontgate_saga_ended_total{route="checkout",state="done"}"#) as usize == COUNT);
    let over = begun.elapsed();

    let said = shop.process.said();
    let found = said.lines().find(|line| line.contains("that were open go on")).unwrap_or_else(|| panic!("{said}"));
    println!("served after {serves:?}, all over after {over:?}: {found}");
    assert!(found.contains(&format!("{COUNT} that were open")), "{found}");
    // What a build without optimisation takes beside other tests says nothing.
    assert!(cfg!(debug_assertions) || over < Duration::from_secs(1), "it took {over:?}");
    assert_eq!(shop.services.effects().len(), 3 * COUNT);
    let looked = shop.look("k-999");
    assert_eq!((looked.status, shop.told(&saga_of(&looked))["state"].as_str()), (200, Some("done")));
}

#[test]
fn a_journal_that_was_emptied_is_not_begun_anew_and_one_that_is_new_is_told_of() {
    let mut shop = Shop::start("saga-emptied", Services::new(&[]), "wait: 20s");
    assert_eq!(shop.begin("k", BODY).status, 200);
    assert!(shop.process.said().contains("a new one is begun"), "{}", shop.process.said());
    let journal = shop.state_dir().join("sagas/sagas.redb");
    shop.process.signal("KILL");
    std::fs::write(&journal, "").unwrap();

    shop.process.restart();

    let refused = shop.begin("k", BODY);
    assert_eq!(refused.is_problem(503).json()["code"], "state_unavailable", "{}", refused.text());
    assert_eq!(shop.services.effects(), ["reserve", "charge", "confirm"]);
    let health = shop.process.ask("GET", "/healthz?full=1");
    assert!(health.text().contains("is empty"), "{}", health.text());
    // Whoever removes it has decided.
    std::fs::remove_file(&journal).unwrap();
    until("a new one", || shop.begin("k", BODY).status == 200);
}

#[test]
fn a_journal_that_is_taken_away_under_a_gateway_is_missed_and_waited_for() {
    let shop = start("saga-taken-away", Services::new(&[]), "true", |_| {});
    let done = shop.begin("k-before", BODY);
    assert_eq!(done.status, 200, "{}", done.text());
    let (journal, aside) = (shop.state_dir().join("sagas/sagas.redb"), shop.state_dir().join("aside.redb"));
    let effects = shop.services.effects().len();
    std::fs::rename(&journal, &aside).unwrap();

    // The first one already: nothing is sent for a saga that nobody could find again.
    is_refused(&shop, "k-meanwhile");
    until("what is asked to be refused, too", || shop.look("k-before").status == 503);
    let health = shop.process.ask("GET", "/healthz?full=1").text();
    assert!(health.contains("is gone"), "{health}");
    assert!(!journal.exists() && shop.services.effects().len() == effects);
    std::fs::rename(&aside, &journal).unwrap();

    until("it to be used again", || shop.begin("k-after", BODY).status == 200);
    let again = shop.look("k-before");
    assert_eq!((again.status, &again.body), (200, &done.body));
    assert_eq!(shop.look("k-meanwhile").status, 404);
    let said = shop.process.said();
    assert_eq!(said.lines().filter(|line| line.contains("cannot be used, and nothing is begun")).count(), 1, "{said}");
}

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let shop = Shop::start("saga-modes", Services::new(&[]), "wait: 20s");
    assert_eq!(shop.begin("k", BODY).status, 200);

    let mode = |path: &str| std::fs::metadata(shop.state_dir().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("sagas"), mode("sagas/sagas.redb")), (0o700, 0o600));
}
