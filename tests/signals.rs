use std::io::Write;
use std::process::Command;

use serde_json::Value;

use crate::harness::client::read_reply;
use crate::harness::gateway::simple;
use crate::harness::http2::over_http2;
use crate::harness::origin::response;
use crate::harness::{Gate, Origin, Process, get, raw, until};

/// A gateway with its log in a file of its folder, and more of `server`.
fn text(origin: &Origin, server: &str) -> String {
    let text = simple(origin.address, &format!("admin: 127.0.0.1:0\n{server}"), "");
    text.replace("access_log: \"off\"", "access_log: {to: {file: access.log}}")
}

/// The paths of the requests in a log.
fn paths(process: &Process, name: &str) -> Vec<String> {
    let log = std::fs::read_to_string(process.folder.join(name)).unwrap_or_default();
    log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["path"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn says(process: &Process, words: &str) {
    until(&format!("`{words}` on standard error"), || process.said().contains(words));
}

/// An origin that answers `/slow` when the gate is opened, and everything else at once.
fn slow(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |request, stream| {
        if request.line().contains("/slow") {
            gate.pass();
        }
        stream.write_all(response("200 OK", "", "done").as_bytes()).is_ok()
    })
}

#[test]
fn usr1_opens_the_log_anew_and_reads_no_configuration() {
    let origin = Origin::json("{}");
    let good = text(&origin, "");
    let process = Process::start_by("usr1", &good, &["--no-watch"]);
    assert_eq!(get(process.address, "/one").status, 200);
    until("a line", || paths(&process, "access.log") == ["/one"]);

    std::fs::rename(process.folder.join("access.log"), process.folder.join("access.log.1")).unwrap();
    process.write("half of a fi");
    process.signal("USR1");
    says(&process, "the access log was opened anew");
    assert_eq!(get(process.address, "/two").status, 200);

    until("a line", || paths(&process, "access.log") == ["/two"]);
    assert_eq!(paths(&process, "access.log.1"), ["/one"]);
    assert!(process.ask("GET", "/metrics").text().contains("frontgate_config_last_reload_successful 1"));
}

#[test]
fn hup_opens_the_log_anew_though_the_file_is_bad_and_says_why_in_one_line() {
    let origin = Origin::json("{}");
    let good = text(&origin, "");
    let process = Process::start("hup", &good);

    process.write(&good.replace("upstream: main", "upstrem: main").replace("access_log:", "acess_log:"));
    process.signal("HUP");
    says(&process, "the configuration was not reloaded");
    std::fs::rename(process.folder.join("access.log"), process.folder.join("access.log.1")).unwrap();
    process.signal("HUP");
    until("a new file", || process.folder.join("access.log").exists());
    assert_eq!(get(process.address, "/two").status, 200);

    until("a line", || paths(&process, "access.log") == ["/two"]);
    let said = process.said();
    let reload: Vec<&str> = said.lines().filter(|line| line.contains("not reloaded")).collect();
    assert!(reload[0].contains("frontgate.yaml:") && reload[0].contains(" more "), "{said}");
    assert!(said.lines().all(|line| line.starts_with('[')), "an event of several lines:\n{said}");
    let status = process.ask("GET", "/healthz?full=1");
    assert_eq!((status.status, status.json()["status"].as_str().unwrap().to_owned()), (200, "degraded".to_owned()));
    assert!(status.json()["reasons"][0].as_str().unwrap().contains("frontgate.yaml:"), "{}", status.text());
    process.write(&good);
    process.signal("HUP");
    until("health", || process.ask("GET", "/healthz?full=1").json()["status"] == "ok");
}

#[test]
fn a_reload_that_waits_for_a_file_keeps_no_signal_and_no_other_reload_waiting() {
    let origin = Origin::json("{}");
    let good = text(&origin, "drain: {timeout: 1s}");
    let mut process = Process::start("waits", &good);
    let pipe = process.folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let key =
        |what: &str| format!("{good}filters: {{login: {{jwt: {{issuer: any, audience: any, algorithms: [HS256], keys: {what}}}}}}}\n");

    for keys in ["{secret: {file: pipe}}", "{public_key: {file: pipe}}", "{jwks: {file: pipe}}"] {
        let algorithm = if keys.contains("secret") { "HS256" } else { "ES256" };
        process.write(&key(keys).replace("HS256", algorithm).replace("upstream: main\n", "upstream: main\n    filters: [login]\n"));
        let refused = process.ask("POST", "/-/reload");
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains("not a regular file"), "{}", refused.text());
    }
    std::fs::remove_file(process.folder.join("frontgate.yaml")).unwrap();
    std::fs::rename(&pipe, process.folder.join("frontgate.yaml")).unwrap();
    process.signal("HUP");
    says(&process, "frontgate.yaml` cannot be read: it is a pipe (FIFO), not a regular file");
    process.signal("TERM");

    assert_eq!(process.end(), Some(0), "{}", process.said());
}

#[test]
fn quit_drains_and_usr2_is_ignored_with_a_word() {
    let gate = Gate::default();
    let origin = slow(&gate);
    let mut process = Process::start("quit", &text(&origin, "drain: {timeout: 1h}"));
    let mut busy = raw(process.address);
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the request to be under way", || origin.received().len() == 1);

    process.signal("USR2");
    says(&process, "USR2 is ignored");
    process.signal("QUIT");
    says(&process, "draining: no new connections, 1 requests in flight");
    process.signal("TERM");
    says(&process, "still draining");
    gate.open();

    assert_eq!(read_reply(&mut busy, false).unwrap().text(), "done");
    assert_eq!(process.end(), Some(0));
    assert_eq!(paths(&process, "access.log"), ["/slow"]);
}

#[test]
fn what_a_drain_cuts_off_has_its_lines_and_the_exit_code_says_so() {
    let gate = Gate::default();
    let origin = slow(&gate);
    let half = gate.clone();
    let halves = Origin::start(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
        half.pass();
        false
    });
    let text = text(&origin, "drain: {timeout: 100ms}")
        .replace("127.0.0.1:0}]", "127.0.0.1:0, protocols: [h2, http1]}]")
        .replace("upstreams:\n", &format!("upstreams:\n  halves: {{endpoints: [\"{}\"]}}\n", halves.address))
        .replace("routes:\n", "routes:\n  - {name: halves, path: /half, upstream: halves}\n");
    let mut process = Process::start("cut", &text);
    let mut waiting = raw(process.address);
    waiting.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut reading = raw(process.address);
    reading.write_all(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"half") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut reading, &mut byte).unwrap();
        seen.push(byte[0]);
    }
    let address = process.address;
    let stream = std::thread::spawn(move || {
        over_http2(address, async |mut client| {
            let request = http::Request::get("http://a/slow/stream").body(()).unwrap();
            let (answer, _) = client.send_request(request, true).unwrap();
            answer.await.is_err()
        })
    });
    until("all requests to be under way", || origin.received().len() + halves.received().len() == 3);

    process.signal("TERM");

    assert_eq!(process.end(), Some(1), "{}", process.said());
    gate.open();
    assert!(stream.join().unwrap(), "the stream has no answer");
    says(&process, "3 requests were cut off");
    let log = std::fs::read_to_string(process.folder.join("access.log")).unwrap();
    let mut lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["path"].to_string());
    assert_eq!(lines.len(), 3, "{log}");
    let [half, slow, stream] = [&lines[0], &lines[1], &lines[2]];
    assert_eq!((half["path"].as_str(), half["reason"].as_str(), half["status"].as_u64()), (Some("/half"), Some("cut_off"), Some(200)));
    assert_eq!((half["bytes_out"].as_u64(), half["upstream"].as_str()), (Some(4), Some("halves")));
    assert_eq!((slow["path"].as_str(), slow["reason"].as_str(), slow.get("status")), (Some("/slow"), Some("cut_off"), None));
    assert_eq!((stream["path"].as_str(), stream["reason"].as_str(), stream.get("status")), (Some("/slow/stream"), Some("cut_off"), None));
}

#[test]
fn int_ends_a_drain_at_once() {
    let gate = Gate::default();
    let origin = slow(&gate);
    let mut process = Process::start("int-drain", &text(&origin, "drain: {notice: 1h, timeout: 1h}"));
    let mut busy = raw(process.address);
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the request to be under way", || origin.received().len() == 1);
    process.signal("TERM");
    says(&process, "draining: not ready any more, and no new connections in 1h");
    std::fs::rename(process.folder.join("access.log"), process.folder.join("access.log.1")).unwrap();
    process.signal("USR1");
    until("a new file", || process.folder.join("access.log").exists());

    process.signal("INT");

    assert_eq!(process.end(), Some(0));
    gate.open();
}

#[test]
fn a_full_disk_is_said_once() {
    let origin = Origin::json("{}");
    let process = Process::start("full", &text(&origin, "").replace("access.log", "/dev/full"));
    for _ in 0..5 {
        assert_eq!(get(process.address, "/").status, 200);
    }

    says(&process, "the access log cannot be written to `/dev/full`");

    let status = process.ask("GET", "/healthz?full=1").json();
    assert_eq!(status["status"], "degraded");
    assert!(status["reasons"][0].as_str().unwrap().contains("No space left"), "{status}");
    assert_eq!(process.said().matches("/dev/full").count(), 1, "{}", process.said());
}
