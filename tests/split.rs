//! Reads and writes apart, over real sockets.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use crate::harness::origin::response;
use crate::harness::{Gateway, Log, Origin, Reply, exchange, until, yaml};
use crate::websocket::socket::{BOTH, echo, open, origin, run};

fn named(name: &'static str) -> Origin {
    Origin::start(move |request, stream| {
        let status = if request.line().starts_with("POST /fails") { "500 No" } else { "200 OK" };
        stream.write_all(response(status, "", name).as_bytes()).is_ok()
    })
}

fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn ask(address: SocketAddr, line: &str, headers: &str) -> Reply {
    let length = if line.starts_with("POST") { "Content-Length: 0\r\n" } else { "" };
    exchange(address, format!("{line} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{length}{headers}\r\n").as_bytes()).unwrap()
}

/// `split` are more keys beside `read` and `write`.
fn text(replica: SocketAddr, primary: SocketAddr, split: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          admin: 127.0.0.1:0
        upstreams:
          replica: {endpoints: [$REPLICA]}
          primary: {endpoints: [$PRIMARY]}
        filters:
          guard: {circuit_breaker: {consecutive: 1, open_for: 10m, max_open_for: 10m}}
        routes:
          - name: orders
            path: /**
            upstream: {read: replica, write: primary, $SPLIT}
            filters: [guard]
        ",
        &[("$REPLICA", &replica), ("$PRIMARY", &primary), ("$SPLIT", &split)],
    )
}

#[test]
fn reads_go_to_one_upstream_and_everything_else_to_the_other() {
    let (replica, primary) = (named("replica"), named("primary"));
    let log = Log::new("split");
    let gateway = Gateway::start(&log.of(&text(replica.address, primary.address, "")));

    for (line, answers) in [
        ("GET /x", "replica"),
        ("OPTIONS /x", "replica"),
        ("POST /x", "primary"),
        ("DELETE /x", "primary"),
        ("PUT /x", "primary"),
        ("QUERY /x", "primary"),
        ("get /x", "primary"),
    ] {
        assert_eq!(ask(gateway.address, line, "").text(), answers, "{line}");
    }
    let head = exchange(gateway.address, b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!((head.status, replica.last().line()), (200, "HEAD /x HTTP/1.1"));
    // Whoever asks for another protocol may do anything in it.
    assert_eq!(ask(gateway.address, "GET /x", "Connection: upgrade\r\nUpgrade: foo\r\n").text(), "primary");
    let lines = log.wait_for(9);
    assert_eq!((&lines[0]["upstream"], &lines[2]["upstream"]), (&"replica".into(), &"primary".into()));

    let queries = Gateway::start(&text(replica.address, primary.address, "read_methods: [GET, POST]"));
    assert_eq!(ask(queries.address, "POST /x", "").text(), "replica");
    assert_eq!(ask(queries.address, "OPTIONS /x", "").text(), "primary");
}

#[test]
fn a_websocket_is_no_read() {
    let (replica, primary) = (named("replica"), origin(echo));
    let gateway = Gateway::start(&text(replica.address, primary.address, ""));

    for over in BOTH {
        run(async {
            open(gateway.address, over, "/socket").await;
        });
    }
    assert_eq!((primary.received().len(), replica.received().len()), (2, 0));
}

#[test]
fn the_primary_answers_reads_that_no_replica_takes_and_never_the_other_way_round() {
    let (replica, primary) = (named("replica"), named("primary"));
    let log = Log::new("split-spill");
    let gateway = Gateway::start(&log.of(&text(nobody(), primary.address, "")));
    assert_eq!(ask(gateway.address, "GET /x", "").text(), "primary");

    // Its circuit is open by now, so no replica is tried.
    gateway.comes_to("frontgate_circuit_state{filter=\"guard\",upstream=\"replica\"}", 2.0);
    assert_eq!(ask(gateway.address, "GET /x", "").text(), "primary");
    gateway.comes_to("frontgate_upstream_attempts_total{upstream=\"replica\",result=\"connect_failure\"}", 1.0);

    assert!(log.wait_for(2).iter().all(|line| line["reason"] == "spilled" && line["upstream"] == "primary"));

    let alone = Gateway::start(&text(nobody(), primary.address, "spill: false"));
    ask(alone.address, "GET /x", "").is_problem(502);

    let writes = Gateway::start(&text(replica.address, nobody(), ""));
    ask(writes.address, "POST /x", "").is_problem(502);
    ask(writes.address, "POST /x", "").is_problem(503);
    assert_eq!(ask(writes.address, "GET /x", "").text(), "replica", "each upstream has a circuit of its own");
    assert_eq!(replica.received().len(), 1);
}

#[test]
fn retries_of_a_read_stay_with_the_replicas() {
    let (replica, primary) = (named("replica"), named("primary"));
    let retrying = text(replica.address, primary.address, "").replace(
        "replica: {endpoints: [",
        &format!("replica: {{retry: {{attempts: 2, when: [connect_failure]}}, endpoints: [{}, ", nobody()),
    );
    let gateway = Gateway::start(&retrying);

    for _ in 0..4 {
        assert_eq!(ask(gateway.address, "GET /x", "").text(), "replica");
    }
    assert_eq!(primary.received().len(), 0);
}

#[test]
fn who_has_written_reads_from_the_primary_for_a_while() {
    let (replica, primary) = (named("replica"), named("primary"));
    let open = |text: String| Gateway::start(&text.replace("filters: [guard]", ""));
    let gateway = open(text(replica.address, primary.address, "after_write: {for: 10m, by: header.X-User}"));
    let by = |user: &str| format!("X-User: {user}\r\n");
    assert_eq!(ask(gateway.address, "GET /x", &by("alice")).text(), "replica");

    let write = ask(gateway.address, "POST /x", &by("alice"));
    assert_eq!((write.status, write.header("set-cookie")), (200, None), "there is no key to sign one with");

    assert_eq!(ask(gateway.address, "GET /x", &by("alice")).text(), "primary");
    assert_eq!(ask(gateway.address, "GET /x", &by("bob")).text(), "replica");
    // A write that failed may have done something.
    assert_eq!(ask(gateway.address, "POST /fails", &by("bob")).status, 500);
    assert_eq!(ask(gateway.address, "GET /x", &by("bob")).text(), "primary");
    let gone = open(text(replica.address, nobody(), "after_write: {for: 10m, by: header.X-User}"));
    ask(gone.address, "POST /x", &by("carol")).is_problem(502);
    ask(gone.address, "GET /x", &by("carol")).is_problem(502);
    // Who says nothing of himself is known by his address.
    assert_eq!(ask(gateway.address, "GET /x", "").text(), "replica");
    ask(gateway.address, "POST /x", "");
    assert_eq!(ask(gateway.address, "GET /x", "").text(), "primary");
    assert_eq!(ask(gateway.address, "GET /x", &by("dave")).text(), "replica");
}

#[test]
fn a_failed_write_is_followed_by_reads_from_the_primary_and_a_short_time_ends() {
    let (replica, primary) = (named("replica"), named("primary"));
    let gateway = Gateway::start(
        &text(replica.address, primary.address, "after_write: {for: 300ms, by: header.X-User}").replace("filters: [guard]", ""),
    );
    let read = || ask(gateway.address, "GET /x", "X-User: alice\r\n").text();

    assert_eq!(ask(gateway.address, "POST /fails", "X-User: alice\r\n").status, 500);
    assert_eq!(read(), "primary");
    until("the end of the time", || read() == "replica");
}

#[test]
fn another_node_knows_of_the_write_by_a_signed_cookie() {
    let (replica, primary, other) = (named("replica"), named("primary"), named("other"));
    let key = std::env::temp_dir().join(format!("frontgate-split-{}.key", std::process::id()));
    std::fs::write(&key, "0123456789abcdef").unwrap();
    let split = |length: &str| format!("after_write: {{for: {length}, by: header.X-User, key: {{file: \"{}\"}}}}", key.display());
    let start = |primary: SocketAddr, name: &str, length: &str| {
        Gateway::start(
            &text(replica.address, primary, &split(length))
                .replace("write: primary", &format!("write: {name}"))
                .replace("primary: {", &format!("{name}: {{")),
        )
    };
    let (one, two) = (start(primary.address, "primary", "10m"), start(primary.address, "primary", "10m"));
    let elsewhere = start(other.address, "elsewhere", "10m");

    let write = ask(one.address, "POST /x", "X-User: alice\r\n");
    let set = write.header("set-cookie").expect("a cookie").to_owned();
    assert!(set.starts_with("fg_w-") && set.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"), "{set}");
    let cookie = set.split(';').next().unwrap();
    let read = |gateway: &Gateway, cookie: &str| ask(gateway.address, "GET /x", &format!("X-User: alice\r\nCookie: {cookie}\r\n")).text();

    assert_eq!(read(&two, cookie), "primary");
    assert_eq!(read(&two, "a=b"), "replica", "it knows by the cookie alone");
    assert_eq!(read(&elsewhere, cookie), "replica", "the write was to another primary");
    let (name, value) = cookie.split_once('=').unwrap();
    let later = format!("9{value}");
    for forged in ["1", "99999999999999.x", &later, ""] {
        assert_eq!(read(&two, &format!("{name}={forged}")), "replica", "{forged}");
    }
    let short = start(primary.address, "primary", "200ms");
    let set = ask(short.address, "POST /x", "").header("set-cookie").unwrap().to_owned();
    until("the cookie to be out of date", || read(&two, set.split(';').next().unwrap()) == "replica");
    assert_eq!(ask(one.address, "GET /x", "X-User: bob\r\n").header("set-cookie"), None);
    let _ = std::fs::remove_file(&key);
}

#[test]
fn an_explanation_says_where_a_request_is_sent_and_why() {
    let folder = std::env::temp_dir().join(format!("frontgate-split-{}-explain", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("frontgate.yaml"), text(nobody(), nobody(), "")).unwrap();
    let explain = |method: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let output = command.args(["explain", "-c"]).arg(folder.join("frontgate.yaml")).args([method, "http://a/x"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };

    let (read, write) = (explain("GET"), explain("POST"));

    assert!(read.contains("chooses   `replica`: it is a read\n") && read.contains("upstream  replica\n"), "{read}");
    assert!(write.contains("chooses   `primary`: it is a write\n") && write.contains("upstream  primary\n"), "{write}");
    let _ = std::fs::remove_dir_all(&folder);
}
