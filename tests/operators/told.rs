//! What operators are told of limits, endpoints, filters and routes, and by whom.

use std::io::Write;
use std::net::TcpListener;

use super::{code_of, frontgate};
use crate::harness::gateway::simple;
use crate::harness::origin::response;
use crate::harness::{Gate, Gateway, Origin, Process, exchange, get, until, yaml};

#[test]
fn the_keys_that_a_limit_refused_are_shown_as_the_log_shows_them() {
    let origin = Origin::json("{}");
    let folder = std::env::temp_dir().join(format!("frontgate-test-{}-hash-key", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (key, config) = (folder.join("log.key"), folder.join("frontgate.yaml"));
    std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    let text = yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          by_key: {rate_limit: {key: header.X-Api-Key, rate: 1/h, burst: 2}}
          by_client: {rate_limit: {key: client_ip, rate: 1/h, burst: 9}}
        routes:
          - {name: all, path: /**, upstream: main, filters: [by_client, by_key]}
        telemetry: {access_log: off, hash_key: {file: $KEY}}
        ",
        &[("$ORIGIN", &origin.address), ("$KEY", &key.display())],
    );
    std::fs::write(&config, &text).unwrap();
    let gateway = Gateway::start(&text);
    let admin = gateway.running.admin().unwrap().to_string();
    let send = |key: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n");
        exchange(gateway.address, head.as_bytes()).unwrap().status
    };

    assert_eq!((0..5).map(|_| send("k-1")).collect::<Vec<_>>(), [200, 200, 429, 429, 429]);
    assert_eq!((0..3).map(|_| send("k-2")).collect::<Vec<_>>(), [200, 200, 429]);
    assert_eq!((0..3).map(|_| send("k-3")).collect::<Vec<_>>(), [200, 429, 429]);

    let config = config.to_str().unwrap();
    let hash = |value: &str| code_of(&frontgate(&["hash", "-c", config, value], &[])).1.trim().to_owned();
    let (first, second) = (hash("k-1"), hash("k-2"));
    assert_eq!(code_of(&frontgate(&["hash", "-c", "/nowhere.yaml", "--admin", &admin, "k-1"], &[])).1.trim(), first);
    let (code, all) = code_of(&frontgate(&["limits", "--admin", &admin], &[]));
    let rows: Vec<Vec<&str>> = all.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
    assert_eq!(code, Some(0));
    assert_eq!(
        rows,
        [
            ["LIMIT", "TIER", "KEY", "REFUSED"],
            ["by_key", "-", &first, "3"],
            ["by_client", "-", "127.0.0.1", "2"],
            ["by_key", "-", &second, "1"]
        ]
    );
    let (_, one) = code_of(&frontgate(&["limits", "--admin", &admin, "by_client"], &[]));
    assert_eq!(one.lines().count(), 2, "{one}");
    assert_eq!(code_of(&frontgate(&["limits", "--admin", &admin, "none"], &[])).0, Some(1));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_log_and_the_table_say_why_an_endpoint_is_bad() {
    let gate = Gate::default();
    let held = gate.clone();
    let silent = Origin::start(move |_, _| {
        held.pass();
        false
    });
    let busy = Origin::start(|_, stream| stream.write_all(response("503 Busy", "", "").as_bytes()).is_ok());
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let health = "health: {path: /, interval: 10ms, timeout: 300ms, unhealthy_after: 2}";
    let text = simple(busy.address, "admin: 127.0.0.1:0", "").replace(
        "upstreams:\n",
        &format!(
            "upstreams:\n  probed:\n    endpoints: [\"{}\", \"{}\", \"{dead}\"]\n    {health}\n  judged:\n    endpoints: [\"{}\", \"{dead}\"]\n    \
             outlier: {{consecutive: 2, max_ejected: 100%}}\n",
            silent.address, busy.address, busy.address
        ),
    );
    let text = text.replace(
        "routes:\n",
        "routes:\n  - {name: judged, path: /judged, upstream: judged}\n  - {name: probed, path: /probed, upstream: probed}\n",
    );
    let process = Process::start("causes", &text);

    for (address, cause) in [(silent.address, "no answer in time"), (busy.address, "status 503"), (dead, "connection refused")] {
        let line = format!("endpoint {address} of upstream `probed` is unhealthy: {cause}");
        until(&line, || process.said().contains(&line));
    }
    until("an ejection", || {
        get(process.address, "/judged");
        process.said().contains("of upstream `judged` is ejected for")
    });
    let said = process.said();
    let ejected = said.lines().find(|line| line.contains("is ejected")).unwrap();
    assert!(ejected.contains("2 requests in a row failed, the last one with: "), "{ejected}");
    assert!(ejected.contains("status 503") || ejected.contains("connection refused"), "{ejected}");
    let table = code_of(&frontgate(&["upstreams", "--admin", &process.admin.to_string()], &[])).1;
    for cause in ["no answer in time", "status 503", "connection refused"] {
        assert!(
            table.lines().any(|line| line.starts_with("probed") && line.contains(&format!("{cause}, ")) && line.ends_with(" ago")),
            "{table}"
        );
    }
    gate.open();
}

#[test]
fn a_filter_without_keys_is_told_of() {
    let origin = Origin::json("{}");
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let keys = format!(
        "filters:\n  login: {{jwt: {{issuer: any, audience: any, algorithms: [ES256], keys: {{jwks: {{url: \"http://{dead}/\"}}}}}}}}\n"
    );
    let text = simple(origin.address, "admin: 127.0.0.1:0", "filters: [login]").replace("routes:\n", &(keys + "routes:\n"));
    let process = Process::start("keyless", &text);

    until("a word in the log", || process.said().contains("the filter `login` refuses every token: its keys could never be fetched"));

    let status = process.ask("GET", "/healthz?full=1").json();
    assert_eq!(status["status"], "degraded");
    assert_eq!(status["reasons"][0], "the filter `login` refuses every token: its keys could never be fetched");
    assert_eq!(process.said().matches("refuses every token").count(), 1, "{}", process.said());
    assert_eq!(process.ask("GET", "/readyz").status, 200, "what needs no token is served");
}

#[test]
fn what_answers_in_a_frontgates_place_is_told_from_one() {
    let origin = Origin::start(|_, stream| {
        let _ = stream.write_all(response("200 OK", "Connection: close\r\n", r#"{"status": "UP"}"#).as_bytes());
        false
    });
    let process = Process::start("another", &simple(origin.address, "admin: 127.0.0.1:0", ""));
    let reply = process.ask("GET", "/healthz?full=1").json();
    assert_eq!(reply["status"], "ok");

    for address in [origin.address, process.address] {
        for command in [&["status"][..], &["upstreams"], &["limits"], &["reload"], &["drain"], &["hash", "x"]] {
            let (code, words) = code_of(&frontgate(&[command, &["--admin", &address.to_string()]].concat(), &[]));
            assert_eq!(code, Some(69), "{command:?} {words}");
            let told = format!("what answers on {address} (as `--admin` says) is not the admin address of a frontgate");
            assert!(words.contains(&told), "{command:?} {words}");
            assert!(!words.contains("UP"), "{words}");
        }
    }
    let (code, words) = code_of(&frontgate(&["upstreams", "--admin", &process.admin.to_string()], &[]));
    assert!(code == Some(0) && words.starts_with("UPSTREAM"), "{words}");
}

#[test]
fn an_upstream_that_is_away_makes_the_gateway_degraded_and_when_it_failed_is_told() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let process = Process::start(
        "away",
        &yaml(
            "
            server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
            upstreams:
              main: {endpoints: [$AWAY], health: {tcp: true, interval: 50ms, timeout: 50ms, unhealthy_after: 1}}
            routes:
              - {name: all, path: /**, upstream: main}
            ",
            &[("$AWAY", &away)],
        ),
    );

    until("it is told", || process.ask("GET", "/healthz?full=1").json()["status"] == "degraded");

    let status = process.ask("GET", "/healthz?full=1");
    assert_eq!(status.status, 200);
    assert_eq!(status.json()["reasons"], serde_json::json!(["the upstream `main` has no endpoint that takes requests"]));
    assert_eq!(process.ask("GET", "/readyz").status, 200);
    let (_, words) = code_of(&frontgate(&["upstreams", "--admin", &process.admin.to_string()], &[]));
    assert!(words.contains("connection refused, ") && words.contains(" ago"), "{words}");
}

#[test]
fn a_route_that_fails_makes_the_gateway_degraded_and_how_much_of_it_fails_is_told() {
    let fails = Origin::start(|_, stream| stream.write_all(response("500 Broken", "", "").as_bytes()).is_ok());
    let works = Origin::json("{}");
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let process = Process::start(
        "failing",
        &yaml(
            "
            server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
            upstreams:
              fails: {endpoints: [$FAILS]}
              works: {endpoints: [$WORKS]}
              away: {endpoints: [$AWAY]}
            filters:
              guard: {circuit_breaker: {consecutive: 10, open_for: 10m, max_open_for: 10m}}
            routes:
              - {name: broken, path: /broken, upstream: fails}
              - {name: away, path: /away, upstream: away}
              - {name: fine, path: /fine, upstream: works}
              - {name: guarded, path: /guarded, upstream: fails, filters: [guard]}
            ",
            &[("$FAILS", &fails.address), ("$WORKS", &works.address), ("$AWAY", &away)],
        ),
    );
    let status = || process.ask("GET", "/healthz?full=1").json();
    (0..20).for_each(|_| drop(get(process.address, "/fine")));
    assert_eq!((&status()["status"], &status()["reasons"]), (&"ok".into(), &serde_json::json!([])));

    (0..12).for_each(|_| assert_eq!(get(process.address, "/broken").status, 500));
    until("the route that fails", || {
        status()["reasons"] == serde_json::json!(["100 % of the requests on route `broken` failed in the last minute (12 of 12)"])
    });
    assert_eq!((&status()["status"], process.ask("GET", "/readyz").status), (&"degraded".into(), 200));

    (0..11).for_each(|_| drop(get(process.address, "/guarded")));
    until("the circuit", || status()["reasons"].to_string().contains("the circuit of filter `guard` and upstream `fails` is open, for "));
    let (code, words) = code_of(&frontgate(&["status", "--admin", &process.admin.to_string()], &[]));
    assert!(code == Some(0) && words.contains("on route `guarded` failed") && words.contains("is open, for "), "{words}");

    (0..3).for_each(|_| assert_eq!(get(process.address, "/away").status, 502));
    let (_, table) = code_of(&frontgate(&["upstreams", "--admin", &process.admin.to_string()], &[]));
    let row = table.lines().find(|line| line.starts_with("away")).unwrap();
    assert!(row.contains("  healthy (not probed)  ") && row.contains("connection refused, "), "nobody has probed it: {table}");
}
