use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use frontgate_test_support::skipped;
use serde_json::Value;

use crate::harness::client::read_reply;
use crate::harness::gateway::simple;
use crate::harness::{Origin, Process, get, raw, until};

/// A gateway with its log in this file.
fn text(origin: &Origin, file: &str) -> String {
    simple(origin.address, "admin: 127.0.0.1:0", "").replace("access_log: \"off\"", &format!("access_log: {{to: {{file: {file}}}}}"))
}

/// The paths of all lines of a log, none of which may be broken.
#[track_caller]
fn paths(log: &str) -> Vec<String> {
    let path = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("a torn line: {line}"))["path"].as_str().unwrap().to_owned()
    };
    log.lines().map(path).collect()
}

/// Sends requests on a connection that stays until it is to stop, each with a path of its own. How many.
fn send(process: &Process, name: usize, stop: &AtomicBool, sent: &AtomicUsize) -> usize {
    let mut stream = raw(process.address);
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        stream.write_all(format!("GET /{name}/{count} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).unwrap().status, 200);
        count += 1;
        sent.fetch_add(1, Ordering::SeqCst);
    }
    count
}

#[test]
fn a_log_that_is_rotated_under_load_loses_no_line_and_tears_none() {
    let origin = Origin::json("{}");
    let mut process = Process::start("rotated", &text(&origin, "access.log"));
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    const ROUNDS: usize = 20;

    let counts = std::thread::scope(|scope| {
        let (stop, sent, process) = (&stop, &sent, &process);
        let traffic: Vec<_> = (0..2).map(|name| scope.spawn(move || send(process, name, stop, sent))).collect();
        for round in 0..ROUNDS {
            let so_far = sent.load(Ordering::SeqCst);
            until("some requests", || sent.load(Ordering::SeqCst) > so_far + 20 || stop.load(Ordering::SeqCst));
            let log = process.folder.join("access.log");
            std::fs::rename(&log, process.folder.join(format!("access.log.{round}"))).unwrap();
            process.signal(if round % 4 == 3 { "HUP" } else { "USR1" });
            until("a new file", || log.exists());
        }
        stop.store(true, Ordering::SeqCst);
        traffic.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(process.ask("GET", "/metrics").text().contains("frontgate_log_dropped_total 0"));
    process.signal("TERM");
    process.end();

    let names = (0..ROUNDS).map(|round| format!("access.log.{round}")).chain(["access.log".to_owned()]);
    let logs: Vec<Vec<String>> = names.map(|name| paths(&std::fs::read_to_string(process.folder.join(name)).unwrap())).collect();
    let mut found: Vec<String> = logs.concat();
    let mut expected: Vec<String> =
        counts.iter().enumerate().flat_map(|(name, count)| (0..*count).map(move |at| format!("/{name}/{at}"))).collect();
    found.sort();
    expected.sort();
    assert!(logs.iter().filter(|log| !log.is_empty()).count() > ROUNDS / 2, "lines went to the new files");
    assert_eq!(found, expected, "each request has its line, once");
}

#[test]
fn a_disk_that_is_full_stops_no_traffic_counts_what_is_lost_and_is_used_again_once_there_is_room() {
    let folder = Process::folder("full-disk");
    let disk = folder.join("disk");
    std::fs::create_dir(&disk).unwrap();
    if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
        return skipped("no mount namespace can be made here, and so no small disk");
    }
    let origin = Origin::json("{}");
    std::fs::write(folder.join("frontgate.yaml"), text(&origin, "disk/access.log")).unwrap();
    // Most of it is something else's.
    let mount = format!("mount -t tmpfs -o size=1m tmpfs {0} && head -c 983040 /dev/zero > {0}/other", disk.display());
    let process =
        Process::start_at(folder, "frontgate.yaml", &[], &format!("exec unshare -m sh -c '{mount} && exec \"$0\" \"$@\"' \"$0\" \"$@\" "));
    let inside = std::path::PathBuf::from(format!("/proc/{}/root{}", process.child.id(), disk.display()));
    let dropped = || {
        let metrics = process.ask("GET", "/metrics").text();
        metrics.lines().find_map(|line| line.strip_prefix("frontgate_log_dropped_total ")?.parse::<f64>().ok()).unwrap()
    };
    let mut stream = raw(process.address);
    let mut ask = |path: &str| {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        read_reply(&mut stream, false).unwrap().status
    };

    let mut sent = 0;
    until("lines that are lost", || {
        for _ in 0..50 {
            assert_eq!(ask("/full"), 200);
        }
        sent += 50;
        dropped() > 0.0
    });
    let status = process.ask("GET", "/healthz?full=1").json();
    assert_eq!(status["status"], "degraded", "{status}");
    assert!(status["reasons"][0].as_str().unwrap().contains("No space left"), "{status}");
    until("the lost ones to be counted in the status", || {
        process.ask("GET", "/healthz?full=1").json()["log_lines_dropped"].as_f64() == Some(dropped())
    });

    std::fs::remove_file(inside.join("other")).unwrap();
    until("the disk to be used again", || {
        assert_eq!(ask("/again"), 200);
        sent += 1;
        process.ask("GET", "/healthz?full=1").json()["status"] == "ok"
    });
    assert_eq!(ask("/last"), 200);
    sent += 1;
    let log = || std::fs::read_to_string(inside.join("access.log")).unwrap();
    until("the last line", || log().contains("\"/last\""));

    // What is there is whole, and what is not there was counted.
    let lines = paths(&log()).len();
    assert_eq!(lines + dropped() as usize, sent, "{lines} lines");
    assert_eq!(process.said().matches("cannot be written to").count(), 1, "{}", process.said());
}

#[test]
fn a_file_that_may_not_grow_any_more_ends_neither_the_process_nor_its_traffic() {
    let folder = Process::folder("limited");
    let origin = Origin::json("{}");
    std::fs::write(folder.join("frontgate.yaml"), text(&origin, "access.log")).unwrap();
    let process = Process::start_at(folder, "frontgate.yaml", &[], "ulimit -f 8");

    until("lines that are lost", || {
        for _ in 0..20 {
            assert_eq!(get(process.address, "/").status, 200);
        }
        !process.ask("GET", "/metrics").text().contains("frontgate_log_dropped_total 0")
    });

    assert!(process.said().contains("the access log cannot be written to"), "{}", process.said());
}

#[test]
fn the_logs_own_level_is_set_for_a_time_and_falls_back_by_itself() {
    let origin = Origin::json("{}");
    let process = Process::start("level", &text(&origin, "access.log"));
    let frontgate = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let output = command.arg("log").args(words).args(["--admin", &process.admin.to_string()]).output().unwrap();
        (output.status.code(), String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap())
    };
    let status = || process.ask("GET", "/healthz?full=1").json();
    // Opening the log anew is told of as an `info`.
    let tells = || {
        let before = process.said().matches("opened anew").count();
        process.signal("USR1");
        process.ask("GET", "/livez");
        std::thread::sleep(std::time::Duration::from_millis(300));
        process.said().matches("opened anew").count() > before
    };
    assert!(tells() && status().get("log_level").is_none());

    let (code, said) = frontgate(&["error", "--for", "1h"]);
    assert!(code == Some(0) && said.contains("\"for_ms\": 3600000"), "{said}");
    assert!(process.said().contains("without a token set the log to `error` for 1h"), "{}", process.said());
    assert!(!tells(), "{}", process.said());
    assert_eq!(status()["log_level"]["level"], "error");

    assert_eq!(frontgate(&["debug", "--for", "1s"]).0, Some(0));
    assert_eq!(status()["log_level"]["level"], "debug");
    until("what is usual", || status().get("log_level").is_none());
    until("a word about it", || process.said().contains("the log tells as much as usual again: the time of `debug` is over"));
    assert!(tells());

    assert_eq!(frontgate(&["error"]).0, Some(0));
    assert!(status()["log_level"]["for_ms"].as_u64().unwrap() > 500_000, "ten minutes by default");
    assert_eq!(frontgate(&["usual"]).0, Some(0));
    assert!(status().get("log_level").is_none());
    for (words, expected) in [(&["loud"][..], 2), (&["info", "--for", "25h"], 1)] {
        assert_eq!(frontgate(words).0, Some(expected), "{words:?}");
    }
}

#[test]
fn at_debug_the_log_tells_why_single_attempts_fail() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let process = Process::start("debugged", &simple(dead, "admin: 127.0.0.1:0", ""));
    let words = format!("endpoint {dead} of upstream `main` failed: connection refused");
    get(process.address, "/").is_problem(502);
    assert!(!process.said().contains(&words));

    assert_eq!(process.ask("POST", "/-/log?level=debug&for=1m").status, 200);
    get(process.address, "/").is_problem(502);

    until("a line about it", || process.said().contains(&words));
}
