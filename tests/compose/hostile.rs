//! Services that answer to break the answer of others, the gateway, or the next client: what comes out is well-formed and says nothing that they had
//! no right to say, and the memory and the time that it takes are bounded.

mod framing;
mod said;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use frontgate_test_support::vectors;
use serde_json::Value;

use super::mock::{self, ask, target};
use super::strict::{self, Members};
use crate::harness::{Gate, Origin, Process, Reply, until, yaml};

/// What the service beside the hostile one says.
const GOOD: &str = r#"{"v":1}"#;

/// Two services: one says what is good, the other what `behave` writes for its part of the path.
///
/// `/both/…` asks both and does without the second, `/needed/…` does not, `/spread/…` has the second's members beside ones of its own, `/chain/…` sends
/// on what the second said.
struct Scene {
    process: Process,
    good: Origin,
    _hostile: Origin,
}

impl Scene {
    fn start(name: &str, behave: impl Fn(&str, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let good = Origin::start(|request, stream| match target(request).path {
            "/good" => mock::send(stream, 200, "application/json", "", GOOD.as_bytes()),
            _ => mock::answer(stream, 200, &serde_json::json!({"heard": target(request).whole, "headers": mock::headers(request)})),
        });
        let hostile = Origin::start(move |request, stream| behave(target(request).path.trim_start_matches('/'), stream));
        let process = Process::start(
            name,
            &yaml(
                "
                server:
                  listeners: [{address: 127.0.0.1:0}]
                  admin: 127.0.0.1:0
                upstreams:
                  good: {endpoints: [$GOOD], timeouts: {connect: 20s, first_byte: 20s, between_bytes: 20s}}
                  hostile: {endpoints: [$HOSTILE], timeouts: {connect: 20s, first_byte: 20s, between_bytes: 20s}}
                routes:
                  - name: both
                    path: /both/{case}
                    timeout: 25s
                    aggregate:
                      calls:
                        good: {upstream: good, get: /good}
                        x: {upstream: hostile, get: '/{case}', optional: true}
                  - name: needed
                    path: /needed/{case}
                    timeout: 25s
                    aggregate:
                      calls:
                        good: {upstream: good, get: /good}
                        x: {upstream: hostile, get: '/{case}'}
                  - name: hasty
                    path: /hasty/{case}
                    timeout: 25s
                    aggregate:
                      calls:
                        good: {upstream: good, get: /good}
                        x: {upstream: hostile, get: '/{case}', timeout: 300ms, optional: true}
                  - name: spread
                    path: /spread/{case}
                    timeout: 25s
                    aggregate:
                      calls:
                        x: {upstream: hostile, get: '/{case}'}
                      answer: {role: viewer, '...': x, code: 0}
                  - name: chain
                    path: /chain/{case}
                    timeout: 25s
                    aggregate:
                      calls:
                        x: {upstream: hostile, get: '/{case}'}
                        segment: {upstream: good, get: '/path/{x.v}/end', optional: true}
                        parameter: {upstream: good, get: '/query?v={x.v}&end=1', optional: true}
                        field: {upstream: good, get: /header, headers: {X-Value: '{x.v}'}, optional: true}
                      answer: {path: '{segment.heard}', query: '{parameter.heard}', header: '{field.headers}'}
                telemetry: {access_log: \"off\"}
                ",
                &[("$GOOD", &good.address), ("$HOSTILE", &hostile.address)],
            ),
        );
        Self { process, good, _hostile: hostile }
    }

    fn ask(&self, path: &str) -> Reply {
        ask(self.process.address, "GET", path, &[], None)
    }

    /// Asks both: the good one's part is as it said it, the other's is there as it came or marked as missing, and nothing else is. Whether it is there.
    #[track_caller]
    fn both(&self, route: &str, case: &str, came: Option<&[u8]>) -> bool {
        let reply = self.ask(&format!("/{route}/{case}"));
        assert_eq!(reply.status, 200, "{case}: {}", reply.text());
        let members = members(case, &reply);
        assert_eq!(members[0], ("good".to_owned(), GOOD.to_owned()), "{case}");
        let complete = reply.header("x-bff-complete") == Some("true");
        let [_, rest @ ..] = &members[..] else { unreachable!("one was read") };
        match rest {
            [] => assert!(!complete && reply.header("x-bff-missing") == Some("x"), "{case}: {}", reply.head),
            [(name, value)] => {
                assert!(complete && name == "x" && reply.header("x-bff-missing").is_none(), "{case}: {}", reply.head);
                if let Some(came) = came {
                    assert_eq!(Some(value.as_str()), strict::value(came), "{case}: it was changed on its way");
                }
            }
            more => panic!("{case}: {more:?}"),
        }
        complete
    }

    /// Asks for both where both are needed: the whole of it or a refusal of the gateway's own. Its status.
    #[track_caller]
    fn needed(&self, case: &str) -> u16 {
        let reply = self.ask(&format!("/needed/{case}"));
        if reply.status == 200 {
            assert_eq!(members(case, &reply).len(), 2, "{case}");
        } else {
            reply.is_problem(reply.status);
            assert_eq!(reply.json()["call"], "x", "{case}: {}", reply.text());
        }
        reply.status
    }

    /// Waits until nothing is in flight and every place is given back.
    #[track_caller]
    fn comes_to_rest(&self) {
        until("every place to be given back", || {
            let full = self.process.ask("GET", "/healthz?full=1").json();
            ["good", "hostile"].iter().all(|pool| full["upstreams"][pool]["in_flight"] == 0)
        });
        assert!(self.both("both", "nothing", None), "it serves as before");
    }

    /// The most memory that there was beyond what there was before, in MiB, while this was done.
    fn grows(&self, work: impl FnOnce()) -> usize {
        // Whatever is made once is made.
        self.needed("nothing");
        let before = self.process.peak().max(self.process.memory());
        work();
        self.process.peak().saturating_sub(before) >> 10
    }
}

#[track_caller]
fn members(case: &str, reply: &Reply) -> Members {
    assert!(reply.whole, "{case}: cut");
    strict::members(&reply.body).unwrap_or_else(|| panic!("{case}: no object: {}", reply.text()))
}

/// The texts of JSONTestSuite, by their names.
pub fn suite() -> Vec<(String, Vec<u8>)> {
    let path = vectors("json-test-suite/cases.jsonl").expect("it is carried along");
    let decode = |value: &Value| base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let cases = text.lines().map(|line| {
        let case: Value = serde_json::from_str(line).unwrap();
        let mut bytes = decode(&case["b64"]);
        bytes.extend(decode(&case["repeat_b64"]).repeat(case["times"].as_u64().unwrap_or(0) as usize));
        bytes.extend(decode(&case["suffix_b64"]));
        (case["name"].as_str().unwrap().to_owned(), bytes)
    });
    cases.collect()
}

/// A whole answer of JSON.
fn json(stream: &mut TcpStream, body: &[u8]) -> bool {
    mock::send(stream, 200, "application/json", "", body)
}

#[test]
fn json_test_suite_as_a_service_s_answer_is_spliced_as_it_came_or_not_at_all() {
    let suite = Arc::new(suite());
    let told = suite.clone();
    let scene = Scene::start("suite", move |case, stream| json(stream, &told[case.parse::<usize>().unwrap()].1));
    let mut wrong = Vec::new();

    for (number, (name, text)) in suite.iter().enumerate() {
        let there = scene.both("both", &number.to_string(), Some(text));
        let status = scene.needed(&number.to_string());
        // White space alone before and behind it is no part of a value: what is taken is what a strict reader takes.
        let good = match &name[..2] {
            "y_" => there && status == 200,
            "n_" => !there && status == 502,
            _ => there == (status == 200),
        };
        if !good {
            wrong.push(format!("{name}: there: {there}, status {status}"));
        }
    }

    assert_eq!(suite.len(), 318);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn brackets_and_strings_without_end_are_refused_in_little_memory() {
    let scene = Scene::start("brackets", |case, stream| {
        let (what, times) = case.split_once('-').unwrap_or((case, "0"));
        let times: usize = times.parse().unwrap_or(0);
        let body = match what {
            "open" => "[".repeat(times),
            "nested" => format!("{}{}", "[".repeat(times), "]".repeat(times)),
            "objects" => format!("{}1{}", r#"{"a":"#.repeat(times), "}".repeat(times)),
            "mixed" => format!("{}1{}", r#"[{"a":"#.repeat(times), "}]".repeat(times)),
            "close" => "]".repeat(times),
            "string" => format!("\"{}", "a".repeat(times)),
            "quotes" => format!("[{}", "\"\",".repeat(times)),
            "escapes" => format!("\"{}", "\\".repeat(times)),
            "digits" => format!("[{}", "9".repeat(times)),
            "space" => " ".repeat(times),
            "name" => format!("{{\"{}", "a".repeat(times)),
            _ => GOOD.to_owned(),
        };
        json(stream, body.as_bytes())
    });

    let grown = scene.grows(|| {
        for what in ["open", "nested", "objects", "mixed", "close", "string", "quotes", "escapes", "digits", "space", "name"] {
            // A number may be as long as it likes; nothing here is whole but what nests, and that is too deep.
            for times in [10_000, 100_000, 1_000_000] {
                let case = format!("{what}-{times}");
                assert!(!scene.both("both", &case, None), "{case}");
                assert_eq!(scene.needed(&case), 502, "{case}");
            }
        }
        assert!(scene.both("both", "nested-512", None), "as deep as is taken");
    });

    println!("{grown} MiB more at most");
    assert!(grown < 32, "{grown} MiB more");
}

#[test]
fn compressed_bombs_and_what_is_no_compression_fail_in_little_memory() {
    let gzip = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let brotli = |bytes: &[u8]| {
        let mut packed = Vec::new();
        brotli::CompressorReader::new(bytes, 4096, 9, 24).read_to_end(&mut packed).unwrap();
        packed
    };
    // Well-formed to its end, which is a hundred times beyond the limit.
    let bomb = format!("\"{}\"", "a".repeat(100 << 20));
    let (bomb_gzip, bomb_brotli) = (gzip(bomb.as_bytes()), brotli(bomb.as_bytes()));
    drop(bomb);
    assert!(bomb_gzip.len() < 1 << 20 && bomb_brotli.len() < 1 << 20, "they are small on the wire");
    let good = gzip(GOOD.as_bytes());
    let (good_brotli, twice) = (brotli(GOOD.as_bytes()), gzip(&good));
    let scene = Scene::start("bombs", move |case, stream| {
        let mut wrong_sum = good.clone();
        let sum = wrong_sum.len() - 8;
        wrong_sum[sum] ^= 0xff;
        let (coding, body) = match case {
            "gzip-bomb" => ("gzip", bomb_gzip.clone()),
            "br-bomb" => ("br", bomb_brotli.clone()),
            "gzip" => ("gzip", good.clone()),
            "br" => ("br", good_brotli.clone()),
            "cut" => ("gzip", good[..good.len() - 9].to_vec()),
            "wrong-sum" => ("gzip", wrong_sum),
            "not-gzip" => ("gzip", GOOD.as_bytes().to_vec()),
            "garbage-behind" => ("gzip", [&good[..], b"{\"admin\":true}"].concat()),
            "two-members" => ("gzip", [&good[..], &good[..]].concat()),
            "twice" => ("gzip, gzip", twice.clone()),
            "zstd" => ("zstd", good.clone()),
            "unknown" => ("swapped", GOOD.as_bytes().to_vec()),
            _ => ("identity", GOOD.as_bytes().to_vec()),
        };
        mock::send(stream, 200, "application/json", &format!("Content-Encoding: {coding}\r\n"), &body)
    });

    assert!(scene.both("both", "gzip", Some(GOOD.as_bytes())) && scene.both("both", "br", Some(GOOD.as_bytes())));
    for case in ["cut", "wrong-sum", "not-gzip", "garbage-behind", "two-members", "twice", "zstd", "unknown"] {
        assert!(!scene.both("both", case, None), "{case}");
        assert_eq!(scene.needed(case), 502, "{case}");
    }
    let grown = scene.grows(|| {
        for case in ["gzip-bomb", "br-bomb"] {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| assert!(!scene.both("both", case, None), "{case}"));
                }
            });
            assert_eq!(scene.needed(case), 502, "{case}");
        }
    });

    // Eight at once of a mebibyte each, with windows of up to 16 MiB for Brotli.
    println!("{grown} MiB more at most, of {} that were meant", 8 * 100);
    assert!(grown < 200, "{grown} MiB more");
}
