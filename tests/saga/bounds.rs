//! What a saga takes at most: the time of an attempt, and what is kept of one that has ended.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::compose::mock::ask;
use crate::harness::gateway::patient;
use crate::harness::origin::Request;
use crate::harness::{Origin, Process, until};

use super::saga_of;

/// How much of an answer is one value of it.
const LARGE: usize = 700_000;

/// How long an answer goes on that never ends.
const LONG: Duration = Duration::from_secs(600);

/// A service of which one path sends its answer a byte at a time, for longer than anybody waits, and one much at once.
fn service() -> Origin {
    Origin::start(|request: &Request, stream: &mut TcpStream| {
        if request.line().starts_with("POST /drib") {
            let begun = Instant::now();
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n";
            let mut goes_on = stream.write_all(head).is_ok();
            while goes_on && begun.elapsed() < LONG {
                std::thread::sleep(Duration::from_millis(100));
                goes_on = stream.write_all(b" ").is_ok();
            }
            return false;
        }
        let body =
            if request.line().contains("/large") { format!(r#"{{"x":"{}"}}"#, "a".repeat(LARGE)) } else { r#"{"ok":true}"#.to_owned() };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_ok()
    })
}

fn start(name: &str, service: &Origin, path: &str, saga: &str) -> Process {
    let folder = Process::folder(name);
    let text = format!(
        r#"version: 1
server:
  listeners: [{{address: "127.0.0.1:0"}}]
  admin: 127.0.0.1:0
  state_dir: state
upstreams:
  service: {{endpoints: ["{}"]}}
routes:
  - name: bounded
    path: {path}
    methods: [POST, GET]
    saga: {saga}
telemetry: {{access_log: off}}
"#,
        service.address
    );
    std::fs::write(folder.join("frontgate.yaml"), patient(&text)).unwrap();
    Process::start_at(folder, "frontgate.yaml", &["--no-watch"], "true")
}

#[test]
fn an_attempt_whose_answer_never_ends_ends_with_the_time_of_its_saga() {
    let service = service();
    let saga = r#"{wait: 0s, deadline: 2s, steps: {
      hold: {upstream: service, post: /hold, body: {}, undo: {delete: /hold}},
      drib: {upstream: service, post: /drib, body: {}, undo: {delete: /dribbled}}}}"#;
    let process = start("saga-dribble", &service, "/dribble", saga);
    let key = [("Idempotency-Key", "k"), ("Content-Type", "application/json")];
    let begun = Instant::now();

    let reply = ask(process.address, "POST", "/dribble", &key, Some("{}"));

    assert_eq!(reply.status, 202, "{}", reply.text());
    let look = || ask(process.address, "GET", "/dribble", &key[..1], None);
    // A journal that is slow for a moment says so.
    let mut told = look();
    until("the saga to turn", || {
        told = look();
        !matches!(told.status, 202 | 503)
    });
    assert_eq!((told.status, told.json()["code"].as_str()), (504, Some("saga_undone")), "{}", told.text());
    assert!(begun.elapsed() < LONG, "the service sends for longer");
    let saga = saga_of(&reply);
    until("what may have happened to be taken back", || process.ask("GET", &format!("/-/sagas/{saga}")).json()["state"] == "undone");
    let lines: Vec<String> = service.received().iter().map(|request| request.line().to_owned()).collect();
    assert!(
        lines.iter().any(|line| line.starts_with("DELETE /dribbled")) && lines.iter().any(|line| line.starts_with("DELETE /hold")),
        "{lines:?}"
    );
}

#[test]
fn of_one_that_has_ended_no_body_is_kept_nor_an_answer_that_is_too_long() {
    let service = service();
    let saga = r#"{wait: 20s, steps: {
      large: {upstream: service, post: /large, undo: none}},
      answer: {one: "{large.x}", other: "{large.x}"}}"#;
    let process = start("saga-too-long", &service, "/long", saga);
    let key = [("Idempotency-Key", "k"), ("Content-Type", "application/json")];
    let body = format!(r#"{{"text":"{}"}}"#, "b".repeat(300_000));

    let reply = ask(process.address, "POST", "/long", &key, Some(&body));

    assert_eq!((reply.status, reply.json()["state"].as_str()), (200, Some("done")), "{}", reply.status);
    let again = ask(process.address, "GET", "/long", &key[..1], None);
    assert_eq!((again.status, &again.body), (200, &reply.body));
    assert_eq!(service.received()[0].body, body.as_bytes());
    let told = process.ask("GET", &format!("/-/sagas/{}", saga_of(&reply))).json();
    assert_eq!((told["state"].as_str(), told["body_bytes"].as_u64()), (Some("done"), None), "{told}");
    until("the log to say so", || process.said().contains("is done, and its answer has 14000"));
}
