//! Bodies without an end, with a wrong length, or that come slowly.

use super::*;

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
