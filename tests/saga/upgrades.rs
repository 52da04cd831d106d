//! A process that ends, or leaves its place to another: what it is at is parked, and goes on there.

use std::os::unix::fs::DirBuilderExt;
use std::process::{Command, Stdio};

use super::services::{Services, Stop, When};
use super::{Shop, configuration, saga_of};
use crate::harness::gateway::patient;
use crate::harness::{Process, Starting, until};

const BODY: &str = r#"{"sku":"a-1"}"#;

fn held(call: &str, when: When) -> Services {
    Services::planned(Default::default(), Some(Stop { call: call.to_owned(), attempt: 1, when }))
}

#[test]
fn a_drain_parks_what_is_under_way_and_the_next_process_goes_on_with_it() {
    let mut shop = Shop::start("saga-drain", held("reserve", When::AfterAnswer), "wait: 20s");
    let reply = std::thread::scope(|scope| {
        let asking = scope.spawn(|| shop.begin("k", BODY));
        assert!(shop.services.is_stopped());
        shop.process.signal("TERM");
        until("the drain to be told of", || shop.process.said().contains("draining"));
        shop.services.go_on();
        asking.join().expect("an answer")
    });
    assert_eq!(shop.process.end(), Some(0), "{}", shop.process.said());

    // It was over before the drain began, or is parked.
    assert!(matches!(reply.status, 200 | 202), "{}: {}", reply.status, reply.text());
    shop.process.start_again();

    let id = saga_of(&reply);
    assert_eq!(shop.settles(&id), "done");
    assert_eq!(shop.services.effects(), ["reserve", "charge", "confirm"]);
    assert_eq!(shop.look("k").status, 200);
}

#[test]
fn a_process_that_takes_over_waits_for_the_journal_and_goes_on_with_what_was_parked() {
    let socket = std::env::temp_dir().join(format!("frontgate-saga-upgrade-{}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&socket).unwrap();
    let services = held("charge", When::BeforeEffect);
    let folder = Process::folder("saga-upgrade");
    let text = configuration(&services, &folder.join("state").display().to_string(), "wait: 200ms")
        .replace("400ms", "8s")
        .replace("timeout: 10s", "timeout: 20s");
    std::fs::write(folder.join("frontgate.yaml"), patient(&text)).unwrap();
    let place = socket.join("upgrade.sock").display().to_string();
    let mut old = Process::start_at(folder, "frontgate.yaml", &["--no-watch", "--upgrade-socket", &place], "true");
    let reply = super::begin(old.address, "k", BODY);
    assert_eq!(reply.status, 202, "{}", reply.text());
    assert!(services.is_stopped());

    let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
    command.stdout(Stdio::null());
    let starting = Starting::new(command, "saga-upgrade-next", &text, &["--upgrade", "--upgrade-socket", &place]);
    starting.says("send it QUIT");
    old.signal("QUIT");
    let new = starting.listening();
    let shop = Shop { process: new, services };

    // The old one is in the middle of a call, and has the journal. What it still accepts begins there.
    until("the old one to leave its sockets", || old.said().contains("draining"));
    let (mut number, mut refused) = (0, None);
    until("a refusal", || {
        number += 1;
        refused = Some(shop.begin(&format!("other-{number}"), BODY)).filter(|reply| reply.status == 503);
        refused.is_some()
    });
    let refused = refused.expect("a refusal");
    assert_eq!(refused.is_problem(503).json()["code"], "state_unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    shop.services.go_on();
    assert_eq!(old.end(), Some(0), "{}", old.said());

    until("the journal to be taken over", || shop.look("k").status != 503);
    assert_eq!(shop.settles(&saga_of(&reply)), "done");
    // The refused one is nobody's, and asks again.
    until("the refused one to begin", || matches!(shop.begin(&format!("other-{number}"), BODY).status, 200 | 202 | 409));
    until("others to be over", || shop.metric(r#"frontgate_saga_open{route="checkout",state="running"}"#) == 0.0);
    let effects = shop.services.effects();
    assert!(
        ["reserve", "charge", "confirm"].iter().all(|step| effects.iter().filter(|effect| effect == step).count() == number + 1),
        "{number}: {effects:?}"
    );
    let _ = std::fs::remove_dir_all(socket);
}
