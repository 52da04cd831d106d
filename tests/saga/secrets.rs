//! What a step says to its service alone: it is in no journal, and open sagas say what the configuration in force says.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::compose::mock::ask;
use crate::harness::gateway::patient;
use crate::harness::origin::Request;
use crate::harness::{Origin, Process, until};

use super::saga_of;

const OLD: &str = "old-7f3a9c51d2";
const NEW: &str = "new-b8e04d6617";

fn configuration(service: &Origin, authorization: &str) -> String {
    let text = format!(
        r#"version: 1
server:
  listeners: [{{address: "127.0.0.1:0"}}]
  admin: 127.0.0.1:0
  state_dir: state
upstreams:
  service: {{endpoints: ["{}"]}}
routes:
  - name: told
    path: /told
    methods: [POST, GET]
    saga:
      wait: 0s
      steps:
        hold: {{upstream: service, post: /hold, body: {{}}, headers: {{Authorization: "{authorization}"}}, undo: none}}
        order: {{upstream: service, post: /order, body: {{}}, headers: {{Authorization: "{authorization}", X-Plain: plain}}}}
telemetry: {{access_log: off}}
"#,
        service.address
    );
    patient(&text)
}

#[test]
fn what_a_step_has_of_the_environment_is_in_no_journal_and_open_sagas_have_what_is_in_force() {
    let is_open = Arc::new(AtomicBool::new(false));
    let opens = is_open.clone();
    let service = Origin::start(move |request: &Request, stream: &mut TcpStream| {
        let status = if request.line().contains("/order") && !opens.load(Ordering::Relaxed) { "503 Busy" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}");
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let folder = Process::folder("saga-secrets");
    let file = folder.join("frontgate.yaml");
    std::fs::write(&file, configuration(&service, &format!("Bearer ${{NOBODY_SETS_THIS:-{OLD}}}"))).unwrap();
    let process = Process::start_at(folder, "frontgate.yaml", &["--no-watch"], "true");
    let key = [("Idempotency-Key", "k"), ("Content-Type", "application/json")];
    let begun = ask(process.address, "POST", "/told", &key, Some("{}"));
    assert_eq!(begun.status, 202, "{}", begun.text());
    until("the last step to be asked", || service.received().iter().any(|request| request.line().contains("/order")));
    let journal = std::fs::read(process.folder.join("state/sagas/sagas.redb")).unwrap();
    let holds = |text: &str| journal.windows(text.len()).any(|found| found == text.as_bytes());
    assert!(holds("X-Plain") && !holds(OLD));

    std::fs::write(&file, configuration(&service, &format!("Bearer {NEW}"))).unwrap();
    let reloaded = process.ask("POST", "/-/reload");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    is_open.store(true, Ordering::Relaxed);

    let saga = saga_of(&begun);
    until("the saga to be done", || process.ask("GET", &format!("/-/sagas/{saga}")).json()["state"] == "done");
    let said = |path: &str| {
        let received = service.received();
        let last = received.iter().rfind(|request| request.line().contains(path)).cloned().expect("it was asked");
        (last.header("authorization").join(","), last.header("x-plain").join(","))
    };
    assert_eq!(said("/hold"), (format!("Bearer {OLD}"), String::new()));
    assert_eq!(said("/order"), (format!("Bearer {NEW}"), "plain".to_owned()));
}
