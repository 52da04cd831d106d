//! What operators ask of the admin address, with the commands and without them.

mod told;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

use crate::harness::gateway::simple;
use crate::harness::origin::response;
use crate::harness::{Gate, Gateway, Origin, Process, exchange, get, operate, raw, until, yaml};

/// The words of a command, with its environment and from an empty directory.
fn frontgate(words: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
    command.args(words).current_dir("/").env_remove("FRONTGATE_ADMIN").envs(environment.iter().copied());
    command.output().unwrap()
}

#[track_caller]
fn code_of(output: &Output) -> (Option<i32>, String) {
    let words = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(words).unwrap())
}

/// A gateway under a configuration whose admin address has a port of its own.
fn on_a_fixed_port(name: &str, origin: SocketAddr, more: &str) -> (Process, SocketAddr, String) {
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = simple(origin, &format!("admin: {admin}\n{more}"), "");
    (Process::start(name, &text), admin, text)
}

#[test]
fn a_page_that_a_browser_shows_operates_nothing() {
    let origin = Origin::json("{}");
    let mut process = Process::start("page", &simple(origin.address, "admin: 127.0.0.1:0", ""));
    let ask = |head: &str| exchange(process.admin, head.as_bytes()).unwrap().status;
    let host = process.admin;

    for (method, target) in [("GET", "/healthz?full=1"), ("GET", "/metrics"), ("POST", "/-/reload"), ("POST", "/-/drain"), ("GET", "/none")]
    {
        for headers in [
            "Host: rebound.example\r\n".to_owned(),
            format!("Host: rebound.example:{}\r\n", host.port()),
            format!("Host: {host}\r\nOrigin: https://evil.example\r\n"),
            format!("Host: {host}\r\nOrigin: null\r\n"),
            format!("Host: {host}\r\nSec-Fetch-Site: cross-site\r\n"),
            format!("Host: {host}\r\nSec-Fetch-Site: same-site\r\n"),
        ] {
            let head = format!("{method} {target} HTTP/1.1\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n");
            // What the read-only address tells everybody is told under any name, though not to a page that says what it is.
            let told = target == "/metrics" && headers.starts_with("Host: rebound");
            assert_eq!(ask(&head), if told { 200 } else { 403 }, "{head}");
        }
    }

    assert_eq!(process.ask("GET", "/readyz").status, 200, "it does not drain");
    assert_eq!(ask("GET /livez HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: none\r\nConnection: close\r\n\r\n"), 200);
    process.signal("INT");
    process.end();
}

#[test]
fn a_name_in_the_target_is_judged_as_one_in_host_is() {
    let origin = Origin::json("{}");
    let mut process = Process::start("absolute", &simple(origin.address, "admin: 127.0.0.1:0", ""));
    let admin = process.admin;
    let ask = |method: &str, target: &str, host: &str| {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        exchange(admin, head.as_bytes()).unwrap().status
    };

    for (authority, host, status) in [
        ("evil.example", "localhost", 403),
        ("evil.example", "evil.example", 403),
        ("localhost@evil.example", "localhost", 403),
        ("evil.example:80", "127.0.0.1", 403),
        ("", "localhost", 403),
        ("localhost", "evil.example", 403),
        ("localhost", "localhost", 200),
        ("LOCALHOST:1", "127.0.0.1", 200),
    ] {
        for scheme in ["http://", "https://", "HTTP://"] {
            assert_eq!(ask("GET", &format!("{scheme}{authority}/-/config"), host), status, "{scheme}{authority} {host}");
        }
    }
    assert_eq!(ask("POST", "http://evil.example/-/drain", "localhost"), 403);
    assert_eq!(process.ask("GET", "/readyz").status, 200, "it does not drain");
    process.signal("INT");
    process.end();
}

#[test]
fn a_circuit_that_no_request_meets_is_not_held_and_the_ones_that_are_there_are_named() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams: {catalog: {endpoints: [$ORIGIN]}, orders: {endpoints: [$ORIGIN]}, canary: {endpoints: [$ORIGIN]}, unguarded: {endpoints: [$ORIGIN]}}
        filters:
          guard: {circuit_breaker: {}}
          unused: {circuit_breaker: {}}
          per_client: {rate_limit: {key: client_ip, rate: 1/s}}
        routes:
          - {name: a, path: /a, upstream: catalog, canary: [{version: v2, share: 1%, upstream: canary}], filters: [per_client, guard]}
          - {name: b, path: /b, upstream: {read: orders, write: catalog}, filters: [guard]}
          - {name: c, path: /c, upstream: unguarded}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let admin = gateway.running.admin().unwrap();
    let post = |query: &str| operate(admin, "POST", &format!("/-/circuit?{query}"));

    for (query, words) in [
        ("filter=gaurd&upstream=catalog&force=open", "There is no circuit breaker `gaurd`: did you mean `guard`?"),
        ("filter=per_client&upstream=catalog&force=open", "There is no circuit breaker `per_client`: there is `guard`, `unused`."),
        (
            "filter=guard&upstream=catalgo&force=open",
            "There is no circuit of the filter `guard` for the upstream `catalgo`: did you mean `catalog`?",
        ),
        (
            "filter=guard&upstream=unguarded&force=open",
            "There is no circuit of the filter `guard` for the upstream `unguarded`: there is `canary`, `catalog`, `orders`.",
        ),
        ("filter=guard&upstream=unguarded&force=closed", "there is `canary`, `catalog`, `orders`."),
        ("filter=unused&upstream=catalog&force=open", "for the upstream `catalog`: there is none."),
        ("upstream=catalog&force=open", "There is no circuit breaker ``: there is `guard`, `unused`."),
    ] {
        let reply = post(query);
        reply.is_problem(404);
        assert!(reply.json()["detail"].as_str().unwrap().contains(words), "{query} {}", reply.text());
    }
    let status = operate(admin, "GET", "/healthz?full=1").json();
    assert_eq!((&status["status"], &status["circuits"]), (&"ok".into(), &serde_json::json!([])));
    for upstream in ["catalog", "orders", "canary"] {
        assert_eq!(post(&format!("filter=guard&upstream={upstream}&force=open")).status, 200, "{upstream}");
        assert_eq!(post(&format!("filter=guard&upstream={upstream}&force=auto")).status, 200, "{upstream}");
    }
    assert_eq!(post("filter=guard&upstream=catalog&force=auto&for=1h").status, 400, "that has no end");
    let limits = operate(admin, "GET", "/-/limits?filter=per-clent");
    limits.is_problem(404);
    assert!(limits.text().contains("There is no rate limit `per-clent`: did you mean `per_client`?"), "{}", limits.text());
    let (code, words) = code_of(&frontgate(&["circuit", "guard", "catalgo", "open", "--admin", &admin.to_string()], &[]));
    assert!(code == Some(1) && words.contains("did you mean `catalog`?"), "{words}");
}

#[test]
fn the_commands_find_the_gateway_whatever_is_wrong_with_the_file() {
    let origin = Origin::json("{}");
    let (process, admin, text) = on_a_fixed_port("night", origin.address, "");
    let file = process.folder.join("frontgate.yaml");
    let config = file.to_str().unwrap();

    for broken in [
        text.replace("upstream: main", "upstrem: main"),
        text.replace("routes:", "routes: [\n\t{"),
        text.replace("listeners: [{", "listeners: [{{"),
        text.replace("upstream: main", "upstream: \"${NOT_SET_HERE}\""),
    ] {
        process.write(&broken);
        for command in [&["status"][..], &["upstreams"], &["limits"]] {
            let (code, words) = code_of(&frontgate(&[command, &["-c", config]].concat(), &[]));
            assert_eq!(code, Some(0), "{command:?} {words}\n{broken}");
        }
        let (code, words) = code_of(&frontgate(&["reload", "-c", config], &[]));
        assert_eq!(code, Some(78), "the gateway itself says what is wrong: {words}");
        assert!(words.contains("frontgate.yaml:") && words.contains("error: "), "{words}");
    }
    let (code, words) = code_of(&frontgate(&["status", "-c", config], &[("FRONTGATE_ADMIN", "127.0.0.1:1")]));
    assert!(code == Some(69) && words.contains("127.0.0.1:1 (as FRONTGATE_ADMIN says)"), "{words}");
    let (code, words) =
        code_of(&frontgate(&["status", "-c", config, "--admin", &admin.to_string()], &[("FRONTGATE_ADMIN", "127.0.0.1:1")]));
    assert_eq!(code, Some(0), "{words}");
    let (code, words) = code_of(&frontgate(&["status", "-c", "/nowhere.yaml"], &[("FRONTGATE_ADMIN", &admin.to_string())]));
    assert_eq!(code, Some(0), "{words}");
    process.write(&text);
    let (code, words) = code_of(&frontgate(&["reload", "-c", config], &[]));
    assert!(code == Some(0) && words.contains("\"changed\": []"), "{words}");
}

#[test]
fn the_log_says_which_operator_changed_what() {
    let origin = Origin::json("{}");
    let folder = Process::folder("who");
    std::fs::write(folder.join("admin.token"), "of the night shift\n").unwrap();
    let text = simple(origin.address, "admin: {address: 127.0.0.1:0, token: {file: admin.token}}\nstate_dir: state", "filters: [guard]")
        .replace("routes:", "filters: {guard: {circuit_breaker: {}}}\nroutes:");
    let mut process = Process::start("who", &text);
    assert_eq!(get(process.address, "/").status, 200);
    let admin = process.admin.to_string();
    let endpoint = origin.address.to_string();
    let run =
        |words: &[&str]| code_of(&frontgate(&[words, &["--admin", &admin]].concat(), &[("FRONTGATE_ADMIN_TOKEN", "of the night shift")]));
    process.write(&text.replace("    upstream: main\n", "    upstream: main\n    timeout: 7s\n"));
    until("it to be in force by itself", || run(&["config", "history", "--format", "json"]).1.matches("\"hash\"").count() == 2);

    for (words, code, said) in [
        (&["reload"][..], 0, "is in force, as the operator 127.0.0.1:"),
        (&["config", "rollback"], 0, "rolled back to it: the route `all` has changed"),
        (&["circuit", "guard", "main", "open", "--for", "1h"], 0, "set the circuit of filter `guard` and upstream `main` to open for 1h"),
        (&["circuit", "guard", "main", "auto"], 0, "set the circuit of filter `guard` and upstream `main` to auto"),
        (&["upstreams", "drain", "main", &endpoint], 0, "took out endpoint"),
        (&["upstreams", "weight", "main", &endpoint, "7", "--for", "90s"], 0, "gave the weight 7 to endpoint"),
        (&["upstreams", "ready", "main", &endpoint], 0, "put back endpoint"),
        (&["log", "info", "--for", "1m"], 0, "set the log to `info` for 1m"),
        (&["log", "usual"], 0, "set the log back to what is usual"),
        (&["config", "rollback", "none"], 1, ""),
        (&["drain"], 0, "asks for the end"),
    ] {
        let before = process.said().lines().count();
        let (found, words_said) = run(words);
        assert_eq!(found, Some(code), "{words:?} {words_said}");
        let whose = " with the token of `admin.token`";
        let tells = || {
            process
                .said()
                .lines()
                .skip(before)
                .any(|line| line.contains(said) && line.contains(whose) && line.contains("operator 127.0.0.1:"))
        };
        if !said.is_empty() {
            until(&format!("{words:?} in the log"), tells);
        }
    }
    assert_eq!(process.end(), Some(0));
    assert!(!process.said().contains("night shift"), "{}", process.said());
}

#[test]
fn a_reload_that_an_operator_asks_for_and_that_is_refused_is_told_with_who_asked() {
    let origin = Origin::json("{}");
    let text = simple(origin.address, "admin: 127.0.0.1:0", "");
    let process = Process::start_by("who-refused", &text, &["--no-watch"]);

    process.write(&text.replace("upstream: main", "upstrem: main"));
    assert_eq!(process.ask("POST", "/-/reload").status, 422);

    let said = process.said();
    let line = said.lines().find(|line| line.contains("not reloaded")).unwrap();
    assert!(line.contains("as the operator 127.0.0.1:") && line.contains(" without a token asks: ") && line.contains("upstrem"), "{line}");
}

#[test]
fn without_any_configuration_the_usual_address_is_asked() {
    let (code, words) = code_of(&frontgate(&["status", "-c", "/nowhere.yaml"], &[]));

    // Some other gateway may be there, which is an answer as well.
    let unanswered = code == Some(69) && words.contains("127.0.0.1:9901") && words.contains("--admin");
    assert!(unanswered || code == Some(0), "{words}");
}

#[test]
fn a_token_comes_from_the_file_or_from_the_environment() {
    let origin = Origin::json("{}");
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = simple(origin.address, &format!("admin: {{address: {admin}, token: {{file: token}}}}"), "");
    let folder = std::env::temp_dir().join(format!("frontgate-test-{}-token", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("token"), "of the file\n").unwrap();
    let process = Process::start("token", &text);
    let config = process.folder.join("frontgate.yaml");

    process.write(&(text + "nonsense: 1\n"));
    let (code, words) = code_of(&frontgate(&["status", "-c", config.to_str().unwrap()], &[]));
    assert_eq!(code, Some(0), "{words}");
    let typed = ["status", "-c", "/nowhere.yaml", "--admin", &admin.to_string()];
    let (code, words) = code_of(&frontgate(&typed, &[]));
    assert!(code == Some(1) && words.contains("token"), "{words}");
    let (code, words) = code_of(&frontgate(&typed, &[("FRONTGATE_ADMIN_TOKEN", "of the file")]));
    assert_eq!(code, Some(0), "{words}");
}

#[test]
fn drain_can_wait_for_the_end() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, stream| {
        held.pass();
        stream.write_all(response("200 OK", "", "done").as_bytes()).is_ok()
    });
    let (mut process, admin, _) = on_a_fixed_port("drain-wait", origin.address, "drain: {timeout: 1h}");
    let mut busy = raw(process.address);
    busy.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the request to be under way", || origin.received().len() == 1);

    let address = admin.to_string();
    let waiting = std::thread::spawn(move || frontgate(&["drain", "--wait", "--admin", &address], &[]));
    until("it to drain", || operate(admin, "GET", "/readyz").status == 503);
    assert!(!waiting.is_finished(), "a request is still under way");
    gate.open();

    let (code, words) = code_of(&waiting.join().unwrap());
    assert!(code == Some(0) && words.contains("\"requests_in_flight\": 1"), "{words}");
    assert_eq!(process.end(), Some(0));
}

#[test]
fn a_circuit_that_is_not_there_is_answered_with_those_that_are() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          guard: {circuit_breaker: {}}
        routes:
          - {name: all, path: /**, upstream: main, filters: [guard]}
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let admin = gateway.running.admin().unwrap().to_string();
    let circuit = |words: &[&str]| code_of(&frontgate(&[&["circuit", "--admin", &admin], words].concat(), &[]));
    assert_eq!(get(gateway.address, "/").status, 200);

    let (code, words) = circuit(&["gard", "main", "open"]);
    assert!(code == Some(1) && words.contains("did you mean `guard`?") && words.contains("guard    main"), "{words}");
    assert_eq!(circuit(&["guard", "main", "open", "--for", "soon"]).0, Some(2));
    let (code, words) = circuit(&["guard", "main", "open", "--for", "10ms"]);
    assert!(code == Some(0) && words.contains("\"for_ms\": 10"), "{words}");
    until("the circuit to be let go", || operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json()["status"] == "ok");
    assert_eq!(get(gateway.address, "/").status, 200);
    assert_eq!(circuit(&["guard", "main", "open"]).0, Some(0));

    let (_, status) = code_of(&frontgate(&["status", "--admin", &admin], &[]));
    assert!(status.contains("\"status\": \"degraded\"") && status.contains("`guard` and upstream `main` open"), "{status}");
}
