use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::client::read_reply;
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, Process, exchange, get, operate, raw, until, yaml};

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
    command.arg("tap").args(words).current_dir("/").env_remove("FRONTGATE_ADMIN");
    command
}

#[track_caller]
fn end_of(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Somebody who watches, by the command.
struct Watching {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watching {
    fn start(admin: SocketAddr, words: &[&str]) -> Self {
        let mut child = command(&[words, &["--admin", &admin.to_string()]].concat()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let (heard, out) = (lines.clone(), child.stdout.take().unwrap());
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).for_each(|line| heard.lock().unwrap().push(line)));
        Self { child, lines }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn json(&self) -> Vec<Value> {
        self.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An origin that answers `/bad` with 503, and everything else well.
fn origin() -> Origin {
    Origin::start(|request, stream| {
        let status = if request.line().contains("/bad") { "503 Service Unavailable" } else { "200 OK" };
        stream.write_all(response(status, "", "{}").as_bytes()).is_ok()
    })
}

/// Two routes, without an access log.
fn configuration(origin: SocketAddr) -> String {
    yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          by_key: {rate_limit: {key: header.X-Api-Key, rate: 1/h, burst: 1}}
        routes:
          - {name: products, path: /products/**, upstream: main}
          - {name: limited, path: /limited/**, upstream: main, filters: [by_key]}
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin)],
    )
}

/// Begins to watch over a socket of its own. The head has come.
fn tap(admin: SocketAddr, filter: &str) -> (u16, TcpStream) {
    let mut stream = raw(admin);
    stream.write_all(format!("GET /-/tap?filter={filter} HTTP/1.1\r\nHost: {admin}\r\n\r\n").as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    let status = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    (status, stream)
}

#[test]
fn the_lines_that_are_asked_for_come_while_they_happen_though_there_is_no_log() {
    let origin = origin();
    let mut process = Process::start("tap-live", &configuration(origin.address));
    let watching = Watching::start(process.admin, &["route=products", "status>=500"]);

    // Its first line shows that it watches.
    until("a line", || {
        get(process.address, "/products/bad?token=s3cr3t");
        !watching.lines().is_empty()
    });
    let before = watching.lines().len();
    for path in ["/products/1", "/bad", "/products/bad/2", "/limited/bad"] {
        get(process.address, path);
    }
    until("the line", || watching.json().iter().any(|line| line["path"] == "/products/bad/2"));

    let lines = watching.json();
    assert!(lines.len() > before && lines.iter().all(|line| line["route"] == "products" && line["status"] == 503), "{lines:?}");
    assert!(!watching.lines().concat().contains("s3cr3t"), "a query is never shown");
    process.signal("INT");
    process.end();
}

#[test]
fn it_ends_by_itself_when_the_time_is_over_and_shows_lines_for_people_where_that_is_asked() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(origin.address));
    let admin = gateway.running.admin().unwrap();
    let began = Instant::now();
    let mut watching = Watching::start(admin, &["path~/products/ or status=418", "--for", "1s", "--format", "human"]);

    let mut sent = 0;
    let status = loop {
        if let Some(status) = watching.child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it goes on");
        assert_eq!(get(gateway.address, &format!("/products/{sent}")).status, 200);
        assert_eq!(get(gateway.address, "/else").status, 200);
        sent += 1;
    };

    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() >= Duration::from_millis(900));
    until("all lines", || !watching.lines().is_empty());
    for line in watching.lines() {
        assert!(line.contains(" 200 GET test.example/products/") && line.contains(" upstream=main "), "{line}");
    }
}

#[test]
fn who_somebody_is_stays_what_it_is_in_the_log() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(origin.address));
    let admin = gateway.running.admin().unwrap();
    let name = operate(admin, "POST", "/-/hash?value=key-4711").text().trim().to_owned();
    let watching = Watching::start(admin, &[&format!("limit=by_key limit_key={name}")]);
    let head = "GET /limited/x HTTP/1.1\r\nHost: a\r\nX-Api-Key: key-4711\r\nConnection: close\r\n\r\n";

    until("a line", || {
        exchange(gateway.address, head.as_bytes()).unwrap();
        exchange(gateway.address, head.replace("4711", "4712").as_bytes()).unwrap();
        !watching.lines().is_empty()
    });

    let lines = watching.json();
    assert!(lines.iter().all(|line| line["limit_key"] == name.as_str() && line["status"] == 429), "{lines:?}");
    assert!(!watching.lines().concat().contains("key-4711"));
}

#[test]
fn there_are_only_a_few_at_once_and_one_who_leaves_makes_room_at_once() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(origin.address));
    let admin = gateway.running.admin().unwrap();
    let mut watching: Vec<Watching> = (0..4).map(|_| Watching::start(admin, &[])).collect();
    until("all to watch", || {
        get(gateway.address, "/");
        watching.iter().all(|watching| !watching.lines().is_empty())
    });

    let (code, _, words) = end_of(&command(&["--admin", &admin.to_string()]).output().unwrap());
    assert_eq!((code, words.as_str()), (Some(1), "frontgate: As many as may watch at once do so already.\n"));
    let mut left = watching.pop().unwrap();
    let killed = Command::new("kill").args(["-INT", &left.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    left.child.wait().unwrap();

    // Nothing happens meanwhile that would be sent to him: he is missed all the same.
    let began = Instant::now();
    until("room for another one", || tap(admin, "status=200").0 == 200);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}

#[test]
fn one_who_does_not_read_keeps_nobody_waiting_and_is_told_how_much_he_missed() {
    let origin = origin();
    let patient = configuration(origin.address).replace("admin: 127.0.0.1:0", "admin: 127.0.0.1:0, timeouts: {write: 10m}");
    let gateway = Gateway::start(&patient);
    let (status, mut watching) = tap(gateway.running.admin().unwrap(), "status%3D200");
    assert_eq!(status, 200);
    let mut client = raw(gateway.address);
    let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\nUser-Agent: {}\r\n\r\n", "x".repeat(2000), "y".repeat(500));

    let mut sent = 0;
    for _ in 0..5000 {
        client.write_all(head.as_bytes()).unwrap();
        assert_eq!(read_reply(&mut client, false).unwrap().status, 200);
        sent += 1;
    }

    let (mut text, mut space) = (Vec::new(), vec![0; 1 << 20]);
    let skipped = loop {
        let count = watching.read(&mut space).unwrap();
        assert!(count > 0, "it ended");
        text.extend_from_slice(&space[..count]);
        let told = String::from_utf8_lossy(&text[text.len().saturating_sub(count + 64)..]).into_owned();
        if let Some((_, rest)) = told.split_once("{\"skipped\":") {
            break rest.split('}').next().unwrap().parse::<usize>().unwrap();
        }
    };
    assert!(skipped > 0 && skipped < sent, "{skipped}");
}

#[test]
fn who_does_not_read_has_no_longer_than_he_asked_for() {
    let origin = origin();
    let patient = configuration(origin.address).replace("admin: 127.0.0.1:0", "admin: 127.0.0.1:0, timeouts: {write: 10m}");
    let gateway = Gateway::start(&patient);
    let admin = gateway.running.admin().unwrap();
    let stuck: Vec<TcpStream> = (0..4)
        .map(|_| {
            let (status, stream) = tap(admin, "status%3D200&for=5s");
            assert_eq!(status, 200);
            // Its side takes little.
            nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::RcvBuf, &4096).unwrap();
            stream
        })
        .collect();
    assert_eq!(tap(admin, "status%3D200").0, 503, "there are as many as there may be");

    // More lines than what is between both holds.
    let mut client = raw(gateway.address);
    let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\nUser-Agent: {}\r\n\r\n", "x".repeat(2000), "y".repeat(500));
    for _ in 0..500 {
        client.write_all(head.as_bytes()).unwrap();
        assert_eq!(read_reply(&mut client, false).unwrap().status, 200);
    }

    until("room for others", || tap(admin, "status%3D200").0 == 200);
    drop(stuck);
}

#[test]
fn what_is_asked_for_wrongly_is_answered_with_what_was_meant() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(origin.address));
    let admin = gateway.running.admin().unwrap().to_string();
    let run = |words: &[&str]| end_of(&command(&[words, &["--admin", &admin]].concat()).output().unwrap());

    let (code, _, words) = run(&["rout=products"]);
    assert_eq!((code, words.as_str()), (Some(2), "frontgate: `rout` is no field of the access log: did you mean `route`?\n"));
    let (code, _, words) = run(&["user_agent=My Phone"]);
    assert!(
        code == Some(2) && words.contains("a value with spaces stands in quotes") && words.contains(r#"'user_agent~"My Phone*"'"#),
        "{words}"
    );
    assert!(run(&[r#"user_agent~"My Phone*""#, "--for", "10ms"]).0 == Some(0));
    let (code, _, words) = run(&["route=product"]);
    assert_eq!((code, words.as_str()), (Some(1), "frontgate: There is no route `product`: did you mean `products`?\n"));
    assert_eq!(run(&["--for", "soon"]).0, Some(2));
    let (code, _, words) = end_of(&command(&["--admin", "127.0.0.1:1"]).output().unwrap());
    assert!(code == Some(69) && words.contains("nothing answers on 127.0.0.1:1"), "{words}");
    let (code, _, words) = end_of(&command(&["--admin", &gateway.address.to_string()]).output().unwrap());
    assert!(code == Some(69) && words.contains("is not the admin address of a frontgate"), "{words}");
}

#[test]
fn a_gateway_that_ends_meanwhile_is_said_to() {
    let origin = origin();
    let mut process = Process::start("tap-gone", &configuration(origin.address));
    let mut child = command(&["--admin", &process.admin.to_string()]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let address = process.address;
    let asking = std::thread::spawn(move || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        lines
    });
    until("a line", || {
        get(address, "/");
        asking.is_finished()
    });
    let _lines = asking.join().unwrap();

    process.signal("INT");
    process.end();

    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(69) && words.contains("has gone away"), "{words}");
}

#[test]
fn who_saw_no_line_hears_at_the_end_how_many_requests_there_were() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(origin.address));
    let admin = gateway.running.admin().unwrap().to_string();
    let watch = |filter: &'static str| {
        let admin = admin.clone();
        std::thread::spawn(move || command(&[filter, "--for", "3s", "--admin", &admin]).output().unwrap())
    };

    let quiet = end_of(&watch("status=503").join().unwrap());
    let watching = ["status>=599", "status=503"].map(watch);
    while watching.iter().any(|thread| !thread.is_finished()) {
        assert_eq!(get(gateway.address, "/bad").status, 503);
    }
    let [none, all] = watching.map(|thread| end_of(&thread.join().unwrap()));

    assert_eq!(quiet, (Some(0), String::new(), "frontgate: no request ended in this time\n".to_owned()));
    let count =
        none.2.strip_prefix("frontgate: none of the ").and_then(|rest| rest.strip_suffix(" requests that ended in this time match\n"));
    assert!(none.0 == Some(0) && none.1.is_empty() && count.is_some_and(|count| count.parse::<u64>().unwrap() > 1), "{none:?}");
    assert!(all.0 == Some(0) && all.1.lines().count() > 1 && !all.2.contains("match"), "{all:?}");
}
