//! Services that answer to break the answer of others, the gateway, or the next client: what comes out is well-formed and says nothing that they had
//! no right to say, and the memory and the time that it takes are bounded.

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
fn a_body_without_end_is_given_up_where_the_limit_is() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let scene = Scene::start("endless", move |case, stream| {
        let (head, piece) = match case {
            "nothing" => return json(stream, GOOD.as_bytes()),
            "chunked" => {
                ("Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n".iter().copied().chain([b' '; 0x1000]).chain(*b"\r\n").collect())
            }
            "until-closed" => ("Connection: close\r\n\r\n", vec![b'['; 0x1000]),
            "string" => ("Content-Length: 10000000000\r\n\r\n", vec![b'a'; 0x1000]),
            "small-chunks" => ("Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n".repeat(700)),
            "head" => ("", b"X-More: and more\r\n".repeat(200)),
            _ => ("Transfer-Encoding: chunked\r\n\r\n", b"1;extension=".iter().copied().chain([b'e'; 0x1000]).collect()),
        };
        if stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}").as_bytes()).is_err() {
            return false;
        }
        // Sixteen times what an answer may be: who gives up closes long before.
        for _ in 0..4_096 {
            if stream.write_all(&piece).is_err() {
                return false;
            }
            count.fetch_add(piece.len(), Ordering::SeqCst);
        }
        false
    });

    let grown = scene.grows(|| {
        for case in ["chunked", "until-closed", "string", "small-chunks", "head", "extension"] {
            sent.store(0, Ordering::SeqCst);
            assert!(!scene.both("both", case, None), "{case}");
            let most = sent.load(Ordering::SeqCst);
            // What the sockets hold comes on top of a mebibyte.
            assert!(most < 12 << 20, "{case}: {most} bytes were taken");
            assert_eq!(scene.needed(case), 502, "{case}");
        }
    });

    println!("{grown} MiB more at most");
    assert!(grown < 32, "{grown} MiB more");
    scene.comes_to_rest();
}

#[test]
fn lengths_that_are_wrong_give_one_reading_or_none_and_never_the_next_answer() {
    const SMUGGLED: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"admin\":true}";
    let scene = Scene::start("lengths", |case, stream| {
        let start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let (text, stays) = match case {
            "too-long" => (format!("{start}Content-Length: 100\r\n\r\n{GOOD}"), false),
            "too-short" => (format!("{start}Content-Length: 4\r\n\r\n{GOOD}"), true),
            "two-answers" => (format!("{start}Content-Length: {}\r\n\r\n{GOOD}{SMUGGLED}", GOOD.len()), true),
            "two-lengths" => (format!("{start}Content-Length: {}\r\nContent-Length: 3\r\n\r\n{GOOD}", GOOD.len()), true),
            "list-of-lengths" => (format!("{start}Content-Length: {0}, 3\r\n\r\n{GOOD}", GOOD.len()), true),
            "negative" => (format!("{start}Content-Length: -7\r\n\r\n{GOOD}"), false),
            "plus" => (format!("{start}Content-Length: +7\r\n\r\n{GOOD}"), false),
            "no-number" => (format!("{start}Content-Length: seven\r\n\r\n{GOOD}"), false),
            "huge" => (format!("{start}Content-Length: 99999999999999999999999999\r\n\r\n{GOOD}"), false),
            "both-framings" => (format!("{start}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{GOOD}\r\n0\r\n\r\n"), true),
            "chunk-too-long" => (format!("{start}Transfer-Encoding: chunked\r\n\r\nff\r\n{GOOD}"), false),
            "chunk-of-no-number" => (format!("{start}Transfer-Encoding: chunked\r\n\r\nzz\r\n{GOOD}\r\n0\r\n\r\n"), true),
            "chunk-overflow" => (format!("{start}Transfer-Encoding: chunked\r\n\r\n10000000000000007\r\n{GOOD}\r\n0\r\n\r\n"), true),
            "no-last-chunk" => (format!("{start}Transfer-Encoding: chunked\r\n\r\n7\r\n{GOOD}\r\n"), false),
            "unknown-coding" => (format!("{start}Transfer-Encoding: swapped\r\n\r\n{GOOD}"), false),
            "no-content-with-one" => (format!("HTTP/1.1 204 No Content\r\n\r\n{SMUGGLED}"), true),
            "not-modified" => (format!("HTTP/1.1 304 Not Modified\r\n\r\n{SMUGGLED}"), true),
            "switching" => (format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n{SMUGGLED}"), true),
            "interim" => (
                format!(
                    "{}{start}Content-Length: {}\r\n\r\n{GOOD}",
                    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(200),
                    GOOD.len()
                ),
                true,
            ),
            "no-http" => ("\x16\x03\x01 nothing that was asked for\r\n\r\n".to_owned(), false),
            "nothing-at-all" => (String::new(), false),
            _ => (format!("{start}Content-Length: {}\r\n\r\n{GOOD}", GOOD.len()), true),
        };
        stream.write_all(text.as_bytes()).is_ok() && stays
    });
    let cases = [
        "too-long",
        "too-short",
        "two-answers",
        "two-lengths",
        "list-of-lengths",
        "negative",
        "plus",
        "no-number",
        "huge",
        "both-framings",
        "chunk-too-long",
        "chunk-of-no-number",
        "chunk-overflow",
        "no-last-chunk",
        "unknown-coding",
        "no-content-with-one",
        "not-modified",
        "switching",
        "interim",
        "no-http",
        "nothing-at-all",
    ];
    // Some of these may be read in one way that is right; the rest is none.
    let may_be_there = ["two-answers", "both-framings", "interim", "no-content-with-one"];

    for case in cases {
        let reply = scene.ask(&format!("/both/{case}"));
        assert_eq!(reply.status, 200, "{case}: {}", reply.text());
        let there = match &members(case, &reply)[..] {
            [(_, good)] if good == GOOD => false,
            [(_, good), (name, value)] if good == GOOD && name == "x" && [GOOD, "null"].contains(&value.as_str()) => true,
            other => panic!("{case}: {other:?}"),
        };
        assert!(!there || may_be_there.contains(&case), "{case}: {}", reply.text());
        // Who asks next on what may be the same connection has his own answer.
        for _ in 0..3 {
            assert!(scene.both("both", "right", Some(GOOD.as_bytes())), "after {case}");
        }
    }
    scene.comes_to_rest();
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

#[test]
fn bytes_that_come_slowly_end_with_the_call_s_time() {
    let over = Gate::default();
    let held = over.clone();
    let scene = Scene::start("slow", move |case, stream| {
        let whole = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n[{}", "1,".repeat(49_000));
        let at_once = match case {
            "head" => 0,
            "body" => whole.find("\r\n\r\n").unwrap() + 4,
            "silent" => {
                let _ = stream.write_all(&whole.as_bytes()[..60]);
                held.pass();
                return false;
            }
            _ => return json(stream, GOOD.as_bytes()),
        };
        if stream.write_all(&whole.as_bytes()[..at_once]).is_err() {
            return false;
        }
        // Twenty a second, for longer than any test waits: who gives up closes before.
        for byte in whole.as_bytes()[at_once..].chunks(1) {
            if stream.write_all(byte).is_err() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    });

    for case in ["head", "body", "silent"] {
        let began = Instant::now();
        assert!(!scene.both("hasty", case, None), "{case}");
        // The route's own time is 25 s: what ended it was the call's.
        assert!(began.elapsed() < Duration::from_secs(20), "{case}: {:?}", began.elapsed());
    }
    over.open();
    scene.comes_to_rest();
}

#[test]
fn members_of_others_cannot_be_said_by_a_service() {
    let bodies: &[(&str, &str)] = &[
        ("closed-early", r#"{"a":1},"admin":true,"b":{"c":1}"#),
        ("closed-twice", r#"{"a":1}},"admin":{"b":1"#),
        ("two-values", r#"{"a":1} {"admin":true}"#),
        ("text-behind", r#"{"a":1} x"#),
        ("comment", r#"{"a":1}/*"#),
        ("bom", "\u{feff}{\"a\":1}"),
        ("zero-behind", "{\"a\":1}\0"),
        ("quote-in-name", r#"{"a"b":1}"#),
        ("bare", r#"admin"#),
        ("nan", r#"{"a":NaN}"#),
        ("line-separator", "{\"a\":\"\u{2028}\"}"),
        ("surrogate", r#"{"a":"\ud800"}"#),
    ];
    let scene = Scene::start("members", |case, stream| {
        let body = bodies.iter().find(|(name, _)| *name == case).map_or(
            match case {
                "own-names" => r#"{"role":"admin","r\u006fle":"root","\u0063ode":9,"a":1,"code":[1],"role":{}}"#,
                "doubled" => r#"{"a":1,"a":2,"\u0061":3}"#,
                "list" => r#"[{"role":"admin"}]"#,
                "scalar" => r#""role""#,
                _ => GOOD,
            },
            |(_, body)| body,
        );
        json(stream, body.as_bytes())
    });

    for (case, body) in bodies {
        let there = scene.both("both", case, Some(body.as_bytes()));
        assert_eq!(there, strict::value(body.as_bytes()).is_some(), "{case}");
        let reply = scene.ask(&format!("/spread/{case}"));
        assert!(reply.status == 502 || there && reply.status == 200, "{case}: {}", reply.text());
        assert!(!reply.text().contains("admin"), "{case}: {}", reply.text());
    }

    // What the answer names itself wins, however a service spells its name: there is one of each.
    let reply = scene.ask("/spread/own-names");
    let found = members("own-names", &reply);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["role", "a", "code"], "{}", reply.text());
    assert_eq!((found[0].1.as_str(), found[2].1.as_str()), ("\"viewer\"", "0"), "{}", reply.text());
    // What has no members adds none.
    for case in ["list", "scalar"] {
        let reply = scene.ask(&format!("/spread/{case}"));
        if reply.status == 200 {
            assert_eq!(members(case, &reply).len(), 2, "{case}: {}", reply.text());
        } else {
            reply.is_problem(502);
        }
    }
    // A service that contradicts itself does so within its own part.
    assert!(scene.both("both", "doubled", Some(br#"{"a":1,"a":2,"\u0061":3}"#)));
}

#[test]
fn values_of_a_service_stay_one_segment_one_parameter_one_header() {
    let values = [
        "..",
        ".",
        "",
        "../../admin",
        "a/b",
        "a?admin=1",
        "a#b",
        "a&admin=1",
        "a;b=1",
        "a%2f..%2fb",
        "a b",
        "\r\nX-Admin: 1",
        "a\r\n\r\nGET /admin HTTP/1.1\r\n",
        "\0",
        "é",
        "//evil.example",
        "http://evil.example/",
        "{x}",
        "${HOME}",
        "a+b",
        "a=b",
    ];
    let scene = Scene::start("values", move |case, stream| match case.parse::<usize>() {
        Ok(number) => mock::answer(stream, 200, &serde_json::json!({"v": values[number]})),
        Err(_) => match case {
            "object" => json(stream, br#"{"v":{"a":1}}"#),
            _ => json(stream, br#"{"v":["a/b","c,d","&e"]}"#),
        },
    });

    for (number, value) in values.into_iter().enumerate() {
        let reply = scene.ask(&format!("/chain/{number}"));
        assert_eq!(reply.status, 200, "{value:?}: {}", reply.text());
        let json = reply.json();
        if let Some(path) = json["path"].as_str() {
            let middle =
                path.strip_prefix("/path/").and_then(|rest| rest.strip_suffix("/end")).unwrap_or_else(|| panic!("{value:?}: {path}"));
            assert!(!middle.contains(['/', '?', '#']) && ![".", "..", ""].contains(&middle), "{value:?}: {path}");
            assert_eq!(mock::decoded(middle, false), value, "{path}");
        } else {
            assert!([".", "..", ""].contains(&value), "{value:?}: {}", reply.text());
        }
        if let Some(query) = json["query"].as_str() {
            let (_, query) = query.split_once('?').unwrap();
            assert_eq!(mock::parameters(query), serde_json::json!({"v": [value], "end": ["1"]}), "{value:?}: {query}");
        }
        let breaks = value.contains(['\r', '\n', '\0']);
        let header = &json["header"];
        assert!(header["x-admin"].is_null(), "{value:?}: {header}");
        assert_eq!(header.is_null(), breaks, "{value:?}: {header}");
    }
    // What is no text is none in a path either.
    let json = scene.ask("/chain/object").json();
    assert!(json["path"].is_null(), "{json}");
    let json = scene.ask("/chain/list").json();
    assert_eq!(json["path"], "/path/a%2Fb,c%2Cd,%26e/end");
    for request in scene.good.received() {
        let line = request.line();
        assert!(["/good", "/path/", "/query?", "/header"].iter().any(|known| line.starts_with(&format!("GET {known}"))), "{line}");
    }
}

#[test]
fn headers_of_a_service_stay_behind() {
    let more = "Set-Cookie: session=stolen\r\nX-BFF-Complete: maybe\r\nX-BFF-Missing: nobody\r\nX-Request-Id: theirs\r\nLocation: http://evil.example/\r\n\
                Access-Control-Allow-Origin: *\r\nContent-Disposition: attachment\r\nCache-Control: public, max-age=31536000\r\nETag: \"1\"\r\nServer: evil\r\n\
                X-Powered-By: evil\r\nStrict-Transport-Security: max-age=1\r\nWWW-Authenticate: Basic\r\nRetry-After: 1000000\r\nTrailer: X-Late\r\n\
                Clear-Site-Data: \"*\"\r\nRefresh: 0\r\nLink: <http://evil.example/>; rel=preload\r\n";
    let scene = Scene::start("headers", move |case, stream| {
        let status = case.parse().unwrap_or(200);
        mock::send(stream, status, "application/json", more, br#"{"secret":"of the service"}"#)
    });
    let known = [
        "content-type",
        "content-length",
        "x-bff-complete",
        "x-bff-missing",
        "cache-control",
        "x-request-id",
        "date",
        "server",
        "via",
        "connection",
        "vary",
        "retry-after",
        "x-content-type-options",
        "www-authenticate",
    ];

    for path in
        ["/both/200", "/both/500", "/needed/200", "/needed/401", "/needed/404", "/needed/429", "/needed/500", "/needed/302", "/spread/200"]
    {
        let reply = scene.ask(path);

        let names: Vec<String> =
            reply.head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_ascii_lowercase()).collect();
        let unknown: Vec<_> = names.iter().filter(|name| !known.contains(&name.as_str())).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}\n{}", reply.head);
        assert!(
            !reply.head.contains("evil")
                && !reply.head.contains("Basic")
                && !reply.head.contains("theirs")
                && !reply.head.contains("maybe"),
            "{path}: {}",
            reply.head
        );
        assert_eq!(
            names.iter().filter(|name| *name == "x-bff-complete").count(),
            usize::from(reply.status == 200),
            "{path}: {}",
            reply.head
        );
        if reply.status != 200 {
            assert!(!reply.text().contains("secret"), "{path}: {}", reply.text());
            reply.is_problem(reply.status);
        }
        // The good one says nothing of caches, and so does nobody.
        let cached = reply.header("cache-control");
        assert!(cached.is_none() || cached == Some("no-store") || path == "/spread/200", "{path}: {}", reply.head);
    }
}

impl Scene {
    /// Waits until nothing is in flight and every place is given back.
    #[track_caller]
    fn comes_to_rest(&self) {
        until("every place to be given back", || {
            let full = self.process.ask("GET", "/healthz?full=1").json();
            ["good", "hostile"].iter().all(|pool| full["upstreams"][pool]["in_flight"] == 0)
        });
        assert!(self.both("both", "nothing", None), "it serves as before");
    }
}
