use std::io::Write;
use std::process::Command;

use crate::harness::client::read_reply;
use crate::harness::gateway::simple;
use crate::harness::origin::response;
use crate::harness::{Gate, Origin, PATIENCE, Process, get, raw, until};

const ADMIN: &str = "admin: 127.0.0.1:0";
/// A drain that outlasts every test: whoever ends earlier does so because there is nothing left to wait for.
const PATIENT: &str = "admin: 127.0.0.1:0\ndrain: {timeout: 1h}";

#[test]
fn health_and_metrics_on_the_admin_address() {
    let origin = Origin::json("{}");
    let process = Process::start("health", &simple(origin.address, ADMIN, ""));
    assert_eq!(get(process.address, "/").status, 200);

    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(process.ask("GET", path).status, 200, "{path}");
    }
    assert_eq!(process.ask("GET", "/none").status, 404);
    assert_eq!(process.ask("GET", "/-/reload").status, 405);
    // A request is counted once its answer is out, which the client may see first.
    until("the count", || process.ask("GET", "/metrics").text().contains("frontgate_requests_total{route=\"all\""));
    let metrics = process.ask("GET", "/metrics").text();
    for series in [
        "frontgate_requests_total{route=\"all\",method=\"GET\",code=\"200\"} 1",
        "frontgate_config_last_reload_successful 1",
        "frontgate_upstream_attempts_total{upstream=\"main\",result=\"ok\"} 1",
        "frontgate_upstream_endpoints{upstream=\"main\",state=\"healthy\"} 1",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(series), "{series} is not in\n{metrics}");
    }
}

#[test]
fn a_reload_swaps_all_or_nothing() {
    let origin = Origin::json(r#"{"old":1}"#);
    let text = simple(origin.address, ADMIN, "");
    let process = Process::start("reload", &text);
    let respond = text.replace("    upstream: main\n", "    respond: {json: {new: 1}}\n");

    process.write(&respond);
    assert_eq!(process.ask("POST", "/-/reload").status, 200);
    assert_eq!(get(process.address, "/").json()["new"], 1);

    process.write(&text);
    process.signal("HUP");
    until("the old answer", || get(process.address, "/").json()["old"] == 1);

    for (broken, word) in [
        (text.replace("upstream: main", "upstrem: main"), "upstrem"),
        (text.replace("admin: 127.0.0.1:0", "admin: 127.0.0.1:1"), "server.admin cannot be changed by a reload"),
        (text.replace("  admin:", "  threads: 1\n  admin:"), "server.threads cannot be changed by a reload"),
    ] {
        process.write(&broken);
        let refused = process.ask("POST", "/-/reload");
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains(word), "{}", refused.text());
        assert_eq!(get(process.address, "/").json()["old"], 1, "the old configuration serves on");
        assert!(process.ask("GET", "/metrics").text().contains("frontgate_config_last_reload_successful 0"));
    }
}

#[test]
fn reloads_under_traffic_lose_no_request() {
    let origin = Origin::json(r#"{"a":1}"#);
    let text = simple(origin.address, ADMIN, "");
    let process = Process::start("reloads", &text);
    let stop = std::sync::atomic::AtomicBool::new(false);

    std::thread::scope(|scope| {
        let traffic: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = raw(process.address);
                    let mut count = 0;
                    while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                        assert_eq!(read_reply(&mut stream, false).unwrap().status, 200);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for round in 0..20 {
            process.write(&text.replace("    upstream: main\n", &format!("    upstream: main\n    timeout: {}s\n", 10 + round)));
            assert_eq!(process.ask("POST", "/-/reload").status, 200);
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        let counts: Vec<i32> = traffic.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    });
    // An upstream that stayed as it was kept its connections through twenty reloads.
    assert!(origin.connections() <= 8, "{} connections", origin.connections());
}

#[test]
fn term_lets_running_requests_end_and_leaves_at_once_after() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |request, stream| {
        if request.line().contains("/slow") {
            gate.pass();
        }
        stream.write_all(response("200 OK", "", "done").as_bytes()).is_ok()
    });
    let mut process = Process::start("term", &simple(origin.address, PATIENT, ""));
    let mut idle = raw(process.address);
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut idle, false).unwrap().text(), "done");
    let mut busy = raw(process.address);
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the request to be under way", || origin.received().len() == 2);

    process.signal("TERM");
    until("readiness to fail or the address to close", || {
        std::net::TcpStream::connect(process.admin).is_err() || process.ask("GET", "/readyz").status == 503
    });
    assert!(process.child.try_wait().unwrap().is_none(), "a request is still under way");
    held.open();
    let reply = read_reply(&mut busy, false).unwrap();

    assert_eq!(reply.text(), "done");
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(process.ended_within(PATIENCE), "the idle connection holds nothing up");
    assert!(std::net::TcpStream::connect(process.address).is_err());
}

#[test]
fn takes_as_many_descriptors_as_it_may() {
    let process = Process::start("descriptors", &simple("127.0.0.1:9".parse().unwrap(), ADMIN, ""));

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.child.id())).unwrap();

    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let limits: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(limits[0], limits[1], "soft and hard: {line}");
}

#[test]
fn int_stops_at_once() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |_, _| {
        gate.pass();
        false
    });
    let mut process = Process::start("int", &simple(origin.address, PATIENT, ""));
    let mut busy = raw(process.address);
    busy.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the request to be under way", || origin.received().len() == 1);

    process.signal("INT");

    assert!(process.ended_within(PATIENCE), "nothing waits for a request that never ends");
    held.open();
}

#[test]
fn an_address_in_use_ends_the_process_with_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = std::env::temp_dir().join(format!("frontgate-test-{}-taken", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("frontgate.yaml");
    std::fs::write(&file, simple(address, "", "").replace("127.0.0.1:0", &address.to_string())).unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(["run", "-c"]).arg(&file).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();

    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains(&format!("cannot listen on {address}")), "{words}");
}

#[test]
fn a_bad_configuration_is_exit_78_for_check_and_run() {
    let folder = std::env::temp_dir().join(format!("frontgate-test-{}-bad", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("frontgate.yaml");
    let text = "version: 1\nserver:\n  listeners: [{address: 127.0.0.1:0}]\n  timeouts: {headr: 5s}\n";
    std::fs::write(&file, text).unwrap();

    for command in ["check", "run"] {
        let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args([command, "-c"]).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{command}");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains("frontgate.yaml:4:14") && words.contains("header"), "{words}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn dash_t_is_refused_beside_a_command() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };

    for command in ["run", "check", "status", "demo"] {
        let (code, words) = run(&["-t", command]);
        assert_eq!(code, Some(2), "{command}: {words}");
        assert!(words.contains("`-t`") && words.contains("Usage: frontgate"), "{words}");
    }
    let (code, words) = run(&["-t", "-c", "conf/frontgate.yaml"]);
    assert_eq!(code, Some(0), "{words}");
}
