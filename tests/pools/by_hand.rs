//! What operators do to single endpoints: who gets requests then, where it is seen, how long it holds.

use std::process::Command;

use frontgate_test_support::yaml;

use super::Farm;
use crate::harness::{Gateway, Log, get, load, operate, until};

/// A gateway in front of these endpoints; `upstream` are its further keys.
fn text(farm: &Farm, endpoints: std::ops::Range<usize>, upstream: &str) -> String {
    let endpoints: Vec<String> = endpoints.map(|number| farm.endpoint(number).to_string()).collect();
    yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams:
          main:
            endpoints: [$ENDPOINTS]
            $UPSTREAM
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ENDPOINTS", &endpoints.join(", ")), ("$UPSTREAM", &upstream)],
    )
}

/// Runs `frontgate upstreams` with these words: its exit code, what it printed, what it complained of.
fn upstreams(gateway: &Gateway, words: &[&str]) -> (Option<i32>, String, String) {
    let admin = gateway.running.admin().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).arg("upstreams").args(words).args(["--admin", &admin]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// How many of so many requests each of the first three endpoints answers.
fn shares(gateway: &Gateway, farm: &Farm, requests: usize) -> [usize; 3] {
    let mut shares = [0; 3];
    for _ in 0..requests {
        let reply = get(gateway.address, "/");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let from = (0..3).find(|number| farm.endpoint(*number).to_string() == reply.text());
        shares[from.expect("one of the three")] += 1;
    }
    shares
}

fn full(gateway: &Gateway) -> serde_json::Value {
    operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json()
}

#[test]
fn an_endpoint_that_is_taken_out_gets_no_new_requests_and_ends_those_that_it_has() {
    let farm = Farm::start();
    let gateway = Gateway::start(&text(&farm, 0..3, ""));
    let address = gateway.address;
    let held: Vec<_> = (0..3).map(|_| std::thread::spawn(move || get(address, "/held"))).collect();
    until("a request at each", || farm.held() == 3);
    let second = farm.endpoint(1).to_string();

    let (code, said, _) = upstreams(&gateway, &["drain", "main", &second]);

    assert_eq!(code, Some(0));
    assert!(said.contains("\"endpoints\": 1") && !said.contains("warning") && !said.contains("for_ms"), "{said}");
    assert_eq!(shares(&gateway, &farm, 20), [10, 0, 10]);
    let (_, table, _) = upstreams(&gateway, &[]);
    let row = table.lines().find(|line| line.contains(&second)).expect("a row");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["main", &second, "-", "drained", "1", "1", "-", "-", "-"]);
    let status = full(&gateway);
    assert_eq!((&status["status"], &status["upstreams"]["main"]["endpoints"][1]["state"]), (&"degraded".into(), &"drained".into()));
    assert_eq!(status["reasons"][0], "an operator has taken out 1 of the endpoints of upstream `main`");
    gateway.comes_to("frontgate_upstream_endpoints{upstream=\"main\",state=\"drained\"}", 1.0);
    gateway.comes_to("frontgate_upstream_endpoints{upstream=\"main\",state=\"healthy\"}", 2.0);

    farm.open();
    assert!(held.into_iter().all(|one| one.join().unwrap().status == 200), "what ran has ended well");
    assert_eq!(upstreams(&gateway, &["ready", "main", &second]).0, Some(0));
    assert_eq!(shares(&gateway, &farm, 30), [10, 10, 10]);
    assert_eq!(full(&gateway)["status"], "ok");
}

#[test]
fn a_weight_by_hand_holds_in_place_of_the_one_that_is_written() {
    let farm = Farm::start();
    for (balance, spread) in [("round_robin", 0), ("random", 60), ("least_request", 60)] {
        let gateway = Gateway::start(&text(&farm, 0..3, &format!("balance: {balance}")));

        assert_eq!(upstreams(&gateway, &["weight", "main", &farm.endpoint(0).to_string(), "4"]).0, Some(0));
        let (code, said, _) = upstreams(&gateway, &["weight", "main", &farm.endpoint(2).to_string(), "0", "--for", "1h"]);
        assert!(code == Some(0) && said.contains("\"for_ms\": 3600000"), "{said}");

        let shares = shares(&gateway, &farm, 500);
        assert!((400 - spread..=400 + spread).contains(&shares[0]) && shares[2] == 0, "{balance}: {shares:?}");
        let (_, table, _) = upstreams(&gateway, &[]);
        assert!(table.contains(" 4 by hand ") && (table.contains(" 0 by hand, 36") || table.contains(" 0 by hand, 35")), "{table}");
        assert_eq!(full(&gateway)["reasons"][0], "an operator has set the weight of 2 of the endpoints of upstream `main`");
    }
}

#[test]
fn what_is_set_by_hand_survives_reloads_and_endpoints_that_leave_and_come_back() {
    let farm = Farm::start();
    let gateway = Gateway::start(&text(&farm, 0..3, ""));
    let (second, third) = (farm.endpoint(1).to_string(), farm.endpoint(2).to_string());
    assert_eq!(upstreams(&gateway, &["drain", "main", &second]).0, Some(0));
    assert_eq!(upstreams(&gateway, &["weight", "main", &third, "3"]).0, Some(0));

    // Other settings, then without both of them, then with them again.
    gateway.running.reload(load(&text(&farm, 0..3, "slow_start: 1s"))).unwrap();
    assert_eq!(shares(&gateway, &farm, 40), [10, 0, 30]);
    gateway.running.reload(load(&text(&farm, 0..1, "slow_start: 1s"))).unwrap();
    assert_eq!(shares(&gateway, &farm, 10), [10, 0, 0]);
    gateway.running.reload(load(&text(&farm, 0..3, "slow_start: 1s"))).unwrap();
    assert_eq!(shares(&gateway, &farm, 40), [10, 0, 30]);
    // It can be taken back while the endpoint is away.
    gateway.running.reload(load(&text(&farm, 0..1, "slow_start: 1s"))).unwrap();
    assert_eq!(upstreams(&gateway, &["ready", "main", &second]).0, Some(0));
    assert_eq!(upstreams(&gateway, &["ready", "main", &third]).0, Some(0));
    gateway.running.reload(load(&text(&farm, 0..3, "slow_start: 1s"))).unwrap();

    assert_eq!(shares(&gateway, &farm, 30), [10, 10, 10]);
}

#[test]
fn what_is_set_for_a_time_ends_by_itself() {
    let farm = Farm::start();
    let gateway = Gateway::start(&text(&farm, 0..2, ""));
    let healthy = || gateway.metric("frontgate_upstream_endpoints{upstream=\"main\",state=\"healthy\"}");

    assert_eq!(upstreams(&gateway, &["drain", "main", &farm.endpoint(0).to_string(), "--for", "1s"]).0, Some(0));
    until("it to be put back", || healthy() == 2.0);

    assert_eq!(shares(&gateway, &farm, 20), [10, 10, 0]);
    assert_eq!(full(&gateway)["status"], "ok");
}

#[test]
fn the_last_endpoint_may_be_taken_out_and_that_is_said() {
    let farm = Farm::start();
    let log = Log::new("drained");
    let gateway = Gateway::start(&log.of(&text(&farm, 0..1, "required: true")));

    let (code, said, _) = upstreams(&gateway, &["drain", "main", &farm.endpoint(0).to_string()]);

    assert_eq!(code, Some(0));
    assert!(said.contains("no endpoint of the upstream `main` takes requests"), "{said}");
    // Not even where all are tried because none is well.
    assert_eq!(get(gateway.address, "/").is_problem(503).json()["code"], "no_endpoint");
    assert_eq!(log.wait_for(1)[0]["flags"], "UH");
    assert_eq!(operate(gateway.running.admin().unwrap(), "GET", "/readyz").status, 503);
    assert_eq!(upstreams(&gateway, &["ready", "main", &farm.endpoint(0).to_string()]).0, Some(0));
    assert_eq!(get(gateway.address, "/").status, 200);
    assert_eq!(operate(gateway.running.admin().unwrap(), "GET", "/readyz").status, 200);
}

#[test]
fn probes_of_an_endpoint_that_is_taken_out_go_on() {
    let farm = Farm::start();
    let gateway = Gateway::start(&text(&farm, 0..2, "health: {path: /healthz, interval: 20ms, timeout: 10s}"));
    let first = farm.endpoint(0);
    assert_eq!(upstreams(&gateway, &["drain", "main", &first.to_string()]).0, Some(0));
    let probed = || farm.requests().get(&first).copied().unwrap_or_default();
    let before = probed();

    until("further probes", || probed() > before + 3);
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let farm = Farm::start();
    let gateway = Gateway::start(&text(&farm, 0..2, ""));
    let first = farm.endpoint(0).to_string();

    let (code, _, complaint) = upstreams(&gateway, &["drain", "mian", &first]);
    assert!(
        code == Some(1) && complaint.contains("There is no upstream `mian`: did you mean `main`?") && complaint.contains(&first),
        "{complaint}"
    );
    let (code, _, complaint) = upstreams(&gateway, &["weight", "main", "127.0.0.1:1", "2"]);
    assert!(
        code == Some(1) && complaint.contains("There is no endpoint of the upstream `main` at `") && complaint.contains(&first),
        "{complaint}"
    );
    assert_eq!(upstreams(&gateway, &["ready", "main", "127.0.0.1:1"]).0, Some(1));
    assert_eq!(upstreams(&gateway, &["weight", "main", &first]).0, Some(2), "the weight is missing");
    assert_eq!(upstreams(&gateway, &["drain", "main", &first, "--for", "soon"]).0, Some(2));
    assert_eq!(upstreams(&gateway, &["ready", "main", &first, "--for", "1h"]).0, Some(2));

    let admin = gateway.running.admin().unwrap();
    for (path, status) in [
        ("/-/upstreams/drain", 404),
        ("/-/upstreams/drain?upstream=main", 404),
        ("/-/upstreams/drain?upstream=main&endpoint=127.0.0.1:1&for=soon", 400),
        ("/-/upstreams/weight?upstream=main&endpoint=127.0.0.1:1", 400),
        ("/-/upstreams/weight?upstream=main&endpoint=127.0.0.1:1&weight=-1", 400),
        ("/-/upstreams/ready?upstream=main&endpoint=127.0.0.1:1&for=1h", 400),
    ] {
        operate(admin, "POST", path).is_problem(status);
    }
    assert_eq!(shares(&gateway, &farm, 10), [5, 5, 0], "nothing was set");
}
