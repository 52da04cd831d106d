//! What others wrote to try servers with: h2spec, slowhttptest, h2load, nghttp. A test that misses one says so.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use frontgate_test_support::tool;

use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, get, until, yaml};
use crate::tls::authority::{Authority, Directory};

/// A gateway with the same routes in clear text, of both versions of HTTP, and over TLS.
struct Both {
    gateway: Gateway,
    _directory: Directory,
    _origin: Origin,
}

impl Both {
    fn start() -> Self {
        // It answers once it has all of a request, which is what suites that send half of one expect.
        let origin = Origin::start(|request, stream| {
            let body = if request.line().contains("/large") { "x".repeat(60_000) } else { "some bytes".to_owned() };
            stream.write_all(response("200 OK", "", &body).as_bytes()).is_ok()
        });
        let (authority, directory) = (Authority::new(), Directory::new());
        let issued = authority.issue(&["localhost"]);
        directory.put("a.pem", &issued.cert);
        directory.put("a.key", &issued.key);
        let gateway = Gateway::start(&yaml(
            "
            server:
              listeners:
                - {address: 127.0.0.1:0, protocols: [h2, http1]}
                - {address: 127.0.0.1:0, tls: {cert: $HERE/a.pem, key: $HERE/a.key}}
            upstreams: {main: {endpoints: [$ORIGIN]}}
            routes:
              - {name: all, path: /**, upstream: main}
              - {name: fixed, path: /fixed, respond: {status: 200, body: \"an answer of some bytes\"}}
            ",
            &[("$ORIGIN", &origin.address), ("$HERE", &directory.display())],
        ));
        Self { gateway, _directory: directory, _origin: origin }
    }

    fn clear(&self) -> SocketAddr {
        self.gateway.running.addresses()[0]
    }

    fn tls(&self) -> SocketAddr {
        self.gateway.running.addresses()[1]
    }

    fn urls(&self, path: &str) -> [String; 2] {
        [format!("http://{}{path}", self.clear()), format!("https://{}{path}", self.tls())]
    }
}

/// What a program says, both ways.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The cases of h2spec that fail, and how many there were.
fn h2spec(program: &Path, address: SocketAddr, tls: bool) -> (Vec<String>, usize) {
    let report = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("h2spec-{}-{}.xml", address.port(), std::process::id()));
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-o", "10", "-j"]).arg(&report);
    if tls {
        command.args(["-t", "-k"]);
    }
    let told = said(&mut command);
    let xml = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {told}"));
    let _ = std::fs::remove_file(report);
    let of = |case: &str, key: &str| {
        case.split_once(&format!(" {key}=\"")).and_then(|(_, rest)| rest.split_once('"')).unwrap_or_default().0.to_owned()
    };
    let cases: Vec<&str> = xml.split("<testcase").skip(1).collect();
    let failed = cases.iter().filter(|case| case.contains("<failure") || case.contains("<error"));
    (failed.map(|case| format!("{} {}", of(case, "package"), of(case, "classname"))).collect(), cases.len())
}

/// A preface that is none begins HTTP/1 where that is spoken, too, and is refused as a request.
const PREFACE: &str = "http2/3.5 Sends invalid connection preface";

#[test]
fn h2spec_finds_nothing() {
    let Some(program) = tool("h2spec") else { return };
    let both = Both::start();

    for (address, tls) in [(both.tls(), true), (both.clear(), false)] {
        let (mut failed, cases) = h2spec(&program, address, tls);
        println!("h2spec, TLS {tls}: {} of {cases} failed: {failed:?}", failed.len());
        failed.retain(|case| tls || case != PREFACE);
        assert!(cases > 140, "{cases} cases");
        assert!(failed.is_empty(), "TLS {tls}: {failed:?}");
    }

    until("its connections to be gone", || both.gateway.running.requests() == 0);
}

#[test]
fn thousands_of_requests_over_http2_are_all_answered() {
    let Some(program) = tool("h2load") else { return };
    let both = Both::start();

    for (path, requests) in [("/fixed", "3000"), ("/large", "1000")] {
        for url in both.urls(path) {
            let told = said(Command::new(&program).args(["-n", requests, "-c", "10", "-m", "20", &url]));
            let line = told.lines().find(|line| line.starts_with("requests:")).unwrap_or_default();
            assert!(line.contains(&format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout")), "{url}: {told}");
            assert!(told.contains(&format!("status codes: {requests} 2xx")), "{url}: {told}");
        }
    }
}

#[test]
fn nghttp_gets_whole_answers_and_a_connection_that_ends_well() {
    let Some(program) = tool("nghttp") else { return };
    let both = Both::start();

    for url in both.urls("/large") {
        // With small windows, and the same again and again.
        let told = said(Command::new(&program).args(["-v", "-n", "-w", "10", "-W", "12", "-m", "20", &url]));
        assert_eq!(told.matches(":status: 200").count(), 20, "{url}: {told}");
        assert!(told.matches("END_STREAM").count() >= 20, "{url}: {told}");
        assert!(!told.contains("recv RST_STREAM") && !told.contains("recv GOAWAY"), "{url}: {told}");
    }
}

#[test]
fn the_service_is_available_under_every_slow_attack() {
    let Some(program) = tool("slowhttptest") else { return };
    let both = Both::start();
    let (connections, seconds) = if std::env::var_os("FRONTGATE_LONG").is_some() { ("1000", "60") } else { ("200", "8") };
    let attack = |mode: &[&str], url: &str| {
        let common = ["-c", connections, "-r", "100", "-l", seconds, "-i", "1", "-p", "5", "-u", url];
        said(Command::new(&program).args(mode).args(common))
    };

    std::thread::scope(|scope| {
        let mut attacks = Vec::new();
        for mode in [&["-H"][..], &["-B", "-s", "8192"], &["-R", "-a", "10", "-b", "3000"], &["-X", "-k", "3"]] {
            let urls = both.urls("/large");
            let attack = &attack;
            attacks.push(scope.spawn(move || {
                for url in urls {
                    let told = attack(mode, &url);
                    assert!(told.contains("service available") && told.contains("YES"), "{mode:?} {url}: {told}");
                    let words: Vec<&str> = told.split_whitespace().collect();
                    let down = words.windows(3).filter(|three| three[..2] == ["service", "available:"] && three[2].contains("NO")).count();
                    assert_eq!(down, 0, "{mode:?} {url}: {told}");
                }
            }));
        }
        attacks.into_iter().for_each(|attack| attack.join().unwrap());
    });

    assert_eq!(get(both.clear(), "/").status, 200);
}
