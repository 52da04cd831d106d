//! The time of a worker: a client that sends much at once takes no more of it than its turn.

use std::io::Write;
use std::net::TcpStream;

use super::text;
use crate::harness::client::read_reply;
use crate::harness::frames::{SETTINGS, frame, get as ask_over_http2, greeting};
use crate::harness::{Origin, Process, raw, until};

const FLOODS: usize = 8;

/// The paths in the log, in the order of their answers.
fn answered(process: &Process) -> Vec<String> {
    let log = std::fs::read_to_string(process.folder.join("access.log")).unwrap_or_default();
    // The last line may still be written.
    let lines = log[..log.rfind('\n').map_or(0, |end| end + 1)].lines();
    lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["path"].as_str().unwrap().to_owned()).collect()
}

/// How many of the flood were answered before this one.
fn before(process: &Process, path: &str) -> usize {
    until("an answer", || answered(process).iter().any(|answered| answered == path));
    answered(process).iter().take_while(|answered| *answered != path).filter(|answered| *answered == "/flood").count()
}

#[test]
fn who_pipelines_many_requests_takes_turns_with_the_others() {
    let (origin, _) = Origin::held("served");
    let process = Process::start("pipelines", &text(origin.address, "overload: {lag: 1h}"));
    let connected = |path: &str| {
        let mut stream = raw(process.address);
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).expect("an answer").status, 404);
        stream
    };
    let mut floods: Vec<TcpStream> = (0..FLOODS).map(|_| connected("/first")).collect();
    let mut other = connected("/first");

    // All of it is there when the gateway looks.
    process.signal("STOP");
    for stream in &mut floods {
        stream.write_all("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n".repeat(300).as_bytes()).unwrap();
    }
    other.write_all(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    process.signal("CONT");

    let before = before(&process, "/other");
    assert!(before <= FLOODS * 20, "{before} of {} came first", FLOODS * 300);
}

#[test]
fn who_opens_many_streams_takes_turns_with_the_others() {
    let (origin, _) = Origin::held("served");
    let process = Process::start("streams", &text(origin.address, "overload: {lag: 1h}"));
    let mut floods: Vec<TcpStream> = (0..FLOODS).map(|_| raw(process.address)).collect();
    for stream in &mut floods {
        stream.write_all(&[greeting(&[]), frame(SETTINGS, 1, 0, b""), ask_over_http2(1, "/first")].concat()).unwrap();
    }
    until("all to be answered", || answered(&process).len() == FLOODS);

    process.signal("STOP");
    for stream in &mut floods {
        let asked: Vec<u8> = (1..=90).flat_map(|number| ask_over_http2(1 + 2 * number, "/flood")).collect();
        stream.write_all(&asked).unwrap();
    }
    let mut other = raw(process.address);
    other.write_all(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    process.signal("CONT");

    let before = before(&process, "/other");
    assert!(before <= FLOODS * 45, "{before} of {} came first", FLOODS * 90);
}
