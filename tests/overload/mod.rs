//! A gateway that has more to do than it can: out of descriptors, over its memory, behind its time.

mod descriptors;
mod lag;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use frontgate_test_support::{skipped, tool};
use serde_json::Value;

use crate::harness::client::read_reply;
use crate::harness::frames::{GOAWAY, SETTINGS, frame, get as ask_over_http2, greeting, types};
use crate::harness::http2::over_http2;
use crate::harness::{Origin, Process, Reply, exchange, raw, until, yaml};

/// A route of each priority, with more of `server`.
fn text(origin: SocketAddr, server: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          admin: 127.0.0.1:0
          threads: 1
          filters: [{version_header: {name: X-Mark, value: here}}]
          $SERVER
        upstreams:
          main: {endpoints: [$ORIGIN], timeouts: {connect: 20s, first_byte: 2m}}
          calls: {endpoints: [127.0.0.1:9], protocol: h2}
        routes:
          - {name: low, path: /low/**, upstream: main, priority: low}
          - {name: calls, path: /shop.Cart/Add, upstream: calls, priority: low}
          - {name: normal, path: /normal/**, upstream: main}
          - {name: high, path: /high/**, upstream: main, priority: high}
        telemetry: {access_log: {to: {file: access.log}}}
        ",
        &[("$ORIGIN", &origin), ("$SERVER", &server)],
    )
}

/// What the gauge says of this reason.
fn state(process: &Process, reason: &str) -> String {
    let page = process.ask("GET", "/metrics").text();
    let series = format!("frontgate_overload_state{{reason=\"{reason}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&series)).expect("a series for each reason").to_owned()
}

#[track_caller]
fn is_refused(reply: &Reply) {
    assert_eq!(
        (reply.status, reply.header("retry-after"), reply.header("connection")),
        (503, Some("5"), Some("close")),
        "{}",
        reply.text()
    );
    assert_eq!((reply.header("content-type"), reply.header("x-mark")), (Some("application/problem+json"), Some("here")));
    let problem = reply.json();
    assert_eq!((&problem["code"], &problem["status"]), (&Value::from("overloaded"), &Value::from(503)));
    assert_eq!(problem["request_id"].as_str(), reply.header("x-request-id"));
}

#[track_caller]
fn is_served(reply: &Reply) {
    assert_eq!((reply.status, reply.text().as_str()), (200, "served"));
}

fn ask(address: SocketAddr, path: &str) -> Reply {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).expect("an answer")
}

/// How often the log of the process says this.
fn said(process: &Process, words: &str) -> usize {
    process.said().matches(words).count()
}

const BEGINS: &str = "overloaded: ";
const ENDS: &str = "no longer overloaded";

/// Connections that have begun to ask, so that nobody takes them for idle, and finish when they are told to.
struct Begun(Vec<TcpStream>);

impl Begun {
    fn new(address: SocketAddr, paths: &[&str]) -> Self {
        let begin = |path: &&str| {
            let mut stream = raw(address);
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n").as_bytes()).unwrap();
            stream
        };
        Self(paths.iter().map(begin).collect())
    }

    fn finish(self) -> Vec<Reply> {
        let answer = |mut stream: TcpStream| {
            stream.write_all(b"\r\n").unwrap();
            read_reply(&mut stream, false).expect("an answer")
        };
        self.0.into_iter().map(answer).collect()
    }
}

#[test]
fn out_of_descriptors_what_matters_most_is_served_and_who_comes_is_told() {
    let (origin, gate) = Origin::held("served");
    const MOST: usize = 200;
    let process =
        Process::start_with_descriptors(MOST, "descriptors", &text(origin.address, "overload: {lag: 1h}\ntimeouts: {header: 1h}"));
    let first = Begun::new(process.address, &["/low/1", "/normal/1", "/high/1"]);
    let second = Begun::new(process.address, &["/low/2", "/normal/2", "/high/2"]);
    // Each has a descriptor, and, once it asks, another one for its upstream.
    let mut busy = Begun::new(process.address, &["/high/held"; 90]).0.into_iter();
    until("all of them to be accepted", || process.descriptors() > 96);
    let mut asking = Vec::new();
    let mut fill = |most: usize| {
        while process.descriptors() < most {
            let (mut stream, before) = (busy.next().expect("there are enough"), origin.received().len());
            stream.write_all(b"\r\n").unwrap();
            until("it to be under way", || origin.received().len() > before);
            asking.push(stream);
        }
    };

    // Clients may come up to 164: 90 % of those are 148, and half-way from there to all are 156.
    fill(150);
    until("the first stage", || state(&process, "descriptors") == "1");
    let replies = first.finish();
    is_refused(&replies[0]);
    replies[1..].iter().for_each(is_served);
    assert_eq!(replies[2].header("connection"), Some("close"), "no connection is kept");
    fill(159);
    until("the second stage", || state(&process, "descriptors") == "2");
    let replies = second.finish();
    is_refused(&replies[0]);
    is_refused(&replies[1]);
    is_served(&replies[2]);
    // Whoever has asked by the time that the gateway looks is told why there is no room.
    process.signal("STOP");
    let mut late: Vec<TcpStream> = (0..20).map(|_| raw(process.address)).collect();
    late.iter_mut().for_each(|stream| stream.write_all(b"GET /high/held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap());
    process.signal("CONT");
    until("most of them to be turned away", || descriptors::refused(&process, "descriptors") >= 10);
    gate.open();
    let mut dismissed = 0;
    for stream in &mut late {
        let reply = read_reply(stream, false).expect("an answer");
        // A few are let in, as long as there is room.
        if reply.status != 200 {
            is_refused(&reply);
            assert_eq!(stream.read(&mut [0]).expect("an end without a reset"), 0);
            dismissed += 1;
        }
    }
    assert!(dismissed >= 10, "{dismissed} of 20");

    drop(asking);
    drop(busy);
    until("an end of it", || state(&process, "descriptors") == "0");
    is_served(&ask(process.address, "/low/3"));
    assert_eq!((said(&process, "overloaded: 9"), said(&process, ENDS)), (2, 1), "{}", process.said());
    assert!(
        process.said().contains("% of the file descriptors are in use (164, what the limit of open files leaves to clients)"),
        "{}",
        process.said()
    );
    let log = std::fs::read_to_string(process.folder.join("access.log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused: Vec<&Value> = lines.iter().filter(|line| line["reason"] == "overloaded").collect();
    assert_eq!(refused.len(), 3, "{log}");
    assert!(refused.iter().all(|line| line["flags"] == "UO" && line["status"] == 503 && line["route"] != "high"), "{log}");
}

/// Has the process a limit of data such that it has this share of it, or none.
fn limit_data(process: &Process, share: Option<f64>) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    let used: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    let most = share.map_or("unlimited".to_owned(), |share| format!("{}", (used * 1024.0 / share) as u64));
    // The soft limit alone, so that it can be raised again.
    let set = Command::new("prlimit").args(["--pid", &process.child.id().to_string(), &format!("--data={most}:")]).status().unwrap();
    assert!(set.success());
}

#[test]
fn over_its_memory_connections_of_every_protocol_end_and_all_is_as_before_when_it_is_over() {
    let (origin, gate) = Origin::held("served");
    if tool("prlimit").is_none() {
        return;
    }
    let process = Process::start("memory", &text(origin.address, "overload: {memory: 50%, lag: 1h}"));
    let answer = ask(process.address, "/low/before");
    is_served(&answer);
    assert_eq!(answer.header("connection"), None);
    let mut early = raw(process.address);
    early.write_all(&[greeting(&[]), frame(SETTINGS, 1, 0, b""), ask_over_http2(1, "/high/held")].concat()).unwrap();
    until("the request to be under way", || origin.received().len() == 2);

    limit_data(&process, Some(0.6));
    until("the first stage", || state(&process, "memory") == "1");

    is_refused(&ask(process.address, "/low/1"));
    let answer = ask(process.address, "/normal/1");
    is_served(&answer);
    assert_eq!(answer.header("connection"), Some("close"));
    early.write_all(&ask_over_http2(3, "/normal/2")).unwrap();
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    let mut read_until = |what: &str, is_there: &dyn Fn(&[u8]) -> bool| {
        while !is_there(&all) {
            let count = early.read(&mut piece).expect("no reset");
            assert!(count > 0, "an end before {what}");
            all.extend_from_slice(&piece[..count]);
        }
    };
    let served = |all: &[u8]| all.windows(6).filter(|bytes| *bytes == b"served").count();
    read_until("the word that it is to end", &|all| types(all).contains(&GOAWAY) && served(all) == 1);
    gate.open();
    read_until("the answer to what was asked before", &|all| served(all) == 2);
    over_http2(process.address, async |mut client| {
        let call =
            http::Request::post("http://a.example/shop.Cart/Add").header("content-type", "application/grpc").header("te", "trailers");
        let (answer, _) = client.send_request(call.body(()).unwrap(), true).unwrap();
        let answer = answer.await.expect("an answer");
        assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (200, &http::HeaderValue::from_static("14")));
    });
    let full = process.ask("GET", "/healthz?full=1");
    let told = full.json();
    assert_eq!((full.status, told["status"].as_str(), &told["overload"]["stage"]), (200, Some("degraded"), &Value::from(1)), "{told}");
    assert!(told["reasons"][0].as_str().unwrap().starts_with("it is overloaded: "), "{told}");
    assert_eq!(told["overload"]["memory"]["of"], "the limit of data");
    assert_eq!(process.ask("GET", "/readyz").status, 200, "somebody has to serve what matters");
    let status = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(["status", "--admin", &process.admin.to_string()]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status["overload"]["memory"]["stage"], status["overload"]["lag_ms"].is_u64()), (&Value::from(1), true), "{status}");

    limit_data(&process, None);
    until("an end of it", || state(&process, "memory") == "0");
    let answer = ask(process.address, "/low/2");
    is_served(&answer);
    assert_eq!(answer.header("connection"), None);
    until("the log to say so", || said(&process, ENDS) == 1);
    assert!(process.said().contains("2 requests were refused"), "{}", process.said());
    assert_eq!(said(&process, BEGINS), 1, "{}", process.said());
    assert_eq!(process.ask("GET", "/healthz?full=1").json()["overload"]["stage"], 0);
}

/// A control group with a bound of memory, where this user may make one: its folder, and the names of what is used and of the bound.
struct Group(PathBuf, [&'static str; 2]);

impl Group {
    fn new(name: &str) -> Option<Self> {
        let versions = [
            ("/sys/fs/cgroup/memory", ["memory.usage_in_bytes", "memory.limit_in_bytes"]),
            ("/sys/fs/cgroup", ["memory.current", "memory.max"]),
        ];
        let made = versions.into_iter().find_map(|(mount, files)| {
            let folder = Path::new(mount).join(format!("frontgate-test-{}-{name}", std::process::id()));
            std::fs::create_dir(&folder).ok()?;
            let group = Self(folder, files);
            group.0.join(files[1]).exists().then_some(group)
        });
        if made.is_none() {
            skipped("no control group with a bound of memory can be made here");
        }
        made
    }

    fn used(&self) -> u64 {
        let number = |text: String| text.trim().parse::<u64>().unwrap();
        let stat = std::fs::read_to_string(self.0.join("memory.stat")).unwrap();
        let spare = stat.lines().find_map(|line| line.strip_prefix("total_inactive_file ").or(line.strip_prefix("inactive_file ")));
        number(std::fs::read_to_string(self.0.join(self.1[0])).unwrap()) - spare.map_or(0, |spare| number(spare.to_owned()))
    }

    fn bound(&self, bytes: u64) {
        std::fs::write(self.0.join(self.1[1]), bytes.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Who was in it is gone, as far as the kernel is concerned a moment later.
        let _ = (0..100).find(|_| {
            std::thread::sleep(Duration::from_millis(10));
            std::fs::remove_dir(&self.0).is_ok()
        });
    }
}

#[test]
fn the_bound_of_a_control_group_counts_and_may_be_changed() {
    let (origin, _) = Origin::held("served");
    let Some(group) = Group::new("memory") else { return };
    let enter = format!("echo $$ > {}/cgroup.procs", group.0.display());
    let process = Process::start_after(&enter, "group", &text(origin.address, "overload: {memory: 50%, lag: 1h}"));
    is_served(&ask(process.address, "/low/1"));
    assert!(group.used() > 1 << 20, "it is in the group");

    group.bound(group.used() * 10 / 6);
    until("the first stage", || state(&process, "memory") != "0");
    is_refused(&ask(process.address, "/low/2"));
    is_served(&ask(process.address, "/high/2"));
    let told = process.ask("GET", "/healthz?full=1").json();
    assert_eq!(told["overload"]["memory"]["of"], "the limit of the control group", "{told}");

    group.bound(1 << 40);
    until("an end of it", || state(&process, "memory") == "0");
    is_served(&ask(process.address, "/low/3"));
}

#[test]
fn workers_that_come_late_for_a_second_on_end_leave_out_what_matters_less() {
    let (origin, _) = Origin::held("served");
    // Every beat of a quarter of a second comes when half of the next one is over.
    let process = Process::start("lag", &text(origin.address, "overload: {lag: 100ms}"));
    process.signal("STOP");
    std::thread::sleep(Duration::from_millis(700));
    process.signal("CONT");
    for _ in 0..20 {
        is_served(&ask(process.address, "/low/once"));
    }
    assert_eq!(state(&process, "lag"), "0", "late alone is nothing");

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                process.signal("STOP");
                std::thread::sleep(Duration::from_millis(600));
                process.signal("CONT");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let end = scopeguard(&over);
        until("a stage", || state(&process, "lag") != "0");
        is_refused(&ask(process.address, "/low/late"));
        is_served(&ask(process.address, "/high/late"));
        drop(end);
    });

    until("an end of it", || state(&process, "lag") == "0");
    is_served(&ask(process.address, "/low/again"));
    assert!(process.said().contains("a worker thread comes ") && said(&process, ENDS) == 1, "{}", process.said());
}

/// Sets the flag when it is dropped: whatever fails before, the other thread ends.
fn scopeguard(over: &AtomicBool) -> impl Drop + '_ {
    struct Over<'o>(&'o AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    Over(over)
}

#[test]
fn a_page_of_several_calls_is_left_out_by_its_priority_before_any_of_them_is_made() {
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"a\": 1}";
    let origin = Origin::start(move |_, stream| stream.write_all(json.as_bytes()).is_ok());
    let pages = |priority: &str| {
        let calls = "{x: {upstream: main, get: /x}, y: {upstream: main, get: /y}}";
        format!("  - {{name: {priority}-page, path: /pages/{priority}, priority: {priority}, aggregate: {{calls: {calls}}}}}\n")
    };
    let text = text(origin.address, "overload: {lag: 1h}").replace("telemetry:", &format!("{}{}telemetry:", pages("low"), pages("high")));
    let process = Process::start("overload-pages", &text);
    let is_whole = |reply: &Reply| assert_eq!((reply.status, &*reply.text()), (200, r#"{"x":{"a": 1},"y":{"a": 1}}"#));
    is_whole(&ask(process.address, "/pages/low"));
    let before = origin.received().len();

    process.write(&text.replace("lag: 1h", "lag: 1h, descriptors: 0.001%"));
    assert_eq!(process.ask("POST", "/-/reload").status, 200);
    until("the first stage", || state(&process, "descriptors") == "1");

    is_refused(&ask(process.address, "/pages/low"));
    assert_eq!(origin.received().len(), before, "no call is made for a page that is refused");
    is_whole(&ask(process.address, "/pages/high"));
    assert_eq!(origin.received().len(), before + 2);
}

#[test]
fn bounds_are_changed_by_a_reload() {
    let (origin, _) = Origin::held("served");
    let text = text(origin.address, "overload: {lag: 1h}");
    let process = Process::start("bounds", &text);
    is_served(&ask(process.address, "/low/1"));

    process.write(&text.replace("lag: 1h", "lag: 1h, descriptors: 0.001%"));
    assert_eq!(process.ask("POST", "/-/reload").status, 200);
    until("the first stage", || state(&process, "descriptors") == "1");
    is_refused(&ask(process.address, "/low/2"));

    process.write(&text);
    assert_eq!(process.ask("POST", "/-/reload").status, 200);
    until("an end of it", || state(&process, "descriptors") == "0");
    is_served(&ask(process.address, "/low/3"));
}
